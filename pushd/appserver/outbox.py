"""The outbox: accepted pushes, on disk before the publish is answered, sent until they are stale.

One row per node: a newer publish replaces the counts and the text of one that still waits.
What the provider says of a device is told to the account, never to the publisher.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.appserver.pubsub import Published
from pushd.appserver.registrations import Registration, Registrations
from pushd.providers.contract import Accepted, Device, Notification, Unregistered
from pushd.providers.dispatch import Dispatcher
from pushd.storage.sqlite import Database
from pushd.wire.secret import Secret

log = Logger()

LIFETIME = 86_400.0  # seconds for which a push is worth sending

PUT = (
    "INSERT INTO outbox (node, version, message_count, subscription_count, last_sender, "
    "last_body, urgent, accepted_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (node) DO UPDATE SET version = excluded.version, "
    "message_count = excluded.message_count, subscription_count = excluded.subscription_count, "
    "last_sender = excluded.last_sender, last_body = excluded.last_body, "
    "urgent = excluded.urgent, accepted_at = excluded.accepted_at, "
    "expires_at = excluded.expires_at"
)
DELETE = "DELETE FROM outbox WHERE node = ? AND version = ?"
SELECT = (
    "SELECT node, version, message_count, subscription_count, last_sender, last_body, urgent, "
    "accepted_at, expires_at FROM outbox ORDER BY accepted_at"
)


@dataclass(frozen=True, slots=True)
class Push:
    """One row: what waits for a node. `version` tells a newer one from the one under way."""

    node: str
    version: int
    published: Published
    urgent: bool
    accepted_at: float
    expires_at: float

    def notification(self) -> Notification:
        published = self.published
        return Notification(
            node=self.node,
            message_count=published.message_count,
            pending_subscription_count=published.subscription_count,
            last_message_sender=published.last_sender,
            last_message_body=published.last_body,
            last_subscription_sender=published.last_subscription_sender,
            urgent=self.urgent,
            expires_at=self.expires_at,
        )


class Outbox:
    """What was accepted and is not delivered yet."""

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        registrations: Registrations,
        dispatcher: Dispatcher,
        gone: Callable[[Registration, str], None],
    ) -> None:
        self._clock = clock
        self._database = database
        self._registrations = registrations
        self._dispatcher = dispatcher
        self._gone = gone  # called with a registration whose device is no more, and why
        self._waiting: dict[str, Push] = {}
        self._under_way: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    async def load(self) -> None:
        """Take up what the last run left; sent by `start`."""
        for row in await self._database.read(SELECT):
            push = _revived(row)
            self._waiting[push.node] = push

    def start(self) -> None:
        for node in list(self._waiting):
            self._send(node)

    async def accept(self, registration: Registration, published: Published) -> None:
        """Keep a push; returns once it is on disk. Raises StorageError when it cannot be."""
        now = self._clock.seconds()
        old = self._waiting.get(registration.node)
        push = Push(
            node=registration.node,
            version=old.version + 1 if old is not None else 1,
            published=_merged(old.published, published) if old is not None else published,
            urgent=old is not None and old.urgent,
            accepted_at=now,
            expires_at=now + LIFETIME,
        )
        self._waiting[push.node] = push
        self._database.write(
            PUT,
            (
                push.node,
                push.version,
                push.published.message_count,
                push.published.subscription_count,
                push.published.last_sender,
                push.published.last_body.reveal() if push.published.last_body else None,
                int(push.urgent),
                push.accepted_at,
                push.expires_at,
            ),
        )
        await self._database.committed()
        self._send(push.node)

    def _send(self, node: str) -> None:
        if node not in self._under_way:
            self._under_way.add(node)
            sending = Deferred.fromCoroutine(self._deliver(node))
            sending.addErrback(lambda failure: log.failure("sending a push broke", failure))
            sending.addBoth(lambda ignored: self._under_way.discard(node))

    async def _deliver(self, node: str) -> None:
        """Send what waits for a node, and what came meanwhile, one after the other."""
        while (push := self._waiting.get(node)) is not None:
            registration = self._registrations.get(node)
            if registration is None:
                self._done(push)
                return
            sent: list[Push] = []
            outcome = await self._dispatcher.push(
                registration.backend,
                lambda sent=sent: self._latest(node, sent),  # type: ignore[misc]
                lambda: self._device(node),
            )
            last = sent[-1] if sent else push
            if isinstance(outcome, Accepted):
                self._registrations.pushed(node, self._clock.seconds())
            elif isinstance(outcome, Unregistered):
                self._unregister(registration)
            self._done(last)

    def _latest(self, node: str, sent: list[Push]) -> Notification | None:
        """What to say at this moment; remembers which version that was."""
        push = self._waiting.get(node)
        if push is None:
            return None
        sent.append(push)
        return push.notification()

    def _device(self, node: str) -> Device | None:
        registration = self._registrations.get(node)
        if registration is None:
            return None
        return Device(
            token=registration.token,
            app=registration.app,
            fields=registration.fields,
            renewed_at=registration.renewed_at,
        )

    def _unregister(self, used: Registration) -> None:
        """Forget the device, unless it registered anew since the push left."""
        current = self._registrations.get(used.node)
        if current is not None and current.renewed_at == used.renewed_at:
            self._registrations.remove(used.node)
            self._gone(used, "the provider no longer knows the token")

    def _done(self, push: Push) -> None:
        current = self._waiting.get(push.node)
        if current is not None and current.version == push.version:
            del self._waiting[push.node]
            self._database.write(DELETE, (push.node, push.version))

    def forget(self, node: str) -> None:
        """The registration is gone: what waits for it is pointless."""
        push = self._waiting.get(node)
        if push is not None:
            self._done(push)


def _merged(old: Published, new: Published) -> Published:
    """The newer publish, with what only the older one says."""
    text = new if new.last_sender is not None or new.last_body is not None else old
    return replace(
        new,
        message_count=old.message_count if new.message_count is None else new.message_count,
        subscription_count=(
            old.subscription_count if new.subscription_count is None else new.subscription_count
        ),
        last_sender=text.last_sender,
        last_body=text.last_body,
        last_subscription_sender=new.last_subscription_sender or old.last_subscription_sender,
    )


def _revived(row: tuple[object, ...]) -> Push:
    node, version, messages, subscriptions, sender, body, urgent, accepted_at, expires_at = row
    published = Published(
        messages if isinstance(messages, int) else None,
        subscriptions if isinstance(subscriptions, int) else None,
        None if sender is None else str(sender),
        None if body is None else Secret(str(body)),
    )
    return Push(
        node=str(node),
        version=int(str(version)),
        published=published,
        urgent=bool(urgent),
        accepted_at=float(str(accepted_at)),
        expires_at=float(str(expires_at)),
    )
