"""A client's way to a session: TLS, SASL, then a resource or a resumption (RFC 6120 §4 to §7).

What may come when is `wire/stream.py`'s table; here is what is done about it. Once there
is a session, the connection is handed to a `ClientStream`, and all of this is forgotten.
"""

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pushd.c2s.login import Channel, Login
from pushd.c2s.options import Door
from pushd.c2s.reading import address, payload, resource
from pushd.c2s.stream import ClientStream, too_high
from pushd.net.admission import Guest
from pushd.net.probation import Probation
from pushd.net.tls import channel_bindings
from pushd.net.xmlprotocol import XMLStream
from pushd.routing.delivery import STUCK
from pushd.routing.sessions import Session
from pushd.wire.acks import HandledCountTooHigh
from pushd.wire.element import Element, element, escape, serialize
from pushd.wire.errors import (
    BadRequest,
    JIDMalformed,
    NotAllowed,
    ResourceConstraint,
    StanzaError,
    StreamError,
)
from pushd.wire.framer import Limits, StreamOpened
from pushd.wire.jid import JID
from pushd.wire.namespaces import NS_BIND, NS_CLIENT, NS_SESSION, NS_SM, NS_STREAMS, NS_TLS
from pushd.wire.stanza import Stanza
from pushd.wire.stream import (
    CLIENT_DOOR,
    CLOSING,
    LOOPBACK_DOOR,
    State,
    Step,
    count_of,
    failed,
    header,
    is_supported,
    language,
    new_id,
    step,
)

log = Logger()

NS_LIMITS = "urn:xmpp:stream-limits:0"
PROCEED = f"<proceed xmlns='{NS_TLS}'/>".encode()
LOGIN_STANZAS = 10  # of the largest size: what may be sent before the login, all told


