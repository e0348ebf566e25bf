"""External components: services of their own at a domain of ours (XEP-0114).

A component that is configured owns its domain whether it is connected or not: while it
is away, whoever writes to it is told so at once.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping

from twisted.logger import Logger

from pushd.net.admission import Guest
from pushd.net.probation import Probation
from pushd.net.xmlprotocol import XMLStream
from pushd.routing.host import Host
from pushd.wire.claims import without_forgeries
from pushd.wire.element import serialize, text
from pushd.wire.errors import JIDMalformed, RemoteServerTimeout, StreamError
from pushd.wire.framer import Limits, StreamOpened
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_CLIENT, NS_COMPONENT, NS_STREAMS
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza
from pushd.wire.stream import CLOSING, COMPONENT_DOOR, State, Step, header, new_id, step

log = Logger()

HANDSHAKE_TIME = 30.0  # seconds a component has to prove itself
HANDSHAKE_BYTES = 10_000  # what it may say before
KEEP_ALIVE = 60  # seconds of silence after which the system looks whether it is still there
UNSAFE = 512 * 1024  # bytes that are read from a component before a commit is awaited
CLIENT_NAME = NS_CLIENT.encode()


class Components:
    """The configured components: their secrets, and which of them are connected.

    `backlog` is how many bytes may wait for one that does not read.
    """

    unauthenticated = Limits(HANDSHAKE_BYTES, depth=10)

    def __init__(
        self,
        host: Host,
        secrets: Mapping[str, Secret],
        limits: Limits | None = None,
        backlog: int = 16 << 20,
    ) -> None:
        self.host = host
        self.limits = limits or Limits()
        self.backlog = backlog
        self._secrets = dict(secrets)
        self._streams: dict[str, ComponentStream] = {}
        for domain in self._secrets:
            host.router.add_host(domain, self._receiver(domain))
            host.disco.add_item("server", domain)

    def secret(self, domain: str) -> Secret | None:
        return self._secrets.get(domain)

    def renew(self, secrets: Mapping[str, Secret]) -> None:
        """Have the components of these domains prove themselves with other secrets."""
        self._secrets.update(secrets)

    def is_connected(self, domain: str) -> bool:
        return domain in self._streams

    def arrived(self, domain: str, stream: "ComponentStream") -> None:
        self._streams[domain] = stream
        log.info("component {domain} is connected", domain=domain)

    def left(self, domain: str, stream: "ComponentStream") -> None:
        if self._streams.get(domain) is stream:
            del self._streams[domain]
            log.info("component {domain} is gone", domain=domain)

    def _receiver(self, domain: str) -> Callable[[Stanza], None]:
        def receive(stanza: Stanza) -> None:
            stream = self._streams.get(domain)
            if stream is not None:
                stream.deliver(stanza)
            else:
                self.host.router.refuse(stanza, RemoteServerTimeout("the component is away"))

        return receive


class ComponentStream:
    """One connection of a component."""

    def __init__(
        self,
        components: Components,
        stream: XMLStream,
        guest: Guest,
        forget: Callable[["ComponentStream"], None],
    ) -> None:
        self._components = components
        self._stream = stream
        self._guest = guest
        self._forget = forget
        self._state = State.PLAIN
        self._domain = ""
        self._id = ""
        self._probation: Probation | None = None

    def connected(self) -> None:
        clock = self._components.host.clock
        self._probation = Probation(
            clock, self._stream, self.end, "handshake", HANDSHAKE_TIME, HANDSHAKE_BYTES
        )
        self._stream.keep_alive(KEEP_ALIVE)

    def opened(self, opening: StreamOpened) -> None:
        """XEP-0114 §3: the header names the component's own domain."""
        wanted = opening.attributes.get("to", "")
        try:
            domain = parse(wanted).full
        except JIDMalformed:
            domain = ""
        self._greet(wanted)
        if opening.content != NS_COMPONENT:
            raise StreamError("invalid-namespace", f"the content here is {NS_COMPONENT}")
        if self._components.secret(domain) is None:
            raise StreamError("host-unknown")
        self._domain = domain

    def received(self, stanza: Stanza) -> None:
        if stanza.namespace == NS_STREAMS and stanza.name == "error":
            self.closed()  # and nothing is wrong with that (RFC 6120 §4.9.1.1)
        elif step(COMPONENT_DOOR, self._state, stanza) is Step.HANDSHAKE:
            self._handshake(stanza)
        else:
            self._stanza(stanza)

    def closed(self) -> None:
        self._leave()
        self._stream.close(CLOSING)

    def offended(self, error: StreamError) -> None:
        self.end(error)

    def lost(self, reason: str) -> None:
        self._leave()

    def end(self, error: StreamError) -> None:
        if not self._id:
            self._greet("")
        self._leave()
        self._stream.close(serialize(error.element()) + CLOSING)

    def deliver(self, stanza: Stanza) -> None:
        self._stream.send(in_plain_namespaces(stanza))

    def _greet(self, domain: str) -> None:
        self._id = new_id()
        self._stream.send(header(domain, self._id, NS_COMPONENT))

    def _handshake(self, stanza: Stanza) -> None:
        secret = self._components.secret(self._domain)
        assert secret is not None
        proof = hashlib.sha1((self._id + secret.reveal()).encode()).hexdigest()  # noqa: S324  # XEP-0114 §3
        given = text(stanza.tree).strip().lower()
        if not hmac.compare_digest(proof.encode(), given.encode()):
            raise StreamError("not-authorized")
        if self._components.is_connected(self._domain):
            raise StreamError("conflict", "this component is connected already")
        self._state = State.BOUND
        self._settle()
        self._guest.settle()
        self._stream.limit(self._components.limits)
        self._stream.pace(UNSAFE, self._components.host.database.committed)
        self._stream.send(b"<handshake/>")
        self._components.arrived(self._domain, self)

    def _stanza(self, stanza: Stanza) -> None:
        """A component speaks for its own domain only, and says whom it speaks to."""
        try:
            sender = parse(stanza.attributes.get("from", ""))
        except JIDMalformed:
            raise StreamError("invalid-from") from None
        if sender.domain != self._domain:
            raise StreamError("invalid-from")
        if not stanza.attributes.get("to"):
            raise StreamError("improper-addressing", "a component's stanza names its addressee")
        host = self._components.host
        if stanza.claims:
            stanza = without_forgeries(stanza, host.domains)
        host.router.route(stanza)

    def _leave(self) -> None:
        self._settle()
        if self._state is State.BOUND:
            self._state = State.PLAIN
            self._components.left(self._domain, self)
        self._forget(self)

    def _settle(self) -> None:
        if self._probation is not None:
            self._probation.over()
            self._probation = None


def in_plain_namespaces(stanza: Stanza) -> bytes:
    """The bytes of a stanza, which never name a namespace of another kind of stream."""
    raw = stanza.raw
    return serialize(stanza.tree) if CLIENT_NAME in raw else raw
