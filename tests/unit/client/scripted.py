"""A small XMPP server whose answers a test writes, on a loopback port.

It knows one account and does STARTTLS, SASL and binding by itself; whatever comes after
that is kept for `next`. Nothing of the real
server is in it but the XML stream and the server's half of SCRAM.
"""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from pushd.client.client import Client
from pushd.net.certificates import DevelopmentCA
from pushd.net.tls import CertificateFiles, CertificateStore, channel_bindings
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import XMLStream
from pushd.wire.element import child, element, serialize, text
from pushd.wire.errors import StreamError
from pushd.wire.framer import Limits, StreamOpened
from pushd.wire.namespaces import NS_BIND, NS_CLIENT, NS_SASL, NS_SM, NS_STREAMS, NS_TLS
from pushd.wire.sasl import (
    SCRAM,
    SASLFailure,
    ScramServer,
    decode,
    derive,
    encode,
    fake_keys,
    plain,
)
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza
from pushd.wire.stream import CLOSING, header, new_id
from tests.patience import PATIENCE

reactor: Any = the_reactor

DOMAIN = "example.net"
PASSWORD = Secret("a pleasing sight")
MECHANISMS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")
CONFLICT = (
    "<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>taken</text></error>"
)


def folder(case: TestCase) -> Path:
    """An empty folder, until the test ends."""
    made = TemporaryDirectory()
    case.addCleanup(made.cleanup)
    return Path(made.name)


class Peer:
    """The server's side of one connection."""

    def __init__(self, server: "Server", stream: XMLStream) -> None:
        self.stream = stream
        self.send = stream.send
        self.mechanism = ""
        self.lost_by = ""
        self._server = server
        self._user = ""
        self._scram: ScramServer | None = None
        self._kept: deque[Stanza] = deque()
        self._next: Deferred[Stanza] | None = None
        self._gone: Deferred[str] = Deferred()

    async def next(self) -> Stanza:
        """The next thing that the client says, once it is logged in."""
        if self._kept:
            return self._kept.popleft()
        self._next = Deferred()
        self._next.addTimeout(PATIENCE, reactor)
        return await self._next

    async def gone(self) -> str:
        """Wait for the end of the connection; gives the reason."""
        if not self.lost_by:
            await self._gone.addTimeout(PATIENCE, reactor)
        return self.lost_by

    # What the stream tells.

    def connected(self) -> None:
        self._server.arrived(self)

    def opened(self, opening: StreamOpened) -> None:
        if self._server.is_mute:
            return
        self.send(header(opening.attributes["to"], new_id(), NS_CLIENT))
        self.send(serialize(element(NS_STREAMS, "features", *self._features())))

    def received(self, stanza: Stanza) -> None:
        steps: dict[str, Callable[[Stanza], None]] = {
            f"{NS_TLS} starttls": self._start_tls,
            f"{NS_SASL} auth": self._auth,
            f"{NS_SASL} response": self._response,
        }
        name = f"{stanza.namespace} {stanza.name}"
        if name in steps:
            steps[name](stanza)
        elif stanza.children == (f"{NS_BIND} bind",):
            self._bind(stanza)
        elif self._next is not None:
            waiting, self._next = self._next, None
            waiting.callback(stanza)
        else:
            self._kept.append(stanza)

    def closed(self) -> None:
        self.stream.close(CLOSING)

    def offended(self, error: StreamError) -> None:
        self.stream.close(serialize(error.element()) + CLOSING)

    def lost(self, reason: str) -> None:
        self.lost_by = reason
        if not self._gone.called:
            self._gone.callback(reason)

    # Negotiation.

    def _features(self) -> list[Any]:
        if self._user:
            return [element(NS_BIND, "bind"), element(NS_SM, "sm")]
        if not self.stream.is_secure and self._server.offers_tls:
            return [element(NS_TLS, "starttls", element(NS_TLS, "required"))]
        mechanisms = (element(NS_SASL, "mechanism", name) for name in self._server.mechanisms)
        return [element(NS_SASL, "mechanisms", *mechanisms), *self._server.more_features]

    def _start_tls(self, stanza: Stanza) -> None:
        self.send(f"<proceed xmlns='{NS_TLS}'/>".encode())
        self.stream.start_tls(self._server.certificates.options)

    def _auth(self, stanza: Stanza) -> None:
        self.mechanism = stanza.attributes["mechanism"]
        message = decode(text(stanza.tree))
        try:
            if self.mechanism == "PLAIN":
                user, password = plain(message, DOMAIN)
                if password != PASSWORD:
                    raise SASLFailure("not-authorized")
                self._succeed(user, b"")
                return
            hash, plus = SCRAM[self.mechanism]
            connection: SSL.Connection = self.stream.connection()
            bindings = channel_bindings(connection) if connection is not None else {}
            offered = any(name.endswith("-PLUS") for name in self._server.mechanisms)
            self._scram = ScramServer(hash, plus, bindings, offered, DOMAIN)
            user = self._scram.first(message)
            known = user == "juliet"
            keys = derive(hash, PASSWORD, b"salt", 4096) if known else fake_keys(b"", hash, user)
            self._say("challenge", self._scram.challenge(keys))
        except SASLFailure as failure:
            self.send(serialize(failure.element()))

    def _response(self, stanza: Stanza) -> None:
        assert self._scram is not None
        try:
            proof = self._scram.finish(decode(text(stanza.tree)))
            self._succeed(self._scram.username, proof)
        except SASLFailure as failure:
            self.send(serialize(failure.element()))

    def _succeed(self, user: str, proof: bytes) -> None:
        if self._server.is_impostor:
            proof = b"v=" + encode(b"no idea").encode()
        self._user = user
        self._say("success", proof)
        self.stream.restart()

    def _say(self, name: str, data: bytes) -> None:
        self.send(serialize(element(NS_SASL, name, encode(data) if data else "")))

    def _bind(self, stanza: Stanza) -> None:
        bind = child(stanza.tree, NS_BIND, "bind")
        assert bind is not None
        resource = text(child(bind, NS_BIND, "resource"))
        self._server.bound += 1
        if resource == "refused":
            self.send(f"<iq type='error' id='{stanza.id}'>{CONFLICT}</iq>".encode())
            return
        jid = f"{self._user}@{DOMAIN}/{resource or 'generated'}"
        self.send(
            f"<iq type='result' id='{stanza.id}'><bind xmlns='{NS_BIND}'><jid>{jid}</jid></bind>"
            "</iq>".encode()
        )


