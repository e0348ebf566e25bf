"""Streams that other servers open to us: who they are, and what they may say then."""

import base64

import pytest

from pushd.s2s.faults import Fault
from pushd.wire import dialback
from pushd.wire.element import Element, element
from tests.hall import Hall
from tests.unit.s2s.house import (
    EXTERNAL,
    HERE,
    STARTTLS,
    THERE,
    House,
    condition,
    greet,
    header,
)

MESSAGE = "<message from='juliet@there.example/x' to='romeo@example.net'><body>hi</body></message>"
KEY = "<db:result from='{}' to='example.net'>the-key</db:result>"


def names(features: Element) -> set[str]:
    return {one.name for one in features.elements()}


def test_tls_comes_before_everything() -> None:
    end = House().connect()
    [features] = end.say(header())
    assert names(features) == {"starttls"}
    for xml in (MESSAGE, KEY.format(THERE), EXTERNAL):
        other = House().connect()
        other.say(header())
        said = other.say(xml)
        assert condition(said) in ("not-authorized", "policy-violation")
        assert other.is_closed


def test_external_is_offered_to_whose_certificate_is_good() -> None:
    house = House()
    house.authorities.faults[THERE] = ""
    end = house.connect()
    end.say(header())
    end.say(STARTTLS)
    [features] = end.say(header())
    assert "mechanisms" in names(features)
    [success] = end.say(EXTERNAL)
    assert success.name == "success"
    [features] = end.say(header())
    assert "mechanisms" not in names(features)
    end.say(MESSAGE)
    [message] = house.romeo.received()
    assert message["from"] == "juliet@there.example/x"


@pytest.mark.parametrize(
    ("auth", "refusal"),
    [
        (EXTERNAL.replace(">=<", ">%%%<"), "incorrect-encoding"),
        (
            EXTERNAL.replace(">=<", f">{base64.b64encode(b'other.example').decode()}<"),
            "invalid-authzid",
        ),
        (
            EXTERNAL.replace(">=<", f">{base64.b64encode(b'juliet@there.example').decode()}<"),
            "invalid-authzid",
        ),
        (EXTERNAL.replace("'EXTERNAL'", "'PLAIN'"), "invalid-mechanism"),
    ],
)
def test_external_is_for_the_domain_of_the_header(auth: str, refusal: str) -> None:
    house = House()
    house.authorities.faults[THERE] = ""
    [failure] = house.secure().say(auth)
    assert next(failure.elements()).name == refusal


def test_external_is_refused_to_whose_certificate_is_bad() -> None:
    [failure] = House().secure().say(EXTERNAL)
    assert next(failure.elements()).name == "not-authorized"


def test_sasl_is_not_tried_for_ever() -> None:
    end = House(policy="require").secure()
    for _ in range(5):
        assert end.say(KEY.format(THERE))[0]["type"] == "error"  # which is counted by itself
    for _ in range(3):
        assert end.say(EXTERNAL)[0].name == "failure"
    assert condition(end.say(EXTERNAL)) == "policy-violation"
    assert end.is_closed


@pytest.mark.parametrize(
    ("sender", "to", "expected"),
    [
        (THERE, "other.example", "host-unknown"),
        (THERE, "", "improper-addressing"),
    ],
)
def test_a_stream_is_for_a_domain_of_ours(sender: str, to: str, expected: str) -> None:
    assert condition(House().connect().say(header(sender, to))) == expected


@pytest.mark.parametrize("restart", [STARTTLS, EXTERNAL])
@pytest.mark.parametrize(
    ("sender", "to", "expected"),
    [("evil.example", HERE, "invalid-from"), (THERE, "example.org", "host-unknown")],
)
def test_a_stream_keeps_its_domains_across_restarts(
    restart: str, sender: str, to: str, expected: str
) -> None:
    house = House(Hall(domains=(HERE, "example.org")))
    house.authorities.faults |= {THERE: "", "evil.example": ""}
    end = house.secure() if restart == EXTERNAL else house.connect()
    if restart == STARTTLS:
        end.say(header())
    end.say(restart)
    assert condition(end.say(header(sender, to))) == expected
    assert end.is_closed
    assert not house.peers._incoming


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("from='juliet@other.example' to='romeo@example.net'", "invalid-from"),
        ("from='juliet@there.example' to='romeo@elsewhere.example'", "invalid-from"),
        ("from='romeo@example.net' to='romeo@example.net'", "invalid-from"),
        ("to='romeo@example.net'", "improper-addressing"),
        ("from='juliet@there.example'", "improper-addressing"),
        ("from='@there.example' to='romeo@example.net'", "improper-addressing"),
    ],
)
def test_a_server_speaks_for_itself_alone(attributes: str, expected: str) -> None:
    house = House()
    end = house.external()
    assert condition(end.say(f"<message {attributes}><body/></message>")) == expected
    assert not house.romeo.received()


