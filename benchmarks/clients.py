"""Clients that send numbered stanzas and check those that arrive, by matching bytes.

A generator must cost less than the server it measures, so nothing is parsed here: a stanza
is known by its numbered text, the rest by counting. All clients of a run live in this
process, which is how each stanza is checked: none lost, none twice, none out of its order,
and each acknowledged where there is stream management (XEP-0198).
"""

from __future__ import annotations  # array[float] in Python 3.11

import re
import ssl
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.accounts import DOMAIN
from benchmarks.login import Session

REQUEST = b"<r xmlns='urn:xmpp:sm:3'/>"
REQUEST_EVERY = 5  # messages; what clients do lies between each one and every tenth
READ = 1 << 16
ENDS = (b"</message>", b"/>", b"</presence>", b"</iq>")

NUMBERS = re.compile(rb"<(?:body|status)>(\d{8})")
HANDLED = re.compile(rb"<a [^>]*?h=['\"](\d+)")
BROKEN = re.compile(rb"<stream:error.*|type=['\"]error['\"].*|</stream:stream>", re.DOTALL)


class LoadError(Exception):
    """The server ended a stream or sent an error: there is nothing to measure."""


@dataclass
class Faults:
    """What must be nought."""

    lost: int = 0
    duplicated: int = 0
    disordered: int = 0
    unacknowledged: int = 0

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated or self.disordered or self.unacknowledged)

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in vars(self).items() if count)

    @classmethod
    def of(cls, clients: Iterable[Client]) -> Faults:
        """What went wrong for all of these together, with what has not come by now."""
        faults = cls()
        for client in clients:
            faults.lost += client.awaits()
            faults.duplicated += client.faults.duplicated
            faults.disordered += client.faults.disordered
            if client.managed:
                faults.unacknowledged += abs(client.stanzas_sent - client.handled)
        return faults


class Hearing:
    """Numbered stanzas that come in order. `hears` are the instants at which each was said."""

    def __init__(self, hears: array[float]) -> None:
        self.hears = hears
        self.expected = 0  # the number of the next one to hear
        self.faults = Faults()
        self._missing: set[int] = set()  # numbers below `expected` that did not come

    def awaits(self) -> int:
        """How many stanzas have not come."""
        return len(self.hears) - self.expected + len(self._missing)

    def check(self, numbers: Iterable[bytes], now: float, latencies: array[float]) -> None:
        """Those came."""
        for text in numbers:
            number = int(text)
            if number >= self.expected:
                if number > self.expected:
                    self._missing.update(range(self.expected, number))
                self.expected = number + 1
            elif number in self._missing:
                self._missing.remove(number)
                self.faults.disordered += 1
            else:
                self.faults.duplicated += 1
                continue
            latencies.append(now - self.hears[number])


