"""A stand-in as a process of its own: `python -m pushd.simulators fcm --listen 127.0.0.1:0`.

The networks are those of `alone.py`. Says its URL on standard output, and all that a script
wants to know as one JSON line in `--ready-file`. Ends at SIGTERM and SIGINT, with exit code 0.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions

from pushd.net.certificates import DevelopmentCA, write_whole
from pushd.net.companion import Companion, named
from pushd.simulators.alone import NETWORKS, Stop, Wanted
from pushd.simulators.tls import server_options

_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:/\s]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Tls:
    """What the port shows, and what a client is to trust."""

    options: CertificateOptions
    ca: Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> "Place":
        """Read HOST:PORT or [ADDRESS]:PORT; raises ArgumentTypeError, for argparse to show."""
        match = _LISTEN.fullmatch(text)
        if match is None or int(match["port"]) > 65_535:
            raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:0")
        return cls(match["v6"] or match["host"], int(match["port"]))

    def named(self, name: str | None) -> str:
        """The host by which clients reach it, as it stands in a URL."""
        if name is not None:
            return name
        if self.host in ("0.0.0.0", "::"):  # noqa: S104 - every address: then this is one
            return "127.0.0.1" if self.host == "0.0.0.0" else "[::1]"  # noqa: S104
        return f"[{self.host}]" if ":" in self.host else self.host


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; gives the exit code."""
    options = _parser().parse_args(arguments)
    reactor: Any = global_reactor
    failures: list[str] = []
    with ExitStack() as stack:
        try:
            ready = _start(options, reactor, stack)
        except Stop as stop:
            sys.stderr.write(f"{stop}\n")
            return 1

        def say() -> None:
            try:
                _say(ready, options.ready_file)
            except Stop as stop:
                failures.append(f"{stop}\n")
                reactor.stop()

        if options.with_process is not None:
            companion = Companion(reactor, options.with_process, reactor.stop)
            reactor.callWhenRunning(companion.watch)
            reactor.addSystemEventTrigger("before", "shutdown", companion.stop)
        # Not before it runs: a signal that comes at once must find its handler.
        reactor.callWhenRunning(say)
        reactor.run()
    sys.stderr.writelines(failures)
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pushd.simulators",
        description="Stand in for a push network, on a port of this machine.",
    )
    parser.add_argument("network", choices=sorted(NETWORKS), help="which network to stand in for")
    parser.add_argument(
        "--listen",
        type=Place.read,
        default=Place("127.0.0.1", 0),
        metavar="HOST:PORT",
        help="where to listen; port 0 takes any that is free (default: 127.0.0.1:0)",
    )
    parser.add_argument("--name", help="the host name that clients use, when it is another")
    parser.add_argument("--certificate", type=Path, help="certificate chain, PEM")
    parser.add_argument("--key", type=Path, help="its private key, PEM")
    parser.add_argument("--ca", type=Path, help="what clients of that certificate are to trust")
    parser.add_argument("--plain", action="store_true", help="http, without TLS")
    parser.add_argument(
        "--folder",
        type=Path,
        help="keep certificates and credentials here; a temporary folder otherwise",
    )
    parser.add_argument("--project", default="pushd-simulator", help="fcm: the project to serve")
    parser.add_argument(
        "--listen-sandbox",
        type=Place.read,
        metavar="HOST:PORT",
        help="apns: where the sandbox listens (default: any free port of the same host)",
    )
    parser.add_argument(
        "--topic",
        action="append",
        metavar="BUNDLE_ID",
        help="apns: an app of the team, as often as it has some (default: any is)",
    )
    parser.add_argument("--ready-file", type=Path, help="write one JSON line here once it listens")
    parser.add_argument(
        "--with-process",
        type=_process,
        metavar="PID",
        help="stop when this process ends: its number, or parent",
    )
    return parser


def _process(text: str) -> int:
    try:
        return named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _start(options: argparse.Namespace, reactor: Any, stack: ExitStack) -> dict[str, Any]:
    """Open the ports; gives what the ready file is to say.

    What is to be undone at the end goes on the stack. Raises Stop.
    """
    try:
        folder = _folder(options.folder, stack)
        kind = NETWORKS[options.network]
        tls = None if options.plain else _tls(options, folder, reactor, kind.asks_for_certificate)
        wanted = Wanted(options.project, tuple(options.topic or ()))
        network = kind(wanted, folder, reactor)
        urls: dict[str, str] = {}
        for name in kind.ports:
            place = getattr(options, name) or Place(options.listen.host, 0)
            port = _listen(place, network.factory(name), tls, reactor)
            scheme = "http" if tls is None else "https"
            urls[name] = f"{scheme}://{place.named(options.name)}:{port}"
        told = network.reached(urls)
    except OSError as error:
        raise Stop(_words(error)) from None
    simulator = network.simulator
    reactor.addSystemEventTrigger("before", "shutdown", simulator.close)
    return {
        "simulator": simulator.type,
        "url": simulator.base_url,
        "control_url": f"{simulator.base_url}/control",
        **told,
        "ca": None if tls is None else str(tls.ca.absolute()),
        "pid": os.getpid(),
    }


def _say(ready: Mapping[str, Any], file: Path | None) -> None:
    try:
        if file is not None:
            write_whole(file, json.dumps(ready).encode() + b"\n", 0o644)
    except OSError as error:
        raise Stop(_words(error)) from None
    sys.stdout.write(f"{ready['url']}\n")
    sys.stdout.flush()


def _words(error: OSError) -> str:
    return f"{error.filename or 'a file'}: {error.strerror or error}"


def _folder(wanted: Path | None, stack: ExitStack) -> Path:
    if wanted is None:
        temporary = tempfile.TemporaryDirectory(prefix="pushd-simulator-")
        return Path(stack.enter_context(temporary))
    wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
    return wanted


def _tls(options: argparse.Namespace, folder: Path, reactor: IReactorTime, asks: bool) -> Tls:
    if (options.certificate is None) != (options.key is None):
        raise Stop("--certificate and --key belong together: give both, or neither")
    if options.certificate is not None:
        ca = options.ca or options.certificate
        return Tls(_options(options.certificate, options.key, asks), ca)
    try:
        authority = DevelopmentCA(folder, reactor.seconds())
        names = ["localhost", "127.0.0.1", "::1"]
        for name in (options.listen.host, *_other_host(options), options.name):
            if name is not None and name not in ("0.0.0.0", "::", *names):  # noqa: S104
                names.append(name)
        issued = authority.issue(names, options.network)
    except ValueError as error:
        raise Stop(str(error)) from None
    return Tls(_options(issued.certificate, issued.key, asks), authority.path)


def _other_host(options: argparse.Namespace) -> tuple[str, ...]:
    return (options.listen_sandbox.host,) if options.listen_sandbox is not None else ()


def _options(certificate: Path, key: Path, asks: bool) -> CertificateOptions:
    try:
        return server_options(certificate, key, asks_for_certificate=asks)
    except ValueError as error:
        raise Stop(str(error)) from None


def _listen(place: Place, factory: Factory, tls: Tls | None, reactor: Any) -> int:
    """Open the port; gives its number."""
    try:
        if tls is None:
            port = reactor.listenTCP(place.port, factory, interface=place.host)
        else:
            port = reactor.listenSSL(place.port, factory, tls.options, interface=place.host)
    except CannotListenError as error:
        reason = getattr(error.socketError, "strerror", None) or error.socketError
        raise Stop(f"cannot listen on {place.named(None)}:{place.port}: {reason}") from None
    number: int = port.getHost().port
    return number


if __name__ == "__main__":
    sys.exit(main())
