"""What we have to say to one domain: over the stream that stands, or waiting for one.

A queue is bounded, and so is the time in it; what cannot be said goes back to who wrote it. Until
then, or until the peer has it, it is on disk (`Kept`).
"""

from collections import deque
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.routing.delivery import STUCK, may_be_refused
from pushd.s2s.faults import Fault
from pushd.s2s.pairs import Pair, Waiting
from pushd.s2s.shares import Asker, asker_of
from pushd.wire.errors import RemoteServerTimeout, ResourceConstraint, StanzaError
from pushd.wire.stanza import Stanza

if TYPE_CHECKING:
    from pushd.s2s.outgoing import Outgoing
    from pushd.s2s.peers import Peers

log = Logger()

ATTEMPTS = 5  # in a row, before what waits is refused and the domain is left alone for a while
FIRST_PAUSE = 2.0  # seconds; the next ones are twice as long, each
LONGEST_PAUSE = 600.0
SOUND = 30.0  # seconds that a stream has to live for the next one to be opened at once
USUAL = 32 * 1024  # bytes that a peer may be behind with before somebody's share is looked at
FULL = ResourceConstraint("too much waits for this server")


class Link(Protocol):
    """A stream that takes stanzas to the other side."""

    @property
    def waiting(self) -> int:
        """Bytes that the peer has not taken yet, as far as we know."""

    def deliver(self, one: Waiting) -> None:
        """Say it."""

    def catch_up(self) -> None:
        """Look what the peer has taken meanwhile."""


