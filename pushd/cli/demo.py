"""`pushdctl demo`: a phone, a friend, and a message while the phone sleeps; told as it happens.

Nothing is pretended: a server for development, in a process of its own, a stand-in for a push
network that keeps its rules, two clients over TLS. Each step says when it happened, and the last
line what came of it all.
"""

import json
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from pushd.cli import ready as ready_files
from pushd.cli.child import ChildServer, DidNotStart
from pushd.cli.demopushes import FCM, Failed, Network, Registration, Watch
from pushd.client.client import Client
from pushd.client.errors import ClientError
from pushd.net.http import HTTPClient, HTTPError, Road, http11
from pushd.wire import forms
from pushd.wire.element import Element, child, element, text
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_OPTIONS,
    NS_CLIENT,
    NS_COMMANDS,
    NS_PUSH,
)
from pushd.wire.secret import Secret

FRIEND, PHONE = "romeo", "juliet"
LINES = (
    "But soft, what light through yonder window breaks?",
    "It is the east, and Juliet is the sun.",
    "O, that I were a glove upon that hand!",
)
PATIENCE = 30.0  # seconds for any one thing to happen, on a busy machine
NS_PING = "urn:xmpp:ping"


def run(ready_file: Path | None, network: Network = FCM) -> int:
    """Play it all; gives the exit code: 0 when nothing was lost or repeated, else 1.

    On the server that `ready_file` tells of, or on one that runs, or on one of our own.
    """
    from twisted.internet import reactor

    running: Any = reactor
    codes: list[int] = []
    ended: Deferred[None] = Deferred()

    def begin() -> None:
        playing = Deferred.fromCoroutine(Demo(reactor, _say, network).play(ready_file))

        def break_off() -> Deferred[None]:
            playing.cancel()
            return ended

        running.addSystemEventTrigger("before", "shutdown", break_off)
        playing.addBoth(done)

    def done(result: int | Failure) -> None:
        if isinstance(result, Failure):  # a mistake of the play's own
            result.printTraceback(sys.stderr)
            _say(f"\nit failed: {result.value!r}")
        codes.append(1 if isinstance(result, Failure) else result)
        ended.callback(None)
        running.callLater(0, _stop, running)

    # Not before the reactor minds signals: what was begun has to be ended.
    running.callWhenRunning(begin)
    running.run()
    return codes[0] if codes else 130


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Demo:
    """The play. `say` is given its lines."""

    def __init__(self, reactor: Any, say: Callable[[str], None], network: Network = FCM) -> None:
        self._reactor = reactor
        self._network = network
        self._say = say
        self._began = reactor.seconds()
        self._server: ChildServer | None = None
        self._clients: list[Client] = []
        self._http: HTTPClient | None = None

    async def play(self, ready_file: Path | None) -> int:
        """From the server to the last line."""
        self._say("A message to a sleeping phone, and how the phone hears of it.\n")
        try:
            ready = await self._find(ready_file)
            pushes = await self._scenes(ready)
        except (Failed, ClientError, HTTPError, DidNotStart) as error:
            self._say(f"\nit failed: {error}")
            return 1
        except CancelledError:
            self._say("\nbroken off")
            return 130
        finally:
            await self.over()
        what = f"{len(LINES)} messages, {pushes} push{'es' if pushes > 1 else ''}"
        self._say(f"\n{what}, nothing lost, in {self._elapsed():.1f} s")
        return 0

    async def over(self) -> None:
        """End what was begun: connections, and the server if it is ours."""
        clients, self._clients = self._clients, []
        for client in clients:
            await client.close()
        http, self._http = self._http, None
        if http is not None:
            await http.close()
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def _find(self, ready_file: Path | None) -> Mapping[str, Any]:
        """A server for development: the one named, one that runs, or one of our own."""
        if ready_file is not None:
            ready = _read(ready_file)
        else:
            ready = ready_files.running() or await self._start()
        place = f"{ready['c2s']['host']}:{ready['c2s']['port']}"
        self._tell("server", f"serves {ready['domain']} at {place}, process {ready['pid']}")
        name, simulator = self._network.name, ready["simulators"].get(self._network.type)
        if simulator is None:
            _fail(f"this server has no stand-in for {name}")
        self._tell("server", f"in the place of {name} stands {simulator['url']}")
        return ready

    async def _start(self) -> Mapping[str, Any]:
        self._tell("server", "none runs for development: starting one")
        self._server = ChildServer(self._reactor)
        return await self._server.start()

    async def _scenes(self, ready: Mapping[str, Any]) -> int:
        """The play itself; gives the number of pushes."""
        self._http = http11(self._reactor, Road(Path(ready["ca"])))
        phone = await self._log_in(ready, PHONE, "phone")
        await phone.enable_sm()
        hold = phone.sm.hold if phone.sm is not None else None
        self._tell("phone", f"its session can be resumed (XEP-0198), for {hold} s at least")
        phone.presence(element(NS_CLIENT, "priority", "10"))
        fields = await self._fields(ready, phone)
        registered = await self._register(ready, phone, fields)
        await self._enable(phone, registered)
        phone.cut()
        self._tell("phone", "falls asleep: its connection is gone, without a farewell")
        friend = await self._log_in(ready, FRIEND, "desk")
        await friend.enable_sm()
        control = ready["simulators"][self._network.type]["control"]
        watch = Watch(self._network, control, fields[self._network.token], registered)
        await self._write(ready, friend, LINES[:1])
        await self._pushed(watch, 1)
        await self._write(ready, friend, LINES[1:])
        await self._pushed(watch, len(LINES))
        await phone.resume()
        self._tell("phone", "woken by the push: connected and resumed its session")
        await self._hear(ready, phone)
        await self._unregister(ready, phone, registered)
        return watch.pushes

    async def _log_in(self, ready: Mapping[str, Any], who: str, device: str) -> Client:
        jid = f"{who}@{ready['domain']}"
        passwords = {one["jid"]: one["password"] for one in ready["accounts"]}
        client = Client(
            self._reactor,
            f"{jid}/{device}-{secrets.token_hex(2)}",
            Secret(passwords[jid]),
            ready["c2s"]["host"],
            ready["c2s"]["port"],
            ready["ca"],
            timeout=PATIENCE,
        )
        await client.connect()
        self._clients.append(client)
        role = "friend" if who == FRIEND else device
        self._tell(role, f"logged in as {client.jid} by {client.mechanism}, over TLS")
        return client

    async def _fields(self, ready: Mapping[str, Any], phone: Client) -> dict[str, str]:
        """What the phone has of its push network: a token, or a subscription."""
        network = self._network
        told = ready["simulators"][network.type]
        if not network.service:
            return network.fields(told)
        # The subscription is for a key of the server's, which the empty form shows.
        host = ready["push"]["register_host"]
        offered = element(NS_COMMANDS, "command", node=f"register-push-{network.type}")
        command = child(await phone.iq("set", host, offered), NS_COMMANDS, "command")
        form = forms.find(command) if command is not None else None
        vapid = form.one("vapid") if form is not None else None
        if not vapid:
            _fail("the form of the registration shows no VAPID key")
        self._tell("phone", f"learns the server's VAPID key: {vapid[:16]}...")
        order = {"service": network.service, "vapid": vapid}
        made = await self._ask("POST", f"{told['control']}/subscriptions", order)
        self._tell("phone", f"has a subscription at {network.name}, bound to that key")
        return network.fields(made)

    async def _register(
        self, ready: Mapping[str, Any], phone: Client, fields: Mapping[str, str]
    ) -> Registration:
        """By the command of mod_push, as an app would do it."""
        host = ready["push"]["register_host"]
        fields = {**fields, "device-name": "the demonstration"}
        answer = await self._command(phone, host, f"register-push-{self._network.type}", fields)
        given = forms.find(answer)
        values = {name: given.one(name) if given is not None else None for name in KEYS}
        if not all(values.values()):
            _fail("the registration was answered without jid, node and secret")
        registered = Registration(
            str(values["jid"]), str(values["node"]), Secret(str(values["secret"]))
        )
        self._tell(
            "phone",
            f"registered its {self._network.name} {self._network.token}: "
            f"node {registered.node} at {registered.service}",
        )
        return registered

    async def _enable(self, phone: Client, registered: Registration) -> None:
        options = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": registered.secret.reveal()})
        enable = element(NS_PUSH, "enable", options, jid=registered.service, node=registered.node)
        await phone.iq("set", "", enable)
        self._tell("phone", "enabled push for its account (XEP-0357), with the node's secret")

    async def _write(self, ready: Mapping[str, Any], friend: Client, lines: Sequence[str]) -> None:
        """Messages of the friend, and the server's word that it keeps them."""
        for line in lines:
            friend.message(f"{PHONE}@{ready['domain']}", line)
            self._tell("friend", f"sends: {line}")
        await friend.acked(PATIENCE)
        self._tell("friend", "the server acknowledges: what it was sent is on disk")

    async def _pushed(self, watch: Watch, count: int) -> None:
        """Wait until a push has told of so many messages."""
        until = self._reactor.seconds() + PATIENCE
        while watch.told < count:
            left = until - self._reactor.seconds()
            if left <= 0:
                _fail(f"{self._network.name} was told of {watch.told} messages, not of {count}")
            for request in await self._requests(watch, left):
                self._tell(self._network.name, watch.take(request))

    async def _requests(self, watch: Watch, wait: float) -> list[dict[str, Any]]:
        """What the stand-in got for this token since the last look, once there is something."""
        query = urlencode({"token": watch.token, "since": watch.since, "wait": f"{wait:.3f}"})
        answer = await self._ask("GET", f"{watch.control}/requests?{query}", wait=wait)
        found: list[dict[str, Any]] = answer["requests"]
        return found

    async def _ask(self, method: str, url: str, order: Any = None, wait: float = 0.0) -> Any:
        """Ask or tell the stand-in."""
        assert self._http is not None
        body = b"" if order is None else json.dumps(order).encode()
        answer = await self._http.send(method, url, {}, body, wait + PATIENCE)
        if answer.status != 200:
            _fail(f"the stand-in for {self._network.name} answered {answer.status}")
        return json.loads(answer.body)

    async def _hear(self, ready: Mapping[str, Any], phone: Client) -> None:
        """Each message once, in order, and nothing after the last."""
        for line in LINES:
            message = await phone.next_stanza("message")
            heard = text(child(message, NS_CLIENT, "body"))
            if heard != line:
                _fail(f"the phone expected {line!r}, and got {heard!r}")
            self._tell("phone", f"got: {heard}")
        # Whatever would still come comes before the answer.
        await phone.iq("get", ready["domain"], element(NS_PING, "ping"))
        rest = [stanza for stanza in phone.inbox if stanza.name == "message"]
        if rest:
            _fail(f"the phone got {len(rest)} messages too many")

    async def _unregister(
        self, ready: Mapping[str, Any], phone: Client, registered: Registration
    ) -> None:
        host = ready["push"]["register_host"]
        await self._command(phone, host, "unregister-push", {"nodes": registered.node})
        self._tell("phone", "unregistered, and says good-bye")

    async def _command(
        self, client: Client, host: str, node: str, fields: Mapping[str, str]
    ) -> Element:
        """Execute an ad-hoc command of one form (XEP-0050); gives the answer's command."""
        form = forms.submit(FORM_PUSH_OPTIONS, fields)
        command = element(NS_COMMANDS, "command", form, node=node, action="execute")
        answer = child(await client.iq("set", host, command), NS_COMMANDS, "command")
        if answer is None or answer.getAttribute("status") != "completed":
            _fail(f"{node} was not completed")
        return answer

    def _elapsed(self) -> float:
        elapsed: float = self._reactor.seconds() - self._began
        return elapsed

    def _tell(self, who: str, what: str) -> None:
        self._say(f"{self._elapsed():6.2f} s  {who:7} {what}")


KEYS = ("jid", "node", "secret")


def _fail(words: str) -> NoReturn:
    raise Failed(words)


def _read(path: Path) -> Mapping[str, Any]:
    """A ready file. Raises Failed."""
    try:
        ready: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = [
            key for key in ("c2s", "ca", "accounts", "push", "simulators") if key not in ready
        ]
    except OSError as error:
        _fail(f"{path}: {error.strerror}")
    except (ValueError, TypeError):
        _fail(f"{path} is no ready file")
    if missing:
        _fail(f"{path} is not the ready file of a development server: {missing[0]} is missing")
    return ready
