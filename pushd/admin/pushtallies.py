"""What happened to pushes since the start, from the decision to the answer of a provider.

Labels come from small closed sets. What another server has worded is held to such a set here.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from itertools import accumulate

from pushd.providers.reports import Alarm, Attempt
from pushd.routing.events import (
    DeviceRegistered,
    DeviceUnregistered,
    Events,
    PublishAnswered,
    PublishReceived,
    PushDecided,
    PushDisabled,
    PushEnabled,
    PushSettled,
)
from pushd.wire import errors

# Seconds; the upper end of each bucket.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
MOST_REASONS = 60  # different ones; what comes after is "other"
CONDITIONS = frozenset(
    kind.condition
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.StanzaError)
)


class Durations:
    """How long things took."""

    __slots__ = ("_counts", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0  # in all
        self._counts = [0] * (len(BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        self.seconds += seconds
        self._counts[bisect_left(BOUNDS, seconds)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """The upper end of each, and how many took no longer."""
        ends = [*map(str, BOUNDS), "+Inf"]
        return list(zip(ends, map(float, accumulate(self._counts)), strict=True))


class PushTallies:
    """Counts by name; each key is the tuple of its labels."""

    def __init__(self, events: Events) -> None:
        self.decided: Counter[tuple[str, str]] = Counter()  # by "yes" or "no", and reason
        self.published: Counter[tuple[str, str]] = Counter()  # by outcome and condition
        self.answered = Durations()  # from a stanza to the answer of a service that took it
        self.received: Counter[tuple[str, str]] = Counter()  # by outcome and reason
        self.settled: Counter[tuple[str, str]] = Counter()  # by backend and outcome
        # From the publish to a provider that took it, by backend.
        self.delivered: defaultdict[str, Durations] = defaultdict(Durations)
        self.attempts: Counter[tuple[str, str]] = Counter()  # by backend and outcome
        self.exchanges: Counter[str] = Counter()  # by backend
        self.seconds: defaultdict[str, float] = defaultdict(float)  # that these took
        self.alarms: Counter[str] = Counter()  # by backend
        self.enabled = 0
        self.disabled = 0
        self.registered = 0
        self.unregistered = 0
        events.listen(PushDecided, self._decided)
        events.listen(PublishAnswered, self._answered)
        events.listen(PublishReceived, self._received)
        events.listen(PushSettled, self._settled)
        events.listen(Attempt, self._attempted)
        events.listen(Alarm, self._alarmed)
        events.listen(PushEnabled, self._enabled)
        events.listen(PushDisabled, self._disabled)
        events.listen(DeviceRegistered, self._registered)
        events.listen(DeviceUnregistered, self._unregistered)

    def _decided(self, event: PushDecided) -> None:
        _count(self.decided, "yes" if event.pushed else "no", event.reason)

    def _answered(self, event: PublishAnswered) -> None:
        condition = event.condition
        if condition and condition not in CONDITIONS:
            condition = "other"
        self.published[event.outcome, condition] += 1
        if event.outcome == "accepted":
            self.answered.add(event.seconds)

    def _received(self, event: PublishReceived) -> None:
        _count(self.received, event.outcome, event.reason)

    def _settled(self, event: PushSettled) -> None:
        self.settled[event.backend, event.outcome] += 1
        if event.outcome == "accepted":
            self.delivered[event.backend].add(event.seconds)

    def _attempted(self, event: Attempt) -> None:
        self.attempts[event.backend, event.verdict] += 1
        self.exchanges[event.backend] += 1
        self.seconds[event.backend] += event.seconds

    def _alarmed(self, event: Alarm) -> None:
        self.alarms[event.backend] += 1

    def _enabled(self, event: PushEnabled) -> None:
        self.enabled += event.is_new

    def _disabled(self, event: PushDisabled) -> None:
        self.disabled += 1

    def _registered(self, event: DeviceRegistered) -> None:
        self.registered += event.is_new

    def _unregistered(self, event: DeviceUnregistered) -> None:
        self.unregistered += 1


def _count(counts: Counter[tuple[str, str]], what: str, why: str) -> None:
    key = (what, why)
    if key not in counts and len(counts) >= MOST_REASONS:
        key = (what, "other")
    counts[key] += 1