class Arrival:
    """One connection of a client, from its first byte to its session."""

    def __init__(self, door: Door, stream: XMLStream, guest: Guest) -> None:
        self._door = door
        self._host = door.host
        self._stream = stream
        self._guest = guest
        self._table = CLIENT_DOOR if door.certificates is not None else LOOPBACK_DOOR
        self.state = State.PLAIN
        self._channel: Channel = None
        self._domain = ""
        self._account: JID | None = None
        self._lang = ""
        self._login: Login | None = None
        self._failures = 0
        self._is_open = False  # our own header is said
        self._is_over = False
        self._probation: Probation | None = None
        door.streams.add(self)

    # What the connection tells.

    def connected(self) -> None:
        options = self._door.options
        if self._stream.is_secure:
            self.state = State.SECURE
        self._probation = Probation(
            self._host.clock,
            self._stream,
            self.offended,
            "session",
            options.authentication_timeout,
            LOGIN_STANZAS * options.unauthenticated.stanza_bytes,
        )

    def opened(self, opening: StreamOpened) -> None:
        """Answer a stream header (RFC 6120 §4.7), the first one or one after a restart."""
        wanted = address(opening.attributes.get("to", ""))
        domain = wanted.full if wanted is not None else ""
        known = domain in self._host.domains
        self._greet(domain if known else self._domain or min(self._host.domains), opening)
        if opening.content != NS_CLIENT:
            raise StreamError("invalid-namespace", f"the content of a stream here is {NS_CLIENT}")
        if wanted is None:
            raise StreamError("improper-addressing", "a header says whom the stream is for")
        if not known or self._domain not in ("", domain):
            raise StreamError("host-unknown")
        if not is_supported(opening.attributes.get("version", "")):
            raise StreamError("unsupported-version")
        self._domain = domain
        self._lang = language(opening.lang)
        self._check_identity(opening.attributes.get("from", ""))
        if self.state is State.SECURE:
            self._channel = channel_bindings(self._stream.connection())
        self._stream.send(self._features())

    def received(self, stanza: Stanza) -> None:
        _STEPS[step(self._table, self.state, stanza)](self, stanza)

    def closed(self) -> None:
        self._finish()
        self._stream.close(CLOSING)

    def offended(self, error: StreamError) -> None:
        """Say why, and close."""
        if not self._is_open:
            self._greet(self._domain or min(self._host.domains), None)
        self._finish()
        self._stream.close(serialize(error.element()) + CLOSING)

    def lost(self, reason: str) -> None:
        self._finish()

    def _finish(self) -> None:
        self._is_over = True
        if self._probation is not None:
            self._probation.over()
            self._probation = None
        login, self._login = self._login, None
        if login is not None:
            login.abandon()
        self._door.streams.discard(self)

    # Headers and features.

    def _greet(self, domain: str, opening: StreamOpened | None) -> None:
        self._is_open = True
        claimed = address(opening.attributes.get("from", "")) if opening is not None else None
        to = claimed.bare if claimed is not None else ""
        self._stream.send(header(domain, new_id(), NS_CLIENT, to))

    def _check_identity(self, claimed: str) -> None:
        """A restarted stream speaks for whom it spoke before (RFC 6120 §4.7.1).

        COMPAT: sendxmpp, and all else that is built on Perl's XML::Stream, is from our domain.
        """
        if self._account is not None and claimed:
            jid = address(claimed)
            if jid is None or jid.bare not in (self._account.bare, self._account.domain):
                raise StreamError("invalid-from")

    def _features(self) -> bytes:
        """What is offered now, said as before: it is the same to everyone in the same state."""
        options = self._door.options
        is_known = self.state is State.AUTHENTICATED
        limits = options.authenticated if is_known else options.unauthenticated
        key = (self.state, limits, *(self._channel or ()))
        said = self._door.features.get(key)
        if said is None:
            said = serialize(element(NS_STREAMS, "features", *self._offers(limits)))
            self._door.features[key] = said
        return said

    def _offers(self, limits: Limits) -> list[Element]:
        """The children of the features (RFC 6120 §4.3.2)."""
        if self.state is State.PLAIN and self._door.certificates is not None:
            return [element(NS_TLS, "starttls", element(NS_TLS, "required"))]
        if self.state in (State.PLAIN, State.SECURE):
            return [*self._door.logins.features(self._channel), _limit(limits)]
        return [
            element(NS_BIND, "bind"),
            element(NS_SESSION, "session", element(NS_SESSION, "optional")),
            element(NS_SM, "sm"),
            _limit(limits),
            *self._host.stream_features,
        ]

    # TLS and SASL.

    def _start_tls(self, stanza: Stanza) -> None:
        if self._door.certificates is None:
            self._stream.send(f"<failure xmlns='{NS_TLS}'/>".encode())
            raise StreamError("unsupported-stanza-type", "there is no certificate here")
        self._stream.start_tls(self._door.certificates.options_for(self._domain), PROCEED)
        self.state = State.SECURE
        self._is_open = False

    def _authenticate(self, stanza: Stanza) -> None:
        if self._login is not None:
            raise StreamError("policy-violation", "one authentication at a time")
        self._login = Login(self._door.logins, self._domain, self._channel, self._guest.origin)
        mechanism = stanza.attributes.get("mechanism", "")
        self._attend(self._login.begin(mechanism, payload(stanza)))

    def _respond(self, stanza: Stanza) -> None:
        if self._login is None:
            raise StreamError("not-authorized", "a response to nothing")
        self._attend(self._login.respond(payload(stanza)))

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
        self._stream.send(reply)
        if login.is_over:
            self._login = None
        if login.account is not None:
            self._account = login.account
            self._guest.settle()
            self.state = State.AUTHENTICATED
            self._is_open = False
            self._stream.restart(self._door.options.authenticated)
        elif login.is_over:
            self._failures += 1
            if self._failures >= self._door.options.login_attempts:
                self.offended(StreamError("policy-violation", "too many failed logins"))

    def _broke(self, failure: object) -> None:
        log.error("a login broke: {failure}", failure=failure)
        self.offended(StreamError("internal-server-error"))

    # A resource (RFC 6120 §7).

    def _bind(self, stanza: Stanza) -> None:
        """Nothing but a binding comes before there is a resource."""
        if stanza.children != (f"{NS_BIND} bind",) or stanza.type != "set":
            raise StreamError("not-authorized", "a resource must be bound first")
        assert self._account is not None
        try:
            jid = self._resource(self._account, resource(stanza).strip())
        except StanzaError as error:
            reply = element(NS_CLIENT, "iq", error.element(), type="error", id=stanza.id)
            self._stream.send(serialize(reply))
            return
        client = self._hand_over()
        client.session = self._host.lifecycle.bind(jid, client)
        bound = element(NS_BIND, "bind", element(NS_BIND, "jid", jid.full))
        client.send(serialize(element(NS_CLIENT, "iq", bound, type="result", id=stanza.id)))

    def _resource(self, account: JID, wanted: str) -> JID:
        sessions = self._host.sessions.of(account.bare)
        try:
            jid = account.with_resource(wanted or new_id())
        except JIDMalformed:
            raise BadRequest("this resource is not allowed") from None
        if jid.resource not in sessions:
            if not self._host.accounts.is_open(account.bare):
                raise NotAllowed("the account is gone, or disabled")
            self._make_room(sessions)
        return jid

    def _make_room(self, sessions: Mapping[str, Session]) -> None:
        """RFC 6120 §7.6.2.1: so many sessions and no more. One that waits for its client goes.

        Else a client that forgets its sessions could lock itself out until they expire.
        """
        if len(sessions) < self._door.options.sessions_per_account:
            return
        waiting = [one for one in sessions.values() if one.is_detached]
        if not waiting:
            raise ResourceConstraint("too many sessions of this account")
        longest = min(waiting, key=lambda session: session.detached_at or 0.0)
        self._host.lifecycle.end(longest, "there are too many sessions")

    def _hand_over(self) -> ClientStream:
        """From now on the connection is that of a session."""
        assert self._account is not None
        budget = self._door.budgets.of(self._account.bare, self._guest.origin)
        client = ClientStream(self._door, self._stream, self._lang, budget)
        self._finish()
        self._stream.receiver = client
        return client

    # A resumption (XEP-0198 §5).

    def _resume(self, stanza: Stanza) -> None:
        lifecycle, account = self._host.lifecycle, self._account
        assert account is not None
        if not lifecycle.can_resume:
            self._refuse("feature-not-implemented")
            return
        h = count_of(stanza)
        token = stanza.attributes.get("previd", "")
        if h is None or not token:
            self._refuse("bad-request")
            return
        session = self._host.sessions.by_token(token)
        if session is None or session.account != account.bare or session.queue is None:
            self._refuse("item-not-found", lifecycle.last_count(token, account.bare))
            return
        self._stream.hold()
        self._settle(session, h)

    def _settle(self, session: Session, h: int) -> None:
        lifecycle = self._host.lifecycle
        try:
            settled = lifecycle.settle(session, h)
        except HandledCountTooHigh as error:
            # Nobody can tell what it has: what it may lack is for the next session.
            if session.stream is not None:
                session.stream.end(StreamError("conflict", "this session was resumed elsewhere"))
            lifecycle.end(session, "its client counts what it was not sent")
            self._door.resumptions["handled-count-too-high"] += 1
            self.offended(too_high(error))
            self._stream.release()
            return
        settled.addCallbacks(
            lambda ignored: self._resumed(session, h), lambda failure: self._unresumed(session)
        )

    def _resumed(self, session: Session, h: int) -> None:
        lifecycle, account = self._host.lifecycle, self._account
        assert account is not None
        if self._is_over:  # lost meanwhile: the session waits for the next attempt
            self._door.resumptions["lost"] += 1
            lifecycle.abandon(session, "lost while it was resumed")
        elif not lifecycle.is_alive(session):
            self._refuse("item-not-found", lifecycle.last_count(session.token, account.bare))
        elif session.stream is not None:  # by an earlier attempt, whose connection is lost by now
            self._settle(session, h)
            return
        else:
            assert session.handled is not None
            count, token = session.handled.h, escape(session.token)
            client = self._hand_over()
            client.session = session
            greeting = f"<resumed xmlns='{NS_SM}' h='{count}' previd='{token}'/>"
            self._door.resumptions["resumed"] += 1
            lifecycle.resume(session, client, greeting.encode())
        self._stream.release()

    def _unresumed(self, session: Session) -> None:
        """Its client tries again later: <failed/> would have it give the session up."""
        self._door.resumptions["storage-fails"] += 1
        self._host.lifecycle.abandon(session, "storage fails")
        if not self._is_over:
            self.offended(StreamError(STUCK.condition, STUCK.text))
        self._stream.release()

    def _misplaced(self, stanza: Stanza) -> None:
        self._failed("unexpected-request")
        if self._account is None:
            raise StreamError("not-authorized", f"<{stanza.name}/> comes after the login")

    def _refuse(self, condition: str, h: int | None = None) -> None:
        """There is nothing to resume."""
        self._door.resumptions[condition] += 1
        self._failed(condition, h)

    def _failed(self, condition: str, h: int | None = None) -> None:
        self._stream.send(failed(condition, h))


def _limit(limits: Limits) -> Element:
    """What a stanza may have (XEP-0478)."""
    size = element(NS_LIMITS, "max-bytes", str(limits.stanza_bytes))
    return element(NS_LIMITS, "limits", size)


_STEPS: dict[Step, Callable[[Arrival, Stanza], None]] = {
    Step.START_TLS: Arrival._start_tls,
    Step.AUTHENTICATE: Arrival._authenticate,
    Step.RESPOND: Arrival._respond,
    Step.ABORT: Arrival._abort,
    Step.BIND: Arrival._bind,
    Step.RESUME: Arrival._resume,
    Step.MISPLACED: Arrival._misplaced,
}
