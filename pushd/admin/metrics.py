"""The metrics of a running server, in the text format of Prometheus or as OpenMetrics.

Counts of the past come from `tallies`; how things are is asked at the moment of a scrape.
docs/metrics.rst has each of them. No label is an address, a token or a text of a user.
"""

import gc
import os
import resource
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import InfoMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from pushd.admin.families import counter, counters, gauge, gauges
from pushd.admin.peermetrics import peers
from pushd.admin.pushmetrics import push
from pushd.admin.status import Status
from pushd.admin.tallies import Lag, Tallies
from pushd.c2s.options import Door
from pushd.net.admission import Admission
from pushd.routing.host import Host
from pushd.s2s.peers import Peers
from pushd.storage.sqlite import Database
from pushd.wire.stream import State


@dataclass(frozen=True, slots=True)
class Sources:
    """Who is asked."""

    host: Host
    status: Status
    door: Door
    crowds: Mapping[str, Admission]  # who is connected, by the kind of door
    tallies: Tallies
    lag: Lag
    peers: Peers | None = None


class Metrics(Collector):
    """Everything, as a registry of its own."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page for a value of the header Accept, and its type."""
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: names are this collector's alone."""
        return ()

    def collect(self) -> Iterator[Metric]:
        sources = self._sources
        told = sources.status.told()
        yield from _server(told)
        yield from _sessions(sources, told["sessions"])
        yield from _doors(sources)
        yield from _messages(sources)
        yield from push(sources.tallies.push, told)
        yield from peers(sources.tallies.peers, sources.peers)
        yield from _storage(sources.host.database, told["database"])
        yield from _process(sources.lag)


def _server(told: Mapping[str, Any]) -> Iterator[Metric]:
    build = {"version": told["version"], **told["software"]}
    yield InfoMetricFamily("pushd_build", "The version, and what it stands on.", build)
    yield gauge("pushd_start_time_seconds", "When it started, since 1970.", told["started_at"])
    yield gauge("pushd_uptime_seconds", "For how long it has run.", told["uptime"])
    yield gauge("pushd_problems", "What `pushdctl status` finds wrong.", len(told["problems"]))
    left = {
        domain: certificate["days_left"] * 86_400.0
        for domain, certificate in told["domains"].items()
        if certificate is not None
    }
    yield gauges("pushd_certificate_left_seconds", "Until it expires.", ["domain"], left)
    component = told["component"]
    if component is not None:
        words = "Whether the other server has taken us as its component."
        attached = {component["domain"]: int(not component["obstacle"])}
        yield gauges("pushd_component_attached", words, ["domain"], attached)


def _sessions(sources: Sources, now: Mapping[str, int]) -> Iterator[Metric]:
    states = {state: now[state] for state in ("live", "detached")}
    yield gauges("pushd_sessions", "Sessions, by whether they have a stream.", ["state"], states)
    yield gauge("pushd_queued_stanzas", "Unacknowledged, of all sessions.", now["queued_stanzas"])
    yield gauge("pushd_queued_bytes", "What these have.", now["queued_bytes"])
    words = "Waiting on detached sessions."
    yield gauge("pushd_detached_queued_stanzas", words, now["detached_stanzas"])
    yield gauge("pushd_detached_queued_bytes", "What these have.", now["detached_bytes"])
    tallies = sources.tallies
    yield counter("pushd_sessions_bound", "Sessions that began.", tallies.bound)
    yield counter("pushd_sessions_ended", "Sessions that ended for good.", tallies.ended)
    words = "Sessions that lost their stream and wait, by class of reason."
    yield counters("pushd_sessions_detached", words, ["reason"], tallies.detached)
    words = "Attempts to resume a session, by what came of them."
    yield counters("pushd_resumptions", words, ["outcome"], sources.door.resumptions)


def _doors(sources: Sources) -> Iterator[Metric]:
    found = Counter(stream.state for stream in sources.door.streams)
    stages = {state.name.lower(): found[state] for state in State}
    yield gauges("pushd_streams", "Streams of clients, by how far they are.", ["stage"], stages)
    crowds = sources.crowds.items()
    yield gauges(
        "pushd_connections",
        "Open connections.",
        ["door"],
        {name: len(crowd.connections) for name, crowd in crowds},
    )
    yield gauges(
        "pushd_unauthenticated_connections",
        "Those of them that have not logged in.",
        ["door"],
        {name: len(crowd.strangers) for name, crowd in crowds},
    )
    words = "Attempts to log in, by their outcome: success, or a condition of RFC 6120."
    yield counters("pushd_logins", words, ["outcome"], sources.door.logins.outcomes)


def _messages(sources: Sources) -> Iterator[Metric]:
    words = "Stanzas that did not reach a device, by cause."
    yield counters("pushd_undelivered", words, ["cause"], sources.tallies.undelivered)
    waiting = sources.host.offline.total
    yield gauge("pushd_offline_messages", "Messages in the offline store.", waiting)


def _storage(storage: Database, told: Mapping[str, Any]) -> Iterator[Metric]:
    commits = storage.commits
    outcomes = {"success": commits.succeeded, "failure": commits.failed}
    yield counters("pushd_commits", "Transactions that write.", ["outcome"], outcomes)
    yield counter("pushd_commit_seconds", "What all of them took.", commits.seconds)
    words = "Statements in those that succeeded."
    yield counter("pushd_committed_statements", words, commits.statements)
    failing = int(told["writer"] == "failing")
    yield gauge("pushd_storage_failing", "1 while commits fail.", failing)
    yield gauge("pushd_commit_busy_seconds", "Age of the commit under way.", told["busy"])
    yield gauge("pushd_write_queue", "Statements no commit has taken.", storage.waiting)
    yield gauge("pushd_database_bytes", "The database with its log.", told["bytes"])
    yield gauge("pushd_database_free_bytes", "Space that is free beside it.", told["free"])


def _process(lag: Lag) -> Iterator[Metric]:
    late = SummaryMetricFamily("pushd_reactor_lag_seconds", "How late a timer of 1 s comes.")
    late.add_metric([], lag.looks, lag.seconds)
    yield late
    words = "The longest of the last minute."
    yield gauge("pushd_reactor_lag_longest_seconds", words, lag.longest)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    yield counter("process_cpu_seconds", "User and system time.", cpu)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = float("inf") if files == resource.RLIM_INFINITY else files
    yield gauge("process_max_fds", "How many files may be open.", most)
    try:  # Linux
        with open("/proc/self/statm", encoding="ascii") as statm:
            resident = int(statm.read().split()[1]) * resource.getpagesize()
        open_files = len(os.listdir("/proc/self/fd")) - 1  # but the one of this very listing
    except OSError:
        pass
    else:
        yield gauge("process_resident_memory_bytes", "Memory in use.", resident)
        yield gauge("process_open_fds", "Files that are open.", open_files)
    collections = {str(age): one["collections"] for age, one in enumerate(gc.get_stats())}
    words = "Runs of the garbage collector."
    yield counters("python_gc_collections", words, ["generation"], collections)