def test_who_proved_itself_to_one_of_us_may_answer_another_there() -> None:
    """As Prosody does what came by a stream that our domains share."""
    house = House(Hall(domains=(HERE, "example.org")))
    paris = house.hall.login("paris@example.org/x")
    end = house.external()

    end.say(MESSAGE.replace("romeo@example.net", "paris@example.org"))

    [message] = paris.received()
    assert message["from"] == "juliet@there.example/x"
    other = MESSAGE.replace("romeo@example.net", "paris@example.org").replace("there", "other")
    assert condition(end.say(other)) == "invalid-from"
    assert not paris.received()


@pytest.mark.parametrize(
    ("sender", "is_it"),
    [
        ("push.xn--bcher-kva.example", True),
        ("PUSH.bücher.example.", True),
        ("push.bucher.example", False),
        ("push.bücher.example/x", False),
    ],
)
def test_an_answer_is_known_however_its_sender_is_written(sender: str, is_it: bool) -> None:
    house = House()
    ping = element("urn:xmpp:ping", "ping")
    answered = house.hall.host.requests.ask("push.bücher.example", HERE, ping, id="q")
    domain = sender.partition("/")[0]
    house.authorities.faults |= {"push.bücher.example": "", "push.bucher.example": ""}
    end = house.secure(domain)
    end.say(EXTERNAL)
    end.say(header(domain))
    end.say(f"<iq type='result' id='q' from='{sender}' to='{HERE}'/>")
    assert answered.called is is_it


@pytest.mark.parametrize(
    "forged",
    [
        "<stanza-id xmlns='urn:xmpp:sid:0' by='example.net' id='1'/>",
        "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='1'/>",
        "<delay xmlns='urn:xmpp:delay' from='example.net' stamp='2002-09-10T23:08:25Z'/>",
        "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/></received>",
    ],
)
def test_what_is_said_in_our_name_is_taken_out(forged: str) -> None:
    house = House()
    end = house.external()
    end.say(MESSAGE.replace("<body>", f"{forged}<body>"))
    [message] = house.romeo.received()
    assert [one.name for one in message.elements()] == ["body"]


def test_dialback_asks_the_domain_itself_and_believes_it() -> None:
    house = House()
    end = house.secure()
    assert end.say(KEY.format(THERE)) == []
    [(pair, to_verify, _)] = house.caller.calls
    assert (pair, to_verify) == ((HERE, THERE), True)
    asked = house.take_up()
    greet(asked)
    [verify] = asked.say("<stream:features/>")
    assert (verify.name, verify["id"], str(verify)) == ("verify", end.id, "the-key")
    asked.say(f"<db:verify from='{THERE}' to='{HERE}' id='{end.id}' type='valid'/>")
    [result] = end.heard()
    assert (result.name, result["type"]) == ("result", "valid")
    assert asked.is_closed
    end.say(MESSAGE)
    assert house.romeo.received()


@pytest.mark.parametrize(
    "answer",
    [
        f"<db:verify from='{THERE}' to='{HERE}' id='ID' type='invalid'/>",
        f"<db:verify from='{THERE}' to='{HERE}' id='ID' type='error'/>",
    ],
)
def test_whose_key_is_not_its_own_is_nobody(answer: str) -> None:
    house = House()
    end = house.secure()
    end.say(KEY.format(THERE))
    asked = house.take_up()
    greet(asked)
    asked.say("<stream:features/>")
    asked.say(answer.replace("ID", end.id))
    [result] = end.heard()[:1]
    assert result["type"] in ("invalid", "error")
    assert end.is_closed or condition(end.say(MESSAGE)) == "not-authorized"
    assert not house.romeo.received()


@pytest.mark.parametrize(
    "answer",
    [
        f"<db:verify from='{THERE}' to='{HERE}' id='another' type='valid'/>",
        f"<db:verify from='other.example' to='{HERE}' id='ID' type='valid'/>",
        f"<db:verify from='{THERE}' to='other.example' id='ID' type='valid'/>",
        f"<db:result from='{THERE}' to='{HERE}' id='ID' type='valid'/>",
    ],
)
def test_an_answer_to_something_else_answers_nothing(answer: str) -> None:
    house = House()
    end = house.secure()
    end.say(KEY.format(THERE))
    asked = house.take_up()
    greet(asked)
    asked.say("<stream:features/>")
    asked.say(answer.replace("ID", end.id))
    assert end.heard() == []
    assert condition(end.say(MESSAGE)) == "not-authorized"


def test_an_answer_on_the_stream_itself_is_nothing() -> None:
    house = House()
    end = house.secure()
    end.say(KEY.format(THERE))
    end.say(f"<db:verify from='{THERE}' to='{HERE}' id='{end.id}' type='valid'/>")
    end.say(f"<db:result from='{THERE}' to='{HERE}' type='valid'/>")
    assert condition(end.say(MESSAGE)) == "not-authorized"