class Client(Hearing):
    """A session's stream. `hears` are the instants at which what it should hear was said."""

    numbers = NUMBERS

    def __init__(self, session: Session, *, managed: bool) -> None:
        self.socket = session.socket
        self.user = session.user
        self.token = session.token
        self.managed = managed
        self.stanzas_sent = session.sent
        self.stanzas_received = 0
        self.handled = 0  # the last `h` of the server
        self.sent_at = array("d")  # of each numbered stanza
        super().__init__(self.sent_at)
        self._since_request = 0
        self._in = session.rest
        self._out = bytearray()

    def post(self, data: bytes) -> None:
        """Queue bytes that are counted elsewhere, if at all."""
        self._out += data

    def write(self, stanza: bytes, now: float) -> None:
        """Queue a numbered stanza, and with each fifth a request for an acknowledgement."""
        self._out += stanza
        self.sent_at.append(now)
        self.stanzas_sent += 1
        if self.managed:
            self._since_request += 1
            if self._since_request == REQUEST_EVERY:
                self._since_request = 0
                self._out += REQUEST

    def ask(self) -> None:
        """Ask how much the server has handled."""
        self._out += REQUEST

    def rejoin(self, session: Session, handled: int) -> None:
        """Go on with another stream, after which the server has handled so many stanzas."""
        self.socket = session.socket
        self._in = session.rest
        self._out.clear()
        self.handled = handled

    def flush(self) -> bool:
        """Write what is queued; whether all of it went."""
        if self._out:
            try:
                sent = self.socket.send(self._out)
            except (BlockingIOError, ssl.SSLWantWriteError):
                return False
            except OSError as error:
                raise LoadError(f"{self.user}: {error}") from None
            del self._out[:sent]
        return not self._out

    def read(self, now: float, latencies: array[float]) -> int:
        """Take what has come; how many numbered stanzas it held. Answers a request for `h`."""
        more = True
        while more:
            try:
                data = self.socket.recv(READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except OSError as error:
                raise LoadError(f"{self.user}: {error}") from None
            if not data:
                raise LoadError(f"{self.user}: the server closed the connection")
            self._in += data
            more = isinstance(self.socket, ssl.SSLSocket)  # whose records epoll does not see
        return self.take(now, latencies)

    def take(self, now: float, latencies: array[float]) -> int:
        """Count what the buffer says, up to a place where no number is cut from its stanza."""
        ends = [self._in.rfind(end) + len(end) for end in ENDS if end in self._in]
        whole = max(ends, default=0)
        if not whole:
            return 0
        chunk = self._in[:whole]
        self._in = self._in[whole:]
        numbers = self.numbers.findall(chunk)
        if numbers:
            self.check(numbers, now, latencies)
        self.stanzas_received += (
            chunk.count(b"</message>") + chunk.count(b"<presence") + chunk.count(b"<iq ")
        )
        if self.managed:
            if b"<a " in chunk:
                self.handled = int(HANDLED.findall(chunk)[-1])
            if b"<r " in chunk or b"<r/" in chunk:
                self._out += b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % self.stanzas_received
        if (b"error" in chunk or b"</stream" in chunk) and (found := BROKEN.search(chunk)):
            raise LoadError(f"{self.user}: {found.group().decode(errors='replace')[:400]}")
        return len(numbers)


class Chatter(Client):
    """One end of a pair that chats: what a client of today sends, `size` bytes a message."""

    def __init__(self, session: Session, size: int, *, managed: bool) -> None:
        super().__init__(session, managed=managed)
        self.peer: Chatter = self
        self._size = size
        self._head = self._tail = b""

    def pair_with(self, peer: Chatter) -> None:
        """Write to `peer` from now on, and hear it."""
        self.peer = peer
        self.hears = peer.sent_at
        self._head = f"<message to='{peer.user}@{DOMAIN}' type='chat' id='m-".encode()
        rest = (
            b"<active xmlns='http://jabber.org/protocol/chatstates'/>"
            b"<request xmlns='urn:xmpp:receipts'/></message>"
        )
        bare = len(self._head) + len(b"00000000'><body>00000000 </body>") + len(rest)
        words = b"Neither, fair saint, if either thee dislike. " * (1 + self._size // 45)
        self._tail = b" " + words[: self._size - bare] + b"</body>" + rest

    def say(self, count: int, now: float) -> None:
        """Queue the next `count` messages for the peer."""
        first = len(self.sent_at)
        for number in range(first, first + count):
            self.write(self._message(number), now)

    def come_back(self, session: Session, handled: int) -> None:
        """Go on with a stream that resumed the session, and send again what got lost."""
        self.rejoin(session, handled)
        count = len(self.sent_at)
        for number in range(count - (self.stanzas_sent - handled), count):
            self._out += self._message(number)

    def _message(self, number: int) -> bytes:
        return b"%b%08d'><body>%08d%b" % (self._head, number, number, self._tail)


class Star(Client):
    """Whose presence changes all the time, as its contacts and itself are told."""

    def announce(self, now: float) -> None:
        self.write(
            b"<presence><show>away</show><status>%08d</status>"
            b"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' "
            b"node='https://client.example' ver='QgayPKawpkPSDYmwT/WGaOlqSOg='/></presence>"
            % len(self.sent_at),
            now,
        )


def pairs(sessions: Iterable[Session], size: int, *, managed: bool) -> list[Chatter]:
    """Clients that write to one another, the first with the second and so on."""
    clients = [Chatter(session, size, managed=managed) for session in sessions]
    for one, other in zip(clients[::2], clients[1::2], strict=True):
        one.pair_with(other)
        other.pair_with(one)
    return clients
