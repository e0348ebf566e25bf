"""The stand-ins for push networks beside a server for development, and its backends for them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError

from pushd.config.backends import Backend
from pushd.net.certificates import CertificateError
from pushd.net.tls import CertificateFiles
from pushd.providers import catalogue
from pushd.simulators.alone import NETWORKS, Stop, Wanted
from pushd.simulators.tls import server_options
from pushd.wire.secret import Secret

TOPIC = "org.example.messenger"  # the app whose devices register at a server for development

CONTACT = "mailto:operator@example.org"  # whom push services may turn to; Apple wants a real host

# What apps for Apple's devices are called by Tigase's commands and in fpush, so that any build of
# theirs can be tried.
TIGASE_PROVIDERS = {"apns": ("tigase:messenger:apns:1", "snikket:apns:1")}
PUSH_MODULES = {
    "apns": (
        "monalAlpha",
        "monalProdiOS",
        "monalProdCatalyst",
        "quicksyProdiOS",
        "quicksyProdCatalyst",
    )
}

Told = Mapping[str, Any]  # what a stand-in says of itself, by the names of its ready file

# What a backend takes of that.
OPTIONS: dict[str, Callable[[Told], dict[str, Any]]] = {
    "fcm": lambda told: {"service_account": Path(told["service_account"])},
    "apns": lambda told: {
        "topic": TOPIC,
        "key_file": Path(told["key_file"]),
        "key_id": told["key_id"],
        "team_id": told["team_id"],
        "sandbox_url": told["sandbox_url"],
    },
    "ubuntu": lambda told: {},
    "webpush": lambda told: {"sub": CONTACT, "allow_private": True},
    "webhook": lambda told: {"url": told["push_url"], "secret": Secret(told["secret"])},
    "wns": lambda told: {
        "package_sid": told["package_sid"],
        "auth_key": Secret(told["auth_key"]),
        "token_uri": told["token_uri"],
    },
}
# What a client is to know beyond.
MORE: dict[str, Callable[[Any], dict[str, str]]] = {
    "apns": lambda simulator: {"topic": TOPIC},
    "wns": lambda simulator: {"channel": simulator.channel("NAME")},
}
# The providers that push there, where it is not the one of its own name.
SERVES = {"webpush": ("webpush", "unifiedpush")}
LINES = {  # of the greeting, behind its URL
    "fcm": "FCM simulator; what it got: /control/requests there",
    "apns": f"APNs simulator, app {TOPIC}",
    "ubuntu": "Ubuntu Push simulator",
    "wns": "WNS simulator; a channel is /channel/?token=NAME there",
    "webpush": "Web Push and UnifiedPush simulator; subscriptions: /control/subscriptions there",
    "webhook": "receiver of webhooks",
}


class StandIn:
    """One of them. What it makes up is kept in the folder.

    Raises CertificateError when what the folder has is something else, and OSError.
    """

    def __init__(self, type: str, reactor: Any, folder: Path) -> None:
        self.type = type
        self._reactor = reactor
        try:
            self._network = NETWORKS[type](Wanted(), folder, reactor)
        except Stop as stop:
            raise CertificateError(str(stop)) from None
        self._open: dict[str, Any] = {}  # what listens, by the network's names of ports
        self._told: dict[str, Any] = {}

    def open(
        self, files: CertificateFiles, address: str, host: str, wanted: Mapping[str, int]
    ) -> None:
        """Listen, on the wanted ports where they are free. `host` stands in URLs."""
        for name in self._network.ports:
            number = wanted[self._remembered_as(name)]
            self._open[name] = self._listen(files, address, name, number)
        urls = {name: f"https://{host}:{port.getHost().port}" for name, port in self._open.items()}
        self._told = self._network.reached(urls)

    def numbers(self) -> dict[str, int]:
        """The ports that are open, by their names in the folder's memory."""
        return {self._remembered_as(name): port.getHost().port for name, port in self._open.items()}

    def backends(self, register_host: str, pubsub_host: str, ca: Path) -> list[Backend]:
        """The backends that push here."""
        made = []
        for type in SERVES.get(self.type, (self.type,)):
            kind = catalogue.find(type)
            assert kind is not None
            options: Any = catalogue.options(kind)
            backend = Backend(
                type=type,
                register_host=register_host,
                pubsub_host=pubsub_host,
                base_url=self._network.simulator.base_url,
                ca_file=ca,
                tigase_providers=TIGASE_PROVIDERS.get(type, ()),
                push_modules=PUSH_MODULES.get(type, ()),
                options=options(**OPTIONS[self.type](self._told)),
            )
            made.append(backend)
        return made

    def ready(self) -> dict[str, dict[str, Any]]:
        """What the ready file says of it, by provider."""
        simulator = self._network.simulator
        more = MORE[self.type](simulator) if self.type in MORE else {}
        url = simulator.base_url
        told = {"url": url, "control": f"{url}/control", **self._told, **more}
        return dict.fromkeys(SERVES.get(self.type, (self.type,)), told)

    def lines(self) -> list[str]:
        """What the greeting says of it."""
        lines = [f"{self._network.simulator.base_url}  {LINES[self.type]}"]
        if "sandbox_url" in self._told:
            lines.append(f"{self._told['sandbox_url']}  its sandbox")
        return lines

    async def stop(self) -> None:
        self._network.simulator.close()
        for port in self._open.values():
            await port.stopListening()

    def _remembered_as(self, port: str) -> str:
        return self.type + port.removeprefix("listen")

    def _listen(self, files: CertificateFiles, address: str, name: str, wanted: int) -> Any:
        tls = server_options(
            files.certificate,
            files.key,
            asks_for_certificate=self._network.asks_for_certificate,
        )
        listen: Callable[..., Any] = self._reactor.listenSSL
        try:
            return listen(wanted, self._network.factory(name), tls, interface=address)
        except CannotListenError:
            if wanted == 0:
                raise
            return listen(0, self._network.factory(name), tls, interface=address)
