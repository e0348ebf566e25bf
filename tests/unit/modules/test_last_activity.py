from pathlib import Path

import pytest

from pushd.modules.last_activity import LONGEST_STATUS
from pushd.routing.rosters import Contact
from pushd.wire.element import Element
from tests.hall import Client, Hall

NS = "jabber:iq:last"
MODULES = {"roster": None, "presence": None, "last_activity": None}
JULIET, ROMEO = "juliet@example.net", "romeo@example.net"
BALCONY = f"{JULIET}/balcony"
LEAVE = "<presence type='unavailable'><status>Heading Home</status></presence>"


@pytest.fixture
def hall() -> Hall:
    return Hall(modules=MODULES)


@pytest.fixture
def romeo(hall: Hall) -> Client:
    """Romeo may see Juliet's presence."""
    romeo = hall.login(f"{ROMEO}/orchard")
    show(hall, ROMEO)
    return romeo


def show(hall: Hall, jid: str) -> None:
    hall.add_account(JULIET)
    hall.wait(hall.host.rosters.load(JULIET))
    hall.host.rosters.put(JULIET, Contact(jid, subscription="from"))


def last(client: Client, to: str) -> Element:
    return client.ask(f"<iq type='get' id='l' to='{to}'><query xmlns='{NS}'/></iq>")


def told(answer: Element) -> tuple[str, str]:
    """Seconds and text."""
    assert answer["type"] == "result"
    assert answer.query.uri == NS
    return answer.query["seconds"], str(answer.query)


def condition(answer: Element) -> tuple[str, str]:
    assert answer["type"] == "error"
    return answer.error["type"], answer.error.firstChildElement().name


def test_a_server_tells_how_long_it_has_been_up(hall: Hall, romeo: Client) -> None:
    hall.advance(123456)

    assert told(last(romeo, "example.net")) == ("123456", "")


@pytest.mark.parametrize(
    ("farewell", "status"),
    [(LEAVE, "Heading Home"), ("<presence type='unavailable'/>", ""), ("", "")],
)
def test_an_account_tells_when_its_last_resource_left_and_what_it_said(
    hall: Hall, romeo: Client, farewell: str, status: str
) -> None:
    other = hall.login(f"{JULIET}/chamber")
    juliet = hall.login(BALCONY)
    other.send("<presence type='unavailable'><status>Later</status></presence>")
    other.close()
    hall.advance(60)
    if farewell:
        juliet.send(farewell)
    juliet.close()

    hall.advance(903)

    assert told(last(romeo, JULIET)) == ("903", status)


def test_who_came_back_in_between_takes_back_the_farewell(hall: Hall, romeo: Client) -> None:
    juliet = hall.login(BALCONY)
    juliet.send(LEAVE)
    juliet.send("<presence/>")
    juliet.send("<presence type='unavailable'/>")
    juliet.close()

    assert told(last(romeo, JULIET)) == ("0", "")


@pytest.mark.parametrize("how", ["available", "bound", "detached"])
def test_an_account_with_a_resource_was_active_just_now(
    hall: Hall, romeo: Client, how: str
) -> None:
    juliet = hall.login(BALCONY, sm=True, available=how != "bound")
    if how == "detached":
        juliet.cut()
    hall.advance(100)

    assert told(last(romeo, JULIET)) == ("0", "")


def test_a_detached_resource_left_when_it_was_detached(hall: Hall, romeo: Client) -> None:
    juliet = hall.login(BALCONY, sm=True)
    juliet.cut()

    hall.advance(300 + 100)

    assert told(last(romeo, JULIET)) == ("400", "")


def test_an_account_that_never_logged_in_has_nothing_to_tell(hall: Hall, romeo: Client) -> None:
    assert condition(last(romeo, JULIET)) == ("cancel", "item-not-found")


def test_a_departure_outlives_a_kill_but_not_its_account(tmp_path: Path) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    juliet = hall.login(BALCONY)
    juliet.send(LEAVE)
    juliet.close()
    hall = hall.killed(after=50)
    romeo = hall.login(f"{ROMEO}/orchard")
    show(hall, ROMEO)

    assert told(last(romeo, JULIET)) == ("50", "Heading Home")
    hall.wait(hall.host.accounts.remove(JULIET))
    hall.add_account(JULIET)
    show(hall, ROMEO)
    assert condition(last(romeo, JULIET)) == ("cancel", "item-not-found")


