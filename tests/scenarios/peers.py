"""Clients and push services over bare sockets, which block: the peers of a `House`."""

import base64
import hashlib
import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pushd.client.managed import Managed
from pushd.wire import forms
from pushd.wire.element import Element, child, element, serialize, text
from pushd.wire.framer import Framer, Limits, StreamOpened
from pushd.wire.namespaces import (
    NS_CLIENT,
    NS_COMMANDS,
    NS_COMPONENT,
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    NS_PUSH,
    NS_SASL,
    NS_SM,
    NS_STANZA_ERRORS,
)
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza
from tests.patience import PATIENCE
from tests.scenarios.raw import Raw
from tests.scenarios.reading import fields_of, node_of, secret_form, succeeded

PING = "<ping xmlns='urn:xmpp:ping'/>"
STANZA_NAMES = ("message", "presence", "iq")

Match = Callable[[Element], bool]
_numbers = itertools.count(1)


def until(look: Callable[[], Any], what: str) -> Any:
    """What `look` gives, once that is something."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.01)
    return found


class Around(Protocol):
    """What a peer knows of its server."""

    ready: Any

    @property
    def authority(self) -> Path: ...

    def events(self, name: str, **fields: Any) -> list[dict[str, Any]]: ...


class Peer:
    """One stream, and what came on it that nobody took."""

    raw: Raw

    def __init__(self) -> None:
        self.unread: list[Element] = []

    def say(self, data: str | bytes | Element) -> None:
        self.raw.send(serialize(data) if isinstance(data, Element) else data)

    def take(self, what: str, match: Match) -> Element:
        """The first that matches, once it is there; the others stay."""
        looked = 0
        while True:
            for place in range(looked, len(self.unread)):
                if match(self.unread[place]):
                    return self.unread.pop(place)
            looked = len(self.unread)
            try:
                self._read()
            except TimeoutError:
                unread = [serialize(one) for one in self.unread]
                raise AssertionError(f"no {what}; what came: {unread}") from None

    def close(self) -> None:
        self.raw.close()

    def _begin(self, raw: Raw, header: bytes) -> None:
        self.raw = raw
        self._framer = Framer(Limits(stanza_bytes=1 << 22))
        self._feed(re.sub(rb"^<\?xml[^>]*>", b"", header))

    def _read(self) -> None:
        data = self.raw.unread or self.raw._receive()
        self.raw.unread = b""
        assert data, "the connection ended"
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        events = self._framer.feed(data)
        for event in events:
            if isinstance(event, Stanza):
                self._came(event.tree)
            else:
                assert isinstance(event, StreamOpened), (event, data)
        if events:
            self._framer.settle()

    def _came(self, stanza: Element) -> None:
        self.unread.append(stanza)


class Phone(Peer):
    """A client. `sm` counts as the client of XEP-0198 does, across connections.

    `acknowledges` says whether an `<r/>` is answered.
    """

    def __init__(self, house: Around, account: str, resource: str, password: Secret) -> None:
        super().__init__()
        self.house = house
        self.password = password
        self.account = account
        self.resource = resource
        self.sm: Managed | None = None
        self.acknowledges = True

    @property
    def jid(self) -> str:
        return f"{self.account}/{self.resource}"

    def connect(self) -> None:
        """A new connection, logged in and without a session yet."""
        place = self.house.ready["c2s_tls"]
        user, _, domain = self.account.partition("@")
        raw = Raw((place["host"], place["port"]), self.house.authority, domain, PATIENCE)
        raw.open(domain)
        proof = base64.b64encode(f"\0{user}\0{self.password.reveal()}".encode()).decode()
        raw.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{proof}</auth>")
        raw.read_until(rb"<success[^>]*>(</success>)?")
        self._begin(raw, raw.open(domain))
        self.unread.clear()  # the features

    def log_in(self) -> None:
        self.connect()
        self.raw.bind(self.resource)

    def manage(self, resume: bool = True, max: int | None = None) -> Element:
        """Enable stream management; gives the `<enabled/>`."""
        asked = f"<enable xmlns='{NS_SM}'" + (" resume='true'" if resume else "")
        self.say(asked + (f" max='{max}'" if max is not None else "") + "/>")
        answer = self.take("<enabled/>", lambda one: one.name in ("enabled", "failed"))
        assert answer.name == "enabled", serialize(answer)
        self.sm = Managed()
        self.sm.enabled(answer.attributes)
        return answer

    def ask(self, payload: str | Element, to: str = "", type: str = "set") -> Element:
        """Send a request; gives the answer, a result or an error."""
        id = f"ask-{next(_numbers)}"
        asked = payload.encode() if isinstance(payload, str) else serialize(payload)
        where = f" to='{to}'" if to else ""
        self.say(f"<iq type='{type}' id='{id}'{where}>".encode() + asked + b"</iq>")
        return self.take(
            f"answer to {asked!r}",
            lambda one: one.name == "iq" and one.getAttribute("id") == id,
        )

    def message(self, to: str, body: str = "", payload: str = "", type: str = "chat") -> None:
        words = serialize(element(NS_CLIENT, "body", body)).decode() if body else ""
        self.say(f"<message to='{to}' type='{type}'>{words}{payload}</message>")

    def settled(self) -> None:
        """Wait until the server has dealt with all that was said; what came is acknowledged."""
        self.ask(PING)
        if self.sm is not None and self.acknowledges:
            self.raw.send(self.sm.answer())  # the server may ask for that a moment later

    def acknowledged(self) -> None:
        """Wait until the server has acknowledged all that was said (XEP-0198)."""
        assert self.sm is not None
        while len(self.sm.unacked):
            self._read()

    def received(self) -> list[Element]:
        """Take what has come by now."""
        self.settled()
        taken, self.unread = self.unread, []
        return taken

    def hear(self, body: str) -> Element:
        """The message that says this, once it is there."""
        return self.take(
            f"message {body!r}",
            lambda one: one.name == "message" and text(child(one, NS_CLIENT, "body")) == body,
        )

    def bodies(self) -> list[str]:
        """What the messages said that have come by now."""
        return [
            text(child(one, NS_CLIENT, "body")) for one in self.received() if one.name == "message"
        ]

    # Push.

    def enable(
        self, service: str, node: str | None = "node", *parts: Element, to: str = ""
    ) -> Element:
        where = {} if node is None else {"node": node}
        return self.ask(element(NS_PUSH, "enable", *parts, jid=service, **where), to)

    def disable(self, service: str, node: str | None = None) -> Element:
        where = {} if node is None else {"node": node}
        return self.ask(element(NS_PUSH, "disable", jid=service, **where))

    def command(self, node: str, form: Element | None = None, to: str = "", **more: str) -> Element:
        """Execute a command, of the account's server unless told otherwise."""
        parts = () if form is None else (form,)
        host = to or self.account.partition("@")[2]
        return self.ask(element(NS_COMMANDS, "command", *parts, node=node, **more), host)

    def register(self, token: str, to: str = "", **fields: str) -> dict[str, str]:
        """Register for FCM; gives `jid`, `node` and `secret`."""
        given = {name.replace("_", "-"): value for name, value in fields.items()}
        form = forms.submit(None, {"token": token, **given})
        return fields_of(self.command("register-push-fcm", form, to))

    def disco(self, what: str, of: str, node: str = "") -> Element:
        """The answer to disco#info or disco#items."""
        where = {"node": node} if node else {}
        namespace = NS_DISCO_INFO if what == "info" else NS_DISCO_ITEMS
        return self.ask(element(namespace, "query", **where), of, "get")

    def enable_registered(self, token: str) -> dict[str, str]:
        """Register, and enable push there."""
        given = self.register(token)
        succeeded(self.enable(given["jid"], given["node"], secret_form(given["secret"])))
        return given

    # Losses.

    def cut(self) -> None:
        """Lose the connection; returns once the server has noticed."""
        before = len(self._losses())
        self.raw.reset()
        until(lambda: len(self._losses()) > before, "end of the connection")

    def _losses(self) -> list[dict[str, Any]]:
        return [
            one
            for name in ("session-detached", "session-ended")
            for one in self.house.events(name, session=self.jid)
        ]

    def hang_up(self) -> None:
        """Close the stream: the session ends."""
        self.raw.send("</stream:stream>")
        self.raw.read_to_end()
        self.raw.close()
        until(lambda: self.house.events("session-ended", session=self.jid), "end of the session")

    def resume(self) -> Element:
        """Come back; gives `<resumed/>` or `<failed/>`, after which one may bind."""
        assert self.sm is not None
        self.connect()
        self.say(self.sm.resume())
        answer = self.take("<resumed/>", lambda one: one.name in ("resumed", "failed"))
        if answer.name == "resumed":
            self.sm.acknowledge(answer["h"])
            for data in self.sm.again():
                self.raw.send(data)
        return answer

    def say(self, data: str | bytes | Element) -> None:
        raw = serialize(data) if isinstance(data, Element) else data
        raw = raw.encode() if isinstance(raw, str) else raw
        if self.sm is not None:
            self.sm.sent(raw, 0.0)
        self.raw.send(raw)

    def _came(self, stanza: Element) -> None:
        if self.sm is not None and stanza.uri == NS_SM and stanza.name in ("a", "r"):
            if stanza.name == "a":
                self.sm.acknowledge(stanza["h"])
            elif self.acknowledges:
                self.raw.send(self.sm.answer())
            return
        if self.sm is not None and stanza.name in STANZA_NAMES:
            self.sm.received()
        super()._came(stanza)


