"""Streams that we open: what we accept on the way, and what we do when they end."""

import pytest
from twisted.logger import capturedLogs, formatEvent

from pushd.net.xmlprotocol import XMLStream
from pushd.routing.requests import Refusal
from pushd.s2s import peers
from pushd.s2s.bidi import SILENCE
from pushd.s2s.faults import Fault
from pushd.s2s.options import Options
from pushd.wire import dialback
from pushd.wire.element import Element, child, element
from pushd.wire.framer import seal
from tests.hall import Client
from tests.support import result_of
from tests.unit.s2s.house import EXTERNAL, HERE, THERE, End, House, condition, greet, header

WORD = "<message to='juliet@there.example' id='{}'><body>hi</body></message>"
SM = "<sm xmlns='urn:xmpp:sm:3'/>"
CARRYING = "<dialback xmlns='urn:xmpp:features:dialback'/>"  # several domains on a stream
ENABLED = "<enabled xmlns='urn:xmpp:sm:3'/>"
MECHANISMS = (
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    "<mechanism>EXTERNAL</mechanism></mechanisms>"
    "<dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"
)
NO_TLS = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"


def refusals(client: Client) -> list[tuple[str, str]]:
    """The ids of what came back to a client, and why."""
    found = []
    for stanza in client.received():
        error = child(stanza, "jabber:client", "error")
        assert error is not None
        found.append((stanza["id"], str(next(error.elements()).name)))
    return found


def ids(stanzas: list[Element]) -> list[str]:
    return [one["id"] for one in stanzas if one.name == "message"]


def test_what_is_for_others_waits_for_a_stream_and_keeps_its_order() -> None:
    house = House()
    for number in range(3):
        house.romeo.send(WORD.format(number))
    assert [pair for pair, _, _ in house.caller.calls] == [(HERE, THERE)]
    end = house.stand()
    house.romeo.send(WORD.format(3))
    assert ids(end.heard()) == ["3"]  # the others were said as soon as the stream stood
    assert not house.peers.waiting


def test_all_is_said_once_the_stream_stands() -> None:
    house = House()
    house.romeo.send(WORD.format(1))
    end = house.take_up()
    greet(end)
    end.say(MECHANISMS)
    end.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    end.say(header(THERE, HERE, "3"))
    [message] = end.say("<stream:features/>")
    assert message["id"] == "1"
    assert (message["from"], message.uri) == (house.romeo.session.full, "jabber:client")
    house.romeo.send(WORD.format(2))
    assert ids(end.heard()) == ["2"]


def test_a_failed_external_goes_on_with_dialback() -> None:
    house = House()
    house.romeo.send(WORD.format(1))
    end = house.take_up()
    greet(end)
    end.say(MECHANISMS)
    [result] = end.say(
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"
    )
    assert (result.name, result["from"], result["to"]) == ("result", HERE, THERE)
    assert end.say(f"<db:result from='{THERE}' to='other.example' type='valid'/>") == []
    assert end.say(f"<db:result from='other.example' to='{HERE}' type='valid'/>") == []
    assert ids(end.say(f"<db:result from='{THERE}' to='{HERE}' type='valid'/>")) == ["1"]


def test_nothing_is_said_without_tls() -> None:
    house = House()
    house.romeo.send(WORD.format(1))
    end = house.take_up()
    end.say(header(THERE, HERE, "1"))
    end.say(NO_TLS)
    assert end.is_closed
    assert (HERE, THERE) in house.peers.routes


@pytest.mark.parametrize("policy", ["require", "dialback"])
def test_the_certificate_is_that_of_the_domain(policy: str) -> None:
    house = House(policy=policy)
    house.romeo.send(WORD.format(1))
    end = house.take_up()
    greet(end)
    assert end.transport.tls is not None
    assert bool(end.transport.ended) == (policy == "require")


