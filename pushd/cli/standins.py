"""The stand-ins for push networks beside a server for development, and its backends for them.

What they made up (a service account, a signing key) is kept in the server's folder, so that a
restart finds it again.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from pushd.config.backends import Backend
from pushd.net.certificates import write_whole
from pushd.net.tls import CertificateFiles
from pushd.providers import catalogue
from pushd.simulators.alone import write_key
from pushd.simulators.apns import APNsSimulator
from pushd.simulators.apns_tokens import PRODUCTION, SANDBOX, Key
from pushd.simulators.base import Simulator
from pushd.simulators.fcm import FCMSimulator
from pushd.simulators.fcm_tokens import ServiceAccount
from pushd.simulators.tls import server_options
from pushd.simulators.ubuntu import UbuntuSimulator
from pushd.simulators.wns import WNSSimulator
from pushd.wire.secret import Secret

TOPIC = "org.example.messenger"  # the app whose devices register at a server for development


class StandIn(ABC):
    """One of them. Its ports are named as in the folder's memory of ports."""

    type: ClassVar[str]  # of the provider
    ports: ClassVar[tuple[str, ...]]
    asks_for_certificate: ClassVar[bool] = False
    simulator: Simulator[Any]

    def __init__(self, reactor: Any, folder: Path) -> None:
        self._reactor = reactor
        self._folder = folder
        self._open: dict[str, Any] = {}

    @abstractmethod
    def factory(self, name: str) -> Factory:
        """What listens on a port."""

    @abstractmethod
    def reached(self, urls: Mapping[str, str]) -> dict[str, Any]:
        """Take the URLs, by port, and write credentials; gives the backend's options."""

    @abstractmethod
    def told(self) -> dict[str, Any]:
        """What the ready file says of it besides `url` and `control`."""

    @abstractmethod
    def lines(self) -> list[str]:
        """What the greeting says of it."""

    def open(
        self, files: CertificateFiles, address: str, host: str, wanted: Mapping[str, int]
    ) -> None:
        """Listen, on the wanted ports where they are free. `host` stands in URLs."""
        for name in self.ports:
            self._open[name] = self._listen(files, address, name, wanted[name])
        urls = {name: f"https://{host}:{port}" for name, port in self.numbers().items()}
        self.options = self.reached(urls)

    def numbers(self) -> dict[str, int]:
        """The ports that are open."""
        return {name: port.getHost().port for name, port in self._open.items()}

    def backend(self, register_host: str, pubsub_host: str, ca: Path) -> Backend:
        """A backend that pushes here."""
        kind = catalogue.find(self.type)
        assert kind is not None
        options: Any = catalogue.options(kind)
        return Backend(
            type=self.type,
            register_host=register_host,
            pubsub_host=pubsub_host,
            base_url=self.simulator.base_url,
            ca_file=ca,
            options=options(**self.options),
        )

    def ready(self) -> dict[str, Any]:
        """What the ready file says of it."""
        url = self.simulator.base_url
        return {"url": url, "control": f"{url}/control"} | self.told()

    async def stop(self) -> None:
        self.simulator.close()
        for port in self._open.values():
            await port.stopListening()

    def _listen(self, files: CertificateFiles, address: str, name: str, wanted: int) -> Any:
        tls = server_options(
            files.certificate, files.key, asks_for_certificate=self.asks_for_certificate
        )
        listen: Callable[..., Any] = self._reactor.listenSSL
        try:
            return listen(wanted, self.factory(name), tls, interface=address)
        except CannotListenError:
            if wanted == 0:
                raise
            return listen(0, self.factory(name), tls, interface=address)


