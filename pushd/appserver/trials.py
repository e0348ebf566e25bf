"""Test pushes: something to show on a device, and word of what became of it."""

from twisted.internet.defer import Deferred

from pushd.appserver.outbox import Outbox
from pushd.appserver.publishes import Published
from pushd.appserver.registrations import Registration
from pushd.routing.events import Events, PushSettled
from pushd.wire.secret import Secret

TEXT = "This is a test push."


class Trials:
    """Those that are under way, by their nodes."""

    def __init__(self, events: Events, outbox: Outbox) -> None:
        self._outbox = outbox
        self._asked: dict[str, list[Deferred[PushSettled]]] = {}
        events.listen(PushSettled, self._settled)

    async def send(self, registration: Registration, sender: str) -> PushSettled:
        """Push to a device; returns when its provider has answered, or it is given up.

        It takes the way of every push: limits, pauses and retries hold for it. If something
        waits for the device already, that is what is sent. May be cancelled, which does not
        take the push back. Raises StorageError when the push cannot be kept.
        """
        waits = registration.node in self._outbox
        what = Published() if waits else Published(last_sender=sender, last_body=Secret(TEXT))
        node = registration.node
        settled: Deferred[PushSettled] = Deferred()
        self._asked.setdefault(node, []).append(settled)
        try:
            await self._outbox.accept(registration, what)
            return await settled
        finally:
            self._forget(node, settled)

    def _settled(self, event: PushSettled) -> None:
        for asked in self._asked.get(event.node, [])[:]:
            asked.callback(event)

    def _forget(self, node: str, settled: Deferred[PushSettled]) -> None:
        asked = self._asked.get(node, [])
        if settled in asked:
            asked.remove(settled)
        if not asked:
            self._asked.pop(node, None)