class Route:
    """From one domain of ours to one of theirs."""

    def __init__(self, peers: "Peers", pair: Pair, who: Asker | None = None) -> None:
        self.pair = pair
        self.who = who  # was the first to write there, if there is one
        self.link: Link | None = None
        self._spare: Link | None = None  # another one, for when that is gone
        self.fault: Fault | None = None  # why the last attempt came to nothing
        self.rests_until = 0.0  # seconds since the epoch; nothing is tried before
        self.queue: deque[Waiting] = deque()
        self.size = 0
        self._peers = peers
        self._pause = FIRST_PAUSE
        self._failures = 0
        self._stood_at = 0.0
        self._falls = 0  # streams in a row that broke as soon as they stood
        self._is_calling = False
        self._expiry: IDelayedCall | None = None
        self._again: IDelayedCall | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is known here that somebody could need."""
        now = self._peers.clock.seconds()
        return not (self.link or self.queue or self._is_calling or now < self.rests_until)

    def send(self, stanza: Stanza) -> None:
        """Say a stanza now, or soon, or refuse it."""
        options, now = self._peers.options, self._peers.clock.seconds()
        one = Waiting(stanza, now, now + options.patience, len(stanza.raw))
        link = self.link
        if link is not None and link.waiting <= USUAL:
            self._peers.keep(one)
            link.deliver(one)
            return
        error = self._hindrance(one, now) if link is None else self._lag(one, link)
        if error is not None:
            self._peers.refuse(stanza, error)
            return
        self._peers.keep(one)
        if link is None:
            self._append(one)
            self._call()
        else:
            self._peers.take(one)
            link.deliver(one)

    def _hindrance(self, one: Waiting, now: float) -> StanzaError | None:
        """Why a stanza may not wait here."""
        if self._peers.is_starting:
            return None
        options = self._peers.options
        if self.fault is not None and not self.queue and now < self.rests_until:
            return self.fault.error()
        if (
            len(self.queue) >= options.queue_stanzas
            or self.size + one.size > options.queue_bytes
            or not self._peers.has_room(one)
        ):
            return FULL
        if self._peers.host.router.is_stuck and may_be_refused(one.stanza):
            return STUCK
        return None

    def _lag(self, one: Waiting, link: Link) -> StanzaError | None:
        """Why no more may be said to a peer that is behind."""
        link.catch_up()
        if link.waiting > self._peers.options.queue_bytes:
            return RemoteServerTimeout("the server does not read")
        return None if self._peers.has_room(one) else FULL

    def adopt(self, link: Link) -> None:
        """A stream stands: say over it what waits."""
        self.link = link
        self.fault, self._failures, self.rests_until = None, 0, 0.0
        self._stood_at = self._peers.clock.seconds()
        waiting, self.queue = self.queue, deque()
        self.size = 0
        self._cancel()
        for one in waiting:
            link.deliver(one)

    def lost(self, link: Link, left: list[Waiting], reason: str) -> None:
        """A stream is gone; what its peer has not acknowledged goes over the next one."""
        now = self._peers.clock.seconds()
        if link is self._spare:
            self._spare = None
        if self.link is link:
            self.link = None
            self._falls = self._falls + 1 if now - self._stood_at < SOUND else 0
            if self._spare is not None:
                self.link, self._spare, self._stood_at = self._spare, None, now
        for one in left:
            if not one.is_again:  # its time begins anew, once: it may have arrived
                one.until = now + self._peers.options.patience
                one.is_again = True
            if self.link is not None:
                self.link.deliver(one)
            else:
                self._append(one)
        if not self.queue:
            self._peers.forget_if_idle(self)
        elif self._falls > 1:  # the peer may fall over what we say
            self._call_later()
        else:
            self._pause = FIRST_PAUSE
            self._call()

    def stop(self) -> None:
        """The server stops: what is on disk waits for the next start, all else goes back."""
        self._cancel()
        error = Fault("closed", "this server stops").error()
        while self.queue:
            one = self._pop()
            if not self._peers.kept.has(one):
                self._peers.give_back(one, error)

    def _append(self, one: Waiting) -> None:
        self.queue.append(one)
        self.size += one.size
        self._peers.take(one)
        if self._expiry is None:
            self._expire_at(one.until)

    # Attempts.

    def _call(self) -> None:
        if self._is_calling or self._again is not None or self._peers.is_stopping:
            return
        self._is_calling = True
        called: Deferred[Outgoing] = self._peers.call(self.pair, asker_of(self.queue[0].stanza))
        called.addCallbacks(self._called, self._failed)
        called.addErrback(self._broke)

    def _called(self, outgoing: "Outgoing") -> None:
        self._is_calling = False
        outgoing.listen(self.pair, lambda left, reason: self.lost(outgoing, left, reason))
        if self.link is None:
            self.adopt(outgoing)
        else:  # the other side was faster (XEP-0288), but it may say on this one what it has to
            self._spare = outgoing

    def _failed(self, failure: Failure) -> None:
        self._is_calling = False
        failure.trap(Fault)
        found = failure.value
        assert isinstance(found, Fault)
        fault = Fault(found.step, found.text)  # it is kept, and not the frames that it has passed
        failure.cleanFailure()
        if self.link is not None:
            return
        self.fault = fault
        self._failures += 1
        now = self._peers.clock.seconds()
        self.rests_until = now + self._pause
        self._peers.failed(self.pair, fault)
        if fault.is_final or self._failures >= ATTEMPTS:
            self._failures = 0
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._refuse_all(fault)
            self._peers.forget_later(self)
        else:
            self._call_later()

    def _broke(self, failure: Failure) -> None:
        log.failure("a call to {remote} failed", failure, remote=self.pair[1])
        self._is_calling = False
        self._refuse_all(Fault("protocol", "something is wrong with this server"))
        self._peers.forget_if_idle(self)

    def _call_later(self) -> None:
        if self._again is None and not self._peers.is_stopping:
            # Not all servers that have lost another one come back to it at once (RFC 6120 §3.3).
            pause = self._pause * (1 + self._peers.chance() / 2)
            self._again = self._peers.clock.callLater(pause, self._call_again)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _call_again(self) -> None:
        self._again = None
        if self.queue and self.link is None:
            self._call()
        else:
            self._peers.forget_if_idle(self)

    # What does not get there.

    def _expire_at(self, at: float) -> None:
        now = self._peers.clock.seconds()
        self._expiry = self._peers.clock.callLater(max(0.0, at - now), self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = self._peers.clock.seconds()
        fault = self.fault or Fault("timeout", "the server does not answer in time")
        late = []
        while self.queue and self.queue[0].until <= now:
            late.append(self._pop())
        if self.queue:
            self._expire_at(self.queue[0].until)
        for one in late:
            self._peers.give_back(one, fault.error())
        if not self.queue:
            self._peers.forget_if_idle(self)

    def _refuse_all(self, fault: Fault) -> None:
        waiting = [self._pop() for _ in range(len(self.queue))]
        self._cancel()
        for one in waiting:
            self._peers.give_back(one, fault.error())

    def _pop(self) -> Waiting:
        one = self.queue.popleft()
        self.size -= one.size
        return one

    def _cancel(self) -> None:
        for timer in (self._expiry, self._again):
            if timer is not None and timer.active():
                timer.cancel()
        self._expiry = self._again = None
