"""The metrics of streams between servers. No label is a domain: strangers could make any number."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import Metric

from pushd.admin.families import counters, gauge, gauges
from pushd.admin.tallies import PeerTallies

if TYPE_CHECKING:
    from pushd.s2s.peers import Peers


def peers(tallies: PeerTallies, known: "Peers | None") -> Iterator[Metric]:
    """Nothing, where other servers are not talked with."""
    if known is None:
        return
    streams = {
        "in": sum(bool(one.pairs) and not one.is_ours for one in known.streams),
        "out": sum(bool(one.facts.method) and one.is_ours for one in known.streams),
    }
    words = "Streams between servers that stand, by who opened them."
    yield gauges("pushd_peer_streams", words, ["direction"], streams)
    words = "Streams between servers that came to stand, and how who opened them proved himself."
    yield counters("pushd_peer_connections", words, ["direction", "method"], tallies.connected)
    words = "Attempts to open a stream that came to nothing, by the step that failed."
    yield counters("pushd_peer_failures", words, ["step"], tallies.failed)
    waiting = sum(len(route.queue) for route in known.routes.values())
    yield gauge("pushd_peer_waiting_stanzas", "Those that wait for a stream.", waiting)
    yield gauge("pushd_peer_waiting_bytes", "What these have.", known.waiting)
