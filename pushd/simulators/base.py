"""What every stand-in for a push network has: a record, a script, and a clock.

A stand-in takes the vendor's place in development and in tests. It keeps the vendor's
rules, remembers what it received, and answers as it was told to:

- `Received` is one request; a `Record` keeps the newest of them and lets others wait for more.
- `Answer` is one scripted answer; a `Script` holds them per device token, in order.
- An `Endpoint` is a record and a script; a `Simulator` has one or more endpoints.

Device tokens and messages are there to be read: whoever runs a stand-in made them up. They
stay out of logs and of `repr()` all the same, as somebody will point a real server here.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.simulators.answers import Answer, ScriptError
from pushd.simulators.web import Reply
from pushd.wire.secret import Secret

Act = Callable[[Mapping[str, Any]], Any]  # takes a JSON object, gives what is answered

LIMIT = 10_000  # requests an endpoint remembers
MAX_WAITS = 1_000  # tokens that were asked to wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request, and what became of it.

    `number` counts the requests of an endpoint from 1 and is never used twice; `at` is in
    seconds since the epoch. `status` is the HTTP status it got, or None when the script had
    it cut off or left without an answer; `error` is the vendor's name for what was wrong,
    or "". `authorized_by` is whose credential it carried, "" when it carried none that holds.
    `early` is by how many seconds it came before the Retry-After was over that the last answer
    for its token asked for.
    """

    number: int = 0
    at: float
    token: str = field(repr=False)
    message: Any = field(repr=False)  # the body as decoded JSON, None when it is not JSON
    authorized_by: str = ""
    status: int | None = None
    error: str = ""
    early: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


R = TypeVar("R", bound=Received)


class Record(Generic[R]):
    """The newest requests of an endpoint, oldest first, and those who wait for the next."""

    def __init__(self, clock: IReactorTime, limit: int = LIMIT) -> None:
        self._clock = clock
        self._kept: deque[R] = deque(maxlen=limit)
        self._unseen: deque[R] = deque(maxlen=limit)  # what `next` has yet to give
        self._waiting: list[Deferred[None]] = []
        self.last = 0  # the number of the newest request ever received

    def add(self, received: R) -> R:
        """Keep a request under the next number, drop the oldest one above the limit."""
        self.last += 1
        received = replace(received, number=self.last)
        self._kept.append(received)
        self._unseen.append(received)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)
        return received

    def since(self, number: int = 0, token: str | None = None) -> list[R]:
        """What is kept of the requests after `number`, for `token` or for any."""
        return [
            received
            for received in self._kept
            if received.number > number and token in (None, received.token)
        ]

    async def next(self, token: str | None = None, timeout: float = 10.0) -> R:
        """The oldest request, for `token` or for any, that `next` has not given before.

        A request that came before the call counts, so that nobody can miss one by asking
        a moment too late. Raises TimeoutError when none comes within `timeout` seconds.
        """
        until = self._clock.seconds() + timeout
        while True:
            for received in self._unseen:
                if token in (None, received.token):
                    self._unseen.remove(received)
                    return received
            if not await self.arrival(until - self._clock.seconds()):
                whose = "" if token is None else f" for {Secret(token)}"
                raise TimeoutError(f"no request{whose} within {timeout:g} s")

    async def arrival(self, timeout: float) -> bool:
        """Wait for the next request: True when it is there, False after `timeout` seconds."""
        if timeout <= 0:
            return False
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        alarm = self._clock.callLater(timeout, waiter.cancel)
        try:
            await waiter
        except CancelledError:
            self._waiting.remove(waiter)
            if alarm.active():  # not the alarm: whoever waited was told to stop
                alarm.cancel()
                raise
            return False
        alarm.cancel()
        return True

    def clear(self) -> int:
        """Forget all requests; gives how many there were. Numbers go on where they were."""
        forgotten = len(self._kept)
        self._kept.clear()
        self._unseen.clear()
        return forgotten

    def close(self) -> None:
        """Send away everyone who waits."""
        for waiter in list(self._waiting):
            waiter.cancel()


class Script:
    """What an endpoint was told to answer: per token, in order, each answer its number of times.

    Answers for no token in particular serve any token that has none of its own left. When
    nothing is left, the endpoint accepts what its vendor would accept.
    """

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        self._answers: dict[str | None, deque[tuple[Answer, int | None]]] = {}

    def add(self, token: str | None, answers: Iterable[Answer]) -> None:
        """Append answers for a token, or for any (None): all of them, or none.

        Raises ScriptError for an error that this endpoint does not know.
        """
        answers = list(answers)
        for answer in answers:
            if answer.error and answer.error not in self.errors:
                raise ScriptError(
                    f"unknown error {answer.error!r}; known are {', '.join(self.errors)}"
                )
        if answers:
            waiting = self._answers.setdefault(token, deque())
            waiting.extend((answer, answer.times) for answer in answers)

    def take(self, token: str | None) -> Answer | None:
        """The answer that is due now, or None when nothing is scripted for this token."""
        for whose in (token, None):
            waiting = self._answers.get(whose)
            if waiting is None:
                continue
            answer, left = waiting[0]
            if left is not None:
                waiting.popleft()
                if left > 1:
                    waiting.appendleft((answer, left - 1))
                elif not waiting:
                    del self._answers[whose]
            return answer
        return None

    def waiting(self) -> list[tuple[str | None, list[Answer]]]:
        """What is left, each answer with the number of times it is still due."""
        return [
            (token, [replace(answer, times=left) for answer, left in answers])
            for token, answers in self._answers.items()
        ]

    def clear(self) -> None:
        self._answers.clear()