class Server:
    """Listens on loopback with a certificate for `names`, until the test ends."""

    def __init__(self, case: TestCase, *names: str) -> None:
        self.peers: list[Peer] = []
        self.bound = 0
        self.mechanisms: tuple[str, ...] = MECHANISMS
        self.more_features: tuple[Any, ...] = ()
        self.offers_tls = True
        self.is_impostor = False  # claims to know the password
        self.is_mute = False
        self._arrival: Deferred[Peer] | None = None
        authority = DevelopmentCA(folder(case), time.time())
        issued = authority.issue(names or (DOMAIN,))
        self.ca = authority.path
        files = CertificateFiles(issued.certificate, issued.key)
        self.certificates = CertificateStore({DOMAIN: files})
        self._turn = Turn(reactor)
        self.port = self._listen(case, _Streams(self))
        tls = TLSMemoryBIOFactory(self.certificates.options, False, _Streams(self))
        self.tls_port = self._listen(case, tls)

    def _listen(self, case: TestCase, factory: Any) -> int:
        listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        case.addCleanup(listening.stopListening)
        case.addCleanup(lambda: Deferred.fromCoroutine(self._empty()))
        return int(listening.getHost().port)

    def client(self, case: TestCase, jid: str = "juliet@example.net/phone", **given: Any) -> Client:
        """A client of this server, closed when the test ends."""
        usual: dict[str, Any] = {"password": PASSWORD, "port": self.port, "ca_file": self.ca}
        client = Client(reactor, jid, host="127.0.0.1", **usual | {"timeout": PATIENCE} | given)
        case.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return client

    async def arrival(self) -> Peer:
        """The next connection."""
        self._arrival = Deferred()
        return await self._arrival.addTimeout(PATIENCE, reactor)

    def arrived(self, peer: Peer) -> None:
        self.peers.append(peer)
        waiting, self._arrival = self._arrival, None
        if waiting is not None:
            waiting.callback(peer)

    async def _empty(self) -> None:
        for peer in self.peers:
            peer.stream.abort()
            await peer.gone()

    @property
    def peer(self) -> Peer:
        """The latest connection."""
        return self.peers[-1]


class _Streams(Factory):
    noisy = False

    def __init__(self, server: Server) -> None:
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> XMLStream:
        stream = XMLStream(reactor, self._server._turn, Limits())
        stream.receiver = Peer(self._server, stream)
        return stream