def test_a_domain_that_is_not_reached_is_told_so() -> None:
    house = House()
    end = house.secure()
    end.say(KEY.format(THERE))
    house.caller.calls[0][2].errback(Fault("absent", "there is no such domain"))
    [result] = end.heard()
    assert result["type"] == "error"
    [error] = result.elements()
    assert next(error.elements()).name == "remote-server-not-found"


def test_we_know_our_own_keys() -> None:
    house = House()
    end = house.secure()
    key = dialback.key(house.peers.secret, THERE, HERE, "stream-1")
    for given, expected in ((key, "valid"), (key[::-1], "invalid")):
        [answer] = end.say(
            f"<db:verify from='{THERE}' to='{HERE}' id='stream-1'>{given}</db:verify>"
        )
        assert (answer["type"], answer["id"], answer["from"]) == (expected, "stream-1", HERE)
    [answer] = end.say(
        f"<db:verify from='{THERE}' to='other.example' id='stream-1'>{key}</db:verify>"
    )
    assert (answer["type"], answer["id"], answer["from"]) == ("error", "stream-1", "other.example")
    [error] = answer.elements()
    assert next(error.elements()).name == "item-not-found"


def test_more_domains_on_a_stream_prove_themselves_each() -> None:
    house = House()
    end = house.external()
    other = MESSAGE.replace(THERE, "rooms.there.example")
    end.say(KEY.format("rooms.there.example"))
    [(pair, _, _)] = house.caller.calls
    assert pair == (HERE, "rooms.there.example")
    assert condition(end.say(other)) == "invalid-from"


def test_a_policy_of_certificates_has_no_dialback_without_one() -> None:
    house = House(policy="require")
    [result] = house.secure().say(KEY.format(THERE))
    assert result["type"] == "error"
    assert not house.caller.calls


@pytest.mark.parametrize("domain", ["there.example", "rooms.there.example"])
def test_who_is_denied_is_not_listened_to(domain: str) -> None:
    house = House(rules={"there.example": "deny"})
    assert condition(house.connect().say(header(domain))) == "policy-violation"
    [result] = house.secure("fine.example").say(KEY.format(domain))
    assert result["type"] == "error"
    assert not house.caller.calls


def test_keys_in_flight_are_few() -> None:
    house = House()
    end = house.secure()
    for number in range(10):
        assert end.say(KEY.format(f"a{number}.example")) == []
    [result] = end.say(KEY.format("one-more.example"))
    assert result["type"] == "error"
    assert len(house.caller.calls) == 10


def test_streams_of_a_domain_to_one_of_ours_are_few() -> None:
    """Each of ours has its own: servers open a stream for each pair of domains."""
    house = House(Hall(domains=(HERE, "example.org")), streams_per_domain=2)
    for to in (HERE, "example.org"):
        for _ in range(2):
            house.external(to=to)
        [failure] = house.secure(to=to).say(EXTERNAL)
        assert next(failure.elements()).name == "temporary-auth-failure"


def test_a_stranger_has_half_a_minute() -> None:
    house = House()
    end = house.secure()
    house.hall.advance(31)
    assert condition(end.heard()) == "connection-timeout"
    assert not house.peers.streams


def test_an_idle_stream_is_closed() -> None:
    house = House(idle=100.0)
    end = house.external()
    house.hall.advance(60)
    end.say(MESSAGE)
    house.hall.advance(90)
    assert not end.is_closed
    house.hall.advance(60)
    end.heard()
    assert end.is_closed


def test_what_is_under_way_when_an_idle_stream_is_closed_is_heard() -> None:
    """RFC 6120 §4.4; nothing is said any more, whatever comes."""
    house = House(idle=100.0)
    end = house.external()
    house.hall.advance(120)
    assert (end.heard(), end.is_closed) == ([], True)
    key = KEY.format("other.example")
    house.hall.advance(3)
    assert end.say(MESSAGE + key) == []
    assert len(house.romeo.received()) == 1
    end.say("</stream:stream>")
    assert end.transport.ended
    assert not house.peers.streams


def test_a_peer_that_counts_says_it_again_by_another_stream() -> None:
    house = House(idle=100.0)
    end = house.external()
    end.say("<enable xmlns='urn:xmpp:sm:3'/>")
    house.hall.advance(120)
    end.heard()
    end.say(MESSAGE)
    assert end.transport.ended
    assert not house.romeo.received()


def test_what_came_is_counted_and_acknowledged_when_it_is_safe() -> None:
    house = House()
    end = house.external()
    [enabled] = end.say("<enable xmlns='urn:xmpp:sm:3'/>")
    assert enabled.name == "enabled"
    house.romeo.cut()
    end.say(MESSAGE + MESSAGE)
    counts = end.say("<r xmlns='urn:xmpp:sm:3'/>")
    assert [one["h"] for one in counts][-1] == "2"
    assert end.say("<enable xmlns='urn:xmpp:sm:3'/>")[0].name == "failed"
