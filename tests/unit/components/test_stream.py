"""A component's stream over a connection in memory (XEP-0114)."""

import gc
import hashlib
import weakref
from collections.abc import Callable

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from pushd.components.door import ComponentFactory
from pushd.components.stream import HANDSHAKE_BYTES, HANDSHAKE_TIME, Components
from pushd.net.admission import Admission, Quota
from pushd.net.xmlprotocol import XMLStream
from pushd.wire.element import Element
from pushd.wire.framer import Limits
from pushd.wire.secret import Secret
from tests.hall import Client, Hall
from tests.support import FarEnd, Transport

DOMAIN = "push.example.net"
SECRET = Secret("between us")
HEADER = (
    "<stream:stream to='push.example.net' xmlns='jabber:component:accept' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)


class House:
    def __init__(self) -> None:
        self.hall = Hall()
        components = Components(
            self.hall.host, {DOMAIN: SECRET, "other.example.net": Secret("x")}, Limits(100_000)
        )
        self.admission = Admission(self.hall.clock, Quota(10, 10), Quota(20, 20))
        self.factory = ComponentFactory(components, self.hall.turn, self.admission)
        self.romeo: Client = self.hall.login("romeo@example.net/orchard")

    def connect(self) -> "Wire":
        return Wire(self)

    def connected(self) -> "Wire":
        wire = Wire(self)
        assert [one.name for one in wire.prove()] == ["handshake"]
        return wire


class Wire(FarEnd):
    """One connection, from the component's end."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house = house
        self.transport = Transport()
        protocol = house.factory.buildProtocol(None)
        assert isinstance(protocol, XMLStream)
        self.protocol = protocol
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def say(self, xml: str) -> list[Element]:
        self.protocol.dataReceived(xml.encode())
        self.house.hall.advance(0)
        return self.heard()

    def heard(self) -> list[Element]:
        return self.read(self.transport.take())

    def prove(self, secret: Secret = SECRET, header: str = HEADER) -> list[Element]:
        heard = self.say(header)
        if heard or self.header is None:
            return heard
        stream = self.header.attributes["id"]
        proof = hashlib.sha1((stream + secret.reveal()).encode()).hexdigest()
        return self.say(f"<handshake>{proof}</handshake>")

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionLost()))


def condition(error: Element) -> str:
    return str(next(error.elements()).name)


@pytest.fixture
def house() -> House:
    return House()


# The handshake.


def test_a_component_that_proves_itself_is_connected(house: House) -> None:
    wire = house.connect()

    [answer] = wire.prove()

    assert (answer.name, str(answer)) == ("handshake", "")
    assert wire.header is not None
    assert wire.header.attributes["from"] == DOMAIN
    assert wire.header.content == "jabber:component:accept"
    assert "version" not in wire.header.attributes


def test_a_proof_may_be_written_in_capitals_and_on_a_line_of_its_own(house: House) -> None:
    wire = house.connect()
    wire.say(HEADER)
    assert wire.header is not None
    proof = hashlib.sha1((wire.header.attributes["id"] + SECRET.reveal()).encode()).hexdigest()

    [answer] = wire.say(f"<handshake>\n{proof.upper()}\n</handshake>")

    assert answer.name == "handshake"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADER.replace(DOMAIN, "unknown.example.net"), "host-unknown"),
        (HEADER.replace(f"to='{DOMAIN}' ", ""), "host-unknown"),
        (HEADER.replace(DOMAIN, f"a@{DOMAIN}"), "host-unknown"),
        (HEADER.replace(DOMAIN, "@"), "host-unknown"),
        (HEADER.replace(DOMAIN, "example.net"), "host-unknown"),
        (HEADER.replace("jabber:component:accept", "jabber:client"), "invalid-namespace"),
        (HEADER.replace("xmlns='jabber:component:accept' ", ""), "invalid-namespace"),
        ("<nonsense/>", "bad-format"),
    ],
)
def test_a_wrong_header_is_answered_with_a_header_and_its_error(
    house: House, header: str, expected: str
) -> None:
    wire = house.connect()

    [error] = wire.say(header)

    assert condition(error) == expected
    assert wire.header is not None
    assert wire.is_closed


@pytest.mark.parametrize("secret", ["", "Between us", "x"])
def test_a_wrong_secret_is_not_authorized(house: House, secret: str) -> None:
    """Not even the one of another component."""
    wire = house.connect()

    [error] = wire.prove(Secret(secret))

    assert condition(error) == "not-authorized"
    assert wire.is_closed


@pytest.mark.parametrize("proof", ["", "\u00e9", "0" * 40, "<a/>"])
def test_what_is_no_proof_is_not_authorized(house: House, proof: str) -> None:
    wire = house.connect()
    wire.say(HEADER)

    [error] = wire.say(f"<handshake>{proof}</handshake>")

    assert condition(error) == "not-authorized"


def test_a_second_component_of_a_name_is_a_conflict_and_the_first_stays(house: House) -> None:
    first, second = house.connected(), house.connect()

    [error] = second.prove()

    assert condition(error) == "conflict"
    house.romeo.send(f"<message to='{DOMAIN}' id='1'/>")
    assert [one["id"] for one in first.heard()] == ["1"]


def test_a_component_comes_back_once_its_connection_is_gone(house: House) -> None:
    house.connected().lose()

    house.connected()


def test_a_stanza_before_the_handshake_is_not_authorized(house: House) -> None:
    wire = house.connect()
    wire.say(HEADER)

    [error] = wire.say(f"<message from='{DOMAIN}' to='romeo@example.net'/>")

    assert condition(error) == "not-authorized"
    assert house.romeo.received() == []


def test_who_does_not_prove_itself_in_time_is_sent_away(house: House) -> None:
    wire = house.connect()
    wire.say(HEADER)

    house.hall.advance(HANDSHAKE_TIME)

    assert [condition(one) for one in wire.heard()] == ["connection-timeout"]


def test_before_the_handshake_little_may_be_said(house: House) -> None:
    wire = house.connect()
    wire.say(HEADER)

    heard = [one for _ in range(3) for one in wire.say(" " * (HANDSHAKE_BYTES // 2))]

    assert [condition(one) for one in heard] == ["policy-violation"]


def test_after_the_handshake_stanzas_may_be_large(house: House) -> None:
    wire = house.connected()

    wire.say(
        f"<message from='{DOMAIN}' to='romeo@example.net'><body>{'x' * 50_000}</body></message>"
    )

    [message] = house.romeo.received()
    assert len(str(message.body)) == 50_000


def test_strangers_are_counted(house: House) -> None:
    wires = [house.connect() for _ in range(10)]
    assert house.factory.buildProtocol(None) is None

    wires[0].prove()

    assert house.factory.buildProtocol(None) is not None


# Stanzas.


@pytest.mark.parametrize("sender", [DOMAIN, f"bot@{DOMAIN}", f"bot@{DOMAIN}/1", DOMAIN.upper()])
def test_a_component_speaks_for_anybody_at_its_domain(house: House, sender: str) -> None:
    house.connected().say(f"<message from='{sender}' to='romeo@example.net' id='1'/>")

    assert [one["from"] for one in house.romeo.received()] == [sender]


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ("from='romeo@example.net' to='romeo@example.net'", "invalid-from"),
        ("from='other.example.net' to='romeo@example.net'", "invalid-from"),
        (f"from='x.{DOMAIN}' to='romeo@example.net'", "invalid-from"),
        ("to='romeo@example.net'", "invalid-from"),
        ("from='@' to='romeo@example.net'", "invalid-from"),
        (f"from='{DOMAIN}'", "improper-addressing"),
        (f"from='{DOMAIN}' to=''", "improper-addressing"),
    ],
)
def test_a_component_speaks_for_nobody_else_and_to_somebody(
    house: House, addresses: str, expected: str
) -> None:
    wire = house.connected()

    [error] = wire.say(f"<message {addresses}/>")

    assert condition(error) == expected
    assert wire.is_closed
    assert house.romeo.received() == []


def test_a_component_does_not_speak_for_the_server_in_what_a_stanza_holds(house: House) -> None:
    house.connected().say(
        f"<message from='{DOMAIN}' to='romeo@example.net'>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='1'/>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='push.example.net' id='2'/>"
        "<delay xmlns='urn:xmpp:delay' from='example.net' stamp='2020-01-01T00:00:00Z'/></message>"
    )

    [message] = house.romeo.received()
    assert [(one.name, one["id"]) for one in message.elements()] == [("stanza-id", "2")]


def test_stanzas_change_their_namespace_in_both_directions(house: House) -> None:
    wire = house.connected()

    house.romeo.send(
        f"<message to='{DOMAIN}' id='1'><body xmlns='jabber:client'>hi</body></message>"
    )
    raw = wire.transport.take()
    assert b"jabber:client" not in raw
    assert b"<body>hi</body>" in raw

    wire.say(f"<message from='{DOMAIN}' to='romeo@example.net'><body>ho</body></message>")
    [message] = house.romeo.received()
    assert (message.uri, message.body.uri, str(message.body)) == (
        "jabber:client",
        "jabber:client",
        "ho",
    )


def test_who_writes_to_a_component_that_is_away_is_told_so(house: House) -> None:
    house.romeo.send(f"<iq type='get' id='1' to='{DOMAIN}'><a xmlns='urn:a'/></iq>")

    [answer] = house.romeo.received()
    assert (answer["type"], answer["from"]) == ("error", DOMAIN)
    assert next(answer.error.elements()).name == "remote-server-timeout"


def test_a_component_that_closes_its_stream_is_away(house: House) -> None:
    wire = house.connected()

    wire.say("</stream:stream>")

    assert wire.is_closed
    house.romeo.send(f"<message to='{DOMAIN}'/>")
    assert [one["type"] for one in house.romeo.received()] == ["error"]


def test_an_error_of_a_component_is_not_answered_with_one(house: House) -> None:
    wire = house.connected()

    said = wire.say(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    )

    assert said == []
    assert wire.is_closed
    house.connected()


def test_a_server_that_stops_says_so(house: House) -> None:
    wires = [house.connected(), house.connect()]

    house.factory.close_all()

    assert [[condition(one) for one in wire.heard()] for wire in wires] == [["system-shutdown"]] * 2


def test_a_component_that_writes_faster_than_storage_is_read_as_fast(house: House) -> None:
    wire = house.connected()
    house.hall.login("juliet@example.net/phone", sm=True)
    body = "x" * 50_000
    message = f"<message from='{DOMAIN}' to='juliet@example.net'><body>{body}</body></message>"

    for _ in range(11):
        wire.protocol.dataReceived(message.encode())
    assert wire.transport.producerState == "paused"

    house.hall.advance(0)
    assert wire.transport.producerState == "producing"


STAGES: dict[str, Callable[[House], Wire]] = {
    "connected": lambda house: house.connect(),
    "opened": lambda house: said(house.connect(), HEADER),
    "proven": lambda house: house.connected(),
    "closed": lambda house: said(house.connected(), "</stream:stream>"),
    "offended": lambda house: said(house.connected(), "<oops></nonsense>"),
}


def said(wire: Wire, xml: str) -> Wire:
    wire.say(xml)
    return wire


@pytest.mark.parametrize("stage", STAGES)
def test_a_connection_lost_at_any_stage_leaves_nothing_behind(house: House, stage: str) -> None:
    house.hall.advance(0)
    timers = len(house.hall.clock.getDelayedCalls())

    wire = STAGES[stage](house)
    protocol, component = weakref.ref(wire.protocol), weakref.ref(wire.protocol.receiver)
    wire.lose()

    assert len(house.hall.clock.getDelayedCalls()) == timers
    assert (len(house.admission.connections), house.factory._open) == (0, set())
    wire.transport.producer = None  # as a socket does when it is lost
    gc.disable()
    try:
        del wire.protocol
        assert (protocol(), component()) == (None, None)
    finally:
        gc.enable()
