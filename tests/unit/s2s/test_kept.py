"""What is on its way to other servers survives us, until it is known to have arrived."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pushd.s2s.counting import Sent
from pushd.s2s.faults import Fault
from pushd.s2s.kept import LOOK, left_over, send_on
from pushd.s2s.pairs import Waiting
from pushd.wire.element import element
from pushd.wire.framer import seal
from tests.hall import Hall
from tests.unit.s2s.house import HERE, THERE, House
from tests.unit.s2s.test_outgoing import ENABLED, SM, WORD, heard_after, ids, refusals

ROWS = "SELECT stanza FROM remote_queue ORDER BY id"
ROMEO = f"romeo@{HERE}/orchard"


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(Hall((HERE,), {"roster": None}, path=tmp_path / "pushd.db"))
    house.romeo = house.hall.login(ROMEO, sm=True)
    return house


def rows(house: House) -> int:
    return len(house.hall.rows(ROWS))


def killed(house: House, after: float = 0.0) -> House:
    return House(house.hall.killed(after))


def test_what_waits_for_a_stream_goes_on_after_a_crash(house: House) -> None:
    for number in range(3):
        house.romeo.send(WORD.format(number))
    at = house.hall.clock.seconds()
    said = heard_after(killed(house, after=3_600))
    assert ids(said) == ["0", "1", "2"]
    for message in said:
        [delay] = [one for one in message.elements() if one.name == "delay"]
        assert delay["from"] == HERE
    assert at == 1_700_000_000  # 2023-11-14T22:13:20Z
    assert delay["stamp"].startswith("2023-11-14T22:13:20")


def test_what_was_accepted_finds_room_after_a_crash(tmp_path: Path) -> None:
    house = House(Hall((HERE,), {"roster": None}, path=tmp_path / "pushd.db"), queue_stanzas=2)
    house.romeo = house.hall.login(ROMEO, sm=True)
    house.romeo.send(WORD.format(0))
    house.stand(SM)
    for number in range(1, 5):
        house.romeo.pass_on(WORD.format(number))
    house.hall.advance(0)
    again = House(house.hall.killed(), queue_stanzas=2)
    assert ids(heard_after(again)) == ["0", "1", "2", "3", "4"]


def test_what_comes_while_we_start_is_behind_what_was_left(house: House) -> None:
    for number in range(3):
        house.romeo.send(WORD.format(number))
    again = killed(house)
    again.hall.login(ROMEO).send(WORD.format(3))
    assert rows(again) == 4
    assert ids(heard_after(again)) == ["0", "1", "2", "3"]


def test_what_was_not_acknowledged_goes_on_after_a_crash(house: House) -> None:
    house.romeo.send(WORD.format(0))
    end = house.stand(SM)
    house.romeo.send(WORD.format(1))
    house.romeo.send(WORD.format(2))
    end.say(ENABLED + "<a xmlns='urn:xmpp:sm:3' h='2'/>")
    house.hall.advance(0)
    assert rows(house) == 1
    assert ids(heard_after(killed(house))) == ["2"]


def test_what_arrived_before_the_commit_is_never_written(house: House) -> None:
    house.romeo.send(WORD.format(0))
    end = house.stand(SM)
    end.say(ENABLED + "<a xmlns='urn:xmpp:sm:3' h='1'/>")
    written = house.hall.host.database.commits.statements
    house.romeo.pass_on(WORD.format(1))
    end.protocol.dataReceived(b"<a xmlns='urn:xmpp:sm:3' h='2'/>")
    house.hall.advance(0)
    assert house.hall.host.database.commits.statements - written == 1  # the sender's count


def test_a_stop_keeps_it_and_says_nothing_to_its_sender(house: House) -> None:
    house.romeo.send(WORD.format(0))
    end = house.stand(SM)
    house.romeo.send(WORD.format(1))
    end.say(ENABLED + "<a xmlns='urn:xmpp:sm:3' h='1'/>")
    house.peers.stop()
    house.romeo.send(WORD.format(2))
    assert house.romeo.received() == []
    assert ids(heard_after(killed(house))) == ["1", "2"]


@pytest.mark.parametrize(
    "end",
    [
        lambda house: house.hall.advance(61),  # its time is over
        lambda house: house.caller.calls.pop()[2].errback(Fault("absent", "nowhere")),
    ],
    ids=["late", "nowhere"],
)
def test_what_went_back_is_gone(house: House, end: Callable[[House], None]) -> None:
    house.romeo.send(WORD.format(0))
    assert rows(house) == 1
    end(house)
    house.hall.advance(0)
    assert len(refusals(house.romeo)) == 1
    assert rows(house) == 0


def test_without_other_servers_it_goes_back_at_the_next_start(house: House) -> None:
    house.romeo.send(WORD.format(0))
    hall = house.hall.killed()
    send_on(hall.host, hall.wait(left_over(hall.host.database)))
    hall.advance(0)
    assert hall.rows("SELECT 1 FROM remote_queue") == []
    [(raw,)] = hall.rows("SELECT stanza FROM queue")
    error = seal(raw)
    assert (error.type, error.id) == ("error", "0")
    assert b"remote-server-not-found" in raw


def test_a_question_of_ours_is_not_asked_again(house: House) -> None:
    question = house.hall.host.requests.ask(THERE, HERE, element("urn:xmpp:ping", "ping"), "get")
    assert not question.called
    house.hall.advance(0)
    assert rows(house) == 0
    house.romeo.send(f"<iq type='get' id='1' to='{THERE}'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert rows(house) == 1


def test_what_cannot_be_read_is_dropped(house: House) -> None:
    house.romeo.send(WORD.format(0))
    house.hall.host.database.write("INSERT INTO remote_queue VALUES (99, CAST('<mess' AS BLOB), 0)")
    house.hall.advance(0)
    again = killed(house)
    again.hall.advance(0)
    assert rows(again) == 1


class Connection:
    """A stream to a peer that does not count."""

    def __init__(self) -> None:
        self.unconfirmed = 0
        self.said = b""

    def send(self, data: bytes) -> None:
        self.said += data
        self.unconfirmed += len(data)


def test_without_counts_it_is_kept_until_the_peers_machine_has_it(house: House) -> None:
    connection = Connection()
    sent = Sent(connection, house.peers.kept)  # type: ignore[arg-type]
    every = []
    for number in range(3):
        stanza = seal(WORD.format(number).replace("<message", f"<message from='{ROMEO}'").encode())
        every.append(Waiting(stanza, 0.0, 60.0, len(stanza.raw)))
        house.peers.keep(every[-1])
        sent.say(every[-1], 0.0)
    house.hall.advance(LOOK)
    assert rows(house) == 3
    connection.unconfirmed = every[2].size + 1
    house.hall.advance(LOOK)
    assert rows(house) == 2
    connection.unconfirmed = every[2].size
    house.hall.advance(LOOK)
    assert rows(house) == 1
    assert sent.rest() == [every[2]]
    connection.unconfirmed = 0
    house.hall.advance(LOOK)
    assert rows(house) == 1  # it is somebody else's business now
