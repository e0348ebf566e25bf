"""One scripted answer of a stand-in, in Python and as JSON."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from email.utils import formatdate
from enum import StrEnum
from typing import Any

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t -~]*")  # RFC 9110 §5.1, §5.5
LONGEST = 86_400.0  # seconds; whoever scripts a longer delay meant something else


class ScriptError(ValueError):
    """A script that makes no sense; the text says what is wrong with it."""


class Ending(StrEnum):
    """How far an answer gets."""

    WHOLE = "whole"
    STALL = "stall"  # nothing is sent and the connection stays open
    CUT = "cut"  # the connection is reset before anything is sent
    TRUNCATED = "truncated"  # it ends in the middle of the body
    ENDLESS = "endless"  # the body goes on until the reader has enough
    # Of HTTP/2; over HTTP/1.1 the connection is reset.
    RESET = "reset"  # RST_STREAM for this request, with `code`; the others go on
    GOAWAY = "goaway"  # GOAWAY: this one is not processed, those before it are answered
    LAST = "last"  # GOAWAY, and this one is the last to be answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to answer to one request, or to `times` of them (None: to all from here on).

    Without `error`, `status` and `body` the request is accepted, so that a delay or an
    ending can be tried alone. Raises ScriptError for values that cannot be.
    """

    error: str = ""  # by the vendor's name; it brings its own status
    status: int | None = None  # instead of the error's; a refusal alone: a front end's page
    retry_after: int | None = None  # seconds, sent as a number (RFC 9110 §10.2.3)
    retry_after_date: int | None = None  # seconds from now, sent as a date
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None  # instead of the vendor's own
    delay: float = 0.0  # seconds before anything is sent
    ending: Ending = Ending.WHOLE
    times: int | None = 1
    code: int | None = None  # of RST_STREAM or GOAWAY (RFC 9113 §7); else INTERNAL_ERROR, NO_ERROR
    lifetime: int | None = None  # seconds: of the access token that a token endpoint hands out

    def __post_init__(self) -> None:
        _whole(self.status, "status", 200, 599)
        _whole(self.retry_after, "retry_after", 0)
        _whole(self.retry_after_date, "retry_after_date", -(10**9), 10**9)
        _whole(self.times, "times", 1)
        _whole(self.code, "code", 0, 2**32 - 1)
        _whole(self.lifetime, "lifetime", 0, 10**9)
        if self.retry_after is not None and self.retry_after_date is not None:
            raise ScriptError("retry_after and retry_after_date exclude each other")
        if not _is_number(self.delay) or not 0 <= self.delay <= LONGEST:
            raise ScriptError(f"delay must be 0 to {LONGEST:g} seconds, not {self.delay!r}")
        _text(self.error, "error")
        if self.body is not None:
            _text(self.body, "body")
        if not isinstance(self.headers, Mapping):
            raise ScriptError(f"headers must be an object, not {self.headers!r}")
        for name, value in self.headers.items():
            _header(name, value)
        if self.ending not in list(Ending):
            raise ScriptError(f"ending must be one of {', '.join(Ending)}, not {self.ending!r}")

    def extra_headers(self, now: float) -> dict[str, str]:
        """The headers that the script adds to the vendor's own, at the time `now`."""
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.retry_after_date is not None:
            headers["Retry-After"] = formatdate(now + self.retry_after_date, usegmt=True)
        return headers

    def as_json(self) -> dict[str, Any]:
        """What of it differs from a plain acceptance, and how many `times` it is due."""
        plain = asdict(Answer())
        mine = asdict(self)
        return {name: value for name, value in mine.items() if value != plain[name]} | {
            "times": self.times
        }

    @classmethod
    def from_json(cls, value: object) -> "Answer":
        """Read an object with the names above; raises ScriptError and names what is wrong."""
        if not isinstance(value, dict):
            raise ScriptError(f"an answer is an object, not {value!r}")
        known = [each.name for each in fields(cls)]
        for name in value:
            if name not in known:
                raise ScriptError(f"an answer has no {name!r}; it has {', '.join(known)}")
        return cls(**value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: object, name: str, least: int, most: int | None = None) -> None:
    if value is None:
        return
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or value < least
        or (most is not None and value > most)
    ):
        span = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise ScriptError(f"{name} must be a whole number {span}, not {value!r}")


def _text(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise ScriptError(f"{name} must be text, not {value!r}")


def _header(name: object, value: object) -> None:
    _text(name, "a header's name")
    _text(value, f"the header {name!r}")
    if not _HEADER.fullmatch(f"{name}: {value}"):
        raise ScriptError(f"the header {name!r} has characters that HTTP does not carry")
