"""Other servers that mean ill, or are broken: refused, bounded, and nobody else is disturbed."""

import gc
import weakref

import pytest

from pushd.net.pace import Rate
from pushd.s2s import peers
from pushd.s2s.faults import Fault
from pushd.wire import dialback
from tests.unit.s2s.house import (
    EXTERNAL,
    HERE,
    STARTTLS,
    THERE,
    End,
    House,
    condition,
    greet,
    header,
)

KEY = "<db:result from='{}' to='example.net'>the-key</db:result>"
WORD = "<message to='juliet@there.example' id='{}'><body>hi</body></message>"
MESSAGE = "<message from='juliet@{}/x' to='romeo@example.net'><body>hi</body></message>"


def confirm(house: House, end: End, domain: str = THERE, type: str = dialback.VALID) -> None:
    """The domain's own server is asked, and says this."""
    asked = house.take_up()
    greet(asked)
    asked.say("<stream:features/>")
    asked.say(f"<db:verify from='{domain}' to='{HERE}' id='{end.id}' type='{type}'/>")


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


@pytest.mark.parametrize(
    "question",
    [
        "<r xmlns='urn:xmpp:sm:3'/>",
        f"<db:verify from='{THERE}' to='{HERE}' id='1'>key</db:verify>",
        KEY.format(THERE),
    ],
)
def test_who_reads_no_answers_is_cut(question: str) -> None:
    house = House()
    end = house.external()
    end.say("<enable xmlns='urn:xmpp:sm:3'/>")
    end.protocol.pauseProducing()
    for _ in range(40):
        end.protocol.dataReceived(question.encode() * 250)
    assert end.transport.ended == "abort"
    end.lose()
    assert not house.peers.streams


def test_whom_we_have_called_is_cut_too() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end = house.stand("<sm xmlns='urn:xmpp:sm:3'/>")
    end.say("<enabled xmlns='urn:xmpp:sm:3'/>")
    end.protocol.pauseProducing()
    for number in range(100):  # these may wait
        house.romeo.send(WORD.format(number).replace("hi", "x" * 5_000))
    end.protocol.dataReceived(b"<r xmlns='urn:xmpp:sm:3'/>")
    assert not end.transport.ended
    for _ in range(40):
        end.protocol.dataReceived(b"<r xmlns='urn:xmpp:sm:3'/>" * 250)
    assert end.transport.ended == "abort"
    assert len(house.peers.routes[HERE, THERE].queue) == 101


def test_who_proves_nothing_on_and_on_is_sent_away() -> None:
    """Each try has a certificate judged, or another server asked."""
    house = House(rules={"evil.example": "require"})
    end = house.external()
    for number in range(60):
        assert len(end.say(KEY.format(f"d{number}.evil.example"))) == 1
    for number in range(39):
        end.say(KEY.format(f"d{number}.example"))
        house.caller.calls.pop()[2].errback(Fault("absent", "there is no such domain"))
        assert len(end.heard()) == 1
    assert condition(end.say(KEY.format("d1.evil.example"))) == "policy-violation"
    assert end.is_closed


def test_a_flood_of_one_domain_is_read_slowly_and_loses_nothing() -> None:
    """It has several streams, and as many domains as it likes; others are read as before."""
    house = House(rate=Rate(stanzas=100))
    ends = [house.external(f"d{number}.evil.example") for number in range(3)]
    fine = house.external()
    for _ in range(3):
        for number, end in enumerate(ends):
            end.say(MESSAGE.format(f"d{number}.evil.example") * 700)  # some 64 KiB
    at_once = len(house.romeo.received())
    assert at_once < 5_000
    fine.say(MESSAGE.format(THERE))
    assert len(house.romeo.received()) == 1
    house.hall.advance(1)
    assert not house.romeo.received()
    for _ in range(12):
        house.hall.advance(10)
        for end in ends:
            end.heard()
    assert at_once + len(house.romeo.received()) == 3 * 3 * 700


def test_a_domain_that_proves_itself_again_takes_no_more_room() -> None:
    house = House(streams_per_domain=2)
    end = house.secure()
    assert not end.say(KEY.format(THERE))
    confirm(house, end)
    assert end.heard()[0]["type"] == "valid"
    for _ in range(5):
        [result] = end.say(KEY.format(THERE))
        assert result["type"] == "valid"
    assert not house.caller.calls
    end.lose()
    for _ in range(2):
        house.external()


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


def test_questions_that_are_not_answered_are_forgotten() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    house.stand()
    [route] = house.peers.routes.values()
    for _ in range(3):
        end = house.secure()
        assert not end.say(KEY.format(THERE))
        house.hall.advance(31)
    assert not route.link._questions  # type: ignore[union-attr]


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


def test_a_stranger_that_trickles_is_cut_and_nothing_is_left() -> None:
    house = House()
    end = house.secure()
    for _ in range(40):
        end.say(" ")
        house.hall.advance(1)
    assert end.is_closed
    assert not house.peers.streams


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


def test_one_user_cannot_use_up_all_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "ROUTES_OF_ONE", 200)
    house = House()
    other = house.hall.login("benvolio@example.net/street")
    for number in range(peers.ROUTES_OF_ONE + 3):
        house.romeo.send(WORD.format(number).replace(THERE, f"d{number}.example"))
    assert len(house.peers.routes) == peers.ROUTES_OF_ONE
    assert len(house.romeo.received()) == 3
    other.send(WORD.format("mine"))
    assert (HERE, THERE) in house.peers.routes
    house.hall.advance(61)  # all that waits has its time
    for _, _, called in house.caller.calls:
        called.errback(Fault("connect", "there is no way"))
    house.hall.advance(3)
    assert not house.peers.routes
    assert not house.peers._started.taken


