"""A whole server without sockets, and a language in which an input tells what its peers do.

An input is what the peers send, with words in double braces for the rest:

    {{client}} {{secure}} {{tls}} {{component}}  a new connection, which is spoken on from here
    {{to 1}}                           speak on the connection of that number
    {{login romeo}} {{bound romeo phone}}  log in on this connection; and bind a resource
    {{cut}} {{stall}} {{go}}           it is lost; it reads no more; it reads again
    {{wait 5}}                         seconds pass
    {{answer 410}}                     the push network answers
    {{token}} {{h}} {{proof}} {{node}} {{secret}}  stand for what the server gave or expects

Whatever happens, each peer must get well-formed XML with nothing in it that is forged, the
log must stay without errors, and nothing may be left when all are gone.
"""

import base64
import hashlib
import hmac
import re
import zlib
from collections.abc import Callable
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from pushd.appserver.limits import Rules
from pushd.appserver.service import AppServer
from pushd.c2s.door import ClientFactory
from pushd.c2s.guard import Guard, Patience
from pushd.c2s.login import Logins
from pushd.c2s.options import Door, DoorOptions
from pushd.components.door import ComponentFactory
from pushd.components.stream import Components
from pushd.config.sections import Dialects
from pushd.modules.catalogue import available
from pushd.net.admission import Admission, Quota
from pushd.providers import contract
from pushd.providers.attempts import Result
from pushd.providers.dispatch import Dispatcher
from pushd.routing.events import ServerStarted
from pushd.wire import forms
from pushd.wire.element import child, children
from pushd.wire.errors import JIDMalformed, StreamError
from pushd.wire.framer import Framer, Limits, StreamClosed
from pushd.wire.jid import parse as parse_jid
from pushd.wire.namespaces import (
    NS_CLIENT,
    NS_COMMANDS,
    NS_DELAY,
    NS_STANZA_ERRORS,
    NS_STREAM_ERRORS,
)
from pushd.wire.scram import derive
from pushd.wire.secret import Secret
from pushd.wire.stanza import DELAY, RECEIVED_CARBON, SENT_CARBON, STANZA_ID, Stanza
from tests.fuzz.grammar import HEADER
from tests.fuzz.watch import Finding, Log
from tests.hall import Hall
from tests.support import Transport
from tests.unit.appserver.stage import FakeDispatcher, Pigeon, Post, app

ACCOUNTS = ("romeo", "juliet")
COMPONENT = "bot.example.net"
SECRET = Secret("between us")
MANY = 200  # inputs that one house serves
CONNECTIONS = 6  # of one input
PEOPLE = frozenset(("example.net", "push.example.net", COMPONENT))
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
INLINE = ("token", "h", "proof", "node", "secret")
_WORD = re.compile(rb"\{\{([a-z]+)(?: ([^{}]{0,40}))?\}\}")


class _TLS:
    """A connection of OpenSSL's, as far as anybody asks."""

    def get_protocol_version_name(self) -> str:
        return "TLSv1.3"

    def export_keying_material(self, *ignored: object) -> bytes:
        return b"exported"

    def get_context(self) -> "_TLS":
        return self

    def get_certificate(self, **ignored: object) -> None:
        return None


class _Link(Transport):
    """A transport that may become secure."""

    def startTLS(self, context: Any) -> None:
        self.secure()

    def secure(self) -> None:
        directlyProvides(self, ISSLTransport)

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def setTcpKeepAlive(self, enabled: bool) -> None: ...

    def getHandle(self) -> _TLS:
        return _TLS()


class _Certificates:
    def options_for(self, domain: str) -> None:
        return None


