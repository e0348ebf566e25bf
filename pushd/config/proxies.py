"""An HTTP proxy, as the way out of a house that lets nobody out otherwise."""

from dataclasses import dataclass, field

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