class Service(Peer):
    """A component that plays a push service of another make."""

    def __init__(self, house: Around, domain: str, secret: Secret) -> None:
        super().__init__()
        self.domain = domain
        place = house.ready["component"]
        raw = Raw((place["host"], place["port"]), timeout=PATIENCE)
        raw.send(
            f"<stream:stream to='{domain}' xmlns='{NS_COMPONENT}' "
            "xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        header = raw.read_until(rb"<stream:stream[^>]*>")
        found = re.search(rb" id='([^']+)'", header)
        assert found is not None
        proof = hashlib.sha1(found[1] + secret.reveal().encode()).hexdigest()
        raw.send(f"<handshake>{proof}</handshake>")
        raw.read_until(rb"<handshake/>")
        self._begin(raw, header)

    def publish(self, node: str) -> Element:
        """The next publish to this node, which waits for an answer."""
        return self.take(f"publish to {node}", lambda one: node_of(one) == node)

    def published(self, node: str) -> list[Element]:
        """The publishes to this node that have come and that nobody took."""
        return [one for one in self.unread if node_of(one) == node]

    def accept(self, publish: Element) -> None:
        self._answer(publish, "result")

    def refuse(self, publish: Element, condition: str, type: str = "cancel") -> None:
        error = f"<error type='{type}'><{condition} xmlns='{NS_STANZA_ERRORS}'/></error>"
        self._answer(publish, "error", error)

    def _answer(self, publish: Element, type: str, content: str = "") -> None:
        """Answer, and wait until that has been heard: until then no other publish comes."""
        id, to = publish["id"], publish["from"]
        self.say(f"<iq type='{type}' id='{id}' from='{self.domain}' to='{to}'>{content}</iq>")
        self.ask_as(self.domain, to, PING, "get")

    def ask_as(self, sender: str, to: str, payload: str | Element, type: str = "set") -> Element:
        """Send a request of one of its own addresses; gives the answer."""
        id = f"as-{next(_numbers)}"
        asked = payload.encode() if isinstance(payload, str) else serialize(payload)
        head = f"<iq type='{type}' id='{id}' from='{sender}' to='{to}'>"
        self.say(head.encode() + asked + b"</iq>")
        return self.take(
            f"answer to {asked!r}", lambda one: one.name == "iq" and one.getAttribute("id") == id
        )

    def say_to(self, account: str, payload: str) -> None:
        """A message."""
        self.say(f"<message from='{self.domain}' to='{account}'>{payload}</message>")


def befriend(one: Phone, other: Phone) -> None:
    """They see each other's presence."""
    for asks, answers in ((one, other), (other, one)):
        asks.say(f"<presence type='subscribe' to='{answers.account}'/>")
        answers.take("request", lambda one: one.getAttribute("type") == "subscribe")
        answers.say(f"<presence type='subscribed' to='{asks.account}'/>")
        answers.settled()
    for peer in (one, other):
        peer.received()
        peer.settled()  # by now the server has the acknowledgement of what came
