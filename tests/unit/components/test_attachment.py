"""Being a component of another server, over a connection in memory (XEP-0114)."""

import hashlib
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from pushd.components.attachment import HANDSHAKE_BYTES, HANDSHAKE_TIME, PORT, Attachment
from pushd.net.xmlprotocol import XMLStream
from pushd.wire.element import Element, child
from pushd.wire.errors import RemoteServerNotFound, StanzaError
from pushd.wire.framer import Limits, seal
from pushd.wire.namespaces import NS_COMPONENT
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza
from tests.hall import Hall
from tests.support import FarEnd, Transport

DOMAIN = "push.example.net"
SECRET = Secret("between us")
PING = "<ping xmlns='urn:xmpp:ping'/>"


@implementer(IStreamClientEndpoint)
class Far(FarEnd):
    """The other server: what it hears, and what it says."""

    def __init__(self, hall: Hall) -> None:
        super().__init__()
        self.hall = hall
        self.is_up = True
        self.calls = 0
        self.protocol: XMLStream
        self.transport: Any

    def connect(self, protocolFactory: Any) -> "Deferred[Any]":  # noqa: N803
        self.calls += 1
        if not self.is_up:
            refused: Deferred[Any] = Deferred()
            refused.errback(ConnectionRefusedError())
            return refused
        self.transport = Transport()
        self.begin()
        self.header, self.is_closed = None, False
        self.protocol = protocolFactory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        return succeed(self.protocol)

    def say(self, xml: str) -> list[Element]:
        self.protocol.dataReceived(xml.encode())
        self.hall.advance(0)
        return self.heard()

    def heard(self) -> list[Element]:
        return self.read(self.transport.take())

    def greet(self, content: str = NS_COMPONENT) -> list[Element]:
        self.hall.advance(0)
        self.heard()
        return self.say(
            f"<stream:stream from='{DOMAIN}' id='an id' xmlns='{content}'"
            " xmlns:stream='http://etherx.jabber.org/streams'>"
        )

    def accept(self) -> None:
        self.greet()
        self.say("<handshake/>")

    def complain(self, condition: str) -> None:
        self.say(
            f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            "</stream:error></stream:stream>"
        )
        self.lose()

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionLost()))


class House:
    def __init__(self, domains: tuple[str, ...] = ()) -> None:
        self.hall = Hall(domains=domains, modules={"ping": None})
        self.hall.host.router.add_service(DOMAIN)
        self.hall.host.disco.add_identity(DOMAIN, "pubsub", "push")
        self.far = Far(self.hall)
        self.attachment = Attachment(
            self.hall.host, self.hall.turn, DOMAIN, SECRET, self.far, "here", Limits(100_000)
        )

    def attach(self) -> None:
        self.attachment.start()
        self.far.accept()
        assert self.attachment.obstacle == ""

    def say(self, to: str, name: str = "message") -> None:
        """Our domain says something to others."""
        stanza = Stanza.of(_element(f"<{name} from='{DOMAIN}' to='{to}' id='m'/>"))
        self.hall.host.router.route(stanza)
        self.hall.advance(0)


def _element(xml: str) -> Element:
    return seal(xml.encode()).tree


@pytest.fixture
def house() -> House:
    return House()


# The handshake.


def test_it_names_itself_and_proves_itself(house: House) -> None:
    house.attachment.start()

    [handshake] = house.far.greet()

    assert house.far.header is not None
    assert house.far.header.attributes == {"to": DOMAIN}
    assert house.far.header.content == NS_COMPONENT
    assert str(handshake) == hashlib.sha1(b"an idbetween us").hexdigest()


