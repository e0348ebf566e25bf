"""`pushdctl`: the operator's command line, with the server up or down."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pushd.cli import backups, harness, neighbours, pushes, tables
from pushd.cli.commands import (
    INTERRUPTED,
    REFUSED,
    WRONG,
    Argument,
    Command,
    Run,
    ask,
    asked,
    located,
    say,
)
from pushd.cli.reaching import Unreachable, stopped
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code, which docs/operating.rst lists."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except Unreachable as error:
        sys.stderr.write(f"pushdctl: {error}\n")
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


# What the commands do.


def _with_password(operation: str, done: str) -> Run:
    def run(options: argparse.Namespace) -> int:
        password = _password(options.jid).reveal()
        return ask(options, operation, {"jid": options.jid, "password": password}, done)

    return run


def _of_account(operation: str, done: str) -> Run:
    return lambda options: ask(options, operation, {"jid": options.jid}, done)


def _disable(options: argparse.Namespace) -> int:
    given = {"jid": options.jid, "reason": options.reason}
    return ask(options, "user-disable", given, "disabled")


def _users(options: argparse.Namespace) -> int:
    result = asked(options, "user-list", {"domain": options.domain})
    return say(options, result, tables.users(result))


def _sessions(options: argparse.Namespace) -> int:
    result = asked(options, "sessions", {"jid": options.jid})
    return say(options, result, tables.sessions(result))


def _kick(options: argparse.Namespace) -> int:
    result = asked(options, "kick", {"jid": options.jid, "reason": options.reason})
    return say(options, result, "\n".join(f"ended {jid}" for jid in result["sessions"]))


def _status(options: argparse.Namespace) -> int:
    place = located(options)
    result = asked(options, "status", {}) if place.runs else stopped(place)
    say(options, result, tables.status(result))
    return WRONG if result["problems"] else 0


def _reload(options: argparse.Namespace) -> int:
    result = asked(options, "reload", {})
    return say(options, result, tables.reloaded(result))


def _backup(options: argparse.Namespace) -> int:
    result = backups.backup(located(options), options.file)
    return say(options, result, f"wrote {result['file']}, {tables.size(result['bytes'])}")


def _restore(options: argparse.Namespace) -> int:
    result = backups.restore(located(options), options.file)
    return say(options, result, backups.restored(result))


def _demo(options: argparse.Namespace) -> int:
    from pushd.cli.demo import run
    from pushd.cli.demopushes import NETWORKS

    return run(options.ready_file, NETWORKS[options.network])


# What there is to type.

ACCOUNT = Argument("jid", {"metavar": "JID", "help": "the account, as name@domain"})
WHOSE = Argument(
    "jid", {"metavar": "JID", "help": "a full JID, or an account for all of its sessions"}
)
ANYONE = Argument(WHOSE.name, {**WHOSE.how, "nargs": "?", "default": ""})
DOMAIN = Argument(
    "domain", {"metavar": "DOMAIN", "nargs": "?", "default": "", "help": "only these"}
)
REASON = Argument(
    "--reason", {"metavar": "TEXT", "default": "", "help": "why; the user's client shows it"}
)


def _file(purpose: str) -> Argument:
    return Argument("file", {"type": Path, "metavar": "FILE", "help": f"the file {purpose}"})


NETWORK = Argument(
    "--network",
    {
        "choices": ("fcm", "apns", "webpush", "unifiedpush", "ubuntu", "wns", "webhook"),
        "default": "fcm",
        "help": "whose push wakes it; fcm if not given",
    },
)
READY = Argument(
    "--ready-file",
    {"type": Path, "metavar": "FILE", "help": "the ready file of the server to use"},
)
COMMANDS = (
    Command(
        "user add",
        "make an account; its password is asked for, or read from standard input",
        _with_password("user-add", "added"),
        (ACCOUNT,),
    ),
    Command(
        "user passwd",
        "give an account another password; asked for or read likewise",
        _with_password("user-passwd", "changed"),
        (ACCOUNT,),
    ),
    Command(
        "user del",
        "remove an account and all that is its own",
        _of_account("user-del", "removed"),
        (ACCOUNT,),
    ),
    Command(
        "user disable",
        "let nobody log in to an account; it keeps what it has",
        _disable,
        (ACCOUNT, REASON),
    ),
    Command(
        "user enable",
        "let an account log in again",
        _of_account("user-enable", "enabled"),
        (ACCOUNT,),
    ),
    Command("user list", "list the accounts, of one domain or of all", _users, (DOMAIN,)),
    Command("sessions", "list who is there, or waits to be resumed", _sessions, (ANYONE,)),
    Command("kick", "end a session, or all of an account", _kick, (WHOSE, REASON)),
    Command("status", "tell how the server is; exit code 3 when something is wrong", _status),
    Command("reload", "have the server read its configuration and credentials anew", _reload),
    Command(
        "backup", "copy the database, while the server runs or not", _backup, (_file("to make"),)
    ),
    Command(
        "restore",
        "put a backup in the place of the database; the server must not run",
        _restore,
        (_file("to read"),),
    ),
    *neighbours.COMMANDS,
    *pushes.COMMANDS,
    *harness.COMMANDS,
    Command("demo", "watch a message to a sleeping phone become a push", _demo, (NETWORK, READY)),
)
GROUPS = {
    "user": "accounts: add, passwd, del, disable, enable, list",
    "s2s": "other servers: check, list",
    "push": "push: registrations, enablements, decisions, ledger, queue, test, probe, pause, ...",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pushdctl",
        description="Operate a pushd server, running or not.",
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(parser, is_top=True)
    top = parser.add_subparsers(required=True, metavar="COMMAND")
    groups = {
        name: top.add_parser(name, help=text).add_subparsers(required=True, metavar="ACTION")
        for name, text in GROUPS.items()
    }
    for command in COMMANDS:
        group, _, name = command.words.rpartition(" ")
        text = f"{command.help.capitalize()}."
        added = groups.get(group, top).add_parser(name, help=command.help, description=text)
        for argument in command.takes:
            added.add_argument(argument.name, **argument.how)
        added.set_defaults(run=command.run)
        _add_options(added)
    return parser


def _overview() -> str:
    """All commands in one place."""
    lines = "\n".join(f"  {command.usage:42}{command.help}" for command in COMMANDS)
    return (
        f"commands:\n{lines}\n\n"
        "Without --config, --data and --socket: the development server that you run, or else\n"
        "the server of /etc/pushd/pushd.yml. Exit codes: 0 done, 1 refused, or a backend\n"
        "that would not get pushes through (push probe), 2 not understood,\n"
        "3 something is wrong (status, s2s check), a push did not arrive (push test,\n"
        "wait-push), or did (assert-no-push)."
    )


def _add_options(parser: argparse.ArgumentParser, is_top: bool = False) -> None:
    """The options that every command takes, before its name and behind it."""
    for names, how in OPTIONS:
        parser.add_argument(*names, **(how if is_top else {**how, "default": argparse.SUPPRESS}))


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


if __name__ == "__main__":
    raise SystemExit(main())
