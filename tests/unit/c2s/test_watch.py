"""A client that has vanished is noticed, and its session waits for it."""

from collections.abc import Callable

import pytest

from pushd.c2s.watch import ANSWER, LOOK, Watch
from pushd.routing.events import SessionDetached, SessionEnded
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

    wait(at, LOOK)
    assert hasattr(romeo.protocol._framer, "_parser")
    wait(at, LOOK)
    assert not hasattr(romeo.protocol._framer, "_parser")
    [answer] = romeo.say("<iq type='get' id='1' to='example.net'><nonsense xmlns='x'/></iq>")

    assert answer["id"] == "1"
