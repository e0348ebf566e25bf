"""The page of metrics: its format, read by a strict reader, and what moves it."""

import gc
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from pushd.admin.metrics import Metrics, Sources
from pushd.admin.pushtallies import MOST_REASONS
from pushd.admin.status import Status
from pushd.admin.tallies import Lag, Tallies, class_of
from pushd.c2s.guard import Guard
from pushd.c2s.login import Logins
from pushd.c2s.options import Door, DoorOptions
from pushd.net.admission import Admission, Quota
from pushd.net.certificates import DevelopmentCA
from pushd.net.tls import CertificateFiles, CertificateStore
from pushd.providers.contract import Accepted, Failed, Fault
from pushd.providers.dispatch import Dispatcher
from pushd.providers.reports import Alarm, Attempt
from pushd.routing.events import (
    Cause,
    DeviceRegistered,
    DeviceUnregistered,
    PeerConnected,
    PeerUnreachable,
    PublishAnswered,
    PublishReceived,
    PushDecided,
    PushDisabled,
    PushEnabled,
    PushSettled,
)
from pushd.routing.pushing import Totals
from pushd.wire.sasl import SASLFailure
from pushd.wire.stream import State
from tests.hall import Hall
from tests.unit.providers.bench import FakeTransport, Obedient
from tests.unit.s2s.house import House

DOCS = Path(__file__).parents[3] / "docs"
JULIETS = ("juliet@example.net", "push.example.net", "node")
FCM = 'fcm/example.net/My "Messenger"\\'
APNS = "apns/example.net/any"

# The text format 0.0.4 of Prometheus, and nothing that its readers forgive.
HELP = re.compile(r"# HELP ([a-z_]+) ((?:[^\\]|\\\\|\\n)+)")
TYPE = re.compile(r"# TYPE ([a-z_]+) (counter|gauge|summary|histogram)")
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\S+)')
ENDS = {"summary": ("_sum", "_count"), "histogram": ("_bucket", "_sum", "_count")}
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\["\\n])*)"(?:,|$)')


@dataclass
class Family:
    help: str
    type: str = ""
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)


def families(page: str) -> dict[str, Family]:
    """Each family by its name; an AssertionError for anything that is not as it should be."""
    assert page.endswith("\n")
    found: dict[str, Family] = {}
    name = ""
    for line in page.splitlines():
        if helped := HELP.fullmatch(line):
            name = helped[1]
            assert name not in found, f"{name} stands twice"
            found[name] = Family(helped[2])
        elif typed := TYPE.fullmatch(line):
            assert typed[1] == name, line
            assert not found[name].type, line
            found[name].type = typed[2]
            assert name.endswith("_total") == (typed[2] == "counter"), line
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            family = found[name]
            assert sample[1] in {name + end for end in ENDS.get(family.type, ("",))}, line
            labels = frozenset(
                (key, unescaped(value)) for key, value in LABEL.findall(sample[2] or "")
            )
            key = (sample[1], labels)
            assert key not in family.samples, line
            family.samples[key] = float(sample[3])
            assert family.type == "gauge" or family.samples[key] >= 0, line
    return found


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)


class Stream(NamedTuple):
    """As much of a stream as the door is asked about."""

    state: State


class Certified(Obedient):
    """A provider whose credential ends."""

    def __init__(self, expires_at: float) -> None:
        super().__init__()
        self._expires_at = expires_at

    @property
    def expires_at(self) -> float:
        return self._expires_at


class Service:
    """As much of the app server as is asked."""

    @staticmethod
    def totals() -> Totals:
        return Totals(registrations=20, waiting=3, oldest_at=time.time() - 60)


