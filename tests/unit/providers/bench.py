"""What the tests of this folder share: a script for a transport, a provider that obeys, keys."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.defer import Deferred

from pushd.providers.attempts import Result
from pushd.providers.contract import (
    Accepted,
    Busy,
    Credential,
    Device,
    Failed,
    Fault,
    Limits,
    Notification,
    Outcome,
    Provider,
    Refused,
    Request,
    Response,
    Scope,
    Secret,
    Sending,
    Token,
    Unregistered,
)
from pushd.providers.reports import Alarm, Attempt, Recovered

NOW = 1_795_000_000.0
DAY = 86_400.0

UNREACHABLE = Failed(Fault.UNREACHABLE, "no connection")

WHEREFORE = Notification(
    "2100994384",
    message_count=3,
    pending_subscription_count=0,
    last_message_sender="romeo@example.net",
    last_message_body=Secret("Wherefore?"),
)

# A note that is too long for whichever service, and what a device is told of it besides its node.
too_long = pytest.mark.parametrize(
    ("note", "kept"),
    [
        pytest.param(
            Notification(
                "n", 3, last_message_sender="s" * sender, last_message_body=Secret("ü" * body)
            ),
            kept,
            id=f"{body}-{sender}",
        )
        for body, sender, kept in [
            (10, 10, {"message-count", "last-message-sender", "last-message-body"}),
            (5000, 10, {"message-count", "last-message-sender"}),
            (10, 5000, {"message-count"}),
            (5000, 5000, {"message-count"}),
        ]
    ],
)


class Fixed(Random):
    """Chance, always at the same point of its range: 0 the lowest, 1 the highest."""

    def __init__(self, point: float = 0.0) -> None:
        super().__init__()
        self.point = point

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.point


@dataclass
class Sent:
    """A request under way; `answer` ends it."""

    request: Request
    timeout: float
    answered: Deferred[Response | Failed]
    is_cancelled: bool = False

    def answer(self, answer: Response | Failed | int) -> None:
        self.answered.callback(Response(answer) if isinstance(answer, int) else answer)

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.request.body)
        return content


class FakeTransport:
    """Keeps what is sent. `script`, where given, answers at once."""

    def __init__(self, script: Callable[[Request], Response | Failed] | None = None) -> None:
        self.sent: list[Sent] = []
        self.script = script

    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        sent = Sent(request, timeout, Deferred(lambda _: setattr(sent, "is_cancelled", True)))
        self.sent.append(sent)
        if self.script is not None:
            sent.answer(self.script(request))
        return sent.answered

    @property
    def last(self) -> Sent:
        return self.sent[-1]


OUTCOMES: Mapping[int, Outcome] = {
    200: Accepted("message-1"),
    400: Refused("400"),
    401: Refused("401", renew_credential=True),
    403: Refused("403", alarm=True),
    404: Unregistered(reason="404"),
    405: Unregistered(guarded=True, reason="405"),
    406: Refused("406", alarm=True, fresh=True),
    409: Refused("409", remedy="clear"),
    413: Refused("413", shrink=True),
    429: Busy(None, Scope.DEVICE, "429"),
    502: Busy(None, Scope.BACKEND, "502", fresh=True),
}


class Obedient(Provider):
    """A provider whose outcomes the test chooses, by status."""

    type = "obedient"
    register_fields = frozenset({"token"})
    floor = 10.0
    timeout = 25.0
    limits = Limits(concurrency=2)

    def __init__(self, options: object = None) -> None:
        self.outcomes: dict[int, Outcome] = dict(OUTCOMES)
        self.fetched: Credential | None = None

    def lane(self, device: Device) -> str:
        return device.fields.get("lane", "")

    def credential(self, lane: str) -> Credential | None:
        return self.fetched

    def request(self, note: Notification, device: Device, now: float, sending: Sending) -> Request:
        return Request(
            "https://push.example.net/send",
            json={
                "token": device.token.reveal(),
                "count": note.message_count,
                "id": sending.id,
                "credential": sending.credential.reveal() if sending.credential else None,
                "shrink": sending.shrink,
                "remedies": sorted(sending.remedies),
            },
        )

    def outcome(self, response: Response, now: float) -> Outcome:
        return self.outcomes[response.status]


class Voucher(Credential):
    """A credential that is fetched: what comes back is the next of `answers`."""

    def __init__(self, *answers: Token | Busy | Refused) -> None:
        self.answers = list(answers)

    def request(self, now: float) -> Request | Token:
        return Request("https://token.example.net/")

    def accept(self, response: Response, now: float) -> Token | Busy | Refused:
        return self.answers.pop(0)


def token(name: str, fetched_at: float = NOW, life: float = 1000.0) -> Token:
    return Token(Secret(name), fetched_at, fetched_at + life)


def note(
    count: int = 1, expires_at: float | None = NOW + DAY, urgent: bool = False
) -> Notification:
    return Notification("node-1", count, expires_at=expires_at, urgent=urgent)


def device(name: str = "token-1", renewed_at: float = NOW - 100, lane: str = "") -> Device:
    return Device(Secret(name), fields={"lane": lane}, renewed_at=renewed_at)


class Pushed:
    """A push under way: its final answer, once there is one."""

    def __init__(self, started: Deferred[Result]) -> None:
        self.started = started
        self.result: Result | None = None
        self.error: BaseException | None = None
        started.addCallbacks(self._got, self._failed)

    def _got(self, result: Result) -> None:
        self.result = result

    def _failed(self, failure: Any) -> None:
        self.error = failure.value


class Reports:
    """Everything that the dispatcher told."""

    def __init__(self) -> None:
        self.events: list[Attempt | Alarm | Recovered] = []

    def __call__(self, event: Attempt | Alarm | Recovered) -> None:
        self.events.append(event)

    @property
    def attempts(self) -> list[Attempt]:
        return [event for event in self.events if isinstance(event, Attempt)]

    @property
    def alarms(self) -> list[Alarm]:
        return [event for event in self.events if isinstance(event, Alarm)]

    @property
    def recoveries(self) -> list[Recovered]:
        return [event for event in self.events if isinstance(event, Recovered)]


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem(key: Any) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def ec_pem() -> str:
    """A new key on P-256."""
    return pem(ec.generate_private_key(ec.SECP256R1()))


def account(path: Path, **changes: Any) -> Path:
    """A service account's file, as the Firebase console makes them. None leaves a part out."""
    content = {
        "type": "service_account",
        "project_id": "chat-7",
        "private_key_id": "key-1",
        "private_key": pem(rsa_key()),
        "client_email": "pusher@chat-7.iam.example.net",
        "client_id": "1",
        "token_uri": "https://oauth2.example.net/token",
    } | changes
    file = path / "service-account.json"
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return file
