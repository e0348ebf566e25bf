"""What a stream between servers leaves behind: nothing, and at once."""

import gc
import weakref
from collections.abc import Callable

import pytest

from tests.unit.s2s.house import End, House

WAYS: dict[str, Callable[[House], End]] = {
    "a stranger": House.connect,
    "under TLS": House.secure,
    "proved": House.external,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_is_lost_needs_no_garbage_collection(way: str) -> None:
    house = House()
    end = WAYS[way](house)
    [stream] = map(weakref.ref, house.peers.streams)
    gc.disable()
    try:
        end.lose()
        house.hall.advance(0)

        assert stream() is None
    finally:
        gc.enable()
