"""Being an external component of another server: the component's side of XEP-0114.

The other server hands over whatever is for our domain, from its own users and from everywhere
else, and takes whatever our domain says to the world.
"""

import hashlib

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from pushd.components.stream import KEEP_ALIVE, UNSAFE, in_plain_namespaces
from pushd.net.calling import Calling
from pushd.net.probation import Probation
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import Trace, XMLStream
from pushd.routing.host import Host
from pushd.wire.element import serialize
from pushd.wire.errors import JIDMalformed, RemoteServerTimeout, StreamError
from pushd.wire.framer import Limits, StreamOpened
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import NS_COMPONENT, NS_STREAM_ERRORS, NS_STREAMS
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza
from pushd.wire.stream import CLOSING, COMPONENT_DOOR, State, Step, header, step

log = Logger()

HANDSHAKE_TIME = 30.0  # seconds the server has to take us
HANDSHAKE_BYTES = 10_000  # what it may say before
PORT = "is component.port its port for components, which have no TLS?"
REMEDIES = {
    "not-authorized": "its secret for the component is another one, or it knows none of this name",
    "host-unknown": "it expects no component of this name",
    "conflict": "a component of this name is connected already",
}


class Attachment:
    """Our place at another server, as `domain`: attached, or on the way there.

    What our domain says while it is away is refused at once, so that whoever waits for it learns
    of it; what others tell us meanwhile waits with them. `place` is where the server is, in words.
    `backlog` is how many bytes may wait for a server that does not read.
    """

    trace: Trace | None = None

    def __init__(
        self,
        host: Host,
        turn: Turn,
        domain: str,
        secret: Secret,
        endpoint: IStreamClientEndpoint,
        place: str,
        limits: Limits | None = None,
        backlog: int = 16 << 20,
    ) -> None:
        self.host = host
        self.domain = domain
        self.secret = secret
        self.limits = limits or Limits()
        self.obstacle = "it was not tried yet"  # why it is not attached; "" when it is
        self._place = place
        self._told = ""  # the last obstacle that the log has
        self._turn = turn
        self._backlog = backlog
        self._stream: AttachedStream | None = None  # from its connection to its loss
        self._gone: Deferred[None] | None = None
        self.calling = Calling(host.clock, endpoint, self._build, self._unreached)
        self._elsewhere = host.router.remote
        host.router.remote = self._send

    def start(self) -> None:
        """Connect, and come back whenever the connection ends."""
        self.calling.start()

    def stop(self) -> Deferred[None]:
        """Say farewell; fires when the connection is gone."""
        self.calling.stop()
        gone: Deferred[None] = Deferred()
        if self._stream is None:
            gone.callback(None)
        else:
            self._gone = gone
            self._stream.leave()
        return gone

    def told(self) -> dict[str, str]:
        """How it stands, for the operator."""
        return {"domain": self.domain, "obstacle": self.obstacle}

    # What its stream tells.

    def connected(self, stream: "AttachedStream") -> None:
        self._stream = stream
        self.obstacle = f"{self._place} is reached, and does not take it yet"

    def attached(self) -> None:
        self.obstacle = self._told = ""
        self.calling.agreed()
        log.info("attached to the other server as its component {domain}", domain=self.domain)

    def failed(self, reason: str) -> None:
        """Said once for each reason, however often it is tried."""
        self.obstacle = reason
        if reason != self._told:
            self._told = reason
            log.warn("the component {domain} is away: {reason}", domain=self.domain, reason=reason)

    def lost(self, reason: str) -> None:
        self._stream = None
        if self._gone is not None:
            self._gone.callback(None)
            return
        self.failed(reason)
        self.calling.ended()

    def _unreached(self, reason: str) -> None:
        self.failed(
            f"nobody is reached at {self._place} (component.host, component.port): {reason}"
        )

    def _build(self) -> XMLStream:
        stream = XMLStream(
            self.host.clock, self._turn, Limits(HANDSHAKE_BYTES, depth=10), self._backlog
        )
        stream.receiver = AttachedStream(self, stream)
        stream.trace = self.trace
        return stream

    def _send(self, stanza: Stanza, to: JID) -> None:
        """What our domain says to others; what is not ours to carry goes where it went before."""
        if parse(stanza.attributes["from"]).domain != self.domain:
            self._elsewhere(stanza, to)
        elif self._stream is None or self.obstacle:
            error = RemoteServerTimeout("the server that leads there is away")
            self.host.router.refuse(stanza, error)
        else:
            self._stream.deliver(stanza)