class Peer:
    """One connection, from the other end."""

    def __init__(self, house: "House", factory: Any, secure: bool = False) -> None:
        self.house = house
        self.link = _Link()
        if secure:
            self.link.secure()
        self.framer = Framer(Limits(1 << 24, depth=100, attributes=200, elements=100_000))
        self.protocol = factory.buildProtocol(None)
        self.is_gone = False
        self.stanzas = 0
        self.stream_id = ""
        self.last = ""  # the text of the last element
        self.protocol.makeConnection(self.link)

    def say(self, data: bytes) -> None:
        if data and not self.is_gone and not self.link.disconnected:
            self.protocol.dataReceived(data)

    def lose(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            self.protocol.connectionLost(Failure(ConnectionLost()))

    def hear(self) -> None:
        """Judge all that was said to this peer."""
        data = self.link.take()
        while data:
            rest = b""
            for event in self.framer.feed(data):
                if isinstance(event, Stanza):
                    self._judge(event)
                    if event.name in ("success", "proceed") and event.namespace != NS_CLIENT:
                        rest = self.framer.unread(event)
                        self.framer = Framer(Limits(1 << 24, depth=100, attributes=200))
                        break
                elif isinstance(event, StreamError):
                    raise Finding(f"the server said what nobody can read: {event}")
                elif not isinstance(event, StreamClosed):
                    self.stream_id = event.attributes.get("id", "")
            data = rest

    def _judge(self, stanza: Stanza) -> None:
        raw = stanza.raw
        if f"<internal-server-error xmlns='{NS_STANZA_ERRORS}'/>".encode() in raw or (
            stanza.name == "error"
            and f"<internal-server-error xmlns='{NS_STREAM_ERRORS}'".encode() in raw
        ):
            raise Finding("an internal error is told")
        self.last = str(stanza.tree)
        if stanza.name == "enabled":
            self.house.token = stanza.attributes.get("id", self.house.token)
            self.stanzas = 0
        if stanza.namespace != NS_CLIENT:
            return
        self.stanzas += 1
        sender = stanza.attributes.get("from", "")
        if sender and stanza.type != "error" and parse_jid(sender).domain not in PEOPLE:
            raise Finding(f"a stanza from {sender}, which nobody is")
        for name, who in stanza.claims:
            self._judge_claim(stanza, name, who)
        if stanza.name == "iq" and f"{NS_COMMANDS} command" in stanza.children:
            self._remember(stanza)

    def _judge_claim(self, stanza: Stanza, name: str, who: str) -> None:
        """What the grammar forges is told from what the server says by its text."""
        if name in (SENT_CARBON, RECEIVED_CARBON):
            if parse_jid(stanza.attributes["from"]).resource:
                raise Finding(f"a forged carbon gets past: {stanza.raw!r}")
            return
        try:
            jid = parse_jid(who)
        except JIDMalformed:
            return
        ours = jid.domain == "example.net"
        if name == STANZA_ID and ours and b"id='1'" in stanza.raw:
            raise Finding(f"a forged stanza-id gets past: {stanza.raw!r}")
        if name == DELAY and ours and jid.full == jid.domain:
            for one in children(stanza.tree):
                told = str(one.attributes.get("stamp"))
                if (
                    (one.uri, one.name) == (NS_DELAY, "delay")
                    and one.attributes.get("from") == who
                    and told.startswith("2002-09-10T23")
                ):
                    raise Finding(f"a forged delay gets past: {stanza.raw!r}")

    def _remember(self, stanza: Stanza) -> None:
        command = child(stanza.tree, NS_COMMANDS, "command")
        try:
            form = forms.find(command) if command is not None else None
            if form is not None and "node" in form.fields:
                self.house.node = form.one("node") or ""
                self.house.secret = form.one("secret") or ""
        except ValueError:
            return


class House:
    """A hall with all its modules, its doors and its push service."""

    def __init__(self) -> None:
        self.hall = Hall(modules=dict.fromkeys(sorted(available())), resume_timeout=60.0)
        host = self.hall.host
        keys = {"SHA-1": derive("SHA-1", "secret", b"salt", 1)}
        keys["SHA-256"] = derive("SHA-256", "secret", b"salt", 1)
        for account in ACCOUNTS:
            self.hall.wait(host.accounts.add(f"{account}@example.net", dict(keys)))
        self.admission = Admission(self.hall.clock, Quota(100, 100), Quota(200, 200))
        options = DoorOptions(authenticated=Limits(20_000), sessions_per_account=4)
        logins = Logins(host.accounts, b"pepper", _at_once, Guard(self.hall.clock, Patience()))
        self.doors = {"client": Door(host, logins, None, options)}
        self.factories: dict[str, Any] = {
            "client": ClientFactory(self.doors["client"], self.hall.turn, self.admission)
        }
        for name in ("secure", "tls"):
            door = Door(host, logins, cast(Any, _Certificates()), options)
            self.doors[name] = door
            factory = ClientFactory.__new__(ClientFactory)
            factory.__dict__.update(self.factories["client"].__dict__, _door=door)
            self.factories[name] = factory
        components = Components(host, {COMPONENT: SECRET}, Limits(20_000))
        self.factories["component"] = ComponentFactory(components, self.hall.turn, self.admission)
        apps = (app("post", Post()), app("pigeon", Pigeon()))
        apps[0].tigase_names, apps[0].push_modules = ("x",), ("module",)
        self.fake = FakeDispatcher([one.name for one in apps])
        rules = Rules(dialects=Dialects.every().names())
        self.server = AppServer(host, apps, cast(Dispatcher, self.fake), rules)
        self.hall.wait(self.server.load())
        self.server.start()
        host.events.emit(ServerStarted())
        self.begin()
        self.left = MANY
        self.timers = 0
        self.timers = self._end()

    def begin(self) -> None:
        """Forget what an earlier input was about."""
        self.peers: list[Peer] = []
        self.current: Peer | None = None
        self.token = self.node = self.secret = ""

    def play(self, data: bytes) -> None:
        """Let the input happen, and judge it. Raises Finding."""
        self.begin()
        self.left -= 1
        drawn = Random(zlib.crc32(data))
        in_parts, at_once = drawn.random() < 0.3, drawn.random() < 0.5
        place = 0
        data = data[:20_000]
        for word in [*_WORD.finditer(data), None]:
            end = word.start() if word is not None else len(data)
            self._feed(data[place:end], drawn if in_parts else None)
            if word is not None:
                place, name = word.end(), word.group(1).decode()
                if name in INLINE:
                    self._feed(self._value(name), None)
                else:
                    self._do(name, (word.group(2) or b"").decode("latin-1"))
            if at_once:
                self._settle()
        self._settle()
        timers = self._end()
        if timers > self.timers + 5:
            raise Finding(f"{timers} timers are left, of {self.timers} at first")

    def _feed(self, data: bytes, drawn: Random | None) -> None:
        if not data:
            return
        peer = self.current or self._connect("client")
        if drawn is None:
            peer.say(data)
            return
        while data:
            size = 1 + int(drawn.expovariate(0.02))
            peer.say(data[:size])
            data = data[size:]

    def _value(self, name: str) -> bytes:
        """What a word stands for, once all that was said has had its effect."""
        self._settle()
        peer = self.current
        match name:
            case "token" | "node" | "secret":
                value = getattr(self, name)
            case "h":
                value = str(peer.stanzas if peer is not None else 0)
            case _:
                stream_id = peer.stream_id if peer is not None else ""
                value = hashlib.sha1((stream_id + SECRET.reveal()).encode()).hexdigest()
        return str(value).encode()

    def _do(self, word: str, given: str) -> None:
        peer = self.current
        match word:
            case "client" | "secure" | "tls" | "component":
                self._connect(word)
            case "to" if self.peers:
                self.current = self.peers[
                    (int(given) if given.isdecimal() else 0) % len(self.peers)
                ]
            case "login" | "bound":
                name, _, resource = given.partition(" ")
                self._log_in(peer or self._connect("client"), name)
                if word == "bound":
                    self._bind(resource)
            case "cut" if peer is not None:
                peer.lose()
            case "stall" if peer is not None and not peer.is_gone:
                peer.protocol.pauseProducing()
            case "go" if peer is not None and not peer.is_gone:
                peer.protocol.resumeProducing()
            case "wait":
                self.hall.advance(min(int(given), 200) if given.isdecimal() else 1)
            case "answer":
                status = int(given) if given.isdecimal() else 200
                for call in self.fake.calls[:3]:
                    if not call.result.called:
                        call.answer(_result(status))

    def _connect(self, kind: str) -> Peer:
        if len(self.peers) < CONNECTIONS:
            factory = self.factories["client" if kind == "client" else kind]
            self.peers.append(Peer(self, factory, secure=kind == "secure"))
        self.current = self.peers[-1]
        return self.current

    def _log_in(self, peer: Peer, name: str) -> None:
        peer.say(HEADER.encode())
        bare = f"n={name},r=abc"
        peer.say(_sasl("auth", f"n,,{bare}".encode(), " mechanism='SCRAM-SHA-1'"))
        self._settle()
        try:
            challenge = base64.b64decode(peer.last)
        except ValueError:
            return
        nonce = challenge.partition(b",s=")[0]
        final = b"c=biws," + nonce
        signed = bare.encode() + b"," + challenge + b"," + final
        salted = hashlib.pbkdf2_hmac("sha1", b"secret", b"salt", 1)
        client_key = hmac.digest(salted, b"Client Key", "sha1")
        signature = hmac.digest(hashlib.sha1(client_key).digest(), signed, "sha1")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        peer.say(_sasl("response", final + b",p=" + base64.b64encode(proof)))
        peer.say(HEADER.encode())
        self._settle()

    def _bind(self, resource: str) -> None:
        assert self.current is not None
        inner = f"<resource>{resource or 'phone'}</resource>"
        bind = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{inner}</bind>"
        self.current.say(f"<iq type='set' id='b'>{bind}</iq>".encode())
        self._settle()

    def _settle(self) -> None:
        self.hall.advance(0)
        for peer in self.peers:
            peer.hear()

    def _end(self) -> int:
        """All are gone, and their sessions too; gives the number of timers that are left."""
        for peer in self.peers:
            peer.lose()
        host = self.hall.host
        for session in list(host.sessions.everyone()):
            host.lifecycle.end(session, "the input is over")
        self.fake.calls.clear()
        self.hall.advance(40)
        for peer in self.peers:
            peer.hear()
        self.peers.clear()
        self.hall.seen.clear()
        assert not len(self.admission.strangers), "a stranger never left"
        assert not len(self.admission.connections), "a connection was never over"
        assert not any(door.streams for door in self.doors.values()), "a stream never ended"
        return len(self.hall.clock.getDelayedCalls())


def _result(status: int) -> Result:
    match status:
        case 410:
            return contract.Unregistered()
        case 200:
            return contract.Accepted()
    return contract.Refused(f"HTTP {status}")


def _sasl(name: str, data: bytes, more: str = "") -> bytes:
    return f"<{name} xmlns='{SASL}'{more}>{base64.b64encode(data).decode()}</{name}>".encode()


def _at_once(work: Callable[..., Any], *given: Any) -> "Deferred[Any]":
    return succeed(work(*given))


_houses: list[House] = []
_logs: list[Log] = []


def play(data: bytes) -> None:
    """Play one input in a house that many inputs share. Raises Finding or whatever went wrong."""
    if not _logs:
        _logs.append(Log())
    if not _houses or _houses[0].left <= 0:
        _houses[:] = [House()]
    try:
        _houses[0].play(data)
        _logs[0].check()
    except BaseException:
        renew()
        raise


def renew() -> None:
    """The next input is the first of a new house."""
    _houses.clear()
