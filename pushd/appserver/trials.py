"""Test pushes: something to show on a device, and word of what became of it."""

from pushd.appserver.outbox import Outbox
from pushd.appserver.publishes import Published
from pushd.appserver.registrations import Registration
from pushd.routing.events import Events, PushSettled
from pushd.routing.settling import Settling
from pushd.wire.secret import Secret

TEXT = "This is a test push."


class Trials:
    """Sends them."""

    def __init__(self, events: Events, outbox: Outbox) -> None:
        self._outbox = outbox
        self._settling = Settling(events)

    async def send(self, registration: Registration, sender: str) -> PushSettled:
        """Push to a device; returns when its provider has answered, or it is given up.

        It takes the way of every push: limits, pauses and retries hold for it. If something
        waits for the device already, that is what is sent. May be cancelled, which does not
        take the push back. Raises StorageError when the push cannot be kept.
        """
        waits = registration.node in self._outbox
        what = Published() if waits else Published(last_sender=sender, last_body=Secret(TEXT))
        with self._settling.expecting(registration.account, registration.called) as settled:
            await self._outbox.accept(registration, what)
            return await settled
