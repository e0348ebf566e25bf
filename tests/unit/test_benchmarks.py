"""The load generator of the benchmarks, whose word on lost messages must be right."""

import contextlib
import os
import re
import socket
import sqlite3
import sys
from array import array
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import asked, measure
from benchmarks.accounts import PASSWORD, Population, portable, write_prosody, write_pushd
from benchmarks.clients import Chatter, Faults, LoadError, Star
from benchmarks.detached import Sender
from benchmarks.login import Session
from benchmarks.processes import Server, ServerError
from benchmarks.report import Row, replace_figures, table
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario
from pushd.storage.lock import DATABASE
from pushd.wire.element import children, parse
from pushd.wire.scram import ScramKeys, derive, verify

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks use epoll")

MESSAGE = (
    b"<message from='a@bench.example/bench' to='b@bench.example' id='m-%08d'>"
    b"<body>%08d words</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
)


class Pair:
    """A client under test, the one that writes to it, and the server's ends of both."""

    def __init__(self, *, managed: bool) -> None:
        pairs = [socket.socketpair() for _ in range(2)]
        self.servers = [server for server, _ in pairs]
        ends = [end for _, end in pairs]
        self.sender, self.client = (
            Chatter(Session(user, end, b"", 0), 390, managed=managed)
            for user, end in zip(("a", "b"), ends, strict=True)
        )
        self.sender.pair_with(self.client)
        self.client.pair_with(self.sender)
        for end in (*self.servers, *ends):
            end.setblocking(False)
        self.latencies = array("d")

    def deliver(self, *pieces: bytes) -> int:
        """Hand bytes to the client as reads of their own; how many messages it saw."""
        seen = 0
        for piece in pieces:
            self.servers[1].send(piece)
            seen += self.client.read(2.0, self.latencies)
        return seen

    def answer(self) -> bytes:
        assert self.client.flush()
        return self.servers[1].recv(65536)

    def close(self) -> None:
        for each in (*self.servers, self.sender.socket, self.client.socket):
            each.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair(managed=True)
    yield made
    made.close()


def test_a_message_has_the_size_that_is_asked_for(pair: Pair) -> None:
    pair.client.say(1, 0.0)

    assert len(pair.answer()) == 390


def test_messages_are_seen_however_the_bytes_are_split(pair: Pair) -> None:
    stream = b"".join(MESSAGE % (number, number) for number in range(3)) + b"<r xmlns='x'/>"
    pair.sender.say(3 * len(stream), 1.0)

    for cut in range(len(stream)):
        base = 3 * cut
        whole = b"".join(MESSAGE % (base + number, base + number) for number in range(3))
        whole += b"<r xmlns='x'/>"

        assert pair.deliver(whole[:cut], whole[cut:]) == 3
        assert pair.answer() == b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (base + 3)

    assert pair.client.faults == Faults()
    assert set(pair.latencies) == {1.0}


def test_what_is_missing_repeated_or_late_is_counted(pair: Pair) -> None:
    pair.sender.say(6, 1.0)

    pair.deliver(*(MESSAGE % (number, number) for number in (0, 2, 2, 4, 3)))

    assert pair.client.faults == Faults(duplicated=1, disordered=1)
    assert pair.client.awaits() == 2  # 1 and 5


def test_every_fifth_message_asks_for_an_acknowledgement(pair: Pair) -> None:
    pair.client.say(10, 0.0)

    assert pair.answer().count(b"</message><r xmlns='urn:xmpp:sm:3'/>") == 2

    pair.deliver(b"<a xmlns='urn:xmpp:sm:3' h='10'/>")

    assert pair.client.handled == pair.client.stanzas_sent == 10


def test_without_stream_management_nothing_is_asked() -> None:
    pair = Pair(managed=False)
    pair.client.say(10, 0.0)

    assert b"urn:xmpp:sm:3" not in pair.answer()
    pair.close()


def test_who_comes_back_sends_again_what_the_server_has_not_counted(pair: Pair) -> None:
    pair.client.say(10, 0.0)
    said = pair.answer()
    server, end = socket.socketpair()

    pair.client.come_back(Session("b", end, b"", 0), 7)
    assert pair.client.flush()

    assert server.recv(65536) == said[
        said.index(b"<message to='a@bench.example' type='chat' id='m-00000007'") :
    ].replace(b"<r xmlns='urn:xmpp:sm:3'/>", b"")
    server.close()
    end.close()


