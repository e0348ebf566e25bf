"""Much at a time, from servers and from users: it has an end, and the others are served."""

import gc
import weakref

import pytest
from twisted.logger import capturedLogs, formatEvent

from pushd.net.pace import Rate
from pushd.s2s import peers
from pushd.s2s.faults import Fault
from tests.unit.s2s.house import HERE, KEY, MESSAGE, THERE, WORD, House, condition, confirm


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
        house.hall.advance(0)
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
    assert house.peers.streams
    for _ in range(40):
        end.protocol.dataReceived(b"<r xmlns='urn:xmpp:sm:3'/>" * 250)
    assert not house.peers.streams
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


def test_a_stranger_that_trickles_is_cut_and_nothing_is_left() -> None:
    house = House()
    end = house.secure()
    for _ in range(40):
        end.say(" ")
        house.hall.advance(1)
    assert end.is_closed
    assert not house.peers.streams


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


def test_nobody_fills_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """One user writes to as many domains as he can think of, and none has a server."""
    monkeypatch.setattr(peers, "LINES", 20)
    house = House()
    with capturedLogs() as events:
        for number in range(50):
            house.romeo.send(WORD.format(number).replace(THERE, f"d{number}.example"))
            house.caller.calls.pop()[2].errback(Fault("absent", "there is no such domain"))
            house.hall.advance(0)
        lines = [formatEvent(one) for one in events]
        assert len([one for one in lines if "no stream" in one]) == 20
        assert len([one for one in lines if "many servers are not reached" in one]) == 1
        house.hall.advance(3_600)
        house.romeo.send(WORD.format("again").replace(THERE, "again.example"))
        house.caller.calls.pop()[2].errback(Fault("absent", "there is no such domain"))
        assert "again.example" in formatEvent(events[-1])


def test_streams_that_are_quiet_need_no_parser() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    ends = [house.external(), house.stand("<sm xmlns='urn:xmpp:sm:3'/>")]
    ends[1].say("<enabled xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='1'/>")
    framers = [end.protocol._framer for end in ends]
    assert all(hasattr(framer, "_parser") for framer in framers)
    for _ in range(2):
        house.hall.advance(31)
    assert not any(hasattr(framer, "_parser") for framer in framers)
    ends[0].say(MESSAGE.format(THERE))
    assert len(house.romeo.received()) == 1
    house.romeo.send(WORD.format(1))
    ends[1].heard()
    ends[1].say("<a xmlns='urn:xmpp:sm:3' h='2'/>")
    assert not house.peers.routes[HERE, THERE].link.waiting  # type: ignore[union-attr]
