"""What a push network is to the rest of pushd: a translator, twice over.

A notification becomes a request, a response becomes an outcome. A provider opens no
connection, never waits and repeats nothing: `dispatch` does all that, for every provider
alike. XMPP is not known here. The values that a provider is given and gives stand in
`notification`, `exchange` and `outcomes`, and are to be had here, too.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from pushd.config.proxies import Proxy
from pushd.net.http import Fault, authorities
from pushd.providers.exchange import Failed, Link, Request, Response, Transport, as_json
from pushd.providers.notification import Call, Encrypted, Notification
from pushd.providers.outcomes import (
    Accepted,
    Busy,
    Finding,
    Outcome,
    Refused,
    Scope,
    Unregistered,
    by_status,
    found,
)
from pushd.wire.secret import Secret

__all__ = [
    "Accepted",
    "BadCredential",
    "BadField",
    "BadOption",
    "Busy",
    "Call",
    "Credential",
    "Device",
    "Encrypted",
    "Failed",
    "Fault",
    "Finding",
    "Limits",
    "Link",
    "Notification",
    "Outcome",
    "Provider",
    "Proxy",
    "Refused",
    "Request",
    "Response",
    "Scope",
    "Secret",
    "Sending",
    "Token",
    "Transport",
    "Unregistered",
    "as_json",
    "by_status",
    "found",
    "silent",
    "trusted",
]


# Whom it is told, and how often it was tried.


@dataclass(frozen=True, slots=True)
class Device:
    """A registration, as the provider sees it."""

    token: Secret
    app: str = ""  # which of a backend's apps
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)  # some are secrets
    renewed_at: float = 0.0  # when the device last registered
    # What its app knows how to read, and expects instead of a summary; nothing for most.
    told: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Sending:
    """How this attempt differs from others; the dispatcher fills it in."""

    id: str = ""  # a UUID: the same for each attempt at one content
    credential: Secret | None = None  # of a provider that has one
    shrink: bool = False  # the service found the last one too big: counts alone
    remedies: frozenset[str] = frozenset()  # what `Refused.remedy` asked for so far
    without: frozenset[str] = frozenset()  # fields of the device that came to nothing this time
    since: float = 0.0  # when the content that `id` names was first to be sent


# Credentials that are fetched.


@dataclass(frozen=True, slots=True)
class Token:
    """A credential with an end. `expires_at` is the service's word, as we read it."""

    value: Secret
    fetched_at: float
    expires_at: float
    good_for: float | None = None  # seconds until the next one is due; None: 80 % of its life

    @property
    def renew_at(self) -> float:
        """When to get the next one."""
        if self.good_for is not None:
            return self.fetched_at + self.good_for
        return self.fetched_at + 0.8 * (self.expires_at - self.fetched_at)


class Credential(ABC):
    """Knows how to get a token, and gets none itself: `credentials.Keeper` does."""

    minimum_age: float = 0.0  # seconds; a token younger than this is never taken for stale

    @abstractmethod
    def request(self, now: float) -> Request | Token:
        """What to ask for a token; or the token, where it is made here."""

    @abstractmethod
    def accept(self, response: Response, now: float) -> Token | Busy | Refused:
        """Read the answer. `Refused` with an alarm means that the operator must act."""

    def forget(self, token: Token) -> None:
        """A service calls this token stale: another one is asked for next."""
        return


# The translator.


class BadOption(ValueError):
    """A backend cannot start: the text says which option or file, what is wrong, what would
    be right. It never repeats the content of a secret."""

    def __init__(self, text: str, option: str = "") -> None:
        super().__init__(text)
        self.option = option


class BadCredential(BadOption):
    """What the operator gave as a credential is none; names the file."""


def trusted(ca_file: Path | None) -> Path | None:
    """The option `ca_file`. Raises BadOption for a file that holds no certificates."""
    if ca_file is not None:
        try:
            authorities(ca_file)
        except ValueError as error:
            raise BadOption(f"ca_file: {error}", "ca_file") from None
    return ca_file


class BadField(ValueError):
    """What a device registered with cannot be right. The text names the field, not its value."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field


def silent(fields: Mapping[str, str]) -> bool | None:
    """What a device registered as `silent-push`; None for nothing. Raises BadField."""
    try:
        return _TRUTHS[fields.get("silent-push", "")]
    except KeyError:
        raise BadField("silent-push", "is neither true nor false") from None


_TRUTHS = {"": None, "1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast a backend may be used (each lane of it, see `Provider.lane`)."""

    concurrency: int = 50  # requests under way
    rate: float | None = None  # requests a second; None: as fast as it goes
    burst: int = 1  # requests beyond the rate, after a pause


