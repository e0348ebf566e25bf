import gc
import sys
from itertools import pairwise

import pytest
from twisted.internet.defer import fail

from pushd.modules.push.publisher import FIRST_PAUSE, LONGEST_PAUSE, PORTION
from pushd.routing.events import NotificationPublished, PublishAnswered, PushDisabled
from pushd.storage.errors import StorageError
from pushd.wire.stanza import Stanza
from tests.unit.modules.push.stage import (
    HOUR,
    JULIET,
    PHONE,
    SERVICE,
    Answer,
    Service,
    Stage,
    accepted,
    enable,
    notification,
    publish_options,
    refused,
    silence,
    summary,
)

BUSY = refused("resource-constraint", "wait")
BROKEN = refused("internal-server-error", "cancel")
CALL = "<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>"


@pytest.mark.line(82, 83)
def test_a_publish_is_a_request_of_the_accounts_domain() -> None:
    stage = Stage()
    stage.asleep()

    stage.write()
    stage.write()

    first, second = stage.service.publishes
    assert (first.type, first.attributes["from"], first.attributes["to"]) == (
        "set",
        "example.net",
        SERVICE,
    )
    assert first.id
    assert first.id != second.id


def test_a_message_is_on_disk_before_anybody_hears_of_it() -> None:
    stage = Stage()
    stage.asleep()
    seen: list[tuple[int, int]] = []

    def look(publish: Stanza) -> str:
        database = stage.hall.host.database
        reading = database.read("SELECT COUNT(*) FROM queue")
        reading.addCallback(lambda rows: seen.append((rows[0][0], len(stage.service.publishes))))
        return ""

    stage.service.answer = look
    stage.write()

    assert seen == [(1, 1)]


def test_publishes_and_answers_are_told() -> None:
    stage = Stage()
    stage.asleep()

    stage.write()

    id = stage.service.publishes[0].id
    assert stage.hall.events(NotificationPublished) == [
        NotificationPublished(JULIET, SERVICE, "phone", id, 1, 0)
    ]
    assert stage.hall.events(PublishAnswered) == [
        PublishAnswered(JULIET, SERVICE, "phone", id, "accepted", "")
    ]


def test_one_publish_is_under_way_at_a_time() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = silence
    for text in ("one", "two", "three"):
        stage.write(text)
    assert stage.service.counts == ["1"]

    stage.service.answer = accepted
    stage.service.reply(stage.service.publishes[0])

    assert stage.service.counts == ["1", "3"]


def test_a_slow_service_delays_no_other() -> None:
    stage = Stage()
    other = Service(stage.hall, "push.example.com")
    phone = stage.phone()
    enable(phone, service=other.domain)
    phone.cut()
    stage.service.answer = silence

    stage.write()
    stage.write()

    assert stage.service.counts == ["1"]
    assert other.counts == ["1", "2"]


@pytest.mark.line(88)
@pytest.mark.parametrize(
    ("condition", "type"),
    [
        ("item-not-found", "cancel"),
        ("forbidden", "auth"),
        ("not-authorized", "auth"),
        ("gone", "cancel"),
    ],
)
def test_a_refusal_for_good_removes_this_enablement_alone(condition: str, type: str) -> None:
    stage = Stage()
    phone = stage.phone()
    enable(phone, node="other")
    phone.cut()
    stage.service.answer = lambda publish: (
        refused(condition, type)(publish) if publish.tree.pubsub.publish["node"] == "phone" else ""
    )

    stage.write()

    assert stage.nodes() == ["other"]
    assert stage.hall.rows("SELECT node FROM push_enablements") == [("other",)]
    [event] = stage.hall.events(PushDisabled)
    assert event.reason == f"refused by its service: {condition}"


@pytest.mark.line(90)
@pytest.mark.parametrize(
    ("condition", "type"),
    [
        ("service-unavailable", "cancel"),
        ("bad-request", "modify"),
        ("internal-server-error", "cancel"),
    ],
)
def test_any_other_error_is_counted_until_a_publish_is_accepted(condition: str, type: str) -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = refused(condition, type)
    for _ in range(15):
        stage.write()

    [one] = stage.push.enablements.of(JULIET)
    assert one.failures == 15
    assert len(stage.service.publishes) == 15
    assert stage.hall.rows("SELECT failures FROM push_enablements") == [(15,)]

    stage.service.answer = accepted
    stage.write()
    assert one.failures == 0
    assert stage.service.counts[-1] == "16"


