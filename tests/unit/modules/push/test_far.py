"""A push service at another server: what each of its answers means, and none, and no way there."""

from collections.abc import Callable

import pytest

from pushd.modules.push.probation import DAY, PATIENCE
from pushd.modules.push.publisher import FIRST_PAUSE, LONGEST_PAUSE
from pushd.routing.events import PublishAnswered, PushDisabled, PushProbed
from pushd.s2s.faults import DENIED, Fault
from pushd.s2s.options import Options
from pushd.wire.element import Element
from pushd.wire.stanza import Stanza
from tests.unit.modules.push.stage import (
    JULIET,
    PHONE,
    Answer,
    Stage,
    accepted,
    enable,
    refused,
    silence,
    summary,
)
from tests.unit.modules.push.test_farewells import told
from tests.unit.s2s.house import THERE, End, House

WEEKS = 30 * DAY
DENYING = Options(rules={THERE: "deny"})


class Far(Stage):
    """Juliet's phone sleeps, and its push service is behind streams between servers.

    The service answers as `answer` says; with a `fault`, no stream to its server comes to stand.
    """

    def __init__(self) -> None:
        super().__init__(hold=WEEKS)
        self.answer: Answer = accepted
        self.fault: Fault | None = None
        self.publishes: list[Stanza] = []
        self.house = House(self.hall, idle=2 * WEEKS)
        self._back = self.house.external()
        self._there: End | None = None
        phone = self.phone(enabled=False)
        assert enable(phone, service=THERE)["type"] == "result"
        phone.acknowledge()
        phone.cut()

    @property
    def counts(self) -> list[str | None]:
        return [summary(publish).get("message-count") for publish in self.publishes]

    @property
    def failures(self) -> int:
        [one] = self.push.enablements.of(JULIET)
        return one.failures

    def tell(self) -> None:
        """Somebody writes to Juliet."""
        self.write()
        self._work()

    def wait(self, seconds: float) -> None:
        self.hall.advance(seconds)
        self._work()

    def _work(self) -> None:
        """The other server does what it has to do."""
        while self.house.caller.calls:
            if self.fault is None:
                self._there = self.house.stand()
                self._take(self._there.first)
            else:
                _, _, waiting = self.house.caller.calls.pop()
                waiting.errback(Fault(self.fault.step, self.fault.text))
                self.hall.advance(0)
        if self._there is not None:
            self._take(self._there.heard())

    def _take(self, said: list[Element]) -> None:
        for publish in map(Stanza.of, said):
            assert (publish.name, publish.attributes["to"]) == ("iq", THERE)
            self.publishes.append(publish)
            content = self.answer(publish)
            if content is not None:
                type = "error" if content.startswith("<error") else "result"
                head = f"type='{type}' id='{publish.id}' from='{THERE}'"
                self._back.say(f"<iq {head} to='{publish.attributes['from']}'>{content}</iq>")


def bare(publish: Stanza) -> str:
    """An error without a condition."""
    return "<error/>"


def precondition(publish: Stanza) -> str:
    """The service takes no publish-options, or not these (XEP-0060 §7.1.5)."""
    return (
        "<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "<precondition-not-met xmlns='http://jabber.org/protocol/pubsub#errors'/></error>"
    )


def each(*answers: tuple[str, str]) -> list[object]:
    return [pytest.param(refused(*one), id="-".join(one)) for one in answers]


