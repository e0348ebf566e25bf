"""The connections to one origin (scheme, host, port), and what waits for them.

Mostly one connection: exchanges share it. There are more only where streams run out for a
while. Servers take fast reconnecting for abuse, so pauses grow as long as connections come
to nothing, or to little.
"""

from collections import OrderedDict
from collections.abc import Callable
from random import Random

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.net.faults import fault
from pushd.net.http import Fault, HTTPError
from pushd.net.http2_connection import Connection, Declined, Owner
from pushd.net.http2_exchange import Exchange

log = Logger()

CONNECTIONS = 4  # at a time, beside those that only end what they have
CROWDED_FOR = 1.0  # seconds that exchanges wait for a stream before another connection is opened
FRESH_FOR = 10.0  # seconds; a connection that is younger is fresh enough for who asks for one
STEADY = 60.0  # seconds after which the end of a connection is nothing to worry about
MANY = 100  # answers after which a server that has no complaint may end a connection any time
FIRST_PAUSE = 0.5  # seconds, after the second failure in a row; doubled with each further one
LONGEST_PAUSE = 60.0  # between the beginnings of two attempts
SHORT_PAUSE = 5.0  # the same, where connections were of some use before they ended

CONTENT = "GOAWAY NO_ERROR"  # what a server says that has no complaint

Connect = Callable[[Owner, bool], Deferred[Connection]]


