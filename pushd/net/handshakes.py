"""TLS handshakes, which cost the server most of all that strangers can ask for.

However many of them come at once, a turn of the reactor works on a few, so that those who
have a session hardly notice; one that is not done in time is cut.
"""

import weakref
from collections import OrderedDict, deque
from functools import partial

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol

log = Logger()

AT_ONCE = 8  # messages of handshakes that are worked on in one turn of the reactor
MOST_BYTES = 65_536  # that may wait for their turn: a client's whole handshake is smaller
DONE = b"SSL negotiation finished successfully"

Reference = weakref.ReferenceType[TLSMemoryBIOProtocol]


class Handshakes:
    """The handshakes of all doors. One may take `timeout` seconds, which may change."""

    def __init__(self, clock: IReactorTime, timeout: float = 10.0) -> None:
        self.timeout = timeout
        self._clock = clock
        self._left = AT_ONCE  # of this turn
        self._is_counting = False
        self._waiting: OrderedDict[TLSMemoryBIOProtocol, bytes] = OrderedDict()
        self._begun: deque[tuple[float, Reference]] = deque()  # and when they have to be done
        self._timer: IDelayedCall | None = None

    def attend(self, protocol: TLSMemoryBIOProtocol) -> None:
        """Take a connection in hand, until its handshake is done."""
        reference = weakref.ref(protocol)
        setattr(protocol, "dataReceived", partial(self._take, reference))  # noqa: B010
        self._begun.append((self._clock.seconds() + self.timeout, reference))
        if self._timer is None:
            self._timer = self._clock.callLater(self.timeout, self._look)

    def _take(self, reference: Reference, data: bytes) -> None:
        """Bytes came: work on them, or have them wait for their turn."""
        protocol = reference()
        if protocol is None:
            return
        if self._left and not self._waiting:
            self._work(protocol, data)
            return
        waiting = self._waiting.get(protocol, b"") + data
        if len(waiting) > MOST_BYTES:
            self._waiting.pop(protocol, None)
            protocol.abortConnection()
        else:
            self._waiting[protocol] = waiting

    def _work(self, protocol: TLSMemoryBIOProtocol, data: bytes) -> None:
        self._left -= 1
        if not self._is_counting:
            self._is_counting = True
            self._clock.callLater(0, self._next_turn)
        if not protocol.connected:
            return
        type(protocol).dataReceived(protocol, data)
        connection = protocol.getHandle()
        if connection is None or connection.get_state_string() == DONE:
            vars(protocol).pop("dataReceived", None)

    def _next_turn(self) -> None:
        self._is_counting = False
        self._left = AT_ONCE
        while self._waiting and self._left:
            protocol, data = self._waiting.popitem(last=False)
            try:
                self._work(protocol, data)
            except Exception:  # noqa: BLE001 - the others still have their turn
                log.failure("a handshake failed")
                protocol.abortConnection()

    def _look(self) -> None:
        """Cut what is not done in time."""
        self._timer = None
        now = self._clock.seconds()
        while self._begun and self._begun[0][0] <= now:
            _, reference = self._begun.popleft()
            protocol = reference()
            if protocol is not None and protocol.connected and "dataReceived" in vars(protocol):
                protocol.abortConnection()
        if self._begun:
            self._timer = self._clock.callLater(self._begun[0][0] - now, self._look)
