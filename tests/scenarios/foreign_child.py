"""slixmpp as a client in a process of its own: commands and answers as JSON lines.

Reads {"id": 1, "do": "message", "to": ..., "body": ...} on standard input and answers
{"id": 1, "ok": ...} or {"id": 1, "error": ...}; ends when standard input does. Nothing of
pushd is imported here.
"""

import asyncio
import json
import logging
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

from slixmpp import JID, ClientXMPP
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.stanza import Iq, Message, Presence
from slixmpp.xmlstream import StanzaBase

from tests.patience import PATIENCE

AFTERTHOUGHT = 0.5  # seconds
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset


class Failed(Exception):
    """A command failed, in words."""


class Foreign:
    """One slixmpp client, told what to do."""

    def __init__(self) -> None:
        self.inbox: list[StanzaBase] = []
        self.heard: list[tuple[str, str]] = []
        self._came = asyncio.Event()
        self._xmpp: Any = None
        self._place = ("", 0)
        self._outcome: asyncio.Future[str] | None = None

    async def do(self, command: dict[str, Any]) -> Any:
        """Carry out a command; `do` names the method, the rest are its arguments."""
        name = command.pop("do")
        return await getattr(self, f"do_{name}")(**command)

    # Sessions.

    async def do_connect(
        self,
        jid: str,
        password: str,
        host: str,
        port: int,
        ca: str,
        direct_tls: bool = False,
        mechanism: str | None = None,
        sm: bool = True,
        plugins: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Log in; with stream management unless `sm` is off. Only that CA is trusted.

        `plugins` are those that look at what the server offers.
        """
        context = ssl.create_default_context(cafile=ca)
        make: Any = ClientXMPP
        xmpp = self._xmpp = make(jid, password, sasl_mech=mechanism, ssl_context=context)
        xmpp.enable_direct_tls = direct_tls
        xmpp.enable_starttls = not direct_tls
        if sm:
            xmpp.register_plugin("xep_0198")
        for plugin in plugins:
            xmpp.register_plugin(plugin)
        xmpp.add_filter("in", self._keep)
        for event, told in (
            ("session_start", "bound"),
            ("session_resumed", "resumed"),
            ("failed_all_auth", "the login failed"),
            ("ssl_invalid_chain", "the certificate is not trusted"),
            ("connection_failed", "the connection failed"),
        ):
            xmpp.add_event_handler(event, self._tell(told))
        xmpp.add_event_handler("disconnected", self._lost)
        return await self._connect(host, port)

    async def do_resume(self, host: str = "", port: int = 0) -> dict[str, Any]:
        """Connect again, to another place if one is given; slixmpp resumes if it can."""
        return await self._connect(host or self._place[0], port or self._place[1])

    async def _connect(self, host: str, port: int) -> dict[str, Any]:
        self._place = (host, port)
        self._outcome = asyncio.get_running_loop().create_future()
        self._xmpp.connect(host, port)
        outcome = await self._outcome
        if outcome not in ("bound", "resumed"):
            self._xmpp.cancel_connection_attempt()
            if self._xmpp.is_connected():
                self._xmpp.abort()
            raise Failed(outcome)
        return {"jid": str(self._xmpp.boundjid), "resumed": outcome == "resumed"}

    async def do_cut(self) -> None:
        """Lose the connection with a reset; nothing is said before."""
        transport = self._xmpp.transport
        lost = self._xmpp.wait_until("disconnected", PATIENCE)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        transport.abort()
        await lost

    async def do_close(self) -> None:
        """End the stream and the session."""
        self._xmpp.end_session_on_disconnect = True
        await self._xmpp.disconnect(wait=PATIENCE)

    # Stanzas.

    async def do_send(self, xml: str) -> None:
        """Send what this is, as it is; stanzas are counted by stream management."""
        root = ElementTree.fromstring(f"<x xmlns='jabber:client'>{xml}</x>")
        kinds: dict[str, Any] = {"message": Message, "presence": Presence, "iq": Iq}
        for node in root:
            kind = kinds[node.tag.rpartition("}")[2]]
            kind(self._xmpp, xml=node).send()

    async def do_message(self, to: str, body: str, id: str | None = None) -> str:
        message = self._xmpp.make_message(JID(to), body, mtype="chat")
        message["id"] = id or self._xmpp.new_id()
        message.send()
        return str(message["id"])

    async def do_iq(self, type: str, to: str, payload: str, timeout: float = PATIENCE) -> str:
        """Send a request; gives the whole answer, be it a result or an error."""
        iq = self._xmpp.make_iq(ito=JID(to) if to else None, itype=type)
        iq.append(ElementTree.fromstring(payload))
        try:
            return str(await iq.send(timeout=timeout))
        except IqError as error:
            return str(error.iq)
        except IqTimeout:
            raise Failed(f"no answer within {timeout:g} s") from None

    async def do_call(self, plugin: str, method: str, given: list[Any]) -> str:
        """Call a method of one of slixmpp's plugins; gives the answer, be it an error."""
        self._xmpp.register_plugin(plugin)
        try:
            return str(await getattr(self._xmpp[plugin], method)(*given))
        except IqError as error:
            return str(error.iq)

    async def do_tell(self, plugin: str, method: str) -> None:
        """Call a method of one of slixmpp's plugins that says something, without an answer."""
        getattr(self._xmpp[plugin], method)()

    async def do_hear(self, plugin: str, events: list[str]) -> None:
        """From now on, keep what the plugin tells by these events."""
        self._xmpp.register_plugin(plugin)
        for name in events:
            self._xmpp.add_event_handler(name, self._hearer(name))

    def _hearer(self, name: str) -> Callable[[StanzaBase], None]:
        return lambda stanza: self.heard.append((name, str(stanza)))

    async def do_heard(self) -> list[tuple[str, str]]:
        """Take the events that came: their names, and the stanzas that they are about."""
        taken, self.heard = self.heard, []
        return taken

    async def do_wait(self, name: str = "", contains: str = "", timeout: float = PATIENCE) -> str:
        """Take the first stanza of this name that contains this, from what came or will."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            for stanza in self.inbox:
                if name in ("", stanza.name) and contains in str(stanza):
                    self.inbox.remove(stanza)
                    return str(stanza)
            self._came.clear()
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._came.wait(), left)
            except TimeoutError:
                raise Failed(f"no {name or 'stanza'} {contains!r} within {timeout:g} s") from None

    async def do_inbox(self) -> list[str]:
        """Take all that came."""
        taken, self.inbox = self.inbox, []
        return [str(stanza) for stanza in taken]

    async def do_acked(self, timeout: float = PATIENCE) -> None:
        """Ask for an acknowledgement, and wait until it covers everything sent."""
        managed = self._xmpp["xep_0198"]
        managed.request_ack()
        deadline = asyncio.get_running_loop().time() + timeout
        while managed.unacked_queue:
            if asyncio.get_running_loop().time() > deadline:
                raise Failed(f"{len(managed.unacked_queue)} stanzas are not acknowledged")
            await asyncio.sleep(0.02)

    async def do_managed(self) -> dict[str, Any]:
        """The state of stream management."""
        managed = self._xmpp["xep_0198"]
        return {
            "id": managed.sm_id,
            "handled": managed.handled,
            "sent": managed.seq,
            "unacked": len(managed.unacked_queue),
        }

    def _keep(self, stanza: StanzaBase) -> StanzaBase:
        is_answer = isinstance(stanza, Iq) and stanza["type"] in ("result", "error")
        if isinstance(stanza, Message | Presence | Iq) and not is_answer:
            self.inbox.append(stanza)
            self._came.set()
        return stanza

    def _lost(self, _: Any) -> None:
        """Why it was lost is said after that it was lost, if at all; of this connection alone."""
        outcome = self._outcome

        def tell() -> None:
            if outcome is not None and not outcome.done():
                outcome.set_result("the connection was lost")

        asyncio.get_running_loop().call_later(AFTERTHOUGHT, tell)

    def _tell(self, outcome: str) -> Callable[[Any], None]:
        def tell(_: Any) -> None:
            if self._outcome is not None and not self._outcome.done():
                self._outcome.set_result(outcome)

        return tell


async def answer(foreign: Foreign, line: bytes) -> None:
    command = json.loads(line)
    id = command.pop("id")
    try:
        said = {"id": id, "ok": await foreign.do(command)}
    except Failed as failure:
        said = {"id": id, "error": str(failure)}
    except Exception as error:
        logging.exception("a command failed")
        said = {"id": id, "error": repr(error)}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


async def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    foreign = Foreign()
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(answer(foreign, line))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
