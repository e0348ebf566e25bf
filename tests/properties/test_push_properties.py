"""Whatever becomes of a phone and its push service: each message that waits wakes it, once.

A phone with push is written to, is called, acknowledges some, all or nothing, is cut, resumes,
leaves, comes back, says that nobody looks at it; the server is killed, its clock is set back; the
service is busy, silent or well, or answers late; push is paused, and tested. What is counted for
the phone, and what the last publish said, must come out right.
"""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from twisted.internet.defer import Deferred

from pushd.modules.push.deciding import REASONS
from pushd.modules.push.module import Push
from pushd.modules.push.publisher import LONGEST_PAUSE, PAUSED
from pushd.routing.events import (
    PushDecided,
    PushEnabled,
    ServerStarted,
    SessionBound,
    SessionCaughtUp,
    SessionResumed,
)
from pushd.wire.framer import seal
from tests.effort import examples
from tests.hall import Client
from tests.unit.modules.push.stage import (
    JULIET,
    PHONE,
    Service,
    Stage,
    accepted,
    enable,
    refused,
    silence,
)

ANSWERS = {"well": accepted, "busy": refused("resource-constraint", "wait"), "silent": silence}
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
VISITS = (SessionBound, SessionResumed, SessionCaughtUp)


def is_counted(event: PushDecided) -> bool:
    """Whether a message was counted for the phone, to be told now or when a pause is over."""
    return event.kind in ("message", "call") and (event.pushed or event.reason == PAUSED)


