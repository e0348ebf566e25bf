"""A foreign client, slixmpp, in a process of its own (`foreign_child`), driven by a test.

romeo = await Foreign.start(self)
await romeo.connect(server, "romeo", "orchard")
await romeo.message("juliet@localhost", "I take thee at thy word")
await romeo.cut()
await romeo.resume()
"""

import itertools
import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from pushd.client.waiting import within
from pushd.wire.element import Element, parse
from tests.patience import PATIENCE
from tests.scenarios.harness import Server
from tests.scenarios.process import Child, reactor


class ForeignError(Exception):
    """The foreign client could not do as it was told."""


class Foreign:
    """One slixmpp client. Each command raises ForeignError when it fails."""

    child: Child

    def __init__(self) -> None:
        self.jid = ""  # the full JID that was bound
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Deferred[Any]] = {}
        self._server: Server | None = None

    @classmethod
    async def start(cls, case: TestCase) -> "Foreign":
        """Start the process; it ends with the test."""
        foreign = cls()
        foreign.child = Child.run(
            case, ["-m", "tests.scenarios.foreign_child"], hear=foreign._answered
        )
        return foreign

    async def do(self, command: str, **arguments: Any) -> Any:
        """Give a command of `foreign_child`; gives its result."""
        assert self.child.transport is not None
        number = next(self._numbers)
        waiting = self._waiting[number] = Deferred()
        said = json.dumps({"id": number, "do": command, **arguments})
        self.child.transport.write(said.encode() + b"\n")
        answer = await within(2 * PATIENCE, reactor, f"answer to {command}", waiting)
        if "error" in answer:
            raise ForeignError(f"{command}: {answer['error']}")
        return answer["ok"]

    def _answered(self, line: str) -> None:
        answer = json.loads(line)
        self._waiting.pop(answer["id"]).callback(answer)

    # Sessions.

    async def connect(
        self,
        server: Server,
        user: str,
        resource: str = "",
        *,
        direct_tls: bool = False,
        **more: Any,
    ) -> None:
        """Log in, by STARTTLS or direct TLS, checking the server's certificate; bind."""
        self._server = server
        place = server.ready.c2s_tls if direct_tls else server.ready.c2s
        given = {
            "jid": server.jid(user, resource),
            "password": server.password(user).reveal(),
            "host": place.host,
            "port": place.port,
            "ca": str(server.ready.ca),
            "direct_tls": direct_tls,
        }
        answer = await self.do("connect", **{**given, **more})
        self.jid = answer["jid"]

    async def resume(self) -> bool:
        """Connect again, wherever the server listens now; tells whether it was a resumption."""
        assert self._server is not None
        place = self._server.ready.c2s
        answer = await self.do("resume", host=place.host, port=place.port)
        self.jid = answer["jid"]
        return bool(answer["resumed"])

    async def cut(self) -> None:
        """Lose the connection, with a reset."""
        await self.do("cut")

    async def close(self) -> None:
        """Close the stream: the session ends."""
        await self.do("close")

    # Stanzas.

    async def send(self, xml: str) -> None:
        """Send stanzas as they are."""
        await self.do("send", xml=xml)

    async def message(self, to: str, body: str) -> str:
        """Send a message; gives its id."""
        return str(await self.do("message", to=to, body=body))

    async def iq(self, type: str, to: str, payload: str, timeout: float = PATIENCE) -> Element:
        """Send a request; gives the answer, a result or an error."""
        return parse(
            (await self.do("iq", type=type, to=to, payload=payload, timeout=timeout)).encode()
        )

    async def call(self, plugin: str, method: str, *given: Any) -> Element:
        """Have a plugin of slixmpp ask; gives the answer, a result or an error."""
        answer = await self.do("call", plugin=plugin, method=method, given=given)
        return parse(answer.encode())

    async def tell(self, plugin: str, method: str) -> None:
        """Have a plugin of slixmpp, named at `connect`, say something that is not answered."""
        await self.do("tell", plugin=plugin, method=method)

    async def hear(self, plugin: str, *events: str) -> None:
        """Have a plugin of slixmpp tell of these events, for `heard`."""
        await self.do("hear", plugin=plugin, events=events)

    async def heard(self) -> list[tuple[str, str]]:
        """Take the events that came: their names, and the stanzas that they are about."""
        return [(name, stanza) for name, stanza in await self.do("heard")]

    async def wait(self, name: str = "", contains: str = "", timeout: float = PATIENCE) -> Element:
        """Take the first stanza of that name that contains that, once it is there."""
        found = await self.do("wait", name=name, contains=contains, timeout=timeout)
        return parse(found.encode())

    async def inbox(self) -> list[Element]:
        """Take all that came."""
        return [parse(stanza.encode()) for stanza in await self.do("inbox")]

    async def acked(self) -> None:
        """Wait until all that was sent is acknowledged."""
        await self.do("acked")
