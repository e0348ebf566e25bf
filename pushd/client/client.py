"""A small XMPP client: it logs in, says and hears stanzas, and can lose its connection.

    juliet = Client(reactor, "juliet@localhost/phone", Secret("..."), "127.0.0.1", 5222, ca_file)
    await juliet.connect()
    await juliet.enable_sm()
    juliet.presence()
    message = await juliet.next_stanza("message")
    juliet.cut()
    await juliet.resume()
    await juliet.close()

Whatever waits ends with a result or, after `timeout` seconds, with a `ClientError`.
"""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from pushd.client.connection import Connection, OnWire, tls_options
from pushd.client.errors import ClientError, Disconnected, NotResumed, Refused, TimedOut
from pushd.client.login import Credentials, log_in
from pushd.client.managed import REQUEST, Managed
from pushd.client.requests import Handler, Requests
from pushd.client.session import bind, resume
from pushd.client.waiting import Inbox, Match, within
from pushd.wire.element import Element, element, serialize
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_CLIENT, NS_SM
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza

STANZAS = ("message", "presence", "iq")


class Client:
    """One user with one resource, and one connection at a time.

    `host` and `port` may be changed between connections. `jid` is the address wanted, and
    the one that was bound once there is a session. `ca_file` has the certificates to
    trust, the platform's if None. `mechanism` and `plaintext` are those of `Credentials`.
    `on_wire` hears what is said ("in" or "out", and bytes), but for the exchange of SASL.

    `inbox` holds the stanzas that came and that nobody took; answers to requests are not
    among them. `acknowledges` says whether an `<r/>` is answered.
    """

    def __init__(
        self,
        reactor: Any,
        jid: str,
        password: Secret,
        host: str,
        port: int,
        ca_file: Path | str | None = None,
        *,
        direct_tls: bool = False,
        plaintext: bool = False,
        mechanism: str = "",
        timeout: float = 30.0,
        on_wire: OnWire | None = None,
    ) -> None:
        self.jid = parse(jid)
        self.host = host
        self.port = port
        self.timeout = timeout
        self.mechanism = ""  # the one that was used
        self.features: Element | None = None  # what was offered after the login
        self.sm: Managed | None = None
        self.acknowledges = True
        self.inbox = Inbox(reactor)
        self.ended: Disconnected | None = None  # why the last connection is no more
        self._credentials = Credentials(self.jid, password, mechanism, plaintext)
        self._ca_file = ca_file
        self._direct_tls = direct_tls
        self._on_wire = on_wire
        self._reactor = reactor
        self._connection: Connection | None = None
        self._left_behind: list[Connection] = []
        self._requests = Requests(reactor, self.send)
        self._enabling: Deferred[Element] | None = None
        self._acked: list[Deferred[None]] = []

    # Sessions.

    async def connect(self) -> None:
        """Connect, log in, and bind a resource.

        Raises ConnectFailed, LoginFailed, Refused (the resource is), Disconnected or
        TimedOut; the connection is then closed.
        """
        self.sm = None
        await self._attempt(self._bind)

    async def resume(self) -> None:
        """Resume the session on a new connection, and say again what was not handled.

        Raises what `connect` does, and NotResumed; the session is then gone, and the
        connection waits for `bind`. A connection that still stands is left behind.
        """
        if self.sm is None or not self.sm.id:
            raise ClientError("there is no session that can be resumed")
        await self._attempt(self._resume)

    async def bind(self) -> None:
        """Bind a new resource after a resumption that failed."""
        if self._connection is None:
            raise ClientError("there is no connection")
        await within(self.timeout, self._reactor, "session", self._bind(self._connection))

    async def enable_sm(self, resume: bool = True, max: int | None = None) -> None:
        """Enable stream management (XEP-0198 §3); `max` seconds of hold are asked for.

        Raises Refused with the condition of the `<failed/>`, without a type.
        """
        asked = " resume='true'" if resume else ""
        if max is not None:
            asked += f" max='{max}'"
        self.send(f"<enable xmlns='{NS_SM}'{asked}/>".encode())
        self.sm = Managed()
        self._enabling = Deferred()
        await within(self.timeout, self._reactor, "<enabled/>", self._enabling)

    async def close(self) -> None:
        """Close the stream and the connection: the session ends."""
        sm, self.sm = self.sm, None
        farewell = Disconnected("", "closed by the client")
        if self._connection is not None:
            if sm is not None and self.acknowledges:
                # What is not acknowledged now, the server takes for lost.
                self._connection.send(sm.answer())
            self._over(self._connection, farewell)
        else:
            self._give_up(farewell)
        for connection in self._left_behind:
            await connection.close()

    # Losses.

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def cut(self) -> None:
        """Lose the connection: neither a farewell nor an orderly end."""
        connection = self._connection
        if connection is not None:
            self._over(connection, Disconnected("", "cut by the client"))
            connection.abort()

    def fall_silent(self) -> None:
        """Be out of reach: the connection stays, but nothing is read or said on it."""
        if self._connection is not None:
            self._connection.fall_silent()

    async def disconnected(self, timeout: float | None = None) -> Disconnected:
        """Wait until the stream is over and its connection gone; tells why."""
        connection = self._connection or next(reversed(self._left_behind), None)
        if connection is not None:
            gone = connection.gone()
            await within(timeout or self.timeout, self._reactor, "end of the connection", gone)
        if self.ended is None:
            raise ClientError("there was no connection")
        return self.ended

    # Stanzas.

    def send(self, said: Element | bytes) -> None:
        """Say one stanza or nonza; bytes are said as they are, and count as a stanza does.

        While a session that can be resumed has no connection, stanzas wait for it. Raises
        Disconnected where they would wait in vain.
        """
        data = serialize(said) if isinstance(said, Element) else said
        can_wait = self.sm is not None and self.sm.sent(data, self._reactor.seconds())
        if self._connection is not None:
            self._connection.send(data)
        elif not (can_wait and self.sm is not None and self.sm.id):
            raise self.ended or Disconnected("", "not connected")

    def message(self, to: str, body: str, *payload: Element, type: str = "chat") -> str:
        """Send a message; gives its id."""
        id = self._requests.new_id()
        words = element(NS_CLIENT, "body", body)
        self.send(element(NS_CLIENT, "message", words, *payload, to=to, type=type, id=id))
        return id

    def presence(self, *payload: Element, type: str = "", to: str = "") -> None:
        """Send presence: available, to everyone, unless told otherwise."""
        attributes = {key: value for key, value in (("type", type), ("to", to)) if value}
        self.send(element(NS_CLIENT, "presence", *payload, **attributes))

    async def iq(
        self, type: str, to: str, payload: Element, timeout: float | None = None
    ) -> Element:
        """Send a request ("get" or "set"); gives the whole result. An empty `to` is no `to`.

        Raises Refused when the answer is an error.
        """
        return await self._requests.ask(type, to, payload, timeout or self.timeout)

    def on_request(self, name: str, handler: Handler) -> None:
        """Have requests answered by `handler`; `name` is "namespace local" of the payload.

        It gives the payload of the result or None, or raises a StanzaError.
        """
        self._requests.handlers[name] = handler

    async def next_stanza(self, wanted: str | Match, timeout: float | None = None) -> Element:
        """Take the first stanza of that name, or that matches, from the inbox or when it comes."""
        if isinstance(wanted, str):
            return await self.inbox.take(
                lambda stanza: stanza.name == wanted, timeout or self.timeout, f"<{wanted}/>"
            )
        return await self.inbox.take(wanted, timeout or self.timeout, "stanza that matches")

    async def acked(self, timeout: float | None = None) -> None:
        """Wait until the server has acknowledged all that was sent; it is asked to."""
        if self.sm is None:
            raise ClientError("stream management is not enabled")
        if not self.sm.unacked:
            return
        waiting: Deferred[None] = Deferred(self._acked.remove)
        self._acked.append(waiting)
        if self._connection is not None:
            self._connection.send(REQUEST)
        await within(timeout or self.timeout, self._reactor, "acknowledgement", waiting)

    # Negotiation.

    async def _attempt(
        self, then: Callable[[Connection], Coroutine[Deferred[Any], Any, None]]
    ) -> None:
        """Connect and log in, and then something more; a failure closes the connection."""
        if self._connection is not None:
            self._leave(self._connection)
        connection = Connection(self._reactor, self._on_wire)
        connection.on_end = lambda error: self._over(connection, error)

        async def negotiate() -> None:
            tls = tls_options(self._credentials.jid.domain, self._ca_file)
            await connection.open(self.host, self.port, tls if self._direct_tls else None)
            welcome = await log_in(connection, self._credentials, tls)
            self.mechanism, self.features = welcome.mechanism, welcome.features
            await then(connection)

        try:
            await within(self.timeout, self._reactor, "session", negotiate())
        except NotResumed as error:
            self._connection, self.sm = connection, None
            self._give_up(error)
            raise
        except TimedOut:
            connection.abort()
            await connection.gone()
            raise
        except ClientError:
            await connection.close()
            raise

    async def _bind(self, connection: Connection) -> None:
        self.jid = await bind(connection, self._credentials.jid.resource)
        self._begin(connection)

    async def _resume(self, connection: Connection) -> None:
        assert self.sm is not None
        await resume(connection, self.sm)
        self._begin(connection)
        for data in self.sm.again():
            connection.send(data)
        self._settle()
        if self._acked:
            connection.send(REQUEST)

    def _begin(self, connection: Connection) -> None:
        self._connection = connection
        self.ended = self.inbox.closed = None
        connection.listen(self._received)

    # What the connection tells.

    def _over(self, connection: Connection, error: Disconnected) -> None:
        if connection is not self._connection:
            return
        self._leave(connection)
        self.ended = error
        if self.sm is None or not self.sm.id:
            self._give_up(error)

    def _leave(self, connection: Connection) -> None:
        """It is ours no more, but somebody has to see to its end."""
        self._connection = None
        self._left_behind = [one for one in self._left_behind if one.is_connected]
        self._left_behind.append(connection)

    def _give_up(self, error: ClientError) -> None:
        """Nothing will come of what is waited for."""
        self._requests.fail(error)
        self.inbox.close(error)
        waiting: list[Deferred[Any]] = [*self._acked]
        if self._enabling is not None:
            waiting.append(self._enabling)
        self._acked, self._enabling = [], None
        for one in waiting:
            one.errback(error)

    def _received(self, stanza: Stanza) -> None:
        if stanza.namespace == NS_SM:
            self._managed(stanza)
            return
        if self.sm is not None and stanza.namespace == NS_CLIENT and stanza.name in STANZAS:
            self.sm.received()
        tree = stanza.tree
        if stanza.name == "iq":
            if stanza.type in ("result", "error"):
                if self._requests.answered(tree):
                    return
            else:
                self._requests.asked(tree)
        self.inbox.put(tree)

    def _managed(self, stanza: Stanza) -> None:
        """XEP-0198. Raises StreamError for a count that cannot be."""
        sm = self.sm
        if sm is None:
            return
        enabling = self._enabling
        if stanza.name == "r":
            if self.acknowledges and self._connection is not None:
                self._connection.send(sm.answer())
        elif stanza.name == "a":
            sm.acknowledge(stanza.attributes.get("h", ""))
            self._settle()
        elif enabling is not None:
            self._enabling = None
            if stanza.name == "enabled":
                sm.enabled(stanza.attributes)
                enabling.callback(stanza.tree)
            else:
                self.sm = None
                enabling.errback(Refused.read(stanza.tree))

    def _settle(self) -> None:
        """Tell those who wait for it that everything is acknowledged, if it is."""
        if self.sm is not None and not self.sm.unacked:
            waiting, self._acked = self._acked, []
            for one in waiting:
                one.callback(None)