class Watched:
    """A hall whose metrics are read."""

    def __init__(self, folder: Path) -> None:
        self.hall = Hall(path=folder / "pushd.db", at=time.time())
        self.events = self.hall.host.events
        self.hall.host.push.registrations = cast(Any, Service)
        guard = Guard(self.hall.clock)
        self.logins = Logins(self.hall.host.accounts, b"pepper", lambda *given: None, guard)  # type: ignore[arg-type]
        self.door = Door(self.hall.host, self.logins, None, DoorOptions())
        self.dispatcher = Dispatcher(self.hall.clock, FakeTransport(), self.events.emit)
        self.dispatcher.add(FCM, Obedient())
        self.dispatcher.add(APNS, Certified(self.hall.clock.seconds() + 40 * 86_400))
        issued = DevelopmentCA(folder, time.time()).issue(["example.net"])
        files = CertificateFiles(issued.certificate, issued.key)
        store = CertificateStore({"example.net": files})
        self.place = {"domain": "push.example.net", "obstacle": ""}
        status = Status(self.hall.host, self.dispatcher, store, dict, component=lambda: self.place)
        self.crowd = Admission(self.hall.clock, Quota(10, 10), Quota(10, 10))
        self.lag = Lag(self.hall.clock)
        self.lag.start()
        self.metrics = Metrics(
            Sources(
                self.hall.host,
                status,
                self.door,
                {"client": self.crowd},
                Tallies(self.events),
                self.lag,
                House(self.hall).peers,
            )
        )

    def page(self, accept: str = "") -> str:
        return self.metrics.page(accept)[0].decode()

    def families(self) -> dict[str, Family]:
        return families(self.page())

    def value(self, sample: str, **labels: str) -> float:
        """The value of a sample; 0 where a count has none yet."""
        name = re.sub("_(sum|count|bucket)$", "", sample)
        family = self.families()[name]
        return family.samples.get((sample, frozenset(labels.items())), 0.0)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def busy(watched: Watched) -> None:
    """Have everything that is counted happen, so that every family has a sample."""
    juliet = watched.hall.login("juliet@example.net/balcony", sm=True)
    romeo = watched.hall.login("romeo@example.net/orchard")
    juliet.cut()
    romeo.send("<message to='juliet@example.net'><body>But soft</body></message>")
    juliet.resume()
    romeo.close()
    watched.logins.outcomes["success"] += 1
    watched.door.resumptions["resumed"] += 1
    for event in (
        PeerConnected("example.net", "a.example", True, "EXTERNAL"),
        PeerUnreachable("example.net", "b.example", "dns"),
        PushEnabled(*JULIETS, "juliet@example.net/phone"),
        PushDecided(*JULIETS, True, "detached", "message"),
        PublishAnswered(*JULIETS, "1", "accepted", "", 0.3),
        PublishAnswered(*JULIETS, "1", "refused", "made-up-by-juliet", 0.3),
        PublishReceived(*JULIETS, "example.net", "limited", "too many from its domain"),
        PushSettled(*JULIETS, FCM, "accepted", "", 400.0),
        PushSettled(*JULIETS, FCM, "unregistered", "gone", 0.5),
        PushDisabled(*JULIETS, "the service gave notice"),
        Attempt(FCM, "fcm", "d1gest", 1, 200, Accepted(), 0.25),
        Attempt(FCM, "fcm", "d1gest", 1, None, Failed(Fault.BROKEN, "no route"), 0.5),
        Alarm(FCM, "fcm", "the key is wrong", None),
        DeviceRegistered(*JULIETS, "fcm", "phone"),
        DeviceRegistered(*JULIETS, "fcm", "phone", is_new=False),
        DeviceUnregistered(*JULIETS, "fcm", "phone", ""),
    ):
        watched.events.emit(event)


def test_every_line_is_in_the_format_before_and_after_things_happen(watched: Watched) -> None:
    before = watched.families()
    busy(watched)
    after = watched.families()

    assert before.keys() == after.keys()
    assert [name for name, family in after.items() if not family.samples] == []
    assert [name for name, family in after.items() if not family.help.endswith(".")] == []


