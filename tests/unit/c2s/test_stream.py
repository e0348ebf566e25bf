"""A client's stream over a connection in memory: every byte as a client would see it."""

import base64
import gc
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pushd.c2s.door import ClientFactory
from pushd.c2s.guard import Guard
from pushd.c2s.login import Logins
from pushd.c2s.options import Door, DoorOptions
from pushd.net.admission import Admission, Quota
from pushd.net.certificates import DevelopmentCA
from pushd.net.pace import Rate
from pushd.net.tls import CertificateFiles, CertificateStore, DirectTLS
from pushd.net.xmlprotocol import XMLStream
from pushd.routing.events import SessionDetached, SessionEnded
from pushd.wire.element import Element
from pushd.wire.framer import Limits
from pushd.wire.sasl import ScramClient
from pushd.wire.scram import derive
from pushd.wire.secret import Secret
from tests import support
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

    def __init__(
        self,
        *,
        resume_timeout: float = 300.0,
        certificates: CertificateStore | None = None,
        hall: Hall | None = None,
        **options: Any,
    ) -> None:
        self.certificates = certificates
        self.address: Any = None  # of whoever connects next
        self.hall = hall or Hall(modules=MODULES, resume_timeout=resume_timeout)
        keys = derive("SHA-1", PASSWORD, b"salt", 4_096)
        for account in ("romeo@example.net", "juliet@example.net"):
            self.hall.wait(self.hall.host.accounts.add(account, {"SHA-1": keys}))
        logins = Logins(self.hall.host.accounts, b"pepper", at_once, Guard(self.hall.clock))
        door = self.door = Door(self.hall.host, logins, certificates, DoorOptions(**options))
        self.admission = Admission(self.hall.clock, Quota(100, 100), Quota(200, 200))
        self.factory = ClientFactory(door, self.hall.turn, self.admission)

    def connect(self) -> "Wire":
        return Wire(self)

    def login(self, user: str = "romeo", backlog: int | None = None) -> "Wire":
        wire = Wire(self)
        if backlog is not None:
            wire.protocol._backlog = backlog
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


