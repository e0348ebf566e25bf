"""What goes over the wire, and what comes back: for providers, and for whoever carries it."""

import json as json_module
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from twisted.internet.defer import Deferred

from pushd.config.proxies import Proxy
from pushd.net.http import BODY_LIMIT, Fault

_ascii = json_module.JSONEncoder(separators=(",", ":")).encode
_text = json_module.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def as_json(content: object) -> bytes:
    """JSON in UTF-8 without white space; what no text may hold becomes a question mark."""
    return _text(content).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Link:
    """What a request wants of its connection. Equal links share connections."""

    ca_file: Path | None = None  # PEM; whose certificates are trusted. None: the platform's
    http2: bool = False  # HTTP/2 and nothing else. False: what the server and we can
    certificate: Path | None = None  # PEM; who we are, to a server that asks in the handshake
    key: Path | None = None  # PEM; of that certificate. None: it is in the same file
    proxy: Proxy | None = None  # the way out of the house. None: straight
    name: str = ""  # sets apart what must not share connections though all else is equal
    is_public: bool = False  # a stranger named the host: it has to be of the public internet


class Request:
    """An HTTP request. At most one of `body`, `json` and `form` (URL-encoded) is given.

    Its repr names the host alone: headers, and often the path, are secrets.
    """

    __slots__ = ("body", "field", "fresh", "headers", "link", "method", "url")

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        json: object = None,
        form: Mapping[str, str] | None = None,
        method: str = "POST",
        link: Link = Link(),
        fresh: bool = False,  # the link's connections take no more requests: open another
        field: str = "",  # where the device is called by a second token: the field that has it
    ) -> None:
        self.method = method
        self.url = url
        self.headers = dict(headers or {})
        self.body = body
        self.link = link
        self.fresh = fresh
        self.field = field
        if json is not None:
            self.body = _ascii(json).encode()
            self.headers.setdefault("content-type", "application/json")
        elif form is not None:
            self.body = urlencode(form).encode()
            self.headers.setdefault("content-type", "application/x-www-form-urlencoded")

    def __repr__(self) -> str:
        return f"<Request {self.method} {urlsplit(self.url).hostname}>"


@dataclass(frozen=True, slots=True)
class Response:
    """What a service answered. Header names are looked up in lower case; the body is cut."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        lowered = {name.lower(): value for name, value in self.headers.items()}
        object.__setattr__(self, "headers", lowered)
        object.__setattr__(self, "body", self.body[:BODY_LIMIT])

    def header(self, name: str) -> str:
        """The header's value; "" where it is absent."""
        return self.headers.get(name.lower(), "")

    def json(self) -> dict[str, Any]:
        """The JSON object in the body; {} where there is none that can be read."""
        try:
            value = json_module.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def retry_after(self, now: float) -> float | None:
        """Seconds that the service asks to wait (RFC 9110 §10.2.3); None if it does not say."""
        text = self.header("retry-after").strip()
        if re.fullmatch(r"[0-9]{1,10}", text, re.ASCII):
            return float(text)
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        return max(0.0, _epoch(date) - now)


def _epoch(date: datetime) -> float:
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True, slots=True)
class Failed:
    """No response. Neither the device nor what was sent is to blame."""

    fault: Fault
    reason: str


class Transport(Protocol):
    """Carries requests."""

    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        """Make one exchange within `timeout` seconds. Fails only with CancelledError."""