def test_the_page_is_openmetrics_for_who_asks_for_that(watched: Watched) -> None:
    page, kind = watched.metrics.page("application/openmetrics-text;version=1.0.0,text/plain;q=0.1")

    assert kind.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert page.endswith(b"\n# EOF\n")
    assert watched.metrics.page("")[1] == "text/plain; version=0.0.4; charset=utf-8"


def test_no_user_and_no_token_is_on_the_page(watched: Watched) -> None:
    busy(watched)

    for accept in ("", "application/openmetrics-text"):
        page = watched.page(accept)
        for word in ("juliet", "romeo", "node", "d1gest", "phone", "balcony", "the key", "soft"):
            assert word not in page


def test_labels_are_escaped(watched: Watched) -> None:
    busy(watched)

    assert 'provider="fcm/example.net/My \\"Messenger\\"\\\\"' in watched.page()
    assert watched.value("pushd_provider_up", provider=FCM) == 1


def test_sessions_and_what_waits_for_them(watched: Watched) -> None:
    juliet = watched.hall.login("juliet@example.net/balcony", sm=True)
    romeo = watched.hall.login("romeo@example.net/orchard")
    assert watched.value("pushd_sessions", state="live") == 2
    assert watched.value("pushd_sessions_bound_total") == 2

    juliet.cut("Connection was closed cleanly.")
    romeo.send("<message to='juliet@example.net/balcony'><body>But soft</body></message>")

    assert watched.value("pushd_sessions", state="live") == 1
    assert watched.value("pushd_sessions", state="detached") == 1
    assert watched.value("pushd_sessions_detached_total", reason="closed") == 1
    assert watched.value("pushd_detached_queued_stanzas") == 1
    assert watched.value("pushd_detached_queued_bytes") > len("<body>But soft</body>")
    assert watched.value("pushd_undelivered_total", cause=Cause.DETACHED.value) == 1

    romeo.close()
    assert watched.value("pushd_sessions_ended_total") == 1


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Connection was closed cleanly.", "closed"),
        ("Connection to the other side was lost in a non-clean fashion.", "lost"),
        ("system-shutdown", "shutdown"),
        ("its client acknowledges nothing", "overflow"),
        ("it does not answer", "silent"),
        ("not-well-formed", "offence"),
        ("whatever <anybody> writes", "lost"),
    ],
)
def test_a_reason_becomes_a_class(reason: str, kind: str) -> None:
    assert class_of(reason) == kind


def test_push_from_the_decision_to_the_provider(watched: Watched) -> None:
    busy(watched)

    assert watched.value("pushd_push_decisions_total", pushed="yes", reason="detached") == 1
    published = "pushd_push_publishes_total"
    assert watched.value(published, outcome="accepted", condition="") == 1
    assert watched.value(published, outcome="refused", condition="other") == 1
    assert watched.value("pushd_push_publish_seconds_count") == 1
    assert watched.value("pushd_push_publish_seconds_sum") == 0.3
    assert watched.value("pushd_push_publish_seconds_bucket", le="0.25") == 0
    assert watched.value("pushd_push_publish_seconds_bucket", le="0.5") == 1
    assert watched.value("pushd_push_enabled_total") == 1
    assert watched.value("pushd_push_disabled_total") == 1
    assert watched.value("pushd_devices") == 20
    assert watched.value("pushd_devices_registered_total") == 1
    assert watched.value("pushd_devices_unregistered_total") == 1
    reason = "too many from its domain"
    assert watched.value("pushd_publishes_received_total", outcome="limited", reason=reason) == 1
    settled = "pushd_pushes_settled_total"
    assert watched.value(settled, provider=FCM, outcome="accepted") == 1
    assert watched.value(settled, provider=FCM, outcome="unregistered") == 1
    delivered = "pushd_push_settle_seconds"
    assert watched.value(f"{delivered}_count", provider=FCM) == 1
    assert watched.value(f"{delivered}_bucket", provider=FCM, le="300.0") == 0
    assert watched.value(f"{delivered}_bucket", provider=FCM, le="+Inf") == 1
    assert watched.value("pushd_outbox_oldest_seconds") == pytest.approx(60, abs=5)
    assert watched.value("pushd_notifications_total", provider=FCM, outcome="accepted") == 1
    assert watched.value("pushd_notifications_total", provider=FCM, outcome="failed") == 1
    assert watched.value("pushd_provider_request_seconds_sum", provider=FCM) == 0.75
    assert watched.value("pushd_provider_request_seconds_count", provider=FCM) == 2
    assert watched.value("pushd_provider_alarms_total", provider=FCM) == 1
    assert watched.value("pushd_outbox_pushes") == 3

    watched.dispatcher.pause(FCM)
    assert watched.value("pushd_provider_up", provider=FCM) == 0
    assert watched.value("pushd_provider_paused", provider=FCM) == 1
    assert watched.value("pushd_provider_paused", provider=APNS) == 0
    assert watched.value("pushd_provider_active_alarms", provider=FCM) == 0