REMOVING = each(
    ("item-not-found", "cancel"),
    ("forbidden", "auth"),
    ("not-authorized", "auth"),
    ("gone", "cancel"),
    ("gone", "modify"),
    ("item-not-found", "wait"),
)
WAITING = [
    *each(
        ("resource-constraint", "wait"),
        ("policy-violation", "wait"),
        ("internal-server-error", "wait"),
        ("service-unavailable", "wait"),
        ("recipient-unavailable", "wait"),
        ("undefined-condition", "wait"),
        # The other server does not reach the service, which may be a component of it.
        ("remote-server-timeout", "wait"),
        ("remote-server-not-found", "cancel"),
    ),
    pytest.param(silence, id="silence"),
]
COUNTED = [
    *each(
        ("service-unavailable", "cancel"),
        ("internal-server-error", "cancel"),
        ("not-allowed", "cancel"),
        ("conflict", "cancel"),
        ("feature-not-implemented", "cancel"),
        ("undefined-condition", "cancel"),
        ("policy-violation", "cancel"),
        ("policy-violation", "modify"),
        ("registration-required", "auth"),
        ("subscription-required", "auth"),
        ("resource-constraint", "continue"),
    ),
    pytest.param(precondition, id="precondition-not-met"),
    pytest.param(bare, id="no-condition"),
]
OURS = each(
    ("bad-request", "modify"),
    ("not-acceptable", "modify"),
    ("jid-malformed", "modify"),
    ("redirect", "modify"),
)
NO_WAY = [
    *("absent", "dns", "connect", "tls", "certificate", "authentication", "refused"),
    *("stream-error", "dialback", "protocol", "timeout", "closed"),
]


@pytest.mark.line(88)
@pytest.mark.parametrize("answer", REMOVING)
def test_a_refusal_for_good_removes_it_at_once_and_its_device_is_told(answer: Answer) -> None:
    far = Far()
    far.answer = answer

    far.tell()

    assert (far.counts, far.nodes()) == (["1"], [])
    [gone] = far.hall.events(PushDisabled)
    assert (gone.service, gone.reason.partition(":")[0]) == (THERE, "refused by its service")
    far.tell()
    far.wait(DAY)
    assert far.counts == ["1"]
    phone = far.hall.login(PHONE, sm=True, available=False)
    phone.send("<presence/>")
    assert told(phone) == [(THERE, "phone")]


@pytest.mark.line(89)
@pytest.mark.parametrize("answer", WAITING)
def test_what_may_pass_is_tried_again_with_growing_pauses(answer: Answer) -> None:
    far = Far()
    far.answer = answer
    far.tell()

    tried = []
    for _ in range(6):
        far.wait(30)  # in which an answer is awaited
        tried.append(len(far.publishes))
        far.wait(LONGEST_PAUSE)
    far.wait(30)
    assert len(far.publishes) >= 7
    assert tried[0] <= 4  # with pauses of ten seconds and more, half of them at the least
    assert (far.failures, far.nodes()) == (0, ["phone"])

    far.answer = accepted
    far.tell()
    far.wait(LONGEST_PAUSE)
    assert far.counts[-1] == "2"
    tries = len(far.publishes)
    far.wait(DAY)
    assert len(far.publishes) == tries


@pytest.mark.parametrize("answer", [WAITING[0], *WAITING[-2:]])
def test_it_is_tried_until_it_is_stale(answer: Answer) -> None:
    """Then it is one that came to nothing."""
    far = Far()
    far.answer = answer
    far.tell()

    for _ in range(100):
        far.wait(LONGEST_PAUSE)
    far.wait(30)
    tries = len(far.publishes)
    far.wait(DAY)

    assert (far.failures, len(far.publishes), far.nodes()) == (1, tries, ["phone"])


def test_the_first_pause_is_short() -> None:
    far = Far()
    far.answer = refused("resource-constraint", "wait")
    far.tell()
    far.answer = accepted

    far.wait(FIRST_PAUSE)

    assert far.counts == ["1", "1"]


@pytest.mark.line(90)
@pytest.mark.parametrize("answer", COUNTED)
def test_sixteen_that_are_counted_put_it_on_probation_and_a_week_ends_it(answer: Answer) -> None:
    far = Far()
    far.answer = answer
    for number in range(1, PATIENCE):
        far.tell()
        assert far.failures == number
    assert far.hall.events(PushProbed) == []
    assert len(far.publishes) == PATIENCE - 1  # of each once: nothing is tried again

    far.tell()
    assert far.hall.events(PushProbed) == [PushProbed(JULIET, THERE, "phone", PATIENCE)]
    far.tell()
    assert len(far.publishes) == PATIENCE
    for _ in range(6):
        far.wait(DAY)
    assert (len(far.publishes), far.nodes()) == (PATIENCE + 6, ["phone"])

    far.wait(DAY)
    assert far.nodes() == []
    assert [one.reason for one in far.hall.events(PushDisabled)] == [
        "nothing came through for a week"
    ]