class AttachedStream:
    """One connection to the other server."""

    def __init__(self, attachment: Attachment, stream: XMLStream) -> None:
        self._attachment = attachment
        self._stream = stream
        self._state = State.PLAIN
        self._probation: Probation | None = None
        self._reason = ""  # why it ends, when that is known

    def connected(self) -> None:
        self._probation = Probation(
            self._attachment.host.clock,
            self._stream,
            self.offended,
            "handshake",
            HANDSHAKE_TIME,
            HANDSHAKE_BYTES,
        )
        self._stream.keep_alive(KEEP_ALIVE)
        self._attachment.connected(self)
        self._stream.send(header("", "", NS_COMPONENT, self._attachment.domain))

    def opened(self, opening: StreamOpened) -> None:
        """XEP-0114 §3: the secret, with the id of the stream, is what proves who we are."""
        if opening.content != NS_COMPONENT:
            self._reason = f"this port of the server is for {opening.content}: {PORT}"
            raise StreamError("invalid-namespace", f"the content here is {NS_COMPONENT}")
        id = opening.attributes.get("id", "")
        secret = self._attachment.secret.reveal()
        proof = hashlib.sha1((id + secret).encode()).hexdigest()  # noqa: S324  # XEP-0114 §3
        self._stream.send(f"<handshake>{proof}</handshake>".encode())

    def received(self, stanza: Stanza) -> None:
        if stanza.namespace == NS_STREAMS and stanza.name == "error":
            self._complained(stanza)
        elif step(COMPONENT_DOOR, self._state, stanza) is Step.HANDSHAKE:
            self._taken()
        else:
            self._stanza(stanza)

    def closed(self) -> None:
        self._end(self._reason or "the server closed the stream", CLOSING)

    def offended(self, error: StreamError) -> None:
        self._end(
            self._doubted(f"{error.condition}: {error.text}"), serialize(error.element()) + CLOSING
        )

    def lost(self, reason: str) -> None:
        said = self._reason or self._doubted(reason)
        self._settle()
        self._attachment.lost(said)

    def leave(self) -> None:
        """We stop."""
        self._end("this server stops", CLOSING)

    def deliver(self, stanza: Stanza) -> None:
        self._stream.send(in_plain_namespaces(stanza))

    def _taken(self) -> None:
        self._state = State.BOUND
        self._settle()
        self._stream.limit(self._attachment.limits)
        self._stream.pace(UNSAFE, self._attachment.host.database.committed)
        self._attachment.attached()

    def _stanza(self, stanza: Stanza) -> None:
        """The server answers for who speaks, if that is nobody here; not for whom it is meant."""
        try:
            sender = parse(stanza.attributes.get("from", ""))
            to = parse(stanza.attributes.get("to", ""))
        except JIDMalformed as error:
            raise StreamError("improper-addressing", error.text) from None
        if to.domain != self._attachment.domain:
            raise StreamError("host-unknown", f"this is {self._attachment.domain}")
        router = self._attachment.host.router
        if router.is_served(sender.domain):
            raise StreamError("invalid-from", f"{sender.domain} is here")
        router.route(stanza)

    def _complained(self, error: Stanza) -> None:
        """A stream error, which ends the stream (RFC 6120 §4.9)."""
        children = [str(one.name) for one in error.tree.elements() if one.uri == NS_STREAM_ERRORS]
        condition = next((name for name in children if name != "text"), "undefined-condition")
        remedy = REMEDIES.get(condition, "")
        said = f"{condition}, {remedy}" if remedy else condition
        self._end(f"the server ended the stream: {said}", CLOSING)

    def _end(self, reason: str, farewell: bytes) -> None:
        self._reason = self._reason or reason
        self._settle()
        self._stream.close(farewell)

    def _doubted(self, reason: str) -> str:
        """Why it ended, with a question where the server has not taken us."""
        return f"{reason.rstrip('.')}; {PORT}" if self._probation is not None else reason

    def _settle(self) -> None:
        if self._probation is not None:
            self._probation.over()
            self._probation = None