def test_one_user_cannot_fill_all_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many domains that never answer; and strangers who have us answer as many."""
    monkeypatch.setattr(peers, "ALL_QUEUES", 1_000_000)
    monkeypatch.setattr(peers, "QUEUES_OF_ONE", 100_000)
    house = House()
    other = house.hall.login("benvolio@example.net/street")
    for number in range(50):
        house.romeo.send(
            WORD.format(number).replace(THERE, f"d{number}.example").replace("hi", "x" * 5_000)
        )
    assert 90_000 < house.peers.waiting <= 100_000
    full = house.romeo.received()
    assert len(full) == 50 - len(house.peers.routes) > 0
    assert all("resource-constraint" in one.toXml() for one in full)
    for number in range(200):
        ping(house, number)
    assert 180_000 < house.peers.waiting <= 200_000
    other.send(WORD.format("mine").replace("hi", "x" * 50_000))
    assert (HERE, THERE) in house.peers.routes
    assert not other.received()
    house.hall.advance(61)
    assert not house.peers.waiting


@pytest.mark.parametrize("features", ["", "<sm xmlns='urn:xmpp:sm:3'/>"])
def test_peers_that_take_nothing_fill_no_more_than_others(
    monkeypatch: pytest.MonkeyPatch, features: str
) -> None:
    """They have us open streams, and then do not read, or acknowledge nothing."""
    monkeypatch.setattr(peers, "QUEUES_OF_ONE", 500_000)
    house = House()
    ends = []
    for number in range(5):
        house.romeo.send(WORD.format(0).replace(THERE, f"d{number}.example"))
        ends.append(house.stand(features))
        ends[-1].protocol.pauseProducing()
    for number in range(1, 50):
        for place in range(5):
            word = WORD.format(number).replace(THERE, f"d{place}.example")
            house.romeo.send(word.replace("hi", "x" * 5_000))
    assert 490_000 < house.peers.waiting <= 500_000
    assert len(house.romeo.received()) > 50
    other = house.hall.login("benvolio@example.net/street")
    other.send(WORD.format("mine").replace(THERE, "d0.example"))
    assert not other.received()
    for end in ends:
        end.protocol.resumeProducing()
        if features:
            count = 1 + len([one for one in end.heard() if one.name == "message"])
            end.say(f"<a xmlns='urn:xmpp:sm:3' h='{count}'/>")
    house.hall.advance(1)
    assert not house.peers.waiting
    house.romeo.send(WORD.format("again").replace(THERE, "d0.example"))
    assert not house.romeo.received()


def ping(house: House, number: int) -> None:
    """A question from one of many domains below evil.example, which has to be answered."""
    house.hall.route(
        f"<iq type='get' id='1' from='d{number}.evil.example' to='example.net'>"
        "<ping xmlns='urn:xmpp:ping'/></iq>"
    )
    house.hall.advance(0)


def test_who_makes_us_answer_many_domains_waits_for_himself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "ROUTES_OF_ONE", 50)
    house = House()
    house.hall.host.router.add_service("push.example.net")
    for number in range(70):
        ping(house, number)
    assert len(house.peers.routes) == 50
    assert len(house.caller.calls) == peers.CALLS_OF_ONE
    house.hall.route("<message from='push.example.net' to='a@other.example'><body/></message>")
    house.romeo.send(WORD.format(0))
    pairs = [pair for pair, _, _ in house.caller.calls[peers.CALLS_OF_ONE :]]
    assert pairs == [("push.example.net", "other.example"), (HERE, THERE)]
    for number in range(2 * peers.CALLS):  # from many domains, now
        house.hall.route(
            f"<iq type='get' id='1' from='evil{number}.example{number}' to='example.net'>"
            "<ping xmlns='urn:xmpp:ping'/></iq>"
        )
        house.hall.advance(0)
    assert len(house.caller.calls) == peers.CALLS + 1
    house.romeo.send(WORD.format(0).replace(THERE, "more.example"))
    assert house.caller.calls[-1][0] == (HERE, "more.example")
    house.peers.stop()


def test_a_flood_of_domains_leaves_nothing_behind() -> None:
    """They come in by hundreds, all with a key that nobody vouches for; some hang up meanwhile."""
    house = House()
    kept = house.external("kept.example")
    (kept_stream,) = house.peers.streams
    streams = weakref.WeakSet[object]()
    for number in range(50):
        end = house.secure(f"d{number}.example")
        streams.update(one for one in house.peers.streams if one is not kept_stream)
        for other in range(10):
            end.say(KEY.format(f"d{number}-{other}.example"))
        if number % 2:
            end.lose()
        house.hall.advance(1)
        kept.say(MESSAGE.format("kept.example"))
        assert len(house.romeo.received()) == 1
        assert len(house.caller.calls) <= peers.CALLS
        for _, _, called in house.caller.calls:
            called.errback(Fault("connect", "there is no way"))
        house.caller.calls.clear()
    house.hall.advance(40)
    house.hall.advance(6)  # to close, for who does not
    while house.caller.calls:
        house.caller.calls.pop()[2].errback(Fault("connect", "there is no way"))
    del end
    gc.collect()
    assert len(streams) == 0
    assert len(house.peers.streams) == 1
    assert not house.peers.routes
    assert not house.peers._checks._waiting
    assert not house.peers._checks._under_way


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
