"""What APNs wants of a notification: its headers, its payload, and how they agree.

Read from Apple's "Sending notification requests to APNs" and "Generating a remote
notification". What Apple frowns at but takes is no refusal but a *remark*, for the record.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from pushd.simulators.apns_reasons import Refused

MOST = 4_096  # bytes of a payload
MOST_OF_VOIP = 5_120
LONGEST_COLLAPSE_ID = 64  # bytes
LONGEST_STORED = 30 * 86_400  # seconds that a notification is stored at most
SKEW = 300  # seconds by which a provider's clock may be behind
SHORTEST_TOKEN = 64  # digits
LONGEST_TOKEN = 400

# By push type, what a topic ends with; "" is the bundle id alone.
SUFFIXES = {
    "alert": "",
    "background": "",
    "mdm": "",
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
    "location": ".location-query",
    "pushtotalk": ".voip-ptt",
    "liveactivity": ".push-type.liveactivity",
    "controls": ".push-type.controls",
    "widgets": ".push-type.widgets",
}
PRIORITIES = ("10", "5", "1")
SEEN = ("alert", "badge", "sound")  # what in `aps` a person notices
LEVELS = ("passive", "active", "time-sensitive", "critical")
KNOWN = frozenset(
    (
        *SEEN,
        "thread-id",
        "category",
        "content-available",
        "mutable-content",
        "target-content-id",
        "interruption-level",
        "relevance-score",
        "filter-criteria",
        "content-changed",
        *("timestamp", "event", "content-state", "stale-date", "dismissal-date"),
        *("attributes-type", "attributes", "input-push-token", "input-push-channel", "url-args"),
    )
)
# What is about one request, or about what its headers say of it. Others are not looked at.
SINGLE = (
    "authorization",
    "apns-collapse-id",
    "apns-expiration",
    "apns-id",
    "apns-priority",
    "apns-push-type",
    "apns-topic",
)

_PATH = re.compile(r"/3/device/([^/?#]*)")
_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2})+")
_TOPIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,12}")

Pairs = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True)
class Push:
    """What a request says of itself, as far as it could be read."""

    token: str = field(default="", repr=False)  # lower-case
    topic: str = ""  # "" where it is left out
    push_type: str = ""
    priority: int = 10
    expiration: int | None = None  # seconds since the epoch; 0: now or never
    collapse_id: str = ""
    id: str = ""
    message: Any = field(default=None, repr=False)
    remarks: list[str] = field(default_factory=list)


def token_in(path: str) -> str:
    """The device token of a path, as it stands there. Raises Refused for another path."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise Refused("BadPath")
    return found[1]


def once(pairs: Pairs) -> Mapping[str, str]:
    """The headers by name. Raises Refused where one of APNs's own is there twice."""
    headers: dict[str, str] = {}
    for name_bytes, value in pairs:
        name = bytes(name_bytes).decode("ascii", "replace")
        if name in headers and name in SINGLE:
            raise Refused("DuplicateHeaders")
        headers[name] = bytes(value).decode("utf-8", "replace")
    return headers


def read_headers(push: Push, headers: Mapping[str, str], now: float) -> None:
    """Check the headers and fill in what they say. Raises Refused."""
    push.id = headers.get("apns-id", "")
    if push.id and not _UUID.fullmatch(push.id):
        raise Refused("BadMessageId")
    if push.id != push.id.lower():
        push.remarks.append("apns-id is not in lower case")
    _read_push_type(push, headers)
    _read_expiration(push, headers, now)
    push.collapse_id = headers.get("apns-collapse-id", "")
    if len(push.collapse_id.encode("utf-8", "replace")) > LONGEST_COLLAPSE_ID:
        raise Refused("BadCollapseId")
    push.topic = headers.get("apns-topic", "")
    if push.topic and not _TOPIC.fullmatch(push.topic):
        raise Refused("BadTopic")
    if headers.get("content-encoding", "identity") != "identity":
        push.remarks.append("a payload is never compressed")


