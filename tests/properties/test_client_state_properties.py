"""XEP-0352: whatever comes while a client is active, inactive or away, its order is kept.

What a client gets is what it was sent, in order, without what newer presence replaced.
"""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.hall import Hall

MODULES = {"roster": None, "presence": None, "offline": None, "client_state": None}
JULIET = "juliet@example.net/phone"
SENDERS = ("romeo@example.org/a", "nurse@example.org/b", "paris@example.org/c")
sent = st.tuples(
    st.sampled_from(["available", "unavailable", "state", "state", "body", "iq"]),
    st.sampled_from(SENDERS),
)
done = st.sampled_from(["active", "inactive", "inactive", "read", "acknowledge", "cut", "resume"])


def stanza(kind: str, sender: str, id: int) -> str:
    head = f"from='{sender}' to='{JULIET}' id='{id}'"
    if kind == "available":
        return f"<presence {head}><priority>1</priority></presence>"
    if kind == "unavailable":
        return f"<presence {head} type='unavailable'/>"
    if kind == "state":
        states = "http://jabber.org/protocol/chatstates"
        return f"<message {head} type='chat'><composing xmlns='{states}'/></message>"
    if kind == "body":
        return f"<message {head} type='chat'><body>hi</body></message>"
    return f"<iq {head} type='get'><query xmlns='q'/></iq>"


class Phone:
    """A client that knows only what it read, and what it was sent, to compare."""

    def __init__(self, sm: bool) -> None:
        self.hall = Hall(modules=MODULES)
        self.client = self.hall.login(JULIET, sm=sm, available=False)
        self.sm = sm
        self.is_active = self.is_connected = True
        self.h = 0
        self.got: list[int] = []
        self.sent: list[tuple[str, str]] = []  # kind and sender; the place is the id
        self.late: set[int] = set()  # presence that came while it was away: it may replace another

    def hear(self, kind: str, sender: str) -> None:
        number = len(self.sent)
        self.sent.append((kind, sender))
        before = self.waiting()
        self.hall.route(stanza(kind, sender, number))
        is_urgent = kind in ("body", "iq")
        if not self.is_connected:
            if kind in ("available", "unavailable"):
                self.late.add(number)
        elif is_urgent or self.is_active:
            assert self.waiting()[-1] == number
        else:
            assert self.waiting() == before

    def waiting(self) -> list[int]:
        stanzas = [one for one in self.client.outlet.unread if one.uri == "jabber:client"]
        return [int(str(one["id"])) for one in stanzas]

    def do(self, what: str) -> None:
        getattr(self, what)()

    def read(self) -> None:
        if self.is_connected:
            got = self.waiting()
            self.client.outlet.unread.clear()
            self.got += got
            self.h += len(got)

    def active(self) -> None:
        if self.is_connected:
            self.client.active()
            self.is_active = True

    def inactive(self) -> None:
        if self.is_connected:
            self.client.inactive()
            self.is_active = False

    def acknowledge(self) -> None:
        if self.is_connected and self.sm:
            self.client.acknowledge(self.h)

    def cut(self) -> None:
        """What was not read is lost on the way."""
        if self.is_connected and self.sm:
            self.client.cut()
            self.is_connected = False

    def resume(self) -> None:
        """Also while it looks connected to the server."""
        if self.sm:
            self.client.resume(self.h)
            self.is_connected = self.is_active = True


@given(st.booleans(), st.lists(st.one_of(sent, sent, done), max_size=40))
def test_the_order_is_kept_and_what_matters_comes(sm: bool, steps: list[Any]) -> None:
    phone = Phone(sm)
    for step in steps:
        if isinstance(step, tuple):
            phone.hear(*step)
        else:
            phone.do(step)
    if not phone.is_connected:
        phone.resume()
    phone.active()
    phone.read()

    in_order = [number for number in phone.got if number not in phone.late]
    assert in_order == sorted(set(in_order))
    for number, (kind, _) in enumerate(phone.sent):
        if kind in ("state", "body", "iq"):
            assert number in phone.got
    for sender in SENDERS:
        told = [
            number
            for number, (kind, who) in enumerate(phone.sent)
            if who == sender and kind in ("available", "unavailable")
        ]
        heard = [number for number in phone.got if number in told]
        assert heard[-1:] == told[-1:]
    phone.acknowledge()
    assert phone.hall.rows("SELECT * FROM queue") == []
