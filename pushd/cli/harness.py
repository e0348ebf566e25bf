"""What `pushdctl` offers to test harnesses: marks, waiting for pushes and for none, cut lines."""

import argparse
import re
from collections.abc import Mapping
from typing import Any

from pushd.cli.commands import WRONG, Argument, Command, reached, say
from pushd.cli.pushtables import plain
from pushd.cli.reaching import PATIENCE
from pushd.cli.tables import table

STAGES = ("decided", "published", "answered", "accepted", "settled")
UNITS = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3_600}

Row = Mapping[str, Any]


def _mark(options: argparse.Namespace) -> int:
    with reached(options) as server:
        result = server.call("push-mark", {})
    return say(options, result, str(result["mark"]))


def _wait(options: argparse.Namespace) -> int:
    given = {
        "account": options.account,
        "timeout": str(options.timeout),
        "count": options.count,
        "since": options.since or "",
        "stage": options.stage,
        "device": options.device or options.node,
    }
    with reached(options) as server:
        result = server.call("wait-push", given, options.timeout + PATIENCE)
    say(options, result, waited(result))
    return 0 if result["arrived"] else WRONG


def _refute(options: argparse.Namespace) -> int:
    given = {
        "account": options.account,
        "seconds": str(options.length),
        "since": options.since or "",
        "device": options.device or options.node,
    }
    with reached(options) as server:
        result = server.call("assert-no-push", given, options.length + PATIENCE)
    say(options, result, refuted(result))
    return WRONG if result["came"] else 0


def _cut(options: argparse.Namespace) -> int:
    given = {"jid": options.jid} | ({"withhold": "yes"} if options.withhold_acks else {})
    with reached(options) as server:
        result = server.call("cut", given)
    done = "heard no more" if options.withhold_acks else "cut"
    lines = [f"{done} {one['jid']}: {one['state']}" for one in result["sessions"]]
    return say(options, result, "\n".join(lines))


# As text for people.


def waited(result: Row) -> str:
    """What came, or how far it got."""
    account, count = result["account"], len(result["pushes"])
    if result["arrived"]:
        lines = [_line(one) for one in result["pushes"]]
        return "\n".join([*lines, f"mark {result['mark']}"])
    wanted = "no push" if result["wanted"] == 1 else f"{count} of {result['wanted']} pushes"
    got = f"; the furthest was {result['stage']}" if result["stage"] else ""
    words = f"{wanted} for {account} in {result['waited']:.1f} s{got}"
    return "\n".join([words, *_steps(result)])


def refuted(result: Row) -> str:
    """That none came, and what was decided; or which one did."""
    if result["came"]:
        words = f"a push for {result['account']} after {result['waited']:.1f} s"
    else:
        words = f"no push for {result['account']} in {result['waited']:.1f} s"
    return "\n".join([words, *_steps(result)])


def _line(one: Row) -> str:
    """`provider accepted: push.localhost 3f9a1c phone (fcm), after 0.05 s`."""
    names = " ".join(filter(None, (plain(one["service"]), one["node"], plain(one["device"]))))
    backend = f" ({one['backend']})" if one.get("backend") else ""
    after = f", after {one['seconds']:.2f} s" if "seconds" in one else ""
    why = f": {plain(one['why'])}" if one.get("why") else ""
    return f"{one['what']}{why}  {names}{backend}{after}"


def _steps(result: Row) -> list[str]:
    """What there was since the mark, a step a line."""
    if not result["steps"]:
        return []
    first = result["steps"][0]["at"]
    rows = [(f"{one['at'] - first:+.2f} s", _line(one)) for one in result["steps"]]
    return table(("WHEN", "WHAT"), rows).splitlines()


# What there is to type.


def length(text: str) -> float:
    """`5`, `0.5s`, `300ms` or `2m`, in seconds."""
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(ms|s|m|h|)", text, re.ASCII)
    if found is None or float(found[1]) * UNITS[found[2]] > 3_600:
        raise argparse.ArgumentTypeError("5, 0.5s, 300ms or 2m, up to 1h, is expected")
    return float(found[1]) * UNITS[found[2]]


def since(text: str) -> str:
    """A mark, or a time before now with its unit."""
    if text.isascii() and text.isdigit() and len(text) < 20:
        return text
    if text[-1:] not in ("s", "m", "h"):
        raise argparse.ArgumentTypeError("a mark, or a time before now such as 5s, is expected")
    return f"{length(text):.6f}s"


ACCOUNT = Argument(
    "--account", {"metavar": "JID", "required": True, "help": "whose pushes, as name@domain"}
)
SINCE = Argument(
    "--since",
    {
        "metavar": "MARK",
        "type": since,
        "default": None,
        "help": "count what came since a mark (push mark, or an earlier answer), or in the last "
        "seconds (5s); 0: since the server started. Else only what comes from now on",
    },
)
NODE = Argument("--node", {"metavar": "NODE", "default": "", "help": "only this node, or digest"})
DEVICE = Argument(
    "--device", {"metavar": "NAME", "default": "", "help": "only the device of this name or id"}
)
JID = Argument("jid", {"metavar": "JID", "help": "a full JID, or an account for all it has"})
TIMEOUT = Argument(
    "--timeout",
    {"metavar": "TIME", "type": length, "default": 10.0, "help": "how long, at most (10s)"},
)
COUNT = Argument("--count", {"metavar": "N", "default": "1", "help": "wait for so many"})
STAGE = Argument(
    "--stage",
    {
        "metavar": "STAGE",
        "choices": STAGES,
        "default": "accepted",
        "help": f"how far they must have got: {', '.join(STAGES)}; accepted if not given",
    },
)
LENGTH = Argument(
    "--for",
    {"dest": "length", "metavar": "TIME", "type": length, "required": True, "help": "how long"},
)
WITHHOLD = Argument(
    "--withhold-acks",
    {
        "action": "store_true",
        "help": "the server is not told either: it hears and acknowledges nothing any more, "
        "and who notices first acts",
    },
)

COMMANDS = (
    Command("push mark", "print a mark: later steps of pushes come after it", _mark),
    Command(
        "wait-push",
        "wait until a push has arrived; exit code 3 when none does",
        _wait,
        (ACCOUNT, TIMEOUT, SINCE, COUNT, STAGE, NODE, DEVICE),
    ),
    Command(
        "assert-no-push",
        "watch that no push comes; exit code 3 when one does",
        _refute,
        (ACCOUNT, LENGTH, SINCE, NODE, DEVICE),
    ),
    Command("cut", "break connections without telling the client", _cut, (JID, WITHHOLD)),
)
