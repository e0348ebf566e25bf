"""The operator's socket: each line is answered by one, whatever stands in it."""

import json
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed

from pushd.admin.harness import LONGEST, Journal, PushWaits
from pushd.admin.operations import Operations
from pushd.admin.pushes import Whose
from pushd.admin.sessions import LiveSessions
from pushd.admin.socket import LONGEST_LINE, OperatorFactory
from pushd.admin.users import Users
from tests.fuzz.watch import Log
from tests.hall import Hall
from tests.support import Transport

OPERATIONS = (
    *("user-add", "user-passwd", "user-del", "user-list", "user-disable", "user-enable"),
    *("sessions", "kick", "cut", "push-mark", "wait-push", "assert-no-push", "call", "__init__"),
)
WORDS = (
    *OPERATIONS,
    *("account", "timeout", "count", "since", "stage", "device", "seconds", "withhold", "yes"),
    *("0", "1", "5s", "0.5", "1e400", "inf", "-1", "decided", "9" * 30),
    *("_account", "x", "reason", "romeo@example.net/phone"),
    *("jid", "password", "domain", "self", "name", "operation", "arguments", "result"),
    *(
        "romeo@example.net",
        "juliet@example.net",
        "example.net",
        "@",
        "",
        "\x00",
        "\ud800",
        "\u00e9",
    ),
    *("a" * 1100 + "@example.net", "r\u00e9mi@example.net", "x@example.com", "x@example.net/y"),
)
TOKENS = (
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\\u0000", b"\\ud800", b"null", b"NaN"),
    *(
        b"true",
        b"1e999",
        b"-0",
        b"9" * 5_000,
        b"[" * 2_000,
        b"\n",
        b"\r\n",
        b"\xff",
        b"\xef\xbb\xbf",
    ),
    *(json.dumps(word).encode() for word in WORDS),
    *(b'{"operation": "user-list"}\n', b'"arguments": {}'),
)


class _House:
    """One hall for many inputs; its accounts are removed now and then."""

    def __init__(self) -> None:
        self.log = Log()
        self.hall = Hall()
        host, sessions = self.hall.host, LiveSessions(self.hall.host)
        users = Users(
            host.domains,
            host.accounts,
            host.database,
            _derived,
            sessions.end_all,
            sessions.cut_all,
        )
        whose = Whose(host.domains, host.accounts)
        self.journal = Journal(host.clock, host.events)
        waits = PushWaits(host.clock, self.journal, whose, host.push, host.domains, ("push.local",))
        self.factory = OperatorFactory(Operations(users, sessions, waits))

    def ready(self) -> None:
        """One session for the next input, and few accounts."""
        self.hall.seen.clear()
        accounts = self.hall.host.accounts
        if len(accounts.all()) > 20:
            for account in list(accounts.all()):
                self.hall.wait(accounts.remove(account.jid))
        if not self.hall.host.sessions.of("romeo@example.net"):
            self.hall.login("romeo@example.net/phone", sm=True)


def _derived(work: Any, *given: Any) -> "Deferred[Any]":
    """The derivation of keys, with few iterations."""
    return succeed(work(*given, b"salt", 1))


_houses: list[_House] = []


def renew() -> None:
    """The next input is the first of a new house."""
    _houses.clear()


def write(random: Random) -> bytes:
    lines = []
    for _ in range(random.randrange(1, 4)):
        arguments: dict[str, Any] = {
            random.choice(WORDS): random.choice((*WORDS, 5, None, True, [], {}, 1.5))
            for _ in range(random.randrange(4))
        }
        asked: Any = {"operation": random.choice(OPERATIONS), "arguments": arguments}
        if random.random() < 0.1:
            asked = random.choice(([asked], arguments, 5, None, "x", {"operation": arguments}))
        lines.append(json.dumps(asked, ensure_ascii=random.random() < 0.5))
    return "\n".join([*lines, ""]).encode("utf-8", "surrogatepass")


def one(data: bytes) -> None:
    if not _houses:
        _houses.append(_House())
    house = _houses[0]
    house.ready()
    protocol: Any = house.factory.buildProtocol(None)
    transport = Transport()
    protocol.makeConnection(transport)
    protocol.dataReceived(data)
    house.hall.advance(0)
    house.hall.advance(0)
    if b"push" in data:
        house.hall.advance(LONGEST)  # whatever was waited for has not come
    house.log.check()
    said = transport.take()
    lines = data.split(b"\n")[:-1]
    if max(map(len, lines), default=0) <= LONGEST_LINE:
        assert said.count(b"\n") == len(lines)
    for answer in said.splitlines():
        read = json.loads(answer)
        assert len(read) == 1
        assert read.keys() <= {"result", "error"}
