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


def status(result: dict[str, Any]) -> str:
    """What is asked most first, and at the end what is wrong."""
    software = ", ".join(f"{name} {number}" for name, number in result["software"].items())
    lines = [f"pushd {result['version']} ({software})"]
    if result["running"]:
        lines += _running(result)
    store = result["database"]
    writer = f", writer {store['writer']}" if "writer" in store else ""
    lines.append(
        f"database {store['path']}: {size(store['bytes'])}, {size(store['free'])} free{writer}"
    )
    lines += [f"WRONG: {problem}" for problem in result["problems"]] or ["all is well"]
    return "\n".join(lines)


def _running(result: dict[str, Any]) -> list[str]:
    known, started = result["sessions"], instant(result["started_at"])
    lines = [f"process {result['pid']}, up {duration(result['uptime'])}, since {started}"]
    for domain, one in result["domains"].items():
        has = "no certificate" if one is None else f"certificate for {one['days_left']:.0f} days"
        lines.append(f"domain {domain}: {has}")
    component = result["component"]
    if component is not None:
        state = "away" if component["obstacle"] else "attached"
        lines.append(f"component {component['domain']}: {state}")
    for name, places in result["listeners"].items():
        lines.append(f"listening {name}: {', '.join(places) or 'nowhere'}")
    lines.append(
        f"sessions: {known['live']} live, {known['detached']} detached; queued "
        f"{known['queued_stanzas']} stanzas ({size(known['queued_bytes'])})"
    )
    lines.append(_push(result["push"]))
    for name, one in result["providers"].items():
        ends = one.get("days_left")
        has = "" if ends is None else f", certificate for {ends:.0f} days"
        lines.append(f"provider {name}: {one['pending']} under way{has}")
    return lines


def _push(told: dict[str, Any]) -> str:
    known = [counted(told["enablements"], "enablement")]
    if told["on_probation"]:
        known[0] += f" ({told['on_probation']} on probation)"
    known.append(counted(told["registrations"], "registration"))
    if told["blocked"]:
        known.append(f"{counted(told['blocked'], 'publisher')} blocked")
    waiting = "1 push waits" if told["waiting"] == 1 else f"{told['waiting']} pushes wait"
    oldest = f", the oldest for {duration(told['oldest'])}" if told["waiting"] else ""
    return f"push: {', '.join(known)}; {waiting}{oldest}"


def counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def reloaded(result: dict[str, Any]) -> str:
    """What changed, and what did not."""
    lines = ["certificates and credentials were read again"]
    if result["changed"]:
        lines.append(f"changed: {', '.join(result['changed'])}")
    if result["restart"]:
        lines.append(f"a restart is needed for: {', '.join(result['restart'])}")
    return "\n".join([*result["warnings"], *lines])


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
