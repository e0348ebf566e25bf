"""Families of samples, each made in a line."""

from collections.abc import Mapping
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from pushd.admin.pushtallies import Durations

Labelled = Mapping[Any, float]


def gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value)


def gauges(name: str, words: str, labels: list[str], values: Labelled) -> Metric:
    return _filled(GaugeMetricFamily(name, words, labels=labels), values)


def counter(name: str, words: str, value: float) -> Metric:
    return CounterMetricFamily(name, words, value)


def counters(name: str, words: str, labels: list[str], values: Labelled) -> Metric:
    return _filled(CounterMetricFamily(name, words, labels=labels), values)


def histogram(name: str, words: str, labels: list[str], values: Mapping[Any, Durations]) -> Metric:
    """Durations by their labels; of a family without labels, those of the empty tuple."""
    family = HistogramMetricFamily(name, words, labels=labels)
    for key in sorted(values):
        taken = values[key]
        family.add_metric(_labels(key), taken.buckets(), taken.seconds)
    filled: Metric = family
    return filled


def _filled(family: Any, values: Labelled) -> Metric:
    for key in sorted(values):
        family.add_metric(_labels(key), values[key])
    filled: Metric = family
    return filled


def _labels(key: Any) -> Any:
    return key if isinstance(key, tuple) else [key]