def test_reasons_that_others_word_do_not_make_labels_without_end(watched: Watched) -> None:
    for number in range(2 * MOST_REASONS):
        watched.events.emit(PushDecided(*JULIETS, False, f"reason {number}"))
        watched.events.emit(PublishAnswered(*JULIETS, "1", "refused", f"condition-{number}"))

    found = watched.families()
    assert len(found["pushd_push_decisions_total"].samples) == MOST_REASONS + 1
    assert watched.value("pushd_push_decisions_total", pushed="no", reason="other") == MOST_REASONS
    published = watched.value("pushd_push_publishes_total", outcome="refused", condition="other")
    assert published == 2 * MOST_REASONS
    watched.events.emit(PublishAnswered(*JULIETS, "1", "refused", "item-not-found"))
    assert (
        watched.value("pushd_push_publishes_total", outcome="refused", condition="item-not-found")
        == 1
    )


def test_how_long_a_providers_credential_is_good_for(watched: Watched) -> None:
    name = "pushd_provider_credential_left_seconds"

    assert watched.value(name, provider=APNS) == pytest.approx(40 * 86_400)
    assert f'{name}{{provider="fcm' not in watched.page()


def test_a_commit_is_counted_once_with_its_statements_and_its_time(watched: Watched) -> None:
    before = {name: watched.value(name) for name in ("pushd_committed_statements_total",)}
    done = watched.value("pushd_commits_total", outcome="success")
    database = watched.hall.host.database

    for number in range(3):
        database.write("INSERT INTO settings (name, value) VALUES (?, ?)", (f"n{number}", b"v"))
    assert watched.value("pushd_write_queue") == 3
    watched.hall.advance(1)

    assert watched.value("pushd_write_queue") == 0
    assert watched.value("pushd_commits_total", outcome="success") == done + 1
    assert (
        watched.value("pushd_committed_statements_total")
        == before["pushd_committed_statements_total"] + 3
    )
    watched.hall.wait(database.read("SELECT 1"))
    assert watched.value("pushd_commits_total", outcome="success") == done + 1
    assert watched.value("pushd_database_bytes") > 0


def test_streams_and_strangers(watched: Watched) -> None:
    streams: Any = watched.door.streams
    streams.update({Stream(State.PLAIN), Stream(State.BOUND)})
    guest = watched.crowd.admit(None)
    assert guest is not None
    watched.crowd.admit(None)
    guest.settle()

    assert watched.value("pushd_streams", stage="plain") == 1
    assert watched.value("pushd_streams", stage="secure") == 0
    assert watched.value("pushd_streams", stage="bound") == 1
    assert watched.value("pushd_connections", door="client") == 2
    assert watched.value("pushd_unauthenticated_connections", door="client") == 1


