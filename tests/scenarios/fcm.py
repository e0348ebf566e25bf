"""The stand-in for FCM as a process of its own, for servers that share it."""

import json
import ssl
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE
from tests.scenarios.test_starting import PYTHON_M, WITH_US, Operator


class Fcm:
    """It runs from the beginning, in a folder, until it is closed."""

    def __init__(self, folder: Path) -> None:
        self._operator = Operator(folder)
        said = folder / "fcm.json"
        command = (*PYTHON_M[:2], "pushd.simulators", "fcm", "--folder", folder / "fcm", WITH_US)
        run = self._operator.run(*command, "--ready-file", said)
        self._told = self._operator.wait(run, said)

    def backend(self, register_host: str, pubsub_host: str) -> dict[str, Any]:
        """As in the configuration of an app server."""
        return {
            "type": "fcm",
            "register_host": register_host,
            "pubsub_host": pubsub_host,
            "base_url": self._told["url"],
            "ca_file": self._told["ca"],
            "service_account": self._told["service_account"],
        }

    def pushes(self, token: str, wait: float = 0.0) -> list[Any]:
        """What came for a token; with `wait`, seconds, until there is something."""
        query = urllib.parse.urlencode({"token": token, "since": 0, "wait": wait})
        return list(self._control(f"/requests?{query}")["requests"])

    def script(self, token: str, *answers: Mapping[str, Any]) -> None:
        """Have it give these answers for the token, in order."""
        self._control("/script", {"token": token, "answers": answers})

    def _control(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        trusted = ssl.create_default_context(cafile=self._told["ca"])
        url = self._told["control_url"] + path
        with urllib.request.urlopen(url, data, 2 * PATIENCE, context=trusted) as answer:
            return json.load(answer)

    def close(self) -> None:
        for run in self._operator.runs:
            run.stop()
