"""Other servers that lie, switch, flood and stall; the users of ours never notice."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.names import dns

from tests.papers import Office
from tests.scenarios.neighbours import Neighbour
from tests.scenarios.peers import PING
from tests.scenarios.strangers import EXTERNAL, STARTTLS, Stranger, Talk, calling, header, opened
from tests.scenarios.zone import Zone

HERE, THERE = "capulet.example", "there.example"
MEGABYTE = 1 << 20


class House:
    def __init__(self, folder: Path) -> None:
        self.zone = Zone()
        office = Office(folder / "office")
        self.papers = {name: office.issue(name) for name in (THERE, "other.example")}
        self.stalling = socket.create_server(("127.0.0.1", 0))  # it takes calls, and says nothing
        place = f"127.0.0.1:{self.stalling.getsockname()[1]}"
        self.ours = Neighbour(folder, HERE, office.path, limits={"tls_handshake_timeout": "60s"})
        mine = office.issue(HERE)
        self.ours.configure(
            [],
            mine.certificate,
            mine.key,
            name_servers=[f"127.0.0.1:{self.zone.port}"],
            queue_stanzas=200,
            domains={"lax.example": {"policy": "dialback"}, "stalling.example": {"address": place}},
        )
        self.ours.start()

    def call(self, domain: str = THERE, certified: str = "") -> Talk:
        return calling(self.ours.place, domain, HERE, self.papers.get(certified or domain))[0]

    def external(self) -> Talk:
        talk = self.call()
        talk.say(EXTERNAL)
        assert b"<success" in talk.hear("<success[^>]*>")
        return talk

    def give_for_tls(self, seconds: str) -> None:
        """From now on, a handshake may take so long."""
        file = self.ours.folder / "pushd.yml"
        told = json.loads(file.read_text())
        told["limits"]["tls_handshake_timeout"] = seconds
        file.write_text(json.dumps(told))
        self.ours.operate("reload")

    def memory(self) -> int:
        """Bytes that the server has in memory."""
        text = Path(f"/proc/{self.ours.server.pid}/statm").read_text()
        return int(text.split()[1]) * 4096

    def close(self) -> None:
        self.ours.close()
        self.zone.close()
        self.stalling.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    try:
        yield house
        house.ours.check()
    finally:
        house.close()


def test_row_10_a_restarted_stream_is_between_the_same_domains(house: House) -> None:
    for sender, to, expected in (
        ("other.example", HERE, b"<invalid-from"),
        (THERE, "elsewhere.example", b"<host-unknown"),
    ):
        talk = house.external()
        talk.say(header(sender, to))
        assert expected in talk.hear("</stream:stream>")
        talk.close()


def test_row_12_13_a_certificate_speaks_for_its_own_domain(house: House) -> None:
    talk = house.call(THERE, certified="other.example")
    talk.say(EXTERNAL)
    assert b"<not-authorized" in talk.hear("</failure>")
    talk.close()


def test_row_14_an_answer_that_nobody_asked_for_proves_nothing(house: House) -> None:
    talk = house.call("lax.example", certified="other.example")
    talk.say(
        f"<db:result from='lax.example' to='{HERE}' type='valid'/>"
        f"<db:verify from='lax.example' to='{HERE}' id='1' type='valid'/>"
        f"<message from='eve@lax.example' to='juliet@{HERE}'><body/></message>"
    )
    assert b"<not-authorized" in talk.hear("</stream:stream>")
    talk.close()


def test_row_15_17_there_is_no_way_around_the_question(house: House) -> None:
    """A key of one's own making is asked about, whatever the certificate; and it is not ours."""
    talk = house.call("lax.example", certified="other.example")
    talk.say(f"<db:verify from='lax.example' to='{HERE}' id='1'>{'0' * 64}</db:verify>")
    assert b"type='invalid'" in talk.hear("/>")
    talk.say(f"<db:result from='lax.example' to='{HERE}'>{'0' * 64}</db:result>")
    assert b"type='error'" in talk.hear("result>")  # nobody is at that domain
    talk.close()


def test_row_14_stanzas_from_other_domains_end_the_stream(house: House) -> None:
    juliet = house.ours.phone("juliet")
    talk = house.external()
    talk.say(header(THERE, HERE))
    talk.hear("</stream:features>")
    talk.say(
        f"<message from='romeo@{THERE}' to='{juliet.account}'><body>true</body></message>"
        f"<message from='romeo@other.example' to='{juliet.account}'><body>false</body></message>"
    )
    assert b"<invalid-from" in talk.hear("</stream:stream>")
    talk.close()
    juliet.hear("true")
    assert "false" not in juliet.bodies()


def test_row_18_half_a_handshake_is_cut_in_time(house: House) -> None:
    """Some say nothing after <proceed/>, others half a greeting; nobody waits for them."""
    juliet = house.ours.phone("juliet")
    house.give_for_tls("2s")
    talks = [opened(house.ours.place, THERE, HERE) for _ in range(30)]
    before = house.memory()
    for talk in talks:
        talk.say(STARTTLS)
        talk.hear("<proceed[^>]*>")
    for talk in talks[::2]:
        talk.socket.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert juliet.ask(PING, HERE, "get")["type"] == "result"
    for talk in talks:
        assert talk.hear("never") == b""
        talk.close()
    house.give_for_tls("60s")
    assert house.memory() - before < 10 * MEGABYTE


def test_row_36_a_flood_of_domains_holds_nobody_up(house: House) -> None:
    """A user writes to hundreds of domains that are nowhere, and one that never answers."""
    there = Stranger(THERE, house.papers[THERE])
    house.zone.address("host.example", "127.0.0.1")
    house.zone.service(THERE, "host.example", int(there.place.rpartition(":")[2]))
    eve, juliet = house.ours.phone("eve"), house.ours.phone("juliet")
    before = house.memory()
    for number in range(800):
        eve.message(f"x@nowhere-{number}.example", "x" * 500)
    for _ in range(220):
        eve.message("x@stalling.example", "x" * 100)
    juliet.message(f"romeo@{THERE}", "still here")
    house.ours.event("peer-connected", remote=THERE, outgoing=True)
    assert juliet.ask(PING, HERE, "get")["type"] == "result"
    eve.take("the last", lambda one: one.getAttribute("from") == "x@nowhere-799.example")
    full: Any = eve.take("a refusal", lambda one: "resource-constraint" in one.toXml())
    assert full["from"] == "x@stalling.example"
    assert house.memory() - before < 40 * MEGABYTE
    assert {kind for _, kind in house.zone.asked} <= {dns.SRV, dns.A, dns.AAAA}
    there.close()
