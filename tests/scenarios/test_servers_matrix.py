"""All that servers prove themselves with, among servers of other makes, both ways."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.matrix import (
    OUR_PAPERS,
    PAPERS,
    POLICIES,
    TRANSPORTS,
    VALID,
    Matrix,
    Prosody,
    our,
    their,
)

KINDS: list[type[Any]] = [Prosody]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def matrix(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matrix]:
    kind = request.param
    if not kind.is_installed():
        pytest.skip(f"{kind.name} is not installed")
    matrix = Matrix(tmp_path_factory.mktemp(kind.name), kind)
    try:
        yield matrix
        matrix.ours.check()
    finally:
        matrix.close()


CASES = [
    (whose, way, *rest)
    for whose, papers in (("theirs", PAPERS), ("ours", OUR_PAPERS))
    for way, *rest in itertools.product(("out", "in"), papers, TRANSPORTS, POLICIES)
]


@pytest.mark.parametrize(
    ("whose", "way", "paper", "transport", "policy"), CASES, ids=["-".join(one) for one in CASES]
)
def test_a_message_arrives_or_comes_back(
    matrix: Matrix, whose: str, way: str, paper: str, transport: str, policy: str
) -> None:
    """`whose` certificate it is that is tried; who judges it goes by `policy`."""
    local = our(paper if whose == "ours" else "good", transport, policy)
    remote = their(paper if whose == "theirs" else "good", transport, policy)
    sender, receiver = (local, remote) if way == "out" else (remote, local)

    arrived = matrix.say(sender, receiver)

    is_fine = paper in VALID or policy == "dialback"
    assert (arrived is not None) == is_fine
    # What the certificate is worth shows in how its owner proves itself when it calls.
    if is_fine and (whose == "ours") == (way == "out"):
        told = matrix.ours.event(
            "peer-connected", local=local, remote=remote, outgoing=way == "out"
        )
        assert told["method"] == ("EXTERNAL" if paper in VALID else "dialback")
