"""The way out through an HTTP proxy: a tunnel by CONNECT (RFC 9110 §9.3.6).

What speaks through the tunnel, TLS in most cases, sees a connection like any other. The
proxy looks names up.
"""

import re
from base64 import b64encode
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pushd.config.proxies import Proxy
from pushd.net.faults import unconnected
from pushd.net.http import CONNECT_TIMEOUT, Fault, HTTPError
from pushd.net.once import Once

HEAD_LIMIT = 8192  # bytes of the proxy's answer
TUNNEL_TIMEOUT = 20.0  # seconds for it: the proxy has to look a name up and to connect

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |\r?\n)")
_PRELIMINARY = re.compile(rb"HTTP/1\.[01] 1[0-9]{2}(?: |\r?\n|$)")  # RFC 9110 §15.2


@implementer(IStreamClientEndpoint)
class Tunnel:
    """A host and port, beyond a proxy. Connecting fails with HTTPError."""

    def __init__(self, reactor: Any, proxy: Proxy, host: str, port: int) -> None:
        self._reactor = reactor
        self._proxy = proxy
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        proxy = self._proxy
        opening = _Opening(self._reactor, proxy, self._target, protocolFactory)
        endpoint = HostnameEndpoint(self._reactor, proxy.host, proxy.port, CONNECT_TIMEOUT)
        connecting = endpoint.connect(Once(opening))

        def cancel(_: object) -> None:
            connecting.cancel()
            opening.give_up()

        opening.done = Deferred(cancel)

        def failed(failure: Failure) -> None:
            if not opening.done.called:
                opening.done.errback(_unreachable(proxy, failure))

        connecting.addErrback(failed)
        return opening.done


class _Opening(Protocol):
    """Asks for the tunnel, then hands the connection over and passes on what comes."""

    done: Deferred[Any]

    def __init__(
        self, clock: IReactorTime, proxy: Proxy, target: str, factory: IProtocolFactory
    ) -> None:
        self._clock = clock
        self._proxy = proxy
        self._target = target
        self._factory = factory
        self._head = b""
        self._passed = 0  # bytes of preliminary answers
        self._within: IProtocol | None = None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._timer = self._clock.callLater(
            TUNNEL_TIMEOUT,
            self._refuse,
            HTTPError(
                Fault.PROXY, f"the proxy {self._proxy} does not answer within {TUNNEL_TIMEOUT:g} s"
            ),
        )
        transport.write(_request(self._proxy, self._target))

    def dataReceived(self, data: bytes) -> None:
        if self._within is not None:
            self._within.dataReceived(data)
            return
        if self.done.called:
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        while end and _PRELIMINARY.match(head) and self._passed + len(head) <= HEAD_LIMIT:
            self._passed += len(head)
            self._head = rest
            head, end, rest = rest.partition(b"\r\n\r\n")
        if self._passed + len(head) > HEAD_LIMIT:
            self._refuse(HTTPError(Fault.PROXY, f"the proxy {self._proxy} sends too long a head"))
        elif end:
            self._head = b""
            self._judge(head + end, rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        if self._within is not None:
            self._within.connectionLost(reason)
        elif not self.done.called:
            self._fail(HTTPError(Fault.PROXY, f"the proxy {self._proxy} hung up"))

    def give_up(self) -> None:
        """Nobody wants the tunnel any more."""
        self._stop_timer()
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def _judge(self, head: bytes, rest: bytes) -> None:
        match = _STATUS.match(head)
        if match is None:
            self._refuse(HTTPError(Fault.PROXY, f"the proxy {self._proxy} does not speak HTTP"))
        elif match[1][:1] == b"2":
            self._hand_over(rest)
        else:
            self._refuse(_refusal(self._proxy, int(match[1])))

    def _hand_over(self, rest: bytes) -> None:
        self._stop_timer()
        transport: Any = self.transport
        within = self._factory.buildProtocol(transport.getPeer())
        if within is None:
            self._refuse(HTTPError(Fault.BROKEN, "the connection was not wanted any more"))
            return
        self._within = within
        within.makeConnection(transport)
        self.done.callback(within)
        if rest:
            within.dataReceived(rest)

    def _refuse(self, error: HTTPError) -> None:
        self._fail(error)
        self.give_up()

    def _fail(self, error: HTTPError) -> None:
        if not self.done.called:
            self.done.errback(error)

    def _stop_timer(self) -> None:
        timer = getattr(self, "_timer", None)
        if timer is not None and timer.active():
            timer.cancel()


def _request(proxy: Proxy, target: str) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.user:
        pair = f"{proxy.user}:{proxy.password.reveal()}"
        lines.append(f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


def _refusal(proxy: Proxy, status: int) -> HTTPError:
    fault = Fault.BEYOND
    if status == 407:
        fault = Fault.PROXY
        says = "asks for a user name and a password"
        if proxy.user:
            says = "does not take our user name and password"
    elif status in (502, 503, 504):
        says = "does not get through to the host"
    else:
        says = "opens no tunnel to the host"
    return HTTPError(fault, f"the proxy {proxy} {says} (HTTP {status})")


def _unreachable(proxy: Proxy, failure: Failure) -> HTTPError:
    match failure.value:
        case TimeoutError():
            return HTTPError(
                Fault.PROXY, f"the proxy {proxy} takes no connection within {CONNECT_TIMEOUT:g} s"
            )
        case DNSLookupError():
            return HTTPError(Fault.PROXY, f"the proxy {proxy} has no address")
        case ConnectError() as error:
            return HTTPError(Fault.PROXY, f"the proxy {proxy}{unconnected(error)}")
        case error:
            return HTTPError(Fault.PROXY, f"the proxy {proxy}: {type(error).__name__}")
