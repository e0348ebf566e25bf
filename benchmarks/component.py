"""An external component (XEP-0114): a push service, or a server of elsewhere that publishes."""

from __future__ import annotations  # array[float] in Python 3.11

import hashlib
import re
import socket
import time
from array import array
from collections.abc import Callable

from benchmarks.clients import BROKEN, Client, LoadError
from benchmarks.login import PATIENCE, LoginError, Session

SECRET = "a secret of components"
IQS = re.compile(rb"<iq\b([^>]*)/>|<iq\b([^>]*)>(.*?)</iq>", re.DOTALL)
ATTRIBUTE = re.compile(rb"\b(id|from|to|type)=(?:'([^']*)'|\"([^\"]*)\")")
PUBLISHED = re.compile(rb"node=['\"]node-(\d{7})")


def connect(port: int, domain: str, patience: float = PATIENCE) -> socket.socket:
    """A stream as this component; it is tried until the server listens. Raises LoginError."""
    until = time.monotonic() + patience
    while True:
        try:
            link = socket.create_connection(("127.0.0.1", port), patience)
            break
        except OSError as error:
            if time.monotonic() > until:
                raise LoginError(f"{domain}: {error}") from None
            time.sleep(0.05)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(
        f"<?xml version='1.0'?><stream:stream to='{domain}' xmlns='jabber:component:accept' "
        "xmlns:stream='http://etherx.jabber.org/streams'>".encode()
    )
    header = _until(link, re.compile(rb"<stream:stream[^>]*\bid=['\"]([^'\"]+)[^>]*>"))
    digest = hashlib.sha1(header + SECRET.encode(), usedforsecurity=False).hexdigest()
    link.sendall(f"<handshake>{digest}</handshake>".encode())
    _until(link, re.compile(rb"<(handshake)"))
    return link


def _until(link: socket.socket, pattern: re.Pattern[bytes]) -> bytes:
    came = b""
    while not (found := pattern.search(came)):
        data = link.recv(4096)
        if not data or b"<stream:error" in came:
            raise LoginError(f"a component is not let in: {came.decode(errors='replace')}")
        came += data
    return found.group(1)


class Component(Client):
    """Its stream in a loop. `took` is called with the attributes and the content of each IQ."""

    def __init__(self, port: int, domain: str) -> None:
        super().__init__(Session(domain, connect(port, domain), b"", 0), managed=False)
        self.domain = domain

    def take(self, now: float, latencies: array[float]) -> int:
        count = end = 0
        for found in IQS.finditer(self._in):
            end = found.end()
            bare, head, content = found.groups()
            named = ATTRIBUTE.findall(bare or head)
            attributes = {name: one or other for name, one, other in named}
            count += self.took(attributes, content or b"", now, latencies)
        if (broken := BROKEN.search(self._in)) and b"<stream:error" in broken.group():
            raise LoadError(f"{self.domain}: {broken.group().decode(errors='replace')[:400]}")
        self._in = self._in[end:]
        return count

    def took(
        self, head: dict[bytes, bytes], content: bytes, now: float, latencies: array[float]
    ) -> int:
        """An IQ came; gives 1 if it is one that is counted."""
        raise NotImplementedError


class PushService(Component):
    """Takes what servers publish to nodes that are called after a number, and accepts it.

    `said_at` has for each number the instants at which there was something to be told.
    """

    def __init__(self, port: int, domain: str, devices: int) -> None:
        super().__init__(port, domain)
        self.said_at = [0.0] * devices
        self.told = [0] * devices  # publishes
        self.on_publish: Callable[[int], None] = lambda number: None

    def took(
        self, head: dict[bytes, bytes], content: bytes, now: float, latencies: array[float]
    ) -> int:
        if head.get(b"type") != b"set":
            if head.get(b"type") == b"get":
                self._answer(head)
            return 0
        published = PUBLISHED.search(content)
        if published is None:
            raise LoadError(f"{self.domain}: a publish to no node: {content[:200]!r}")
        self._answer(head)
        number = int(published.group(1))
        self.told[number] += 1
        latencies.append(now - self.said_at[number])
        self.on_publish(number)
        return 1

    def _answer(self, head: dict[bytes, bytes]) -> None:
        self.post(
            b"<iq type='result' id='%b' from='%b' to='%b'/>"
            % (head[b"id"], head[b"to"], head[b"from"])
        )
