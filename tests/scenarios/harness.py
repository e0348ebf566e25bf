"""The real server as a child process, in a trial TestCase.

    server = await Server.start(self)
    juliet = server.client("juliet", "phone")
    await juliet.connect()
    await server.kill()      # SIGKILL: nothing is said, nothing is finished
    await server.restart()   # the same folder, the same ports
    await juliet.resume()

Whatever is started ends with the test. A server whose log has a traceback fails its test.
"""

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import treq
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, FileBodyProducer
from twisted.web.http_headers import Headers

from pushd.client.client import Client
from pushd.client.waiting import within
from pushd.wire.secret import Secret
from tests.patience import PATIENCE
from tests.scenarios.process import Child, eventually, folder, reactor

Event = dict[str, Any]


class Place(NamedTuple):
    """Where something listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Ready:
    """What the ready file of a server says; `told` is all of it."""

    pid: int
    domain: str
    c2s: Place
    c2s_tls: Place
    component: Place | None
    component_domain: str
    component_secret: Secret
    ca: Path
    passwords: dict[str, Secret]  # by bare JID
    push_host: str  # where to publish
    register_host: str  # where to register
    admin: Path
    fcm: str  # the simulator's address
    fcm_control: str
    told: Mapping[str, Any]

    @classmethod
    def read(cls, text: str) -> "Ready":
        told = json.loads(text)

        def place(name: str) -> Place | None:
            return Place(told[name]["host"], told[name]["port"]) if name in told else None

        c2s, c2s_tls = place("c2s"), place("c2s_tls")
        assert c2s is not None
        assert c2s_tls is not None
        fcm = told["simulators"]["fcm"]
        return cls(
            told["pid"],
            told["domain"],
            c2s,
            c2s_tls,
            place("component"),
            told["component_domain"],
            Secret(told["component_secret"]),
            Path(told["ca"]),
            {account["jid"]: Secret(account["password"]) for account in told["accounts"]},
            told["push"]["pubsub_host"],
            told["push"]["register_host"],
            Path(told["admin"]),
            fcm["url"],
            fcm["control"],
            told,
        )


class Server:
    """A development server in a folder of its own; `ready` says where it is."""

    ready: Ready
    child: Child

    def __init__(self, case: TestCase, arguments: Sequence[str] = ()) -> None:
        self.folder = folder(case)
        self.ready_file = self.folder / "ready.json"
        self.events_file = self.folder / "events.jsonl"
        self.log = ""  # of the runs that are over
        self.may_fail = False  # a test that provokes tracebacks says so
        self._case = case
        self._arguments = arguments
        self._clients: list[Client] = []
        case.addCleanup(self._check)

    @classmethod
    async def start(cls, case: TestCase, *arguments: str) -> "Server":
        """A server that accepts logins; `arguments` are added to those of `--dev`."""
        server = cls(case, arguments)
        await server.restart()
        return server

    async def restart(self) -> None:
        """Start again on the same folder and ports; stop it first, if it runs."""
        if hasattr(self, "child"):
            await self.terminate()
        said = self.ready_file
        said.unlink(missing_ok=True)
        data = self.folder / "data"
        options = ["--dev", "--free-ports", f"--data={data}", f"--ready-file={said}"]
        options += [f"--with-process={os.getpid()}"]  # whoever kills the tests leaves no server
        options += [f"--events={self.events_file}", *self._arguments]
        # A server for development tells in the folder for temporary files that it runs.
        apart = {"TMPDIR": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        child = Child.run(self._case, ["-m", "pushd", *options], apart)
        self.child = child

        def look() -> str | None:
            assert child.code is None, f"the server ended with {child.code}:\n{child.text}"
            return said.read_text() if said.exists() else None

        try:
            text = await eventually(look, PATIENCE, "ready file")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{child.text}") from None
        self.ready = Ready.read(text)
        for client in self._clients:
            client.host, client.port = self.ready.c2s

    async def kill(self) -> None:
        """SIGKILL: the process is gone at once."""
        assert await self._end(signal.SIGKILL) == -signal.SIGKILL

    async def terminate(self) -> None:
        """SIGTERM: the server stops in order, which takes its ready file away."""
        if self.child.code is None:
            code = await self._end(signal.SIGTERM)
            # twistd stops in order, and then ends itself by the signal that it got.
            assert code in (0, -signal.SIGTERM), f"the server stopped with {code}:\n{self.log}"
            assert not self.ready_file.exists(), f"the server did not stop in order:\n{self.log}"

    async def _end(self, number: int) -> int:
        self.child.signal(number)
        code = await self.child.ended(PATIENCE)
        self.log += self.child.text
        self.child.output = b""
        return code

    def _check(self) -> None:
        log = self.log + self.child.text
        assert self.may_fail or "Traceback (most recent call last)" not in log, log

    # Clients.

    def jid(self, user: str, resource: str = "") -> str:
        """The address of a user of this server."""
        return f"{user}@{self.ready.domain}" + (f"/{resource}" if resource else "")

    def password(self, user: str) -> Secret:
        return self.ready.passwords[self.jid(user)]

    def client(self, user: str, resource: str = "", **given: Any) -> Client:
        """A client that is not connected yet; it is closed when the test ends."""
        jid = self.jid(user, resource)
        place = self.ready.c2s_tls if given.get("direct_tls") else self.ready.c2s
        usual: dict[str, Any] = {"ca_file": self.ready.ca, "timeout": PATIENCE}
        client = Client(reactor, jid, self.password(user), *place, **usual | given)
        if not given.get("direct_tls"):
            self._clients.append(client)
        self._case.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return client

    # What happened.

    def events(self, name: str = "") -> list[Event]:
        """The events so far, since the first start; of this name, if one is given."""
        if not self.events_file.exists():
            return []
        *lines, _unfinished = self.events_file.read_text(encoding="utf-8").split("\n")
        events: list[Event] = []
        for line in lines:
            try:
                events.append(json.loads(line))
            except ValueError:
                continue  # cut short by a kill; the next run began a line on it
        return [event for event in events if name in ("", event["event"])]

    async def event(
        self,
        name: str,
        match: Callable[[Event], bool] = lambda event: True,
        seconds: float = PATIENCE,
    ) -> Event:
        """The first event of this name that matches, once it is there."""
        return await eventually(
            lambda: next((one for one in self.events(name) if match(one)), None),
            seconds,
            f"event {name}",
        )

    async def simulator_requests(
        self, token: str | None = None, since: int = 0, wait: float = 0.0
    ) -> list[dict[str, Any]]:
        """The notifications that the FCM simulator got since this number, in this run.

        With `wait`, seconds, it is given so long until there is one.
        """
        query = {"since": str(since), "wait": str(wait)}
        if token is not None:
            query["token"] = token
        answer = await self.control("GET", f"/requests?{urlencode(query)}", seconds=wait + PATIENCE)
        found: list[dict[str, Any]] = answer["requests"]
        return found

    async def script(self, *answers: Mapping[str, Any], token: str | None = None) -> None:
        """Have the FCM simulator give these answers, in order, to that token or to any."""
        await self.control("POST", "/script", {"token": token, "answers": answers})

    async def control(
        self, method: str, path: str, body: object = None, seconds: float = PATIENCE
    ) -> Any:
        """One request to the FCM simulator's /control; gives the JSON of the answer."""
        return await self.ask(method, f"{self.ready.fcm_control}{path}", body, seconds)

    async def ask(
        self, method: str, url: str, body: object = None, seconds: float = PATIENCE
    ) -> Any:
        """One request to a simulator; gives the JSON of the answer."""
        trusted = trustRootFromCertificates([Certificate.loadPEM(self.ready.ca.read_bytes())])
        agent = Agent(reactor, BrowserLikePolicyForHTTPS(trusted), connectTimeout=PATIENCE)
        sent = None if body is None else FileBodyProducer(BytesIO(json.dumps(body).encode()))

        async def exchange() -> tuple[int, bytes]:
            answer = await agent.request(method.encode(), url.encode(), Headers({}), sent)
            return answer.code, await treq.content(answer)

        code, said = await within(seconds, reactor, f"answer to {method} {url}", exchange())
        assert code == 200, f"{method} {url}: {code} {said.decode(errors='replace')}"
        return json.loads(said)
