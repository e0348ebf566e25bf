"""An HTTP proxy, as the way out of a house that lets nobody out otherwise."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pushd.config.document import Node, Scalar
from pushd.config.files import Hidden
from pushd.config.kinds import Reading
from pushd.wire.secret import Secret


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that opens tunnels (CONNECT, RFC 9110 §9.3.6)."""

    host: str
    port: int
    user: str = ""  # "" when it asks for none
    password: Secret = field(default=Secret(""))

    def __repr__(self) -> str:
        return f"<Proxy {self}>"

    def __str__(self) -> str:
        """Where it is, without who we are to it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


DIRECT = Proxy("", 0)  # no proxy, where there would be one otherwise


@dataclass(frozen=True)
class ProxyUrl(Hidden):
    """A proxy's URL, or where it is kept, as it may hold a password; or `direct`."""

    may_be_direct: bool = False

    @property
    def title(self) -> str:  # type: ignore[override]
        return "URL of a proxy, or ``direct``" if self.may_be_direct else "URL of a proxy"

    @property
    def expected(self) -> str:  # type: ignore[override]
        text = (
            "a proxy's URL such as http://proxy.example.net:3128 or http://USER:PASSWORD@HOST:PORT,"
            " {file: path} or {env: NAME}"
        )
        return f"{text}, or direct" if self.may_be_direct else text

    def read(self, node: Node, reading: Reading) -> Any:
        text = super().read(node, reading).reveal().strip()
        if self.may_be_direct and text == "direct" and isinstance(node, Scalar):
            return DIRECT
        proxy = _proxy(text)
        if proxy is None:
            reading.refuse(node, _found(text), self.expected)
        return proxy

    def show(self, value: Any) -> str:
        return "direct" if value == DIRECT else f"http://{value}"


ProxyAddress = Annotated[Proxy, ProxyUrl()]
ProxyOrNone = Annotated[Proxy, ProxyUrl(may_be_direct=True)]


def _proxy(text: str) -> Proxy | None:
    """Nothing for what is no http URL of a host and a port."""
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
        user, password = unquote(url.username or ""), unquote(url.password or "")
    except ValueError:
        return None
    is_plain = text.isascii() and text.isprintable() and " " not in text
    if url.scheme != "http" or not host or not port or not is_plain:
        return None
    if url.path not in ("", "/") or url.query or url.fragment or not re.fullmatch(_HOST, host):
        return None
    if (":" in user) or (password and not user):
        return None
    return Proxy(host, port, user, Secret(password))


_HOST = r"[0-9A-Za-z._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"


def _found(text: str) -> str:
    """What stands there, as far as it can be told."""
    if text.startswith("https:"):
        return "a proxy that is spoken to by TLS, which this release does not do"
    if text.startswith(("socks", "socks5")):
        return "a SOCKS proxy, which this release does not do"
    if re.fullmatch(r"http://[^/@]+/?", text):
        return "a URL without a port"
    return "something else"
