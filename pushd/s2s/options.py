"""What this server demands of other servers, and what it spends on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pushd.net.origins import Origins
from pushd.net.pace import Rate
from pushd.wire.framer import Limits

T = TypeVar("T")

REQUIRE = "require"  # a certificate that is valid for the domain
DIALBACK = "dialback"  # that, or dialback
DENY = "deny"


@dataclass(frozen=True, slots=True)
class Options:
    """Durations are seconds, sizes bytes."""

    policy: str = REQUIRE
    rules: Mapping[str, str] = field(default_factory=dict)  # for domains, and those below them
    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # where DNS does not count
    unauthenticated: Limits = field(default_factory=lambda: Limits(10_000, depth=10))
    limits: Limits = field(default_factory=Limits)
    authentication_timeout: float = 30.0
    patience: float = 60.0  # for which a stanza waits for a stream
    idle: float = 600.0  # for which a stream lives without stanzas
    queue_stanzas: int = 1_000  # that wait for one domain
    queue_bytes: int = 2_000_000
    streams_per_domain: int = 10  # that one domain may open to one of ours
    rate: Rate = field(default_factory=Rate)  # of a domain and those beside it
    origins: Origins = field(default_factory=Origins)  # who has no such limit

    @property
    def backlog(self) -> int:
        """Bytes that may wait for a peer that does not read, who gets no more stanzas by then."""
        return 2 * self.queue_bytes + (2 << 20)

    def policy_for(self, domain: str) -> str:
        """What a domain has to prove."""
        return _nearest(domain, self.rules) or self.policy

    def place_of(self, domain: str) -> tuple[str, int] | None:
        """Where its server is, if that is not for name servers to say."""
        return _nearest(domain, self.places)


def _nearest(domain: str, known: Mapping[str, T]) -> T | None:
    """What is known of the domain, or else of the nearest one above it."""
    name = domain
    while name:
        if name in known:
            return known[name]
        name = name.partition(".")[2]
    return None