@pytest.mark.parametrize(
    "said",
    [
        "<message from='juliet@there.example' to='romeo@example.net'><body/></message>",
        "<iq type='get' id='1'><query/></iq>",
        f"<db:result from='{THERE}' to='{HERE}'>key</db:result>",
        EXTERNAL,
    ],
)
def test_the_stream_goes_one_way(said: str) -> None:
    house = House()
    house.romeo.send(WORD.format(1))
    end = house.stand()
    assert condition(end.say(said)) in ("not-authorized", "unsupported-stanza-type")
    assert not house.romeo.received()


def both_ways() -> tuple[House, End]:
    """A stream of ours on which the peer may speak, too."""
    house = House()
    house.authorities.faults[THERE] = ""
    house.romeo.send(WORD.format(1))
    end = house.take_up()
    greet(end)
    bidi, _auth = end.say(
        MECHANISMS.replace("<dialback", "<bidi xmlns='urn:xmpp:features:bidi'/><dialback")
    )
    assert bidi.name == "bidi"
    [limits] = bidi.elements()  # XEP-0478 §3.2
    assert str(next(limits.elements())) == str(house.peers.options.limits.stanza_bytes)
    end.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    end.say(header(THERE, HERE, "3"))
    end.say(f"<stream:features>{CARRYING}</stream:features>")
    return house, end


def test_a_peer_with_a_good_certificate_may_answer_on_it() -> None:
    house, end = both_ways()
    end.say("<message from='juliet@there.example' to='romeo@example.net'><body/></message>")
    [message] = house.romeo.received()
    assert message["from"] == "juliet@there.example"
    forged = "<message from='juliet@evil.example' to='romeo@example.net'><body/></message>"
    assert condition(end.say(forged)) == "invalid-from"


def test_a_peer_may_ask_about_keys_on_it_and_speaks_for_no_other_domain() -> None:
    """XEP-0288 §2.2; Prosody asks on whatever stream it has."""
    house, end = both_ways()
    key = dialback.key(house.peers.secret, THERE, HERE, "stream-1")
    asked = f"<db:verify from='{THERE}' to='{HERE}' id='stream-1'>{{}}</db:verify>"
    for given, expected in ((key, "valid"), (key[::-1], "invalid")):
        [answer] = end.say(asked.format(given))
        assert (answer.name, answer["type"], answer["id"]) == ("verify", expected, "stream-1")
    [answer] = end.say(f"<db:result from='rooms.{THERE}' to='{HERE}'>key</db:result>")
    assert (answer.name, answer["type"], answer["to"]) == ("result", "error", f"rooms.{THERE}")
    assert not house.caller.calls
    forged = f"<message from='juliet@rooms.{THERE}' to='romeo@example.net'><body/></message>"
    assert condition(end.say(forged)) == "invalid-from"


@pytest.mark.parametrize("is_idle", [True, False])
def test_what_a_peer_says_while_a_stream_is_closed_is_heard(is_idle: bool) -> None:
    """Be it idle, or for a check, or because another one stands already."""
    house, end = both_ways()
    if is_idle:
        house.hall.advance(630)
    else:
        end.protocol.receiver.close()  # type: ignore[attr-defined]
    end.heard()
    assert end.is_closed
    end.say("<message from='juliet@there.example' to='romeo@example.net'><body/></message>")
    assert len(house.romeo.received()) == 1
    house.romeo.send(WORD.format(1))
    assert house.caller.calls
    house.hall.advance(6)  # it does not close its side
    house.hall.advance(6)
    assert end.transport.ended


@pytest.mark.parametrize(
    "first",
    [
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<message from='juliet@there.example' to='romeo@example.net'><body/></message>",
    ],
    ids=["it counts", "it has something to say"],
)
def test_an_incoming_stream_takes_what_is_for_its_domain(first: str) -> None:
    house = House()
    house.authorities.faults[THERE] = ""
    end = house.secure()
    end.say("<bidi xmlns='urn:xmpp:bidi'/>" + EXTERNAL)
    house.romeo.send(WORD.format(1))
    assert ids(end.say(header())) == []
    said = end.say(first)
    assert ids(said) == ["1"]
    house.romeo.send(WORD.format(2))
    assert ids(end.heard()) == ["2"]
    end.lose()
    house.romeo.send(WORD.format(3))
    assert house.caller.calls[-1][0] == (HERE, THERE)