@pytest.mark.line(89)
def test_an_error_that_asks_to_wait_is_tried_again_with_growing_pauses() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = BUSY
    at: list[float] = []
    stage.write()

    while len(stage.service.publishes) < 12:
        stage.hall.advance(1)
        if len(stage.service.publishes) > len(at) + 1:
            at.append(stage.hall.clock.seconds())

    pauses = [later - earlier for earlier, later in pairwise(at)]
    expected = [min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in range(1, len(pauses) + 1)]
    assert all(
        most / 2 - 1 <= pause <= most + 1 for pause, most in zip(pauses, expected, strict=True)
    )
    assert stage.nodes() == ["phone"]

    stage.service.answer = accepted
    stage.hall.advance(LONGEST_PAUSE)
    tried = len(stage.service.publishes)
    stage.hall.advance(HOUR)
    assert len(stage.service.publishes) == tried


@pytest.mark.line(89)
def test_no_answer_within_the_time_is_tried_again() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = silence
    stage.write()

    stage.hall.advance(29)
    assert [event.outcome for event in stage.hall.events(PublishAnswered)] == []
    stage.hall.advance(1)
    assert [event.outcome for event in stage.hall.events(PublishAnswered)] == ["silence"]
    stage.hall.advance(FIRST_PAUSE)
    assert stage.service.counts == ["1", "1"]
    assert stage.nodes() == ["phone"]


def test_what_comes_while_a_publish_waits_goes_out_with_it() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = BUSY
    stage.write("one")
    stage.write("two")

    stage.service.answer = accepted
    stage.hall.advance(FIRST_PAUSE)

    assert stage.service.counts == ["1", "2"]


def test_a_push_that_is_stale_is_given_up_and_counted() -> None:
    stage = Stage(stale=HOUR)
    stage.asleep()
    stage.service.answer = BUSY
    stage.write("one")

    for _ in range(3):
        stage.hall.advance(LONGEST_PAUSE)
    tried = len(stage.service.publishes)
    for _ in range(3):
        stage.hall.advance(LONGEST_PAUSE)
    given_up = len(stage.service.publishes)
    assert given_up >= tried
    stage.hall.advance(2 * HOUR)

    [one] = stage.push.enablements.of(JULIET)
    assert len(stage.service.publishes) == given_up
    assert one.failures == 1
    stage.service.answer = accepted
    stage.write("two")
    assert stage.service.counts[-1] == "2"


def test_a_newer_message_makes_an_old_push_worth_trying() -> None:
    stage = Stage(stale=HOUR)
    stage.asleep()
    stage.service.answer = BUSY
    stage.write("one")
    for _ in range(3):
        stage.hall.advance(LONGEST_PAUSE)
    stage.write("two")
    for _ in range(2):
        stage.hall.advance(LONGEST_PAUSE)

    stage.service.answer = accepted
    stage.hall.advance(LONGEST_PAUSE)

    assert stage.service.counts[-1] == "2"
    assert stage.push.enablements.of(JULIET)[0].failures == 0


def test_a_device_that_came_back_ends_the_attempts() -> None:
    stage = Stage()
    phone = stage.asleep()
    stage.service.answer = BUSY
    stage.write()

    phone.resume()
    stage.hall.advance(HOUR)

    assert stage.service.counts == ["1"]


def test_a_late_answer_says_nothing_of_what_came_since_the_device_was_back() -> None:
    stage = Stage()
    phone = stage.asleep()
    stage.service.answer = silence
    stage.write("one")
    phone.resume()
    phone.acknowledge()
    phone.cut()
    stage.write("two")
    assert stage.service.counts == ["1"]

    stage.service.answer = accepted
    stage.service.reply(stage.service.publishes[0])

    assert stage.service.counts == ["1", "1"]
    assert summary(stage.service.publishes[1])["last-message-body"] == "two"


def test_an_answer_counts_from_the_service_alone() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = silence
    stage.write()

    id = stage.service.publishes[0].id
    stage.hall.route(
        f"<iq type='error' id='{id}' from='mallory@example.org/x' to='example.net'>"
        f"{refused('item-not-found', 'cancel')(stage.service.publishes[0])}</iq>"
    )

    assert stage.nodes() == ["phone"]


@pytest.mark.parametrize("is_disabled_first", [True, False])
def test_what_was_enabled_anew_does_not_hear_of_the_old_publish(is_disabled_first: bool) -> None:
    stage = Stage()
    phone = stage.asleep()
    stage.service.answer = silence
    stage.write("one")
    [old] = stage.service.publishes
    phone.resume()
    if is_disabled_first:
        phone.send(f"<iq type='set' id='d'><disable xmlns='urn:xmpp:push:0' jid='{SERVICE}'/></iq>")
    enable(phone, publish_options(secret="new"))

    stage.service.reply(old, refused("forbidden", "auth")(old) or "")

    assert stage.nodes() == ["phone"]


def test_nothing_is_tried_again_for_an_account_that_was_disabled() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = BUSY
    stage.write("one")

    stage.hall.host.accounts.disable(JULIET, "gone")
    stage.hall.advance(HOUR)

    assert stage.service.counts == ["1"]


