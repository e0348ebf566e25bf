"""Waiting for the end of a push: whoever tries a device hears what its provider made of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.defer import Deferred

from pushd.routing.events import Events, PushSettled


class Settling:
    """Those who wait, by account and node of our app server: that is one device of it."""

    def __init__(self, events: Events) -> None:
        self._expected: dict[tuple[str, str], list[Deferred[PushSettled]]] = {}
        events.listen(PushSettled, self._settled)

    @contextmanager
    def expecting(self, account: str, node: str) -> "Iterator[Deferred[PushSettled]]":
        """Fires with what becomes of the next push to this node; may be cancelled."""
        key = (account, node)
        settled: Deferred[PushSettled] = Deferred()
        expected = self._expected.setdefault(key, [])
        expected.append(settled)
        try:
            yield settled
        finally:
            expected.remove(settled)
            if not expected:
                del self._expected[key]

    def _settled(self, event: PushSettled) -> None:
        for expected in self._expected.get((event.account, event.node), ())[:]:
            if not expected.called:
                expected.callback(event)
