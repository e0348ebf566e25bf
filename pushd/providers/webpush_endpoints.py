"""Web Push: which endpoints are taken. Each is an address that a stranger has us post to.

An endpoint is kept as it is, byte for byte. Where its name leads is judged when a connection
is made (`net.public`).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from pushd.net.public import may_be_public
from pushd.providers.contract import BadField

LONGEST = 1000  # bytes, as UnifiedPush has it
PORTS = {"https": 443, "http": 80}
LEAST_PORT = 1024  # of those that are taken besides 443

_FORM = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*)?"  # RFC 3986 §2, without a fragment
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an endpoint is."""

    origin: str  # scheme, host, and port unless it is the scheme's own (RFC 6454 §6.2)
    is_private: bool  # the operator lets it be anywhere
    is_stand_in: bool = False  # it is below the address that the operator named


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator lets in. A host stands for those below it as well."""

    allowed: tuple[str, ...] = ()  # hosts; none: all that are not denied
    denied: tuple[str, ...] = ()
    allow_private: bool = False
    stand_in: str = ""  # a URL below which all is taken

    def place(self, endpoint: str) -> Place:
        """Raises BadField. What it says of a host does not tell what there is at that host."""
        form = _FORM.fullmatch(endpoint)
        if form is None or len(endpoint) > LONGEST:
            raise _bad(f"is no https address of {LONGEST} characters at most, without a fragment")
        scheme, host, port = form["scheme"], form["host"].lower(), _port(form)
        name = _name(host)
        origin = f"{scheme}://{f'[{name}]' if ':' in name else name}"
        if port != PORTS[scheme]:
            origin += f":{port}"
        if self.stand_in and endpoint.startswith(f"{self.stand_in.rstrip('/')}/"):
            return Place(origin, is_private=True, is_stand_in=True)
        if scheme == "http" and not (self.allow_private and _is_loopback(name)):
            raise _bad("is not an https address")
        if not (port == 443 or port >= LEAST_PORT or self.allow_private):
            raise _bad("has a port that is not used here: 443, or one from 1024")
        if not self._admits(name):
            raise _bad("its host is not served here")
        return Place(origin, self.allow_private)

    def _admits(self, name: str) -> bool:
        if _is_among(name, self.denied) or (self.allowed and not _is_among(name, self.allowed)):
            return False
        return self.allow_private or may_be_public(name)


def _port(form: "re.Match[str]") -> int:
    port = PORTS[form["scheme"]] if form["port"] is None else int(form["port"])
    if not 0 < port < 65_536:
        raise _bad("has no port that could be")
    return port


def _name(host: str) -> str:
    """A name in lower case, or an address as it is usually spelt. Raises BadField."""
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise _bad("its host is no address") from None
    if not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise _bad("its host has no name that could be (other letters than a to z as xn--…)")
    return host


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _is_among(name: str, hosts: Collection[str]) -> bool:
    return any(name == host or name.endswith(f".{host}") for host in map(str.lower, hosts))


def _bad(text: str) -> BadField:
    return BadField("endpoint", text)
