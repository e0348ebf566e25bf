"""What a device is to learn, before any push network puts it into its own words."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pushd.wire.secret import Secret

TIGASE_NAMES = {
    "message-count": "unread-messages",
    "last-message-sender": "sender",
    "last-message-body": "body",
}


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What the device alone can read, as its account's server sealed it (tigase:push:encrypt:0)."""

    data: Secret  # base64: the ciphertext and its tag
    iv: str  # base64
    type: str = ""  # "voip" if it is of a call
    quiet: bool = False  # nothing that a person is to be shown


@dataclass(frozen=True, slots=True)
class Call:
    """Somebody is calling (XEP-0353), in as far as the account's server tells of it."""

    sid: str = ""
    media: tuple[str, ...] = ()  # such as audio, video
    sender: str | None = None  # the caller, where senders are told


@dataclass(frozen=True, slots=True)
class Notification:
    """What a device is to learn. None is "not told", which is not the same as nought."""

    node: str = field(repr=False)  # names the registration; its device knows it
    message_count: int | None = None
    pending_subscription_count: int | None = None
    last_message_sender: str | None = None
    last_message_body: Secret | None = None
    last_subscription_sender: str | None = None
    urgent: bool = False  # somebody is calling
    expires_at: float | None = None  # nobody wants to know after this
    encrypted: Encrypted | None = None
    call: Call | None = None  # only while it rings
    # Of a device that registered as Tigase's do: they find their account by it, and call what
    # is told as Tigase's push component does.
    account: str | None = None

    @property
    def is_visible(self) -> bool:
        """Is there anything that a person could be shown?"""
        return bool(
            self.message_count
            or self.pending_subscription_count
            or self.last_message_sender
            or self.last_message_body
            or self.last_subscription_sender
            or (self.encrypted and not self.encrypted.quiet)
            or self.call
        )

    def summary(self, bodies: bool = True, senders: bool = True) -> dict[str, int | str]:
        """The registered names of XEP-0357 §10.2, and `last-subscription-sender`.

        Counts are whole numbers. What is not told has no entry.
        """
        body = self.last_message_body
        told: dict[str, int | str | None] = {
            "message-count": self.message_count,
            "pending-subscription-count": self.pending_subscription_count,
            "last-message-sender": self.last_message_sender if senders else None,
            "last-subscription-sender": self.last_subscription_sender if senders else None,
            "last-message-body": body.reveal() if bodies and body is not None else None,
        }
        names = {} if self.account is None else TIGASE_NAMES
        return {names.get(name, name): value for name, value in told.items() if value is not None}

    def sealed(self) -> dict[str, int | str]:
        """What is encrypted, named as Tigase's push component names it for its apps, and for
        which account it is where the device asks for that."""
        told: dict[str, int | str] = {} if self.account is None else {"account": self.account}
        if self.encrypted is not None:
            told |= {"encrypted": self.encrypted.data.reveal(), "iv": self.encrypted.iv}
            if self.encrypted.type:
                told["encrypted-type"] = self.encrypted.type
        return told

    def called(self, senders: bool = True) -> dict[str, int | str]:
        """What is told of a call; several media are set apart by commas."""
        if self.call is None:
            return {}
        told = {
            "call-sid": self.call.sid,
            "call-media": ",".join(self.call.media),
            "call-sender": (self.call.sender or "") if senders else "",
        }
        return {name: value for name, value in told.items() if value}

    def summaries(self, shrink: bool = False) -> Iterator[dict[str, int | str]]:
        """Less and less of it, until it fits: first without the body, then without the
        senders, then without what is encrypted, then nothing. To `shrink` is to begin with
        the counts and the call alone."""
        if not shrink:
            yield self.summary() | self.called() | self.sealed()
            yield self.summary(bodies=False) | self.called() | self.sealed()
        counts = self.summary(bodies=False, senders=False) | self.called(False)
        if not shrink:
            yield counts | self.sealed()
        yield counts | ({} if self.account is None else {"account": self.account})
        yield {}

    @property
    def occasion(self) -> str:
        """What a person is to be told of: "call", "message" or "contact"; "" for nothing.

        What is urgent and tells of nothing else is a call.
        """
        if self.call is not None or (self.urgent and not self.is_visible):
            return "call"
        if self.message_count or self.last_message_sender or self.last_message_body:
            return "message"
        if self.pending_subscription_count or self.last_subscription_sender:
            return "contact"
        return "message" if self.is_visible else ""  # an encrypted one
