"""What the process of a stand-in runs: for each network its ports, files and ready file."""

import argparse
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory

from pushd.net.certificates import write_whole
from pushd.simulators.apns import APNsSimulator
from pushd.simulators.apns_tokens import PRODUCTION, SANDBOX, Key
from pushd.simulators.base import Simulator
from pushd.simulators.fcm import FCMSimulator
from pushd.simulators.fcm_tokens import ServiceAccount
from pushd.simulators.ubuntu import UbuntuSimulator
from pushd.simulators.wns import WNSSimulator


class Stop(Exception):
    """Why it cannot start, for people to read."""


class Network(ABC):
    """One network to stand in for. Whatever it keeps is in `folder`."""

    simulator: Simulator[Any]
    ports: ClassVar[tuple[str, ...]] = ("listen",)  # the options that say where
    asks_for_certificate: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, options: argparse.Namespace, folder: Path, clock: IReactorTime) -> None: ...

    @abstractmethod
    def factory(self, port: str) -> Factory:
        """What listens there."""

    @abstractmethod
    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        """Take the URLs, by port, and write credentials; gives what the ready file says."""


class FCM(Network):
    simulator: FCMSimulator

    def __init__(self, options: argparse.Namespace, folder: Path, clock: IReactorTime) -> None:
        self._file = folder / "fcm-service-account.json"
        account = _taken_up(self._file, ServiceAccount.taken_up, "a service account")
        if account is not None and account.project != options.project:
            account = None
        self.simulator = FCMSimulator(clock, project=options.project, account=account)

    def factory(self, port: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["listen"]
        _write(self._file, self.simulator.service_account())
        return {
            "service_account": str(self._file.absolute()),
            "project": self.simulator.project,
        }


class APNs(Network):
    simulator: APNsSimulator
    ports = ("listen", "listen_sandbox")
    asks_for_certificate = True

    def __init__(self, options: argparse.Namespace, folder: Path, clock: IReactorTime) -> None:
        self._folder = folder
        self._file = folder / "apns-key.json"
        key = _taken_up(self._file, Key.taken_up, "a key")
        self.simulator = APNsSimulator(clock, topics=options.topic or (), key=key)

    def factory(self, port: str) -> Factory:
        return self.simulator.door(PRODUCTION if port == "listen" else SANDBOX)

    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["listen"]
        self.simulator.sandbox_url = urls["listen_sandbox"]
        key = self.simulator.key
        _write(self._file, key.as_file())
        return {
            "sandbox_url": self.simulator.sandbox_url,
            "key_file": str(write_key(self._folder, key).absolute()),
            "key_id": key.id,
            "team_id": key.team,
        }


class Ubuntu(Network):
    simulator: UbuntuSimulator

    def __init__(self, options: argparse.Namespace, folder: Path, clock: IReactorTime) -> None:
        self.simulator = UbuntuSimulator(clock)

    def factory(self, port: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["listen"]
        return {}


class WNS(Network):
    simulator: WNSSimulator

    def __init__(self, options: argparse.Namespace, folder: Path, clock: IReactorTime) -> None:
        self._file = folder / "wns-client.json"
        secret = _taken_up(self._file, lambda file: str(file["auth_key"]), "a client")
        self.simulator = WNSSimulator(clock, client_secret=secret or "")

    def factory(self, port: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["listen"]
        _write(self._file, self.simulator.credentials())
        return {**self.simulator.credentials(), "token_uri": f"{urls['listen']}/token"}


NETWORKS: dict[str, type[Network]] = {"apns": APNs, "fcm": FCM, "ubuntu": Ubuntu, "wns": WNS}


def write_key(folder: Path, key: Key) -> Path:
    """Write a signing key as Apple's page names and writes it; gives the file. Raises OSError."""
    file = folder / f"AuthKey_{key.id}.p8"
    write_whole(file, key.pem.encode(), 0o600)
    return file


def _taken_up(file: Path, read: Any, what: str) -> Any:
    """What an earlier run in the same folder has left, or None. Raises Stop."""
    if not file.exists():
        return None
    try:
        return read(json.loads(file.read_bytes()))
    except (KeyError, TypeError, ValueError):
        words = f"{file} is not {what} of an earlier run: remove it, and a new one is made up"
        raise Stop(words) from None


def _write(path: Path, value: Any) -> None:
    write_whole(path, json.dumps(value, indent=2).encode() + b"\n", 0o600)
