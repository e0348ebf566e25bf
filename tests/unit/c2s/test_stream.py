"""A client's stream over a connection in memory: every byte as a client would see it."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pushd.c2s.door import ClientFactory
from pushd.c2s.login import Logins
from pushd.c2s.stream import Door, DoorOptions
from pushd.net.admission import Admission
from pushd.net.xmlprotocol import XMLStream
from pushd.routing.events import SessionDetached, SessionEnded
from pushd.wire.element import Element
from pushd.wire.framer import Framer, Limits, StreamClosed, StreamOpened
from pushd.wire.sasl import ScramClient
from pushd.wire.scram import derive
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza
from tests.hall import Hall

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SM = "urn:xmpp:sm:3"
PASSWORD = Secret("secret")
HEADER = (
    "<stream:stream to='example.net' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
MODULES = {"roster": None, "presence": None, "offline": None}


def at_once(work: Callable[..., Any], *given: Any) -> "Deferred[Any]":
    return succeed(work(*given))


class House:
    """A hall with a door, and accounts whose keys cost little."""

    def __init__(self, **options: Any) -> None:
        self.hall = Hall(modules=MODULES)
        keys = derive("SHA-1", PASSWORD, b"salt", 4_096)
        for account in ("romeo@example.net", "juliet@example.net"):
            self.hall.wait(self.hall.host.accounts.add(account, {"SHA-1": keys}))
        logins = Logins(self.hall.host.accounts, b"pepper", at_once)
        door = Door(self.hall.host, logins, None, DoorOptions(**options))
        self.factory = ClientFactory(door, self.hall.turn, Admission(self.hall.clock, 100, 100))

    def connect(self) -> "Wire":
        return Wire(self)

    def login(self, user: str = "romeo") -> "Wire":
        wire = Wire(self)
        wire.log_in(user)
        return wire

    def bound(self, user: str = "romeo", resource: str = "phone") -> "Wire":
        wire = self.login(user)
        [answer] = wire.say(
            f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{resource}</resource></bind></iq>"
        )
        assert str(answer.bind.jid) == f"{user}@example.net/{resource}"
        return wire


class Transport(StringTransport):
    """As tolerant as a socket."""

    def unregisterProducer(self) -> None:
        self.producer = None


class Wire:
    """One connection, from the client's end."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.transport: Any = Transport()  # type: ignore[no-untyped-call]
        protocol = house.factory.buildProtocol(None)
        assert isinstance(protocol, XMLStream)
        self.protocol = protocol
        self.framer = Framer(Limits())
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        self.is_closed = False

    def open(self) -> Element:
        """Open a stream, the first or the next one; gives its features."""
        self.framer = Framer(Limits())
        [self.features] = self.say(HEADER)
        return self.features

    def say(self, xml: str, *, commit: bool = True) -> list[Element]:
        """Say something, and hear what comes of it."""
        self.protocol.dataReceived(xml.encode())
        if commit:
            self.house.hall.advance(0)
        return self.heard()

    def heard(self) -> list[Element]:
        data = self.transport.value()
        self.transport.clear()
        found = []
        for event in self.framer.feed(data):
            if isinstance(event, Stanza):
                found.append(event.tree)
            elif isinstance(event, StreamClosed):
                self.is_closed = True
            else:
                assert isinstance(event, StreamOpened), event
        return found

    def log_in(self, user: str, password: Secret = PASSWORD) -> Element:
        self.open()
        scram = ScramClient("SHA-1", user, password)
        [challenge] = self.say(
            f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>{encoded(scram.first())}</auth>"
        )
        final = scram.final(base64.b64decode(str(challenge)))
        [outcome] = self.say(f"<response xmlns='{SASL}'>{encoded(final)}</response>")
        if outcome.name == "success":
            self.open()
        return outcome

    def enable(self) -> str:
        """Stream management with resumption; gives the token."""
        [enabled] = self.say(f"<enable xmlns='{SM}' resume='true'/>")
        assert enabled["resume"] == "true"
        return str(enabled["id"])

    def lose(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.house.hall.advance(0)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def condition(error: Element) -> str:
    return str(error.firstChildElement().name)


# Negotiation.


def test_features_grow_with_the_login() -> None:
    before = {one.name for one in House().connect().open().elements()}
    after = {one.name for one in House().login().features.elements()}

    assert before == {"mechanisms", "limits"}
    assert {"bind", "session", "sm", "ver", "limits"} <= after
    assert "mechanisms" not in after


@pytest.mark.parametrize("user", ["romeo", "nobody"])
def test_a_wrong_password_fails_alike_for_known_and_unknown_users(user: str) -> None:
    outcome = House().connect().log_in(user, Secret("wrong"))

    assert (outcome.name, condition(outcome)) == ("failure", "not-authorized")


def test_too_many_failed_logins_end_the_stream() -> None:
    wire = House(login_attempts=2).connect()
    wire.open()
    auth = f"<auth xmlns='{SASL}' mechanism='NONSENSE'/>"

    assert [one.name for one in wire.say(auth)] == ["failure"]
    failure, error = wire.say(auth)

    assert (failure.name, condition(error)) == ("failure", "policy-violation")
    assert wire.is_closed


def test_a_stanza_before_the_login_ends_the_stream() -> None:
    wire = House().connect()
    wire.open()

    [error] = wire.say("<message to='juliet@example.net'/>")

    assert condition(error) == "not-authorized"


def test_an_unknown_host_is_told_so() -> None:
    wire = House().connect()

    [error] = wire.say(HEADER.replace("example.net", "example.com"))

    assert condition(error) == "host-unknown"


def test_a_connection_without_a_login_is_closed_in_time() -> None:
    house = House(authentication_timeout=10)
    wire = house.connect()
    wire.open()

    house.hall.advance(11)

    assert [condition(one) for one in wire.heard()] == ["connection-timeout"]
    assert wire.transport.disconnecting


def test_a_resource_is_bound_once_and_the_first_session_told() -> None:
    house = House()
    first = house.bound()

    house.bound()

    assert [condition(one) for one in first.heard()] == ["conflict"]
    assert first.is_closed


def test_a_foreign_sender_ends_the_stream() -> None:
    wire = House().bound()

    [error] = wire.say("<message from='juliet@example.net' to='juliet@example.net'/>")

    assert condition(error) == "invalid-from"


def test_stanzas_are_stamped_with_their_sender() -> None:
    house = House()
    romeo, juliet = house.bound(), house.bound("juliet", "balcony")

    romeo.say("<message to='juliet@example.net/balcony' id='1'><body>hi</body></message>")

    [message] = juliet.heard()
    assert message["from"] == "romeo@example.net/phone"


# Stream management (XEP-0198).


def test_a_lost_connection_is_resumed_with_all_that_came_meanwhile() -> None:
    house = House()
    romeo, juliet = house.bound(), house.bound("juliet", "balcony")
    token = romeo.enable()
    romeo.say("<presence/>")
    romeo.lose()
    juliet.say("<message to='romeo@example.net' type='chat'><body>hi</body></message>")

    again = house.login()
    resumed, _, message, *_ = again.say(f"<resume xmlns='{SM}' previd='{token}' h='0'/>")

    assert (resumed.name, resumed["h"], resumed["previd"]) == ("resumed", "1", token)
    assert str(message.body) == "hi"


@pytest.mark.parametrize("farewell", ["lost", "closed", "error"])
def test_a_connection_that_breaks_while_resuming_leaves_the_session_to_its_hold(
    farewell: str,
) -> None:
    house = House()
    romeo = house.bound()
    token = romeo.enable()
    romeo.lose()
    session = house.hall.host.sessions.by_token(token)
    assert session is not None

    again = house.login()
    again.say(f"<resume xmlns='{SM}' previd='{token}' h='0'/>", commit=False)
    if farewell == "lost":
        again.protocol.connectionLost(Failure(ConnectionLost()))
    elif farewell == "closed":
        again.say("</stream:stream>", commit=False)
        again.protocol.connectionLost(Failure(ConnectionLost()))
    else:
        house.factory.close_all()
    house.hall.advance(0)

    assert session.is_detached
    house.hall.advance(301)
    assert [event.session for event in house.hall.events(SessionEnded)] == [session]


def test_a_session_is_taken_from_a_connection_that_still_looks_open() -> None:
    house = House()
    romeo = house.bound()
    token = romeo.enable()

    again = house.login()
    [resumed] = again.say(f"<resume xmlns='{SM}' previd='{token}' h='0'/>")

    assert resumed.name == "resumed"
    assert [condition(one) for one in romeo.heard()] == ["conflict"]
    romeo.lose()
    assert house.hall.events(SessionDetached) == []
    again.lose()
    assert len(house.hall.events(SessionDetached)) == 1


@pytest.mark.parametrize("user", ["romeo", "juliet"])
def test_a_session_that_is_not_ones_own_or_is_over_is_not_found(user: str) -> None:
    house = House()
    romeo = house.bound()
    token = romeo.enable()
    romeo.say("<presence/>")
    romeo.say("</stream:stream>")

    [failed] = house.login(user).say(f"<resume xmlns='{SM}' previd='{token}' h='0'/>")

    assert (failed.name, condition(failed)) == ("failed", "item-not-found")
    assert failed.getAttribute("h") == ("1" if user == "romeo" else None)


def test_a_count_that_is_too_high_ends_the_stream_and_the_session_waits() -> None:
    house = House()
    romeo = house.bound()
    romeo.enable()

    [error] = romeo.say(f"<a xmlns='{SM}' h='7'/>")

    assert condition(error) == "undefined-condition"
    too_high = [one for one in error.elements() if one.name == "handled-count-too-high"]
    assert [(one["h"], one["send-count"]) for one in too_high] == [("7", "0")]
    assert len(house.hall.events(SessionDetached)) == 1
