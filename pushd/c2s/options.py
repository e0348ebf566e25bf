"""What all streams of clients share, and how the door treats them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from pushd.c2s.login import Logins
from pushd.net.pace import Budgets
from pushd.net.tls import CertificateStore
from pushd.routing.host import Host
from pushd.wire.errors import StreamError
from pushd.wire.framer import Limits
from pushd.wire.stream import State


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """How the door for clients treats them."""

    unauthenticated: Limits = field(default_factory=lambda: Limits(10_000, depth=10))
    authenticated: Limits = field(default_factory=Limits)
    authentication_timeout: float = 30.0  # seconds from the connection to a session
    backlog: int = 16 << 20  # bytes that may wait for a client that does not read
    silence: float = 600.0  # seconds until a client that says nothing is asked; 0 is never
    login_attempts: int = 5  # on one stream (RFC 6120 §6.4.5)
    sessions_per_account: int = 20


class Open(Protocol):
    """A stream that is open, at whatever stage."""

    @property
    def state(self) -> State:
        """How far it has come."""

    def offended(self, error: StreamError) -> None:
        """Close it with an error; a session that can be resumed waits for that."""


@dataclass(slots=True)
class Door:
    """What all streams of clients share. Without certificates logins go without TLS.

    The options may be exchanged at any time: each step of a stream asks for them anew.
    """

    host: Host
    logins: Logins
    certificates: CertificateStore | None
    options: DoorOptions
    budgets: Budgets = field(default_factory=Budgets)
    streams: set[Open] = field(default_factory=set)
    features: dict[tuple[object, ...], bytes] = field(default_factory=dict)  # as they are said
    resumptions: Counter[str] = field(default_factory=Counter)  # "resumed", or what was wrong