@pytest.mark.parametrize("answer", [*COUNTED, *OURS])
def test_one_that_comes_through_ends_the_count(answer: Answer) -> None:
    far = Far()
    far.answer = answer
    for _ in range(PATIENCE - 1):
        far.tell()
    far.answer = accepted
    far.tell()
    assert (far.counts[-1], far.failures) == ("16", 0)


@pytest.mark.parametrize("answer", OURS)
def test_what_we_say_wrong_is_counted_and_never_removes_it(answer: Answer) -> None:
    far = Far()
    far.answer = answer
    for _ in range(PATIENCE):
        far.tell()

    for _ in range(14):
        far.wait(DAY)

    assert far.nodes() == ["phone"]
    assert len(far.publishes) == PATIENCE + 14


@pytest.mark.parametrize("step", NO_WAY)
def test_a_server_that_is_not_reached_is_tried_again(step: str) -> None:
    far = Far()
    far.fault = Fault(step, "a test has it so")
    far.tell()
    for _ in range(6):
        far.wait(30)
        far.wait(LONGEST_PAUSE)
    answers = far.hall.events(PublishAnswered)
    assert len(answers) >= 5
    known = {"remote-server-not-found", "remote-server-timeout", ""}
    assert {one.condition for one in answers} <= known
    assert (far.counts, far.failures, far.nodes()) == ([], 0, ["phone"])

    far.fault = None
    far.wait(LONGEST_PAUSE)
    far.wait(LONGEST_PAUSE)

    assert far.counts[-1] == "1"
    assert far.failures == 0


@pytest.mark.parametrize("answer", [WAITING[0], *WAITING[-2:]])
def test_a_service_that_is_gone_is_given_up_though_there_is_news_each_day(answer: Answer) -> None:
    """Each day is counted as one; then it is as with those that refuse."""
    far = Far()
    far.answer = answer

    def days(until: Callable[[], object]) -> int:
        for number in range(30):
            if until():
                return number
            for _ in range(2):
                far.tell()
                far.wait(DAY / 2)
                far.wait(30)
        return 30

    assert days(lambda: far.hall.events(PushProbed)) in (PATIENCE, PATIENCE + 1)
    tries = len(far.publishes)
    assert days(lambda: not far.nodes()) in (7, 8)
    assert len(far.publishes) <= tries + 7


def test_a_service_that_is_back_in_time_is_forgiven() -> None:
    far = Far()
    far.answer = refused("resource-constraint", "wait")
    for _ in range(6):
        far.tell()
        far.wait(DAY / 2)
    assert far.failures >= 2

    far.answer = accepted
    far.wait(LONGEST_PAUSE)

    assert (far.counts[-1], far.failures) == ("6", 0)


def test_a_server_that_we_do_not_talk_with_any_more_is_one_that_refuses() -> None:
    far = Far()
    far.house.peers.rule(DENYING)

    for _ in range(PATIENCE):
        far.tell()

    answers = {(one.outcome, one.condition) for one in far.hall.events(PublishAnswered)}
    assert answers == {("refused", "not-allowed")}
    assert [one.failures for one in far.hall.events(PushProbed)] == [PATIENCE]
    assert DENIED == "denied"


def test_an_answer_counts_from_the_service_alone() -> None:
    """And not from another address of its server, which may be anybody's."""
    far = Far()
    far.answer = silence
    far.tell()
    [publish] = far.publishes
    said = refused("item-not-found", "cancel")(publish)

    head = f"<iq type='error' id='{publish.id}' from='mallory@{THERE}/x'"
    far._back.say(f"{head} to='{publish.attributes['from']}'>{said}</iq>")

    assert far.nodes() == ["phone"]
