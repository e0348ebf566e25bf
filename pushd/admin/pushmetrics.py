"""The metrics of push, from a stanza to the answer of a provider."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric, SummaryMetricFamily

from pushd.admin.families import counter, counters, gauge, gauges, histogram
from pushd.admin.pushtallies import PushTallies


def push(tallies: PushTallies, told: Mapping[str, Any]) -> Iterator[Metric]:
    """All of them. `told` is what `Status.told` tells."""
    yield from _accounts(tallies, told["push"])
    yield from _service(tallies, told["push"])
    yield from _requests(tallies)
    yield from _providers(told["providers"])


def _accounts(tallies: PushTallies, told: Mapping[str, Any]) -> Iterator[Metric]:
    words = "Whether an undelivered stanza was to wake a device, and why or why not."
    yield counters("pushd_push_decisions", words, ["pushed", "reason"], tallies.decided)
    words = "Publishes to push services, by their answer."
    yield counters("pushd_push_publishes", words, ["outcome", "condition"], tallies.published)
    words = "From a stanza to the answer of a push service that took the publish."
    yield histogram("pushd_push_publish_seconds", words, [], {(): tallies.answered})
    yield gauge("pushd_push_enablements", "Enablements.", told["enablements"])
    words = "Those of them that are on probation."
    yield gauge("pushd_push_enablements_on_probation", words, told["on_probation"])
    yield counter("pushd_push_enabled", "Enablements that began.", tallies.enabled)
    yield counter("pushd_push_disabled", "Enablements that ended.", tallies.disabled)


def _service(tallies: PushTallies, told: Mapping[str, Any]) -> Iterator[Metric]:
    yield gauge("pushd_devices", "Registrations of devices.", told["registrations"])
    words = "Registrations that began."
    yield counter("pushd_devices_registered", words, tallies.registered)
    words = "Registrations that ended."
    yield counter("pushd_devices_unregistered", words, tallies.unregistered)
    words = "Publishes that came to our push service, by what became of them."
    yield counters("pushd_publishes_received", words, ["outcome", "reason"], tallies.received)
    yield gauge("pushd_outbox_pushes", "Pushes that no provider has taken yet.", told["waiting"])
    words = "For how long the oldest of them waits."
    yield gauge("pushd_outbox_oldest_seconds", words, told["oldest"])
    words = "Pushes that are done with, by what became of them."
    yield counters("pushd_pushes_settled", words, ["provider", "outcome"], tallies.settled)
    words = "From a publish to the answer of a provider that took the push."
    yield histogram("pushd_push_settle_seconds", words, ["provider"], tallies.delivered)


def _requests(tallies: PushTallies) -> Iterator[Metric]:
    yield counters(
        "pushd_notifications",
        "Requests to a provider, by what they were answered with.",
        ["provider", "outcome"],
        tallies.attempts,
    )
    times = SummaryMetricFamily(
        "pushd_provider_request_seconds", "How long these took.", labels=["provider"]
    )
    for name, count in tallies.exchanges.items():
        times.add_metric([name], count, tallies.seconds[name])
    yield times
    words = "Alarms of a provider, each told once until it recovers."
    yield counters("pushd_provider_alarms", words, ["provider"], tallies.alarms)


def _providers(providers: Mapping[str, Any]) -> Iterator[Metric]:
    for name, key, words in (
        ("pushd_provider_pending_pushes", "pending", "Pushes without a final answer."),
        ("pushd_provider_active_requests", "active", "Pushes that have their turn."),
    ):
        asked = {provider: one[key] for provider, one in providers.items()}
        yield gauges(name, words, ["provider"], asked)
    left = {
        provider: one["days_left"] * 86_400.0
        for provider, one in providers.items()
        if one["days_left"] is not None
    }
    words = "Until the credential that the operator gave expires."
    yield gauges("pushd_provider_credential_left_seconds", words, ["provider"], left)
    closed = {
        provider: int(one["opens_at"] is None and not one["is_paused"])
        for provider, one in providers.items()
    }
    words = "1, or 0 while nothing is sent: see the documentation."
    yield gauges("pushd_provider_up", words, ["provider"], closed)
    paused = {provider: int(one["is_paused"]) for provider, one in providers.items()}
    words = "1 while the operator has it paused."
    yield gauges("pushd_provider_paused", words, ["provider"], paused)
    alarms = {provider: len(one["alarms"]) for provider, one in providers.items()}
    words = "Alarms that hold."
    yield gauges("pushd_provider_active_alarms", words, ["provider"], alarms)
