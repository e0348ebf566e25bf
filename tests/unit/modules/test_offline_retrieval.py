from pathlib import Path

import pytest

from pushd.routing.rosters import Contact
from pushd.wire.element import Element, child, children
from tests.hall import Client, Hall

NS = "http://jabber.org/protocol/offline"
INFO, ITEMS = (f"http://jabber.org/protocol/disco#{what}" for what in ("info", "items"))
MODULES = {"roster": None, "presence": None, "offline": None, "offline_retrieval": None}
ROMEO, JULIET = "romeo@example.net", "juliet@example.net"


class Verona:
    """Romeo was away, and Juliet has written him three messages; he is bound, not available."""

    def __init__(self, path: Path | str = ":memory:", sm: bool = True) -> None:
        self.hall = Hall(modules=MODULES, path=path)
        self.hall.add_account(ROMEO)
        self.juliet = self.hall.login(f"{JULIET}/balcony")
        for number in (1, 2, 3):
            self.write(number)
        self.romeo = self.hall.login(f"{ROMEO}/orchard", sm=sm, available=False)

    def write(self, number: int) -> None:
        self.juliet.send(f"<message to='{ROMEO}' type='chat'><body>{number}</body></message>")

    def stored(self) -> int:
        [(count,)] = self.hall.rows("SELECT COUNT(*) FROM offline")
        assert isinstance(count, int)
        assert self.hall.host.offline.count(ROMEO) == count
        return count


