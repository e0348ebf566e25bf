"""Waiting for the end of a push: whoever tries a device hears what its provider made of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.defer import Deferred

from pushd.routing.events import Events, PushSettled


class Settling:
    """Those who wait, by the nodes of our app server, each of which stands for one device."""

    def __init__(self, events: Events) -> None:
        self._expected: dict[str, list[Deferred[PushSettled]]] = {}
        events.listen(PushSettled, self._settled)

    @contextmanager
    def expecting(self, node: str) -> "Iterator[Deferred[PushSettled]]":
        """Fires with what becomes of the next push to this node; may be cancelled."""
        settled: Deferred[PushSettled] = Deferred()
        expected = self._expected.setdefault(node, [])
        expected.append(settled)
        try:
            yield settled
        finally:
            expected.remove(settled)
            if not expected:
                del self._expected[node]

    def _settled(self, event: PushSettled) -> None:
        for expected in self._expected.get(event.node, ())[:]:
            if not expected.called:
                expected.callback(event)
