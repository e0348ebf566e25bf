"""A configured server that the tests of a module share, and its peers, which block.

    @pytest.fixture(scope="module")
    def house(tmp_path_factory): yield from opened(tmp_path_factory)

    phone = house.phone()                # a new account, logged in and resumable
    service = house.service(FOREIGN)     # a component that plays a push service
    phone.enable(FOREIGN, "a node")
    phone.cut()
    house.friend().message(phone.account, "hello")
    publish = service.publish("a node")  # the <iq/>; unanswered until `service.accept(publish)`

The server, the stand-in for FCM and the peers are different processes. Nothing waits longer
than `PATIENCE`, and a log with a traceback fails the module.
"""

import itertools
import json
import signal
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pushd.wire.secret import Secret
from tests.patience import PATIENCE
from tests.scenarios.peers import Peer, Phone, Service, until
from tests.scenarios.test_starting import PYTHON_M, WITH_US, Operator, Run, free_port

DOMAIN = "example.net"
PUSH_HOST = "push.example.net"
FOREIGN, ELSEWHERE = "push.foreign.example", "push.elsewhere.example"  # components
PASSWORD = Secret("a password of some length")
COMPONENT_SECRET = Secret("a secret of some length")
_numbers = itertools.count(1)


def opened(
    factory: pytest.TempPathFactory,
    options: Sequence[str] = (),
    networks: Sequence[str] = ("fcm",),
    **sections: Any,
) -> Iterator["House"]:
    """A house for a module's fixture; `sections` change its configuration."""
    house = House(factory.mktemp("house"), options, networks, **sections)
    try:
        house.start()
        yield house
        house.check()
    finally:
        house.close()


