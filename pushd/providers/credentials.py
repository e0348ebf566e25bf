"""Credentials that are fetched: kept, renewed in time, one renewal at a time.

`Keeper` does that for any `Credential`; `JWTBearer` is the credential of a service
account (RFC 7523): a signed assertion exchanged for an access token.
"""

import json
import re
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.providers.contract import (
    Busy,
    Credential,
    Failed,
    Link,
    Refused,
    Request,
    Response,
    Scope,
    Secret,
    Token,
    Transport,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

log = Logger()

Got = Token | Busy | Refused

LONGEST_PAUSE = 900.0  # seconds between two requests for a token that fail
LONGEST_WISH = 3600.0  # the same, where the service asks for a pause


class Keeper:
    """Has the current token of one credential.

    `answered` is told of every token that was asked for: what came of it, and the response
    where there was one, and how many seconds it took.
    """

    def __init__(
        self,
        credential: Credential,
        transport: Transport,
        clock: IReactorTime,
        random: Random,
        timeout: float,
        floor: float,
        answered: Callable[[Got, Response | None, float], None],
    ) -> None:
        self.retry_at = 0.0  # after a failure: when the service may be asked again
        self._credential = credential
        self._transport = transport
        self._clock = clock
        self._random = random
        self._timeout = timeout
        self._floor = floor
        self._answered = answered
        self._token: Token | None = None
        self._failure: Busy | Refused = Busy(reason="no token yet")
        self._failures = 0
        self._failed_at = 0.0
        self._waiting: list[Deferred[Got]] = []
        self._is_renewing = False
        self._renewal: Deferred[None] | None = None

    async def token(self) -> Got:
        """A token that is good, or why there is none. Waits for a renewal under way.

        A failed renewal is no failure while the token at hand is still good.
        """
        now = self._clock.seconds()
        # What was noted at a later instant was noted by a clock that was wrong.
        if self._token is not None and self._token.fetched_at <= now < self._token.renew_at:
            return self._token
        if self._failed_at <= now < self.retry_at:
            return self._at_hand(now)
        waiter: Deferred[Got] = Deferred()
        self._waiting.append(waiter)
        if not self._is_renewing:
            self._is_renewing = True
            self._renewal = Deferred.fromCoroutine(self._renew())
        return await waiter

    def discard(self, token: Token) -> bool:
        """The service calls this token stale. False when it is too young to be so."""
        if token is not self._token:
            return True  # another sender was told the same before
        if 0 <= self._clock.seconds() - token.fetched_at < self._credential.minimum_age:
            return False
        self._token = None
        self._credential.forget(token)
        return True

    def retry(self) -> None:
        """Ask again when next a token is needed, whatever has failed before."""
        self.retry_at = 0.0
        self._failures = 0

    def retire(self) -> None:
        """There is another one: who waits for a token had better ask that."""
        self.close()
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(self._failure)

    def close(self) -> None:
        """Give up a renewal under way."""
        if self._is_renewing and self._renewal is not None:
            self._renewal.addErrback(lambda _: None)
            self._renewal.cancel()

    def _at_hand(self, now: float) -> Got:
        token = self._token
        return token if token is not None and now < token.expires_at else self._failure

    async def _renew(self) -> None:
        started_at = self._clock.seconds()
        try:
            got, response = await self._ask(started_at)
        finally:
            self._is_renewing = False
        now = self._clock.seconds()
        if isinstance(got, Token) and got.expires_at <= now:
            got = Refused("a token that has expired before it came", alarm=True)
        if isinstance(got, Token):
            self._token = got
            self.retry()
        else:
            self._failure = got
            self._failed_at = now
            self.retry_at = now + self._pause(got)
        self._answered(got, response, now - started_at)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(self._at_hand(now))

    async def _ask(self, now: float) -> tuple[Got, Response | None]:
        try:
            request = self._credential.request(now)
            if isinstance(request, Token):
                return request, None
            answer = await self._transport.send(request, self._timeout)
            if isinstance(answer, Failed):
                return Busy(None, Scope.BACKEND, f"token endpoint: {answer.reason}"), None
            return self._credential.accept(answer, self._clock.seconds()), answer
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001  senders wait for this and must be told something
            log.failure("a credential broke down")
            return Refused("a credential that breaks down: see the log", alarm=True), None

    def _pause(self, failure: Busy | Refused) -> float:
        if isinstance(failure, Busy) and failure.after:
            return min(failure.after, LONGEST_WISH)
        spread = min(LONGEST_PAUSE, self._floor * 2 ** min(self._failures, 16))
        self._failures += 1
        return self._floor + self._random.uniform(0, spread)


class JWTBearer(Credential):
    """An access token for a service account (RFC 7523 §2.1, RS256)."""

    GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    LIFETIME = 3600  # seconds that an assertion is valid for; the most that Google takes

    def __init__(
        self,
        token_uri: str,
        issuer: str,
        scope: str,
        key: "RSAPrivateKey",
        key_id: str,
        link: Link,
    ) -> None:
        self._token_uri = token_uri
        self._issuer = issuer
        self._scope = scope
        self._key = key
        self._key_id = key_id
        self._link = link

    def request(self, now: float) -> Request:
        claims = {
            "iss": self._issuer,
            "scope": self._scope,
            "aud": self._token_uri,
            "iat": int(now),
            "exp": int(now) + self.LIFETIME,
        }
        header = {"typ": "JWT"} | ({"kid": self._key_id} if self._key_id else {})
        assertion = sign_rs256(
            json.dumps(claims, separators=(",", ":")).encode(), self._key, header
        )
        form = {"grant_type": self.GRANT, "assertion": assertion}
        return Request(self._token_uri, form=form, link=self._link)

    def accept(self, response: Response, now: float) -> Token | Busy | Refused:
        return read_token(response, now)


class ClientCredentials(Credential):
    """An access token for a client with a secret (RFC 6749 §4.4)."""

    def __init__(
        self, token_uri: str, client_id: str, client_secret: Secret, scope: str, link: Link
    ) -> None:
        self._token_uri = token_uri
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._link = link

    def request(self, now: float) -> Request:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret.reveal(),
            "scope": self._scope,
        }
        return Request(self._token_uri, form=form, link=self._link)

    def accept(self, response: Response, now: float) -> Token | Busy | Refused:
        return read_token(response, now)