def test_it_is_attached_when_the_server_says_so(house: House) -> None:
    house.attachment.start()
    house.far.greet()
    assert house.attachment.obstacle

    house.far.say("<handshake/>")

    assert house.attachment.told() == {"domain": DOMAIN, "obstacle": ""}


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("not-authorized", "secret"),
        ("host-unknown", "no component of this name"),
        ("conflict", "connected already"),
        ("system-shutdown", "system-shutdown"),
    ],
)
def test_a_refusal_is_told_with_its_remedy_and_tried_again(
    house: House, condition: str, words: str
) -> None:
    house.attachment.start()
    house.far.greet()

    house.far.complain(condition)

    assert condition in house.attachment.obstacle
    assert words in house.attachment.obstacle
    assert SECRET.reveal() not in house.attachment.obstacle
    house.hall.advance(2)
    assert house.far.calls == 2


def test_refusals_are_answered_with_longer_and_longer_pauses(house: House) -> None:
    house.attachment.start()
    for _ in range(20):
        house.far.greet()
        house.far.complain("not-authorized")
        house.hall.advance(61)

    assert house.far.calls == 21
    house.far.greet()
    house.far.complain("not-authorized")
    house.hall.advance(59)
    assert house.far.calls == 21


def test_a_server_that_says_nothing_is_left(house: House) -> None:
    house.attachment.start()

    house.hall.advance(HANDSHAKE_TIME + 1)

    assert house.far.transport.ended
    house.far.lose()
    assert "connection-timeout" in house.attachment.obstacle


def test_a_server_that_says_too_much_before_is_left(house: House) -> None:
    house.attachment.start()
    house.far.greet()

    house.far.say(f"<x>{'y' * HANDSHAKE_BYTES}</x>")

    assert house.far.transport.ended


def test_a_stream_of_another_kind_is_left(house: House) -> None:
    house.attachment.start()

    house.far.greet("jabber:server")

    assert house.far.transport.ended
    house.far.lose()
    assert house.attachment.obstacle == f"this port of the server is for jabber:server: {PORT}"


def test_who_hangs_up_at_once_may_want_tls(house: House) -> None:
    house.attachment.start()
    assert house.attachment.obstacle == "here is reached, and does not take it yet"
    house.far.lose()
    assert house.attachment.obstacle.endswith(PORT)
    house.hall.advance(2)
    house.far.say("HTTP/1.1 400 Bad Request")
    assert house.attachment.obstacle.startswith("here is reached")
    house.far.lose()
    assert house.attachment.obstacle.startswith("not-well-formed")
    assert house.attachment.obstacle.endswith(PORT)


@pytest.mark.parametrize("early", ["<message from='a@b' to='push.example.net'/>", "<nonsense/>"])
def test_nothing_comes_before_the_handshake(house: House, early: str) -> None:
    house.attachment.start()
    house.far.greet()

    [error] = house.far.say(early)

    assert error.name == "error"
    assert house.far.is_closed


# What passes.


def test_requests_of_the_world_are_answered_through_the_server(house: House) -> None:
    house.attach()

    [answer] = house.far.say(
        f"<iq type='get' id='q' from='juliet@example.org/phone' to='{DOMAIN}'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )

    assert (answer["type"], answer["id"]) == ("result", "q")
    assert (answer["from"], answer["to"]) == (DOMAIN, "juliet@example.org/phone")
    assert child(answer, "http://jabber.org/protocol/disco#info", "query") is not None


def test_what_our_domain_says_to_others_goes_through_the_server(house: House) -> None:
    house.attach()

    house.say("juliet@example.org")

    [message] = house.far.heard()
    assert (message["from"], message["to"]) == (DOMAIN, "juliet@example.org")


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        ("<message from='a@b' to='elsewhere.example'/>", "host-unknown"),
        ("<message from='a@b'/>", "improper-addressing"),
        (f"<message to='{DOMAIN}'/>", "improper-addressing"),
        (f"<message from='@' to='{DOMAIN}'/>", "improper-addressing"),
        (f"<handshake from='a@b' to='{DOMAIN}'/>", "unsupported-stanza-type"),
    ],
)
def test_a_server_that_says_what_is_not_for_us_is_left(
    house: House, stanza: str, condition: str
) -> None:
    house.attach()

    [error] = house.far.say(stanza)

    assert next(error.elements()).name == condition
    assert house.far.is_closed


