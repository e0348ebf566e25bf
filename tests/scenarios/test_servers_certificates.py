"""Certificates between servers, over real TLS: what is taken, whichever side shows it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.papers import CLIENT, SERVER, Office, Paper
from tests.scenarios.neighbours import Neighbour
from tests.scenarios.strangers import DIALBACK, EXTERNAL, MECHANISMS, Stranger, calling, header

HERE = "capulet.example"

GOOD: dict[str, dict[str, Any]] = {
    "good": {},
    "wildcard": {"names": ["*.wildcard.example"]},
    "server-only": {"purposes": (SERVER,)},
    "client-only": {"purposes": (CLIENT,)},
}
BAD: dict[str, dict[str, Any]] = {
    "expired": {"days": -1},
    "future": {"days": 200},
    "self-signed": {"itself": True},
    "wrong-name": {"names": ["other.example"]},
    "cn-only": {"names": [], "cn": "cn-only.example"},
    "stranger": {},
}


def domain_of(kind: str) -> str:
    return "rooms.wildcard.example" if kind == "wildcard" else f"{kind}.example"


class House:
    """A server that demands certificates, and others of every kind that it knows the places of."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        folder = factory.mktemp("house")
        office, stranger = Office(folder / "office"), Office(folder / "stranger")
        self.papers: dict[str, Paper] = {}
        self.strangers: dict[str, Stranger] = {}
        for kind, given in (GOOD | BAD).items():
            more = {key: value for key, value in given.items() if key != "names"}
            names = given.get("names", [domain_of(kind)])
            signer = stranger if kind == "stranger" else office
            self.papers[kind] = signer.issue(*names, **more)
        domains: dict[str, Any] = {}
        for kind, paper in self.papers.items():
            for policy in ("require", "dialback"):
                domain = self.domain(kind, policy)
                features = MECHANISMS if policy == "require" else DIALBACK
                self.strangers[domain] = Stranger(domain, paper, features)
                domains[domain] = {"address": self.strangers[domain].place, "policy": policy}
        injecting = Stranger("injecting.example", self.papers["good"], behind="<a/>")
        self.strangers["injecting.example"] = injecting
        domains["injecting.example"] = {"address": injecting.place, "policy": "dialback"}
        mine = office.issue(HERE)
        self.ours = Neighbour(folder, HERE, office.path)
        self.ours.configure([], mine.certificate, mine.key, domains=domains)
        self.ours.start()

    def domain(self, kind: str, policy: str) -> str:
        """A domain of its own for each, where its certificate does not say which it is."""
        if policy == "require" or kind in GOOD:
            return domain_of(kind) if policy == "require" else f"lax.{domain_of(kind)}"
        return f"lax-{kind}.example"

    def check(self, domain: str) -> dict[str, Any]:
        result = self.ours.operate("s2s-check", domain=domain)
        return {step["name"]: step for step in result["steps"]}

    def close(self) -> None:
        self.ours.close()
        for stranger in self.strangers.values():
            stranger.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory)
    try:
        yield house
        house.ours.check()
    finally:
        house.close()


@pytest.mark.parametrize("kind", GOOD)
def test_we_open_streams_to_these(house: House, kind: str) -> None:
    domain = domain_of(kind)
    said = house.check(domain)
    assert said["certificate"]["text"].startswith("valid for the domain")
    assert "EXTERNAL" in said["authentication"]["text"]
    assert house.strangers[domain].names[-1] == domain


@pytest.mark.parametrize("kind", BAD)
def test_we_say_nothing_to_these(house: House, kind: str) -> None:
    domain = domain_of(kind)
    said = house.check(domain)
    assert not said["stream"]["ok"]
    assert "certificate" in " ".join(step["text"] for step in said.values())
    assert b"<auth" not in house.strangers[domain].heard
    assert b"result" not in house.strangers[domain].heard


@pytest.mark.parametrize("kind", BAD)
def test_where_dialback_does_a_bad_certificate_is_no_matter(house: House, kind: str) -> None:
    said = house.check(house.domain(kind, "dialback"))
    assert "dialback makes up for" in said["certificate"]["text"]
    assert "dialback" in said["authentication"]["text"]


@pytest.mark.parametrize("kind", GOOD)
def test_these_are_taken_for_who_they_are(house: House, kind: str) -> None:
    domain = domain_of(kind)
    talk, features = calling(house.ours.place, domain, HERE, house.papers[kind])
    assert b"EXTERNAL" in features
    talk.say(EXTERNAL)
    assert b"<success" in talk.hear("<success[^>]*>")
    talk.say(header(domain, HERE))
    assert b"EXTERNAL" not in talk.hear("</stream:features>")
    talk.close()
    house.ours.event("peer-connected", remote=domain, outgoing=False, method="EXTERNAL")


@pytest.mark.parametrize("kind", [*BAD, "none at all"])
def test_these_prove_nothing(house: House, kind: str) -> None:
    domain = domain_of(kind) if kind in BAD else "good.example"
    talk, features = calling(house.ours.place, domain, HERE, house.papers.get(kind))
    assert b"EXTERNAL" not in features
    talk.say(EXTERNAL)
    assert b"<not-authorized" in talk.hear("</failure>")
    talk.say(f"<db:result from='{domain}' to='{HERE}'>key</db:result>")
    assert b"type='error'" in talk.hear("</(db:)?result>")
    talk.say(f"<message from='eve@{domain}' to='juliet@{HERE}'><body/></message>")
    assert b"<not-authorized" in talk.hear("</stream:stream>")
    talk.close()


def test_a_name_for_another_stream_is_no_proof(house: House) -> None:
    talk, features = calling(house.ours.place, "victim.example", HERE, house.papers["good"])
    assert b"EXTERNAL" not in features
    talk.close()


def test_what_is_said_in_the_clear_behind_proceed_ends_the_stream(house: House) -> None:
    said = house.check("injecting.example")
    assert not said["stream"]["ok"]
    assert b"db:result" not in house.strangers["injecting.example"].heard
