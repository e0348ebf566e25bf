"""Other servers, as the operator sees them: the streams there are, and one domain tried."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pushd.admin.operations import Operation, Refused
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import prepare_domain

if TYPE_CHECKING:  # where there is none, none of it is imported
    from pushd.s2s.peers import Peers
    from pushd.s2s.stream import Stream

OFF = "this server talks with no others: its configuration has no section s2s"


class Neighbours:
    """`peers` is None where no other servers are talked with."""

    waits = ("s2s-check",)

    def __init__(self, peers: "Peers | None") -> None:
        self._peers = peers

    def operations(self) -> Mapping[str, Operation]:
        return {"s2s-list": self.listed, "s2s-check": self.check}

    async def listed(self) -> dict[str, Any]:
        """The streams that stand, what waits for one, and who was turned away. Raises Refused."""
        peers = self._open()
        now = peers.clock.seconds()
        streams = [row for stream in peers.streams for row in _rows(stream, now)]
        waiting = [
            {
                "local": route.pair[0],
                "remote": route.pair[1],
                "stanzas": len(route.queue),
                "bytes": route.size,
                "fault": "" if route.fault is None else str(route.fault),
                "rests": max(0.0, route.rests_until - now),
            }
            for route in peers.routes.values()
            if route.link is None
        ]
        away = [
            {
                "local": local,
                "remote": remote,
                "times": one.times,
                "ago": now - one.at,
                "reason": one.reason,
            }
            for (local, remote), one in reversed(peers.turned_away.known.items())
        ]
        return {
            "turned_away": away,
            "streams": sorted(streams, key=lambda row: (row["remote"], row["local"])),
            "waiting": sorted(waiting, key=lambda row: (row["remote"], row["local"])),
        }

    async def check(self, domain: str, local: str = "") -> dict[str, Any]:
        """Try a domain, for one of ours. Raises Refused."""
        peers = self._open()
        from pushd.s2s.checking import check

        try:
            remote = prepare_domain(domain)
        except JIDMalformed:
            raise Refused(f"{domain}: a domain is expected") from None
        if peers.host.router.is_served(remote):
            raise Refused(f"{remote} is served here")
        ours = local or min(peers.host.domains)
        if not peers.host.router.is_served(ours):
            raise Refused(f"{ours} is not served here")
        steps = await check(peers, ours, remote)
        told = [{"name": step.name, "ok": step.is_fine, "text": step.text} for step in steps]
        return {"local": ours, "remote": remote, "steps": told, "ok": steps[-1].is_fine}

    def _open(self) -> "Peers":
        if self._peers is None:
            raise Refused(OFF)
        return self._peers


def _rows(stream: "Stream", now: float) -> list[dict[str, Any]]:
    """What there is to tell of a stream that stands; a row for each pair of domains on it."""
    return [
        {
            "local": local,
            "remote": remote,
            "direction": "out" if stream.is_ours else "in",
            "method": method,
            "tls": stream.facts.tls,
            "certificate": stream.facts.certificate,
            "idle": now - stream.used_at,
        }
        for (local, remote), method in stream.pairs.items()
    ]