def test_what_is_not_acknowledged_goes_over_the_next_stream() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end = house.stand(SM)
    for number in range(1, 4):
        house.romeo.send(WORD.format(number))
    end.say(ENABLED + "<a xmlns='urn:xmpp:sm:3' h='2'/>")
    end.lose()
    assert ids(heard_after(house)) == ["2", "3"]


def heard_after(house: House) -> list[Element]:
    """What we say on the next stream as soon as it stands."""
    end = house.take_up()
    greet(end)
    end.say(MECHANISMS)
    end.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    end.say(header(THERE, HERE, "3"))
    return end.say("<stream:features/>")


def test_more_is_not_acknowledged_than_was_said() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end = house.stand(SM)
    assert condition(end.say("<a xmlns='urn:xmpp:sm:3' h='9'/>")) == "undefined-condition"


def test_a_peer_that_acknowledges_nothing_is_left() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end = house.stand(SM)
    for _ in range(4):
        house.hall.advance(30)
    assert end.transport.ended
    assert ids(heard_after(house)) == ["0"]


def test_a_machine_that_is_gone_is_noticed_before_somebody_is_to_be_told_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 6120 §4.6.1: on either kind of stream."""
    asked: list[float] = []
    monkeypatch.setattr(XMLStream, "keep_alive", lambda stream, seconds: asked.append(seconds))
    house = House()
    house.connect()
    house.romeo.send(WORD.format(0))
    house.take_up()
    assert asked == [60, 60]


def test_a_stream_that_is_idle_is_closed_and_opened_again() -> None:
    house = House(idle=100.0)
    house.romeo.send(WORD.format(0))
    end = house.stand()
    for _ in range(5):
        house.hall.advance(30)
    end.heard()
    assert end.is_closed
    assert not house.peers.routes
    house.romeo.send(WORD.format(1))
    assert len(house.caller.calls) == 1


# What does not get there.


def fail(house: House, step: str = "connect") -> None:
    house.caller.calls.pop(0)[2].errback(Fault(step, "there is no way"))
    house.hall.advance(0)


def test_the_log_has_the_end_of_trouble_too() -> None:
    house = House()
    with capturedLogs() as events:
        house.romeo.send(WORD.format(0))
        fail(house)
        house.hall.advance(2)
        house.stand()
    assert [formatEvent(one) for one in events] == [
        f"no stream from {HERE} to {THERE}: there is no way",
        f"{THERE} is reached again from {HERE}",
    ]


def test_a_domain_that_is_nowhere_is_told_at_once_and_not_asked_again_soon() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    fail(house, "absent")
    assert refusals(house.romeo) == [("0", "remote-server-not-found")]
    house.romeo.send(WORD.format(1))
    assert refusals(house.romeo) == [("1", "remote-server-not-found")]
    assert not house.caller.calls
    house.hall.advance(5)
    assert not house.peers.routes
    house.romeo.send(WORD.format(2))
    assert house.caller.calls


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("absent", "cancel remote-server-not-found"),
        ("tls", "cancel remote-server-timeout"),
        ("certificate", "cancel remote-server-timeout"),
        ("authentication", "cancel remote-server-timeout"),
        ("refused", "cancel remote-server-timeout"),
        ("dialback", "wait remote-server-timeout"),
    ],
)
def test_what_no_other_try_would_mend_comes_back_at_once(step: str, expected: str) -> None:
    """RFC 6120 §8.3.3.16 and §8.3.3.17."""
    house = House()
    house.romeo.send(WORD.format(0))
    fail(house, step)
    [stanza] = house.romeo.received()
    error = child(stanza, "jabber:client", "error")
    assert error is not None
    assert f"{error['type']} {next(error.elements()).name}" == expected


@pytest.mark.parametrize(
    ("type", "expected"), [("invalid", "cancel"), ("error", "wait")], ids=["invalid", "error"]
)
def test_who_is_not_believed_has_all_back_at_once(type: str, expected: str) -> None:
    """XEP-0220 §2.1.1."""
    house = House()
    house.romeo.send(WORD.format(1))
    end = house.take_up()
    greet(end)
    end.say(NO_TLS)
    end.say(f"<db:result from='{THERE}' to='{HERE}' type='{type}'/>")
    assert end.is_closed
    [stanza] = house.romeo.received()
    error = child(stanza, "jabber:client", "error")
    assert error is not None
    assert (stanza["id"], error["type"]) == ("1", expected)


def test_it_is_tried_five_times_with_pauses_before_all_goes_back() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    for pause in (2, 4, 8, 16):
        fail(house)
        assert refusals(house.romeo) == []
        house.hall.advance(pause)
    house.romeo.send(WORD.format(1))
    fail(house)
    assert refusals(house.romeo) == [(n, "remote-server-timeout") for n in ("0", "1")]


def test_pauses_are_of_different_length() -> None:
    house = House()
    house.peers.chance = lambda: 0.5
    house.romeo.send(WORD.format(0))
    fail(house)
    house.hall.advance(2.4)
    assert not house.caller.calls
    house.hall.advance(0.1)
    assert house.caller.calls


def test_nothing_waits_longer_than_its_time() -> None:
    house = House(patience=20.0)
    house.romeo.send(WORD.format(0))
    house.hall.advance(15)
    house.romeo.send(WORD.format(1))
    assert refusals(house.romeo) == []
    house.hall.advance(6)
    assert refusals(house.romeo) == [("0", "remote-server-timeout")]
    house.hall.advance(15)
    assert refusals(house.romeo) == [("1", "remote-server-timeout")]
    assert not house.peers.waiting


def test_a_queue_has_its_end() -> None:
    house = House(queue_stanzas=2)
    for number in range(3):
        house.romeo.send(WORD.format(number))
    assert refusals(house.romeo) == [("2", "resource-constraint")]


def test_a_domain_that_is_denied_is_not_written_to() -> None:
    house = House(policy="deny", rules={"friend.example": "require"})
    house.romeo.send(WORD.format(0))
    assert refusals(house.romeo) == [("0", "not-allowed")]
    assert not house.caller.calls
    house.romeo.send(WORD.format(1).replace(THERE, "rooms.friend.example"))
    assert [pair for pair, _, _ in house.caller.calls] == [(HERE, "rooms.friend.example")]


def test_who_is_denied_from_now_on_is_left() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end = house.stand()
    other = house.external("other.example")
    house.peers.rule(Options(policy="dialback", rules={THERE: "deny"}))
    assert condition(end.heard()) == "policy-violation"
    assert other.heard() == []


def test_who_has_no_certificate_is_left_when_one_is_required() -> None:
    house = House()
    house.authorities.faults["good.example"] = ""
    ends = {}
    for number, domain in enumerate(("good.example", "bad.example")):
        house.romeo.send(WORD.format(number).replace(THERE, domain))
        ends["out", domain] = house.stand()
        ends["in", domain] = end = house.secure(domain)
        end.say(f"<db:result from='{domain}' to='{HERE}'>key</db:result>")
        verified = f"<db:verify from='{domain}' to='{HERE}' id='{end.id}' type='valid'/>"
        ends["out", domain].say(verified)
        assert end.heard()[0]["type"] == "valid"
    ends["asked", "bad.example"] = house.secure("bad.example")
    ends["asked", "bad.example"].say(f"<db:result from='bad.example' to='{HERE}'>key</db:result>")
    for end in ends.values():
        end.heard()

    house.peers.rule(Options(policy="require"))

    for (_, domain), end in ends.items():
        said = end.heard()
        assert end.is_closed == (domain == "bad.example")
        assert not said or condition(said) == "policy-violation"


LIMITS = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{}</max-bytes></limits>"
LARGE = WORD.replace("hi", "x" * 20_000)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("30000", ["0", "1", "2"]),
        ("12000", ["0", "2"]),
        ("10", ["0", "2"]),  # so little nobody may take (RFC 6120 §13.12)
        ("much", ["0", "1", "2"]),
        ("99999999999", ["0", "1", "2"]),
    ],
)
def test_a_stanza_that_is_too_large_for_the_peer_comes_back(size: str, expected: list[str]) -> None:
    """XEP-0478 §4: and the stream stands, which the peer would have ended."""
    house = House()
    house.romeo.send(WORD.format(9))
    end = house.stand(LIMITS.format(size))
    for number, word in enumerate((WORD, LARGE, WORD)):
        house.romeo.send(word.format(number))
    assert ids(end.heard()) == expected
    given_back = [("1", "policy-violation")] if "1" not in expected else []
    assert refusals(house.romeo) == given_back


def test_limits_of_bidirectional_streams_are_said_with_the_wish_for_them() -> None:
    house = House()
    house.authorities.faults[THERE] = ""
    end = house.secure()
    limits = LIMITS.format(12_000)
    end.say(f"<bidi xmlns='urn:xmpp:bidi'>{limits}</bidi>" + EXTERNAL)
    end.say(header())
    house.hall.advance(SILENCE)
    for number, word in enumerate((WORD, LARGE)):
        house.romeo.send(word.format(number))
    assert ids(end.heard()) == ["0"]
    assert refusals(house.romeo) == [("1", "policy-violation")]


def test_answers_and_errors_that_go_nowhere_are_dropped() -> None:
    house = House()
    house.romeo.send("<iq type='result' id='1' to='juliet@there.example/x'/>")
    house.romeo.send("<message type='error' id='1' to='juliet@there.example/x'/>")
    fail(house, "absent")
    assert house.romeo.received() == []


def test_at_a_stop_our_own_questions_go_back() -> None:
    house = House()
    asked = house.hall.host.requests.ask(THERE, HERE, element("urn:xmpp:ping", "ping"), "get")
    house.peers.stop()
    assert result_of(asked) == Refusal(
        "remote-server-timeout", "wait", "there is no stream to the server"
    )


def test_a_stream_error_of_the_peer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end: End = house.take_up()
    end.say(
        header(THERE, HERE, "1")
        + "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    )
    [route] = house.peers.routes.values()
    assert "host-unknown" in str(route.fault)


# Several domains of ours on a stream (XEP-0220 §2.1).

SERVICE = "push.example.net"
NOTICE = f"<message from='{SERVICE}' to='juliet@there.example' id='{{}}'><body/></message>"


def carrying(*features: str) -> tuple[House, End]:
    """A stream of ours that other domains may join."""
    house = House()
    house.hall.host.router.add_service(SERVICE)
    house.romeo.send(WORD.format(0))
    return house, house.stand(CARRYING, *features)


def notice(house: House, number: int) -> None:
    house.hall.host.router.route(seal(NOTICE.format(number).encode()))


def test_another_domain_of_ours_joins_the_stream() -> None:
    house, end = carrying()
    notice(house, 1)
    [result] = end.heard()
    assert (result.name, result["from"], result["to"]) == ("result", SERVICE, THERE)
    key = dialback.key(house.peers.secret, THERE, SERVICE, "3")
    assert str(result) == key
    assert end.say(f"<db:result from='{THERE}' to='{HERE}' type='valid'/>") == []
    assert ids(end.say(f"<db:result from='{THERE}' to='{SERVICE}' type='valid'/>")) == ["1"]
    notice(house, 2)
    house.romeo.send(WORD.format(3))
    assert ids(end.heard()) == ["2", "3"]
    assert not house.caller.calls


def test_a_peer_may_answer_each_domain_that_has_joined() -> None:
    """XEP-0288 §2.2: as ejabberd does."""
    house, end = both_ways()
    house.hall.host.router.add_service(SERVICE)
    asked = f"<iq type='get' id='q' from='juliet@{THERE}' to='{SERVICE}'><q xmlns='urn:q'/></iq>"
    notice(house, 1)
    end.heard()
    end.say(f"<db:result from='{THERE}' to='{SERVICE}' type='valid'/>")
    [answer] = end.say(asked)
    assert (answer["from"], answer["type"]) == (SERVICE, "error")
    forged = asked.replace(THERE, "evil.example")
    assert condition(end.say(forged)) == "invalid-from"


@pytest.mark.parametrize("type", ["invalid", "error"])
def test_a_domain_that_may_not_join_has_a_stream_of_its_own(type: str) -> None:
    house, end = carrying()
    notice(house, 1)
    end.heard()
    assert end.say(f"<db:result from='{THERE}' to='{SERVICE}' type='{type}'/>") == []
    assert [pair for pair, _, _ in house.caller.calls] == [(SERVICE, THERE)]
    house.romeo.send(WORD.format(2))
    assert ids(end.heard()) == ["2"]


@pytest.mark.parametrize("error", ["", "<stream:error><e xmlns='urn:e'/></stream:error>"])
def test_a_peer_that_takes_no_other_domain_is_asked_once(error: str) -> None:
    """It says nothing, or ends the stream; each domain has its own from then on."""
    house, end = carrying()
    house.hall.host.router.add_service("other.example.net")
    notice(house, 1)
    if error:
        end.say(error)
    else:
        house.hall.advance(6)
    assert [pair for pair, _, _ in house.caller.calls] == [(SERVICE, THERE)]
    if not error:
        end.say(f"<db:result from='{THERE}' to='{SERVICE}' type='valid'/>")  # too late
        assert not house.peers.routes[SERVICE, THERE].link
    other = NOTICE.replace(SERVICE, "other.example.net")
    house.stand(CARRYING)
    house.hall.host.router.route(seal(other.format(2).encode()))
    assert [pair for pair, _, _ in house.caller.calls] == [("other.example.net", THERE)]
    assert {pair[0]: bool(route.link) for pair, route in house.peers.routes.items()} == {
        **({} if error else {HERE: True}),
        SERVICE: True,
        "other.example.net": False,
    }


def test_who_takes_no_other_domain_is_asked_again_some_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "APART", 60.0)
    house, end = carrying()
    house.hall.host.router.add_service("other.example.net")
    notice(house, 1)
    end.heard()
    house.hall.advance(6)
    house.hall.advance(61)
    other = NOTICE.replace(SERVICE, "other.example.net")
    house.hall.host.router.route(seal(other.format(2).encode()))
    [result] = end.heard()
    assert (result.name, result["from"]) == ("result", "other.example.net")


def test_what_is_lost_goes_on_by_its_domain() -> None:
    house, end = carrying(SM)
    end.say(ENABLED)
    notice(house, 1)
    end.heard()
    end.say(f"<db:result from='{THERE}' to='{SERVICE}' type='valid'/>")
    house.romeo.send(WORD.format(2))
    end.say("<a xmlns='urn:xmpp:sm:3' h='1'/>")
    end.lose()
    house.hall.advance(0)
    assert {pair for pair, _, _ in house.caller.calls} == {(HERE, THERE), (SERVICE, THERE)}
    waiting = {pair[0]: len(route.queue) for pair, route in house.peers.routes.items()}
    assert waiting == {HERE: 1, SERVICE: 1}


def test_two_servers_that_call_each_other_at_once_keep_both_streams() -> None:
    house = House()
    house.authorities.faults[THERE] = ""
    house.romeo.send(WORD.format(0))  # we call
    theirs = house.secure()  # and they do
    theirs.say("<bidi xmlns='urn:xmpp:bidi'/>" + EXTERNAL)
    theirs.say(header())
    house.hall.advance(SILENCE)
    assert ids(theirs.heard()) == ["0"]
    ours = house.stand(SM)
    assert not ours.is_closed
    house.romeo.send(WORD.format(1))
    assert ids(theirs.heard()) == ["1"]
    theirs.lose()
    house.romeo.send(WORD.format(2))
    assert ids(ours.heard())[-1:] == ["2"]
    assert not house.caller.calls
    ours.lose()
    house.hall.advance(2)
    assert house.caller.calls
