"""Stanzas between servers: over one stream each way, and among a thousand domains.

Ten users have sessions, all streams have TLS. A stranger has sent what comes in, and hears what
goes out; `far` plays the server of all strangers.
"""

from __future__ import annotations  # array[float] in Python 3.11

import contextlib
import re
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from benchmarks.accounts import DOMAIN, PEOPLE
from benchmarks.clients import Client, Faults, Hearing
from benchmarks.far import FAR, Far, domains, elsewhere
from benchmarks.federated import FEDERATED, Federated
from benchmarks.load import Loop
from benchmarks.login import Session, Way, together
from benchmarks.processes import Server
from benchmarks.scenario import Bench, Line, Result, Scenario, sessions

PAIRS = 10
SIZE = 390  # bytes of a message
WINDOW = 50  # messages under way of each pair
MANY = 1_000  # domains
FIRST = 10  # domains with which the server gets what it loads on demand


class Course(Hearing):
    """Numbered messages from one to another, who is somewhere else; all Courses have a number."""

    def __init__(self, number: int, sender: Client, sender_jid: str, to: str) -> None:
        super().__init__(array("d"))
        self.number = number
        self.sender = sender
        origin = f" from='{sender_jid}'" if sender_jid else ""
        self._head = f"<message{origin} to='{to}' type='chat' id='m-".encode()
        rest = (
            b"<active xmlns='http://jabber.org/protocol/chatstates'/>"
            b"<request xmlns='urn:xmpp:receipts'/></message>"
        )
        bare = len(self._head) + len(b"00000000'><body>000000000000 </body>") + len(rest)
        words = b"Neither, fair saint, if either thee dislike. " * (1 + SIZE // 45)
        self._tail = b" " + words[: SIZE - bare] + b"</body>" + rest

    def say(self, count: int, now: float) -> None:
        """Queue the next `count` messages."""
        first = len(self.hears)
        for number in range(first, first + count):
            self.sender.post(
                b"%b%08d'><body>%04d%08d%b" % (self._head, number, self.number, number, self._tail)
            )
            self.hears.append(now)


class Ear(Client):
    """An end of a stream at which many courses are heard. `came` counts them since last asked."""

    numbers = re.compile(rb"<body>(\d{12})")

    def __init__(self, session: Session) -> None:
        super().__init__(session, managed=False)
        self.courses: dict[bytes, Course] = {}
        self.came: Counter[Course] = Counter()

    def awaits(self) -> int:
        return sum(course.awaits() for course in self.courses.values())

    def check(self, numbers: Iterable[bytes], now: float, latencies: array[float]) -> None:
        for text in numbers:
            course = self.courses[text[:4]]
            course.check((text[4:],), now, latencies)
            self.came[course] += 1

    def hear(self, course: Course) -> None:
        self.courses[b"%04d" % course.number] = course


def faults(ears: Iterable[Ear]) -> str:
    """What went wrong on all courses."""
    found = Faults()
    for course in (course for ear in ears for course in ear.courses.values()):
        found.lost += course.awaits()
        found.duplicated += course.faults.duplicated
        found.disordered += course.faults.disordered
    return str(found)


class Traffic:
    """Courses, of which each message that has come is followed by another."""

    def __init__(self, ears: Sequence[Ear]) -> None:
        self.ears = ears
        self.loop = Loop(ears)

    def begin(self, window: int) -> None:
        """Each course has so many messages under way from now on."""
        for ear in self.ears:
            for course in ear.courses.values():
                course.say(window, time.perf_counter())
        for ear in self.ears:
            self.loop.flush(ear)

    def go_on(self, seconds: float) -> int:
        """How many messages came in that time."""
        return self.loop.turn(seconds, self._follow)

    def _follow(self, ear: Client, count: int, now: float) -> None:
        assert isinstance(ear, Ear)
        came, ear.came = ear.came, Counter()
        for course, number in came.items():
            course.say(number, now)
        for sender in {course.sender for course in came}:
            self.loop.flush(sender)

    def heard(self) -> None:
        """Forget what came while nothing followed."""
        for ear in self.ears:
            ear.came.clear()


@contextlib.contextmanager
def house(
    bench: Bench, kind: type[Server], names: Sequence[str]
) -> Iterator[tuple[Far, Federated]]:
    """A server of this kind among servers with these names."""
    with elsewhere(bench.folder / "far", names) as far:
        make = partial(FEDERATED[kind.name], far)
        with bench.server(kind, tls=True, make=make) as server:
            assert isinstance(server, Federated)
            yield far, server


def measure_stream(bench: Bench, kind: type[Server], *, is_incoming: bool) -> Result:
    """CPU µs per message over one stream, and messages a second."""
    with contextlib.ExitStack() as stack:
        far, server = stack.enter_context(house(bench, kind, [FAR]))
        names = PEOPLE.names()[:PAIRS]
        way = Way(managed=False, tls=True)
        users = [Ear(session) for session in sessions(stack, server, names, way)]
        if is_incoming:
            link = Ear(far.call(server.s2s_port, FAR))
        else:
            users[0].post(f"<message to='{FAR}'><body/></message>".encode())
            users[0].flush()
            link = Ear(far.arrived(1)[FAR])
        for number, user in enumerate(users):
            stranger = f"r{number:04}@{FAR}/bench"
            if is_incoming:
                user.hear(Course(number, link, stranger, f"{names[number]}@{DOMAIN}"))
            else:
                link.hear(Course(number, user, "", stranger))
        traffic = Traffic([*users, link])
        stack.callback(traffic.loop.close)
        traffic.begin(WINDOW)
        traffic.go_on(bench.warm_up)
        with bench.measuring(server, settle=False) as span:
            count = traffic.go_on(bench.seconds)
        traffic.loop.finish()
        return Result((span.cost / count * 1e6, count / span.seconds), faults(traffic.ears))


def measure_many(bench: Bench, kind: type[Server]) -> Result:
    """CPU ms, rate and KB of a stream, first for those that come, then for those that go."""
    names = domains(bench.some(MANY) + FIRST)
    early, late = names[:FIRST], names[FIRST:]
    with contextlib.ExitStack() as stack:
        far, server = stack.enter_context(house(bench, kind, names))
        people = PEOPLE.names()[:PAIRS]
        way = Way(managed=False, tls=True)
        users = [Ear(session) for session in sessions(stack, server, people, way)]

        def call(name: str) -> Ear:
            return Ear(far.call(server.s2s_port, name))

        def call_out(some: Sequence[str]) -> None:
            for number, name in enumerate(some):
                user = users[number % PAIRS]
                user.post(f"<message to='u@{name}'><body/></message>".encode())
                user.flush()

        links = together(call, early)
        call_out(early)
        far.arrived(len(early))
        server.settle()
        before = server.memory()
        with bench.measuring(server) as coming:
            links += together(call, late)
        between = server.memory()
        with bench.measuring(server) as going:
            began = time.perf_counter()
            call_out(late)
            arrived = far.arrived(len(names))
            until_all = time.perf_counter() - began
        after = server.memory()
        ways_out = [Ear(arrived[name]) for name in names]
        for number, name in enumerate(names):
            place = number % PAIRS
            user, jid = users[place], f"u@{name}"
            user.hear(Course(number, links[number], f"{jid}/r", f"{people[place]}@{DOMAIN}"))
            ways_out[number].hear(Course(number, user, "", jid))
        traffic = Traffic([*users, *links, *ways_out])
        stack.callback(traffic.loop.close)
        traffic.begin(1)
        traffic.go_on(bench.warm_up)
        with bench.measuring(server, settle=False) as span:
            count = traffic.go_on(bench.seconds)
        traffic.loop.finish()
        figures = (
            coming.cost / len(late) * 1e3,
            len(late) / coming.seconds,
            (between - before) / len(late) / 1e3,
            going.cost / len(late) * 1e3,
            len(late) / until_all,
            (after - between) / len(late) / 1e3,
            span.cost / count * 1e6,
            count / span.seconds,
        )
        return Result(figures, faults(traffic.ears))


def _stream(name: str, label: str, *, is_incoming: bool) -> Scenario:
    return Scenario(
        name,
        (Line(label, "CPU µs"), Line(f"{label}: rate", "1/s")),
        lambda bench, kind: measure_stream(bench, kind, is_incoming=is_incoming),
    )


SCENARIOS = (
    _stream("s2s-in", "message from another server", is_incoming=True),
    _stream("s2s-out", "message to another server", is_incoming=False),
    Scenario(
        "s2s-many",
        (
            Line("1,000 domains: stream from one", "CPU ms", digits=2),
            Line("1,000 domains: streams from them", "1/s"),
            Line("1,000 domains: memory of a stream from one", "KB", digits=1),
            Line("1,000 domains: stream to one", "CPU ms", digits=2),
            Line("1,000 domains: streams to them", "1/s"),
            Line("1,000 domains: memory of a stream to one", "KB", digits=1),
            Line("1,000 domains: message from or to one", "CPU µs"),
            Line("1,000 domains: messages from and to them", "1/s"),
        ),
        measure_many,
    ),
)
