"""FCM: Firebase Cloud Messaging, HTTP v1; what became of GCM.

Data messages only: the app draws what the person sees. The API answers with HTTP
statuses that mean several things each; `ROWS` below tells them apart.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from pushd.config.checks import ServiceAccountFile
from pushd.config.proxies import ProxyAddress
from pushd.providers import contract
from pushd.providers.contract import Accepted, Busy, Refused, Scope, Unregistered
from pushd.providers.credentials import JWTBearer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
DATA_LIMIT = 4096  # bytes of keys and values in UTF-8
LONGEST_TTL = 2_419_200  # seconds
LONGEST_TOKEN = 4096  # characters; the documents give no limit, today's have fewer than 200
TOKEN = "message.token"  # noqa: S105  the field that has it
NOBODY = "pushd/probe"  # no device's token: none has such a character


@dataclass(frozen=True, slots=True)
class Options:
    service_account: ServiceAccountFile  # the JSON file that the Firebase console hands out
    base_url: str = "https://fcm.googleapis.com"
    token_uri: str | None = None  # instead of the one in the file
    lifetime: int = 86_400  # seconds that FCM keeps a notification for a device it cannot reach
    ca_file: Path | None = None  # PEM; trusted instead of the platform's certificates
    proxy: ProxyAddress | None = None  # the way to Google


class FCM(contract.Provider):
    type = "fcm"
    aliases = frozenset({"gcm"})
    register_fields = frozenset({"token"})
    floor = 10.0  # never sooner, say the documents

    def __init__(self, options: Options) -> None:
        self.options = options
        self._link = contract.Link(contract.trusted(options.ca_file), proxy=options.proxy)
        account = self._account = _ServiceAccount.load(options.service_account)
        base_url = _web_address("base_url", options.base_url).rstrip("/")
        token_uri = account.token_uri
        if options.token_uri is not None:
            token_uri = _web_address("token_uri", options.token_uri)
        self._url = f"{base_url}/v1/projects/{quote(account.project_id, safe='')}/messages:send"
        self._credential = JWTBearer(
            token_uri, account.client_email, SCOPE, account.key, account.key_id, self._link
        )

    @property
    def links(self) -> frozenset[contract.Link]:
        return frozenset({self._link})

    def check(self, fields: Mapping[str, str]) -> None:
        super().check(fields)
        if not re.fullmatch(r"[!-~]+", fields["token"]):
            raise contract.BadField("token", "has characters that no FCM token has")
        if len(fields["token"]) > LONGEST_TOKEN:
            raise contract.BadField("token", f"is longer than {LONGEST_TOKEN} characters")

    def credential(self, lane: str) -> contract.Credential:
        return self._credential

    def request(
        self,
        note: contract.Notification,
        device: contract.Device,
        now: float,
        sending: contract.Sending,
    ) -> contract.Request:
        bearer = sending.credential.reveal() if sending.credential is not None else ""
        message = {
            "token": device.token.reveal(),
            "data": dict(device.told) or data(note, sending.shrink),
            "android": {
                # HIGH wakes a sleeping device; one that has nothing to show for it is demoted.
                "priority": "HIGH" if note.urgent or note.is_visible else "NORMAL",
                "ttl": f"{self._ttl(note, now)}s",
                "collapse_key": collapse_key(note.node),
            },
        }
        return contract.Request(
            self._url,
            headers={"authorization": f"Bearer {bearer}"},
            json={"message": message},
            link=self._link,
        )

    def outcome(self, response: contract.Response, now: float) -> contract.Outcome:
        return read(response, now)

    def examined(self, now: float) -> Iterator[contract.Finding]:
        account, path = self._account, self.options.service_account
        yield contract.Finding(
            f"{path} is the key of {account.client_email}, for the project {account.project_id}"
        )

    def probe(self, now: float, sending: contract.Sending) -> contract.Request:
        """Nothing is delivered: it is to be checked only, and there is no such device."""
        bearer = sending.credential.reveal() if sending.credential is not None else ""
        return contract.Request(
            self._url,
            headers={"authorization": f"Bearer {bearer}"},
            json={"message": {"token": NOBODY}, "validate_only": True},
            link=self._link,
        )

    def probed(self, response: contract.Response, now: float) -> contract.Finding:
        """Google's front may say it, too, of whom no answer removes a device."""
        if response.status == 400 and _error(response, now).is_token:
            text = "the service knows us, and not the made-up device (400 INVALID_ARGUMENT)"
            return contract.Finding(text)
        return super().probed(response, now)

    def remedy(self, response: contract.Response) -> str:
        return REMEDIES.get(response.status, "") or super().remedy(response)

    def _ttl(self, note: contract.Notification, now: float) -> int:
        """Whole seconds; FCM takes 0 as "now or never"."""
        left = self.options.lifetime
        if note.expires_at is not None:
            left = min(left, round(note.expires_at - now))
        return min(max(left, 0), LONGEST_TTL)