@pytest.fixture
def verona() -> Verona:
    return Verona()


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next message comes when the one before is acknowledged."""
    monkeypatch.setattr("pushd.routing.offline.BATCH", 1)
    monkeypatch.setattr("pushd.routing.offline.FULL", 1)


def ask(client: Client, type: str, content: str, to: str = "") -> Element:
    addressed = f" to='{to}'" if to else ""
    return client.ask(
        f"<iq type='{type}' id='o'{addressed}><offline xmlns='{NS}'>{content}</offline></iq>"
    )


def discover(client: Client, namespace: str, to: str = "") -> Element:
    addressed = f" to='{to}'" if to else ""
    return client.ask(
        f"<iq type='get' id='d'{addressed}><query xmlns='{namespace}' node='{NS}'/></iq>"
    )


def headers(client: Client) -> list[Element]:
    answer = discover(client, ITEMS)
    assert answer["type"] == "result"
    assert answer.query["node"] == NS
    return list(children(answer.query))


def nodes(client: Client) -> list[str]:
    return [item["node"] for item in headers(client)]


def items(action: str, names: list[str]) -> str:
    return "".join(f"<item action='{action}' node='{name}'/>" for name in names)


def bodies(client: Client) -> list[str]:
    return [str(one.body) for one in client.received() if one.name == "message"]


def shown(client: Client) -> list[tuple[str, str]]:
    """The messages that came, by their bodies, with the node that each names."""
    found = []
    for one in client.received():
        if one.name == "message":
            offline = child(one, NS, "offline")
            assert offline is not None
            [item] = children(offline)
            found.append((str(one.body), item["node"]))
    return found


def condition(answer: Element) -> tuple[str, str]:
    assert answer["type"] == "error"
    return answer.error["type"], answer.error.firstChildElement().name


NOT_FOUND, BAD = ("cancel", "item-not-found"), ("modify", "bad-request")


def test_the_number_of_messages_is_told(verona: Verona) -> None:
    answer = discover(verona.romeo, INFO)

    assert answer.query["node"] == NS
    told = list(children(answer.query))
    assert (told[0]["category"], told[0]["type"]) == ("automation", "message-list")
    assert told[1]["var"] == NS
    fields = {field["var"]: str(field.value) for field in children(answer.query.x)}
    assert fields == {"FORM_TYPE": NS, "number_of_messages": "3"}


def test_headers_say_who_has_written_in_the_order_of_their_nodes(verona: Verona) -> None:
    found = headers(verona.romeo)

    assert [(item["jid"], item["name"]) for item in found] == [(ROMEO, f"{JULIET}/balcony")] * 3
    names = [item["node"] for item in found]
    assert names == sorted(set(names))


def test_without_messages_the_list_is_empty_and_nothing_is_fetched(verona: Verona) -> None:
    assert headers(verona.juliet) == []
    assert ask(verona.juliet, "get", "<fetch/>")["type"] == "result"
    assert verona.juliet.received() == []


def test_messages_are_viewed_and_stay(verona: Verona) -> None:
    first, _, third = nodes(verona.romeo)

    for _ in range(2):
        answer = ask(verona.romeo, "get", items("view", [third, first]))
        assert (answer["type"], answer.children) == ("result", [])
        assert shown(verona.romeo) == [("1", first), ("3", third)]
    assert verona.stored() == 3


def test_a_viewed_message_says_when_it_came_and_comes_before_the_result(verona: Verona) -> None:
    [first, *_] = nodes(verona.romeo)
    verona.romeo.received()

    verona.romeo.send(
        f"<iq type='get' id='o'><offline xmlns='{NS}'>{items('view', [first])}</offline></iq>"
    )

    message, answer = verona.romeo.received()
    assert (message.name, message["from"], message["to"]) == ("message", f"{JULIET}/balcony", ROMEO)
    assert child(message, "urn:xmpp:delay", "delay") is not None
    assert answer.name == "iq"


def test_messages_are_removed_one_by_one(verona: Verona) -> None:
    first, second, third = nodes(verona.romeo)

    assert ask(verona.romeo, "set", items("remove", [third, first]))["type"] == "result"

    assert nodes(verona.romeo) == [second]
    assert verona.stored() == 1


@pytest.mark.parametrize("type", ["get", "set"])
def test_all_are_fetched_and_stay(verona: Verona, type: str) -> None:
    assert ask(verona.romeo, type, "<fetch/>")["type"] == "result"

    assert [body for body, _ in shown(verona.romeo)] == ["1", "2", "3"]
    assert verona.stored() == 3


def test_all_are_purged(verona: Verona) -> None:
    for _ in range(2):
        answer = ask(verona.romeo, "set", "<purge/>")
        assert (answer["type"], answer.children) == ("result", [])

    assert verona.stored() == 0
    verona.romeo.send("<presence/>")
    assert bodies(verona.romeo) == []


def test_who_only_purged_gets_later_messages_as_usual(verona: Verona) -> None:
    ask(verona.romeo, "set", "<purge/>")
    verona.write(4)

    verona.romeo.send("<presence/>")

    assert bodies(verona.romeo) == ["4"]
    assert verona.stored() == 0


def test_what_is_purged_is_purged_on_disk_before_it_is_said(tmp_path: Path) -> None:
    verona = Verona(tmp_path / "pushd.db")
    ask(verona.romeo, "set", "<purge/>")

    assert verona.hall.killed().rows("SELECT * FROM offline") == []


@pytest.mark.parametrize(
    ("type", "content", "expected"),
    [
        ("get", "", BAD),
        ("set", "", BAD),
        ("get", "<purge/>", BAD),
        ("get", "<item node='{0}' action='remove'/>", BAD),
        ("set", "<item node='{0}' action='view'/>", BAD),
        ("set", "<item node='{0}'/>", BAD),
        ("get", "<item action='view'/>", NOT_FOUND),
        ("get", "<item action='view' node='1'/>", NOT_FOUND),
        ("get", "<item action='view' node='{0}'/><item action='view' node='-1'/>", NOT_FOUND),
        (
            "set",
            "<item action='remove' node='{0}'/><item action='remove' node='{9}'/>",
            NOT_FOUND,
        ),
        ("set", "<item action='remove' node='{0}' xmlns='urn:x'/>", BAD),
    ],
)
def test_a_wrong_request_does_nothing_at_all(
    verona: Verona, type: str, content: str, expected: tuple[str, str]
) -> None:
    [first, *_] = nodes(verona.romeo)
    asked = content.replace("{0}", first).replace("{9}", "9" * len(first))

    assert condition(ask(verona.romeo, type, asked)) == expected
    assert bodies(verona.romeo) == []
    assert verona.stored() == 3


@pytest.mark.parametrize("is_contact", [False, True])
def test_nobody_sees_or_removes_the_messages_of_another(verona: Verona, is_contact: bool) -> None:
    verona.hall.wait(verona.hall.host.rosters.load(ROMEO))
    names = nodes(verona.romeo)
    if is_contact:
        verona.hall.host.rosters.put(ROMEO, Contact(JULIET, subscription="from"))
    expected = ("auth", "forbidden") if is_contact else ("cancel", "service-unavailable")

    for type, content in (
        ("get", "<fetch/>"),
        ("set", "<purge/>"),
        ("get", items("view", names)),
        ("set", items("remove", names)),
    ):
        assert condition(ask(verona.juliet, type, content, to=ROMEO)) == expected
    assert condition(discover(verona.juliet, INFO, to=ROMEO)) == expected
    answer = discover(verona.juliet, ITEMS, to=ROMEO)
    if is_contact:
        assert condition(answer) == expected
    else:  # as of an account that does not exist (XEP-0030 §8)
        assert answer.query.children == []
    assert verona.stored() == 3


# No flood.

PICKING = {
    "the number": lambda client: discover(client, INFO),
    "the headers": lambda client: discover(client, ITEMS),
    "all": lambda client: ask(client, "get", "<fetch/>"),
    "one": lambda client: ask(client, "get", "<item action='view' node='1'/>"),
}


@pytest.mark.parametrize("what", ["the number", "the headers", "all", "one"])
def test_who_picks_is_not_flooded(verona: Verona, what: str) -> None:
    PICKING[what](verona.romeo)
    verona.romeo.received()

    verona.romeo.send("<presence/>")

    assert bodies(verona.romeo) == []
    assert verona.stored() == 3
    verona.write(4)
    assert bodies(verona.romeo) == ["4"]
    verona.romeo.cut()
    verona.romeo.resume()
    assert verona.stored() == 3


def test_who_picks_still_picks_after_a_kill(tmp_path: Path) -> None:
    verona = Verona(tmp_path / "pushd.db")
    nodes(verona.romeo)
    verona.romeo.send("<presence/>")

    hall = verona.hall.killed()

    session = hall.host.sessions.of(ROMEO)["orchard"]
    before = session.queue.sent if session.queue is not None else 0
    hall.route(f"<message from='{JULIET}' to='{ROMEO}' type='chat'><body>4</body></message>")
    assert session.queue is not None
    assert session.queue.sent == before + 1
    assert hall.host.offline.count(ROMEO) == 3


def test_another_resource_is_not_flooded_while_the_first_one_picks(verona: Verona) -> None:
    nodes(verona.romeo)
    phone = verona.hall.login(f"{ROMEO}/phone", available=False)
    phone.send("<presence/>")
    assert bodies(phone) == []
    verona.romeo.close()

    tablet = verona.hall.login(f"{ROMEO}/tablet", available=False)
    tablet.send("<presence/>")

    assert bodies(tablet) == ["1", "2", "3"]
    assert verona.stored() == 0


def test_one_that_is_detached_does_not_keep_another_from_its_messages(verona: Verona) -> None:
    nodes(verona.romeo)
    verona.romeo.cut()

    phone = verona.hall.login(f"{ROMEO}/phone", available=False)
    phone.send("<presence/>")

    assert bodies(phone) == ["1", "2", "3"]


def test_who_asks_for_nothing_is_flooded_as_ever(verona: Verona) -> None:
    verona.romeo.send("<presence/>")

    assert bodies(verona.romeo) == ["1", "2", "3"]
    assert verona.stored() == 0


@pytest.mark.usefixtures("one_at_a_time")
def test_a_flood_stops_when_the_client_begins_to_pick(verona: Verona) -> None:
    verona.romeo.acknowledge()
    verona.romeo.send("<presence/>")
    got = bodies(verona.romeo)

    left = nodes(verona.romeo)
    verona.romeo.acknowledge()
    verona.hall.advance(10)

    assert len(got) + len(left) == 3
    assert bodies(verona.romeo) == []
    assert verona.stored() == len(left) > 0
    verona.write(4)
    assert bodies(verona.romeo) == ["4"]  # in the session, and so not behind what still waits


# Nothing twice, nothing lost.


def test_what_was_viewed_and_never_acknowledged_is_not_stored_again(verona: Verona) -> None:
    ask(verona.romeo, "get", "<fetch/>")
    verona.romeo.cut()

    verona.hall.advance(301)

    assert verona.hall.host.sessions.of(ROMEO) == {}
    assert verona.stored() == 3


@pytest.mark.usefixtures("one_at_a_time")
def test_a_purge_meets_a_flood_and_every_message_goes_one_way(verona: Verona) -> None:
    verona.romeo.acknowledge()
    verona.romeo.pass_on("<presence/>")
    verona.romeo.pass_on(f"<iq type='set' id='p'><offline xmlns='{NS}'><purge/></offline></iq>")
    verona.hall.advance(0)
    verona.romeo.acknowledge()
    verona.hall.advance(10)

    came = verona.romeo.received()
    assert [one["type"] for one in came if one.getAttribute("id") == "p"] == ["result"]
    assert len([one for one in came if one.name == "message"]) <= 1
    assert verona.stored() == 0
    verona.write(4)
    assert bodies(verona.romeo) == ["4"]


@pytest.mark.usefixtures("one_at_a_time")
def test_a_long_fetch_goes_at_the_pace_of_its_reader(verona: Verona) -> None:
    verona.romeo.acknowledge()
    verona.romeo.send(f"<iq type='get' id='f'><offline xmlns='{NS}'><fetch/></offline></iq>")
    verona.hall.advance(5)
    assert bodies(verona.romeo) == ["1"]

    purge = ask(verona.romeo, "set", items("remove", nodes(verona.romeo)[1:2]))

    assert purge["type"] == "result"
    got = []
    for _ in range(5):
        verona.romeo.acknowledge()
        verona.hall.advance(1)
        got += [(one.name, one.getAttribute("id")) for one in verona.romeo.received()]
    assert [name for name, _ in got] == ["message", "iq"]
    assert got[-1] == ("iq", "f")
    assert verona.stored() == 2


@pytest.mark.usefixtures("one_at_a_time")
def test_a_fetch_ends_with_its_connection(verona: Verona) -> None:
    verona.romeo.acknowledge()
    verona.romeo.send(f"<iq type='get' id='f'><offline xmlns='{NS}'><fetch/></offline></iq>")
    verona.romeo.received()
    verona.romeo.cut()
    verona.hall.advance(5)
    verona.romeo.resume()

    came = verona.romeo.received()
    assert [condition(one) for one in came if one.name == "iq"] == [
        ("wait", "recipient-unavailable")
    ]
    assert verona.stored() == 3


def test_it_is_announced_by_the_server(verona: Verona) -> None:
    answer = verona.juliet.ask(
        f"<iq type='get' id='d' to='example.net'><query xmlns='{INFO}'/></iq>"
    )

    assert NS in {node["var"] for node in answer.query.elements() if node.name == "feature"}


def test_a_purge_takes_what_was_there_and_no_more(verona: Verona) -> None:
    """Whatever else is under way: the count and the messages are always those on disk."""
    for presence in ("", "<presence/>"):
        if presence:
            verona.romeo.pass_on(presence)
        verona.romeo.pass_on(f"<iq type='set' id='p'><offline xmlns='{NS}'><purge/></offline></iq>")
        late = f"<message from='{JULIET}' to='{ROMEO}' type='chat'><body>late</body></message>"
        verona.hall.host.offline.add(ROMEO, late.encode(), 0.0)
        verona.hall.advance(1)

        if presence:
            assert bodies(verona.romeo)[-1] == "late"
        else:
            assert bodies(verona.romeo) == []
        assert verona.stored() == (0 if presence else 1)
