"""What happens in an episode, as hypothesis picks it: rounds, each of which ends with a death."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

DEVICES = ("romeo/orchard", "nurse/kitchen", "juliet/balcony", "juliet/phone")
TARGETS = ("romeo", "nurse", "juliet", *DEVICES)


@dataclass(frozen=True)
class Action:
    """Something that a device does, if it is in a position to."""

    device: int
    does: str
    what: int = 0


@dataclass(frozen=True)
class Round:
    """Actions, and the end of the server's process.

    `back` is the set of devices that come back first. `fuse` is how many points the server
    lives from action `lit` on; `end` what happens when it still lives after the last one:
    "now", "soon" (`delay` microseconds later), "bytes" or "acks" (once the devices have read
    `delay` of them, if that is before the last action), or "stop" in order. `start` is the
    number of points that the next process lives to see; 0 for as long as it likes.
    """

    back: frozenset[int]
    actions: tuple[Action, ...]
    lit: int
    fuse: int
    end: str
    delay: int
    start: int


ACTIONS = {  # what a device does, and how often in comparison
    "write": 8,
    "read": 4,
    "acknowledge": 4,
    "told": 2,
    "ask": 3,
    "cut": 2,
    "back": 2,
    "anew": 1,
    "leave": 1,
    "push": 1,
}
ENDS = ("now", "soon", "now", "soon", "bytes", "acks", "stop")


def plans_of(
    devices: int, weights: Mapping[str, int], ends: Sequence[str]
) -> st.SearchStrategy[list[Round]]:
    """Plans of what so many devices do, and of how a round may end."""
    names = [name for name, weight in weights.items() for _ in range(weight)]
    action = st.builds(
        Action,
        device=st.integers(0, devices - 1),
        does=st.sampled_from(names),
        what=st.integers(0, 11),
    )
    one = st.builds(
        Round,
        back=st.frozensets(st.integers(0, devices - 1), min_size=1),
        actions=st.lists(action, min_size=3, max_size=16).map(tuple),
        lit=st.integers(0, 5),
        fuse=st.one_of(st.just(0), st.integers(1, 12), st.integers(1, 40)),
        end=st.sampled_from(ends),
        delay=st.integers(1, 3_000),
        start=st.one_of(st.just(0), st.just(0), st.integers(1, 60)),
    )
    return st.lists(one, min_size=3, max_size=9)


plans = plans_of(len(DEVICES), ACTIONS, ENDS)