def test_what_an_account_was_not_told_of_it_is_told_of_once_it_is_open_again() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = BUSY
    stage.write("one")
    stage.hall.host.accounts.disable(JULIET, "by mistake")
    stage.hall.advance(HOUR)
    stage.service.answer = accepted

    stage.hall.host.accounts.enable(JULIET)
    stage.hall.advance(0)

    assert stage.service.counts == ["1", "1"]


def test_a_push_waits_for_a_disk_that_is_full() -> None:
    stage = Stage()
    stage.asleep()
    database = stage.hall.host.database
    committed = database.committed
    database.committed = lambda *, hurry=False: fail(StorageError("disk full"))  # type: ignore
    stage.write()
    assert stage.service.publishes == []

    database.committed = committed  # type: ignore[method-assign]
    stage.hall.advance(FIRST_PAUSE)

    assert stage.service.counts == ["1"]


def test_urgency_lasts_until_it_is_told() -> None:
    stage = Stage()
    stage.asleep()

    stage.write(content=CALL)
    stage.write("hi")

    urgent = [str(notification(one).priority or "") for one in stage.service.publishes]
    assert urgent == ["high", ""]


@pytest.mark.mistake(2)
def test_thousands_of_pushes_leave_nothing_behind() -> None:
    stage = Stage()
    stage.asleep()
    before = len(stage.hall.clock.getDelayedCalls())

    for _ in range(300):
        stage.write(to=PHONE)

    assert len(stage.service.publishes) == 300
    assert stage.hall.host.requests._asked == {}
    stage.hall.host.ledger.stop()  # what it counts waits to be written
    stage.hall.advance(0)
    assert len(stage.hall.clock.getDelayedCalls()) == before


@pytest.mark.mistake(2)
@pytest.mark.parametrize("answer", [accepted, BROKEN, BUSY, silence], ids=lambda one: "")
def test_however_many_pushes_there_were_memory_is_flat(answer: Answer) -> None:
    """Whether they come through or not: what a push takes is given back, to the last block."""
    stage = Stage()
    phone = stage.asleep()
    stage.service.answer = answer

    def push(times: int) -> int:
        for _ in range(times):
            for _ in range(20):
                stage.write()
                stage.hall.advance(2 * FIRST_PAUSE)
            stage.service.answer = accepted
            stage.hall.advance(LONGEST_PAUSE)
            stage.service.answer = answer
            phone.resume()
            phone.acknowledge()
            phone.cut()
            phone.received()
        stage.hall.seen.clear()
        stage.service.publishes.clear()
        stage.hall.host.ledger.stop()
        stage.hall.advance(0)
        gc.collect()
        return sys.getallocatedblocks()

    def growth() -> int:
        before = push(5)
        return push(25) - before

    push(20)
    # Half a block for a push; what else this process keeps meanwhile, it does not keep each time.
    assert any(growth() < 250 for _ in range(3))
    assert stage.hall.host.requests._asked == {}


def test_pauses_begin_small_again_once_a_publish_was_accepted() -> None:
    stage = Stage()
    stage.asleep()
    answers = [BUSY, BUSY, silence, BUSY]
    stage.service.answer = lambda publish: (answers.pop(0) if answers else accepted)(publish)
    stage.write("one")
    stage.hall.advance(FIRST_PAUSE)
    stage.hall.advance(2 * FIRST_PAUSE)
    assert len(stage.service.publishes) == 3

    stage.write("two")
    stage.service.reply(stage.service.publishes[2])
    assert len(stage.service.publishes) == 4
    stage.hall.advance(FIRST_PAUSE)

    assert stage.service.counts == ["1", "1", "1", "2", "2"]


def test_to_be_pushed_is_to_be_used() -> None:
    stage = Stage(max_enablements=2)
    phone = stage.phone(enabled=False)
    enable(phone, node="a")
    stage.hall.advance(1)
    desk = stage.hall.login(f"{JULIET}/desk", sm=True)
    enable(desk, node="b")
    phone.acknowledge()
    phone.cut()
    stage.hall.advance(1)
    stage.write(to=PHONE)

    enable(desk, node="c")

    assert stage.nodes() == ["a", "c"]


def test_a_publish_that_breaks_does_not_hinder_the_next() -> None:
    stage = Stage()
    stage.asleep()
    [one] = stage.push.enablements.of(JULIET)
    one.options = b"\xff"
    stage.write("one")
    assert stage.service.publishes == []

    one.options = None
    stage.write("two")

    assert stage.service.counts == ["2"]


def test_what_follows_a_publish_closely_goes_out_as_one() -> None:
    """The first at once, the next two together when a second is over."""
    stage = Stage(coalesce=1.0)
    stage.asleep()

    stage.write()
    assert stage.service.counts == ["1"]
    stage.write()
    stage.write()
    stage.hall.advance(0.9)
    assert stage.service.counts == ["1"]

    stage.hall.advance(0.1)
    assert stage.service.counts == ["1", "3"]
    stage.hall.advance(5)
    stage.write()
    assert stage.service.counts == ["1", "3", "4"]


