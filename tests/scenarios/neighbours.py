"""Servers beside each other, each a process of its own, that the tests of a module share.

    capulet, montague = town("capulet.example", "montague.example")
    juliet = capulet.phone("juliet")
    juliet.message("romeo@montague.example", "Good pilgrim")

They find each other by the `address` of their configurations, and trust one authority; a test
that is about name servers or certificates gives others.
"""

import itertools
import json
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pushd.net.certificates import DevelopmentCA
from pushd.wire.secret import Secret
from tests.patience import PATIENCE
from tests.scenarios.peers import Phone, until
from tests.scenarios.test_starting import PYTHON_M, WITH_US, Operator, Run, free_port

PASSWORD = Secret("a password of some length")
_numbers = itertools.count(1)


class Neighbour:
    """A pushd for one domain, with s2s; see `Around` of `tests/scenarios/peers.py`."""

    server: Run
    direct = ""  # where it listens for direct TLS, if a test has it do so

    def __init__(self, folder: Path, domain: str, authority: Path, **given: Any) -> None:
        self.operator = Operator(folder)
        self.folder = folder
        self.domain = domain
        self.authority = authority
        self.events_file = folder / "events.jsonl"
        self.peers: list[Phone] = []
        self.ready: Any = None
        self.place = given.pop("place", None) or free_port()
        self.client = free_port()
        self._given = given

    def configure(
        self, others: Sequence[tuple[str, str]], certificate: Path, key: Path, **s2s: Any
    ) -> None:
        """Write the configuration; `others` are domains and where they are."""
        usual = {
            "listen": [self.place],
            "policy": "require",
            "allow_private": True,
            "ca_file": str(self.authority),
            "domains": {domain: {"address": place} for domain, place in others},
        }
        config = {
            "domains": {self.domain: {"certificate": str(certificate), "key": str(key)}},
            "data": "data",
            "listen": {"client": [free_port()], "client_tls": [self.client]},
            "push": {"coalesce": 0},
            "s2s": usual | s2s,
        }
        (self.folder / "pushd.yml").write_text(json.dumps(config | self._given, indent=1))

    def start(self) -> None:
        said = self.folder / "ready.json"
        said.unlink(missing_ok=True)
        command: list[str | Path] = [*PYTHON_M, "--config", "pushd.yml", "--ready-file", said]
        self.server = self.operator.run(*command, "--events", self.events_file, WITH_US)
        self.ready = self.operator.wait(self.server, said)

    def stop(self, number: int = signal.SIGTERM) -> None:
        for peer in self.peers:
            peer.close()
        self.peers.clear()
        self.server.stop(number)

    def restart(self, number: int = signal.SIGTERM) -> None:
        self.stop(number)
        self.start()

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        for run in self.operator.runs:
            run.stop(signal.SIGKILL)

    def check(self) -> None:
        for run in self.operator.runs:
            assert "Traceback (most recent call last)" not in run.out + run.err, run.out + run.err

    def phone(self, name: str = "user", sm: bool = False) -> Phone:
        """A client of a new account, available."""
        jid = f"{name}-{next(_numbers)}@{self.domain}"
        self.operate("user-add", jid=jid, password=PASSWORD.reveal())
        phone = Phone(self, jid, "phone", PASSWORD)
        self.peers.append(phone)
        phone.log_in()
        if sm:
            phone.manage()
        phone.say("<presence/>")
        phone.settled()
        phone.unread.clear()
        return phone

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
        *lines, _unfinished = self.events_file.read_text().split("\n")
        told = [json.loads(line) for line in lines]
        return [one for one in told if one["event"] == name and fields.items() <= one.items()]

    def event(self, name: str, **fields: Any) -> dict[str, Any]:
        """The first of them, once it is there."""
        found = until(lambda: self.events(name, **fields), f"event {name} {fields}")
        return dict(found[0])


def issued(folder: Path, authority: DevelopmentCA, *names: str) -> tuple[Path, Path]:
    """A certificate for these names, and its key."""
    made = authority.issue(names, names[0].replace("*", "any"))
    return made.certificate, made.key


class Town:
    """Neighbours who know each other. `method` is how they prove themselves to each other."""

    method = "EXTERNAL"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = DevelopmentCA(folder / "ca", time.time())
        self.neighbours: list[Neighbour] = []

    def add(self, domain: str, **sections: Any) -> Neighbour:
        """A server that does not run yet; `sections` are added to its configuration."""
        folder = self.folder / domain
        folder.mkdir()
        self.neighbours.append(Neighbour(folder, domain, self.authority.path, **sections))
        return self.neighbours[-1]

    def settle(self, *domains: str, **s2s: Any) -> list[Neighbour]:
        """Add a server for each domain, and start all; `s2s` changes that section of all."""
        for domain in domains:
            self.add(domain)
        for one in self.neighbours:
            others = [(two.domain, two.place) for two in self.neighbours if two is not one]
            names = (one.domain, f"*.{one.domain}")
            one.configure(others, *issued(self.folder, self.authority, *names), **s2s)
            one.start()
        return self.neighbours

    def close(self) -> None:
        for one in self.neighbours:
            one.close()

    def check(self) -> None:
        for one in self.neighbours:
            one.check()
