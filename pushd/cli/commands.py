"""What the commands of `pushdctl` are made of, and how one asks a server and says the answer."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from pushd.cli.reaching import PATIENCE, Place, Reach, locate, reach

REFUSED = 1
WRONG = 3  # `status` has something to tell
INTERRUPTED = 130

Run = Callable[[argparse.Namespace], int]


class Argument(NamedTuple):
    name: str
    how: dict[str, Any]


class Command(NamedTuple):
    """What is typed, what it does in words, what does it, and what it takes."""

    words: str  # "user add"
    help: str
    run: Run
    takes: tuple[Argument, ...] = ()

    @property
    def usage(self) -> str:
        """The words with their arguments, without options that may be left out."""
        names = []
        for argument in self.takes:
            if argument.how.get("required"):
                names.append(f"{argument.name} {argument.how['metavar']}")
            elif not argument.name.startswith("-"):
                shown = argument.how["metavar"]
                names.append(f"[{shown}]" if argument.how.get("nargs") == "?" else shown)
        return " ".join([self.words, *names])


def ask(options: argparse.Namespace, operation: str, given: dict[str, str], done: str) -> int:
    """An operation on an account, which answers with its address."""
    result = asked(options, operation, given)
    return say(options, result, f"{done} {result['jid']}")


def asked(
    options: argparse.Namespace,
    operation: str,
    given: dict[str, str],
    patience: float = PATIENCE,
) -> dict[str, Any]:
    """What the server answers; `patience` is in seconds."""
    with reached(options) as server:
        return server.call(operation, given, patience)


def reached(options: argparse.Namespace) -> Reach:
    place = located(options)
    if place.note:
        sys.stderr.write(f"pushdctl: {place.note}\n")
    return reach(place)


def located(options: argparse.Namespace) -> Place:
    return locate(config=options.config, data=options.data, socket=options.socket)


def say(options: argparse.Namespace, result: dict[str, Any], text: str) -> int:
    shown = json.dumps(result) if options.json else text
    if shown:
        sys.stdout.write(f"{shown}\n")
    return 0
