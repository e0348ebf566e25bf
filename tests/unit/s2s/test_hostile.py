"""Other servers that mean ill, or are broken: refused, bounded, and nobody else is disturbed."""

import pytest

from pushd.s2s.bidi import SILENCE
from pushd.s2s.faults import Fault
from tests.unit.s2s.house import (
    EXTERNAL,
    HERE,
    KEY,
    MESSAGE,
    STARTTLS,
    THERE,
    WORD,
    House,
    condition,
    confirm,
    header,
)


def test_nobody_speaks_for_a_domain_that_is_ours() -> None:
    house = House()
    house.authorities.faults[HERE] = ""
    assert condition(house.connect().say(header(HERE))) == "invalid-from"
    end = house.external()
    [result] = end.say(KEY.format(HERE))
    assert result["type"] == "error"
    assert not house.caller.calls


@pytest.mark.parametrize(
    "said",
    [
        "<bidi xmlns='urn:xmpp:bidi'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='1' h='0'/>",
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
        EXTERNAL,
        KEY.format(THERE),
        MESSAGE.format(THERE),
    ],
)
def test_before_tls_there_is_nothing_but_tls(said: str) -> None:
    end = House().connect()
    end.say(header())
    assert condition(end.say(said))
    assert end.is_closed


def test_there_is_no_compression() -> None:
    house = House()
    house.authorities.faults[THERE] = ""
    end = house.connect()
    end.say(header())
    end.say(STARTTLS)
    [features] = end.say(header())
    assert {one.name for one in features.elements()} == {
        *("mechanisms", "bidi", "dialback", "sm", "limits")
    }
    compress = (
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>"
    )
    assert condition(end.say(compress)) == "unsupported-stanza-type"


def test_a_key_is_compared_in_a_time_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return False

    monkeypatch.setattr("pushd.wire.dialback.hmac.compare_digest", compare)
    end = House().secure()
    [answer] = end.say(f"<db:verify from='{THERE}' to='{HERE}' id='1'>{'0' * 64}</db:verify>")
    assert answer["type"] == "invalid"
    assert compared == [(64, 64)]


def test_what_comes_in_the_clear_behind_starttls_is_an_offence() -> None:
    end = House().connect()
    end.say(header())
    assert condition(end.say(STARTTLS + header() + EXTERNAL)) == "policy-violation"
    assert end.transport.tls is None


def test_what_comes_in_the_clear_behind_proceed_is_an_offence_too() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end = house.take_up()
    end.say(header(THERE, HERE, "1"))
    end.say(f"<stream:features>{STARTTLS}</stream:features>")
    said = end.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + header(THERE, HERE, "2"))
    assert condition(said) == "policy-violation"
    assert end.transport.tls is None


def test_a_stanza_that_breaks_every_stream_is_not_said_for_ever() -> None:
    """A peer takes us up, and falls over what we say, again and again."""
    house = House(patience=60.0)
    house.romeo.send(WORD.format(0))
    streams = 0
    for _ in range(2_000):
        if house.caller.calls:
            streams += 1
            end = house.stand("<sm xmlns='urn:xmpp:sm:3'/>")
            end.lose()
        house.hall.advance(1.0)
        if house.romeo.received():
            break
    else:
        pytest.fail("it is still tried")
    assert streams < 15
    assert not house.peers.waiting


def test_strangers_are_not_told_what_is_in_our_network() -> None:
    house = House()
    end = house.secure()
    end.say(KEY.format(THERE))
    fault = Fault("connect", "no connection to 10.0.0.7:6379: Connection refused")
    house.caller.calls[0][2].errback(fault)
    [result] = end.heard()
    assert result["type"] == "error"
    assert "10.0.0.7" not in result.toXml()
    assert "refused" not in result.toXml()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("<!-- hello -->", "restricted-xml"),
        ("<?php ?>", "restricted-xml"),
        ("<a><b></a></b>", "not-well-formed"),
        (f"<a>{'x' * 10_001}</a>", "policy-violation"),
        (f"{'<a>' * 12}{'</a>' * 12}", "policy-violation"),
        ("<a xmlns='urn:unknown'/>", "unsupported-stanza-type"),
    ],
)
def test_what_no_stranger_may_send(sent: str, expected: str) -> None:
    end = House().secure()
    assert condition(end.say(sent)) == expected
    assert end.is_closed


def test_entities_are_refused_before_the_stream_begins() -> None:
    end = House().connect()
    said = end.say("<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]>" + header())
    assert condition(said) == "restricted-xml"
    assert end.is_closed


