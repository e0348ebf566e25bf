"""All that servers prove themselves with, among servers of other makes, both ways."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pushd.modules.push.probation import PATIENCE
from pushd.wire import forms
from pushd.wire.element import Element, child, children
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, NS_PUBSUB
from tests.scenarios.matrix import (
    OUR_PAPERS,
    PAPERS,
    POLICIES,
    REGISTRATIONS,
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
from tests.scenarios.peers import PING, Phone, until
from tests.scenarios.reading import refusal, secret_form, succeeded, summary
from tests.scenarios.tongues import TONGUES, Tongue

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


def enabled(matrix: Matrix, token: str, secret: str = "") -> tuple[Stranger, str]:
    """A user of theirs whose phone is registered here, and whom their server wakes at a node."""
    phone = matrix.stranger()
    given = phone.register(token, matrix.ours.domain)
    form = secret_form(secret or given["secret"])
    succeeded(phone.enable(given["jid"], given["node"], form))
    return phone, given["node"]


def friend_of(matrix: Matrix) -> Phone:
    """A user of ours."""
    return matrix.phone(our("good", "starttls", "require"))


def test_their_phone_is_woken_by_our_app_server(matrix: Matrix) -> None:
    phone, _ = enabled(matrix, "token-of-the-phone")
    phone.lose()

    friend_of(matrix).message(phone.account, "wake up")

    assert matrix.fcm.pushes("token-of-the-phone", wait=PATIENCE)
    assert phone.resume().name == "resumed"
    phone.hear("wake up")


@pytest.mark.parametrize("tongue", TONGUES)
def test_their_clients_of_other_dialects_are_woken(matrix: Matrix, tongue: Tongue) -> None:
    phone, here = matrix.stranger(), matrix.ours.domain
    token = f"token-{tongue.__name__}"
    node, options = tongue(phone, here, f"push.{here}", token)
    parts = [forms.submit(FORM_PUBLISH_OPTIONS, options)] if options else []
    succeeded(phone.enable(f"push.{here}", node, *parts))

    phone.leave()
    friend_of(matrix).message(phone.account, "wake up")

    assert matrix.fcm.pushes(token, wait=PATIENCE)


def test_a_domain_of_theirs_registers_no_more_than_it_may(matrix: Matrix) -> None:
    phone, here = matrix.stranger(), matrix.ours.domain

    def registering(number: int) -> Element:
        given = {"token": f"token-of-many-{number}", "device-id": f"{number}"}
        return phone.command("register-push-fcm", forms.submit(None, given), here)

    for number in range(REGISTRATIONS):
        succeeded(registering(number))

    assert refusal(registering(REGISTRATIONS)) == ("wait", "policy-violation")
    succeeded(phone.command("unregister-push", forms.submit(None, {"device-id": "0"}), here))
    succeeded(registering(REGISTRATIONS))


def test_their_server_is_told_of_a_dead_token(matrix: Matrix) -> None:
    phone, node = enabled(matrix, "token-of-the-dead")
    matrix.fcm.script("token-of-the-dead", {"error": "UNREGISTERED"})
    friend = friend_of(matrix)
    phone.lose()

    friend.message(phone.account, "are you there?")

    assert matrix.fcm.pushes("token-of-the-dead", wait=PATIENCE)
    matrix.ours.event("device-unregistered", account=phone.account)
    friend.message(phone.account, "and now?")
    told = matrix.ours.event("publish-received", publisher=phone.domain, outcome="refused")
    assert told["reason"] == "item-not-found"
    assert len(matrix.fcm.pushes("token-of-the-dead")) == 1
    # The notice is for the account, whose server passes it on (XEP-0357 §8).
    assert phone.resume().name == "resumed"
    notice = phone.take("notice", lambda one: one["from"] == f"push.{matrix.ours.domain}")
    pubsub = child(notice, NS_PUBSUB, "pubsub")
    assert pubsub is not None
    [affiliation] = children(pubsub)
    assert (pubsub["node"], affiliation["affiliation"]) == (node, "none")
    assert affiliation["jid"] == phone.account


# What we answer to their servers, and whether they give up what their user has enabled.


def unregistered(matrix: Matrix, phone: Stranger) -> None:
    succeeded(phone.command("unregister-push", to=matrix.ours.domain))
    phone.take("notice", lambda one: one["from"] == f"push.{matrix.ours.domain}")
    phone.settled()  # and acknowledged: else it would be pushed, too


def banned(matrix: Matrix, phone: Stranger) -> None:
    matrix.ours.operate("push-block", domain=phone.domain)


def unharmed(matrix: Matrix, phone: Stranger) -> None:
    """Only its secret is wrong."""


Harm = Callable[[Matrix, Stranger], None]
FOR_GOOD: list[tuple[Harm, str]] = [
    (unregistered, "item-not-found"),
    (banned, "policy-violation"),
    (unharmed, "forbidden"),
]


@pytest.mark.parametrize(("harm", "reason"), FOR_GOOD, ids=[reason for _, reason in FOR_GOOD])
def test_their_server_gives_up_what_we_refuse_for_good(
    matrix: Matrix, harm: Harm, reason: str
) -> None:
    """ejabberd at once, Prosody after several refusals."""
    token = f"token-{reason}"
    phone, node = enabled(matrix, token, "not the secret" if harm is unharmed else "")
    friend = friend_of(matrix)
    harm(matrix, phone)
    phone.leave()

    for _ in range(matrix.bears):
        assert not matrix.has_given_up(node)
        _refused_once(matrix, friend, phone)
    until(lambda: matrix.has_given_up(node), "end of what was enabled")

    refused = [one["reason"] for one in received(matrix, phone)]
    assert refused == [reason] * matrix.bears
    friend.message(phone.account, "and now?")
    assert friend.ask(PING, phone.domain, "get")["type"] == "result"
    assert len(received(matrix, phone)) == matrix.bears
    assert not matrix.fcm.pushes(token)


def test_their_server_keeps_what_we_refuse_for_now(matrix: Matrix) -> None:
    phone, node = enabled(matrix, "token-of-the-patient")
    friend = friend_of(matrix)
    matrix.ours.operate("push-block", domain=phone.domain, seconds="3600")
    phone.leave()
    for _ in range(matrix.bears + 1):
        _refused_once(matrix, friend, phone)

    matrix.ours.operate("push-unblock", domain=phone.domain)
    friend.message(phone.account, "and now?")

    assert matrix.fcm.pushes("token-of-the-patient", wait=PATIENCE)
    assert not matrix.has_given_up(node)


def _refused_once(matrix: Matrix, friend: Phone, phone: Stranger) -> None:
    before = len(received(matrix, phone))
    friend.message(phone.account, "are you there?")
    until(lambda: len(received(matrix, phone)) > before, "publish")


def received(matrix: Matrix, phone: Stranger) -> list[dict[str, Any]]:
    """The publishes that came from the server of a user."""
    return matrix.ours.events("publish-received", publisher=phone.domain)


# What their service says of a publish of ours, and what becomes of the enablement.
ANSWERS = {
    "item-not-found": ("cancel", True),
    "forbidden": ("auth", True),
    "not-authorized": ("auth", True),
    "gone": ("cancel", True),
    "service-unavailable": ("cancel", False),
    "resource-constraint": ("wait", False),
}


def sleeper(matrix: Matrix, node: str) -> Phone:
    """A user of ours, asleep, who is to be woken through their service."""
    phone = matrix.ours.phone("sleeper", sm=True)
    succeeded(phone.enable(SERVICE, node))
    phone.cut()
    return phone


@pytest.mark.parametrize("condition", ANSWERS)
def test_our_server_heeds_what_their_service_says(matrix: Matrix, condition: str) -> None:
    type, ends = ANSWERS[condition]
    phone = sleeper(matrix, condition)

    friend_of(matrix).message(phone.account, "wake up")

    publish = matrix.service.publish(condition)
    assert publish["from"] == phone.account.partition("@")[2]
    matrix.service.refuse(publish, condition, type)
    if ends:
        matrix.ours.event("push-disabled", account=phone.account)
    else:
        matrix.ours.event("publish-answered", account=phone.account)
        assert not matrix.ours.events("push-disabled", account=phone.account)


def test_our_server_publishes_to_their_service(matrix: Matrix) -> None:
    phone = sleeper(matrix, "node")
    friend_of(matrix).message(phone.account, "wake up")
    matrix.service.accept(matrix.service.publish("node"))
    matrix.ours.event("publish-answered", account=phone.account, outcome="accepted")


def test_their_service_alone_ends_what_is_enabled_there_by_notice(matrix: Matrix) -> None:
    """XEP-0357 §8; a user of theirs says the same in vain."""
    phone = sleeper(matrix, "noticed")
    affiliation = f"<affiliation jid='{phone.account}' affiliation='none'/>"
    notice = f"<pubsub xmlns='{NS_PUBSUB}' node='noticed'>{affiliation}</pubsub>"
    liar = matrix.phone(their("good", "starttls", "require"))
    liar.message(phone.account, "listen", payload=notice)
    matrix.service.accept(matrix.service.publish("noticed"))
    matrix.ours.event("publish-answered", account=phone.account)
    assert not matrix.ours.events("push-disabled", account=phone.account)

    matrix.service.say_to(phone.account, notice)

    gone = matrix.ours.event("push-disabled", account=phone.account)
    assert (gone["reason"], gone["by"]) == ("the service gave notice", SERVICE)


def test_sixteen_refusals_of_their_service_put_it_on_probation(matrix: Matrix) -> None:
    friend, phone = friend_of(matrix), sleeper(matrix, "broken")

    for _ in range(PATIENCE):
        friend.message(phone.account, "wake up")
        matrix.service.refuse(matrix.service.publish("broken"), "internal-server-error")

    told = matrix.ours.event("push-probed", account=phone.account)
    assert told["failures"] == PATIENCE


def test_their_service_is_tried_again_when_it_was_away(matrix: Matrix) -> None:
    """What its server says in its place is for now; a call does not wait for the next attempt."""
    if matrix.theirs.name == "ejabberd":
        pytest.skip("it looks for the service among other servers, and so at itself, for long")
    friend, phone = friend_of(matrix), sleeper(matrix, "away")
    matrix.close_service()
    friend.message(phone.account, "wake up")
    told = matrix.ours.event("publish-answered", account=phone.account)
    assert (told["outcome"], told["condition"]) == ("refused", "remote-server-timeout")

    service = matrix.service
    friend.message(phone.account, payload="<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>")

    publish = service.publish("away")
    assert summary(publish)["message-count"] == "2"
    service.accept(publish)
    matrix.ours.event("publish-answered", account=phone.account, outcome="accepted")
