"""APNs: what each of its answers means.

An answer is told by its status and the `reason` in its body. What Apple's table does not
have is judged by the status alone, and never ends a registration.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pushd.providers import contract
from pushd.providers.contract import Accepted, Busy, Refused, Scope, Unregistered

PENANCE = 1200.0  # seconds for which too many new tokens make a connection useless


@dataclass(frozen=True, slots=True)
class Error:
    """What an answer other than 200 says."""

    status: int
    reason: str  # a word of Apple's; "" where there is none
    timestamp: float | None  # seconds since the epoch: when the token was last seen dead
    after: float | None  # Retry-After, which Apple does not document

    def __str__(self) -> str:
        return f"{self.status} {self.reason}".rstrip()


def read(response: contract.Response, now: float) -> contract.Outcome:
    """The outcome of a response to a request for one device."""
    if response.status == 200:
        return Accepted(_id(response.header("apns-id")))
    error = _error(response, now)
    row = ROWS.get((error.status, error.reason))
    if row is not None:
        return row(error)
    if error.status == 403:
        return Refused(f"{error}: our credential is not taken", alarm=True, guarded=True)
    return contract.by_status(response, now)


def _error(response: contract.Response, now: float) -> Error:
    content = response.json()
    reason = content.get("reason")
    return Error(
        response.status,
        reason if isinstance(reason, str) and re.fullmatch(r"[A-Za-z]{1,40}", reason) else "",
        _seconds(content.get("timestamp")),
        response.retry_after(now),
    )


def _seconds(milliseconds: object) -> float | None:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return milliseconds / 1000 if 0 < milliseconds < 1e15 else None


def _id(text: str) -> str:
    return text if re.fullmatch(r"[0-9A-Fa-f-]{1,40}", text) else ""


Row = Callable[[Error], contract.Outcome]


def _ours(error: Error) -> contract.Outcome:
    """A request that should not have been made like that."""
    return Refused(f"{error}: a fault of this server")


def _act(text: str, *, fresh: bool = False, guarded: bool = False) -> Row:
    """The operator must do something."""
    return lambda error: Refused(f"{error}: {text}", alarm=True, fresh=fresh, guarded=guarded)


def _dead(error: Error) -> contract.Outcome:
    return Unregistered(since=error.timestamp, reason=str(error))


def _later(error: Error) -> contract.Outcome:
    return Busy(error.after, Scope.BACKEND, str(error))


def _fresh(error: Error) -> contract.Outcome:
    return Busy(error.after, Scope.BACKEND, str(error), fresh=True)


OTHER_ENVIRONMENT = "is the environment (production or sandbox) the right one for it?"

ROWS: Mapping[tuple[int, str], Row] = {
    # A token of the other environment looks like this, too.
    (400, "BadDeviceToken"): lambda error: Unregistered(guarded=True, reason=str(error)),
    # The token belongs to another app; or this backend does.
    (400, "DeviceTokenNotForTopic"): _act(
        "the device's token is not for this topic: is it the app's bundle id?", guarded=True
    ),
    (400, "TopicDisallowed"): _act("the key or certificate may not push to this topic"),
    (400, "BadTopic"): _act("the topic is none: it has to be the app's bundle id"),
    (400, "MissingTopic"): _act("the certificate has several topics, and none was named"),
    (400, "MissingDeviceToken"): _ours,
    (400, "BadCollapseId"): _ours,
    (400, "BadExpirationDate"): _ours,
    (400, "BadMessageId"): _ours,
    (400, "BadPriority"): _ours,
    (400, "DuplicateHeaders"): _ours,
    (400, "InvalidPushType"): _ours,
    (400, "PayloadEmpty"): _ours,
    (400, "IdleTimeout"): _fresh,
    (403, "ExpiredProviderToken"): lambda error: Refused(
        f"{error}: our token is called too old; if it is not, this machine's clock is wrong",
        renew_credential=True,
    ),
    (403, "InvalidProviderToken"): _act(
        "key_file, key_id and team_id do not belong together, or the key was revoked"
    ),
    (403, "MissingProviderToken"): _act(
        "the certificate is not taken, and there is no token: is it a certificate for push?"
    ),
    (403, "Forbidden"): _act("the key or certificate may not do this"),
    (403, "BadCertificate"): _act("the certificate is not taken: was it revoked?"),
    (403, "BadCertificateEnvironment"): _act(f"the certificate is refused: {OTHER_ENVIRONMENT}"),
    (403, "BadEnvironmentKeyIdInToken"): _act(f"the key is refused: {OTHER_ENVIRONMENT}"),
    (403, "UnrelatedKeyIdInToken"): _act(
        "the key is not the one that the connection began with", fresh=True
    ),
    (404, "BadPath"): _ours,
    (405, "MethodNotAllowed"): _ours,
    (410, "Unregistered"): _dead,
    (410, "ExpiredToken"): _dead,
    (413, "PayloadTooLarge"): lambda error: Refused(str(error), shrink=True),
    (429, "TooManyProviderTokenUpdates"): lambda error: Busy(
        error.after or PENANCE, Scope.BACKEND, f"{error}: our token was renewed too often"
    ),
    # To this device alone.
    (429, "TooManyRequests"): lambda error: Busy(error.after, Scope.DEVICE, str(error)),
    (500, "InternalServerError"): _later,
    (503, "ServiceUnavailable"): _later,
    (503, "Shutdown"): _fresh,
}


def remedy(response: contract.Response) -> str:
    """What an operator may do about an answer that is not the device's fault; "" for nothing."""
    return REMEDIES.get(_error(response, 0.0).reason, "")


_KEYS = "look under Keys in Apple's developer portal"
_OTHER = "say which one by environment, or make a key for both"
REMEDIES: Mapping[str, str] = {
    "TopicDisallowed": f"topic has to be the app's bundle id, of the key's own team: {_KEYS}",
    "BadTopic": "topic has to be the app's bundle id, such as com.example.app",
    "MissingTopic": "name one of the certificate's topics as topic",
    "DeviceTokenNotForTopic": "topic has to be the bundle id of the app that registers",
    "ExpiredProviderToken": "set this machine's clock; have it kept right by NTP",
    "InvalidProviderToken": f"compare key_id and team_id with what Apple shows: {_KEYS}",
    "MissingProviderToken": "give a certificate made for push (Apple Push Services), or a key_file",
    "Forbidden": f"is the key made for push (APNs)? {_KEYS}",
    "BadCertificate": "make a new certificate for push in Apple's developer portal",
    "BadCertificateEnvironment": "it may be for the other environment: say which by environment",
    "BadEnvironmentKeyIdInToken": f"a key may be for one environment: {_OTHER}",
    "UnrelatedKeyIdInToken": f"keys may be for some topics only: {_KEYS}",
}