def test_a_big_stanza_is_taken_once_we_are_attached(house: House) -> None:
    house.attach()

    [answer] = house.far.say(
        f"<iq type='get' id='q' from='a@b/c' to='{DOMAIN}'>"
        f"<x xmlns='nothing'>{'y' * 2 * HANDSHAKE_BYTES}</x></iq>"
    )

    assert answer["type"] == "error"


# Away, and back.


def test_what_our_domain_says_while_the_server_is_away_is_refused(house: House) -> None:
    house.far.is_up = False
    house.attachment.start()
    refused: list[str] = []
    refuse = house.hall.host.router.refuse

    def seen(stanza: Stanza, error: StanzaError) -> None:
        refused.append(f"{stanza.attributes['to']}: {error.condition}")
        refuse(stanza, error)

    house.hall.host.router.refuse = seen  # type: ignore[method-assign]

    house.say("juliet@example.org")

    assert refused[0] == "juliet@example.org: remote-server-timeout"
    assert house.attachment.obstacle


def test_it_comes_back_when_the_connection_is_lost(house: House) -> None:
    house.attach()

    house.far.lose()
    assert house.attachment.obstacle
    house.hall.advance(2)
    house.far.accept()

    assert house.attachment.obstacle == ""
    assert house.far.calls == 2


def test_it_comes_back_when_the_server_is_up_again(house: House) -> None:
    house.far.is_up = False
    house.attachment.start()
    house.hall.advance(0)
    assert house.attachment.obstacle.startswith("nobody is reached at here (component.host,")

    house.far.is_up = True
    house.hall.advance(2)
    house.far.accept()

    assert house.attachment.obstacle == ""


def test_a_server_that_closes_its_stream_is_answered_and_called_again(house: House) -> None:
    house.attach()

    house.far.say("</stream:stream>")

    assert house.far.is_closed
    house.far.lose()
    house.hall.advance(2)
    assert house.far.calls == 2


def test_another_secret_is_used_at_the_next_handshake(house: House) -> None:
    house.attach()

    house.attachment.secret = Secret("a newer one")
    house.far.lose()
    house.hall.advance(2)
    [handshake] = house.far.greet()

    assert str(handshake) == hashlib.sha1(b"an ida newer one").hexdigest()


# The end.


def test_it_says_farewell_and_is_not_back(house: House) -> None:
    house.attach()

    gone = house.attachment.stop()
    house.far.heard()

    assert house.far.is_closed
    assert not gone.called
    house.far.lose()
    assert gone.called
    house.hall.advance(3600)
    assert house.far.calls == 1


def test_it_may_end_before_it_was_attached(house: House) -> None:
    house.far.is_up = False
    house.attachment.start()

    assert house.attachment.stop().called
    house.hall.advance(3600)
    assert house.far.calls == 1


# Beside domains of our own.


def test_what_our_accounts_say_does_not_go_through_it() -> None:
    house = House(domains=("example.net",))
    house.attach()
    romeo = house.hall.login("romeo@example.net/orchard")

    answer = romeo.ask(f"<iq type='get' id='q' to='example.org'>{PING}</iq>")

    assert answer.error.firstChildElement().name == RemoteServerNotFound.condition
    assert house.far.heard() == []


@pytest.mark.parametrize("sender", ["romeo@example.net/orchard", "example.net", DOMAIN])
def test_the_server_speaks_for_nobody_here(sender: str) -> None:
    house = House(domains=("example.net",))
    house.attach()
    asked = "<query xmlns='http://jabber.org/protocol/disco#info'/>"

    [error] = house.far.say(f"<iq type='get' id='q' from='{sender}' to='{DOMAIN}'>{asked}</iq>")

    assert next(error.elements()).name == "invalid-from"
    assert house.far.is_closed


def test_our_accounts_reach_the_service_without_it() -> None:
    house = House(domains=("example.net",))
    house.attach()
    romeo = house.hall.login("romeo@example.net/orchard")

    answer = romeo.ask(
        f"<iq type='get' id='q' to='{DOMAIN}'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )

    assert answer["type"] == "result"
    assert house.far.heard() == []
