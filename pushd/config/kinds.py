"""How values are written: numbers, durations, sizes, domains, endpoints.

A field says its kind by its annotation: `hold: Duration`, `port: Annotated[int, Whole(0, 65535)]`,
`token: Secret`. A kind reads one node, says what would be right, and writes a value back.
Files and secrets are in `files`; what is made of several values (lists, mappings, sections)
is in `reader`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from pushd.config.document import Node, Scalar, shape
from pushd.config.problems import Report
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import prepare_domain


class Faulty(Exception):
    """A value could not be read; the report says why."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading needs besides the text: where problems go, and the world the text speaks of."""

    report: Report
    folder: Path  # relative paths start here
    environment: Mapping[str, str]
    providers: Mapping[str, type]  # provider type -> its Options
    modules: Mapping[str, type | None]  # module -> its Options, or None if it takes none
    now: float = 0.0  # seconds since the epoch; what certificates are judged by

    def refuse(self, node: Node, found: str, remedy: str) -> NoReturn:
        self.report.refuse(node.mark, node.key, found, remedy)
        raise Faulty

    def warn(self, node: Node, text: str) -> None:
        self.report.warn(node.mark, node.key, text)


class Kind(ABC):
    """How one kind of value is written."""

    @property
    @abstractmethod
    def title(self) -> str:
        """Its name in the reference page."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What would be right: completes "expected …" where something else stands."""

    @abstractmethod
    def read(self, node: Node, reading: Reading) -> Any:
        """The value at this node. What is wrong goes to the report, then raises Faulty."""

    def takes(self, node: Node) -> bool:
        """Whether the node has the shape of this kind, whatever is in it."""
        return isinstance(node, Scalar) and not node.is_null

    def show(self, value: Any) -> str:
        """The value as one would write it."""
        return str(value)


