"""The outbox: accepted pushes, on disk before the publish is answered, sent until they are stale.

One row per node: a newer publish replaces the counts and the text of one that still waits.
What the provider says of a device is told to the account, never to the publisher.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.appserver.pubsub import Published
from pushd.appserver.registrations import Registration, Registrations
from pushd.providers.contract import Accepted, Device, Notification, Refused, Unregistered
from pushd.providers.dispatch import Dispatcher, Expired, Result, Withdrawn
from pushd.storage.sqlite import Database
from pushd.storage.table import Table
from pushd.wire.secret import Secret

log = Logger()

LIFETIME = 86_400.0  # seconds for which a push is worth sending


@dataclass(frozen=True, slots=True)
class Push:
    """What waits for a node, as it is stored. `version` tells a newer one from one under way."""

    node: str
    version: int
    message_count: int | None
    subscription_count: int | None
    last_sender: str | None
    last_body: Secret | None
    last_subscriber: str | None
    urgent: bool
    accepted_at: float
    expires_at: float

    def notification(self) -> Notification:
        return Notification(
            node=self.node,
            message_count=self.message_count,
            pending_subscription_count=self.subscription_count,
            last_message_sender=self.last_sender,
            last_message_body=self.last_body,
            last_subscription_sender=self.last_subscriber,
            urgent=self.urgent,
            expires_at=self.expires_at,
        )


ROWS = Table(Push, key=("node",), name="outbox")


class Outbox:
    """What was accepted and is not delivered yet.

    `gone` is called with a registration whose device is no more, and why; it forgets it.
    `settled` is told what became of a push: of which registration, the outcome in one word, a
    reason, and the seconds since it was accepted.
    """

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        registrations: Registrations,
        dispatcher: Dispatcher,
        gone: Callable[[Registration, str], None],
        settled: Callable[[Registration, str, str, float], None],
    ) -> None:
        self._clock = clock
        self._database = database
        self._rows = ROWS.bind(database)
        self._registrations = registrations
        self._dispatcher = dispatcher
        self._gone = gone
        self._settled = settled
        self._waiting: dict[str, Push] = {}
        self._under_way: dict[str, Deferred[None]] = {}

    def __len__(self) -> int:
        """How many pushes wait."""
        return len(self._waiting)

    def __contains__(self, node: object) -> bool:
        """Whether something waits for this node."""
        return node in self._waiting

    def waiting(self) -> list[Push]:
        """What no provider has taken yet, the oldest first."""
        return sorted(self._waiting.values(), key=lambda push: push.accepted_at)

    async def load(self) -> None:
        """Take up what the last run left; sent by `start`."""
        now = self._clock.seconds()
        for push in await self._rows.select():
            self._waiting[push.node] = push
            if push.expires_at <= now:
                self._done(push)

    def start(self) -> None:
        for node in list(self._waiting):
            self._send(node)

    def stop(self) -> None:
        """Send nothing more; what waits stays on disk."""
        for sending in list(self._under_way.values()):
            sending.cancel()

    async def accept(self, registration: Registration, published: Published) -> None:
        """Keep a push; returns once it is on disk. Raises StorageError when it cannot be."""
        node = registration.node
        push = _merged(node, self._waiting.get(node), published, self._clock.seconds())
        self._waiting[node] = push
        self._rows.put(push)
        try:
            await self._database.committed()
        finally:
            self._send(node)

    def forget(self, registration: Registration, reason: str) -> None:
        """The registration is gone: what waits for it is pointless."""
        push = self._waiting.get(registration.node)
        if push is not None:
            self._done(push)
            waited = self._clock.seconds() - push.accepted_at
            self._settled(registration, "unregistered", reason, waited)

    def _send(self, node: str) -> None:
        if node not in self._under_way:  # else it is looked at again before that ends
            sending = Deferred.fromCoroutine(self._deliver(node))
            self._under_way[node] = sending
            sending.addBoth(self._ended, node)

    def _ended(self, result: Failure | None, node: str) -> None:
        del self._under_way[node]
        if result is not None and not result.check(CancelledError):
            log.failure("sending a push broke", result)

    async def _deliver(self, node: str) -> None:
        """Send what waits for a node, and what came meanwhile, one after the other."""
        while (push := self._waiting.get(node)) is not None:
            registration = self._registrations.get(node)
            if registration is None:
                self._done(push)
            elif registration.backend not in self._dispatcher.backends:
                return  # kept, lest its app be served again while it is worth sending
            else:
                sending = _Sending(push, registration, self._waiting, self._registrations)
                result = await self._dispatcher.push(
                    registration.backend, sending.latest, sending.device
                )
                self._settle(sending, result)

    def _settle(self, sending: "_Sending", result: Result) -> None:
        now = self._clock.seconds()
        reason = ""
        match result:
            case Withdrawn():
                return  # there is nothing left to send, or another backend to send it
            case Unregistered(reason=reason):
                self._bury(sending.registration, reason)
                return
            case Accepted():
                self._registrations.pushed(sending.push.node, now)
            case Refused(reason=reason) | Expired(reason=reason):
                log.info(
                    "a push for {account} came to nothing: {result}: {reason}",
                    account=sending.registration.account,
                    result=type(result).__name__.lower(),
                    reason=reason,
                )
        self._done(sending.push)
        outcome = type(result).__name__.lower()
        self._settled(sending.registration, outcome, reason, now - sending.push.accepted_at)

    def _bury(self, used: Registration, reason: str) -> None:
        """Forget the device; if it registered anew since the push left, that is sent again."""
        current = self._registrations.get(used.node)
        if (
            current is not None
            and current.token == used.token
            and current.renewed_at == used.renewed_at
        ):
            said = f": {reason}" if reason else ""
            self._gone(current, f"the provider no longer knows the token{said}")

    def _done(self, push: Push) -> None:
        current = self._waiting.get(push.node)
        if current is not None and current.version == push.version:
            del self._waiting[push.node]
            self._rows.delete(push.node)


class _Sending:
    """One call of the dispatcher: what it was told last, and of which registration."""

    def __init__(
        self,
        push: Push,
        registration: Registration,
        waiting: dict[str, Push],
        registrations: Registrations,
    ) -> None:
        self.push = push
        self.registration = registration
        self._waiting = waiting
        self._registrations = registrations

    def latest(self) -> Notification | None:
        """What to say at this moment."""
        push = self._waiting.get(self.push.node)
        if push is None:
            return None
        self.push = push
        return push.notification()

    def device(self) -> Device | None:
        """To whom; None when it is another backend's business by now."""
        current = self._registrations.get(self.push.node)
        if current is None or current.backend != self.registration.backend:
            return None
        self.registration = current
        return Device(
            token=current.token,
            app=current.app,
            fields=current.provider_fields(),
            renewed_at=current.renewed_at,
        )


def _merged(node: str, old: Push | None, new: Published, now: float) -> Push:
    """The newer publish, with what only the older one says while that is worth saying."""
    push = Push(
        node=node,
        version=1 if old is None else old.version + 1,
        message_count=new.message_count,
        subscription_count=new.subscription_count,
        last_sender=new.last_sender,
        last_body=new.last_body,
        last_subscriber=new.last_subscriber,
        urgent=new.urgent,
        accepted_at=now,
        expires_at=now + LIFETIME,
    )
    if old is None or old.expires_at <= now:
        return push
    # Sender and body are of one message: who tells of messages at all tells of the last one.
    tells = (new.message_count, new.last_sender, new.last_body) != (None, None, None)
    text = push if tells else old
    return replace(
        push,
        message_count=_newest(push.message_count, old.message_count),
        subscription_count=_newest(push.subscription_count, old.subscription_count),
        last_sender=text.last_sender,
        last_body=text.last_body,
        last_subscriber=push.last_subscriber or old.last_subscriber,
        urgent=push.urgent or old.urgent,
    )


def _newest(new: int | None, old: int | None) -> int | None:
    return old if new is None else new