# The notification.


def data(note: contract.Notification, shrink: bool = False) -> dict[str, str]:
    """The summary and the node, all as strings; less of it until it fits.

    First the body goes, then the senders, then the counts: a bare wake-up always fits.
    """
    for summary in note.summaries(shrink):
        made = {"node": note.node} | {name: str(value) for name, value in summary.items()}
        if size(made) <= DATA_LIMIT:
            return made
    return {}


def size(made: Mapping[str, str]) -> int:
    """Bytes, as FCM counts them."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for pair in made.items() for text in pair)


def collapse_key(node: str) -> str:
    """One per registration, so that the newest count replaces the one before.

    FCM stores messages with at most four different keys for an app on a device.
    """
    return "n" + sha256(node.encode()).hexdigest()[:16]


# The answer.


@dataclass(frozen=True, slots=True)
class Error:
    """What an error response says, as far as it decides anything."""

    status: int  # of HTTP
    code: str  # of FcmError; without details, the general status; "" where there is neither
    is_fcm: bool  # FcmError is there
    is_token: bool  # the registration token is named, and no field but that
    infos: frozenset[str]  # the reasons of ErrorInfo
    text: str  # message and descriptions, in lower case; may repeat what we sent
    after: float | None  # Retry-After


def read(response: contract.Response, now: float) -> contract.Outcome:
    """The outcome of a response to `messages:send`."""
    if response.status == 200:
        name = response.json().get("name")
        if isinstance(name, str) and name:
            return Accepted(name)
        return Refused("HTTP 200 without a message name: not FCM's address?", alarm=True)
    error = _error(response, now)
    row = ROWS.get((error.status, error.code)) or ROWS.get((error.status, ""))
    return row(error) if row is not None else contract.by_status(response, now)


def _error(response: contract.Response, now: float) -> Error:
    found = response.json().get("error")
    error: dict[str, Any] = found if isinstance(found, dict) else {}
    details = _dicts(error.get("details"))
    codes = [item.get("errorCode") for item in details if _kind(item) == "FcmError"]
    violations = [one for item in details for one in _dicts(item.get("fieldViolations"))]
    code = codes[0] if codes else "" if details else error.get("status")
    texts = [error.get("message"), *(one.get("description") for one in violations)]
    text = " ".join(text for text in texts if isinstance(text, str)).lower()
    is_token = "registration token" in text
    if any(_kind(item) == "BadRequest" for item in details):  # our message, but for that field
        is_token = bool(violations) and all(one.get("field") == TOKEN for one in violations)
    return Error(
        response.status,
        code if isinstance(code, str) and re.fullmatch(r"[A-Z_]{1,40}", code) else "",
        bool(codes),
        is_token,
        frozenset(str(item.get("reason")) for item in details if _kind(item) == "ErrorInfo"),
        text,
        response.retry_after(now),
    )


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _kind(detail: dict[str, Any]) -> str:
    """The last part of its type: "type.googleapis.com/google.firebase.fcm.v1.FcmError"."""
    return str(detail.get("@type", "")).rpartition(".")[2]


def _invalid_argument(error: Error) -> contract.Outcome:
    """Only what it says tells a token that never was one from other faults of ours."""
    reason = "400 INVALID_ARGUMENT"
    if error.is_fcm and error.is_token:
        return Unregistered(reason=f"{reason}, no registration token")
    if re.search(r"too (big|large|long)|exceed|size", error.text):
        return Refused(f"{reason}, too big", shrink=True)
    return Refused(reason)


def _forbidden(error: Error) -> str:
    """Why the account may not send."""
    for reason, words in FORBIDDEN.items():
        if reason in error.infos:
            return words
    return (
        "the FCM API is disabled in the project, or the service account lacks "
        "cloudmessaging.messages.create"
    )


def _refused(
    text: str, *, alarm: bool = False, renew_credential: bool = False
) -> Callable[[Error], contract.Outcome]:
    def refuse(error: Error) -> contract.Outcome:
        reason = f"{error.status} {error.code}".rstrip()
        return Refused(f"{reason}: {text}", renew_credential=renew_credential, alarm=alarm)

    return refuse


ROWS: Mapping[tuple[int, str], Callable[[Error], contract.Outcome]] = {
    # (HTTP status, errorCode), or (HTTP status, "") where no FcmError is there, the code
    # is UNSPECIFIED_ERROR, or it is one that nobody has heard of.
    (400, "INVALID_ARGUMENT"): _invalid_argument,
    (400, ""): _invalid_argument,
    # An access token that ran out.
    (401, ""): _refused("the access token is not taken", renew_credential=True),
    # The APNs or Web Push key that the operator gave to Firebase. Not our token.
    (401, "THIRD_PARTY_AUTH_ERROR"): _refused(
        "the key for APNs or Web Push in the Firebase project does not work", alarm=True
    ),
    # The token belongs to another project; or this backend does.
    (403, "SENDER_ID_MISMATCH"): lambda error: Unregistered(
        guarded=True, reason="403 SENDER_ID_MISMATCH"
    ),
    (403, ""): lambda error: Refused(f"403: {_forbidden(error)}", alarm=True),
    (404, "UNREGISTERED"): lambda error: Unregistered(reason="404 UNREGISTERED"),
    # Nothing about the device: the path leads nowhere.
    (404, ""): _refused("no such project; is the service account the right one?", alarm=True),
    # The quota of the project, of the device or of a topic: it does not say which.
    (429, ""): lambda error: Busy(error.after or 60.0, Scope.DEVICE, "429 quota exceeded"),
    (500, ""): lambda error: Busy(error.after, Scope.BACKEND, "500 internal error"),
    (503, ""): lambda error: Busy(error.after, Scope.BACKEND, "503 unavailable"),
}


# What Google's front has against an account, by its google.rpc.ErrorInfo.
FORBIDDEN: Mapping[str, str] = {
    "SERVICE_DISABLED": "the FCM API is not enabled in the project",
    "IAM_PERMISSION_DENIED": "the account lacks cloudmessaging.messages.create",
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": "the access token is for other things than messages",
}

# By the status of an answer to a probe.
REMEDIES: Mapping[int, str] = {
    401: "is token_uri Google's own, and is the service account still there? Make a new key for it"
    " in the Firebase console (Project settings, Service accounts)",
    403: "enable the Firebase Cloud Messaging API in the project, in the Google Cloud console under"
    " APIs & Services, and give the account a role that may send (IAM: Firebase Cloud Messaging API"
    " Admin)",
    404: "take the service account of the very project that the app was built for",
}


# What the operator gave.


@dataclass(frozen=True, slots=True)
class _ServiceAccount:
    """The parts of a service account's file that are used."""

    project_id: str
    client_email: str
    key: "RSAPrivateKey" = field(repr=False)
    key_id: str
    token_uri: str

    @classmethod
    def load(cls, path: Path) -> "_ServiceAccount":
        """Raises BadCredential naming the file and what is wrong with it."""
        content = _read_json(path)
        if content.get("type", "service_account") != "service_account":
            raise _bad(path, "is not the file of a service account: its type is another")
        project_id, client_email, private_key, key_id, token_uri = (
            _text(path, content, name)
            for name in ("project_id", "client_email", "private_key", "private_key_id", "token_uri")
        )
        if not _is_web_address(token_uri):
            raise _bad(path, "has a token_uri that is not an https address")
        return cls(project_id, client_email, _rsa_key(path, private_key), key_id, token_uri)


def _bad(path: Path, text: str) -> contract.BadCredential:
    return contract.BadCredential(f"{path} {text}", "service_account")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise _bad(path, "is not JSON") from None
    if not isinstance(content, dict):
        raise _bad(path, "is not a JSON object")
    return content


def _text(path: Path, content: dict[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise _bad(path, f"has no {name}: is it the JSON file of a service account?")
    return value


def _rsa_key(path: Path, pem: str) -> "RSAPrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _bad(path, "has a private_key that is not an unencrypted PEM key") from None
    if not isinstance(key, RSAPrivateKey):
        raise _bad(path, "has a private_key that is not an RSA key")
    if key.key_size < 2048:  # RFC 7518 §3.3
        raise _bad(path, "has a private_key of fewer than 2048 bits")
    return key


def _web_address(option: str, url: str) -> str:
    if not _is_web_address(url):
        raise contract.BadOption(f"{option} is not an https address", option)
    return url


def _is_web_address(url: str) -> bool:
    """https; plain http only to this machine, where a stand-in may be."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.scheme not in ("https", "http"):
        return False
    return parts.scheme == "https" or host in ("127.0.0.1", "::1", "localhost")