def _read_push_type(push: Push, headers: Mapping[str, str]) -> None:
    push.push_type = headers.get("apns-push-type", "")
    if not push.push_type:
        push.remarks.append("apns-push-type is missing")
    elif push.push_type not in SUFFIXES:
        raise Refused("InvalidPushType")
    priority = headers.get("apns-priority", "10")
    if priority not in PRIORITIES:
        raise Refused("BadPriority")
    push.priority = int(priority)


def _read_expiration(push: Push, headers: Mapping[str, str], now: float) -> None:
    said = headers.get("apns-expiration")
    if said is None:
        return
    if not _SECONDS.fullmatch(said):
        raise Refused("BadExpirationDate")
    push.expiration = int(said)
    if push.expiration and push.expiration < now - SKEW:
        # Apple would try once and say nothing; whoever sends this means something else.
        raise Refused("BadExpirationDate")
    if push.expiration > now + LONGEST_STORED:
        push.remarks.append("apns-expiration: nothing is stored for more than 30 days")


def check_topic(push: Push) -> None:
    """Whether the topic fits the push type. Raises Refused."""
    suffix = SUFFIXES.get(push.push_type, "")
    others = [one for one in SUFFIXES.values() if one and one != suffix]
    if not push.topic.endswith(suffix) or push.topic.endswith(tuple(others)):
        raise Refused("TopicDisallowed")


def read_payload(push: Push, body: bytes) -> None:
    """Check the payload and whether the headers are right about it. Raises Refused."""
    try:
        push.message = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        push.message = None
    if len(body) > (MOST_OF_VOIP if push.push_type == "voip" else MOST):
        raise Refused("PayloadTooLarge")
    payload = push.message
    # Apple has no reason of its own for what is no payload.
    if not isinstance(payload, dict) or not isinstance(payload.get("aps"), dict):
        if push.push_type == "mdm" and isinstance(payload, dict) and "mdm" in payload:
            return
        raise Refused("PayloadEmpty")
    aps = payload["aps"]
    is_silent = aps.get("content-available") == 1 and not any(name in aps for name in SEEN)
    if push.push_type == "background":
        if not is_silent:
            raise Refused("InvalidPushType")
        if push.priority == 10:
            raise Refused("BadPriority")
    elif push.push_type == "alert" and not any(name in aps for name in SEEN):
        raise Refused("InvalidPushType")
    elif not push.push_type and is_silent and push.priority == 10:
        raise Refused("BadPriority")
    push.remarks += _oddities(aps)


def check_token(token: str) -> str:
    """A device token in lower case. Raises Refused for what can be none."""
    if not token:
        raise Refused("MissingDeviceToken")
    if not _TOKEN.fullmatch(token) or not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
        raise Refused("BadDeviceToken")
    return token.lower()


def _oddities(aps: Mapping[str, Any]) -> list[str]:
    """What in `aps` a device would not understand, and drop without a word."""
    found = [f"aps has no {name!r}" for name in sorted(aps.keys() - KNOWN)]
    alert, sound, badge = aps.get("alert", ""), aps.get("sound", ""), aps.get("badge", 0)
    for is_right, words in (
        (isinstance(alert, str | dict), "alert is neither text nor an object"),
        (isinstance(sound, str | dict), "sound is neither text nor an object"),
        (_is_whole(badge) and badge >= 0, "badge is not a whole number"),
        (_is_flag(aps, "content-available"), "content-available is not 1"),
        (_is_flag(aps, "mutable-content"), "mutable-content is not 1"),
        ("mutable-content" not in aps or "alert" in aps, "mutable-content wants an alert"),
        (aps.get("interruption-level", LEVELS[0]) in LEVELS, "interruption-level is unknown"),
        (_is_share(aps.get("relevance-score", 0)), "relevance-score is not from 0 to 1"),
    ):
        if not is_right:
            found.append(f"aps: {words}")
    return found


def _is_flag(aps: Mapping[str, Any], name: str) -> bool:
    return name not in aps or (_is_whole(aps[name]) and aps[name] == 1)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")  # NaN and Infinity, which Python would take
