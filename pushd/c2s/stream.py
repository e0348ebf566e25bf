"""A client's stream: TLS, SASL, a resource or a resumption, and then stanzas (RFC 6120, XEP-0198).

What may come when is `wire/stream.py`'s table; here is what is done about it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pushd.c2s.login import Channel, Login, Logins
from pushd.net.admission import Guest
from pushd.net.tls import CertificateStore, channel_bindings
from pushd.net.xmlprotocol import XMLStream
from pushd.routing.delivery import answer
from pushd.routing.host import Host
from pushd.routing.sessions import Session
from pushd.wire.acks import HandledCountTooHigh
from pushd.wire.claims import without_forgeries
from pushd.wire.element import Element, child, children, element, escape, serialize, text
from pushd.wire.errors import (
    BadRequest,
    JIDMalformed,
    NotAllowed,
    ResourceConstraint,
    StanzaError,
    StreamError,
)
from pushd.wire.framer import Limits, StreamOpened
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import (
    NS_BIND,
    NS_CLIENT,
    NS_SESSION,
    NS_SM,
    NS_STANZA_ERRORS,
    NS_STREAMS,
    NS_TLS,
)
from pushd.wire.stanza import Stanza
from pushd.wire.stream import (
    CLIENT_DOOR,
    CLOSING,
    LOOPBACK_DOOR,
    State,
    Step,
    header,
    is_supported,
    language,
    new_id,
    step,
)

log = Logger()

NS_LIMITS = "urn:xmpp:stream-limits:0"
PROCEED = f"<proceed xmlns='{NS_TLS}'/>".encode()
TRUE = ("true", "1")
STANZAS = frozenset(("message", "presence", "iq"))
LOGIN_STANZAS = 10  # of the largest size: what may be sent before the login, all told
UNSAFE = 512 * 1024  # bytes that are read from a client before a commit is awaited


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """How the door for clients treats them."""

    unauthenticated: Limits = field(default_factory=lambda: Limits(10_000, depth=10))
    authenticated: Limits = field(default_factory=Limits)
    authentication_timeout: float = 30.0  # seconds from the connection to a session
    backlog: int = 16 << 20  # bytes that may wait for a client that does not read
    login_attempts: int = 5  # on one stream (RFC 6120 §6.4.5)
    sessions_per_account: int = 20


@dataclass(frozen=True, slots=True)
class Door:
    """What all streams of clients share. Without certificates logins go without TLS."""

    host: Host
    logins: Logins
    certificates: CertificateStore | None
    options: DoorOptions


class ClientStream:
    """One connection of a client, from the first byte to the last."""

    def __init__(
        self,
        door: Door,
        stream: XMLStream,
        guest: Guest,
        forget: Callable[["ClientStream"], None],
    ) -> None:
        self.send = stream.send
        self.hold = stream.hold
        self.release = stream.release
        self.session: Session | None = None
        self._door = door
        self._host = door.host
        self._domains = door.host.domains
        self._router = door.host.router
        self._delivery = door.host.delivery
        self._stream = stream
        self._guest = guest
        self._forget = forget
        self._table = CLIENT_DOOR if door.certificates is not None else LOOPBACK_DOOR
        self._state = State.PLAIN
        self._channel: Channel = None
        self._domain = ""
        self._account: JID | None = None
        self._lang = ""
        self._login: Login | None = None
        self._failures = 0
        self._is_open = False  # our own header is said
        self._is_over = False
        self._timer: IDelayedCall | None = None

    @property
    def waiting(self) -> int:
        return self._stream.waiting

    # What the connection tells.

    def connected(self) -> None:
        options = self._door.options
        if self._stream.is_secure:
            self._state = State.SECURE
        self._timer = self._host.clock.callLater(options.authentication_timeout, self._too_late)
        self._stream.meter(LOGIN_STANZAS * options.unauthenticated.stanza_bytes, self._too_much)

    def opened(self, opening: StreamOpened) -> None:
        """Answer a stream header (RFC 6120 §4.7), the first one or one after a restart."""
        wanted = _jid(opening.attributes.get("to", ""))
        domain = wanted.full if wanted is not None else ""
        known = domain in self._domains
        self._greet(domain if known else self._domain or min(self._domains), opening)
        if opening.content != NS_CLIENT:
            raise StreamError("invalid-namespace", f"the content of a stream here is {NS_CLIENT}")
        if not known or self._domain not in ("", domain):
            raise StreamError("host-unknown")
        if not is_supported(opening.attributes.get("version", "")):
            raise StreamError("unsupported-version")
        self._domain = domain
        self._lang = language(opening.lang)
        self._check_identity(opening.attributes.get("from", ""))
        if self._state is State.SECURE:
            self._channel = channel_bindings(self._stream.connection())
        self.send(serialize(element(NS_STREAMS, "features", *self._features())))

    def received(self, stanza: Stanza) -> None:
        """Most of all: a stanza of a session. Count it, stamp it, hand it to the router."""
        session = self.session
        if session is None or stanza.namespace != NS_CLIENT or stanza.name not in STANZAS:
            _STEPS[step(self._table, self._state, stanza)](self, stanza)
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
        session, self.session = self.session, None
        if session is not None:
            self._host.lifecycle.end(session, "the client closed its stream")
        self._finish()
        self._stream.close(CLOSING)

    def offended(self, error: StreamError) -> None:
        """Close the stream with an error; a session that can be resumed waits for that."""
        session, self.session = self.session, None
        self.end(error)
        if session is not None:
            self._host.lifecycle.detach(session, error.condition)

    def lost(self, reason: str) -> None:
        session, self.session = self.session, None
        self._finish()
        self._guest.leave()
        if session is not None:
            self._host.lifecycle.detach(session, reason)

    def end(self, error: StreamError) -> None:
        """Say why, and close. The session, if there was one, is somebody else's now."""
        self.session = None
        if not self._is_open:
            self._greet(self._domain or min(self._host.domains), None)
        self._finish()
        self._stream.close(serialize(error.element()) + CLOSING)

    def _finish(self) -> None:
        self._is_over = True
        self._stop_timer()
        if self._login is not None:
            self._login.abandon()
            self._login = None
        self._forget(self)

    # Time and pressure.

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _too_late(self) -> None:
        self.end(StreamError("connection-timeout", "no session within the time allowed"))

    def _too_much(self) -> None:
        self.end(StreamError("policy-violation", "that is too much for a login"))

    # Headers and features.

    def _greet(self, domain: str, opening: StreamOpened | None) -> None:
        self._is_open = True
        claimed = _jid(opening.attributes.get("from", "")) if opening is not None else None
        self.send(header(domain, new_id(), NS_CLIENT, claimed.bare if claimed is not None else ""))

    def _check_identity(self, claimed: str) -> None:
        """A restarted stream speaks for whom it spoke before (RFC 6120 §4.7.1)."""
        if self._account is not None and claimed:
            jid = _jid(claimed)
            if jid is None or jid.bare != self._account.bare:
                raise StreamError("invalid-from")

    def _features(self) -> list[Element]:
        """What is offered now (RFC 6120 §4.3.2); the same to everyone in the same state."""
        options = self._door.options
        if self._state is State.PLAIN and self._door.certificates is not None:
            return [element(NS_TLS, "starttls", element(NS_TLS, "required"))]
        if self._state in (State.PLAIN, State.SECURE):
            return [*self._door.logins.features(self._channel), _limit(options.unauthenticated)]
        return [
            element(NS_BIND, "bind"),
            element(NS_SESSION, "session", element(NS_SESSION, "optional")),
            element(NS_SM, "sm"),
            _limit(options.authenticated),
            *self._host.stream_features,
        ]

    # Negotiation.

    def _start_tls(self, stanza: Stanza) -> None:
        if self._door.certificates is None:
            self.send(f"<failure xmlns='{NS_TLS}'/>".encode())
            raise StreamError("unsupported-stanza-type", "there is no certificate here")
        self._stream.start_tls(self._door.certificates.options_for(self._domain), PROCEED)
        self._state = State.SECURE
        self._is_open = False

    def _authenticate(self, stanza: Stanza) -> None:
        if self._login is not None:
            raise StreamError("policy-violation", "one authentication at a time")
        self._login = Login(self._door.logins, self._domain, self._channel)
        mechanism = stanza.attributes.get("mechanism", "")
        self._attend(self._login.begin(mechanism, text(stanza.tree)))

    def _respond(self, stanza: Stanza) -> None:
        if self._login is None:
            raise StreamError("not-authorized", "a response to nothing")
        self._attend(self._login.respond(text(stanza.tree)))

    def _abort(self, stanza: Stanza) -> None:
        if self._login is None:
            raise StreamError("not-authorized", "there is nothing to abort")
        self._logged(self._login.abort())

    def _attend(self, working: "Deferred[bytes]") -> None:
        """Read nothing more until the login has something to say."""
        self._stream.hold()
        working.addCallback(self._logged)
        working.addErrback(self._broke)
        working.addBoth(lambda ignored: self._stream.release())

    def _logged(self, reply: bytes) -> None:
        login = self._login
        if login is None:
            return
        self.send(reply)
        if login.is_over:
            self._login = None
        if login.account is not None:
            self._account = login.account
            self._guest.leave()
            self._state = State.AUTHENTICATED
            self._is_open = False
            self._stream.restart(self._door.options.authenticated)
        elif login.is_over:
            self._failures += 1
            if self._failures >= self._door.options.login_attempts:
                self.end(StreamError("policy-violation", "too many failed logins"))

    def _broke(self, failure: object) -> None:
        log.error("a login broke: {failure}", failure=failure)
        self.end(StreamError("internal-server-error"))

    def _bind(self, stanza: Stanza) -> None:
        """RFC 6120 §7: nothing but a binding comes before there is a resource."""
        if stanza.children != (f"{NS_BIND} bind",) or stanza.type != "set":
            raise StreamError("not-authorized", "a resource must be bound first")
        assert self._account is not None
        request = next(children(stanza.tree))
        try:
            jid = self._resource(self._account, text(child(request, NS_BIND, "resource")).strip())
        except StanzaError as error:
            reply = element(NS_CLIENT, "iq", error.element(), type="error", id=stanza.id)
            self.send(serialize(reply))
            return
        self._begin(self._host.lifecycle.bind(jid, self))
        bound = element(NS_BIND, "bind", element(NS_BIND, "jid", jid.full))
        self.send(serialize(element(NS_CLIENT, "iq", bound, type="result", id=stanza.id)))

    def _resource(self, account: JID, wanted: str) -> JID:
        sessions = self._host.sessions.of(account.bare)
        try:
            jid = account.with_resource(wanted or new_id())
        except JIDMalformed:
            raise BadRequest("this resource is not allowed") from None
        if jid.resource not in sessions:
            if len(sessions) >= self._door.options.sessions_per_account:
                raise ResourceConstraint("too many sessions of this account")
            if not self._host.accounts.exists(account.bare):
                raise NotAllowed("the account is gone")
        return jid

    def _begin(self, session: Session) -> None:
        self.session = session
        self._state = State.BOUND
        self._stop_timer()
        self._stream.pace(UNSAFE, self._host.database.committed)

    # Stream management (XEP-0198).

    def _enable(self, stanza: Stanza) -> None:
        session = self.session
        assert session is not None
        if session.handled is not None:
            self._failed("unexpected-request")
            raise StreamError("policy-violation", "stream management is enabled once (XEP-0198 §3)")
        asked = _number(stanza.attributes.get("max", ""))
        resume = stanza.attributes.get("resume") in TRUE
        self._stream.hold()
        stored = self._host.lifecycle.manage(session, resume, float(asked) if asked else None)
        stored.addCallbacks(lambda ignored: self._enabled(session), self._not_stored)
        stored.addBoth(lambda ignored: self._stream.release())

    def _enabled(self, session: Session) -> None:
        if self.session is not session:
            return
        self._host.lifecycle.start_counting(session)
        resumable = ""
        if session.token:
            hold = int(self._host.lifecycle.hold_of(session))
            resumable = f" resume='true' id='{escape(session.token)}' max='{hold}'"
        self.send(f"<enabled xmlns='{NS_SM}'{resumable}/>".encode())

    def _not_stored(self, failure: object) -> None:
        if not self._is_over:
            self._failed("internal-server-error")
            self.offended(StreamError("internal-server-error", "storage fails"))

    def _asked(self, stanza: Stanza) -> None:
        if self.session is not None and self.session.handled is not None:
            self.send(answer(self.session.handled.h))

    def _answered(self, stanza: Stanza) -> None:
        session = self.session
        if session is None or session.queue is None:
            return
        h = _number(stanza.attributes.get("h", ""))
        if h is None:
            raise StreamError("bad-format", "h is a count below 2**32")
        try:
            self._delivery.acknowledged(session, h)
        except HandledCountTooHigh as error:
            raise _too_high(error) from None

    def _resume(self, stanza: Stanza) -> None:
        lifecycle, account = self._host.lifecycle, self._account
        assert account is not None
        if not lifecycle.can_resume:
            self._failed("feature-not-implemented")
            return
        h = _number(stanza.attributes.get("h", ""))
        token = stanza.attributes.get("previd", "")
        if h is None or not token:
            self._failed("bad-request")
            return
        session = self._host.sessions.by_token(token)
        if session is None or session.account != account.bare or session.queue is None:
            self._failed("item-not-found", lifecycle.last_count(token, account.bare))
            return
        try:
            settled = lifecycle.settle(session, h)
        except HandledCountTooHigh as error:
            # Nobody can tell what it has: what it may lack is for the next session.
            if session.stream is not None:
                session.stream.end(StreamError("conflict", "this session was resumed elsewhere"))
            lifecycle.end(session, "its client counts what it was not sent")
            raise _too_high(error) from None
        self._stream.hold()
        settled.addCallbacks(
            lambda ignored: self._resumed(session), lambda failure: self._unresumed(session)
        )
        settled.addBoth(lambda ignored: self._stream.release())

    def _resumed(self, session: Session) -> None:
        lifecycle, account = self._host.lifecycle, self._account
        assert account is not None
        if self._is_over:  # lost meanwhile: the session waits for the next attempt
            lifecycle.abandon(session, "lost while it was resumed")
        elif session.stream is not None or not lifecycle.is_alive(session):
            self._failed("item-not-found", lifecycle.last_count(session.token, account.bare))
        else:
            assert session.handled is not None
            h, token = session.handled.h, escape(session.token)
            self._begin(session)
            greeting = f"<resumed xmlns='{NS_SM}' h='{h}' previd='{token}'/>"
            lifecycle.resume(session, self, greeting.encode())

    def _unresumed(self, session: Session) -> None:
        self._host.lifecycle.abandon(session, "storage fails")
        self._not_stored(None)

    def _misplaced(self, stanza: Stanza) -> None:
        self._failed("unexpected-request")
        if self._account is None:
            raise StreamError("not-authorized", f"<{stanza.name}/> comes after the login")

    def _failed(self, condition: str, h: int | None = None) -> None:
        count = "" if h is None else f" h='{h}'"
        reason = f"<{condition} xmlns='{NS_STANZA_ERRORS}'/>"
        self.send(f"<failed xmlns='{NS_SM}'{count}>{reason}</failed>".encode())


