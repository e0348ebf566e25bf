"""Where other servers are, by name servers: records, fallbacks, direct TLS, and lies."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushd.wire.element import Element, child
from tests.papers import Office
from tests.scenarios.matrix import Blind
from tests.scenarios.neighbours import Neighbour
from tests.scenarios.peers import PING, Phone
from tests.scenarios.test_starting import free_port
from tests.scenarios.zone import Zone

HERE = "capulet.example"


def port(place: str) -> int:
    return int(place.rpartition(":")[2])


class World:
    """A server that asks the zone, and some that it can be led to, each for one domain."""

    def __init__(self, folder: Path) -> None:
        self.zone = Zone()
        self.folder = folder
        self.office = Office(folder / "office")
        self.liar = Office(folder / "liar")
        self.zone.address("host.example", "127.0.0.1")
        self.servers: list[Neighbour] = []
        self.here = self.add(HERE)
        self.there = self.add("there.example")
        self.romeo = self.there.phone("romeo")
        self.juliet = self.here.phone("juliet")

    def add(self, domain: str, office: Office | None = None, **s2s: object) -> Neighbour:
        """A running server of this domain, with the certificate of an office."""
        folder = self.folder / domain
        folder.mkdir()
        server = Neighbour(folder, domain, (office or self.office).path)
        paper = (office or self.office).issue(domain)
        direct = [free_port()]
        servers = [f"127.0.0.1:{self.zone.port}"]
        given = {"listen_tls": direct, "name_servers": servers, "ca_file": str(self.office.path)}
        server.configure([], paper.certificate, paper.key, **given | s2s)
        server.direct = direct[0]
        server.start()
        self.servers.append(server)
        self.zone.service(domain, "host.example", port(server.place))
        return server

    def lead(self, domain: str, *records: tuple[int, int, str]) -> None:
        """Have the domain's records be these: priority, port, kind."""
        for kind in ("", "s"):
            self.zone.records.pop((f"_xmpp{kind}-server._tcp.{domain}", 33), None)
        for priority, where, kind in records:
            self.zone.service(domain, "host.example", where, priority, kind=kind)

    def restart(self) -> Phone:
        """Have our server know nothing of others; gives its user, who is there again."""
        self.here.stop(signal.SIGKILL)
        self.here.start()
        self.juliet = self.here.phone("juliet")
        return self.juliet

    def ping(self, domain: str = "there.example") -> Element:
        return self.juliet.ask(PING, domain, "get")

    def target(self) -> str:
        """Where the stream that stands leads."""
        result = self.here.operate("s2s-check", domain="there.example")
        assert result["ok"], result
        said = {step["name"]: step["text"] for step in result["steps"]}
        return str(said["address"])

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.zone.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    try:
        yield world
        for server in world.servers:
            server.check()
    finally:
        world.close()


def reason(refused: Element) -> str:
    error = child(refused, "jabber:client", "error")
    assert error is not None, refused.toXml()
    return str(next(error.elements()).name)


def test_records_lead_there_and_back(world: World) -> None:
    world.juliet.message(world.romeo.account, "by SRV")
    world.romeo.hear("by SRV")
    world.romeo.message(world.juliet.account, "and back")
    world.juliet.hear("and back")


def test_direct_tls_is_taken_where_records_name_it(world: World) -> None:
    direct = port(world.there.direct)
    world.lead("there.example", (1, direct, "s"), (2, port(world.there.place), ""))
    assert world.target().startswith(f"connected to host.example:{direct} (direct TLS)")


def test_a_place_that_is_closed_is_passed_over(world: World) -> None:
    closed, open_ = port(free_port()), port(world.there.place)
    world.lead("there.example", (1, closed, ""), (2, closed, "s"), (3, open_, ""))
    assert f"host.example:{open_}," in world.target()


def test_a_place_without_an_address_of_one_family_is_reached_by_the_other(world: World) -> None:
    world.zone.address("host.example", "::1")  # nobody listens there
    world.lead("there.example", (1, port(world.there.place), ""))
    assert "which is 127.0.0.1" in world.target()


