from pushd.routing.sessions import Session, Sessions
from pushd.wire.jid import parse
from tests.hall import Outlet

ROMEO = "romeo@example.net"


def session(address: str) -> Session:
    return Session(parse(address), Outlet())


def test_sessions_are_found_by_account_resource_and_token() -> None:
    sessions = Sessions()
    one, two = session(f"{ROMEO}/one"), session(f"{ROMEO}/two")
    other = session("juliet@example.net/one")
    for each in (one, two, other):
        sessions.add(each)
    sessions.name(two, "token")

    assert sessions.of(ROMEO) == {"one": one, "two": two}
    assert sessions.get(parse(f"{ROMEO}/one")) is one
    assert sessions.get(parse(f"{ROMEO}/three")) is None
    assert sessions.by_token("token") is two
    assert sessions.by_token("other") is None
    assert set(sessions.everyone()) == {one, two, other}
    assert sessions.of("nobody@example.net") == {}


def test_a_removed_session_is_found_no_more_and_removed_once() -> None:
    sessions = Sessions()
    one = session(f"{ROMEO}/one")
    sessions.add(one)
    sessions.name(one, "token")

    assert sessions.remove(one)
    assert not sessions.remove(one)
    assert sessions.of(ROMEO) == {}
    assert sessions.by_token("token") is None


def test_a_session_is_not_removed_in_the_place_of_its_successor() -> None:
    sessions = Sessions()
    old, new = session(f"{ROMEO}/one"), session(f"{ROMEO}/one")
    sessions.add(old)
    sessions.remove(old)
    sessions.add(new)

    assert not sessions.remove(old)
    assert sessions.of(ROMEO) == {"one": new}


def test_sessions_may_go_while_everyone_is_visited() -> None:
    sessions = Sessions()
    for number in range(4):
        sessions.add(session(f"{number % 2}@example.net/{number}"))

    for each in sessions.everyone():
        sessions.remove(each)

    assert list(sessions.everyone()) == []


def test_a_session_says_what_it_is_and_nothing_else() -> None:
    one = session(f"{ROMEO}/one")

    assert repr(one) == "<Session romeo@example.net/one live>"
    one.stream = None
    assert repr(one) == "<Session romeo@example.net/one detached>"
    assert one.is_detached
    assert not one.is_available