class House:
    """The server of `example.net`, two components' places, and stand-ins for push networks.

    `options` are added to the server's command.
    """

    def __init__(
        self,
        folder: Path,
        options: Sequence[str] = (),
        networks: Sequence[str] = ("fcm",),
        **sections: Any,
    ) -> None:
        self.operator = Operator(folder)
        self.folder = folder
        self.events_file = folder / "events.jsonl"
        self.peers: list[Peer] = []
        self.ready: Any = None
        self.server: Run
        self._services: dict[str, Service] = {}
        self._friend: Phone | None = None
        self._witness: Phone | None = None
        self._options = options
        self.stand_ins = {name: self._stand_in(name) for name in networks}
        self.client, self.component = free_port(), free_port()
        self.configure(**sections)

    def _stand_in(self, name: str) -> Any:
        """Start the stand-in for a network; what its ready file says."""
        said = self.folder / f"{name}.json"
        command = (*PYTHON_M[:2], "pushd.simulators", name, "--folder", self.folder / name)
        run = self.operator.run(*command, "--ready-file", said, WITH_US)
        return self.operator.wait(run, said)

    def _backend(self, name: str) -> dict[str, Any]:
        told = self.stand_ins[name]
        wanted = {
            "fcm": {"service_account": "service_account"},
            "apns": {"key_file": "key_file", "team_id": "team_id", "sandbox_url": "sandbox_url"},
            "ubuntu": {},
            "wns": {name: name for name in ("package_sid", "auth_key", "token_uri")},
        }[name]
        usual = {"type": name, "register_host": DOMAIN, "pubsub_host": PUSH_HOST}
        more: dict[str, Any] = {}
        if name == "apns":
            more = {
                "topic": "com.example.app",
                "tigase_providers": ["tigase:messenger:apns:1", "snikket:apns:1"],
                "push_modules": ["monalProdiOS"],
            }
        place = {"base_url": told["url"], "ca_file": told["ca"]}
        return {**usual, **more, **place, **{key: told[said] for key, said in wanted.items()}}

    def configure(self, **sections: Any) -> None:
        """Write the configuration; what is not given is as usual. Nothing is coalesced."""
        usual: dict[str, Any] = {
            "listen": {
                "client": [free_port()],
                "client_tls": [self.client],
                "component": [self.component],
            },
            "components": {
                name: {"secret": COMPONENT_SECRET.reveal()} for name in (FOREIGN, ELSEWHERE)
            },
            "push": {"coalesce": 0},
            "app_server": {"backends": [self._backend(name) for name in self.stand_ins]},
        }
        backends = sections.get("app_server", {}).get("backends", ())
        for changed in backends:
            kind = changed.get("type", "")
            for key, value in self._backend(kind if kind in self.stand_ins else "fcm").items():
                changed.setdefault(key, value)
            for key in [key for key, value in changed.items() if value is None]:
                del changed[key]
        for name in ("listen", "app_server"):  # where what is not given is as usual
            sections[name] = usual[name] | sections.get(name, {})
        self.operator.configure(**(usual | sections))

    def start(self) -> None:
        said = self.folder / "ready.json"
        said.unlink(missing_ok=True)
        command: list[str | Path] = [*PYTHON_M, "--config", "pushd.yml", "--ready-file", said]
        command += ["--events", self.events_file, WITH_US, *self._options]
        self.server = self.operator.run(*command)
        self.ready = self.operator.wait(self.server, said)
        for name in (FOREIGN, ELSEWHERE):
            self.service(name)  # lest a publish finds nobody there

    def restart(self, number: int = signal.SIGTERM) -> None:
        """Stop the server, in order or by SIGKILL, and start it again; its peers are gone."""
        if number == signal.SIGKILL:
            self.server.stop(number)
        for peer in self.peers:
            peer.close()  # or it would be waited for
        self.server.stop(number)
        self.peers.clear()
        self._services.clear()
        self._friend = self._witness = None
        self.start()

    def check(self) -> None:
        for run in self.operator.runs:
            assert "Traceback (most recent call last)" not in run.out + run.err, run.out + run.err

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        for run in self.operator.runs:
            run.stop(signal.SIGKILL)

    # Who is there.

    def add_account(self, name: str = "") -> str:
        """A new account; gives its bare JID."""
        jid = f"{name or 'user'}-{next(_numbers)}@{DOMAIN}"
        self.operate("user-add", jid=jid, password=PASSWORD.reveal())
        return jid

    def phone(self, account: str = "", resource: str = "phone", sm: bool = True) -> "Phone":
        """A client with a session, of a new account if none is given; resumable with `sm`."""
        phone = Phone(self, account or self.add_account(), resource, PASSWORD)
        self.peers.append(phone)
        phone.log_in()
        if sm:
            phone.manage()
        phone.say("<presence/>")
        phone.settled()
        phone.unread = [one for one in phone.unread if one.name == "message"]
        return phone

    def friend(self) -> "Phone":
        """Somebody else, who writes."""
        if self._friend is None:
            self._friend = self.phone(self.add_account("friend"), "desk", sm=False)
        return self._friend

    def service(self, domain: str = FOREIGN) -> "Service":
        """The push service that is the component of that name."""
        if domain not in self._services:
            self._services[domain] = Service(self, domain, COMPONENT_SECRET)
            self.peers.append(self._services[domain])
        return self._services[domain]

    def settle(self) -> None:
        """Wait until everything that was to be published by now is: somebody else's push comes."""
        if self._witness is None:
            self._witness = self.phone(self.add_account("witness"))
            for name in (FOREIGN, ELSEWHERE):
                self._witness.enable(name, "witness")
            self._witness.cut()
        self.friend().message(self._witness.account, "anything")
        for name in (FOREIGN, ELSEWHERE):
            service = self.service(name)
            service.accept(service.publish("witness"))

    # What is told.

    def operate(self, operation: str, **arguments: str) -> Any:
        """What an operator asks on the socket; gives the result."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(PATIENCE)
            asking.connect(self.ready["admin"])
            said = json.dumps({"operation": operation, "arguments": arguments})
            asking.sendall(said.encode() + b"\n")
            with asking.makefile("rb") as answers:
                answer = json.loads(answers.readline())
        assert "result" in answer, answer
        return answer["result"]

    def events(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        """The events of this name with these fields, so far."""
        found = []
        *lines, _unfinished = self.events_file.read_text().split("\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # cut short by a kill
            if event["event"] == name and fields.items() <= event.items():
                found.append(event)
        return found

    def event(self, name: str, **fields: Any) -> dict[str, Any]:
        """The first of them, once it is there."""
        found: list[dict[str, Any]] = until(
            lambda: self.events(name, **fields), f"event {name} {fields}"
        )
        return found[0]

    def pushes(self, token: str, wait: float = 0.0, of: str = "fcm") -> list[dict[str, Any]]:
        """What a stand-in got for a token; with `wait`, seconds, until there is one."""
        query = urllib.parse.urlencode({"token": token, "since": 0, "wait": wait})
        return list(self.control(f"/requests?{query}", of=of)["requests"])

    def script(self, token: str, *answers: Mapping[str, Any], of: str = "fcm") -> None:
        """Have a stand-in give these answers for the token, in order."""
        self.control("/script", {"token": token, "answers": answers}, of=of)

    def control(self, path: str, body: object = None, of: str = "fcm") -> Any:
        data = None if body is None else json.dumps(body).encode()
        trusted = ssl.create_default_context(cafile=self.stand_ins[of]["ca"])
        url = self.stand_ins[of]["control_url"] + path
        with urllib.request.urlopen(url, data, 2 * PATIENCE, context=trusted) as answer:
            return json.load(answer)

    def kill(self) -> None:
        """SIGKILL, and a new start."""
        self.restart(signal.SIGKILL)

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"
