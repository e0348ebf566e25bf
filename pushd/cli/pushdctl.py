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

OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--config", "-c"),
        {"type": Path, "metavar": "FILE", "help": "the server's configuration file"},
    ),
    (("--data",), {"type": Path, "metavar": "FOLDER", "help": "the server's data folder"}),
    (("--socket",), {"type": Path, "metavar": "PATH", "help": "the running server's socket"}),
    (("--json",), {"action": "store_true", "help": "answer with JSON"}),
)
USER_ACTIONS = (
    ("add", "make an account; its password is asked for, or read from standard input"),
    ("passwd", "give an account another password; asked for or read likewise"),
    ("del", "remove an account and all that is its own"),
)
DONE = {"user-add": "added", "user-passwd": "changed", "user-del": "removed"}
LIST = "list the accounts, of one domain or of all"
DEMO = "watch a message to a sleeping phone become a push"


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
        prog="pushdctl",
        description="Operate a pushd server, running or not.",
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(parser, is_top=True)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_user(commands)
    _add_demo(commands)
    return parser


def _overview() -> str:
    """All commands in one place."""
    listed = [(f"user {name} JID", text) for name, text in USER_ACTIONS]
    listed += [("user list [DOMAIN]", LIST), ("demo", DEMO)]
    lines = "\n".join(f"  {command:20}{text}" for command, text in listed)
    return (
        f"commands:\n{lines}\n\n"
        "Without --config, --data and --socket: the development server that you run, or else\n"
        "the server of /etc/pushd/pushd.yml. Exit codes: 0 done, 1 refused, 2 not understood."
    )


def _add_options(parser: argparse.ArgumentParser, is_top: bool = False) -> None:
    """The options that every command takes, before its name and behind it."""
    for names, how in OPTIONS:
        parser.add_argument(*names, **(how if is_top else {**how, "default": argparse.SUPPRESS}))


def _add_user(commands: Any) -> None:
    user = commands.add_parser("user", help="accounts: add, passwd, del, list")
    actions = user.add_subparsers(required=True, metavar="ACTION")
    for name, text in USER_ACTIONS:
        action = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
        action.add_argument("jid", metavar="JID", help="the account, as name@domain")
        action.set_defaults(run=_user, operation=f"user-{name}", has_password=name != "del")
        _add_options(action)
    listing = actions.add_parser("list", help=LIST, description=f"{LIST.capitalize()}.")
    listing.add_argument("domain", metavar="DOMAIN", nargs="?", default="", help="only these")
    listing.set_defaults(run=_user_list)
    _add_options(listing)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help=DEMO,
        description="Plays a phone and a friend, and tells what happens. Starts a server for "
        "development of its own when none runs.",
    )
    demo.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="the ready file of the server to use"
    )
    demo.set_defaults(run=_demo)


def _user(options: argparse.Namespace) -> int:
    arguments = {"jid": options.jid}
    if options.has_password:
        arguments["password"] = _password(options.jid).reveal()
    with _reached(options) as server:
        result = server.call(options.operation, arguments)
    _say(options, result, f"{DONE[options.operation]} {result['jid']}")
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
    """From a prompt, typed twice, or one line of standard input. Raises Unreachable."""
    if sys.stdin is None or not sys.stdin.isatty():
        password = _line()
    else:
        try:
            password = getpass.getpass(f"password for {jid}: ")
            again = getpass.getpass("once more: ")
        except EOFError:
            raise Unreachable("no password was typed") from None
        if password != again:
            raise Unreachable("the two passwords are not the same")
    if not password:
        raise Unreachable("the password is empty")
    return Secret(password)


def _line() -> str:
    try:
        return sys.stdin.readline().rstrip("\r\n") if sys.stdin is not None else ""
    except UnicodeDecodeError:
        raise Unreachable("the password is not text in UTF-8") from None


def _say(options: argparse.Namespace, result: dict[str, Any], text: str) -> None:
    shown = json.dumps(result) if options.json else text
    if shown:
        sys.stdout.write(f"{shown}\n")


if __name__ == "__main__":
    raise SystemExit(main())
