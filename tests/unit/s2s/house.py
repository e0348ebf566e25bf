"""A server of ours with the door for others, over connections in memory, where TLS is played.

house = House()
peer = house.secure()                       # another server's connection to us, under TLS
peer.say("<db:result from='there.example' to='example.net'>key</db:result>")
call = house.call()                         # our connection to another server, taken up
call.hear("<stream:features/>")
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from pushd.net.admission import Admission, Quota
from pushd.net.srv import Target
from pushd.net.xmlprotocol import XMLStream
from pushd.s2s.door import ServerFactory
from pushd.s2s.kept import left_over, send_on
from pushd.s2s.options import Options
from pushd.s2s.outgoing import Outgoing
from pushd.s2s.pairs import Pair
from pushd.s2s.peers import Peers
from pushd.wire import dialback
from pushd.wire.element import Element
from pushd.wire.framer import Limits
from tests.hall import Client, Hall
from tests.support import FarEnd, Transport

HERE, THERE = "example.net", "there.example"
STREAM = (
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' "
    "xmlns:db='jabber:server:dialback' version='1.0'"
)
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
KEY = "<db:result from='{}' to='example.net'>the-key</db:result>"
WORD = "<message to='juliet@there.example' id='{}'><body>hi</body></message>"
MESSAGE = "<message from='juliet@{}/x' to='romeo@example.net'><body>hi</body></message>"
EXTERNAL = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"


def header(sender: str = THERE, to: str = HERE, id: str = "") -> str:
    parts = {"from": sender, "to": to, "id": id}
    return STREAM + "".join(f" {key}='{value}'" for key, value in parts.items() if value) + ">"


class Connection:
    """What pyOpenSSL would have; nothing here is judged by it."""

    def get_protocol_version_name(self) -> str:
        return "TLSv1.3"

    def get_peer_certificate(self) -> None:
        return None


class Pipe(Transport):
    def startTLS(self, context: Any) -> None:
        super().startTLS(context)
        directlyProvides(self, ISSLTransport)

    def getHandle(self) -> Connection:
        return Connection()


class Certificates:
    def covering(self, domain: str) -> str:
        return domain

    def options_for(self, domain: str) -> str:
        return domain


class Authorities:
    """`faults` says what is wrong with the certificates of domains; "" is a good one."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}

    def fault(self, connection: object, domain: str, now: float) -> str:
        return self.faults.get(domain, "it is self-signed")


class End(FarEnd):
    """One connection, from the other server's end."""

    def __init__(self, house: "House", protocol: XMLStream) -> None:
        super().__init__()
        self.house = house
        self.protocol = protocol
        self.transport = Pipe()
        self.first: list[Element] = []  # what was said as soon as the stream stood
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def say(self, xml: str) -> list[Element]:
        """Say something; gives what comes back."""
        if self.transport.tls is not None:
            self.protocol.handshakeCompleted()
        self.protocol.dataReceived(xml.encode())
        return self.heard()

    def heard(self) -> list[Element]:
        self.house.hall.advance(0)
        data = self.transport.take()
        if b"<?xml" in data:  # a new stream of theirs
            before, _, after = data.partition(b"<?xml")
            found = self.read(before)
            self.begin()
            return found + self.read(b"<?xml" + after)
        return self.read(data)

    @property
    def id(self) -> str:
        assert self.header is not None
        return self.header.attributes["id"]

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionError("lost")))


class Caller:
    """In place of the network: each call waits until the test takes it up or fails it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Pair, bool, Deferred[Any]]] = []

    async def call(self, peers: Peers, pair: Pair, to_verify: bool = False) -> Outgoing:
        waiting: Deferred[Outgoing] = Deferred()
        self.calls.append((pair, to_verify, waiting))
        return await waiting


class House:
    """`romeo` is a user of ours, unless the hall was there before."""

    romeo: Client

    def __init__(self, hall: Hall | None = None, **options: Any) -> None:
        self.hall = hall or Hall()
        self.authorities = Authorities()
        self.caller = Caller()
        made: Any = Peers
        self.peers: Peers = made(
            self.hall.host,
            self.hall.turn,
            Options(**({"policy": "dialback"} | options)),
            Certificates(),
            self.authorities,
            self.caller,
        )
        self.peers.chance = lambda: 0.0
        left = self.hall.wait(left_over(self.hall.host.database))
        self.peers.kept.follow(left)
        send_on(self.hall.host, left)
        self.peers.start()
        admission = Admission(self.hall.clock, Quota(50, 50), Quota(90, 90))
        self.door = ServerFactory(self.peers, admission)
        if hall is None:
            self.romeo = self.hall.login("romeo@example.net/orchard")

    # What comes in.

    def connect(self) -> End:
        protocol = self.door.buildProtocol(None)
        assert protocol is not None
        return End(self, protocol)

    def secure(self, sender: str = THERE, to: str = HERE) -> End:
        end = self.connect()
        end.say(header(sender, to))
        end.say(STARTTLS)
        end.say(header(sender, to))
        return end

    def external(self, sender: str = THERE, to: str = HERE) -> End:
        self.authorities.faults[sender] = ""
        end = self.secure(sender, to)
        [success] = end.say(EXTERNAL)
        assert success.name == "success"
        end.say(header(sender, to))
        return end

    # What goes out.

    def take_up(self, place: int = 0) -> End:
        """A call has come through: our stream begins. Its `Outgoing` is `outgoing`."""
        pair, to_verify, waiting = self.caller.calls.pop(place)
        protocol = XMLStream(self.hall.clock, self.hall.turn, Limits(10_000, depth=10))
        outgoing = Outgoing(self.peers, pair, Target("there", 5269), protocol, to_verify)
        protocol.receiver = outgoing
        self.peers.streams.add(outgoing)
        end = End(self, protocol)
        outgoing.ready.addCallbacks(lambda ignored: waiting.callback(outgoing), waiting.errback)
        end.heard()
        return end

    def stand(self, *features: str) -> End:
        """The same, and it goes well, by EXTERNAL; the features are those at the end."""
        end = self.take_up()
        greet(end)
        [auth] = end.say(
            "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
            "<mechanism>EXTERNAL</mechanism></mechanisms></stream:features>"
        )
        assert auth.name == "auth"
        end.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        end.say(header(THERE, HERE, "3"))
        end.first = end.say(f"<stream:features>{''.join(features)}</stream:features>")
        return end


def greet(end: End) -> None:
    """The other side takes TLS up with us."""
    end.say(header(THERE, HERE, "1"))
    tls = "urn:ietf:params:xml:ns:xmpp-tls"
    end.say(f"<stream:features><starttls xmlns='{tls}'><required/></starttls></stream:features>")
    end.say(f"<proceed xmlns='{tls}'/>")
    end.say(header(THERE, HERE, "2"))


def condition(elements: list[Element]) -> str:
    """Of the stream error among these."""
    [error] = [one for one in elements if one.name == "error"]
    return str(next(error.elements()).name)


def confirm(house: House, end: End, domain: str = THERE, type: str = dialback.VALID) -> None:
    """The domain's own server is asked, and says this."""
    asked = house.take_up()
    greet(asked)
    asked.say("<stream:features/>")
    asked.say(f"<db:verify from='{domain}' to='{HERE}' id='{end.id}' type='{type}'/>")