class Word(Kind):
    """A kind that is written as a single value."""

    def read(self, node: Node, reading: Reading) -> Any:
        if not isinstance(node, Scalar) or node.is_null:
            reading.refuse(node, shape(node), self.expected)
        try:
            return self.parse(node.text)
        except ValueError:
            reading.refuse(node, self.found(node.text), self.expected)

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Raises ValueError for a text that is none."""

    def found(self, text: str) -> str:
        return quoted(text)


@dataclass(frozen=True)
class Text(Word):
    title = "text"
    expected = "a text that is not empty"

    def parse(self, text: str) -> str:
        if not text:
            raise ValueError
        return text


@dataclass(frozen=True)
class Pattern(Word):
    """A text of a certain form, a regular expression; `example` says which in words."""

    form: str
    example: str
    title = "text"

    @property
    def expected(self) -> str:
        return self.example

    def parse(self, text: str) -> str:
        if not re.fullmatch(self.form, text, re.ASCII):
            raise ValueError
        return text


@dataclass(frozen=True)
class Truth(Word):
    title = "boolean"
    expected = "true or false"

    def parse(self, text: str) -> bool:
        word = text.lower()
        if word not in ("true", "yes", "on", "false", "no", "off"):
            raise ValueError
        return word in ("true", "yes", "on")

    def show(self, value: Any) -> str:
        return "true" if value else "false"


@dataclass(frozen=True)
class Choice(Word):
    options: tuple[str, ...]

    @property
    def title(self) -> str:
        return " or ".join(f"``{option}``" for option in self.options)

    @property
    def expected(self) -> str:
        return one_of(self.options)

    def parse(self, text: str) -> str:
        if text not in self.options:
            raise ValueError
        return text


@dataclass(frozen=True)
class Whole(Word):
    """A whole number within bounds, decimal. `052` is refused: YAML readers disagree on it."""

    least: int = 0
    most: int = 10**12
    title = "whole number"

    @property
    def expected(self) -> str:
        above = f" from {self.least}" if self.least else ""
        below = f" to {self.most}" if self.most < 10**12 else ""
        return f"a whole number{above}{below}, in decimal digits"

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"0|-?[1-9][0-9]{0,14}", text):
            raise ValueError
        return _within(int(text), self.least, self.most)


@dataclass(frozen=True)
class Decimal(Word):
    least: float = 0.0
    most: float = 1e12
    title = "number"
    expected = "a number such as 0.5, not negative"

    def parse(self, text: str) -> float:
        if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text):
            raise ValueError
        return _within(float(text), self.least, self.most)

    def show(self, value: Any) -> str:
        return f"{value:g}"


TIME = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
SIZE = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}


@dataclass(frozen=True)
class Span(Word):
    """A duration, in seconds."""

    least: float = 0.0
    most: float = 3650 * 86_400.0
    title = "duration"

    @property
    def expected(self) -> str:
        above = f" of at least {self.show(self.least)}" if self.least else ""
        return f"a duration{above} such as 300s, 5m, 72h or 1d (a bare number is seconds)"

    def parse(self, text: str) -> float:
        return _within(_measure(text, TIME), self.least, self.most)

    def show(self, value: Any) -> str:
        for unit, from_here in (("d", 604_800), ("h", 7200), ("m", 120)):
            if value >= from_here and value % TIME[unit] == 0:
                return f"{value / TIME[unit]:g}{unit}"
        return f"{value:g}s"


@dataclass(frozen=True)
class Bytes(Word):
    """A size, in bytes. KB is 1,000 bytes and KiB 1,024."""

    least: int = 0
    most: int = 2**40
    title = "size"

    @property
    def expected(self) -> str:
        above = f" of at least {self.show(self.least)}" if self.least else ""
        return f"a size{above} such as 64KiB, 256 KB or 10MB (a bare number is bytes)"

    def parse(self, text: str) -> int:
        value = _measure(text.lower(), SIZE)
        if value != int(value):
            raise ValueError
        return _within(int(value), self.least, self.most)

    def show(self, value: Any) -> str:
        for unit in ("GiB", "MiB", "KiB", "GB", "MB", "KB"):
            if value and value % SIZE[unit.lower()] == 0:
                return f"{value // SIZE[unit.lower()]}{unit}"
        return f"{value}"


@dataclass(frozen=True)
class Domain(Word):
    """A domain name, prepared as RFC 7622 §3.2 says."""

    title = "domain"
    expected = "a domain name such as example.net"

    def parse(self, text: str) -> str:
        try:
            return prepare_domain(text)
        except JIDMalformed:
            raise ValueError from None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen: an IP address, or "" for every address of the machine, and a port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return bool(self.host) and ip_address(self.host).is_loopback

    def overlaps(self, other: "Endpoint") -> bool:
        """Whether the two cannot be open at once. Port 0 is a free port each time."""
        same_host = self.host == other.host or not (self.host and other.host)
        return self.port == other.port != 0 and same_host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Listener(Word):
    title = "endpoint"
    expected = "an address and a port such as 127.0.0.1:5222, [::1]:5222 or :5222 (every address)"

    def parse(self, text: str) -> Endpoint:
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+|localhost)|):([0-9]{1,5})", text)
        if not match:
            raise ValueError
        bracketed, host, port = match.groups("")
        host = str(IPv6Address(bracketed)) if bracketed else host.replace("localhost", "127.0.0.1")
        if host:
            ip_address(host)
        return Endpoint(host, _within(int(port), 0, 65_535))


@dataclass(frozen=True)
class Subnet(Word):
    """A network of IP addresses, or a single one."""

    title = "network"
    expected = "an address or a network such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"

    def parse(self, text: str) -> IPv4Network | IPv6Network:
        return ip_network(text)

    def show(self, value: Any) -> str:
        text = str(value.network_address if value.num_addresses == 1 else value)
        return f"'{text}'" if ":" in text else text


@dataclass(frozen=True)
class WebAddress(Word):
    """A base URL without a final slash; or a whole one, kept as it is, which may have a query.

    Plain http is for what is on this machine only.
    """

    is_base: bool = True
    title = "URL"
    expected = "a URL such as https://push.example.net (http only for a loopback address)"

    def parse(self, text: str) -> str:
        url = urlsplit(text)
        host = url.hostname or ""
        is_local = host == "localhost" or (bool(re.fullmatch(r"[0-9.]+|[0-9a-f:.]*:.*", host)))
        is_local = is_local and (host == "localhost" or ip_address(host).is_loopback)
        fits = url.scheme == "https" or (url.scheme == "http" and is_local)
        plain = text.isascii() and text.isprintable() and not set(text) & set(" @#\\")
        plain = plain and not (self.is_base and "?" in text)
        if not (fits and plain and host and (url.port is None or url.port)):
            raise ValueError
        return text.rstrip("/") if self.is_base else text

    def found(self, text: str) -> str:
        is_hidden = set(text) & set("@?#") or not self.is_base
        return "something else" if is_hidden else quoted(text)


Duration = Annotated[float, Span()]
Size = Annotated[int, Bytes()]
DomainName = Annotated[str, Domain()]
Network = Annotated[IPv4Network | IPv6Network, Subnet()]
Url = Annotated[str, WebAddress()]
Positive = Annotated[int, Whole(least=1)]


def quoted(text: str) -> str:
    return repr(text) if len(text) <= 80 else f"{text[:77]!r}…"


def one_of(names: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "nothing"


def nearest(name: str, known: tuple[str, ...]) -> str:
    """The known name that an unknown one is a misspelling of, or ""."""
    from difflib import get_close_matches  # a server whose configuration is right needs it never

    return next(iter(get_close_matches(name[:80], known, n=1)), "")


def suggestion(name: str, known: tuple[str, ...]) -> str:
    """What an unknown name may have meant, else all that there are."""
    near = nearest(name, known)
    if near:
        return f"a known one: did you mean {near!r}?"
    return f"one of {', '.join(known)}" if known else "none here"


def _measure(text: str, units: Mapping[str, float]) -> float:
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)", text)
    if not match or match[2] not in units:
        raise ValueError
    return float(match[1]) * units[match[2]]


_Number = TypeVar("_Number", int, float)


def _within(value: _Number, least: _Number, most: _Number) -> _Number:
    if not least <= value <= most:
        raise ValueError
    return value