class Origin:
    """An `Owner`. `connect` opens a connection, as the only one or (True) to relieve others."""

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        connect: Connect,
        random: Random,
    ) -> None:
        self._name = name
        self._clock = clock
        self._connect = connect
        self._random = random
        self._waiting: OrderedDict[Exchange, None] = OrderedDict()
        self._connections: list[Connection] = []  # that take exchanges, or will
        self._leaving: set[Connection] = set()
        self._attempt: Deferred[Connection] | None = None  # to connect
        self._failures = 0
        self._tried_at = 0.0  # the last attempt began
        self._opens_at = 0.0  # not to be connected to before
        self._timer: IDelayedCall | None = None  # for the next attempt, or the next look
        self._trouble: HTTPError | None = None  # what the last attempt came to
        self._is_starting = False
        self._is_closed = False
        self._on_end: list[Deferred[None]] = []

    # What the client asks.

    def send(self, exchange: Exchange, fresh: bool = False) -> None:
        """Have it carried. `fresh` is for a connection that is not used yet, or hardly."""
        if fresh:
            self._renew()
        if self._trouble is not None and self._may_open_at() > exchange.until:
            exchange.fail(self._trouble)
            return
        exchange.place = self
        self._waiting[exchange] = None
        self._start()

    def withdraw(self, exchange: Exchange) -> None:
        """Nobody waits for its answer any more, and it was not sent yet."""
        self._waiting.pop(exchange, None)
        self._rest()

    @property
    def is_forgettable(self) -> bool:
        """Has nothing happened here for a while?"""
        return not (
            self._waiting or self._attempt or self._connections or self._leaving
        ) and self._clock.seconds() > max(self._opens_at, self._tried_at + LONGEST_PAUSE)

    @property
    def kept(self) -> list[Connection]:
        """The connections that nobody uses or waits for."""
        return [one for one in self._connections if one.is_kept]

    def close(self) -> Deferred[None]:
        """End each connection with its last exchange. Fires when those without any have ended."""
        self._is_closed = True
        self._rest()
        if not any(connection.load == 0 for connection in self._leaving):
            return succeed(None)
        self._on_end.append(Deferred())
        return self._on_end[-1]

    # What its connections say.

    def has_room(self, connection: Connection) -> None:
        self._trouble = None
        if self._waiting:
            self._start()

    def again(self, exchanges: list[Exchange]) -> None:
        for exchange in reversed(exchanges):
            exchange.stream = 0
            exchange.place = self
            self._waiting[exchange] = None
            self._waiting.move_to_end(exchange, last=False)
        if exchanges:
            self._start()

    def leaves(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._leaving.add(connection)

    def ended(self, connection: Connection, error: HTTPError) -> None:
        was_open = connection.is_ready
        if connection.goodbye not in ("", CONTENT):
            log.info("{origin} ended a connection: {why}", origin=self._name, why=error.text)
        if connection in self._connections:
            self._connections.remove(connection)
        self._leaving.discard(connection)
        lived = self._clock.seconds() - connection.opened_at if was_open else 0.0
        is_content = connection.goodbye == CONTENT and connection.answers >= MANY
        if is_content or (connection.answers and lived >= STEADY):
            self._failures = 0
        else:
            self._pause(SHORT_PAUSE if connection.answers else LONGEST_PAUSE)
        if not was_open:
            self._failed(error)
        if not any(one.load == 0 for one in self._leaving):
            on_end, self._on_end = self._on_end, []
            for waiter in on_end:
                waiter.callback(None)
        self._start()

    # Starting exchanges.

    def _start(self) -> None:
        """Give what waits to whoever takes it, and see to it that someone will."""
        if self._is_starting:  # what is caused by an exchange that starts: the loop sees it
            return
        self._is_starting = True
        try:
            while self._waiting:
                exchange = next(iter(self._waiting))
                taker = self._taker(exchange)
                if taker is None:
                    break
                del self._waiting[exchange]
                taker.start(exchange)
        finally:
            self._is_starting = False
        if self._waiting:
            self._see_to_a_connection()
        else:
            self._rest()

    def _taker(self, exchange: Exchange) -> Connection | None:
        for connection in self._connections:
            if connection.takes(exchange):
                return connection
        return None

    def _see_to_a_connection(self) -> None:
        if self._attempt is not None or any(one.is_promising for one in self._connections):
            return
        if not self._connections:
            self._open()
        elif self._timer is None and self._may_grow():
            self._timer = self._clock.callLater(CROWDED_FOR, self._grow)

    def _may_grow(self) -> bool:
        # A server that allows one at a time may do so until it knows us, as APNs does: more
        # connections of a stranger would be no welcome sight.
        return len(self._connections) < CONNECTIONS and all(
            one.limit > 1 and one.answers for one in self._connections
        )

    def _grow(self) -> None:
        """It was crowded. Is it still, without a pause?"""
        self._timer = None
        if self._waiting and self._connections and self._may_grow():
            self._open()
        elif self._waiting:
            self._start()

    def _renew(self) -> None:
        now = self._clock.seconds()
        for connection in list(self._connections):
            if connection.is_ready and now - connection.opened_at >= FRESH_FOR:
                connection.leave()

    # Connecting.

    def _open(self) -> None:
        self._stop_timer()
        pause = self._may_open_at() - self._clock.seconds()
        if pause > 0:
            self._timer = self._clock.callLater(pause, self._open_now)
        else:
            self._open_now()

    def _open_now(self) -> None:
        self._timer = None
        if not self._waiting or self._attempt is not None:
            return
        self._tried_at = self._clock.seconds()
        self._attempt = attempt = self._connect(self, bool(self._connections))
        attempt.addCallbacks(self._opened, self._not_opened)

    def _opened(self, connection: Connection) -> None:
        """There is a connection; it is of use once it says that it has room."""
        self._attempt = None
        if not connection.is_leaving:
            self._connections.append(connection)
        self._start()

    def _not_opened(self, failure: Failure) -> None:
        self._attempt = None
        reason = fault(failure.value) if isinstance(failure.value, Exception) else None
        if not isinstance(reason, HTTPError):
            reason = HTTPError(Fault.BROKEN, "the attempt to connect was given up")
        if reason.fault is Fault.TIMEOUT:  # that of the attempt, not of those who wait for it
            reason = HTTPError(Fault.UNREACHABLE, reason.text)
        self._pause(LONGEST_PAUSE)
        self._failed(reason)
        self._start()

    def _failed(self, error: HTTPError) -> None:
        """There is no connection: unless there are others, those who wait are told."""
        if any(one.is_ready for one in self._connections):
            return
        if not isinstance(error, Declined):
            self._trouble = error
        waiting, self._waiting = self._waiting, OrderedDict()
        for exchange in waiting:
            exchange.fail(error)

    def _pause(self, longest: float) -> None:
        """Before the next attempt: not after the first failure, longer after each other."""
        self._failures += 1
        if self._failures > 1:
            pause = min(longest, FIRST_PAUSE * 2.0 ** min(self._failures - 2, 16))
            self._opens_at = self._tried_at + pause * self._random.uniform(0.5, 1.0)

    def _may_open_at(self) -> float:
        """When the next attempt may be made; at once where a clock that was wrong says when."""
        now = self._clock.seconds()
        return self._opens_at if self._tried_at <= now else now

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rest(self) -> None:
        """Nothing is to be opened for nobody; what is closed keeps nothing for later."""
        if self._waiting:
            return
        self._stop_timer()
        if self._is_closed:
            if self._attempt is not None:
                self._attempt.cancel()
            for connection in list(self._connections):
                connection.leave()
