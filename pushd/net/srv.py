"""Where the servers of a domain are: RFC 6120 §3.2 and XEP-0368 §3, by DNS.

What is found says where to connect, and nothing about who is there: that is judged by the
domain that was asked for.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.defer import TimeoutError as DNSTimeout
from twisted.names import client, dns, error

PORT = 5269
SECURE, PLAIN = "_xmpps-server._tcp.", "_xmpp-server._tcp."
TIMEOUTS = (2, 4, 6)  # seconds for each try to ask a name server
MOST = 16  # places of a domain that are tried
LOOKED_AT = 64  # records of an answer, which may hold thousands

# What a name server says when there is no such record; all else is no answer.
NOTHING = (error.DNSNameError, error.AuthoritativeDomainError)


class LookupFailed(Exception):
    """The name servers give no answer, so that nobody knows where the domain is."""


class NoService(Exception):
    """The domain has no server for other servers, and says so; or there is no such domain."""


@dataclass(frozen=True, slots=True)
class Record:
    """An SRV record (RFC 2782); an empty host is the one that means no service."""

    priority: int
    weight: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """A place to try: by TLS from the first byte (XEP-0368), or by STARTTLS."""

    host: str  # a name or an IP address
    port: int
    direct: bool = False
    is_recorded: bool = field(default=True, compare=False)  # else nothing but the domain names it

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (" (direct TLS)" if self.direct else "")


class Lookup(Protocol):
    """Who asks name servers."""

    def records(self, name: str) -> "Deferred[list[Record]]":
        """The SRV records of a name; none where there are none. Fails with LookupFailed."""


class Resolver:
    """Asks name servers: those that are given, or those of the system."""

    def __init__(self, reactor: Any, servers: Sequence[tuple[str, int]] = ()) -> None:
        self._reactor = reactor
        self._servers = list(servers)
        self._client: Any = None

    def records(self, name: str) -> "Deferred[list[Record]]":
        """See `Lookup`."""
        asked: Deferred[Any] = self._asking().lookupService(name, TIMEOUTS)
        return asked.addCallbacks(_services, _failed)

    def addresses(self, name: str) -> "Deferred[list[str]]":
        """The IPv6 and IPv4 addresses of a name, none where it has none; as text.

        Fails with LookupFailed where there is none that is known, and no answer about one kind.
        """
        both = [
            self._asking().lookupIPV6Address(name, TIMEOUTS),
            self._asking().lookupAddress(name, TIMEOUTS),
        ]
        asked: Deferred[Any] = DeferredList(both, consumeErrors=True)
        return asked.addCallback(_addresses)

    def close(self) -> None:
        """Look at the system's configuration no more."""
        call = getattr(self._client, "_parseCall", None)
        if call is not None and call.active():
            call.cancel()
        self._client = None

    def _asking(self) -> Any:
        if self._client is None:
            resolv = None if self._servers else "/etc/resolv.conf"
            self._client = client.Resolver(resolv, self._servers or None, TIMEOUTS, self._reactor)
        return self._client


async def targets(domain: str, lookup: Lookup, chance: random.Random) -> list[Target]:
    """Where to try, in order. Raises NoService and LookupFailed."""
    host = address_of(domain)
    if host is not None:
        return [Target(host, PORT, is_recorded=False)]
    name = ascii_name(domain)
    asked = [lookup.records(f"{service}{name}") for service in (SECURE, PLAIN)]
    secure, plain = await DeferredList(asked, consumeErrors=True)
    if not secure[0] and not plain[0]:
        raise LookupFailed(f"the name servers have no answer for {domain}")
    direct: list[Record] = secure[1] if secure[0] else []
    usual: list[Record] = plain[1] if plain[0] else []
    found = [(record, True) for record in direct if record.host]
    found += [(record, False) for record in usual if record.host]
    if found:
        found.sort(key=lambda one: one[0].priority)
        return [
            Target(record.host, record.port, is_direct)
            for record, is_direct in in_order(found[:LOOKED_AT], chance)
        ][:MOST]
    if usual:
        raise NoService(f"{domain} says that it has no server")
    return [Target(name, PORT, is_recorded=False)]


def in_order(
    found: Sequence[tuple[Record, bool]], chance: random.Random
) -> list[tuple[Record, bool]]:
    """By priority, and among equals by chance and weight (RFC 2782); of both kinds together."""
    ordered = []
    for priority in sorted({record.priority for record, _ in found}):
        left = [one for one in found if one[0].priority == priority]
        left.sort(key=lambda one: one[0].weight)  # those of no weight first, as the RFC has it
        while left:
            drawn = chance.randint(0, sum(record.weight for record, _ in left))
            for place, (record, _) in enumerate(left):
                drawn -= record.weight
                if drawn <= 0:
                    ordered.append(left.pop(place))
                    break
    return ordered


def ascii_name(domain: str) -> str:
    """A domain as DNS and certificates have it."""
    if domain.isascii():
        return domain
    import idna

    return idna.encode(domain).decode()


def address_of(domain: str) -> str | None:
    """The IP address that a domain is, if it is one."""
    try:
        return str(ip_address(domain.strip("[]")))
    except ValueError:
        return None


def _services(answer: Any) -> list[Record]:
    found = []
    for one in answer[0]:
        if one.type == dns.SRV:
            payload = one.payload
            host = payload.target.name.decode("ascii", "replace").rstrip(".").lower()
            found.append(Record(payload.priority, payload.weight, host, payload.port))
    return found


def _failed(failure: Any) -> list[Record]:
    if failure.check(*NOTHING):
        return []
    if failure.check(DNSTimeout, error.DomainError, error.ResolverError, OSError):
        raise LookupFailed("the name servers give no answer")
    failure.raiseException()
    return []


def _addresses(results: list[tuple[bool, Any]]) -> list[str]:
    found = []
    for succeeded, answer in results:
        for one in answer[0] if succeeded else ():
            if one.type in (dns.A, dns.AAAA):
                found.append(one.payload.dottedQuad() if one.type == dns.A else _sixth(one))
    if not found and not all(succeeded or why.check(*NOTHING) for succeeded, why in results):
        raise LookupFailed("the name servers give no answer")
    return found


def _sixth(one: Any) -> str:
    return str(ip_address(one.payload.address))