def test_a_reactor_that_is_late_is_seen(watched: Watched) -> None:
    watched.hall.clock.advance(1.0)
    watched.hall.clock.advance(3.5)
    watched.hall.clock.advance(1.0)

    assert watched.value("pushd_reactor_lag_longest_seconds") == pytest.approx(2.5)
    assert watched.value("pushd_reactor_lag_seconds_sum") == pytest.approx(2.5)
    assert watched.value("pushd_reactor_lag_seconds_count") == 3
    for _ in range(60):
        watched.hall.clock.advance(1.0)
    assert watched.value("pushd_reactor_lag_longest_seconds") == pytest.approx(0.0, abs=1e-6)


def test_the_process_and_its_collector(watched: Watched) -> None:
    before = watched.value("python_gc_collections_total", generation="2")
    gc.collect()

    assert watched.value("python_gc_collections_total", generation="2") > before
    assert watched.value("process_cpu_seconds_total") > 0
    assert watched.value("process_resident_memory_bytes") > 1 << 20
    assert 3 <= watched.value("process_open_fds") < watched.value("process_max_fds")


def test_certificates_and_time(watched: Watched) -> None:
    watched.hall.advance(100)

    assert watched.value("pushd_uptime_seconds") == pytest.approx(100, abs=1)
    left = watched.value("pushd_certificate_left_seconds", domain="example.net")
    assert 0 < left < 400 * 86_400
    assert watched.value("pushd_problems") == 0


def test_streams_between_servers(watched: Watched) -> None:
    watched.events.emit(PeerConnected("example.net", "a.example", True, "EXTERNAL"))
    watched.events.emit(PeerConnected("example.net", "a.example", False, "dialback"))
    for _ in range(2):
        watched.events.emit(PeerUnreachable("example.net", "b.example", "dns"))
    sender = watched.hall.login("romeo@example.net/orchard")
    sender.send("<message to='juliet@b.example'><body/></message>")

    came = watched.value("pushd_peer_connections_total", direction="in", method="dialback")
    assert came == 1
    assert watched.value("pushd_peer_failures_total", step="dns") == 2
    assert watched.value("pushd_peer_streams", direction="out") == 0
    assert watched.value("pushd_peer_waiting_stanzas") == 1
    assert watched.value("pushd_peer_waiting_bytes") > 40


def test_the_documentation_has_every_metric_with_its_type_and_its_labels(
    watched: Watched,
) -> None:
    busy(watched)
    text = (DOCS / "metrics.rst").read_text(encoding="utf-8")
    rows = re.findall(
        r"^``([a-z_]+)(?:\{([a-z_, ]+)\})?``, (counter|gauge|summary|histogram)$", text, re.M
    )
    documented = {
        name: (kind, frozenset(filter(None, labels.split(", ")))) for name, labels, kind in rows
    }
    there = {
        name: (
            family.type,
            frozenset(key for _, labels in family.samples for key, _ in labels) - {"le"},
        )
        for name, family in watched.families().items()
    }
    del there["pushd_build_info"]  # whose labels are explained in words

    assert len(documented) == len(rows)
    assert documented == there
    named = set(
        re.findall(r"\b((?:pushd|process|python)_[a-z_]+?)(?:_sum|_count|_bucket)?\b", text)
    )
    assert named - {"pushd_build_info"} <= documented.keys()


@pytest.mark.parametrize(("obstacle", "value"), [("", 1.0), ("nobody there", 0.0)])
def test_a_place_at_another_server_is_told(watched: Watched, obstacle: str, value: float) -> None:
    watched.place["obstacle"] = obstacle

    assert watched.value("pushd_component_attached", domain="push.example.net") == value


def test_a_failed_login_is_counted_by_its_condition(watched: Watched) -> None:
    from pushd.c2s.login import Login

    login = Login(watched.logins, "example.net", None)
    assert b"<aborted/>" in login.abort()

    assert watched.value("pushd_logins_total", outcome=SASLFailure("aborted").condition) == 1
