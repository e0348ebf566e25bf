"""What `pushdctl push` answers, as text for people."""

import time
from collections.abc import Mapping
from typing import Any

from pushd.cli.tables import duration, instant, table
from pushd.wire.printable import printable

LONGEST_CELL = 48  # characters of what users and strangers have worded
LONGEST_WHY = 200  # characters of a reason, which is what one looks for

Row = Mapping[str, Any]

ENABLED = {True: "yes", False: "no", None: "elsewhere"}  # its account's server knows


def registrations(result: Row) -> str:
    """A registration a line."""
    heading = ("ACCOUNT", "NODE", "DEVICE", "APP", "DIALECT", "REGISTERED", "LAST PUSH", "ENABLED")
    rows = [
        (
            one["account"],
            one["node"],
            plain(one["name"] or one["device"]),
            plain(f"{one['type']} {one['app']}"),
            plain(" for ".join(filter(None, (one["dialect"], one["room"])))),
            instant(one["registered_at"]),
            instant(one["last_push_at"]),
            ENABLED[one["enabled"]],
        )
        for one in result["registrations"]
    ]
    return _listed(heading, rows, result, "no registrations")


def enablements(result: Row) -> str:
    """An enablement a line."""
    heading = (
        "ACCOUNT", "NODE", "SERVICE", "DEVICE", "IT IS", "ENABLED", "LAST USED", "WAITING",
        "EXTENSIONS", "STATE",
    )  # fmt: skip
    rows = [
        (
            one["account"],
            one["node"] or "-",
            plain(one["service"]),
            plain(one["device"] or one["session"].partition("/")[2]),
            one["device_is"] or "-",
            instant(one["created_at"]),
            instant(one["used_at"]),
            str(one["waiting"]),
            ",".join(one["extensions"]) or "-",
            _state(one),
        )
        for one in result["enablements"]
    ]
    return _listed(heading, rows, result, "no enablements")


def queue(result: Row) -> str:
    """A push a line, the oldest first."""
    now = time.time()
    heading = ("ACCOUNT", "NODE", "DEVICE", "BACKEND", "WAITS FOR", "LEFT", "URGENT")
    rows = [
        (
            one["account"],
            one["node"],
            plain(one["device"]),
            plain(one["backend"]),
            duration(max(0.0, now - one["accepted_at"])),
            duration(max(0.0, one["expires_at"] - now)),
            "yes" if (one["urgent_until"] or 0.0) > now else "no",
        )
        for one in result["queue"]
    ]
    return _listed(heading, rows, result, "nothing waits")


def decisions(result: Row) -> str:
    """A decision, or an answer, a line; the newest last."""
    heading = ("AT", "DEVICE", "NODE", "WHAT", "WHY", "STANZA", "FROM")
    rows = [
        (
            instant(one["at"]),
            plain(one["device"]) or "-",
            one["node"] or "-",
            one["what"],
            plain(one["why"], LONGEST_WHY) or "-",
            _kind(one),
            plain(one["sender"]) or "-",
        )
        for one in result["decisions"]
    ]
    return _listed(
        heading,
        rows,
        result,
        "nothing is remembered: whatever came since the server started went to connected devices",
    )


def ledger(result: Row) -> str:
    """A line a line; the newest last."""
    heading = ("FIRST", "LAST", "TIMES", "WHAT", "OF", "NODE", "DEVICE", "SERVICE", "BY", "WHY")
    rows = [
        (
            instant(one["first_at"]),
            instant(one["last_at"]) if one["times"] > 1 else "",
            str(one["times"]),
            one["what"],
            one["side"],
            one["node"] or "-",
            plain(one["device"]) or "-",
            plain(one["service"]) or "-",
            plain(one["who"]) or "the server",
            plain(one["why"], LONGEST_WHY),
        )
        for one in result["ledger"]
    ]
    return _listed(heading, rows, result, "nothing is known")


def blocked(result: Row) -> str:
    """A publisher a line."""
    heading = ("PUBLISHER", "SINCE", "UNTIL", "REASON")
    rows = [
        (
            one["publisher"],
            instant(one["blocked_at"]),
            instant(one["until"]),
            plain(one["reason"], LONGEST_WHY) or "-",
        )
        for one in result["blocked"]
    ]
    return table(heading, rows) if rows else "nobody is blocked"


def tests(result: Row) -> str:
    """What came of a test push, a device a line."""
    return "\n".join(f"{_called(one)}: {_outcome(one)}" for one in result["tests"])


def plain(text: str, most: int = LONGEST_CELL) -> str:
    """What somebody else worded, on one line of a terminal and not too long."""
    shown = printable(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _state(one: Row) -> str:
    if one["is_paused"]:
        until = one["paused_until"]
        return "paused" if until is None else f"paused until {instant(until)}"
    if one["probation_since"] is not None:
        return f"on probation since {instant(one['probation_since'])}"
    return f"{one['failures']} failures" if one["failures"] else "ok"


def _kind(one: Row) -> str:
    kind = one["kind"] or "-"
    return f"{kind} ({one['times']} times)" if one["times"] > 1 else kind


def _called(one: Row) -> str:
    name = plain(one["device"])
    return " ".join(part for part in (one["node"], f"({name})" if name else "") if part)


def _outcome(one: Row) -> str:
    why = plain(one["reason"], LONGEST_WHY)
    why = f": {why}" if why else ""
    if one["settled"] == "accepted":
        said = f"its provider took it after {one['seconds']:.1f} s"
        return (
            said if one["enabled"] is not False else f"{said}, but its client has not enabled push"
        )
    if one["settled"] == "waiting":
        return f"no provider has taken it after {one['seconds']:.0f} s{why}"
    if one["settled"]:
        return f"its provider did not take it, {one['settled']}{why}"
    if one["published"] == "accepted":
        return f"{one['service']} took it after {one['seconds']:.1f} s; what follows is not ours"
    return f"{one['service']} did not take it: {one['published']}"


def _listed(heading: tuple[str, ...], rows: list[Any], result: Row, none: str) -> str:
    if not rows:
        return none
    shown = table(heading, rows)
    more = result["total"] - len(rows)
    return f"{shown}\n… and {more} more" if more > 0 else shown
