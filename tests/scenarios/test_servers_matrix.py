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
    SERVICE,
    TRANSPORTS,
    VALID,
    Ejabberd,
    Matrix,
    Prosody,
    Stranger,
    our,
    their,
)
from tests.scenarios.peers import PING
from tests.scenarios.reading import secret_form, succeeded

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


# Push between them: XEP-0357, whose two sides may be at different servers.


def enabled(matrix: Matrix, paper: str, token: str, secret: str = "") -> Stranger:
    """A user of theirs whose phone is registered here, and whom their server wakes there."""
    phone = matrix.phone(their(paper, "starttls", "require"))
    assert isinstance(phone, Stranger)
    if phone.sm is None:
        phone.manage()
    given = phone.register(token, matrix.ours.domain)
    form = secret_form(secret or given["secret"])
    succeeded(phone.enable(given["jid"], given["node"], form))
    return phone


def test_their_phone_is_woken_by_our_app_server(matrix: Matrix) -> None:
    phone = enabled(matrix, "for-good", "token-of-the-phone")
    phone.lose()

    matrix.phone(our("good", "starttls", "require")).message(phone.account, "wake up")

    assert matrix.fcm.pushes("token-of-the-phone", wait=30.0)
    assert phone.resume().name == "resumed"
    phone.hear("wake up")


def test_their_server_is_told_of_a_dead_token(matrix: Matrix) -> None:
    phone = enabled(matrix, "for-wildcard", "token-of-the-dead")
    matrix.fcm.script("token-of-the-dead", {"error": "UNREGISTERED"})
    friend = matrix.phone(our("good", "starttls", "require"))
    phone.lose()

    friend.message(phone.account, "are you there?")

    assert matrix.fcm.pushes("token-of-the-dead", wait=30.0)
    matrix.ours.event("device-unregistered", account=phone.account)
    friend.message(phone.account, "and now?")
    domain = phone.account.partition("@")[2]
    told = matrix.ours.event("publish-received", publisher=domain, outcome="refused")
    assert told["reason"] == "item-not-found"
    assert len(matrix.fcm.pushes("token-of-the-dead")) == 1


def test_a_wrong_secret_wakes_nobody(matrix: Matrix) -> None:
    phone = enabled(matrix, "for-server-only", "token-of-the-liar", "not the secret")
    phone.lose()

    matrix.phone(our("good", "starttls", "require")).message(phone.account, "wake up")

    told = matrix.ours.event("publish-received", account=phone.account)
    assert (told["outcome"], told["reason"]) == ("refused", "forbidden")
    assert not matrix.fcm.pushes("token-of-the-liar")


# What their service says of a publish of ours, and what becomes of the enablement.
ANSWERS = {
    "item-not-found": ("cancel", True),
    "forbidden": ("auth", True),
    "not-authorized": ("auth", True),
    "gone": ("cancel", True),
    "service-unavailable": ("cancel", False),
    "resource-constraint": ("wait", False),
}


@pytest.mark.parametrize("condition", ANSWERS)
def test_our_server_heeds_what_their_service_says(matrix: Matrix, condition: str) -> None:
    type, ends = ANSWERS[condition]
    friend = matrix.phone(our("good", "starttls", "require"))
    phone = matrix.ours.phone("sleeper", sm=True)
    succeeded(phone.enable(SERVICE, condition))
    phone.cut()

    friend.message(phone.account, "wake up")

    publish = matrix.service.publish(condition)
    assert publish["from"] == phone.account.partition("@")[2]
    matrix.service.refuse(publish, condition, type)
    if ends:
        matrix.ours.event("push-disabled", account=phone.account)
    else:
        matrix.ours.event("publish-answered", account=phone.account)
        assert not matrix.ours.events("push-disabled", account=phone.account)


def test_our_server_publishes_to_their_service(matrix: Matrix) -> None:
    friend = matrix.phone(our("good", "starttls", "require"))
    phone = matrix.ours.phone("sleeper", sm=True)
    succeeded(phone.enable(SERVICE, "node"))
    phone.cut()
    friend.message(phone.account, "wake up")
    matrix.service.accept(matrix.service.publish("node"))
    matrix.ours.event("publish-answered", account=phone.account, outcome="accepted")