def test_a_peer_says_no_stanza_that_is_too_large() -> None:
    house = House()
    other = house.external("other.example")
    end = house.external()
    large = "x" * house.peers.options.limits.stanza_bytes
    assert condition(end.say(MESSAGE.format(THERE).replace("hi", large))) == "policy-violation"
    assert not house.romeo.received()
    other.say(MESSAGE.format("other.example"))
    assert house.romeo.received()


@pytest.mark.parametrize(
    ("sender", "to"),
    [
        ("juliet@evil.example", "romeo@example.net"),
        ("juliet@deep.rooms.there.example", "romeo@example.net"),
        ("juliet@rooms.there.example", "romeo@elsewhere.example"),
        ("romeo@example.net", "romeo@example.net"),
    ],
)
def test_each_pair_on_a_shared_stream_is_proved_by_itself(sender: str, to: str) -> None:
    house = House()
    end = house.external()
    end.say(KEY.format("rooms.there.example"))
    confirm(house, end, "rooms.there.example")
    end.heard()
    for domain in (THERE, "rooms.there.example"):
        end.say(MESSAGE.format(domain))
        assert len(house.romeo.received()) == 1
    said = end.say(f"<message from='{sender}' to='{to}'><body>hi</body></message>")
    assert condition(said) == "invalid-from"
    assert not house.romeo.received()
    assert not house.peers._incoming


STEPS = [
    header(THERE, HERE, "1"),
    f"<stream:features>{STARTTLS}</stream:features>",
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    header(THERE, HERE, "2"),
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    "<mechanism>EXTERNAL</mechanism></mechanisms></stream:features>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    header(THERE, HERE, "3"),
]
HEADER = "header of a stream"
OWED = [HEADER, "features", "proceed", HEADER, "features", "success", HEADER, "features"]


@pytest.mark.parametrize("steps", range(len(STEPS) + 1))
def test_a_peer_that_stalls_is_left_and_nobody_waits_for_it(steps: int) -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end = house.take_up()
    for step in STEPS[:steps]:
        end.say(step)
    house.romeo.send(WORD.format(1).replace(THERE, "other.example"))
    assert [pair for pair, _, _ in house.caller.calls] == [(HERE, "other.example")]
    house.hall.advance(31)
    house.hall.advance(6)  # to close, for a peer that does not
    assert end.transport.ended
    assert not house.peers.streams
    [route] = [one for one in house.peers.routes.values() if one.pair == (HERE, THERE)]
    assert route.fault is not None
    assert route.fault.step == "timeout"
    assert route.fault.text == f"no {OWED[steps]} within 30 s" + (", in TLS" if steps > 2 else "")


def test_a_peer_that_does_not_judge_our_key_may_not_find_the_way_to_us() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end = house.take_up()
    for step in STEPS[:4]:
        end.say(step)
    end.say("<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>")
    house.hall.advance(31)
    [route] = house.peers.routes.values()
    assert route.fault is not None
    assert str(route.fault) == (
        "no answer to our key within 30 s, in TLS: it asks back whether the key is ours, and may "
        "not find the way to us"
    )


def test_who_is_here_is_not_told_to_other_servers() -> None:
    """The same answers, word for word, whether there is an account or not (RFC 6120 §13.11)."""
    house = House()
    house.hall.login("sleepy@example.net/bed").cut()
    asked = "<iq type='get' id='1' from='juliet@there.example/x' to='{}'><query xmlns='{}'/></iq>"
    probe = "<presence type='probe' from='juliet@there.example/x' to='{}'/>"
    kinds = [
        asked.format("{}", namespace)
        for namespace in (
            "jabber:iq:roster",
            "vcard-temp",
            "jabber:iq:last",
            "jabber:iq:version",
            "http://jabber.org/protocol/disco#info",
            "http://jabber.org/protocol/disco#items",
            "urn:unknown",
        )
    ]
    end = house.external()
    house.romeo.send(WORD.format(0))
    back = house.stand()
    back.heard()
    for xml in (*kinds, probe):
        answers = []
        for account in ("romeo@example.net", "nobody@example.net"):
            end.say(xml.format(account))
            said = [one.toXml() for one in back.heard()]
            answers.append([one.replace(account, "ACCOUNT") for one in said])
        assert answers[0] == answers[1], xml
    assert not house.romeo.received()


def test_a_domain_has_one_name_however_it_is_written() -> None:
    """A-labels and U-labels, capitals and a final dot are the same (RFC 7622 §3.2)."""
    house = House()
    house.authorities.faults["bücher.example"] = ""
    end = house.connect()
    end.say(header("XN--BCHER-KVA.Example.", HERE))
    end.say(STARTTLS)
    end.say(header("xn--bcher-kva.example", "EXAMPLE.net"))
    [success] = end.say(EXTERNAL)
    assert success.name == "success"
    end.say(header("BÜCHER.example", HERE))
    for domain in ("bücher.example", "BÜCHER.EXAMPLE", "xn--bcher-kva.example"):
        end.say(MESSAGE.format(domain))
        assert len(house.romeo.received()) == 1
    assert condition(end.say(MESSAGE.format("bucher.example"))) == "invalid-from"


