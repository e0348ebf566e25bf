"""The devices that the stand-in for APNs knows: whose token is good where, and since when not."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pushd.simulators.answers import ScriptError
from pushd.simulators.apns_push import check_token
from pushd.simulators.apns_reasons import Refused
from pushd.simulators.apns_tokens import ENVIRONMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device. Empty `environment` or `topics`: its token is good in both, for any.

    `dead_since` is when the app was removed, in seconds since the epoch; `dead_reason` is
    Unregistered or ExpiredToken.
    """

    token: str = field(repr=False)
    environment: str = ""
    topics: tuple[str, ...] = ()
    dead_since: float | None = None
    dead_reason: str = "Unregistered"

    @classmethod
    def from_json(cls, value: Mapping[str, Any], now: float) -> "Device":
        """Read an object with the names above, or with `dead` for who is dead since `now`.

        Raises ScriptError and says what is wrong.
        """
        known = [*cls.__slots__, "dead"]
        for name in value:
            if name not in known:
                raise ScriptError(f"a device has no {name!r}; it has {', '.join(known)}")
        is_dead = value.get("dead", False)
        if not isinstance(is_dead, bool):
            raise ScriptError("dead must be true or false")
        token, environment = value.get("token"), value.get("environment", "")
        topics = value.get("topics", [])
        dead_since = value.get("dead_since", now if is_dead else None)
        try:
            token = check_token(token if isinstance(token, str) else "")
        except Refused:
            raise ScriptError("token must be at least 64 hexadecimal digits") from None
        if environment not in ("", *ENVIRONMENTS):
            raise ScriptError(f"environment must be one of {', '.join(ENVIRONMENTS)}")
        if not isinstance(topics, list) or not all(isinstance(one, str) for one in topics):
            raise ScriptError("topics must be a list of texts")
        if dead_since is not None and (
            not isinstance(dead_since, int | float) or isinstance(dead_since, bool)
        ):
            raise ScriptError("dead_since must be seconds since the epoch")
        reason = value.get("dead_reason", "Unregistered")
        if reason not in ("Unregistered", "ExpiredToken"):
            raise ScriptError("dead_reason must be Unregistered or ExpiredToken")
        return cls(
            token=token,
            environment=environment,
            topics=tuple(topics),
            dead_since=dead_since,
            dead_reason=reason,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Devices:
    """Devices by their token. A token that nobody told of is good, unless `only_known` is set."""

    def __init__(self) -> None:
        self.only_known = False
        self._known: dict[str, Device] = {}

    def add(self, device: Device) -> None:
        """Know a device, in the place of what was known of its token."""
        self._known[device.token] = device

    def all(self) -> list[Device]:
        return list(self._known.values())

    def clear(self) -> None:
        self._known.clear()
        self.only_known = False

    def check(self, token: str, environment: str, topic: str) -> None:
        """Whether a push for this topic reaches a device here. Raises Refused."""
        device = self._known.get(token)
        if device is None:
            if self.only_known:
                raise Refused("BadDeviceToken")
            return
        if device.environment not in ("", environment):
            raise Refused("BadDeviceToken")
        if device.topics and topic not in device.topics:
            raise Refused("DeviceTokenNotForTopic")
        if device.dead_since is not None:
            raise Refused(device.dead_reason, device.dead_since)