class FCM(StandIn):
    type = "fcm"
    ports = ("fcm",)
    simulator: FCMSimulator

    def __init__(self, reactor: Any, folder: Path) -> None:
        super().__init__(reactor, folder)
        self._file = folder / "fcm-service-account.json"
        account = _taken_up(self._file, ServiceAccount.taken_up)
        self.simulator = FCMSimulator(reactor, account=account)

    def factory(self, name: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: Mapping[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["fcm"]
        write(self._file, self.simulator.service_account())
        return {"service_account": self._file}

    def told(self) -> dict[str, Any]:
        return {"service_account": str(self._file)}

    def lines(self) -> list[str]:
        return [f"{self.simulator.base_url}  FCM simulator; what it got: /control/requests there"]


class APNs(StandIn):
    type = "apns"
    ports = ("apns", "apns_sandbox")
    asks_for_certificate = True
    simulator: APNsSimulator

    def __init__(self, reactor: Any, folder: Path) -> None:
        super().__init__(reactor, folder)
        self._file = folder / "apns-key.json"
        self.simulator = APNsSimulator(reactor, key=_taken_up(self._file, Key.taken_up))

    def factory(self, name: str) -> Factory:
        return self.simulator.door(PRODUCTION if name == "apns" else SANDBOX)

    def reached(self, urls: Mapping[str, str]) -> dict[str, Any]:
        simulator, key = self.simulator, self.simulator.key
        simulator.base_url, simulator.sandbox_url = urls["apns"], urls["apns_sandbox"]
        write(self._file, key.as_file())
        self._key_file = write_key(self._folder, key)
        return {
            "topic": TOPIC,
            "key_file": self._key_file,
            "key_id": key.id,
            "team_id": key.team,
            "sandbox_url": simulator.sandbox_url,
        }

    def told(self) -> dict[str, Any]:
        return {
            "sandbox_url": self.simulator.sandbox_url,
            "key_file": str(self._key_file),
            "key_id": self.simulator.key.id,
            "team_id": self.simulator.key.team,
            "topic": TOPIC,
        }

    def lines(self) -> list[str]:
        return [
            f"{self.simulator.base_url}  APNs simulator, app {TOPIC}",
            f"{self.simulator.sandbox_url}  its sandbox",
        ]


class Ubuntu(StandIn):
    type = "ubuntu"
    ports = ("ubuntu",)
    simulator: UbuntuSimulator

    def __init__(self, reactor: Any, folder: Path) -> None:
        super().__init__(reactor, folder)
        self.simulator = UbuntuSimulator(reactor)

    def factory(self, name: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: Mapping[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["ubuntu"]
        return {}

    def told(self) -> dict[str, Any]:
        return {}

    def lines(self) -> list[str]:
        return [f"{self.simulator.base_url}  Ubuntu Push simulator"]


class WNS(StandIn):
    type = "wns"
    ports = ("wns",)
    simulator: WNSSimulator

    def __init__(self, reactor: Any, folder: Path) -> None:
        super().__init__(reactor, folder)
        self._file = folder / "wns-client.json"
        secret = _taken_up(self._file, lambda file: str(file["auth_key"]))
        self.simulator = WNSSimulator(reactor, client_secret=secret or "")

    def factory(self, name: str) -> Factory:
        return self.simulator.door()

    def reached(self, urls: Mapping[str, str]) -> dict[str, Any]:
        self.simulator.base_url = urls["wns"]
        given = self.simulator.credentials()
        write(self._file, given)
        return {
            "package_sid": given["package_sid"],
            "auth_key": Secret(given["auth_key"]),
            "token_uri": f"{urls['wns']}/token",
        }

    def told(self) -> dict[str, Any]:
        return {"channel": self.simulator.channel("NAME")}

    def lines(self) -> list[str]:
        return [
            f"{self.simulator.base_url}  WNS simulator; a channel is /channel/?token=NAME there"
        ]


ALL = (FCM, APNs, Ubuntu, WNS)


def write(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file for its owner alone. Raises OSError."""
    write_whole(path, json.dumps(value, indent=2).encode() + b"\n", 0o600)


def _taken_up(file: Path, read: Callable[[Any], Any]) -> Any:
    """What a stand-in of an earlier run in this folder had, or None."""
    try:
        return read(json.loads(file.read_bytes()))
    except (KeyError, OSError, TypeError, ValueError):
        return None
