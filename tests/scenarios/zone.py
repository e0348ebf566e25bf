"""A name server on loopback that knows what a test tells it, in a thread of its own."""

import socket
import threading
from typing import Any

from twisted.names import dns


class Zone:
    """Answers by UDP from `records`, by name and kind; of all else, that there is no such name.

    `asked` are the questions that came, as (name, kind).
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], list[Any]] = {}
        self.asked: list[tuple[str, int]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, name="zone", daemon=True).start()

    def address(self, name: str, address: str) -> None:
        record = dns.Record_AAAA(address) if ":" in address else dns.Record_A(address)
        self.records.setdefault((name, record.TYPE), []).append(record)

    def service(
        self, domain: str, host: str, port: int, priority: int = 0, weight: int = 0, kind: str = ""
    ) -> None:
        """A server for servers; of `kind` "s" for direct TLS. The host "." is none."""
        name = f"_xmpp{kind}-server._tcp.{domain}"
        record = dns.Record_SRV(priority, weight, port, host.encode())
        self.records.setdefault((name, dns.SRV), []).append(record)

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(4096)
                answer = self._answer(data)
                self._socket.sendto(answer, peer)
            except OSError:
                return

    def _answer(self, data: bytes) -> bytes:
        message = dns.Message()
        message.fromStr(data)
        (query,) = message.queries
        name = query.name.name.decode().lower()
        self.asked.append((name, query.type))
        found = self.records.get((name, query.type), [])
        known = any(known == name for known, _ in self.records)
        message.answer, message.recAv, message.auth = 1, 1, True
        message.additional = []
        message.rCode = dns.OK if known else dns.ENAME
        message.answers = [
            dns.RRHeader(name.encode(), one.TYPE, dns.IN, 60, one, auth=True) for one in found
        ]
        return bytes(message.toStr())