class Waking(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.number = 0  # messages written so far
        self.looked = 0  # events of this run of the server that were counted
        self.told: Counter[str] = Counter()  # decisions to push, by message, since the last visit
        self.ever: Counter[str] = Counter()  # the same since it was written
        self.visits: Counter[str] = Counter()  # of the phone, since it was written
        self.written: list[str] = []
        self.has_left = False  # the phone has no session
        self.set_back = 0.0  # seconds by which timers are late

    @initialize()
    def begin(self) -> None:
        stage = Stage(path=self.folder / "pushd.db", coalesce=1.0)
        self.hall, self.service, self.push = stage.hall, stage.service, stage.push
        self.phone = stage.phone()
        self.acked = self.phone.outlet.handled
        self.look()

    @property
    def is_connected(self) -> bool:
        return not self.has_left and not self.phone.session.is_detached

    # What happens.

    @rule(to=st.sampled_from([JULIET, PHONE]))
    def write(self, to: str) -> None:
        self.number += 1
        sender = f"m{self.number}@example.org"
        self.written.append(sender)
        self.say(f"<message from='{sender}/x' to='{to}' type='chat'><body>hi</body></message>")

    @rule()
    def call(self) -> None:
        """One that rings for a minute, and does not wait until something was said."""
        self.number += 1
        sender = f"m{self.number}@example.org"
        self.written.append(sender)
        propose = f"<propose xmlns='urn:xmpp:jingle-message:0' id='{self.number}'/>"
        self.say(f"<message from='{sender}/x' to='{JULIET}' type='chat'>{propose}</message>")

    @rule()
    def type(self) -> None:
        """What is worth nothing."""
        self.say(f"<message from='nurse@example.org/x' to='{JULIET}'>{COMPOSING}</message>")

    def say(self, xml: str) -> None:
        self.hall.route(xml)
        self.look()

    @precondition(lambda self: self.is_connected)
    @rule(share=st.sampled_from([0.0, 0.5, 1.0]))
    def acknowledge(self, share: float) -> None:
        self.acked += int(share * (self.phone.outlet.handled - self.acked))
        self.phone.acknowledge(self.acked)
        self.look()

    @precondition(lambda self: self.is_connected and self.phone.session.asked)
    @rule()
    def be_late(self) -> None:
        self.hall.host.delivery.overdue(self.phone.session)
        self.pass_time(0)

    @precondition(lambda self: self.is_connected)
    @rule(is_looked_at=st.booleans())
    def be_looked_at(self, is_looked_at: bool) -> None:
        self.phone.active() if is_looked_at else self.phone.inactive()
        self.look()

    @precondition(lambda self: self.is_connected)
    @rule()
    def cut(self) -> None:
        self.phone.cut()
        self.look()

    @precondition(lambda self: not self.has_left and self.phone.session.is_detached)
    @rule(share=st.sampled_from([0.0, 1.0]))
    def resume(self, share: float) -> None:
        self.acked += int(share * (self.phone.outlet.handled - self.acked))
        self.phone.resume(self.acked)
        self.phone.received()
        self.look()

    @precondition(lambda self: self.is_connected)
    @rule()
    def leave(self) -> None:
        self.phone.close()
        self.has_left = True
        self.look()

    @rule()
    def come_anew(self) -> None:
        """Bind the same full JID, whatever became of the session before."""
        self.phone = self.hall.login(PHONE, sm=True)
        self.has_left = False
        self.acked = 0
        self.look()

    @precondition(lambda self: self.is_connected)
    @rule()
    def enable_again(self) -> None:
        assert enable(self.phone)["type"] == "result"
        self.look()

    @rule(seconds=st.sampled_from([0.3, 1.0, 40.0]))
    def pass_time(self, seconds: float) -> None:
        self.hall.advance(seconds)
        self.look()

    @rule(how=st.sampled_from(sorted(ANSWERS)))
    def change_service(self, how: str) -> None:
        self.service.answer = ANSWERS[how]

    @precondition(lambda self: self.service.publishes)
    @rule(which=st.integers(0, 20))
    def answer_late(self, which: int) -> None:
        """Once more, or for the first time."""
        publishes = self.service.publishes
        self.service.reply(publishes[-1 - which % len(publishes)])
        self.look()

    @rule(seconds=st.sampled_from([1.0, 100.0]))
    def set_clock_back(self, seconds: float) -> None:
        self.hall.clock.rightNow -= seconds
        self.set_back += seconds

    @rule(seconds=st.sampled_from([None, 5.0]))
    def pause(self, seconds: float | None) -> None:
        until = None if seconds is None else self.hall.clock.seconds() + seconds
        self.push.pause(JULIET, until)
        self.pass_time(0)

    @rule()
    def unpause(self) -> None:
        self.push.unpause(JULIET)
        self.pass_time(0)

    @rule()
    def test(self) -> None:
        [enablement] = self.push.enablements.of(JULIET)
        Deferred.fromCoroutine(self.push.test(enablement))
        self.pass_time(0)

    @rule()
    def kill(self) -> None:
        how = self.service.answer
        old, self.hall = self.hall, self.hall.killed()
        old.cut()
        self.looked = 0
        self.service = Service(self.hall)
        self.service.answer = how
        (self.push,) = (module for module in self.hall.modules if isinstance(module, Push))
        session = self.hall.host.sessions.by_token(self.phone.session.token)
        assert (session is None) is self.has_left
        if session is not None:
            self.phone = Client(self.hall, session, self.phone.outlet)
        self.hall.host.events.emit(ServerStarted())
        self.pass_time(0)

    # What must be so.

    def look(self) -> None:
        """Count what happened since the last look."""
        for event in self.hall.seen[self.looked :]:
            if isinstance(event, PushDecided):
                assert event.reason in REASONS
            if isinstance(event, PushDecided) and is_counted(event):
                self.told[event.sender] += 1
                self.ever[event.sender] += 1
            elif isinstance(event, PushEnabled) or (
                isinstance(event, VISITS) and event.session.full == PHONE
            ):
                self.told.clear()
                for one in self.written:
                    self.visits[one] += 1
        self.looked = len(self.hall.seen)
        [enablement] = self.push.enablements.of(JULIET)
        assert enablement.queued.messages == self.told.total()
        for one, times in self.told.items():
            assert times == 1, one
        for one, times in self.ever.items():
            assert times <= 1 + self.visits[one], one

    @rule()
    def wait(self) -> None:
        """The service is well again, and nothing is left to be told."""
        self.service.answer = accepted
        self.unpause()
        for _ in range(4):
            self.hall.advance(LONGEST_PAUSE + self.set_back)
        self.set_back = 0.0
        self.look()
        [enablement] = self.push.enablements.of(JULIET)
        assert not enablement.has_news
        if enablement.queued.messages and self.service.publishes:
            assert self.service.counts[-1] == str(enablement.queued.messages)
        for sender in self.waiting():
            assert self.ever[sender] >= 1, sender

    def waiting(self) -> set[str]:
        """Whose messages wait for a phone that is away."""
        if self.is_connected:
            return set()
        raws = [row[0] for row in self.hall.rows("SELECT stanza FROM offline")]
        if not self.has_left:
            raws += [data for data, _, _ in self.phone.session.queue or ()]
        senders = {seal(raw).attributes["from"].partition("/")[0] for raw in raws}
        return senders & set(self.written)

    def teardown(self) -> None:
        if hasattr(self, "hall"):
            self.wait()


TestWaking = Waking.TestCase
TestWaking.settings = settings(max_examples=examples(40), stateful_step_count=30)
