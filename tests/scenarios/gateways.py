"""pushd as a component of other servers."""

import json
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pushd.config.sections import Dialects
from tests.scenarios.peers import until
from tests.scenarios.test_starting import PYTHON_M, Operator, Run


class Gateway:
    """A pushd without accounts or doors for clients: a component of a server, and nothing else.

    `server` is where that waits for components; `backend` as in the configuration, without hosts.
    """

    def __init__(
        self, folder: Path, name: str, server: str, backend: Mapping[str, Any], secret: str
    ) -> None:
        self.name = name
        self.operator = Operator(folder)
        folder.mkdir()
        host, _, port = server.rpartition(":")
        hosts = {"register_host": name, "pubsub_host": name}
        self._configuration = {
            "data": "data",
            "component": {"domain": name, "secret": secret, "host": host, "port": int(port)},
            "app_server": {
                "backends": [{**backend, **hosts}],
                "dialects": asdict(Dialects.every()),
            },
        }
        self.run: Run
        self.ready: Any

    def start(self) -> None:
        file = self.operator.folder / "pushd.yml"
        file.write_text(json.dumps(self._configuration))
        said = self.operator.folder / "ready.json"
        said.unlink(missing_ok=True)
        self.run = self.operator.run(*PYTHON_M, "--config", file, "--ready-file", said)
        self.ready = self.operator.wait(self.run, said)

    def status(self) -> Any:
        done = self.operator.pushdctl("--config", "pushd.yml", "--json", "status")
        return json.loads(done.stdout)

    def attached(self) -> None:
        """Wait until the server has taken it."""
        until(lambda: not self.status()["component"]["obstacle"], "place at the server")

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.run.stop(number)

    def close(self) -> None:
        """The end, after which its log is looked at."""
        for run in self.operator.runs:
            run.stop(signal.SIGKILL)
            assert "Traceback" not in run.out + run.err, run.out + run.err
