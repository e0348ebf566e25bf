"""What the demonstration knows of the push networks: tokens, and what a push looks like there."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pushd.wire.secret import Secret

Row = Mapping[str, Any]


class Failed(Exception):
    """The demonstration came to another end than it should; says which."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What the push service gave the phone."""

    service: str
    node: str
    secret: Secret


class Network(NamedTuple):
    """A push network, as its stand-in has requests on record."""

    type: str  # as in the configuration, and in register-push-TYPE
    name: str
    fields: Callable[[Row], dict[str, str]]  # what a phone registers, of the stand-in's ready file
    summary: Callable[[Row], Row]  # of a request: node and message-count
    priority: Callable[[Row], str]
    token: str = "token"  # noqa: S105  the field that requests are on record by
    # The push service whose subscription the phone has. The stand-in makes one, for the VAPID
    # key of the server: then `fields` is given that.
    service: str = ""


def _android(request: Row) -> str:
    return str(request["message"]["android"]["priority"])


def _subscription(told: Row) -> dict[str, str]:
    return {name: told[name] for name in ("endpoint", "p256dh", "auth")}


def _token() -> str:
    return f"demo-{secrets.token_urlsafe(12)}"


FCM = Network(
    "fcm",
    "FCM",
    lambda told: {"token": _token()},
    lambda request: dict(request["message"]["data"]),
    _android,
)
APNS = Network(
    "apns",
    "APNs",
    lambda told: {"token": secrets.token_hex(32)},
    lambda request: dict(request["message"]),
    lambda request: str(request["priority"]),
)
WEBPUSH = Network(
    "webpush",
    "Mozilla",
    _subscription,
    lambda request: dict(request["message"]),
    lambda request: str(request["urgency"]),
    token="endpoint",  # noqa: S106
    service="mozilla",
)
UNIFIEDPUSH = WEBPUSH._replace(type="unifiedpush", name="ntfy", service="ntfy")
WEBHOOK = Network(
    "webhook",
    "webhook",
    lambda told: {"token": _token()},
    lambda request: {"node": request["message"]["node"], **request["message"]["summary"]},
    lambda request: "urgent" if request["message"]["urgent"] else "normal",
)
UBUNTU = Network(
    "ubuntu",
    "UBports",
    lambda told: {"token": _token(), "application-id": "messenger.example_messenger"},
    lambda request: dict(request["data"]["message"]),
    lambda request: "normal",  # there are no others
)
WNS = Network(
    "wns",
    "WNS",
    # A raw notification: a toast is text for people, without a node.
    lambda told: {"token": told["channel"] + secrets.token_hex(4), "silent-push": "true"},
    lambda request: dict(request["message"]),
    lambda request: str(request["priority"]),
)
NETWORKS = {
    network.type: network for network in (FCM, APNS, WEBPUSH, UNIFIEDPUSH, WEBHOOK, UBUNTU, WNS)
}


class Watch:
    """The pushes that the stand-in got for one token: how many, and what they told."""

    def __init__(
        self, network: Network, control: str, token: str, registered: Registration
    ) -> None:
        self.control = control
        self.token = token
        self.since = 0  # the number of the last request seen
        self.pushes = 0
        self.told = 0  # messages that wait
        self._network = network
        self._registered = registered

    def take(self, request: Row) -> str:
        """One more push; gives it in words. Raises Failed for one that is not as it should be."""
        name = self._network.name
        if request["status"] not in range(200, 300):
            raise Failed(f"{name} refused a push: {request['status']} {request['error']}")
        if request.get("remarks"):
            raise Failed(f"{name} frowns at a push: {', '.join(request['remarks'])}")
        summary = self._network.summary(request)
        if summary.get("node") != self._registered.node:
            raise Failed("a push names another node than the phone's")
        self.since = request["number"]
        self.pushes += 1
        self.told = int(summary.get("message-count", 0))
        wait = "1 message waits" if self.told == 1 else f"{self.told} messages wait"
        return f"accepted push {self.pushes}: {wait}, priority {self._network.priority(request)}"