def test_a_call_does_not_wait_for_others() -> None:
    stage = Stage(coalesce=1.0)
    stage.asleep()
    stage.write()
    stage.write()

    stage.write(content=CALL)

    assert stage.service.counts == ["1", "3"]
    stage.write(content=CALL)
    assert stage.service.counts == ["1", "3", "4"]


def test_a_call_does_not_wait_for_the_answer_to_another_publish() -> None:
    """Nor for the answer to another call; what the first ones are answered is old then."""
    stage = Stage(coalesce=1.0)
    stage.asleep()
    stage.service.answer = silence
    stage.write("one")
    stage.write("two")
    assert stage.service.counts == ["1"]

    stage.write(content=CALL)
    stage.write("three")
    assert stage.service.counts == ["1", "3"]
    stage.write(content=CALL)
    assert stage.service.counts == ["1", "3", "5"]

    first, second, third = stage.service.publishes
    stage.service.answer = accepted
    stage.service.reply(third)
    stage.service.reply(second)
    stage.service.reply(first, BUSY(first) or "")
    stage.hall.advance(HOUR)
    assert stage.service.counts == ["1", "3", "5"]


def test_what_a_call_has_overtaken_may_still_say_that_all_is_over() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = silence
    stage.write("one")
    stage.write(content=CALL)

    first, _ = stage.service.publishes
    stage.service.reply(first, refused("item-not-found", "cancel")(first) or "")

    assert stage.nodes() == []


def test_a_call_does_not_wait_until_a_service_that_was_busy_is_asked_again() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = BUSY
    stage.write("one")
    stage.hall.advance(FIRST_PAUSE)
    stage.service.answer = accepted

    stage.write(content=CALL)

    assert stage.service.counts == ["1", "1", "2"]


def test_a_call_that_was_told_too_late_is_news_like_any_other() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = BUSY
    stage.write(content=CALL)
    for _ in range(3):
        stage.hall.advance(4 * FIRST_PAUSE)

    urgent = [str(notification(one).priority or "") for one in stage.service.publishes]
    assert urgent[0] == "high"
    assert urgent[-1] == ""


def test_an_answer_tells_how_old_the_oldest_news_is() -> None:
    stage = Stage(coalesce=1.0)
    stage.asleep()
    stage.service.answer = BUSY
    stage.write("one")
    stage.hall.advance(4)
    stage.write("two")
    stage.service.answer = accepted
    stage.hall.advance(FIRST_PAUSE)
    stage.hall.advance(1)
    stage.write("three")
    stage.hall.advance(0.25)
    stage.write("four")
    stage.hall.advance(1)

    seconds = [event.seconds for event in stage.hall.events(PublishAnswered)]
    assert seconds == pytest.approx([0, 4 + FIRST_PAUSE, 0, 1])


def test_a_call_that_overtakes_tells_of_what_is_older_too() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = silence
    stage.write("one")
    stage.hall.advance(4)

    stage.service.answer = accepted
    stage.write(content=CALL)

    assert [event.seconds for event in stage.hall.events(PublishAnswered)] == [4]


def test_publishes_without_number_leave_in_portions() -> None:
    """What else the server has to do is done between."""
    stage = Stage(max_enablements=1_000)
    phone = stage.phone(enabled=False)
    for number in range(2 * PORTION + 1):
        enable(phone, node=f"n{number}")
    phone.acknowledge()
    phone.cut()
    between: list[int] = []

    def look(publish: Stanza) -> None:
        stage.hall.clock.callLater(0, lambda: between.append(len(stage.service.publishes)))

    stage.service.answer = look
    stage.write()

    assert sorted(set(between)) == [PORTION, 2 * PORTION, 2 * PORTION + 1]
    assert stage.service.counts == ["1"] * (2 * PORTION + 1)


def test_a_component_that_is_away_for_a_moment_is_tried_again() -> None:
    """Our own router says so; the push service itself has not said anything."""
    stage = Stage()
    stage.asleep()
    stage.hall.host.router.remove_host(SERVICE)
    stage.write("one")
    assert [event.condition for event in stage.hall.events(PublishAnswered)] == [
        "remote-server-not-found"
    ]

    service = Service(stage.hall)
    stage.hall.advance(FIRST_PAUSE)

    assert service.counts == ["1"]
    assert stage.nodes() == ["phone"]


def test_a_device_that_is_back_while_others_gather_is_not_woken() -> None:
    stage = Stage(coalesce=1.0)
    phone = stage.asleep()
    stage.write()
    stage.write()

    phone.resume()
    stage.hall.advance(2)

    assert stage.service.counts == ["1"]
