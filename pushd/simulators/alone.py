"""For each network that there is a stand-in for: its ports, its files, and how to push there.

For a process that is a stand-in and nothing else, and for a server that has some beside it.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory

from pushd.net.certificates import write_whole
from pushd.simulators import webhook_signatures
from pushd.simulators.apns import APNsSimulator
from pushd.simulators.apns_tokens import PRODUCTION, SANDBOX, Key
from pushd.simulators.base import Simulator
from pushd.simulators.fcm import FCMSimulator
from pushd.simulators.fcm_tokens import ServiceAccount
from pushd.simulators.ubuntu import UbuntuSimulator
from pushd.simulators.webhook import WebhookSimulator
from pushd.simulators.webpush import WebPushSimulator
from pushd.simulators.wns import WNSSimulator


class Stop(Exception):
    """Why it cannot start, for people to read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What may be chosen."""

    project: str = "pushd-simulator"  # FCM's
    topics: tuple[str, ...] = ()  # the apps of the team at APNs; none: any is


class Network(ABC):
    """One network to stand in for. What it makes up is kept in `folder`, for the next run there.

    Raises Stop when what the folder has is something else, and OSError.
    """

    simulator: Simulator[Any]
    ports: ClassVar[tuple[str, ...]] = ("listen",)  # the options that say where
    asks_for_certificate: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, wanted: Wanted, folder: Path, clock: IReactorTime) -> None: ...

    @abstractmethod
    def factory(self, port: str) -> Factory:
        """What listens there."""

    @abstractmethod
    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        """Take the URLs, by port, and write credentials; gives what the ready file says."""


class FCM(Network):
    simulator: FCMSimulator

    def __init__(self, wanted: Wanted, folder: Path, clock: IReactorTime) -> None:
        self._file = folder / "fcm-service-account.json"
        account = _taken_up(self._file, ServiceAccount.taken_up, "a service account")
        if account is not None and account.project != wanted.project:
            account = None
        self.simulator = FCMSimulator(clock, project=wanted.project, account=account)

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

    def __init__(self, wanted: Wanted, folder: Path, clock: IReactorTime) -> None:
        self._folder = folder
        self._file = folder / "apns-key.json"
        key = _taken_up(self._file, Key.taken_up, "a key")
        self.simulator = APNsSimulator(clock, topics=wanted.topics, key=key)

    def factory(self, port: str) -> Factory:
        return self.simulator.door(PRODUCTION if port == "listen" else SANDBOX)

    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["listen"]
        self.simulator.sandbox_url = urls["listen_sandbox"]
        key = self.simulator.key
        _write(self._file, key.as_file())
        return {
            "sandbox_url": self.simulator.sandbox_url,
            "key_file": str(_write_key(self._folder, key).absolute()),
            "key_id": key.id,
            "team_id": key.team,
        }


class Ubuntu(Network):
    simulator: UbuntuSimulator

    def __init__(self, wanted: Wanted, folder: Path, clock: IReactorTime) -> None:
        self.simulator = UbuntuSimulator(clock)

    def factory(self, port: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["listen"]
        return {}


class WNS(Network):
    simulator: WNSSimulator

    def __init__(self, wanted: Wanted, folder: Path, clock: IReactorTime) -> None:
        self._file = folder / "wns-client.json"
        secret = _taken_up(self._file, lambda file: str(file["auth_key"]), "a client")
        self.simulator = WNSSimulator(clock, client_secret=secret or "")

    def factory(self, port: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["listen"]
        _write(self._file, self.simulator.credentials())
        return {
            **self.simulator.credentials(),
            "token_uri": f"{urls['listen']}/token",
            "application_id": self.simulator.application_id,
            "tenant": self.simulator.tenant,
            "entra_uri": self.simulator.entra_uri,
        }


class WebPush(Network):
    simulator: WebPushSimulator

    def __init__(self, wanted: Wanted, folder: Path, clock: IReactorTime) -> None:
        self._file = folder / "webpush-seed.json"
        seed = _taken_up(self._file, lambda file: bytes.fromhex(file["seed"]), "a seed")
        self.simulator = WebPushSimulator(clock, seed=seed or b"")

    def factory(self, port: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["listen"]
        _write(self._file, {"seed": self.simulator.subscriptions.seed.hex()})
        return {}


class Webhook(Network):
    simulator: WebhookSimulator

    def __init__(self, wanted: Wanted, folder: Path, clock: IReactorTime) -> None:
        self._file = folder / "webhook-secret.json"
        secret = _taken_up(self._file, _webhook_secret, "a secret")
        self.simulator = WebhookSimulator(clock, secrets=[secret] if secret else ())

    def factory(self, port: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: dict[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["listen"]
        _write(self._file, self.simulator.credentials())
        return {"push_url": self.simulator.url, "secret": self.simulator.secrets[0]}


NETWORKS: dict[str, type[Network]] = {
    "apns": APNs,
    "fcm": FCM,
    "ubuntu": Ubuntu,
    "webhook": Webhook,
    "webpush": WebPush,
    "wns": WNS,
}


def _webhook_secret(file: Any) -> str:
    webhook_signatures.key(file["secret"])
    return str(file["secret"])


def _write_key(folder: Path, key: Key) -> Path:
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
