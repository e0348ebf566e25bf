"""pushd as the component of another server, and nothing else: its start, and its needs at rest."""

import contextlib
import json
import re
import socket
import statistics
import time
from collections.abc import Iterator

from benchmarks.component import SECRET
from benchmarks.processes import START, Server, ServerError
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario
from benchmarks.servers import Pushd

DOMAIN = "push.bench.example"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of Standard Webhooks' own example
RUNS = 3
REST = 5.0  # seconds
QUESTION = (
    f"<iq type='get' id='q' from='u@bench.example/r' to='{DOMAIN}'>"
    "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
).encode()
ANSWER = re.compile(rb"<iq[^>]* id='q'")


class Attached(Pushd):
    """pushd with a backend and without a domain; `component_port` is where its server waits."""

    name = "pushd-attached"
    place = 0  # the port of the server that it belongs to

    def configure(self) -> None:
        hosts = {"register_host": DOMAIN, "pubsub_host": DOMAIN}
        backend = {"type": "webhook", "url": "https://127.0.0.1:1/", "secret": WEBHOOK_SECRET}
        place = {"domain": DOMAIN, "secret": SECRET, "host": "127.0.0.1"}
        self._file.write_text(
            json.dumps(
                {
                    "data": str(self.folder / "data"),
                    "component": {**place, "port": self.place},
                    "app_server": {"backends": [{**backend, **hosts}]},
                    "log": {"level": "warning"},
                }
            )
        )


@contextlib.contextmanager
def _server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(START)
        yield listener


def _until(connection: socket.socket, wanted: re.Pattern[bytes]) -> None:
    heard = b""
    while not wanted.search(heard):
        data = connection.recv(65_536)
        if not data:
            raise ServerError(f"pushd left its server: {heard[-500:].decode()}")
        heard += data


def _start(server: Attached, listener: socket.socket) -> tuple[float, float, float]:
    """Until a question is answered: seconds; then MB, and CPU seconds used."""
    began = time.perf_counter()
    server.launch()
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(START)
        connection.sendall(
            f"<stream:stream from='{DOMAIN}' id='1' xmlns='jabber:component:accept'"
            " xmlns:stream='http://etherx.jabber.org/streams'>".encode()
        )
        _until(connection, re.compile(rb"</handshake>"))
        connection.sendall(b"<handshake/>" + QUESTION)
        _until(connection, ANSWER)
        seconds = time.perf_counter() - began
        time.sleep(REST)
        server.look_around()
        return seconds, server.memory() / 1e6, server.cost()


def measure(bench: Bench, kind: type[Server]) -> Result:
    """Nothing of the others': they are no push services."""
    if kind is not Pushd:
        return Result((None, None, None))
    server = Attached(bench.folder / "run" / Attached.name, bench.server_core, tls=False)
    runs = []
    with _server() as listener:
        server.place = listener.getsockname()[1]
        for _ in range(1 if bench.is_quick else RUNS):
            try:
                runs.append(_start(server, listener))
            finally:
                server.kill()
    return Result([statistics.median(values) for values in zip(*runs, strict=True)])


SCENARIOS = (
    Scenario(
        "start-attached",
        (
            Line("app server alone: start to the first answer", "s", Budget(most=1.0), 2),
            Line("app server alone: memory at rest", "MB", Budget(most=60), 1),
            Line("app server alone: CPU used until then", "s", digits=2),
        ),
        measure,
    ),
)
