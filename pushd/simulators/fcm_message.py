"""What FCM takes for a message: the rules of `projects.messages:send`.

Read from the REST reference of `projects.messages`, its discovery document, and the "FCM
error codes" page. A body passes two readers, which refuse in two ways:

- the JSON parser knows names and types. Its errors carry `google.rpc.BadRequest` alone and
  list everything at once;
- FCM knows what the values mean. Its errors carry `FcmError`, and name one thing.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_PAYLOAD = 4096  # bytes of keys and values
MAX_TOPIC_PAYLOAD = 2048  # to topics and conditions
MAX_TTL = 2_419_200  # seconds
MAX_DEPTH = 100  # objects and lists within each other

# A registration token is opaque; what is sent must have arrived as the device gave it.
_TOKEN = re.compile(r"[A-Za-z0-9_:.~-]{1,4096}")
_TOPIC = re.compile(r"[A-Za-z0-9_.~%-]{1,900}")
_DURATION = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s")
_TARGETS = ("token", "topic", "condition", "fid")


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong, and where; `field` is "" when it is everywhere."""

    field: str
    description: str


class Unreadable(Exception):
    """The JSON parser's refusal: names or types that the API does not have."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("\n".join(violation.description for violation in violations))
        self.violations = violations


class Invalid(Exception):
    """FCM's refusal; `violation` is None when it names no field, `about_token` for that kind."""

    def __init__(self, message: str, field: str | None = None, about_token: bool = False) -> None:
        super().__init__(message)
        self.violation = None if field is None else Violation(field, message)
        self.about_token = about_token


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is as it should be."""

    token: str  # or the Firebase installation id; "" for a topic or a condition
    content: Mapping[str, Any]  # as it came


def read(body: bytes) -> Any:
    """The JSON of a request's body, whatever it holds; raises Unreadable."""

    def refuse_constant(name: str) -> None:
        raise ValueError(f"unexpected token {name}")

    try:
        request = json.loads(body.decode("utf-8"), parse_constant=refuse_constant)
        _check_depth(request, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        violation = Violation("", f"Invalid JSON payload received. {error}")
        raise Unreadable([violation]) from None
    return request


def _check_depth(value: Any, left: int) -> None:
    if isinstance(value, dict | list):
        if not left:
            raise ValueError("Message too deep.")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, left - 1)


def check(request: Any) -> Message:
    """Check what `read` gave by all rules; raises Unreadable or Invalid."""
    violations: list[Violation] = []
    known = _Reader(violations).message(request, "", _REQUEST)
    if violations:
        raise Unreadable(violations)
    message = known.get("message")
    if message is None:
        raise Invalid("Request contains an invalid argument.", "message")
    target = _check_target(message)
    _check_ttl(message.get("android", {}))
    _check_data_keys(message)
    is_for_one = target in ("token", "fid")
    _check_size(message, MAX_PAYLOAD if is_for_one else MAX_TOPIC_PAYLOAD)
    return Message(message[target] if is_for_one else "", request["message"])


def target_of(request: Any) -> tuple[str, Any]:
    """The device token and the message of a request that may be anything, for the record."""
    message = request.get("message") if isinstance(request, dict) else None
    if not isinstance(message, dict):
        return "", request
    token = message.get("token", message.get("fid"))
    return token if isinstance(token, str) else "", message


def is_dry_run(request: Any) -> bool:
    """Whether it asks for nothing to be delivered, which may hold anything besides."""
    names = ("validate_only", "validateOnly")
    return isinstance(request, dict) and any(request.get(name) is True for name in names)


# --- The parser: names and types -------------------------------------------------------

# A reader takes a value and its path and gives it back, after noting what is wrong with it.
_Kind = Callable[["_Reader", Any, str], Any]
_Fields = Mapping[str, _Kind]


