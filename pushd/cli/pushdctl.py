"""`pushdctl`: the operator's command line, with the server up or down."""

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pushd.cli.reaching import Reach, Unreachable, reach
from pushd.wire.secret import Secret


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code: 0 done, 1 refused, 2 not understood."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except Unreachable as error:
        sys.stderr.write(f"pushdctl: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pushdctl", description="Operate a pushd server, running or not."
    )
    parser.add_argument("--config", "-c", type=Path, help="the server's configuration file")
    parser.add_argument("--data", type=Path, help="the server's data folder")
    parser.add_argument("--socket", type=Path, help="the running server's socket")
    parser.add_argument("--json", action="store_true", help="answer with JSON")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_user(commands)
    _add_demo(commands)
    return parser


def _add_user(commands: Any) -> None:
    user = commands.add_parser("user", help="accounts: add, passwd, del, list")
    actions = user.add_subparsers(required=True, metavar="ACTION")
    for name, text in (
        ("add", "make an account; the password is asked for, or read from standard input"),
        ("passwd", "give an account another password"),
        ("del", "remove an account and all that is its own"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("jid", help="the account, as name@domain")
        action.set_defaults(run=_user, operation=f"user-{name}", has_password=name != "del")
    listing = actions.add_parser("list", help="list the accounts")
    listing.add_argument("domain", nargs="?", default="", help="only those of this domain")
    listing.set_defaults(run=_user_list)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="watch a message to a sleeping phone become a push",
        description="Plays a phone and a friend, and tells what happens. Starts a server for "
        "development of its own when none runs.",
    )
    demo.add_argument("--ready-file", type=Path, help="the ready file of the server to use")
    demo.set_defaults(run=_demo)


def _user(options: argparse.Namespace) -> int:
    arguments = {"jid": options.jid}
    if options.has_password:
        password = _password(options.jid)
        if not password:
            sys.stderr.write("pushdctl: the password is empty, or was typed in two ways\n")
            return 1
        arguments["password"] = password.reveal()
    with _reached(options) as server:
        result = server.call(options.operation, arguments)
    done = {"user-add": "added", "user-passwd": "changed", "user-del": "removed"}
    _say(options, result, f"{done[options.operation]} {result['jid']}")
    return 0


def _user_list(options: argparse.Namespace) -> int:
    with _reached(options) as server:
        result = server.call("user-list", {"domain": options.domain})
    _say(options, result, "\n".join(account["jid"] for account in result["accounts"]))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from pushd.cli.demo import run

    return run(options.ready_file)


def _reached(options: argparse.Namespace) -> Reach:
    return reach(config=options.config, data=options.data, socket=options.socket)


def _password(jid: str) -> Secret:
    """From a prompt, typed twice, or one line of standard input; empty when that fails."""
    if not sys.stdin.isatty():
        return Secret(sys.stdin.readline().rstrip("\r\n"))
    first = getpass.getpass(f"password for {jid}: ")
    second = getpass.getpass("once more: ")
    return Secret(first if first == second else "")


def _say(options: argparse.Namespace, result: dict[str, Any], text: str) -> None:
    shown = json.dumps(result) if options.json else text
    if shown:
        sys.stdout.write(f"{shown}\n")


if __name__ == "__main__":
    raise SystemExit(main())