def _jid(text: str) -> JID | None:
    """The address of a stream header; None for none, and for one that is none."""
    try:
        return parse(text) if text else None
    except JIDMalformed:
        return None


def _limit(limits: Limits) -> Element:
    """What a stanza may have (XEP-0478)."""
    size = element(NS_LIMITS, "max-bytes", str(limits.stanza_bytes))
    return element(NS_LIMITS, "limits", size)


def _check_sender(session: Session, claimed: str) -> None:
    """RFC 6120 §8.1.2.1: the full or the bare JID of the session, and no other."""
    try:
        sender = parse(claimed)
    except JIDMalformed:
        raise StreamError("invalid-from") from None
    if sender.full not in (session.full, session.account):
        raise StreamError("invalid-from")


def _number(text: str) -> int | None:
    """An unsigned integer of XML Schema with 32 bits, or None."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    number = int(text)
    return number if number < 2**32 else None


def _too_high(error: HandledCountTooHigh) -> StreamError:
    extra = element(
        NS_SM, "handled-count-too-high", h=str(error.h), **{"send-count": str(error.sent)}
    )
    return StreamError("undefined-condition", str(error), extra)


_STEPS: dict[Step, Callable[[ClientStream, Stanza], None]] = {
    Step.START_TLS: ClientStream._start_tls,
    Step.AUTHENTICATE: ClientStream._authenticate,
    Step.RESPOND: ClientStream._respond,
    Step.ABORT: ClientStream._abort,
    Step.BIND: ClientStream._bind,
    Step.ENABLE: ClientStream._enable,
    Step.RESUME: ClientStream._resume,
    Step.ASKED: ClientStream._asked,
    Step.ANSWERED: ClientStream._answered,
    Step.MISPLACED: ClientStream._misplaced,
}
