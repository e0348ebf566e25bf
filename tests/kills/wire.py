"""A client's connection without TLS: stanzas out, elements in, and no more of XMPP than that."""

import base64
import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any
from xml.etree.ElementTree import Element, XMLPullParser

from pushd.wire.sasl import ScramClient
from tests.kills.server import DOMAIN, PASSWORD, PATIENCE

NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
HEADER = (
    f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)


class Lost(Exception):
    """The connection is gone."""


class Wire:
    """One connection, logged in as `user`. `heard` is called with the bytes of each read."""

    def __init__(self, place: tuple[str, int], user: str, heard: Callable[[bytes], None]) -> None:
        self.unread: deque[Element] = deque()
        self._heard = heard
        try:
            self._socket = socket.create_connection(place, PATIENCE)
        except OSError:
            raise Lost from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open()
        scram = ScramClient("SHA-1", user, PASSWORD)
        first = base64.b64encode(scram.first()).decode()
        self.send(f"<auth xmlns='{NS_SASL}' mechanism='{scram.mechanism}'>{first}</auth>")
        challenge = self.next("challenge").text or ""
        final = base64.b64encode(scram.final(base64.b64decode(challenge))).decode()
        self.send(f"<response xmlns='{NS_SASL}'>{final}</response>")
        self.next("success")
        self._open()

    def _open(self) -> None:
        self._parser: XMLPullParser[Any] = XMLPullParser(["start", "end"])
        self._depth = 0
        self.send(HEADER)
        self.next("features")

    def send(self, text: str) -> None:
        try:
            self._socket.sendall(text.encode())
        except OSError:
            raise Lost from None

    def next(self, *names: str) -> Element:
        """Wait for the next element of one of these names; others before it are an error."""
        found = self.wait()
        assert tag(found) in names, f"{tag(found)} came in place of {names}"
        return found

    def wait(self, seconds: float = PATIENCE) -> Element:
        """The next element."""
        until = time.monotonic() + seconds
        while not self.unread:
            left = until - time.monotonic()
            assert left > 0, "nothing came"
            self.read(left)
        return self.unread.popleft()

    def read(self, seconds: float = 0.0) -> None:
        """Take what is there, or comes within so many seconds."""
        ready, _, _ = select.select([self._socket], [], [], seconds)
        if not ready:
            return
        try:
            data = self._socket.recv(1 << 16)
        except OSError:
            raise Lost from None
        if not data:
            raise Lost
        self._heard(data)
        self._parser.feed(data)
        events: Iterable[Any] = self._parser.read_events()
        for event, element in events:
            self._depth += 1 if event == "start" else -1
            if event == "end" and self._depth == 1:
                self.unread.append(element)

    def close(self) -> None:
        self._socket.close()


def tag(element: Element) -> str:
    """The name, without its namespace."""
    return re.sub(r"\{.*\}", "", element.tag)