def test_what_comes_twice_after_a_resumption_is_counted(pair: Pair) -> None:
    pair.sender.say(2, 1.0)
    pair.deliver(MESSAGE % (0, 0))
    server, end = socket.socketpair()
    pair.client.rejoin(Session("b", end, MESSAGE % (0, 0) + MESSAGE % (1, 1), 0), 0)

    pair.client.take(2.0, pair.latencies)

    assert Faults.of([pair.client]) == Faults(duplicated=1)
    server.close()
    end.close()


def test_a_stanza_error_ends_the_measurement(pair: Pair) -> None:
    with pytest.raises(LoadError, match="item-not-found"):
        pair.deliver(b"<message type='error'><error><item-not-found/></error></message>")


def test_a_change_of_presence_is_heard_by_contacts(pair: Pair) -> None:
    presence = b"<presence from='a@bench.example/bench'><show>away</show><status>%08d</status>"
    star = Star(Session("a", pair.sender.socket, b"", 0), managed=True)
    pair.client.hears = star.sent_at
    star.announce(1.0)

    assert (
        pair.deliver((presence % 0) + b"<c xmlns='c'/></presence><r xmlns='urn:xmpp:sm:3'/>") == 1
    )
    assert pair.answer() == b"<a xmlns='urn:xmpp:sm:3' h='1'/>"
    assert Faults.of([pair.client]) == Faults()


PARENT = """
import os, socket, sys, time
if os.fork():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        listener.accept()
else:
    time.sleep(600)
"""


class Idle(Server):
    """A server with a child that does nothing, and that does not end with it."""

    name = "idle"

    @classmethod
    def is_installed(cls) -> bool:
        return True

    @classmethod
    def version(cls) -> str:
        return "1"

    def configure(self) -> None: ...

    def command(self) -> list[str]:
        return [sys.executable, "-c", PARENT, str(self.port)]

    def populate(self, population: Population) -> None: ...


@pytest.mark.parametrize("how", ["leaving", "failing", "killing"])
def test_all_processes_of_a_server_end(how: str, tmp_path: Path) -> None:
    (core, *_) = os.sched_getaffinity(0)
    server = Idle(tmp_path, core, tls=False)
    with contextlib.suppress(LoadError), server:
        pids = server.pids
        used = (server.cost(), server.memory())
        if how == "failing":
            raise LoadError("lost the connection")
        if how == "killing":
            server.kill()

    assert len(pids) == 2
    assert used[1] > 1_000_000
    assert server.memory() == 0
    assert not server.is_running


def test_a_server_that_does_not_start_is_told_with_what_it_said(tmp_path: Path) -> None:
    (core, *_) = os.sched_getaffinity(0)
    server = Idle(tmp_path, core, tls=False)
    server.command = lambda: [sys.executable, "-c", "exit('no such option')"]  # type: ignore[method-assign]

    with pytest.raises(ServerError, match="no such option"):
        server.start()


def test_what_is_lost_on_the_way_to_those_who_were_away_is_counted(pair: Pair) -> None:
    session = Session("s", pair.servers[0], b"", 0)
    sender = Sender(session, [pair.client])
    pair.client.hears = array("d")
    sender.go_on()
    for number in (0, 1, 2, 3, 5, 6, 7, 8):
        pair.deliver(MESSAGE % (number, number))

    assert len(pair.client.hears) == 10
    assert Faults.of([pair.client]).lost == 2
    assert not sender.is_done
    sender.handled = 10
    assert sender.is_done


RESULTS: dict[str, Result | str] = {
    "pushd": Result((20.0, 1.0)),
    "ejabberd": Result((100.0, 4.0), "3 lost"),
    "prosody": "ServerError: it does not start",
}
ROW = Row(
    Scenario(
        "chat",
        (Line("message", "CPU µs", Budget(ratio=0.25)), Line("memory", "KB", Budget(most=0.5), 1)),
        lambda bench, server: Result(()),
    ),
    RESULTS,
)


