"""A stand-in on a bench: no sockets, a clock to turn by hand, a client that speaks HTTP."""

import json
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pushd.simulators.fcm import FCMSimulator
from pushd.simulators.fcm_tokens import GRANT_TYPE, ServiceAccount

NOW = 1_795_000_000.0
URL = "https://fcm.test"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"

T = TypeVar("T")


@cache
def account() -> ServiceAccount:
    """One account for all tests: making up its key is what takes time."""
    return ServiceAccount.made_up("pushd-simulator")


@cache
def loaded(private_key: str) -> rsa.RSAPrivateKey:
    """A key out of its PEM, which takes a while each time."""
    key = serialization.load_pem_private_key(private_key.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


class StillWaiting(AssertionError):
    """It has neither a result nor an error yet."""


def result_of(waiting: "Deferred[T] | Coroutine[Any, Any, T]") -> T:
    """The result that is there already; raises the error, or StillWaiting."""
    deferred = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(waiting)
    results: list[Any] = []
    deferred.addBoth(results.append)
    if not results:
        raise StillWaiting
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]  # type: ignore[no-any-return]


@dataclass
class Response:
    """An answer that arrived whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def fcm_codes(self) -> list[str]:
        """The codes of all FcmErrors in it."""
        return [
            detail["errorCode"]
            for detail in self.error.get("details", [])
            if detail["@type"] == "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        ]

    @property
    def violations(self) -> list[dict[str, str]] | None:
        """The field violations, None without a google.rpc.BadRequest."""
        for detail in self.error.get("details", []):
            if detail["@type"] == "type.googleapis.com/google.rpc.BadRequest":
                return list(detail.get("fieldViolations", []))
        return None


class Wire:
    """HTTP to a resource, without sockets."""

    def __init__(self, resource: Any) -> None:
        self._http: Any = StubTreq(resource)

    def ask(self, method: str, url: str, **options: Any) -> "Deferred[Response]":
        """Send a request; the Deferred fires when the answer has come, which may be never."""

        async def exchange() -> Response:
            response = await self._http.request(method, url, allow_redirects=False, **options)
            body = await self._http.content(response)
            headers = {
                name.decode().lower(): values[0].decode()
                for name, values in response.headers.getAllRawHeaders()
            }
            return Response(response.code, headers, body)

        asked = Deferred.fromCoroutine(exchange())
        self.flush()
        return asked

    def flush(self) -> None:
        """Let what was written arrive."""
        self._http.flush()


class Bench:
    """The stand-in for FCM with everything that belongs to it."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.simulator = FCMSimulator(self.clock, URL, **{"account": account()} | options)
        self._wire = Wire(self.simulator.site.resource)

    def ask(self, method: str, path: str, **options: Any) -> "Deferred[Response]":
        """Send a request; the Deferred fires when the answer has come, which may be never."""
        return self._wire.ask(method, URL + path, **options)

    def request(self, method: str, path: str, **options: Any) -> Response:
        """Send a request that is answered at once."""
        return result_of(self.ask(method, path, **options))

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._wire.flush()

    # --- FCM -------------------------------------------------------------------------

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of an assertion; None as a change leaves one out."""
        now = int(self.clock.seconds())
        claims = {
            "iss": self.simulator.service_account()["client_email"],
            "scope": SCOPE,
            "aud": self.simulator.service_account()["token_uri"],
            "iat": now,
            "exp": now + 3600,
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def assertion(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        account = self.simulator.service_account()
        if header is None:
            header = {"kid": account["private_key_id"]}
        key = loaded(account["private_key"])
        return jwt.encode(self.claims(**changes), key, algorithm="RS256", headers=header)

    def ask_token(self, assertion: str, grant_type: str = GRANT_TYPE) -> Response:
        form = {"grant_type": grant_type, "assertion": assertion}
        return self.request("POST", "/token", data=form, headers=FORM)

    def sign_in(self, **changes: Any) -> str:
        """An access token that holds."""
        return str(self.ask_token(self.assertion(**changes)).json["access_token"])

    def send(self, message: Any, access: str | None = None, **options: Any) -> Response:
        """Send a message with an access token, a fresh one unless it is given."""
        return result_of(self.ask_send(message, access, **options))

    def ask_send(
        self,
        message: Any,
        access: str | None = None,
        *,
        project: str = "pushd-simulator",
        body: bytes | None = None,
        **beside: Any,
    ) -> "Deferred[Response]":
        if access is None:
            access = self.sign_in()
        return self.ask(
            "POST",
            f"/v1/projects/{project}/messages:send",
            data=json.dumps({"message": message} | beside).encode() if body is None else body,
            headers={"Authorization": f"Bearer {access}", "Content-Type": "application/json"},
        )


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def note(token: str = "phone", **fields: Any) -> dict[str, Any]:
    """A message as a well-behaved sender makes it."""
    return {
        "token": token,
        "data": {"node": "2100994384", "message-count": "3"},
        "android": {"priority": "HIGH", "ttl": "86400s", "collapse_key": "n3"},
    } | fields
