"""The stream of a client that has a session: its stanzas, and XEP-0198's counts."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from pushd.c2s.options import Door
from pushd.net.pace import Budget
from pushd.net.xmlprotocol import XMLStream
from pushd.routing.delivery import ASK, STUCK, answer
from pushd.routing.sessions import Session
from pushd.wire.acks import HandledCountTooHigh
from pushd.wire.claims import without_forgeries
from pushd.wire.element import element, escape, serialize
from pushd.wire.errors import JIDMalformed, StreamError
from pushd.wire.framer import StreamOpened
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_CLIENT, NS_SM
from pushd.wire.stanza import Stanza
from pushd.wire.stream import (
    CLIENT_DOOR,
    CLOSING,
    State,
    Step,
    count_of,
    failed,
    number,
    step,
)

TRUE = ("true", "1")
STANZAS = frozenset(("message", "presence", "iq"))
UNCONFIRMED = 60.0  # seconds for a client's machine to confirm what it is sent
BRIEF = 0.25  # seconds after which a client has said most of what it says at a login
UNSAFE = 512 * 1024  # bytes that are read from a client before a commit is awaited


class ClientStream:
    """One connection with its session, from the binding or the resumption on."""

    __slots__ = (
        "__weakref__",
        "_arriving",
        "_awaited",
        "_delivery",
        "_domains",
        "_door",
        "_lang",
        "_late",
        "_quiet",
        "_router",
        "_stream",
        "charge",
        "hold",
        "release",
        "send",
        "session",
    )

    def __init__(
        self, door: Door, stream: XMLStream, lang: str, budget: Budget | None = None
    ) -> None:
        self.charge = stream.charge
        self.send = stream.send
        self.hold = stream.hold
        self.release = stream.release
        self.session: Session | None = None  # None again once it is over, or somebody else's
        self._door = door
        self._domains = door.host.domains
        self._router = door.host.router
        self._delivery = door.host.delivery
        self._stream = stream
        self._lang = lang
        self._quiet = 0
        self._late = 0  # looks at the same request for an acknowledgement, and which one that is
        self._awaited = 0
        # With a thousand logins in a second, few of them have a parser at a time.
        self._arriving: IDelayedCall | None = door.host.clock.callLater(BRIEF, self._arrived)
        door.streams.add(self)
        stream.give_up_after(UNCONFIRMED)
        stream.pace(UNSAFE, door.host.database.committed, budget)

    @property
    def state(self) -> State:
        return State.BOUND

    @property
    def waiting(self) -> int:
        return self._stream.waiting

    @property
    def address(self) -> str:
        """Where the client connects from."""
        return self._stream.peer()

    @property
    def descriptor(self) -> int:
        return self._stream.descriptor

    @property
    def tls_version(self) -> str:
        """The version of TLS, as OpenSSL calls it; empty without."""
        connection = self._stream.connection()
        return "" if connection is None else str(connection.get_protocol_version_name())

    def cork(self) -> None:
        self._stream.cork()

    def uncork(self) -> None:
        self._stream.uncork()

    # Whether the client is still there (`Watch`).

    def quiet(self) -> int:
        """How often this was asked since the client was last heard, or may not be heard now."""
        if self._stream.is_heard or self._stream.is_held:
            self._stream.is_heard = False
            self._quiet = 0
        else:
            self._quiet += 1
        return self._quiet

    def late(self) -> int:
        """How often this was asked since the client owes the acknowledgement that it owes now.

        0 if it owes none, or what it says waits here.
        """
        session = self.session
        if session is None or not session.asked or self._stream.is_held:
            self._late = 0
        elif session.asked_for != self._awaited:
            self._awaited = session.asked_for
            self._late = 1
        else:
            self._late += 1
        return self._late

    def wake(self) -> None:
        """Have what the client does not acknowledge count as undelivered."""
        if self.session is not None:
            self._delivery.overdue(self.session)

    def rest(self) -> None:
        """Take little memory until something comes."""
        self._stream.rest()

    def _arrived(self) -> None:
        self._arriving = None
        self.rest()

    def ask(self) -> None:
        """Have the client say something."""
        session = self.session
        if session is None:
            return
        if session.queue is not None:
            self.send(ASK)
        else:
            ping = element("urn:xmpp:ping", "ping")
            domain = session.jid.domain
            self.send(
                serialize(
                    element(
                        NS_CLIENT, "iq", ping, type="get", id="there", from_=domain, to=session.full
                    )
                )
            )

    def give_up(self, reason: str) -> None:
        """The client is gone: its session is detached, and the connection is cut."""
        self.lost(reason)
        self._stream.abort()

    # What the connection tells.

    def connected(self) -> None:
        """It was, long ago."""

    def opened(self, opening: StreamOpened) -> None:
        raise StreamError("bad-format", "the stream is open")

    def received(self, stanza: Stanza) -> None:
        """Most of all: a stanza of a session. Count it, stamp it, hand it to the router."""
        session = self.session
        if session is None:
            return
        if stanza.namespace != NS_CLIENT or stanza.name not in STANZAS:
            act = _NONZAS.get(f"{stanza.namespace} {stanza.name}")
            if act is None:
                step(CLIENT_DOOR, State.BOUND, stanza)  # which says why not
            else:
                act(self, session, stanza)
            return
        handled = session.handled
        if handled is not None:
            # What is refused below counts, too: it would come again with each resumption.
            handled.received += 1
            if not session.dirty:
                self._delivery.touch(session)
        attributes = stanza.attributes
        if "from" in attributes and attributes["from"] != session.full:
            _check_sender(session, attributes["from"])
        stanza.stamp(session.full, self._lang)
        if stanza.claims:
            stanza = without_forgeries(stanza, self._domains)
        self._router.submit(session, stanza)

    def closed(self) -> None:
        session = self._leave()
        if session is not None:
            self._door.host.lifecycle.end(session, "the client closed its stream")
        self._stream.close(CLOSING)

    def offended(self, error: StreamError) -> None:
        """Close the stream with an error; a session that can be resumed waits for that."""
        session = self.session
        self.end(error)
        if session is not None:
            self._door.host.lifecycle.detach(session, error.condition)

    def lost(self, reason: str) -> None:
        session = self._leave()
        if session is not None:
            self._door.host.lifecycle.detach(session, reason)

    def end(self, error: StreamError) -> None:
        """Say why, and close. The session, if there was one, is somebody else's now."""
        self._leave()
        self._stream.close(serialize(error.element()) + CLOSING)

    def _leave(self) -> Session | None:
        session, self.session = self.session, None
        self._door.streams.discard(self)
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None
        return session

    # Stream management (XEP-0198).

    def _enable(self, session: Session, stanza: Stanza) -> None:
        if session.handled is not None:
            self.send(failed("unexpected-request"))
            raise StreamError("policy-violation", "stream management is enabled once (XEP-0198 §3)")
        if self._delivery.is_stuck:
            self.send(failed(STUCK.condition))
            return
        asked = number(stanza.attributes.get("max", ""))
        resume = stanza.attributes.get("resume") in TRUE
        self._stream.hold()
        lifecycle = self._door.host.lifecycle
        stored = lifecycle.manage(session, resume, float(asked) if asked else None)
        stored.addCallbacks(lambda ignored: self._enabled(session), self._not_stored)
        stored.addBoth(lambda ignored: self._stream.release())

    def _enabled(self, session: Session) -> None:
        if self.session is not session:
            return
        lifecycle = self._door.host.lifecycle
        lifecycle.start_counting(session)
        resumable = ""
        if session.token:
            hold = int(lifecycle.hold_of(session))
            resumable = f" resume='true' id='{escape(session.token)}' max='{hold}'"
        self.send(f"<enabled xmlns='{NS_SM}'{resumable}/>".encode())

    def _not_stored(self, failure: object) -> None:
        if self.session is not None:
            self.send(failed(STUCK.condition))
            self.offended(StreamError(STUCK.condition, STUCK.text))

    def _asked(self, session: Session, stanza: Stanza) -> None:
        if session.handled is not None:
            self.send(answer(session.handled.h))

    def _answered(self, session: Session, stanza: Stanza) -> None:
        if session.queue is None:
            return
        h = count_of(stanza)
        if h is None:
            raise StreamError("bad-format", "h is a count below 2**32")
        try:
            self._delivery.acknowledged(session, h)
        except HandledCountTooHigh as error:
            raise too_high(error) from None

    def _misplaced(self, session: Session, stanza: Stanza) -> None:
        self.send(failed("unexpected-request"))

    # What the client tells of itself (XEP-0352). It is not answered.

    def _active(self, session: Session, stanza: Stanza) -> None:
        session.become_active()

    def _inactive(self, session: Session, stanza: Stanza) -> None:
        if session.held is None:
            self._delivery.inactive(session)


def too_high(error: HandledCountTooHigh) -> StreamError:
    """What XEP-0198 §4 says to who acknowledges more than was sent."""
    extra = element(
        NS_SM, "handled-count-too-high", h=str(error.h), **{"send-count": str(error.sent)}
    )
    return StreamError("undefined-condition", str(error), extra)


def _check_sender(session: Session, claimed: str) -> None:
    """RFC 6120 §8.1.2.1: the full or the bare JID of the session, and no other."""
    try:
        sender = parse(claimed)
    except JIDMalformed:
        raise StreamError("invalid-from") from None
    if sender.full not in (session.full, session.account):
        raise StreamError("invalid-from")


_STEPS: dict[Step, Callable[[ClientStream, Session, Stanza], None]] = {
    Step.ENABLE: ClientStream._enable,
    Step.ASKED: ClientStream._asked,
    Step.ANSWERED: ClientStream._answered,
    Step.MISPLACED: ClientStream._misplaced,
    Step.ACTIVE: ClientStream._active,
    Step.INACTIVE: ClientStream._inactive,
}
_NONZAS = {name: _STEPS[what] for name, what in CLIENT_DOOR[State.BOUND].items() if what in _STEPS}