def test_the_table_says_what_was_missed_and_what_went_wrong() -> None:
    assert table([ROW], ["pushd", "ejabberd", "prosody"]).splitlines() == [
        "=======  ======  =====  ========  =======  =====  =============",
        "what     unit    pushd  ejabberd  prosody  ratio  budget",
        "=======  ======  =====  ========  =======  =====  =============",
        "message  CPU µs  20     100 (!)   failed   0.20   0.25",
        "memory   KB      1.0    4.0 (!)   failed   0.25   0.5 KB missed",
        "=======  ======  =====  ========  =======  =====  =============",
        "",
        "- chat, ejabberd: 3 lost",
        "- chat, prosody: ServerError: it does not start",
    ]


def test_a_ratio_is_not_judged_without_who_it_compares_with() -> None:
    alone = Row(ROW.scenario, {"pushd": RESULTS["pushd"]})

    assert table([alone], ["pushd"]).splitlines()[3].split() == [
        "message",
        "CPU",
        "µs",
        "20",
        "-",
        "0.25",
        "?",
    ]


def test_the_figures_of_a_page_are_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.rst"
    page.write_text("before\n.. figures begin\nold\n.. figures end\nafter\n")

    replace_figures(page, "new")

    assert page.read_text() == "before\n.. figures begin\n\nnew\n\n.. figures end\nafter\n"
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match="has no place"):
        replace_figures(page, "new")


def test_what_fails_is_told_and_what_comes_too_late_is_not_begun(tmp_path: Path) -> None:
    def fails(bench: Bench, server: type[Server]) -> Result:
        raise LoadError("it closed the connection")

    def works(bench: Bench, server: type[Server]) -> Result:
        return Result((1.0,))

    lines = [Line("it", "s")]
    scenarios = [Scenario("one", lines, fails), Scenario("two", lines, works)]
    in_time, late = (
        measure(Bench(tmp_path), scenarios, ["pushd"], minutes) for minutes in (20.0, 0.5)
    )

    assert [row.results["pushd"] for row in in_time] == [
        "LoadError: it closed the connection",
        Result((1.0,)),
    ]
    assert [row.results["pushd"] for row in late] == ["the time was up"] * 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], ""),
        (["--rst", "docs/page.rst"], ""),
        (
            ["--quick", "--json=/home/me/x", "--only", "w*,detached"],
            " --quick --only 'w*,detached'",
        ),
    ],
)
def test_a_page_tells_what_was_asked_for_and_no_path(arguments: list[str], told: str) -> None:
    assert asked(arguments) == told


def test_accounts_can_log_in_with_what_each_server_stores(tmp_path: Path) -> None:
    population = Population(users=2, contacts=2)
    write_pushd(population, tmp_path / "pushd")
    write_prosody(population, tmp_path / "prosody")
    document = parse(portable(population).encode().partition(b"?>")[2])
    with contextlib.closing(sqlite3.connect(tmp_path / "pushd" / DATABASE)) as connection:
        kept = connection.execute(
            "SELECT jid, salt, iterations, stored_key, server_key FROM credentials "
            "JOIN accounts ON account = id WHERE hash = 'SHA-1' ORDER BY jid"
        ).fetchall()
        seen = connection.execute("SELECT jid FROM roster WHERE account = 'star@bench.example'")
        contacts = {jid for (jid,) in seen}

    assert {jid.partition("@")[0] for jid, *_ in kept} == set(population.names())
    assert all(verify(ScramKeys(*keys), "SHA-1", PASSWORD) for _, *keys in kept)
    assert contacts == {"c0000@bench.example", "c0001@bench.example"}
    folder = tmp_path / "prosody" / "bench%2eexample"
    assert {file.stem for file in (folder / "accounts").iterdir()} == set(population.names())
    assert "c0001@bench.example" in (folder / "roster" / "star.dat").read_text()
    users = list(children(next(children(document))))
    assert [user["name"] for user in users] == population.names()
    _, stored, _, salt, rounds = re.split("[:,]", users[0]["password"])
    assert (
        b64decode(b64decode(stored))
        == derive("SHA-1", PASSWORD, b64decode(b64decode(salt)), int(rounds)).stored_key
    )