class Endpoint(Generic[R]):
    """One of a vendor's endpoints: what it received, and how it was told to answer."""

    def __init__(self, clock: IReactorTime, errors: Iterable[str], limit: int = LIMIT) -> None:
        self.record: Record[R] = Record(clock, limit)
        self.script = Script(errors)
        self._waits: OrderedDict[str, float] = OrderedDict()  # until when, by token

    def early(self, token: str, now: float, pause: float) -> float:
        """By how many seconds a request comes too early; its answer asks for this pause."""
        early = max(self._waits.pop(token, 0.0) - now, 0.0)
        if pause:
            self._waits[token] = now + pause
            if len(self._waits) > MAX_WAITS:
                self._waits.popitem(last=False)
        return early


class Simulator(Generic[R]):
    """A stand-in for one push network.

    `base_url` may be set once the port is known; nothing of it is read before a request
    comes or a credential is asked for. `endpoints` has the vendor's endpoints by the name
    that /control knows them by; `messages` is the one where notifications come in.
    """

    type: ClassVar[str]  # as in the configuration of providers
    vendor: ClassVar[str]  # who is stood in for, in words
    states_known: ClassVar[tuple[str, ...]] = ()  # errors that a token may have come to for good
    _log = Logger()

    def __init__(self, clock: IReactorTime, base_url: str, messages: Endpoint[R]) -> None:
        self.clock = clock
        self._base_url = base_url.rstrip("/")
        self.messages = messages
        self.endpoints: dict[str, Endpoint[Any]] = {"messages": messages}
        self.states: dict[str, str] = {}  # the name of an error, by token

    @property
    def base_url(self) -> str:
        """Where the stand-in is reached: scheme, host and port, without a slash at the end."""
        return self._base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._base_url = url.rstrip("/")

    @property
    def requests(self) -> list[R]:
        """The notifications received, oldest first, those that were refused included."""
        return self.messages.record.since()

    def script(self, token: str | None, *answers: Answer) -> None:
        """Have the next valid requests for `token` (None: for any) answered so, in order.

        What the vendor would refuse anyway is refused as ever and uses up no answer: a
        script never hides a mistake of the sender's. Raises ScriptError.
        """
        self.messages.script.add(token, answers)

    def due(self, token: str) -> tuple[Answer | None, str]:
        """What a valid request for `token` is to be answered: the script's answer if there is
        one, and the name of an error, "" for none. What the token has come to goes first."""
        state = self.states.get(token)
        if state is not None:
            return None, state
        answer = self.messages.script.take(token)
        return answer, "" if answer is None else answer.error

    def set_state(self, token: str, state: str) -> None:
        """Have all requests for `token` refused so from here on; "" makes it well again.

        Raises ScriptError.
        """
        if state not in ("", *self.states_known):
            known = ", ".join(self.states_known)
            raise ScriptError(f"a token here may be {known} or '', but not {state!r}")
        self.states.pop(token, None)
        if state:
            self.states[token] = state

    async def next_request(self, token: str | None = None, timeout: float = 10.0) -> R:
        """The oldest notification that this has not given before; see `Record.next`."""
        return await self.messages.record.next(token, timeout)

    def forget(self) -> None:
        """Drop every record, every script, and what tokens have come to."""
        for endpoint in self.endpoints.values():
            endpoint.record.clear()
            endpoint.script.clear()
        self.states.clear()

    def about(self) -> Mapping[str, Any]:
        """What else the vendor's page under /control should say."""
        return {}

    def rooms(self) -> Mapping[str, Mapping[str, Act]]:
        """What else is under /control: by name, then by method, what takes a JSON object (an
        empty one without a body) and gives what is answered. It may raise ScriptError."""
        return {}

    def credentials(self) -> Mapping[str, str] | None:
        """What a provider signs in with here, in the vendor's form; None: nothing is needed."""
        return None

    def close(self) -> None:
        """Send away whoever waits for a request."""
        for endpoint in self.endpoints.values():
            endpoint.record.close()

    def received(self, endpoint: Endpoint[Any], received: Received, sent: Reply) -> None:
        """Put a request on record, and a line without secrets in the log. `sent` is the answer."""
        pause = sent.pause(received.at) if received.status else 0.0
        early = endpoint.early(received.token, received.at, pause)
        received = endpoint.record.add(replace(received, early=early))
        self._log.info(
            "{type} stand-in, request {number} for {token}: {status} {error}",
            type=self.type,
            number=received.number,
            token=Secret(received.token),
            status=received.status,
            error=received.error,
        )
