"""Instants as they are written for others (XEP-0082 §3.2)."""

from datetime import UTC, datetime


def written(at: float | None) -> str:
    """Seconds since the epoch as UTC, in whole seconds; "" for what never was."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
