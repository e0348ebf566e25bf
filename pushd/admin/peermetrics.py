"""The metrics of streams between servers. No label is a domain: strangers could make any number."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric

from pushd.admin.families import counters, gauge, gauges
from pushd.routing.events import Events, PeerConnected, PeerUnreachable
from pushd.s2s.incoming import Incoming
from pushd.s2s.outgoing import Outgoing
from pushd.s2s.peers import Peers


class PeerTallies:
    """What happened since the start, counted from events."""

    def __init__(self, events: Events) -> None:
        self.connected: Counter[tuple[str, str]] = Counter()  # by direction and method
        self.failed: Counter[str] = Counter()  # by step
        events.listen(PeerConnected, self._connected)
        events.listen(PeerUnreachable, self._failed)

    def _connected(self, event: PeerConnected) -> None:
        self.connected["out" if event.outgoing else "in", event.method] += 1

    def _failed(self, event: PeerUnreachable) -> None:
        self.failed[event.step] += 1


def peers(tallies: PeerTallies, known: Peers | None) -> Iterator[Metric]:
    """Nothing, where other servers are not talked with."""
    if known is None:
        return
    streams = {
        "in": sum(isinstance(one, Incoming) and bool(one.pairs) for one in known.streams),
        "out": sum(isinstance(one, Outgoing) and bool(one.facts.method) for one in known.streams),
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