class Wire(support.FarEnd):
    """One connection, from the client's end."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house = house
        self.transport: Any = Transport()  # type: ignore[no-untyped-call]
        protocol = house.factory.buildProtocol(house.address)
        assert isinstance(protocol, XMLStream)
        self.protocol = protocol
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def open(self, to: str = " to=") -> Element:
        """Open a stream, the first or the next one; gives its features."""
        self.begin()
        [self.features] = self.say(HEADER.replace(" to=", to))
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
        return self.read(data)

    def log_in(
        self, user: str, password: Secret = PASSWORD, lang: str = "", then: str = ""
    ) -> Element:
        """Log in, and open the next stream: in this language, or say something else instead."""
        self.open()
        scram = ScramClient("SHA-1", user, password)
        [challenge] = self.say(
            f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>{encoded(scram.first())}</auth>"
        )
        final = scram.final(base64.b64decode(str(challenge)))
        [outcome] = self.say(f"<response xmlns='{SASL}'>{encoded(final)}</response>")
        if outcome.name == "success" and then:
            self.protocol.dataReceived(then.encode())
        elif outcome.name == "success":
            self.open(f" xml:lang='{lang}' to=" if lang else " to=")
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
    house = House()
    before = {one.name for one in house.connect().open().elements()}
    again = {one.name for one in house.connect().open().elements()}
    after = {one.name for one in House().login().features.elements()}

    assert before == again == {"mechanisms", "limits"}
    assert {"bind", "session", "sm", "ver", "limits"} <= after
    assert "mechanisms" not in after


SAID = encoded(b"n,,n=romeo,r=abc")


@pytest.mark.parametrize(
    "xml",
    [
        pytest.param(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>{SAID}</auth>", id="plain"),
        pytest.param(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1' a='>'>{SAID}</auth>", id=">"),
        pytest.param(
            f"<s:auth xmlns:s='{SASL}' mechanism='SCRAM-SHA-1'>{SAID}</s:auth>", id="prefix"
        ),
        pytest.param(
            f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>&#x{ord(SAID[0]):x};{SAID[1:]}</auth>",
            id="reference",
        ),
        pytest.param(
            f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'><![CDATA[{SAID}]]></auth>", id="cdata"
        ),
    ],
)
def test_what_sasl_carries_is_read_however_it_is_written(xml: str) -> None:
    wire = House().connect()
    wire.open()

    assert [answer.name for answer in wire.say(xml)] == ["challenge"]


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


def test_a_connection_that_trickles_gets_no_more_time_for_it() -> None:
    house = House(authentication_timeout=10)
    wire = house.connect()
    wire.open()

    for _ in range(9):
        assert wire.say(" ") == []
        house.hall.advance(1)
    house.hall.advance(1)

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


def test_of_two_attempts_to_resume_a_session_the_later_one_has_it() -> None:
    house = House()
    romeo = house.bound()
    token = romeo.enable()
    romeo.say("<presence/>")
    romeo.lose()
    lost, again = house.login(), house.login()
    lost.say(f"<resume xmlns='{SM}' previd='{token}' h='0'/>", commit=False)
    again.say(f"<resume xmlns='{SM}' previd='{token}' h='0'/>", commit=False)
    house.hall.advance(0)

    assert [condition(one) for one in lost.heard()[-1:]] == ["conflict"]
    resumed, presence, _ = again.heard()
    assert (resumed.name, resumed["h"], presence.name) == ("resumed", "1", "presence")
    assert house.hall.host.sessions.by_token(token).stream is again.protocol.receiver  # type: ignore[union-attr]


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


def too_high_resumption(house: House, token: str) -> list[Element]:
    return house.login().say(f"<resume xmlns='{SM}' previd='{token}' h='7'/>")


@pytest.mark.parametrize("is_live", [True, False])
def test_a_session_that_its_client_counts_wrong_is_not_resumed_again_and_again(
    is_live: bool,
) -> None:
    house = House()
    romeo = house.bound()
    token = romeo.enable()
    if not is_live:
        romeo.lose()

    [error] = too_high_resumption(house, token)

    assert condition(error) == "undefined-condition"
    assert [condition(one) for one in romeo.heard()] == (["conflict"] if is_live else [])
    [failed] = too_high_resumption(house, token)
    assert condition(failed) == "item-not-found"


@pytest.mark.parametrize(
    "attributes", ["", "h='0'", "previd='x'", "previd='' h='0'", "previd='x' h='-1'"]
)
def test_a_resumption_that_lacks_something_is_a_bad_request(attributes: str) -> None:
    wire = House().login()

    [failed] = wire.say(f"<resume xmlns='{SM}' {attributes}/>")

    assert (failed.name, condition(failed)) == ("failed", "bad-request")
    assert not wire.is_closed


def test_where_nothing_is_resumed_that_is_said() -> None:
    house = House(resume_timeout=0)
    [enabled] = house.bound().say(f"<enable xmlns='{SM}' resume='true'/>")
    assert (enabled.name, enabled.getAttribute("resume")) == ("enabled", None)

    [failed] = house.login("juliet").say(f"<resume xmlns='{SM}' previd='x' h='0'/>")

    assert condition(failed) == "feature-not-implemented"


def test_stream_management_is_enabled_once() -> None:
    wire = House().bound()
    wire.enable()

    failed, error = wire.say(f"<enable xmlns='{SM}'/>")

    assert (failed.name, condition(failed)) == ("failed", "unexpected-request")
    assert condition(error) == "policy-violation"


@pytest.mark.parametrize("name", ["enable", "resume"])
def test_stream_management_comes_after_the_login(name: str) -> None:
    wire = House().connect()
    wire.open()

    failed, error = wire.say(f"<{name} xmlns='{SM}'/>")

    assert (failed.name, condition(failed)) == ("failed", "unexpected-request")
    assert condition(error) == "not-authorized"


@pytest.mark.parametrize(
    ("asked", "told"),
    [("", "300"), ("60", "60"), ("0", "300"), ("-5", "300"), ("9" * 400, "300"), ("x", "300")],
)
def test_a_client_may_ask_for_a_shorter_hold(asked: str, told: str) -> None:
    [enabled] = House().bound().say(f"<enable xmlns='{SM}' resume='1' max='{asked}'/>")

    assert enabled["max"] == told


def test_each_request_for_an_acknowledgement_is_answered_with_what_is_safe() -> None:
    wire = House().bound()
    wire.enable()

    answers = wire.say(f"<r xmlns='{SM}'/>" * 500)

    assert [(one.name, one["h"]) for one in answers] == [("a", "0")] * 500


@pytest.mark.parametrize("h", ["", "-1", "x", "4294967296", "9" * 5_000, "\u0661"])
def test_what_is_no_count_ends_the_stream(h: str) -> None:
    wire = House().bound()
    wire.enable()

    [error] = wire.say(f"<a xmlns='{SM}' h='{h}'/>")

    assert condition(error) == "bad-format"


def test_only_stanzas_count() -> None:
    house = House()
    wire = house.bound()
    wire.enable()

    wire.say(f"<message to='juliet@example.net'/><r xmlns='{SM}'/>  <a xmlns='{SM}' h='0'/>")

    [answer] = wire.say(f"<r xmlns='{SM}'/>")
    assert answer["h"] == "1"


# Headers (RFC 6120 \u00a74.7).


def test_a_header_is_answered_to_the_bare_address_that_it_names() -> None:
    wire = House().connect()
    wire.protocol.dataReceived(HEADER.replace(" to=", " from='Romeo@example.net/x' to=").encode())
    wire.house.hall.turn.flush()

    assert b" to='romeo@example.net' " in wire.transport.value()


def test_a_language_is_added_to_stanzas_and_a_long_one_is_not() -> None:
    house = House()
    juliet = house.bound("juliet", "balcony")
    for lang, expected in (("de-AT", "de-AT"), ("x" * 5_000, None)):
        wire = house.connect()
        wire.log_in("romeo", lang=lang)
        wire.say(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
            "<message to='juliet@example.net/balcony'><body>hi</body></message>"
        )

        [message] = juliet.heard()
        lang_of = message.attributes.get(("http://www.w3.org/XML/1998/namespace", "lang"))
        assert lang_of == expected


def test_an_error_behind_the_success_of_a_login_has_a_header_of_its_own() -> None:
    wire = House().connect()
    wire.log_in("romeo", then="<nonsense></mismatch>")
    wire.begin()

    [error] = wire.heard()

    assert condition(error) == "bad-format"
    assert wire.is_closed


def test_two_clients_of_rfc_3921_get_their_session() -> None:
    session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"
    wire = House().bound()

    for to in ("", " to='example.net'"):
        [answer] = wire.say(f"<iq type='set' id='s'{to}>{session}</iq>")
        assert (answer["type"], answer["id"]) == ("result", "s")


# Strangers, and peers that are slow or in a hurry.


def test_an_aborted_login_is_a_failed_one() -> None:
    wire = House(login_attempts=1).connect()
    wire.open()
    wire.say(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'/>")

    failure, error = wire.say(f"<abort xmlns='{SASL}'/>")

    assert (condition(failure), condition(error)) == ("aborted", "policy-violation")


def test_a_login_has_so_many_bytes_and_no_more() -> None:
    wire = House(unauthenticated=Limits(1_000)).connect()
    wire.open()

    heard = [one for _ in range(12) for one in wire.say(" " * 900)]

    assert [condition(one) for one in heard] == ["policy-violation"]


def test_whoever_has_logged_in_is_no_stranger_any_more() -> None:
    house = House()
    house.connect()
    assert len(house.admission.strangers) == 1

    house.login()

    assert len(house.admission.strangers) == 1


BIND = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"


def test_an_account_has_so_many_sessions_and_no_more() -> None:
    house = House(sessions_per_account=2)
    first = house.bound(resource="one")
    house.bound(resource="two")
    third = house.login()

    [refused] = third.say(BIND)
    assert (refused["type"], condition(refused.error)) == ("error", "resource-constraint")
    assert refused.error["type"] == "wait"

    first.lose()
    [bound] = third.say(BIND)
    assert bound["type"] == "result"


def test_a_resource_that_is_bound_again_takes_no_room() -> None:
    house = House(sessions_per_account=1)
    house.bound(resource="one")

    assert house.bound(resource="one")


def test_the_session_that_waits_the_longest_for_its_client_makes_room() -> None:
    house = House(sessions_per_account=3)
    wires = [house.bound(resource=name) for name in ("one", "two", "three")]
    for wire in wires[1:]:
        wire.enable()
    for wire in reversed(wires[1:]):
        wire.lose()
        house.hall.advance(1)

    house.bound(resource="four")

    assert set(house.hall.host.sessions.of("romeo@example.net")) == {"one", "two", "four"}
    [ended] = house.hall.events(SessionEnded)
    assert (ended.session.jid.resource, ended.reason) == ("three", "there are too many sessions")


def test_a_connection_too_many_is_not_let_in() -> None:
    house = House()
    wires = [house.connect() for _ in range(100)]
    assert house.factory.buildProtocol(None) is None

    wires[0].lose()

    assert house.factory.buildProtocol(None) is not None


def test_a_client_that_sends_more_than_its_account_may_is_read_more_slowly() -> None:
    house = House()
    house.door.budgets.rate = Rate(bytes=1_000)
    house.address = IPv4Address("TCP", "192.0.2.1", 5222)
    romeo, juliet = house.bound("romeo"), house.bound("juliet")
    house.address = IPv4Address("TCP", "127.0.0.1", 5222)
    local = house.bound("romeo", "local")

    for wire in (romeo, local):
        wire.say(" " * 20_000)
    [asked, answered] = [
        wire.say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        for wire in (romeo, juliet)
    ]
    assert (len(asked), len(answered)) == (0, 1)
    assert local.say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    house.hall.advance(10)
    assert [one["id"] for one in romeo.heard()] == ["r"]


def test_a_client_that_writes_faster_than_storage_is_read_as_fast_as_storage_writes() -> None:
    house = House()
    romeo = house.bound()
    romeo.enable()
    message = f"<message to='juliet@example.net'><body>{'x' * 10_000}</body></message>"

    for _ in range(60):
        romeo.say(message, commit=False)
    assert romeo.transport.producerState == "paused"
    session = house.hall.host.sessions.of("romeo@example.net")["phone"]
    assert session.handled is not None
    assert session.handled.received < 60

    house.hall.advance(0)

    assert romeo.transport.producerState == "producing"
    assert session.handled.received == 60
    house.hall.advance(0)
    assert session.handled.h == 60


def test_a_client_that_does_not_read_is_cut_and_loses_nothing() -> None:
    house = House(backlog=20_000)
    romeo, juliet = house.bound(), house.bound("juliet", "balcony")
    token = romeo.enable()
    romeo.say("<presence/>")
    romeo.protocol.pauseProducing()

    sent = 0
    while not romeo.transport.disconnecting:
        sent += 1
        assert sent < 50
        juliet.say(f"<message to='romeo@example.net/phone'><body>{sent:01000}</body></message>")
    juliet.say(f"<message to='romeo@example.net/phone'><body>{sent + 1:01000}</body></message>")
    romeo.lose()

    assert len(house.hall.events(SessionDetached)) == 1
    again = house.login(backlog=1 << 20)
    came = again.say(f"<resume xmlns='{SM}' previd='{token}' h='0'/>")
    bodies = [int(str(one.body)) for one in came if one.name == "message"]
    assert bodies == list(range(1, sent + 2))


STAGES: dict[str, Callable[[House], Wire]] = {
    "connected": lambda house: house.connect(),
    "opened": lambda house: said(house.connect(), HEADER),
    "within a stanza": lambda house: said(house.connect(), HEADER + "<message><body"),
    "logging in": lambda house: said(
        house.connect(), HEADER + f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'/>"
    ),
    "logged in": lambda house: house.login(),
    "bound": lambda house: house.bound(),
    "ended": lambda house: said(house.bound(), "</stream:stream>"),
    "offended": lambda house: said(house.bound(), "<oops></nonsense>"),
    "refused": lambda house: said(house.bound(), "<iq/><!-- a comment -->"),
    "enabling": lambda house: said(house.bound(), f"<enable xmlns='{SM}'/>", commit=False),
}


def said(wire: Wire, xml: str, *, commit: bool = True) -> Wire:
    wire.say(xml, commit=commit)
    return wire


@pytest.mark.parametrize("stage", STAGES)
def test_a_connection_lost_at_any_stage_leaves_nothing_behind(stage: str) -> None:
    house = House()
    clock = house.hall.clock
    house.hall.advance(0)
    timers = len(clock.getDelayedCalls())

    wire = STAGES[stage](house)
    protocol, client = weakref.ref(wire.protocol), weakref.ref(wire.protocol.receiver)
    wire.lose()

    assert len(clock.getDelayedCalls()) == timers
    assert list(house.hall.host.sessions.everyone()) == []
    assert (len(house.admission.connections), house.door.streams) == (0, set())
    assert house.hall.rows("SELECT count(*) FROM sessions") == [(0,)]
    house.hall.seen.clear()
    wire.transport.producer = None  # as a socket does when it is lost
    gc.disable()
    try:
        del wire.protocol
        assert (protocol(), client()) == (None, None)
    finally:
        gc.enable()


# A TLS handshake that never ends.


@pytest.fixture
def secure(tmp_path: Path) -> House:
    """A house whose door has a certificate."""
    issued = DevelopmentCA(tmp_path, time.time()).issue(["example.net"])
    files = CertificateFiles(issued.certificate, issued.key)
    return House(certificates=CertificateStore({"example.net": files}))


def test_a_handshake_that_never_ends_on_the_port_for_tls_is_cut_in_time(secure: House) -> None:
    assert secure.certificates is not None
    listener = DirectTLS(secure.certificates.options, secure.factory)
    protocol = listener.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
    transport = Endless()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"\x16\x03\x01\x02\x00\x01")

    secure.hall.advance(29)
    assert transport.ended == ""
    secure.hall.advance(1)

    assert transport.ended == "abort"
    gone = weakref.ref(protocol)
    gc.disable()
    try:
        protocol.connectionLost(Failure(ConnectionLost()))
        transport.producer = None
        del protocol
        assert gone() is None
    finally:
        gc.enable()
    assert (len(secure.admission.connections), secure.door.streams) == (0, set())


def test_a_handshake_that_never_ends_behind_starttls_is_cut_in_time(secure: House) -> None:
    wire = secure.connect()
    wire.transport = wire.protocol.transport = Endless()
    [features] = wire.say(HEADER)
    assert [one.name for one in features.elements()] == ["starttls"]
    [proceed] = wire.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    assert (proceed.name, wire.transport.tls is None) == ("proceed", False)

    secure.hall.advance(0)
    secure.hall.advance(30)

    assert (wire.transport.ended, wire.transport.take()) == ("abort", b"")


class Endless(support.Transport):
    """A transport whose peer never says more, and which is told to end all the same."""

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def setTcpKeepAlive(self, enabled: bool) -> None: ...

    def unregisterProducer(self) -> None:
        self.producer = None


def test_whoever_logged_in_before_the_account_was_disabled_gets_no_session() -> None:
    house = House()
    wire = house.login("romeo")
    house.hall.host.accounts.disable("romeo@example.net", "")

    [answer] = wire.say(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    )

    assert answer["type"] == "error"
    assert next(child.name for child in answer.error.elements()) == "not-allowed"
    assert not house.hall.host.sessions.of("romeo@example.net")


def test_other_options_hold_from_the_next_step_of_a_stream_on() -> None:
    house = House()
    wire = house.connect()
    house.door.options = DoorOptions(authenticated=Limits(20_000))

    wire.log_in("juliet")
    wire.protocol.dataReceived(f"<message id='{'x' * 20_000}'/>".encode())

    assert b"policy-violation" in wire.transport.value()


# Client state (XEP-0352).

CSI = "urn:xmpp:csi:0"


def test_a_client_tells_its_state_without_an_answer() -> None:
    """§3: what `<active/>` brings comes before the answer to what follows it."""
    house = House(hall=Hall(modules={**MODULES, "client_state": None, "ping": None}))
    romeo, juliet = house.bound(), house.bound("juliet", "balcony")
    assert romeo.features.csi.uri == CSI
    assert romeo.say(f"<inactive xmlns='{CSI}'/>") == []
    juliet.say("<presence to='romeo@example.net/phone'/>")
    assert romeo.heard() == []

    came = romeo.say(
        f"<active xmlns='{CSI}'/><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
    )

    assert [one.name for one in came] == ["presence", "iq"]


def test_a_state_is_nothing_to_a_server_without_the_module() -> None:
    house = House()
    romeo, juliet = house.bound(), house.bound("juliet", "balcony")
    assert romeo.features.csi is None

    assert romeo.say(f"<inactive xmlns='{CSI}'/><active xmlns='{CSI}'/>") == []
    assert romeo.say(f"<inactive xmlns='{CSI}'/>") == []
    juliet.say("<presence to='romeo@example.net/phone'/>")

    assert [one.name for one in romeo.heard()] == ["presence"]


@pytest.mark.parametrize("name", ["active", "inactive"])
def test_a_state_before_the_session_ends_the_stream(name: str) -> None:
    wire = House().login()

    [error] = wire.say(f"<{name} xmlns='{CSI}'/>")

    assert condition(error) == "not-authorized"
