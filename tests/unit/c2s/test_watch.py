"""A client that has vanished is noticed, and its session waits for it."""

from collections.abc import Callable

import pytest

from pushd.c2s.stream import BRIEF
from pushd.c2s.watch import ANSWER, LOOK, OVERDUE, Watch
from pushd.routing.events import Cause, SessionDetached, SessionEnded, Undelivered
from tests.unit.c2s.test_stream import SM, House, Wire

SILENCE = 600.0


def house(silence: float = SILENCE) -> House:
    made = House(silence=silence)
    Watch(made.door).start()
    return made


def wait(house: House, seconds: float) -> None:
    """Let time pass as it does, a look at a time."""
    for _ in range(round(seconds / LOOK)):
        house.hall.advance(LOOK)


def said(wire: Wire) -> list[str]:
    return [one.name for one in wire.heard()]


def test_a_client_that_is_silent_is_asked_and_then_given_up() -> None:
    at = house()
    romeo = at.bound()
    romeo.enable()
    wait(at, SILENCE)
    assert said(romeo) == []
    wait(at, LOOK)
    assert said(romeo) == ["r"]

    wait(at, ANSWER - LOOK)
    assert at.hall.events(SessionDetached) == []
    wait(at, LOOK)

    [event] = at.hall.events(SessionDetached)
    assert event.reason == "it does not answer"
    assert romeo.transport.disconnected
    romeo.lose()
    assert len(at.hall.events(SessionDetached)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda wire: wire.say(f"<a xmlns='{SM}' h='0'/>"),
        lambda wire: wire.say("<presence/>"),
        lambda wire: wire.say(" "),
    ],
)
def test_a_client_that_says_anything_is_asked_again_after_a_while_only(
    answer: Callable[[Wire], object],
) -> None:
    at = house()
    romeo = at.bound()
    romeo.enable()
    for _ in range(3):
        wait(at, SILENCE + LOOK)
        assert "r" in said(romeo)
        answer(romeo)
        romeo.heard()
    assert at.hall.events(SessionDetached) == []


def test_a_client_without_stream_management_is_pinged() -> None:
    at = house()
    romeo = at.bound()
    wait(at, SILENCE + LOOK)
    [ping] = romeo.heard()
    assert (ping["type"], ping["from"], ping["to"]) == (
        "get",
        "example.net",
        "romeo@example.net/phone",
    )
    assert ping.ping.uri == "urn:xmpp:ping"

    romeo.say(f"<iq type='result' id='{ping['id']}' to='example.net'/>")
    wait(at, ANSWER)
    assert at.hall.events(SessionEnded) == []

    wait(at, SILENCE + ANSWER)
    assert len(at.hall.events(SessionEnded)) == 1


def test_a_client_that_we_do_not_read_is_not_silent() -> None:
    at = house()
    romeo = at.bound()
    romeo.enable()
    romeo.protocol.hold()

    wait(at, 2 * SILENCE)

    assert said(romeo) == []


def test_nobody_is_asked_where_that_is_switched_off() -> None:
    at = house(0)
    romeo = at.bound()
    romeo.enable()
    wait(at, 2 * SILENCE)
    assert said(romeo) == []


def test_the_watch_ends_with_the_server() -> None:
    at = House()
    others = at.hall.clock.getDelayedCalls()
    watch = Watch(at.door)
    watch.start()
    watch.stop()
    assert at.hall.clock.getDelayedCalls() == others


def test_a_client_that_is_quiet_for_a_moment_costs_no_parser_until_it_speaks() -> None:
    at = house()
    romeo = at.bound()
    at.hall.advance(BRIEF)
    romeo.say("<presence/>")

    wait(at, LOOK)
    assert hasattr(romeo.protocol._framer, "_parser")
    wait(at, LOOK)
    assert not hasattr(romeo.protocol._framer, "_parser")
    [answer] = romeo.say("<iq type='get' id='1' to='example.net'><nonsense xmlns='x'/></iq>")

    assert answer["id"] == "1"


def test_a_client_that_has_logged_in_costs_no_parser_soon() -> None:
    at = house()
    romeo = at.bound()
    assert hasattr(romeo.protocol._framer, "_parser")

    at.hall.advance(BRIEF)

    assert not hasattr(romeo.protocol._framer, "_parser")


def test_what_a_crowd_needed_goes_back_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    monkeypatch.setattr("pushd.c2s.watch.give_back", lambda: given.append(True))
    monkeypatch.setattr("pushd.c2s.watch.CROWD", 2)
    at = house()
    one, other = at.bound(), at.bound(resource="other")
    wait(at, 2 * LOOK)
    assert len(given) == 1  # both are quiet
    wait(at, LOOK)
    assert len(given) == 1

    one.lose()
    other.lose()
    wait(at, LOOK)

    assert len(given) == 2


def overdue(house: House) -> list[Cause]:
    return [event.cause for event in house.hall.events(Undelivered)]


def write(house: House, text: str = "hi") -> None:
    house.hall.route(
        f"<message from='juliet@example.org/x' to='romeo@example.net/phone' type='chat'>"
        f"<body>{text}</body></message>"
    )


def test_an_acknowledgement_that_is_overdue_is_noticed_once() -> None:
    at = house()
    romeo = at.bound()
    romeo.enable()
    write(at)
    wait(at, OVERDUE)
    assert overdue(at) == []

    wait(at, 2 * LOOK)
    assert overdue(at) == [Cause.UNACKED]
    wait(at, OVERDUE)
    write(at)
    assert overdue(at) == [Cause.UNACKED] * 2
    assert at.hall.events(SessionDetached) == []


def test_who_acknowledges_now_and_then_owes_nothing() -> None:
    at = house()
    romeo = at.bound()
    romeo.enable()
    for h in range(1, 31):
        write(at)
        wait(at, OVERDUE - LOOK)
        romeo.say(f"<a xmlns='{SM}' h='{h}'/>")

    assert overdue(at) == []


def test_who_is_late_and_acknowledges_is_there_again() -> None:
    at = house()
    romeo = at.bound()
    romeo.enable()
    write(at)
    wait(at, OVERDUE + 2 * LOOK)
    romeo.say(f"<a xmlns='{SM}' h='1'/>")

    write(at)
    wait(at, OVERDUE)
    assert overdue(at) == [Cause.UNACKED]
    wait(at, 2 * LOOK)
    assert overdue(at) == [Cause.UNACKED] * 2


def test_what_a_client_says_while_we_do_not_read_it_may_be_its_acknowledgement() -> None:
    at = house()
    romeo = at.bound()
    romeo.enable()
    write(at)
    romeo.protocol.hold()

    wait(at, 2 * OVERDUE)

    assert overdue(at) == []
