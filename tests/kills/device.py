"""A client that keeps XEP-0198 as its text says, and the book in which all of them are entered.

A device knows only what it read off its own connection.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from xml.etree.ElementTree import Element

from tests.kills.server import DOMAIN, PATIENCE, PUSH_HOST, Server
from tests.kills.wire import Lost, Wire, tag

NS_SM = "urn:xmpp:sm:3"
NS_ROSTER = "jabber:iq:roster"
NS_ASKED = "urn:pushd:tests:kills"
NS_PUBLISH_OPTIONS = "http://jabber.org/protocol/pubsub#publish-options"
STANZAS = ("message", "presence", "iq")


class Book:
    """Every message and request, how often it was sent, and where it came."""

    def __init__(self) -> None:
        self.sendings: Counter[str] = Counter()
        self.senders: dict[str, str] = {}  # by message: the device that sent it
        self.targets: dict[str, str] = {}  # by message: the account or full JID that it is for
        self.arrivals: dict[str, list[str]] = {}  # by device: messages, in the order they came
        self.spare: Counter[tuple[str, str]] = Counter()  # by device and message: may come again
        self.asked: dict[str, str] = {}  # by id: the device that waits for an answer
        self._next = 0

    def __repr__(self) -> str:
        return f"{dict(self.sendings)} {self.senders} {self.targets} {self.arrivals} {self.asked}"

    def new_id(self, kind: str) -> str:
        self._next += 1
        return f"{kind}{self._next}"

    def missing(self) -> list[str]:
        """The messages that have come to no device of their receiver."""
        came: dict[str, set[str]] = {}
        for device, arrivals in self.arrivals.items():
            came.setdefault(device.partition("/")[0], set()).update(arrivals)
        return [one for one, to in self.targets.items() if one not in came[to.partition("/")[0]]]


class Device:
    """One resource of an account, as `place` says: "user/resource".

    `wire` is None while it has no connection.
    """

    def __init__(
        self, server: Server, book: Book, place: str, heard: Callable[[bytes], None]
    ) -> None:
        self.user, _, self._resource = place.partition("/")
        self.name = f"{self.user}@{DOMAIN}/{self._resource}"
        self.wire: Wire | None = None
        self.token = ""  # of the session that can be resumed
        self.node = ""  # where its push notifications are published to, once that is promised
        self.unacknowledged: deque[str] = deque()
        self.acks = 0  # `<a/>` that came
        self.others: list[str] = []  # ids of messages that are in no book
        self.errors: dict[str, str] = {}  # conditions, by the ids of messages that are in no book
        self._server = server
        self._book = book
        self._heard = heard
        self._covered = 0
        self._h = 0
        self._had: list[str] = []  # messages that came in this session
        self._backlog: list[str] = []  # what an earlier session leaves to be sent again
        self._bare = f"{self.user}@{DOMAIN}"
        self._answers: dict[str, Element] = {}
        self._names: dict[str, str] = {}  # by contact: the last name that was answered
        book.arrivals[self.name] = []

    @property
    def has_to_say(self) -> bool:
        """Whether it has sent something that nobody has acknowledged."""
        return bool(self.unacknowledged or self._backlog)

    @property
    def may_lose_session(self) -> bool:
        """Whether something has happened that ends a session which could be resumed."""
        return False

    # Connections and sessions.

    def come_back(self) -> None:
        """Connect, unless there is a connection. Raises Lost."""
        if self.wire is None:
            self.connect()

    def connect(self) -> None:
        """Resume the session, or begin one. Raises Lost."""
        wire = Wire(self._server.place, self.user, self._heard)
        if self.token:
            self._resume(wire)
        else:
            self._begin(wire)

    def _resume(self, wire: Wire) -> None:
        wire.send(f"<resume xmlns='{NS_SM}' previd='{self.token}' h='{self._h}'/>")
        answer = wire.next("resumed", "failed")
        if tag(answer) == "failed":
            assert self.may_lose_session, f"{self.name}: a session that was promised is lost"
            self._cover(int(answer.get("h", self._covered)))
            self.give_up()
            self._begin(wire)
            return
        self.wire = wire
        self._cover(int(answer.attrib["h"]))
        # A session that was lost as it began may have had no time for what it was to repeat.
        again = [*self.unacknowledged, *self._backlog]
        self.unacknowledged.clear()
        self._backlog.clear()
        self._repeat(again)

    def _begin(self, wire: Wire) -> None:
        self._backlog += self.unacknowledged
        self.unacknowledged.clear()
        for message in self._had:
            self._book.spare[self.name, message] += 1
        self._had.clear()
        self._covered = self._h = 0
        wire.send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{self._resource}</resource></bind></iq>"
        )
        assert wire.next("iq").attrib["type"] == "result"
        wire.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        self.token = wire.next("enabled").attrib["id"]
        self.wire = wire
        self.say("<presence/>")
        # Messages that others send from now on are to come after those that wait.
        self.wait(lambda: not self.unacknowledged, "acknowledgement")
        again, self._backlog = self._backlog, []
        self._repeat(again)

    def _repeat(self, stanzas: list[str]) -> None:
        for place, stanza in enumerate(stanzas):
            try:
                self.say(stanza)
            except Lost:
                self.unacknowledged.extend(stanzas[place + 1 :])
                raise

    def cut(self) -> None:
        """Lose the connection, with what was not read yet."""
        if self.wire is not None:
            self.wire.close()
            self.wire = None

    def hear_out(self) -> None:
        """Read all that the server still says, and close when it has."""
        try:
            while self.wire is not None:
                self.read(PATIENCE)
        except Lost:
            self.cut()

    def give_up(self) -> None:
        """Forget the session, as an app does that is started anew."""
        self.cut()
        self.token = ""
        for id, device in list(self._book.asked.items()):
            if device == self.name:
                del self._book.asked[id]

    def leave(self) -> None:
        """Close the stream, which ends the session."""
        wire = self.wire
        assert wire is not None
        try:
            wire.send("</stream:stream>")
        finally:
            self.give_up()

    # What it says.

    def say(self, stanza: str) -> None:
        """Send a stanza, and keep it until it is acknowledged. Raises Lost."""
        self.unacknowledged.append(stanza)
        id = stanza.partition(" id='")[2].partition("'")[0]
        if id in self._book.targets:
            self._book.sendings[id] += 1
        assert self.wire is not None
        self.wire.send(stanza)

    def write(self, to: str) -> None:
        """One message more."""
        id = self._book.new_id("m")
        self._book.senders[id] = self.name
        self._book.targets[id] = to
        self.say(f"<message to='{to}' id='{id}' type='chat'><body>{id}</body></message>")

    def ask(self, to: str, payload: str, type: str = "get") -> str:
        """A request, which has to be answered whatever happens; gives its id."""
        id = self._book.new_id("q")
        self._book.asked[id] = self.name
        self.say(f"<iq to='{to}' id='{id}' type='{type}'>{payload}</iq>")
        return id

    def name_a_contact(self) -> None:
        """Change the roster; once that is answered, the contact has this name for good."""
        jid = f"friend-of-{self._resource}@{DOMAIN}"
        name = self._book.new_id("n")
        item = f"<query xmlns='jabber:iq:roster'><item jid='{jid}' name='{name}'/></query>"
        answer = self._answered(self.ask(self._bare, item, "set"))
        assert answer.get("type") == "result"
        self._names[jid] = name

    def check_names(self) -> None:
        """The roster has the names that were answered, or later ones. Raises Lost."""
        answer = self._answered(self.ask(self._bare, "<query xmlns='jabber:iq:roster'/>"))
        found = {
            item.get("jid", ""): item.get("name", "")
            for item in answer.iter(f"{{{NS_ROSTER}}}item")
        }
        for jid, name in self._names.items():
            assert int(found[jid][1:]) >= int(name[1:]), f"{jid} is {found[jid]}, not {name}"

    def acknowledge(self) -> None:
        """Tell the server what was read."""
        assert self.wire is not None
        self.wire.send(f"<a xmlns='{NS_SM}' h='{self._h}'/>")

    def settle(self) -> None:
        """Acknowledge until there is nothing more to acknowledge. Raises Lost."""
        wire = self.wire
        assert wire is not None
        # So that the next count is the answer to the question below.
        self.wait(lambda: not self.unacknowledged, "acknowledgement")
        told = -1
        while told != self._h:
            told, acks = self._h, self.acks
            self.acknowledge()
            wire.send(f"<r xmlns='{NS_SM}'/>")
            self.wait(lambda acks=acks: self.acks > acks, "acknowledgement")  # type: ignore[misc]

    # What it reads.

    def read(self, seconds: float = 0.0) -> None:
        """Take what has come. Raises Lost, with all that came before that taken."""
        wire = self.wire
        assert wire is not None
        try:
            wire.read(seconds)
        finally:
            while wire.unread:
                self._take(wire.unread.popleft())

    def wait(self, is_done: Callable[[], bool], what: str) -> None:
        """Read until it is done. Raises Lost."""
        for _ in range(int(PATIENCE)):
            for _ in range(100):
                if is_done():
                    return
                self.read(0.01)
        raise AssertionError(f"{self.name}: no {what}: {list(self.unacknowledged)[:3]}")

    def _take(self, element: Element) -> None:
        name = tag(element)
        if name in STANZAS:
            self._h += 1
            self._take_stanza(name, element)
        elif name == "a":
            self.acks += 1
            self._cover(int(element.attrib["h"]))
        elif name == "error":
            raise Lost  # a stream error; the server stops

    def _take_stanza(self, name: str, stanza: Element) -> None:
        id, type = stanza.get("id", ""), stanza.get("type", "")
        if name == "message" and id in self._book.targets:
            assert type == "chat", f"{id} was answered with an error"
            self._book.arrivals[self.name].append(id)
            self._had.append(id)
        elif name == "message" and type == "error":
            error = stanza.find("{jabber:client}error")
            assert error is not None
            self.errors[id] = tag(error[0])
        elif name == "message":
            self.others.append(id)
        elif name == "iq" and type == "get":
            self.say(f"<iq to='{stanza.get('from')}' id='{id}' type='result'/>")
        elif name == "iq" and type in ("result", "error"):
            self._answers[id] = stanza
            self._book.asked.pop(id, None)

    def _cover(self, h: int) -> None:
        newly = h - self._covered
        assert 0 <= newly <= len(self.unacknowledged), f"{self.name}: h={h} is wrong"
        for _ in range(newly):
            self.unacknowledged.popleft()
        self._covered = h

    # Push.

    def enable_push(self) -> None:
        """Register the device and enable push; `node` is set once that is promised."""
        node, secret = registered(self.register_push("a:token-of-a-device"))
        assert self.enable_node(node, secret).get("type") == "result"
        self.node = node

    def register_push(self, token: str, type: str = "fcm") -> Element:
        """The answer to a registration of this device. Raises Lost."""
        return self.command(f"register-push-{type}", form({"token": token}))

    def enable_node(self, node: str, secret: str) -> Element:
        """The answer to an enabling. Raises Lost."""
        enable = f"<enable xmlns='urn:xmpp:push:0' jid='{PUSH_HOST}' node='{node}'>"
        return self.answer_of(self._bare, f"{enable}{publish_options(secret)}</enable>")

    def command(self, node: str, form: str = "") -> Element:
        """The answer to an ad-hoc command of the server. Raises Lost."""
        payload = f"<command xmlns='http://jabber.org/protocol/commands' node='{node}'>"
        return self.answer_of(DOMAIN, f"{payload}{form}</command>")

    def answer_of(self, to: str, payload: str) -> Element:
        """What is answered to a request of type set. Raises Lost."""
        return self._answered(self.ask(to, payload, "set"))

    def _answered(self, id: str) -> Element:
        self.wait(lambda: id in self._answers, f"answer to {id}")
        return self._answers.pop(id)


def registered(answer: Element) -> tuple[str, str]:
    """Node and secret of a registration."""
    assert answer.get("type") == "result", condition(answer)
    values = [node.text or "" for node in answer.iter("{jabber:x:data}value")]
    names = [node.get("var", "") for node in answer.iter("{jabber:x:data}field")]
    given = dict(zip(names, values, strict=True))
    return given["node"], given["secret"]


def condition(answer: Element) -> str:
    """Why a request was refused, in the words of RFC 6120; nothing if it was not."""
    error = answer.find("{jabber:client}error")
    return tag(error[0]) if error is not None else ""


def form(fields: Mapping[str, str]) -> str:
    """A form of type submit."""
    shown = (
        f"<field var='{name}'><value>{value}</value></field>" for name, value in fields.items()
    )
    return f"<x xmlns='jabber:x:data' type='submit'>{''.join(shown)}</x>"


def publish_options(secret: str) -> str:
    """The form with which a publish says that it may be made."""
    return form({"FORM_TYPE": NS_PUBLISH_OPTIONS, "secret": secret})