class _Reader:
    """Reads JSON as proto3 has it: names in camelCase too, null for absent."""

    def __init__(self, violations: list[Violation]) -> None:
        self._violations = violations

    def message(self, value: Any, path: str, fields: _Fields) -> dict[str, Any]:
        """An object with these fields only; gives what is known of it, by its snake_case name."""
        if not isinstance(value, dict):
            what = "Root element must be a message." if not path else "Expected an object."
            self.refuse(path, f"Invalid JSON payload received. {what}")
            return {}
        names = {field: field for field in fields} | {_camel(field): field for field in fields}
        known: dict[str, Any] = {}
        for name, inner in value.items():
            proper = names.get(name)
            at = f"{path}.{proper}".lstrip(".")
            if proper is None:
                where = f" at '{path}'" if path else ""
                self.refuse(
                    path,
                    f'Invalid JSON payload received. Unknown name "{name}"{where}: '
                    "Cannot find field.",
                )
            elif proper in known:
                self.refuse(path, f"Invalid JSON payload received. '{at}' is there twice.")
            elif inner is not None:
                known[proper] = fields[proper](self, inner, at)
        return known

    def refuse(self, path: str, description: str) -> None:
        self._violations.append(Violation(path, description))

    def mistyped(self, path: str, kind: str, value: Any, why: str = "") -> None:
        shown = why or json.dumps(value, ensure_ascii=False)
        self.refuse(path, f"Invalid value at '{path}' ({kind}), {shown}")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _string(reader: _Reader, value: Any, path: str) -> str:
    if not isinstance(value, str):
        reader.mistyped(path, "TYPE_STRING", value)
        return ""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, written as an escape
        reader.mistyped(path, "TYPE_STRING", value, "the text is not valid UTF-8")
        return ""
    return value


