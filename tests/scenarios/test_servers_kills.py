"""Messages to a server that is killed while they come: all arrive, in their order, or go back.

They go back when the server dies so often that it is left alone for a while. What our own server
has accepted waits for its next start.

More than once: KILLS=50 pytest tests/scenarios/test_servers_kills.py
"""

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from tests.scenarios.neighbours import Neighbour, Town
from tests.scenarios.peers import Phone, until

CAPULET, MONTAGUE = "capulet.example", "montague.example"
KILLS = int(os.environ.get("KILLS", "1"))
MESSAGES = 40  # for each kill, which offline storage has room for
SOON = 20.0  # seconds, after which its fifth attempt is near, and with that all may go back
CUTS = random.Random(1)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("town"))
    try:
        town.settle(CAPULET, MONTAGUE, patience="10m")
        yield town
        town.check()
    finally:
        town.close()


def returned(phone: Phone, montague: Neighbour) -> None:
    """Romeo is back, after his server."""
    montague.peers.append(phone)
    phone.log_in()
    phone.say("<presence/>")


def write(phone: Phone, to: str, id: str) -> None:
    phone.say(f"<message to='{to}' id='{id}' type='chat'><body>word</body></message>")


def ids(phone: Phone, type: str) -> list[str]:
    """Of messages that have come by now; type is that of errors, or of what was written."""
    came = [one for one in phone.received() if one.name == "message"]
    assert {one["type"] for one in came} <= {type}
    return [one["id"] for one in came]


def test_a_server_that_is_killed_gets_all_messages(town: Town) -> None:
    capulet, montague = town.neighbours
    juliet, romeo = capulet.phone("juliet"), montague.phone("romeo")
    for number in range(KILLS):
        written = [f"{number}-{each}" for each in range(MESSAGES)]
        romeo.hang_up()
        killed_at = CUTS.randrange(MESSAGES)
        for place, id in enumerate(written):
            write(juliet, romeo.account, id)
            if place == killed_at:
                montague.stop(signal.SIGKILL)
        began = time.monotonic()
        montague.start()
        returned(romeo, montague)
        is_soon = time.monotonic() - began < SOON
        heard: list[str] = []
        back: list[str] = []

        def is_all_known() -> bool:
            heard.extend(ids(romeo, "chat"))  # noqa: B023 - this turn's
            back.extend(ids(juliet, "error"))  # noqa: B023
            return set(written) <= {*heard, *back}  # noqa: B023

        until(is_all_known, "word of all messages")
        assert list(dict.fromkeys(heard)) == [id for id in written if id in heard]
        assert number or not back or not is_soon


def test_what_waits_when_our_server_is_killed_arrives_after_its_next_start(town: Town) -> None:
    capulet, montague = town.neighbours
    juliet, romeo = capulet.phone("juliet", sm=True), montague.phone("romeo")
    written = [str(number) for number in range(5)]
    montague.stop(signal.SIGKILL)
    for id in written:
        write(juliet, romeo.account, id)
    juliet.acknowledged()

    capulet.peers.remove(juliet)  # its connection is for the server to end
    capulet.stop(signal.SIGKILL)
    montague.start()
    capulet.start()
    juliet.resume()
    returned(romeo, montague)
    heard: list[str] = []

    def has_heard_all() -> bool:
        heard.extend(ids(romeo, "chat"))
        return len(heard) >= len(written)

    until(has_heard_all, "all messages")
    assert (heard, ids(juliet, "error")) == (written, [])
