"""`pushdctl push`: what is known of push, and what an operator may do to it."""

import argparse
import re
from collections.abc import Callable
from typing import Any

from pushd.cli import probes, pushtables
from pushd.cli.commands import WRONG, Argument, Command, Run, asked, say
from pushd.cli.tables import instant

UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}


def _shown(operation: str, shape: Callable[[Any], str], *names: str) -> Run:
    """Ask, with what was typed by these names, and show a table."""

    def run(options: argparse.Namespace) -> int:
        result = asked(options, operation, {name: getattr(options, name) for name in names})
        return say(options, result, shape(result))

    return run


def _test(options: argparse.Namespace) -> int:
    result = asked(options, "push-test", {"account": options.account, "node": options.node})
    say(options, result, pushtables.tests(result))
    return 0 if all(one["arrived"] for one in result["tests"]) else WRONG


def _pause(options: argparse.Namespace) -> int:
    result = asked(options, "push-pause", {"what": options.what, "seconds": options.length or ""})
    return say(options, result, f"paused {result['paused']}{_until(result)}")


def _resume(options: argparse.Namespace) -> int:
    result = asked(options, "push-resume", {"what": options.what})
    return say(options, result, f"resumed {result['resumed']}")


def _block(options: argparse.Namespace) -> int:
    given = {"domain": options.domain, "reason": options.reason, "seconds": options.length or ""}
    result = asked(options, "push-block", given)
    return say(options, result, f"blocked {result['blocked']}{_until(result)}")


def _unblock(options: argparse.Namespace) -> int:
    result = asked(options, "push-unblock", {"domain": options.domain})
    return say(options, result, f"unblocked {result['unblocked']}")


def _until(result: dict[str, Any]) -> str:
    return "" if result["until"] is None else f" until {instant(result['until'])}"


def seconds(text: str) -> str:
    """`90`, `90s`, `10m`, `2h` or `3d`, in seconds."""
    found = re.fullmatch(r"([0-9]{1,9})(s|m|min|h|d|)", text, re.ASCII)
    if found is None or not int(found[1]):
        raise argparse.ArgumentTypeError("how long: 90, 90s, 10m, 2h or 3d is expected")
    return str(int(found[1]) * UNITS[found[2]])


ACCOUNT = Argument("account", {"metavar": "ACCOUNT", "help": "whose, as name@domain"})
ANYBODY = Argument(
    "account", {"metavar": "ACCOUNT", "nargs": "?", "default": "", "help": "whose; else all"}
)
NODE = Argument(
    "node",
    {
        "metavar": "NODE",
        "nargs": "?",
        "default": "",
        "help": "one device, by its node, as shown or whole, its device id or its name",
    },
)
WHAT = Argument(
    "what",
    {"metavar": "WHAT", "help": "a backend, as `status` calls it, or an account"},
)
PUBLISHER = Argument("domain", {"metavar": "DOMAIN", "help": "a publisher's domain, or an account"})
LENGTH = Argument(
    "--for",
    {
        "dest": "length",
        "metavar": "TIME",
        "type": seconds,
        "default": None,
        "help": "for how long: 90, 90s, 10m, 2h or 3d; else without an end",
    },
)
REASON = Argument(
    "--reason", {"metavar": "TEXT", "default": "", "help": "why; the publisher is told"}
)

COMMANDS = (
    Command(
        "push registrations",
        "list the devices that are registered here",
        _shown("push-registrations", pushtables.registrations, "account"),
        (ANYBODY,),
    ),
    Command(
        "push enablements",
        "list through what accounts are woken",
        _shown("push-enablements", pushtables.enablements, "account"),
        (ANYBODY,),
    ),
    Command(
        "push decisions",
        "tell why devices were woken of late, and why not",
        _shown("push-decisions", pushtables.decisions, "account"),
        (ACCOUNT,),
    ),
    Command(
        "push ledger",
        "tell what became of enablements and registrations",
        _shown("push-ledger", pushtables.ledger, "account"),
        (ACCOUNT,),
    ),
    Command("push queue", "list what waits for providers", _shown("push-queue", pushtables.queue)),
    Command(
        "push test",
        "send a test push, and tell what came of it; exit code 3 when it did not arrive",
        _test,
        (ACCOUNT, NODE),
    ),
    *probes.COMMANDS,
    Command(
        "push pause", "push nothing through a backend, or for an account", _pause, (WHAT, LENGTH)
    ),
    Command("push resume", "push again, at once", _resume, (WHAT,)),
    Command("push block", "take no pushes from a domain", _block, (PUBLISHER, REASON, LENGTH)),
    Command("push unblock", "take them again", _unblock, (PUBLISHER,)),
    Command("push blocked", "list who may not push", _shown("push-blocked", pushtables.blocked)),
)