class Provider(ABC):
    """A push network. One file each in this package, found by its name (`catalogue`).

    The file is named like `type` and holds the provider's `Options`, a frozen dataclass of
    plain values with their defaults.
    """

    type: ClassVar[str]  # in the configuration, and in `register-push-<type>`
    aliases: ClassVar[frozenset[str]] = frozenset()  # other names for the same
    register_fields: ClassVar[frozenset[str]]  # without these a device cannot register
    optional_fields: ClassVar[frozenset[str]] = frozenset()
    leads_anywhere: ClassVar[bool] = False  # devices choose hosts, whose troubles are no alarm
    own_secret: ClassVar[str] = ""  # names what the server makes up once for it; see `keep`

    timeout: ClassVar[float] = 30.0  # seconds for one exchange
    floor: ClassVar[float] = 5.0  # seconds before anything is said again, unless the service asks
    rest: ClassVar[float] = 30.0  # seconds of quiet after several faults of the service in a row
    limits: Limits = Limits()  # an instance may have its own; it is asked once, at the start

    @abstractmethod
    def __init__(self, options: Any) -> None:
        """Take the file's `Options`. Raises BadOption where nothing could ever be sent."""

    def check(self, fields: Mapping[str, str]) -> None:
        """Raise BadField, a ValueError, unless a device may register with these fields."""
        for name in sorted(self.register_fields):
            if not fields.get(name):
                raise BadField(name, "is missing or empty")

    def stored(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The same fields, each in the one form in which it is kept. `check` passed them.

        Among them is a `token`, whatever the device calls it: where it is reached, and what
        tells it from others.
        """
        return dict(fields)

    def completed(self, fields: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
        """What `stored` gave, with what the device need not say.

        `before` is what was kept of the very same device, if it had registered.
        """
        return dict(fields)

    def keep(self, secret: bytes) -> None:
        """32 bytes that the server made up at its first start, and keeps for ever.

        For those that name it in `own_secret`, before any device registers or is pushed.
        """
        return

    def shown(self) -> Mapping[str, str]:
        """What a device must know before it can fill in the form: fixed fields of it."""
        return {}

    @property
    def expires_at(self) -> float | None:
        """When what the operator gave as a credential ends; None if it does not end by itself."""
        return None

    @property
    def links(self) -> frozenset[Link]:
        """All that its requests name. Connections of other links end when this one comes."""
        return frozenset()

    def lane(self, device: Device) -> str:
        """Which queue the device's pushes stand in. Each has its own limits and breaker.

        One provider may lead to many services (a host each, an environment each); a slow
        one then delays no other. Not a secret.
        """
        return ""

    def credential(self, lane: str) -> Credential | None:
        """What to fetch before anything is sent through this lane. Asked once a lane."""
        return None

    @abstractmethod
    def request(self, note: Notification, device: Device, now: float, sending: Sending) -> Request:
        """Translate a notification. Raises BadField for a device that could not register now."""

    @abstractmethod
    def outcome(self, response: Response, now: float) -> Outcome:
        """Translate an answer. Whatever it holds, no exception."""

    # To ask without waking anybody.

    @property
    def probe_lane(self) -> str | None:
        """The lane that a probe goes through, and whose credential it tries; None for none."""
        return self.lane(Device(Secret("")))

    def examined(self, now: float) -> Iterator[Finding]:
        """What can be told of the operator's credential without asking anybody."""
        return iter(())

    def places(self) -> Iterator[Request]:
        """Services that devices are likely to name, where nobody can be asked: it is looked
        whether one gets there, and nothing is sent."""
        return iter(())

    def probe(self, now: float, sending: Sending) -> Request | None:
        """What to ask so that the answer tells whether real pushes would be taken.

        It is about a device that there is not, or asks the service to do nothing. None where
        nobody can be asked without waking a device.
        """
        return None

    def probed(self, response: Response, now: float) -> Finding:
        """What the answer to `probe` means. Whatever it holds, no exception."""
        finding = found(self.outcome(response, now))
        if finding.is_good or finding.remedy:
            return finding
        return replace(finding, remedy=self.remedy(response))

    def remedy(self, response: Response) -> str:
        """What an operator may do where an answer to `probe` is not as it should be."""
        return "is the address that of the service, and what is asked what it takes today?"
