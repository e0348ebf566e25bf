import pytest
from twisted.internet.task import Clock

from pushd.routing.misses import REMEMBERED, TOLD, TOLD_THERE, WINDOW, Misses
from tests.hall import Hall

JULIET = "juliet@example.net"
SPAMMER = "spammer@example.net"


def test_a_sender_is_told_so_often_and_anew_after_a_while() -> None:
    clock = Clock()
    misses = Misses(clock, {"example.net"})

    told = [misses.is_told(SPAMMER) for _ in range(TOLD + 3)]
    assert told == [True] * TOLD + [False] * 3
    assert misses.is_told(JULIET)
    clock.advance(WINDOW)

    assert misses.is_told(SPAMMER)


def test_only_so_many_senders_are_remembered() -> None:
    misses = Misses(Clock(), {"example.net"})
    for number in range(REMEMBERED + 5):
        misses.is_told(f"{number}@example.net")

    assert len(misses) == REMEMBERED


def test_another_server_finds_out_little_however_many_senders_it_makes_up() -> None:
    misses = Misses(Clock(), {"example.net"})
    told = [misses.is_told(f"a{number}@d{number}.evil.example") for number in range(TOLD_THERE + 3)]
    assert told == [True] * TOLD_THERE + [False] * 3
    assert misses.is_told("juliet@there.example")
    assert all(misses.is_told(f"a{number}@example.net") for number in range(TOLD_THERE + 3))


def refused(hall: Hall, sender: str, to: str, times: int) -> int:
    """How many of so many messages come back."""
    juliet = hall.login(f"{sender}/here")
    for number in range(times):
        juliet.send(f"<message to='{to}' id='{number}' type='chat'><body>hi</body></message>")
    return len([one for one in juliet.received() if one["type"] == "error"])


def test_who_guesses_addresses_soon_hears_nothing_more() -> None:
    hall = Hall(modules={"offline": None})
    hall.add_account("romeo@example.net")

    assert refused(hall, SPAMMER, "nobody@example.net", 50) == TOLD
    assert refused(hall, SPAMMER, "romeo@example.net", 50) == 0
    assert refused(hall, JULIET, "nobody@example.net", 1) == 1


@pytest.mark.parametrize("to", ["romeo@example.net", "nobody@example.net"])
def test_without_an_offline_store_there_is_nothing_to_hide(to: str) -> None:
    hall = Hall()
    hall.add_account("romeo@example.net")

    assert refused(hall, SPAMMER, to, 50) == 50


def test_what_is_refused_for_lack_of_room_is_always_told() -> None:
    hall = Hall(modules={"offline": {"messages": 1}})
    hall.add_account("romeo@example.net")

    assert refused(hall, SPAMMER, "romeo@example.net", 50) == 49
