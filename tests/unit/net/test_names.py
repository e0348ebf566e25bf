"""Addresses of hosts, and who waits for whom."""

import socket
import threading
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IHostResolution, IResolutionReceiver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from pushd.net.names import THREADS, Names
from tests.patience import LONGEST

STREAM = socket.SOCK_STREAM


@implementer(IResolutionReceiver)
class Receiver:
    """Collects addresses; `done` fires with all of them."""

    def __init__(self) -> None:
        self.began: list[IHostResolution] = []
        self.addresses: list[Any] = []
        self.done: Deferred[list[Any]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N803
        self.began.append(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.done.callback(self.addresses)


class Book:
    """A name service, silent about names that begin with "silent" until it is told to speak."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.speaks = threading.Event()

    def __call__(self, host: str, port: int, type: int) -> list[Any]:
        self.asked.append(host)
        if host.startswith("silent"):
            self.speaks.wait(LONGEST)
        if host == "nowhere.example":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        if host == "unheard.example":
            raise socket.gaierror(socket.EAI_AGAIN, "temporary failure")
        if host == "bad..example":
            raise UnicodeError("label too long")
        return [
            (socket.AF_INET6, STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_UNIX, STREAM, 0, "", "/dev/null"),
        ]


class NamesTest(TestCase):
    timeout = LONGEST

    def setUp(self) -> None:
        self.book = Book()
        self.names = Names(reactor, self.book)  # type: ignore[arg-type]
        self.addCleanup(self.book.speaks.set)

    def ask(self, host: str, *types: Any) -> Receiver:
        receiver = Receiver()
        self.names.resolveHostName(receiver, host, 443, types or None)
        return receiver

    async def test_a_name_has_its_addresses_in_their_order(self) -> None:
        receiver = self.ask("push.example")
        assert [one.name for one in receiver.began] == ["push.example"]
        assert await receiver.done == [
            IPv6Address("TCP", "::1", 443, 0, 0),
            IPv4Address("TCP", "127.0.0.1", 443),
        ]

    async def test_only_the_kinds_that_were_asked_for_are_told(self) -> None:
        assert await self.ask("push.example", IPv4Address).done == [
            IPv4Address("TCP", "127.0.0.1", 443)
        ]

    async def test_a_name_that_is_none_has_no_addresses(self) -> None:
        assert await self.ask("nowhere.example").done == []
        assert await self.ask("bad..example").done == []

    async def test_a_name_of_which_nothing_is_heard_is_told_from_one_that_is_none(self) -> None:
        for host, is_answered in (
            ("nowhere.example", True),
            ("bad..example", True),
            ("push.example", True),
            ("unheard.example", False),
        ):
            receiver = self.ask(host)
            await receiver.done
            (resolution,) = receiver.began
            assert resolution.is_answered is is_answered, host  # type: ignore[attr-defined]

    async def test_who_asks_for_the_same_name_meanwhile_shares_its_lookup(self) -> None:
        receivers = [self.ask("silent.example") for _ in range(50)]
        self.book.speaks.set()
        found = [await receiver.done for receiver in receivers]
        assert self.book.asked == ["silent.example"]
        assert all(len(addresses) == 2 for addresses in found)
        await self.ask("silent.example").done
        assert self.book.asked == ["silent.example"] * 2

    async def test_a_silent_name_keeps_neither_other_names_nor_other_work_waiting(self) -> None:
        silent = [self.ask("silent.example") for _ in range(100)]
        assert len(await self.ask("push.example").done) == 2
        assert await deferToThread(lambda: "a password") == "a password"
        assert not any(receiver.done.called for receiver in silent)
        self.book.speaks.set()
        await DeferredList([receiver.done for receiver in silent])

    async def test_no_more_names_are_looked_up_at_a_time_than_there_are_threads(self) -> None:
        silent = [self.ask(f"silent-{number}.example") for number in range(THREADS + 5)]
        waiting = self.ask("push.example")
        assert len([t for t in threading.enumerate() if t.name == "names"]) == THREADS
        self.book.speaks.set()
        assert len(await waiting.done) == 2
        await DeferredList([receiver.done for receiver in silent])
        assert len(self.book.asked) == THREADS + 6

    async def test_connections_are_made_by_it(self) -> None:
        real: Any = reactor
        port = real.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(real.installNameResolver, real.installNameResolver(self.names))
        endpoint = HostnameEndpoint(reactor, b"push.example", port.getHost().port)
        protocol = await connectProtocol(endpoint, Protocol())
        protocol.transport.abortConnection()
        with pytest.raises(DNSLookupError):
            await connectProtocol(HostnameEndpoint(reactor, b"nowhere.example", 1), Protocol())

    async def test_who_asks_apart_waits_for_nobody_here(self) -> None:
        silent = [self.ask(f"silent-{number}.example") for number in range(THREADS)]
        receiver = Receiver()
        self.names.apart().resolveHostName(receiver, "push.example", 443)
        assert len(await receiver.done) == 2
        self.book.speaks.set()
        await DeferredList([one.done for one in silent])
