"""`pushdctl s2s`: other servers, tried and listed."""

import argparse
from typing import Any

from pushd.cli.commands import WRONG, Argument, Command, asked, say
from pushd.cli.tables import table
from pushd.wire.printable import printable

PATIENCE = 180.0  # seconds: more than all steps may take

DOMAIN = Argument("domain", {"metavar": "DOMAIN", "help": "the domain of the other server"})
LOCAL = Argument(
    "--from", {"metavar": "OURS", "dest": "local", "default": "", "help": "the domain that asks"}
)


def _check(options: argparse.Namespace) -> int:
    given = {"domain": options.domain, "local": options.local}
    result = asked(options, "s2s-check", given, PATIENCE)
    say(options, result, checked(result))
    return 0 if result["ok"] else WRONG


def _list(options: argparse.Namespace) -> int:
    result = asked(options, "s2s-list", {})
    return say(options, result, listed(result))


def checked(result: dict[str, Any]) -> str:
    """The steps, one a line, and what they come to."""
    width = max(len(step["name"]) for step in result["steps"])
    lines = [
        f"{'ok ' if step['ok'] else 'BAD'}  {step['name']:{width}}  {printable(step['text'])}"
        for step in result["steps"]
    ]
    end = "is reached" if result["ok"] else "is not reached"
    return "\n".join([*lines, f"{result['remote']} {end} from {result['local']}"])


def listed(result: dict[str, Any]) -> str:
    streams = [
        [
            row["remote"],
            row["local"],
            row["direction"],
            row["method"],
            row["tls"],
            printable(row["certificate"]) or "valid",
            f"{row['idle']:.0f} s",
        ]
        for row in result["streams"]
    ]
    waiting = [
        [
            row["remote"],
            row["local"],
            str(row["stanzas"]),
            printable(row["fault"]) or "is being called",
        ]
        for row in result["waiting"]
    ]
    away = [
        [
            row["remote"],
            row["local"],
            str(row["times"]),
            f"{row['ago']:.0f} s ago",
            printable(row["reason"]),
        ]
        for row in result["turned_away"]
    ]
    parts = []
    if streams:
        head = ["REMOTE", "LOCAL", "WAY", "PROOF", "TLS", "CERTIFICATE", "IDLE"]
        parts.append(table(head, streams))
    if waiting:
        parts.append(table(["WITHOUT A STREAM", "LOCAL", "STANZAS", "WHY"], waiting))
    if away:
        parts.append(table(["TURNED AWAY", "LOCAL", "TIMES", "LAST", "WHY"], away))
    return "\n\n".join(parts) or "no other server"


COMMANDS = (
    Command(
        "s2s check",
        "try another server: records, TLS, certificate, proof, an answer",
        _check,
        (DOMAIN, LOCAL),
    ),
    Command(
        "s2s list",
        "list the streams between servers, what waits for one, and who was turned away",
        _list,
    ),
)
