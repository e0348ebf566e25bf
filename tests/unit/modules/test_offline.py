import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pushd.routing.events import Cause, Undelivered
from pushd.wire.element import Element
from tests.hall import START, Client, Hall

MODULES = {"roster": None, "presence": None, "offline": None}
ROMEO, ORCHARD = "romeo@example.net", "romeo@example.net/orchard"
JULIET, BALCONY = "juliet@example.net", "juliet@example.net/balcony"


@pytest.fixture
def hall() -> Hall:
    hall = Hall(modules=MODULES)
    hall.add_account(ROMEO)
    return hall


def write(hall: Hall, body: str, to: str = ROMEO) -> None:
    hall.route(f"<message from='{BALCONY}' to='{to}' type='chat'><body>{body}</body></message>")


def bodies(client: Client) -> list[str]:
    return [str(one.body) for one in client.received() if one.name == "message"]


def arrive(hall: Hall, address: str = ORCHARD, *, sm: bool = False, priority: int = 0) -> Client:
    client = hall.login(address, sm=sm, available=False)
    client.send(f"<presence><priority>{priority}</priority></presence>")
    return client


def stored(hall: Hall) -> int:
    return int(hall.rows("SELECT count(*) FROM offline")[0][0])


# What is kept (XEP-0160 §3, XEP-0334).

ACTIVE = "<active xmlns='http://jabber.org/protocol/chatstates'/>"
THREAD = "<thread>t</thread>"
RECEIPT = "<received xmlns='urn:xmpp:receipts' id='1'/>"
MARKER = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
OMEMO = "<encrypted xmlns='urn:xmpp:omemo:2'/>"
BODY = "<body>hello</body>"
ORIGIN = "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>"


def hint(name: str) -> str:
    return f"<{name} xmlns='urn:xmpp:hints'/>"


@pytest.mark.parametrize("type", ["", "normal", "chat"])
@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (BODY, True),
        (BODY + ACTIVE, True),
        (OMEMO, True),
        (RECEIPT, True),
        (MARKER + THREAD, True),
        ("<subject>News</subject>", True),
        (BODY + hint("no-permanent-store"), True),
        (ACTIVE + hint("store"), True),
        ("", False),
        (ACTIVE, False),
        (ACTIVE + THREAD + ORIGIN, False),
        (ACTIVE + hint("no-copy"), False),
        (BODY + hint("no-store"), False),
        (BODY + hint("no-storage"), False),
        (BODY + hint("store") + hint("no-store"), False),
    ],
)
def test_what_is_kept_for_the_absent(hall: Hall, type: str, content: str, kept: bool) -> None:
    juliet = hall.login(BALCONY)
    kind = f" type='{type}'" if type else ""

    juliet.send(f"<message to='{ROMEO}' id='m'{kind}>{content}</message>")

    assert stored(hall) == int(kept)
    assert len(hall.events(Undelivered)) == int(kept)
    assert [one for one in juliet.received() if one.name == "message"] == []


@pytest.mark.parametrize("type", ["groupchat", "headline", "error"])
def test_other_types_are_not_kept(hall: Hall, type: str) -> None:
    hall.route(f"<message from='{BALCONY}' to='{ROMEO}' type='{type}'>{BODY}</message>")

    assert stored(hall) == 0


def test_what_is_kept_is_announced(hall: Hall) -> None:
    write(hall, "hello")

    [event] = hall.events(Undelivered)
    assert (event.account, event.session, event.cause) == (ROMEO, None, Cause.ABSENT)
    assert event.at == START


def test_nothing_is_kept_for_no_account(hall: Hall) -> None:
    juliet = hall.login(BALCONY)

    juliet.send(f"<message to='nobody@example.net'>{BODY}</message>")

    [error] = [one for one in juliet.received() if one.name == "message"]
    assert error.error.firstChildElement().name == "service-unavailable"
    assert stored(hall) == 0


