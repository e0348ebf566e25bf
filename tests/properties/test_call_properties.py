"""Calls in any order, answered, given up and missed, while the push service is as it likes.

Nobody who was told of a call is denied to its caller, nobody is told that he is called by who
gave up before, the counts stay what they can be, and nothing is remembered for long.
"""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pushd.modules.push.enablements import RINGS
from pushd.wire.stanza import Stanza
from tests.hall import Client
from tests.unit.modules.push.stage import JULIET, Stage, accepted, enable, refused, silence
from tests.unit.modules.push.wishing import JINGLE, encrypt

ROMEO = "romeo@example.org/orchard"
JMI = "urn:xmpp:jingle-message:0"
ANSWERS = {
    "well": accepted,
    "busy": refused("resource-constraint", "wait"),
    "broken": refused("internal-server-error", "cancel"),
    "silent": silence,
}
SIDS = st.sampled_from(("a", "b", "c"))


class Calling(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(coalesce=1.0)
        self.hall = self.stage.hall
        self.hall.host.router.add_host("example.org", self._hear)
        self.phones: dict[str, Client] = {}
        for name, wishes in (("phone", ""), ("tablet", encrypt() + JINGLE)):
            client = self.stage.phone(name, enabled=False)
            enable(client, wishes, node=name)
            client.acknowledge()
            client.cut()
            self.phones[name] = client
        self.number = 0
        self.called: dict[str, str] = {}  # the id of the stanza, by sid, while nobody ended it
        self.returned: list[str] = []
        self.looked = 0  # publishes
        self.was_called = False

    def _hear(self, stanza: Stanza) -> None:
        if stanza.type == "error":
            self.returned.append(stanza.id)

    def _say(self, name: str, sid: str) -> str:
        self.number += 1
        self.hall.route(
            f"<message from='{ROMEO}' to='{JULIET}' type='chat' id='{self.number}'>"
            f"<{name} xmlns='{JMI}' id='{sid}'/></message>"
        )
        return str(self.number)

    @rule(sid=SIDS)
    def call(self, sid: str) -> None:
        self.called[sid] = self._say("propose", sid)

    @rule(sid=SIDS)
    def give_up(self, sid: str) -> None:
        before = len(self.stage.service.publishes)
        self._say("retract", sid)
        self.called.pop(sid, None)
        assert len(self.stage.service.publishes) == before

    @rule(sid=SIDS, name=st.sampled_from(("ringing", "proceed", "reject", "finish")))
    def answer(self, sid: str, name: str) -> None:
        """From a device that shows up for that, and takes no messages."""
        desk = self.hall.login(f"{JULIET}/desk", available=False)
        desk.send(f"<message to='{ROMEO}'><{name} xmlns='{JMI}' id='{sid}'/></message>")
        desk.close()
        if name != "ringing":
            self.called.pop(sid, None)

    @rule()
    def write(self) -> None:
        self.stage.write("hi")

    @rule(name=st.sampled_from(("phone", "tablet")))
    def come_and_go(self, name: str) -> None:
        phone = self.phones[name]
        phone.resume()
        phone.acknowledge()
        phone.cut()

    @rule(how=st.sampled_from(sorted(ANSWERS)))
    def service_is(self, how: str) -> None:
        self.stage.service.answer = ANSWERS[how]

    @rule(is_paused=st.booleans())
    def pause(self, is_paused: bool) -> None:
        if is_paused:
            self.stage.push.pause(JULIET, None)
        else:
            self.stage.push.unpause(JULIET)
            self.hall.advance(0)

    @rule(seconds=st.sampled_from((0.5, 5.0, 31.0)))
    def wait(self, seconds: float) -> None:
        self.hall.advance(seconds)

    @invariant()
    def counts_are_possible(self) -> None:
        for one in self.stage.push.enablements.of(JULIET):
            assert one.queued.messages >= one.queued.calls >= 0
            assert one.queued.calls >= one.called >= 0 or one.flight is not None
            for more, less in zip(one.queued.counts, one.pushed.counts, strict=True):
                assert more >= less

    @invariant()
    def nobody_rings_for_who_gave_up(self) -> None:
        """Once nobody calls, no publish says that somebody does."""
        publishes = self.stage.service.publishes
        new, self.looked = publishes[self.looked :], len(publishes)
        if not self.called and not self.was_called:
            assert not any(b"action='propose'" in one.raw for one in new)
        self.was_called = bool(self.called)

    @invariant()
    def each_is_returned_once_at_most(self) -> None:
        assert len(self.returned) == len(set(self.returned))

    def teardown(self) -> None:
        for _ in range(4):
            self.hall.advance(RINGS / 2)
        assert self.stage.push.decider.calls.ringing == {}
        assert self.hall.host.router.overheard == {}


TestCalling = Calling.TestCase
