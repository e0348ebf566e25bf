"""Ten thousand hostile connections, of every kind, against pushd: is its memory flat?

    python -m benchmarks.hostile [--connections 10000] [--wave 800] [--seconds 170]

They come in waves from a process of their own, while two clients of this one chat. Each
kind has the one ending that it must have. Printed is the server's memory as it goes, the
growth for each MB that was sent to it, its CPU, how connections ended, and the latency of
the chat before and meanwhile. The exit code is 1 when a connection ended in another way,
when a message of the chat was lost, or when memory grew.
"""

import argparse
import asyncio
import base64
import contextlib
import multiprocessing
import os
import re
import select
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from benchmarks.accounts import DOMAIN, PASSWORD, Population
from benchmarks.login import Login, Session, Way
from benchmarks.ports import free_port
from benchmarks.servers import Pushd

PEOPLE = Population(users=40)  # the first two chat; the others are hostile
TIMEOUT = 4  # seconds that the server gives a connection to log in
PATIENCE = 60.0  # seconds for a connection to end, in a wave on a busy machine
FLAT = 16 << 20  # bytes by which the server may grow in the second half of the waves

HEADER = (
    f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
).encode()
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
FEATURES = b"</stream:features>"
LATE = "connection-timeout"
BUSY = ("", LATE)  # how what needs TLS may end, too, where a wave is too much for the machine
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


@dataclass
class Ports:
    """Where the server listens, in the clear and for TLS."""

    plain: int
    tls: int


class Hostile:
    """One connection; `ending` is the stream error it ends with, "" for none, or "hangs"."""

    def __init__(self, ports: Ports, number: int) -> None:
        self.ports = ports
        self.number = number
        self.sent = 0
        self.unread = b""
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self, *, tls: bool = False) -> None:
        port, context = (self.ports.tls, TLS) if tls else (self.ports.plain, None)
        streams = asyncio.open_connection("127.0.0.1", port, ssl=context)
        self._reader, self._writer = await streams

    async def raw(self, port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)

    async def send(self, data: bytes) -> None:
        self.sent += len(data)
        self._writer.write(data)
        await self._writer.drain()

    async def read_until(self, pattern: bytes) -> bytes:
        while (found := re.search(pattern, self.unread, re.DOTALL)) is None:
            data = await self._reader.read(1 << 16)
            if not data:
                raise ConnectionError
            self.unread += data
        read, self.unread = self.unread[: found.end()], self.unread[found.end() :]
        return read

    async def log_in(self) -> None:
        """As one of the hostile accounts, with a resource."""
        names = PEOPLE.names()[2:]
        user = names[self.number % len(names)]
        await self.connect(tls=True)
        await self.send(HEADER)
        await self.read_until(FEATURES)
        await self.send(login(user, PASSWORD))
        await self.read_until(rb"<success[^>]*>")
        await self.send(HEADER)
        await self.read_until(FEATURES)
        self.jid = f"{user}@{DOMAIN}/{self.number}"

    async def bind(self) -> None:
        await self.log_in()
        bind = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{self.number}</resource>"
        await self.send(f"<iq type='set' id='b'>{bind}</bind></iq>".encode())
        await self.read_until(b"</iq>")

    async def ending(self) -> str:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await self._reader.read(1 << 16):
                self.unread = self.unread[-2_000:] + data
        found = re.search(rb"<stream:error><([a-z-]+) ", self.unread)
        return found.group(1).decode() if found else ""

    def close(self, *, reset: bool = False) -> None:
        if hasattr(self, "_writer"):
            transport = self._writer.transport
            transport.abort() if reset else transport.close()


def login(user: str, password: str) -> bytes:
    message = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    return f"<auth xmlns='{SASL}' mechanism='PLAIN'>{message}</auth>".encode()


# The kinds. What each returns is how its connection ended.


async def silent(one: Hostile) -> str:
    await one.connect()
    return await one.ending()


