"""What waits for a node: one push, into which newer publishes are merged."""

from dataclasses import dataclass, field, replace

from pushd.appserver.extras import kept_call, kept_encrypted, read_call, read_encrypted
from pushd.appserver.publishes import Published
from pushd.providers.contract import Notification
from pushd.storage.table import Table
from pushd.wire.secret import Secret

LIFETIME = 86_400.0  # seconds for which a push is worth sending
RINGS = 60.0  # seconds for which somebody who calls waits; after that it is news like any other


@dataclass(frozen=True, slots=True)
class Push:
    """As it is stored. `version` tells a newer one from one under way.

    Instants are seconds since the epoch.
    """

    node: str = field(repr=False)
    version: int
    message_count: int | None
    subscription_count: int | None
    last_sender: str | None
    last_body: Secret | None
    last_subscriber: str | None
    urgent_until: float | None  # None: it never was
    accepted_at: float
    expires_at: float
    encrypted: Secret | None = None  # as `extras` keeps it
    call: Secret | None = None  # the same

    def is_urgent(self, now: float) -> bool:
        """Whether something still rings: afterwards it is news like any other."""
        return self.urgent_until is not None and self.urgent_until > now

    def notification(self, now: float) -> Notification:
        """What is to be told now. A call that rings no longer is news like any other."""
        is_urgent = self.is_urgent(now)
        encrypted = read_encrypted(self.encrypted)
        if encrypted is not None and not is_urgent:
            encrypted = replace(encrypted, type="")
        return Notification(
            node=self.node,
            message_count=self.message_count,
            pending_subscription_count=self.subscription_count,
            last_message_sender=self.last_sender,
            last_message_body=self.last_body,
            last_subscription_sender=self.last_subscriber,
            urgent=is_urgent,
            expires_at=self.expires_at,
            encrypted=encrypted,
            call=read_call(self.call) if is_urgent else None,
        )


ROWS = Table(Push, key=("node",), name="outbox")


def merged(node: str, old: Push | None, new: Published, now: float) -> Push:
    """The newer publish, with what only the older one says while that is worth saying."""
    push = Push(
        node=node,
        version=1 if old is None else old.version + 1,
        message_count=new.message_count,
        subscription_count=new.subscription_count,
        last_sender=new.last_sender,
        last_body=new.last_body,
        last_subscriber=new.last_subscriber,
        urgent_until=now + RINGS if new.urgent else None,
        accepted_at=now,
        expires_at=now + LIFETIME,
        encrypted=kept_encrypted(new.encrypted),
        call=kept_call(new.call),
    )
    if old is None or old.expires_at <= now:
        return push
    rings = old.call is not None and old.is_urgent(now)
    if rings and new.ends_call:
        rings, old = False, replace(old, call=None, encrypted=None, urgent_until=None)
    # Sender and body are of one message: who tells of messages at all tells of the last one.
    said = (new.message_count, new.last_sender, new.last_body, new.encrypted)
    text = push if said != (None,) * len(said) else old
    # A call stays while it rings, with what is sealed: that tells of it.
    call = old if rings and new.call is None else push
    return replace(
        push,
        message_count=_newest(push.message_count, old.message_count),
        subscription_count=_newest(push.subscription_count, old.subscription_count),
        last_sender=text.last_sender,
        last_body=text.last_body,
        last_subscriber=push.last_subscriber or old.last_subscriber,
        urgent_until=push.urgent_until or old.urgent_until,
        encrypted=call.encrypted if call.call is not None else text.encrypted,
        call=call.call,
    )


def _newest(new: int | None, old: int | None) -> int | None:
    return old if new is None else new