def test_beyond_the_quota_a_message_is_refused() -> None:
    hall = Hall(modules={**MODULES, "offline": {"messages": 2}})
    hall.add_account(ROMEO)
    juliet = hall.login(BALCONY)

    for number in range(3):
        juliet.send(f"<message to='{ROMEO}' id='{number}'>{BODY}</message>")

    [error] = [one for one in juliet.received() if one.name == "message"]
    assert error["id"] == "2"
    assert error.error.firstChildElement().name == "service-unavailable"
    assert bodies(arrive(hall)) == ["hello", "hello"]
    write(hall, "room again")
    assert len(hall.events(Undelivered)) == 2


def test_offline_storage_is_announced_by_the_server(hall: Hall) -> None:
    answer = hall.login(BALCONY).ask(
        "<iq type='get' id='d' to='example.net'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )

    assert "msgoffline" in [one.getAttribute("var") for one in answer.query.elements()]


# Handing out.


def delays(message: Element) -> list[tuple[str, str]]:
    return [
        (node["from"], node["stamp"])
        for node in message.elements()
        if (node.uri, node.name) == ("urn:xmpp:delay", "delay")
    ]


@pytest.mark.parametrize("sm", [True, False])
def test_messages_are_handed_out_oldest_first_with_the_time_of_each(hall: Hall, sm: bool) -> None:
    write(hall, "one")
    hall.advance(60)
    write(hall, "two")
    hall.advance(60)

    romeo = arrive(hall, sm=sm)

    first, second = [one for one in romeo.received() if one.name == "message"]
    assert [str(first.body), str(second.body)] == ["one", "two"]
    assert delays(first) == [("example.net", "2023-11-14T22:13:20.000Z")]
    assert delays(second) == [("example.net", "2023-11-14T22:14:20.000Z")]
    assert (first["from"], first["to"], first["type"]) == (BALCONY, ROMEO, "chat")
    assert stored(hall) == 0


def test_a_session_with_a_negative_priority_gets_nothing_until_it_changes(hall: Hall) -> None:
    write(hall, "hello")
    romeo = arrive(hall, priority=-1)
    assert bodies(romeo) == []
    assert stored(hall) == 1

    romeo.send("<presence/>")

    assert bodies(romeo) == ["hello"]


def test_only_the_session_that_comes_first_gets_them(hall: Hall) -> None:
    write(hall, "hello")

    first, second = arrive(hall), arrive(hall, "romeo@example.net/second")

    assert bodies(first) == ["hello"]
    assert bodies(second) == []


def test_two_sessions_that_come_at_once_get_each_message_once(hall: Hall) -> None:
    for number in range(5):
        write(hall, str(number))
    clients = [hall.login(f"{ROMEO}/{name}", available=False) for name in ("a", "b")]

    for client in clients:
        client.pass_on("<presence/>")
    hall.advance(0)

    assert sorted(bodies(clients[0]) + bodies(clients[1])) == ["0", "1", "2", "3", "4"]


def test_a_session_that_goes_before_storage_answers_leaves_the_messages_there(hall: Hall) -> None:
    write(hall, "hello")
    romeo = hall.login(ORCHARD, available=False)
    romeo.pass_on("<presence/>")
    romeo.close()

    assert stored(hall) == 1
    assert bodies(arrive(hall)) == ["hello"]


def test_a_session_that_is_detached_meanwhile_gets_the_messages_when_it_resumes(hall: Hall) -> None:
    write(hall, "hello")
    romeo = hall.login(ORCHARD, sm=True, available=False)
    romeo.pass_on("<presence/>")
    romeo.cut()
    assert stored(hall) == 1
    assert len([event for event in hall.events(Undelivered) if event.stanza.name == "message"]) == 1

    romeo.resume()

    assert bodies(romeo) == ["hello"]


def test_a_message_moves_from_storage_to_the_queue_in_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pushd.db"
    hall = Hall(modules=MODULES, path=path)
    hall.add_account(ROMEO)
    for number in range(3):
        write(hall, str(number))
    places = set()
    work = hall.host.database._writer.attempt

    def watched(*given: object) -> object:
        outcome = work(*given)  # type: ignore[arg-type]
        with closing(sqlite3.connect(path)) as found:
            places.add(
                (
                    found.execute("SELECT count(*) FROM offline").fetchone()[0],
                    found.execute("SELECT count(*) FROM queue").fetchone()[0],
                )
            )
        return outcome

    monkeypatch.setattr(hall.host.database._writer, "attempt", watched)
    romeo = arrive(hall, sm=True)

    assert bodies(romeo) == ["0", "1", "2"]
    # The session's own presence is queued, too; before the messages or along with them.
    assert {offline for offline, _ in places} == {3, 0}
    assert all(queue in (3, 4) for offline, queue in places if offline == 0)


def test_what_was_not_acknowledged_waits_again_with_its_first_stamp(hall: Hall) -> None:
    write(hall, "hello")
    hall.advance(60)
    romeo = arrive(hall, sm=True)
    assert bodies(romeo) == ["hello"]
    romeo.cut()
    hall.advance(1_000)
    assert stored(hall) == 1

    [message] = [one for one in arrive(hall).received() if one.name == "message"]

    assert delays(message) == [("example.net", "2023-11-14T22:13:20.000Z")]


def test_what_was_acknowledged_does_not_come_again(hall: Hall) -> None:
    write(hall, "hello")
    romeo = arrive(hall, sm=True)
    romeo.acknowledge()
    romeo.cut()
    hall.advance(1_000)

    assert stored(hall) == 0
    assert bodies(arrive(hall)) == []


def test_many_messages_come_as_the_session_acknowledges_them(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.routing.offline.BATCH", 10)
    monkeypatch.setattr("pushd.routing.offline.FULL", 20)
    for number in range(50):
        write(hall, str(number))

    romeo = arrive(hall, sm=True)
    hall.advance(10)
    received = bodies(romeo)
    assert len(received) == 20
    for _ in range(3):
        romeo.acknowledge()
        hall.advance(1)
        received += bodies(romeo)

    assert received == [str(number) for number in range(50)]
    assert stored(hall) == 0


def test_large_messages_come_a_few_at_a_time_to_who_reads(hall: Hall) -> None:
    for number in range(8):
        write(hall, f"{number}" + "x" * 200_000)
    romeo = hall.login(ORCHARD, available=False)
    romeo.outlet.waiting = 2 << 20

    romeo.send("<presence/>")
    hall.advance(5)
    assert len(bodies(romeo)) == 5  # what one commit hands over, and it is not read
    assert stored(hall) == 3

    romeo.outlet.waiting = 0
    hall.advance(5)
    hall.advance(5)
    assert [body[0] for body in bodies(romeo)] == ["5", "6", "7"]
    assert stored(hall) == 0


def test_handing_out_stops_with_the_stream_and_goes_on_with_the_session(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.routing.offline.BATCH", 10)
    monkeypatch.setattr("pushd.routing.offline.FULL", 10)
    for number in range(30):
        write(hall, str(number))
    romeo = arrive(hall, sm=True)
    received = bodies(romeo)
    romeo.cut()
    hall.advance(10)
    assert stored(hall) == 20
    assert hall.events(Undelivered)[30:] == []

    romeo.resume()
    for _ in range(4):
        received += bodies(romeo)
        romeo.acknowledge()
        hall.advance(1)

    assert received == [str(number) for number in range(30)]


def test_messages_outlive_a_restart_and_new_ones_come_behind(tmp_path: Path) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    hall.add_account(ROMEO)
    write(hall, "one")
    hall.wait(hall.host.database.close())

    later = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    write(later, "two")

    assert bodies(arrive(later)) == ["one", "two"]


def test_a_removed_account_takes_its_messages_along(hall: Hall) -> None:
    write(hall, "hello")

    hall.wait(hall.host.accounts.remove(ROMEO))

    assert stored(hall) == 0
    assert bodies(arrive(hall)) == []