async def half_a_handshake(one: Hostile) -> str:
    await one.raw(one.ports.tls)
    await one.send(b"\x16\x03\x01\x02\x00\x01\x00\x01")
    return await one.ending()


async def half_a_handshake_later(one: Hostile) -> str:
    await one.connect()
    await one.send(HEADER + b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    await one.read_until(rb"<proceed[^>]*>")
    await one.send(b"\x16\x03\x01\x02\x00\x01\x00\x01")
    return await one.ending()


async def slow_writer(one: Hostile) -> str:
    await one.connect()
    ending = asyncio.ensure_future(one.ending())
    for byte in HEADER + b"<a b='" + b"x" * 1_000:
        if ending.done():
            break
        with contextlib.suppress(OSError):
            await one.send(bytes([byte]))
        await asyncio.sleep(0.01)
    return await ending


async def big_before_login(one: Hostile) -> str:
    await one.connect()
    await one.send(HEADER + b"<a>" + b"x" * 60_000)
    return await one.ending()


async def bomb(one: Hostile) -> str:
    await one.connect()
    entities = "".join(f"<!ENTITY {n} '{f'&{chr(ord(n) - 1)};' * 10}'>" for n in "bcdefgh")
    await one.send(f"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>{entities}]>".encode() + HEADER)
    return await one.ending()


async def small_elements(one: Hostile) -> str:
    await one.connect()
    await one.send(HEADER + b"<a>" + b"<b/>" * 5_000)
    return await one.ending()


async def noise(one: Hostile) -> str:
    await one.connect()
    await one.send(b"\x01" + os.urandom(4_000))
    return await one.ending()


async def reset(one: Hostile) -> str:
    await one.connect()
    await one.send(HEADER + f"<auth xmlns='{SASL}' mechanism='PLAIN'>AAAA".encode())
    one.close(reset=True)
    return ""


async def wrong_passwords(one: Hostile) -> str:
    await one.connect(tls=True)
    await one.send(HEADER + login("u0000", f"wrong {one.number}") * 5)
    return await one.ending()


async def guessed_tokens(one: Hostile) -> str:
    await one.log_in()
    tokens = (base64.b64encode(os.urandom(15)).decode() for _ in range(20))
    guesses = (f"<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>" for token in tokens)
    await one.send("".join(guesses).encode())
    for _ in range(20):
        await one.read_until(rb"<item-not-found [^>]*></failed>")
    await one.send(b"<message/>")
    return await one.ending()


async def tag_in_pieces(one: Hostile) -> str:
    await one.bind()
    await one.send(b"<message a='")
    ending = asyncio.ensure_future(one.ending())
    with contextlib.suppress(OSError):
        for _ in range(2_000):
            await one.send(b">" * 100)
            await asyncio.sleep(0)
        await one.send(b"<")
    return await ending


async def small_elements_of_a_session(one: Hostile) -> str:
    await one.bind()
    for count in (10_000, 10_000, 50_000):
        small = "<a/>" * count
        await one.send(f"<message to='{one.jid}'><x xmlns='u'>{small}</x></message>".encode())
    return await one.ending()


async def stalled_reader(one: Hostile) -> str:
    """It floods itself, and reads nothing until it is cut."""
    await one.bind()
    flood = f"<message to='{one.jid}'><body>{'x' * 250_000}</body></message>".encode()
    with contextlib.suppress(OSError, ssl.SSLError):
        for _ in range(200):
            await one.send(flood)
        return "was not cut"
    return ""


@dataclass(frozen=True)
class Kind:
    """How to attack, how it must end, and every how many connections."""

    attack: Callable[[Hostile], Awaitable[str]]
    endings: tuple[str, ...]
    every: int = 1


TOO_MUCH = ("policy-violation",)
KINDS = (
    Kind(silent, (LATE,)),
    Kind(half_a_handshake, ("",)),
    Kind(half_a_handshake_later, BUSY),
    Kind(slow_writer, (LATE, "")),  # what it still writes may undo what it would have read
    Kind(big_before_login, (*TOO_MUCH, LATE)),
    Kind(bomb, ("restricted-xml", LATE)),
    Kind(small_elements, (*TOO_MUCH, LATE)),
    Kind(noise, ("not-well-formed", LATE)),
    Kind(reset, ("",)),
    Kind(wrong_passwords, (*TOO_MUCH, *BUSY), 2),
    Kind(guessed_tokens, ("not-authorized", *BUSY), 2),
    Kind(tag_in_pieces, (*TOO_MUCH, *BUSY), 2),
    Kind(small_elements_of_a_session, (*TOO_MUCH, *BUSY), 4),
    Kind(stalled_reader, BUSY, 30),
)


def plan(only: str) -> Iterator[Kind]:
    """Kinds without end, each as often as it says, or one of them alone."""
    for turn in range(1 << 30):
        for kind in KINDS:
            if kind.attack.__name__ == only or (not only and turn % kind.every == 0):
                yield kind


@dataclass
class Wave:
    """What became of some connections, and the bytes they sent."""

    endings: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent: int = 0

    def wrong(self) -> list[str]:
        allowed = {kind.attack.__name__: kind.endings for kind in KINDS}
        return [
            f"{count} x {name} ended with {ending or 'nothing'!r}"
            for (name, ending), count in self.endings.items()
            if ending not in allowed[name]
        ]


async def launch(ports: Ports, numbers: Sequence[int], kinds: Iterator[Kind]) -> Wave:
    """All of a wave at once."""
    wave = Wave()

    async def attack(number: int, kind: Kind) -> None:
        one = Hostile(ports, number)
        try:
            async with asyncio.timeout(PATIENCE):
                ending = await kind.attack(one)
        except TimeoutError:
            ending = "hangs"
        except (OSError, ssl.SSLError):
            ending = await one.ending() if hasattr(one, "_reader") else "refused"
        one.close()
        wave.endings[kind.attack.__name__, ending] += 1
        wave.sent += one.sent

    await asyncio.gather(*(attack(number, next(kinds)) for number in numbers))
    return wave


def attackers(pipe: Pipe, ports: Ports, only: str) -> None:
    """The other process: a wave for each range of numbers that comes, until None does."""
    kinds = plan(only)
    while (numbers := pipe.recv()) is not None:
        pipe.send(asyncio.run(launch(ports, numbers, kinds)))


# The server, and two who chat.


class Target(Pushd):
    """pushd with a port for TLS, and little time for logins, so that a wave is soon over."""

    def configure(self) -> None:
        super().configure()
        self.tls_port = free_port()
        text = self._file.read_text()
        text = text.replace("client_tls: []", f"client_tls: ['127.0.0.1:{self.tls_port}']")
        self._file.write_text(f"{text}limits: {{authentication_timeout: {TIMEOUT}}}\n")

    def descriptors(self) -> int:
        """How many files and sockets the server has open."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids)


class Chat:
    """Two clients of the server; `say` sends a message and waits for it."""

    def __init__(self, romeo: Session, juliet: Session) -> None:
        self._romeo, self._juliet = romeo.socket, juliet.socket
        self._to = f"{juliet.user}@{DOMAIN}"
        self.latencies: list[float] = []

    def say(self) -> None:
        """Raises TimeoutError when the message does not come, and LookupError for another."""
        body = f"{len(self.latencies):08}"
        began = time.perf_counter()
        self._romeo.sendall(
            f"<message to='{self._to}' type='chat'><body>{body}</body></message>".encode()
        )
        said = b""
        while b"</message>" not in said:
            if not (data := self._juliet.recv(1 << 16)):
                raise ConnectionError("the chat was cut")
            said += data
        if body.encode() not in said:
            raise LookupError(f"not the message {body}: {said!r}")
        self.latencies.append(time.perf_counter() - began)
        while select.select([self._romeo], [], [], 0)[0]:
            if not self._romeo.recv(1 << 16):
                raise ConnectionError("the chat was cut")

    def take(self) -> list[float]:
        """The latencies since the last time, sorted."""
        taken, self.latencies = sorted(self.latencies), []
        return taken


def milliseconds(latencies: Sequence[float]) -> str:
    places = (("median", 0.5), ("99 %", 0.99), ("worst", 1.0))
    last = len(latencies) - 1
    return ", ".join(f"{name} {latencies[int(at * last)] * 1e3:.1f} ms" for name, at in places)


def run(connections: int, size: int, seconds: float, only: str) -> bool:
    """All of it; whether everything was as it must be."""
    until = time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="pushd-hostile-") as folder:
        server = Target(Path(folder), 0, tls=True)
        server.folder.mkdir(exist_ok=True)
        server.populate(PEOPLE)
        with server:
            mine, theirs = context.Pipe()
            ports = Ports(server.port, server.tls_port)
            process = context.Process(target=attackers, args=(theirs, ports, only), daemon=True)
            process.start()
            try:
                return measure(server, mine, connections, size, until)
            finally:
                process.kill()
                process.join()


def measure(server: Target, pipe: Pipe, connections: int, size: int, until: float) -> bool:
    users = PEOPLE.names()[:2]
    way = Way(managed=False, roster=False)
    chat = Chat(*(Login(server.port, user, tls=True).session(way) for user in users))
    for _ in range(200):
        chat.say()
    calm = chat.take()
    total, done, memory = Wave(), 0, [server.memory()]
    started, files = server.cost(), server.descriptors()
    while done < connections and time.monotonic() < until - TIMEOUT - 2:
        numbers = range(done, min(done + size, connections))
        pipe.send(numbers)
        while not pipe.poll(0.02):
            chat.say()
        wave: Wave = pipe.recv()
        total.endings += wave.endings
        total.sent += wave.sent
        done = numbers.stop
        server.settle(0.5)
        memory.append(server.memory())
    spent, busy = server.cost() - started, chat.take()
    left = server.descriptors() - files
    return report(done, total, memory, spent, left, calm, busy)


def report(
    done: int,
    total: Wave,
    memory: Sequence[int],
    spent: float,
    left: int,
    calm: Sequence[float],
    busy: Sequence[float],
) -> bool:
    for (name, ending), count in sorted(total.endings.items()):
        print(f"{count:6} {name.replace('_', ' '):28} {ending or 'cut, or closed in order'}")
    steps = memory[:: max(1, len(memory) // 10)]
    # The first half shows what so many at once need; no more than that may be needed ever.
    middle, last = memory[len(memory) // 2], memory[-1]
    growth = (last - middle) / max(1, total.sent / 2e6) / 1e3
    print(f"{done} connections, {total.sent / 1e6:.0f} MB sent, {spent:.1f} s of CPU")
    print("memory in MB:", " ".join(f"{one / 1e6:.1f}" for one in steps), f"{last / 1e6:.1f}")
    print(f"growth in the second half: {(last - middle) / 1e6:.1f} MB, {growth:.1f} KB per MB sent")
    print(f"descriptors left open: {left}")
    print(f"chat before: {milliseconds(calm)}")
    print(f"chat meanwhile: {milliseconds(busy)}, {len(busy)} messages, none lost")
    wrong = total.wrong()
    if last - middle > FLAT:
        wrong.append("memory is not flat")
    if left > 2:
        wrong.append("connections were left open")
    for one in wrong:
        print(f"WRONG: {one}")
    return not wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--wave", type=int, default=800)
    parser.add_argument("--seconds", type=float, default=170.0)
    names = [kind.attack.__name__ for kind in KINDS]
    parser.add_argument("--only", choices=names, default="", help="one kind alone")
    given = parser.parse_args(arguments)
    is_fine = run(given.connections, given.wave, given.seconds, given.only)
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
