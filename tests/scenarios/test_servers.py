"""Two servers, over sockets: what their users have of each other (RFC 6120, RFC 6121, XEP-0198)."""

from collections.abc import Iterator
from typing import Any

import pytest

from pushd.wire.element import child, text
from tests.scenarios.neighbours import Neighbour, Town
from tests.scenarios.peers import PING

CAPULET, MONTAGUE = "capulet.example", "montague.example"
ROSTER = "<query xmlns='jabber:iq:roster'/>"


WAYS: dict[str, dict[str, Any]] = {
    "EXTERNAL": {"policy": "require"},
    "dialback": {"policy": "dialback", "ca_file": None},  # nobody has signed what they trust
}


@pytest.fixture(scope="module", params=WAYS)
def town(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("town"))
    town.method = request.param
    try:
        town.settle(CAPULET, MONTAGUE, **WAYS[request.param])
        yield town
        town.check()
    finally:
        town.close()


@pytest.fixture
def capulet(town: Town) -> Neighbour:
    return town.neighbours[0]


@pytest.fixture
def montague(town: Town) -> Neighbour:
    return town.neighbours[1]


def test_messages_go_both_ways_with_all_that_is_in_them(
    town: Town, capulet: Neighbour, montague: Neighbour
) -> None:
    juliet, romeo = capulet.phone("juliet"), montague.phone("romeo")
    juliet.message(romeo.account, "What's in a name? <&>", "<x xmlns='jabber:client'><y/></x>")
    heard = romeo.hear("What's in a name? <&>")
    assert heard["from"] == juliet.jid
    assert child(heard, "jabber:client", "x") is not None
    romeo.message(juliet.jid, "Call me but love")
    assert juliet.hear("Call me but love")["from"] == romeo.jid
    assert capulet.event("peer-connected", outgoing=True)["method"] == town.method


def test_requests_are_answered_and_errors_come_back(
    capulet: Neighbour, montague: Neighbour
) -> None:
    juliet = capulet.phone("juliet")
    assert juliet.ask(PING, MONTAGUE, "get")["type"] == "result"
    refused = juliet.ask(PING, f"nobody@{MONTAGUE}/nowhere", "get")
    assert refused["type"] == "error"
    assert refused["from"] == f"nobody@{MONTAGUE}/nowhere"


def test_subscriptions_and_presence_go_both_ways(capulet: Neighbour, montague: Neighbour) -> None:
    juliet, romeo = capulet.phone("juliet"), montague.phone("romeo")
    for phone in (juliet, romeo):
        phone.ask(ROSTER, type="get")
    juliet.say(f"<presence to='{romeo.account}' type='subscribe'/>")
    romeo.take("a request", lambda one: one.getAttribute("type") == "subscribe")
    romeo.say(f"<presence to='{juliet.account}' type='subscribed'/>")
    juliet.take("an approval", lambda one: one.getAttribute("type") == "subscribed")
    seen = juliet.take("presence", lambda one: one.name == "presence" and one["from"] == romeo.jid)
    assert not seen.hasAttribute("type")
    romeo.say("<presence><show>away</show></presence>")
    seen = juliet.take("absence", lambda one: child(one, "jabber:client", "show") is not None)
    assert text(child(seen, "jabber:client", "show")) == "away"
    romeo.hang_up()
    juliet.take("the end", lambda one: one.getAttribute("type") == "unavailable")


def test_a_domain_that_is_nowhere_is_told_of(capulet: Neighbour) -> None:
    juliet = capulet.phone("juliet")
    refused = juliet.ask(PING, "nowhere.invalid", "get")
    error = child(refused, "jabber:client", "error")
    assert error is not None
    names = {one.name for one in error.elements()}
    assert names & {"remote-server-not-found", "remote-server-timeout"}


def test_a_server_is_checked_step_by_step(town: Town, capulet: Neighbour) -> None:
    result = capulet.operate("s2s-check", domain=MONTAGUE)
    assert result["ok"], result
    said = {step["name"]: step["text"] for step in result["steps"]}
    assert town.method in said["authentication"]
    assert said["tls"] == "TLSv1.3"
    assert "127.0.0.1" in said["address"]
    assert ("until 20" in said["certificate"]) == (town.method == "EXTERNAL")
    assert "answered" in said["round trip"]
    connected, lost = (len(capulet.events(name)) for name in ("peer-connected", "peer-lost"))
    assert lost <= connected  # what was opened for the check is nobody's loss
    done = capulet.operator.pushdctl("--config", "pushd.yml", "s2s", "check", "nowhere.invalid")
    assert done.returncode == 3, done.stderr
    assert "nowhere.invalid is not reached from capulet.example" in done.stdout


def test_the_streams_between_servers_are_listed(town: Town, capulet: Neighbour) -> None:
    assert capulet.phone("juliet").ask(PING, MONTAGUE, "get")["type"] == "result"
    rows = capulet.operate("s2s-list")["streams"]
    assert (MONTAGUE, "out", town.method) in {
        (row["remote"], row["direction"], row["method"]) for row in rows
    }