def _boolean(reader: _Reader, value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        reader.mistyped(path, "TYPE_BOOL", value)
    return value is True


def _integer(reader: _Reader, value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**31:
        reader.mistyped(path, "TYPE_INT32", value)
        return 0
    return value


def _number(reader: _Reader, value: Any, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        reader.mistyped(path, "TYPE_FLOAT", value)
        return 0.0
    return value


def _duration(reader: _Reader, value: Any, path: str) -> str:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        name = path.rpartition(".")[2]
        why = f"Field '{name}', Illegal duration format; duration must end with 's'"
        reader.mistyped(path, "type.googleapis.com/google.protobuf.Duration", value, why)
        return "0s"
    return value


def _anything(reader: _Reader, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        reader.mistyped(path, "type.googleapis.com/google.protobuf.Struct", value)
        return {}
    return value


def _strings(reader: _Reader, value: Any, path: str) -> dict[str, str]:
    """A map of strings. Its entries are counted in the path, as they are on the wire."""
    if not isinstance(value, dict):
        reader.mistyped(path, "Map", value)
        return {}
    known = {}
    for index, (name, inner) in enumerate(value.items()):
        name = _string(reader, name, f"{path}[{index}].key")
        known[name] = _string(reader, inner, f"{path}[{index}].value")
    return known


def _list_of(kind: _Kind) -> _Kind:
    def read_list(reader: _Reader, value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            reader.mistyped(path, "repeated field", value)
            return []
        return [kind(reader, inner, f"{path}[{index}]") for index, inner in enumerate(value)]

    return read_list


def _one_of(name: str, *values: str) -> _Kind:
    def read_enum(reader: _Reader, value: Any, path: str) -> str:
        if not isinstance(value, str) or value.upper() not in values:
            reader.mistyped(path, f"type.googleapis.com/google.firebase.fcm.v1.{name}", value)
            return values[0]
        return value.upper()

    return read_enum


def _object(**fields: _Kind) -> _Kind:
    def read_object(reader: _Reader, value: Any, path: str) -> dict[str, Any]:
        return reader.message(value, path, fields)

    return read_object


_ANDROID_NOTIFICATION = _object(
    **dict.fromkeys(
        (
            *("title", "body", "icon", "color", "sound", "tag", "click_action", "body_loc_key"),
            *("title_loc_key", "channel_id", "ticker", "event_time", "image"),
        ),
        _string,
    ),
    **dict.fromkeys(
        (
            *("sticky", "local_only", "default_sound", "default_vibrate_timings"),
            *("default_light_settings", "bypass_proxy_notification"),
        ),
        _boolean,
    ),
    body_loc_args=_list_of(_string),
    title_loc_args=_list_of(_string),
    vibrate_timings=_list_of(_duration),
    notification_count=_integer,
    notification_priority=_one_of(
        "AndroidNotification.NotificationPriority",
        *(f"PRIORITY_{each}" for each in ("UNSPECIFIED", "MIN", "LOW", "DEFAULT", "HIGH", "MAX")),
    ),
    visibility=_one_of(
        "AndroidNotification.Visibility", "VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"
    ),
    proxy=_one_of(
        "AndroidNotification.Proxy", "PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"
    ),
    light_settings=_object(
        color=_object(red=_number, green=_number, blue=_number, alpha=_number),
        light_on_duration=_duration,
        light_off_duration=_duration,
    ),
)

_ANDROID = _object(
    collapse_key=_string,
    priority=_one_of("AndroidMessagePriority", "NORMAL", "HIGH"),
    ttl=_duration,
    restricted_package_name=_string,
    data=_strings,
    notification=_ANDROID_NOTIFICATION,
    fcm_options=_object(analytics_label=_string),
    direct_boot_ok=_boolean,
    bandwidth_constrained_ok=_boolean,
    restricted_satellite_ok=_boolean,
)

_MESSAGE = _object(
    name=_string,  # output only, and ignored
    token=_string,
    topic=_string,
    condition=_string,
    fid=_string,
    data=_strings,
    notification=_object(title=_string, body=_string, image=_string),
    android=_ANDROID,
    webpush=_object(
        headers=_strings,
        data=_strings,
        notification=_anything,
        fcm_options=_object(link=_string, analytics_label=_string),
    ),
    apns=_object(
        headers=_strings,
        payload=_anything,
        live_activity_token=_string,
        fcm_options=_object(analytics_label=_string, image=_string),
    ),
    fcm_options=_object(analytics_label=_string),
)

_REQUEST: _Fields = {"message": _MESSAGE, "validate_only": _boolean}


# --- FCM: what the values mean ---------------------------------------------------------


def _check_target(message: Mapping[str, Any]) -> str:
    """The name of the one target that a message has."""
    targets = [name for name in _TARGETS if message.get(name)]
    if not targets:
        raise Invalid("Recipient of the message is not set.", "message")
    if len(targets) > 1:
        # The parser's to say: all of them are one `oneof`, which can be set once.
        raise Unreadable(
            [
                Violation(
                    "message",
                    "Invalid value at 'message' (oneof), oneof field 'target' is already set. "
                    f"Cannot set '{name}'",
                )
                for name in targets[1:]
            ]
        )
    value = message[targets[0]]
    if targets[0] in ("token", "fid") and not _TOKEN.fullmatch(value):
        raise Invalid(
            "The registration token is not a valid FCM registration token", about_token=True
        )
    if targets[0] == "topic" and not _TOPIC.fullmatch(value):
        raise Invalid("Topic name contains invalid characters.", "message")
    return targets[0]


def _check_ttl(android: Mapping[str, Any]) -> None:
    ttl = android.get("ttl", "0s")
    if not 0 <= float(ttl.removesuffix("s")) <= MAX_TTL:
        raise Invalid(
            f"Invalid TTL {ttl}: it must be from 0s to {MAX_TTL}s.", "message.android.ttl"
        )


def _check_data_keys(message: Mapping[str, Any]) -> None:
    by_platform = {
        "message.data": message.get("data", {}),
        "message.android.data": message.get("android", {}).get("data", {}),
        "message.webpush.data": message.get("webpush", {}).get("data", {}),
    }
    for field, data in by_platform.items():
        for key in data:
            if key in ("from", "message_type") or key.startswith(("google", "gcm")):
                raise Invalid(f"Invalid data payload key: {key}", field)


def _check_size(message: Mapping[str, Any], limit: int) -> None:
    common = message.get("data", {})
    shown = message.get("notification", {})
    for platform in ("android", "webpush"):
        own = message.get(platform, {})
        # A platform's own data and texts stand in the place of the common ones.
        size = _size(own.get("data", common)) + _size(shown | own.get("notification", {}))
        if size > limit:
            raise Invalid(f"Message is too large. The maximum is {limit // 1024}K ({limit} bytes).")


def _size(payload: Mapping[str, Any]) -> int:
    """The bytes of keys and of values that are text."""
    return sum(
        len(key.encode()) + (len(value.encode()) if isinstance(value, str) else 0)
        for key, value in payload.items()
    )