def test_a_domain_that_says_it_has_no_server_is_believed(world: World) -> None:
    world.zone.service("none.example", ".", 0)
    world.zone.address("none.example", "127.0.0.1")
    assert reason(world.ping("none.example")) == "remote-server-not-found"


def test_a_domain_that_is_not_there_is_told_of(world: World) -> None:
    assert reason(world.ping("nowhere.example")) == "remote-server-not-found"
    assert ("nowhere.example", 1) in world.zone.asked


def test_whoever_answers_for_a_domain_shows_its_certificate(world: World) -> None:
    """A lie in DNS leads to somebody who has none that we believe (RFC 6120 §13.7.2.1)."""
    liar = world.add("stolen.example", world.liar, policy="dialback")
    assert reason(world.ping("stolen.example")) == "remote-server-timeout"
    eve = liar.phone("eve")
    assert reason(eve.ask(PING, HERE, "get")) == "remote-server-timeout"
    assert not world.here.events("peer-connected", remote="stolen.example")


def test_a_lie_that_leads_back_to_us_is_no_loop(world: World) -> None:
    """We are not that domain, and say so to ourselves; once."""
    world.lead("loop.example", (1, port(world.here.place), ""), (2, port(world.here.direct), "s"))
    assert reason(world.ping("loop.example")) == "remote-server-timeout"
    assert len(world.here.events("peer-unreachable", remote="loop.example")) == 1


def test_another_domains_certificate_does_not_do(world: World) -> None:
    world.lead("victim.example", (1, port(world.there.place), ""))
    assert reason(world.ping("victim.example")) == "remote-server-timeout"
    assert not world.here.events("peer-connected", remote="victim.example")


def test_a_server_that_was_killed_misses_nothing(world: World) -> None:
    world.lead("there.example", (1, port(world.there.place), ""))
    juliet = world.restart()
    away = world.romeo.account
    juliet.message(away, "before")
    world.romeo.hear("before")
    world.there.stop(signal.SIGKILL)
    for number in range(5):
        juliet.message(away, f"while it was dead {number}")
    world.there.start()
    world.romeo = Phone(world.there, away, "phone", world.romeo.password)
    world.there.peers.append(world.romeo)
    world.romeo.log_in()
    world.romeo.say("<presence/>")
    for number in range(5):
        world.romeo.hear(f"while it was dead {number}")


def test_strangers_that_stall_and_flood_disturb_nobody(world: World) -> None:
    """They stop at each step, or name domains whose servers never answer; a talk goes on."""
    world.lead("there.example", (1, port(world.there.place), ""))
    juliet = world.restart()
    head = (
        f"<stream:stream from='evil.example' to='{HERE}' version='1.0' xmlns='jabber:server'"
        " xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>"
    )
    strangers = []
    with socket.create_server(("127.0.0.1", 0), backlog=100) as tar:
        for number in range(20):
            world.zone.service(f"tar{number}.example", "host.example", tar.getsockname()[1])
        for number in range(24):
            raw = Blind(("127.0.0.1", port(world.here.place)))
            strangers.append(raw)
            if number % 4 > 0:
                raw.send(head)
                raw.read_until(b"</stream:features>")
            if number % 4 > 1:
                raw.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                raw.read_until(b"<proceed[^>]*>")
            if number % 4 > 2:
                raw.start_tls(world.office.path)
                raw.send(head)
                raw.read_until(b"</stream:features>")
                for other in range(20):
                    raw.send(f"<db:result from='tar{other}.example' to='{HERE}'>key</db:result>")
            juliet.message(world.romeo.account, f"word {number}")
            world.romeo.hear(f"word {number}")
            world.romeo.message(juliet.account, f"answer {number}")
            juliet.hear(f"answer {number}")
    assert {row["remote"] for row in world.here.operate("s2s-list")["streams"]} == {"there.example"}
    for raw in strangers:
        raw.reset()
    assert not world.here.events("peer-connected", remote="evil.example")
