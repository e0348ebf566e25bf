"""Ubuntu Push: the notification service of Ubuntu Touch, kept by UBports.

It knows no developer: a device's token is all that a sender needs. What an app's helper gets is
a `message`, for itself, and a `notification`, which the phone shows as it stands.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from pushd.config.kinds import Duration, Url
from pushd.config.proxies import ProxyAddress
from pushd.providers import contract
from pushd.providers.contract import Accepted, Busy, Refused, Scope, Unregistered

DATA_LIMIT = 2048  # bytes of `data`
BODY_LIMIT = 4096  # bytes of all of it
LONGEST_TOKEN, LONGEST_APP = 1024, 255  # characters
NOBODY = b64encode(b"pushd_probe:nobody").decode()  # a token of another app than NO_APP
NO_APP = "pushd.probe_nothing"
CLEAR = "clear_pending"  # the remedy for too many that wait


@dataclass(frozen=True, slots=True)
class Options:
    # What a phone shows for a message.
    alert: str = "New message"
    # The same for a contact request.
    contact_alert: str = "New contact request"
    # The same for a call.
    call_alert: str = "Incoming call"
    # How long a notification is kept for a phone that cannot be reached.
    lifetime: Duration = 86_400.0
    # Where the service is.
    base_url: Url = "https://push.ubports.com"
    # The authorities (PEM) that may have signed its certificate, if not the usual ones.
    ca_file: Path | None = None
    # The way to it.
    proxy: ProxyAddress | None = None


class Ubuntu(contract.Provider):
    type = "ubuntu"
    register_fields = frozenset({"token", "application-id"})

    def __init__(self, options: Options) -> None:
        self.options = options
        self._texts = {
            "message": options.alert,
            "contact": options.contact_alert,
            "call": options.call_alert,
        }
        self._url = f"{options.base_url.rstrip('/')}/notify"
        self._link = contract.Link(contract.trusted(options.ca_file), proxy=options.proxy)

    @property
    def links(self) -> frozenset[contract.Link]:
        return frozenset({self._link})

    def check(self, fields: Mapping[str, str]) -> None:
        super().check(fields)
        if not re.fullmatch(rf"[!-~]{{1,{LONGEST_TOKEN}}}", fields["token"]):
            raise contract.BadField("token", "is none that Ubuntu Push gives")
        if not re.fullmatch(rf"[!-~]{{1,{LONGEST_APP}}}", fields["application-id"]):
            raise contract.BadField("application-id", "is no id of an app, such as app.name_app")

    def request(
        self,
        note: contract.Notification,
        device: contract.Device,
        now: float,
        sending: contract.Sending,
    ) -> contract.Request:
        tag = replace_tag(note.node)
        head = {
            "appid": device.fields.get("application-id", ""),
            "token": device.token.reveal(),
            "expire_on": self._end(note, now),
            "clear_pending": CLEAR in sending.remedies,
            "replace_tag": tag,
        }
        shown = self._shown(note, tag, str(head["appid"]))
        return contract.Request(
            self._url,
            headers={"content-type": "application/json"},
            body=_fitting(head, note, shown, sending.shrink),
            link=self._link,
        )

    def outcome(self, response: contract.Response, now: float) -> contract.Outcome:
        return read(response, now)

    def probe(self, now: float, sending: contract.Sending) -> contract.Request:
        """A notification to no phone: the service says that it knows none of that token."""
        asked = {
            "appid": NO_APP,
            "token": NOBODY,
            "expire_on": _instant(now + 60),
            "data": {"message": {}},
        }
        return contract.Request(
            self._url,
            headers={"content-type": "application/json"},
            body=contract.as_json(asked),
            link=self._link,
        )

    def _end(self, note: contract.Notification, now: float) -> str:
        """The service takes none that is past, so that a second is the least."""
        ends_at = now + self.options.lifetime
        if note.expires_at is not None:
            ends_at = min(ends_at, note.expires_at)
        return _instant(max(ends_at, now + 1))

    def _shown(self, note: contract.Notification, tag: str, app: str) -> dict[str, Any] | None:
        """A bubble that stays in the list and opens the app, and the number at its icon."""
        if not note.occasion:
            return None
        card = {"summary": self._texts[note.occasion], "popup": True, "persist": True}
        opening = opens(app)
        shown: dict[str, Any] = {
            "tag": tag,
            "card": {**card, "actions": [opening]} if opening else card,
            "sound": True,
            "vibrate": True,
        }
        if note.message_count is not None:
            count = min(note.message_count, 10**6)
            shown["emblem-counter"] = {"count": count, "visible": count > 0}
        return shown


def opens(app: str) -> str:
    """The address that opens an app, by its package and hook; "" for what can be none."""
    named = re.fullmatch(r"([A-Za-z0-9+.-]+)_([A-Za-z0-9+._-]+)", app, re.ASCII)
    return f"appid://{named[1]}/{named[2]}/current-user-version" if named else ""


def _instant(at: float) -> str:
    """As RFC 3339 has it."""
    end = datetime.fromtimestamp(at, UTC)
    return f"{end:%Y-%m-%dT%H:%M:%S}.{end.microsecond // 1000:03d}Z"


def replace_tag(node: str) -> str:
    """One per registration: a notification that still waits gives way to the next."""
    return "n" + sha256(node.encode()).hexdigest()[:16]


def _fitting(
    head: Mapping[str, Any],
    note: contract.Notification,
    shown: Mapping[str, Any] | None,
    shrink: bool,
) -> bytes:
    made = b""
    for data in _datas(note, shown, shrink):
        made = contract.as_json({**head, "data": data})
        if len(contract.as_json(data)) <= DATA_LIMIT and len(made) <= BODY_LIMIT:
            break
    return made


def _datas(
    note: contract.Notification, shown: Mapping[str, Any] | None, shrink: bool
) -> Iterator[dict[str, Any]]:
    """Less and less: without the body, without the senders, without the counts."""
    card = {} if shown is None else {"notification": shown}
    for summary in note.summaries(shrink):
        yield {"message": {"node": note.node, **summary}, **card}
    yield {"message": {}, **card}


# The answer.


def read(response: contract.Response, now: float) -> contract.Outcome:
    """The outcome of a response to `/notify`."""
    content = response.json()
    if response.status == 200:
        if content.get("ok") is True:
            return Accepted()
        return Refused("HTTP 200 without an ok: not the address of Ubuntu Push?", alarm=True)
    code, text = content.get("error"), content.get("message")
    word = code if isinstance(code, str) and re.fullmatch(r"[a-z-]{1,40}", code) else ""
    reason = f"{response.status} {word}".rstrip()
    after = response.retry_after(now)
    match response.status, word:
        case 400, "unknown-token":
            return Unregistered(reason=reason)
        case 401, "unauthorized":  # the token is another app's; or the app's id is wrong
            return Unregistered(guarded=True, reason=reason)
        case 413, "too-many-pending":
            return Refused(reason, remedy=CLEAR)
        case 413, _:
            return Refused(reason, shrink=True)
        case 400, "invalid-request":
            is_size = isinstance(text, str) and re.search(r"too (large|big|long)", text.lower())
            return Refused(reason, shrink=bool(is_size))
        case 400, "io-error":
            return Busy(after, Scope.BACKEND, reason)
        case (500, "internal") | (503, "unavailable"):
            return Busy(after, Scope.BACKEND, reason)
    outcome = contract.by_status(response, now)
    return Refused(reason) if isinstance(outcome, Refused) and not outcome.alarm else outcome
