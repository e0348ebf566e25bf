"""What `pushdctl` answers, as text for people: plain lines, and columns under a heading."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
SIZES = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


def users(result: dict[str, Any]) -> str:
    """An account a line; behind a disabled one stands why."""
    return "\n".join(_user(account) for account in result["accounts"])


def sessions(result: dict[str, Any]) -> str:
    """A session a line."""
    rows = [_session(session) for session in result["sessions"]]
    if not rows:
        return "no sessions"
    return table(
        ("JID", "SINCE", "STATE", "ADDRESS", "TLS", "SM", "QUEUED", "HOLD LEFT", "PRIORITY"), rows
    )


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns that are as wide as what stands in them."""
    lines = [heading, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heading))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def instant(at: float | None) -> str:
    """A time as a clock on the wall here shows it."""
    if at is None:
        return "-"
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def duration(seconds: float | None) -> str:
    """In its largest unit and the next one."""
    if seconds is None:
        return "-"
    left, parts = int(seconds), []
    for size, unit in UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or f"{left} s"


def size(count: int) -> str:
    for unit, name in SIZES:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def _user(account: dict[str, Any]) -> str:
    if not account.get("disabled"):
        return str(account["jid"])
    reason = account.get("reason", "")
    return f"{account['jid']}  disabled{reason and ': '}{reason}"


def _session(session: dict[str, Any]) -> tuple[str, ...]:
    queued = f"{session['queued_stanzas']} ({size(session['queued_bytes'])})"
    return (
        session["jid"],
        instant(session["bound_at"]),
        session["state"],
        session["address"] or "-",
        session["tls"] or "-",
        session["management"],
        queued,
        duration(session["hold_left"]),
        str(session["priority"]) if session["available"] else "-",
    )
