"""All that servers prove themselves with, among servers of other makes, both ways."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pushd.wire.element import Element
from tests.scenarios.matrix import (
    OUR_PAPERS,
    PAPERS,
    POLICIES,
    TRANSPORTS,
    VALID,
    Ejabberd,
    Matrix,
    Prosody,
    our,
    their,
)
from tests.scenarios.peers import PING

KINDS: list[type[Any]] = [Prosody, Ejabberd]


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


# ejabberd 23.01 wants a certificate that is for clients from who calls it.
REFUSED = {("server-only", "ejabberd", "ours", "out")}
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
    remote = their(paper if whose == "theirs" else f"for-{paper}", transport, policy)
    sender, receiver = (local, remote) if way == "out" else (remote, local)

    arrived = matrix.say(sender, receiver)

    is_valid = (paper, matrix.theirs.name, whose, way) not in REFUSED and paper in VALID
    is_fine = is_valid or policy == "dialback"
    assert (arrived is not None) == is_fine
    # What the certificate is worth shows in how its owner proves itself when it calls.
    if is_fine and way == ("in" if whose == "theirs" else "out"):
        told = matrix.ours.event(
            "peer-connected", local=local, remote=remote, outgoing=way == "out"
        )
        assert told["method"] == ("EXTERNAL" if is_valid else "dialback")


@pytest.mark.parametrize("policy", POLICIES)
def test_they_subscribe_to_each_other_and_see_each_other(matrix: Matrix, policy: str) -> None:
    """Both ways; whoever goes is seen to go."""
    juliet = matrix.phone(our("good", "starttls", policy))
    romeo = matrix.phone(their("good", "starttls", policy))
    for phone in (juliet, romeo):
        phone.ask("<query xmlns='jabber:iq:roster'/>", type="get")

    for asking, asked in ((juliet, romeo), (romeo, juliet)):
        asking.say(f"<presence to='{asked.account}' type='subscribe'/>")
        asked.take("a request", lambda one: one.getAttribute("type") == "subscribe")
        asked.say(f"<presence to='{asking.account}' type='subscribed'/>")
        asking.take("an approval", lambda one: one.getAttribute("type") == "subscribed")
        asking.take("presence", _presence(asked.jid))

    juliet.say("<presence><show>away</show></presence>")
    romeo.take("absence", lambda one: _presence(juliet.jid)(one) and "away" in one.toXml())
    assert juliet.ask(PING, romeo.account.partition("@")[2], "get")["type"] == "result"
    assert romeo.ask(PING, juliet.account.partition("@")[2], "get")["type"] == "result"
    for leaving, left in ((juliet, romeo), (romeo, juliet)):
        leaving.say("<presence type='unavailable'/>")
        left.take("the end", _presence(leaving.jid, "unavailable"))
        leaving.say("<presence/>")
        left.take("a return", _presence(leaving.jid))


def _presence(sender: str, type: str = "") -> Callable[[Element], bool]:
    return lambda one: (
        one.name == "presence"
        and one["from"] == sender
        and (one.getAttribute("type") or "") == type
    )