def sign_rs256(payload: bytes, key: "RSAPrivateKey", header: dict[str, Any]) -> str:
    """A JWS in its compact form (RFC 7515 §3.1), with `alg` added to the header."""
    return _sign(payload, key, "RS256", header)


def sign_es256(payload: bytes, key: "EllipticCurvePrivateKey", header: dict[str, Any]) -> str:
    """The same with a key on the curve P-256."""
    return _sign(payload, key, "ES256", header)


def _sign(payload: bytes, key: Any, algorithm: str, header: dict[str, Any]) -> str:
    from jwt.api_jws import PyJWS  # the import takes 75 ms: not at the start

    # PyJWT adds `typ` of its own accord, and takes None for "without".
    return PyJWS().encode(payload, key, algorithm, {"typ": None} | header)


def read_token(response: Response, now: float) -> Token | Busy | Refused:
    """Read the answer of a token endpoint (RFC 6749 §5)."""
    reply = response.json()
    status = response.status
    if status == 200:
        value, life = reply.get("access_token"), _seconds(reply.get("expires_in", 300))
        if isinstance(value, str) and value and life > 0:
            return Token(Secret(value), now, now + life)
        return Refused("token endpoint: 200 without a usable access_token", alarm=True)
    if status in (408, 425, 429) or status >= 500:
        return Busy(response.retry_after(now), Scope.BACKEND, f"token endpoint: HTTP {status}")
    error = str(reply.get("error", ""))
    reason = f"token endpoint: HTTP {status}"
    if re.fullmatch(r"[a-z_]{1,40}", error, re.ASCII):
        reason += f" {error}"
    if error == "invalid_grant":
        reason += " (the clock is wrong, or the key was revoked)"
    return Refused(reason, alarm=True)


def _seconds(value: object) -> float:
    """`expires_in` as a number; some services send it as a string. Nought when it is neither."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9:
        return float(value)
    return 0.0