def test_who_goes_with_its_account_leaves_no_trace(hall: Hall) -> None:
    juliet = hall.login(BALCONY)
    hall.wait(hall.host.accounts.remove(JULIET))
    juliet.close()

    assert hall.rows("SELECT * FROM departures") == []


def test_after_a_kill_a_resource_that_could_not_be_resumed_was_there_when_it_came(
    tmp_path: Path,
) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    hall.login(BALCONY).close()
    hall.advance(1_000)
    hall.login(BALCONY)
    hall = hall.killed(after=50)
    romeo = hall.login(f"{ROMEO}/orchard")
    show(hall, ROMEO)

    assert told(last(romeo, JULIET)) == ("50", "")


def test_a_long_farewell_is_cut(hall: Hall, romeo: Client) -> None:
    juliet = hall.login(BALCONY)
    juliet.send(f"<presence type='unavailable'><status>{'x' * 5_000}</status></presence>")
    juliet.close()

    assert told(last(romeo, JULIET))[1] == "x" * LONGEST_STATUS


@pytest.mark.parametrize(
    "to",
    [JULIET, BALCONY, f"{JULIET}/nowhere", "nobody@example.net", "nobody@example.net/x"],
)
def test_who_may_not_see_presence_learns_nothing(hall: Hall, to: str) -> None:
    """Not even whether there is such an account, or such a resource (XEP-0012 §8)."""
    juliet = hall.login(BALCONY)
    romeo = hall.login(f"{ROMEO}/orchard")

    assert condition(last(romeo, to)) == ("auth", "forbidden")
    assert juliet.received() == []


@pytest.mark.parametrize("to", [JULIET, BALCONY])
def test_a_subscription_the_other_way_does_not_help(hall: Hall, to: str) -> None:
    hall.login(BALCONY)
    romeo = hall.login(f"{ROMEO}/orchard")
    hall.wait(hall.host.rosters.load(JULIET))
    hall.host.rosters.put(JULIET, Contact(ROMEO, subscription="to"))

    assert condition(last(romeo, to)) == ("auth", "forbidden")


def test_a_second_child_is_no_way_around(hall: Hall) -> None:
    juliet = hall.login(BALCONY)
    romeo = hall.login(f"{ROMEO}/orchard")

    answer = romeo.ask(
        f"<iq type='get' id='l' to='{BALCONY}'><x xmlns='urn:x'/><query xmlns='{NS}'/></iq>"
    )

    assert condition(answer) == ("auth", "forbidden")
    assert juliet.received() == []


def test_a_connected_resource_answers_itself(hall: Hall, romeo: Client) -> None:
    juliet = hall.login(BALCONY)
    romeo.received()

    romeo.send(f"<iq type='get' id='l' to='{BALCONY}'><query xmlns='{NS}'/></iq>")
    [request] = juliet.received()

    assert (request["from"], request["id"]) == (f"{ROMEO}/orchard", "l")
    juliet.send(
        f"<iq type='result' id='l' to='{ROMEO}/orchard'><query xmlns='{NS}' seconds='123'/></iq>"
    )
    [answer] = romeo.received()
    assert told(answer) == ("123", "")


def test_of_a_detached_resource_the_server_tells_since_when(hall: Hall, romeo: Client) -> None:
    juliet = hall.login(BALCONY, sm=True)
    juliet.cut()
    hall.advance(42)

    answer = last(romeo, BALCONY)

    assert told(answer) == ("42", "")
    assert (answer["from"], answer["to"]) == (BALCONY, f"{ROMEO}/orchard")


def test_a_resource_that_is_not_there_does_not_answer(hall: Hall, romeo: Client) -> None:
    assert condition(last(romeo, f"{JULIET}/nowhere")) == ("cancel", "service-unavailable")


def test_ones_own_resources_may_be_asked(hall: Hall) -> None:
    juliet, phone = hall.login(BALCONY), hall.login(f"{JULIET}/phone")

    assert told(last(juliet, JULIET)) == ("0", "")
    juliet.send(f"<iq type='get' id='l' to='{JULIET}/phone'><query xmlns='{NS}'/></iq>")
    assert [one["id"] for one in phone.received() if one.name == "iq"] == ["l"]


@pytest.mark.parametrize("to", ["example.net", JULIET])
def test_it_is_announced_by_the_server_and_by_the_account(
    hall: Hall, romeo: Client, to: str
) -> None:
    answer = romeo.ask(
        f"<iq type='get' id='d' to='{to}'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )

    assert NS in {node["var"] for node in answer.query.elements() if node.name == "feature"}