def test_who_says_no_name_proves_each_by_itself() -> None:
    """A header need not have `from`; then there is nobody whose certificate could be looked at."""
    house = House()
    end = house.connect()
    end.say(header("", HERE))
    end.say(STARTTLS)
    [features] = end.say(header("", HERE))
    assert "mechanisms" not in {one.name for one in features.elements()}
    [failure] = end.say(EXTERNAL)
    assert failure.name == "failure"
    assert not end.say(KEY.format(THERE))
    confirm(house, end)
    assert end.heard()[0]["type"] == "valid"
    end.say(MESSAGE.format(THERE))
    assert house.romeo.received()
    assert condition(end.say(MESSAGE.format("evil.example"))) == "invalid-from"


def test_what_is_said_back_on_a_stream_is_for_the_domain_that_asked_for_it() -> None:
    """Another one that has proved itself there gets its own stream (XEP-0288)."""
    house = House()
    house.authorities.faults[THERE] = ""
    end = house.secure()
    end.say("<bidi xmlns='urn:xmpp:bidi'/>" + EXTERNAL)
    end.say(header())
    end.say(KEY.format("rooms.there.example"))
    confirm(house, end, "rooms.there.example")
    house.hall.advance(SILENCE)
    end.heard()
    assert not end.say(f"<db:result from='evil.example' to='{HERE}' type='valid'/>")  # to nothing
    for domain in ("rooms.there.example", "evil.example"):
        house.romeo.send(WORD.format(0).replace(THERE, domain))
    assert not end.heard()
    assert [pair for pair, _, _ in house.caller.calls] == [
        (HERE, "rooms.there.example"),
        (HERE, "evil.example"),
    ]
    house.romeo.send(WORD.format(1))
    assert [one["id"] for one in end.heard()] == ["1"]


def test_nothing_is_proved_on_our_stream_by_an_answer_to_nothing() -> None:
    """Neither another domain of theirs, nor another one of ours."""
    house = House()
    house.hall.host.router.add_service("push.example.net")
    house.romeo.send(WORD.format(0))
    end = house.stand("<dialback xmlns='urn:xmpp:features:dialback'/>")
    for sender, to in (("evil.example", HERE), (THERE, "push.example.net")):
        assert not end.say(f"<db:result from='{sender}' to='{to}' type='valid'/>")
    house.romeo.send(WORD.format(1).replace(THERE, "evil.example"))
    house.hall.route(f"<message from='push.example.net' to='a@{THERE}'><body/></message>")
    assert [one.name for one in end.heard()] == ["result"]  # it has to be proved first
    assert [pair for pair, _, _ in house.caller.calls] == [(HERE, "evil.example")]


@pytest.mark.parametrize("is_proved", [False, True])
def test_a_stream_is_proved_by_sasl_or_by_dialback(is_proved: bool) -> None:
    """Both at a time would count it twice, and answer the one in the middle of the other."""
    house = House()
    house.authorities.faults[THERE] = ""
    end = house.secure()
    assert not end.say(KEY.format(THERE))
    if is_proved:
        confirm(house, end)
        assert end.heard()[0]["type"] == "valid"
    assert condition(end.say(EXTERNAL)) == "not-authorized"
    assert end.is_closed
    if not is_proved:
        confirm(house, end)
    assert not house.peers._incoming


def test_a_certificate_that_ends_ends_the_streams_that_were_proved_by_it() -> None:
    """RFC 6120 §13.7.2.3; what is said by one that is renewed goes on over the next stream."""
    house = House()
    house.authorities.faults |= {THERE: "", "good.example": ""}
    house.romeo.send(WORD.format(0))
    out, into, other = house.stand(), house.external(), house.external("good.example")
    now = house.hall.clock.seconds()
    out.protocol.receiver.facts.expires_at = now + 10  # type: ignore[attr-defined]
    into.protocol.receiver.facts.expires_at = now + 10  # type: ignore[attr-defined]
    other.protocol.receiver.facts.expires_at = now + 90  # type: ignore[attr-defined]
    for end in (out, into):
        end.heard()
    house.hall.advance(31)
    for end in (out, into):
        assert condition(end.heard()) == "reset"
        assert end.is_closed
    assert other.heard() == []
    assert not house.caller.calls
    house.romeo.send(WORD.format(1))
    assert house.caller.calls
