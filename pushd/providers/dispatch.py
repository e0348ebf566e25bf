"""From "this device is to know" to a final answer: turns, deadlines, retries, alarms.

One dispatcher serves all backends. Each has its own queue, limits and breaker, so that a
slow one delays no other. Providers translate, the transport carries; what is decided in
between is decided here and in `attempts`, for every provider alike.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.providers.attempts import Push, Result
from pushd.providers.contract import Device, Limits, Notification, Provider, Transport
from pushd.providers.reports import Alarm, Attempt, Health, Recovered, Report
from pushd.providers.services import Backend

log = Logger()


class Dispatcher:
    """Sends notifications through backends. All waiting is on `clock`."""

    def __init__(
        self,
        clock: IReactorTime,
        transport: Transport,
        report: Report | None = None,
        random: Random | None = None,
    ) -> None:
        self._clock = clock
        self._transport = transport
        self._listener = report
        self._random = random or SystemRandom()
        self._backends: dict[str, Backend] = {}

    def add(self, name: str, provider: Provider, limits: Limits | None = None) -> None:
        """Open a backend. `limits` replace the provider's own. Raises ValueError when the
        name is taken."""
        if name in self._backends:
            raise ValueError(f"two backends are called {name}")
        self._backends[name] = Backend(
            name,
            provider,
            limits or provider.limits,
            self._clock,
            self._transport,
            self._random,
            self._report,
        )

    def renew(self, name: str, provider: Provider) -> None:
        """Go on with other credentials, or at another place: a provider of the same type.

        What waits is kept, and what is under way ends as it began; what the old one was in
        trouble with counts no more. Raises KeyError for an unknown backend.
        """
        self._backends[name].renew(provider)

    @property
    def backends(self) -> frozenset[str]:
        """Their names."""
        return frozenset(self._backends)

    def leads_anywhere(self, backend: str) -> bool:
        """Whether devices choose the hosts that it pushes to; False for an unknown backend."""
        found = self._backends.get(backend)
        return found is not None and found.provider.leads_anywhere

    def provider(self, name: str) -> Provider:
        """What a backend translates with now. Raises KeyError for an unknown one."""
        return self._backends[name].provider

    def changed(self, name: str) -> list[Path]:
        """The files of its credential that are others than when they were read.

        Raises KeyError for an unknown one.
        """
        return self._backends[name].sources.changed()

    def lane(self, backend: str, device: Device) -> str:
        """Which queue of a backend a device stands in (`Provider.lane`)."""
        return self._backends[backend].provider.lane(device)

    async def push(
        self,
        backend: str,
        latest: Callable[[], Notification | None],
        device: Callable[[], Device | None],
        lost: Callable[[Device, str, str], None] = lambda device, field, reason: None,
    ) -> Result:
        """Tell the device the latest; come back when that is settled one way or the other.

        `latest` and `device` are looked at several times, and right before each request:
        what `latest` gave last is what was sent. None, from either, withdraws the push.
        `lost` is told of a second token that is dead: the device that had it, the name of its
        field, and why; the push goes on without it.
        Retries go on until the notification's `expires_at`, read afresh each time. At most
        one push a registration is to be under way. Raises KeyError for an unknown backend;
        may be cancelled at any time.
        """
        found = self._backends[backend]
        found.pending += 1
        try:
            return await Push(found, latest, device, lost).run()
        finally:
            found.pending -= 1

    def hurry(self, backend: str, latest: Callable[[], Notification | None]) -> None:
        """What `push` was given this for has become urgent: no pause is longer than it must be.

        Raises KeyError for an unknown backend.
        """
        pausing = self._backends[backend].pausing.get(latest)
        if pausing is not None:
            pausing.hurry()

    def pending(self, backend: str) -> int:
        """How many pushes of this backend have no final answer yet."""
        return self._backends[backend].pending

    def pause(self, backend: str) -> None:
        """Send nothing more. What is under way goes on; what waits may expire."""
        self._backends[backend].pause()

    def resume(self, backend: str) -> None:
        """Send again, whatever the breaker or the service said before."""
        self._backends[backend].resume()

    def health(self, backend: str) -> Health:
        return self._backends[backend].health()

    def close(self) -> None:
        """Stop the timers. Pushes are cancelled, before this, by whoever sent them."""
        for backend in self._backends.values():
            backend.close()

    def _report(self, event: Attempt | Alarm | Recovered) -> None:
        if self._listener is not None:
            try:
                self._listener(event)
            except Exception:  # noqa: BLE001  a listener does not end a push
                log.failure("a report failed")
