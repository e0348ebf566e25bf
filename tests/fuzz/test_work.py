"""Work grows with the size of an input and no faster: calls are counted, not seconds."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from pushd.wire.namespaces import NS_COMMANDS, NS_FORMS
from tests.fuzz import targets
from tests.fuzz.component import PROVEN
from tests.fuzz.grammar import HEADER

SMALL, TIMES = 40, 4
BOUND = {"client": "{{client}}{{bound romeo phone}}<presence/>", "component": PROVEN}
ROSTER = (
    "<iq type='set' id='1'><query xmlns='jabber:iq:roster'>"
    "<item jid='c@example.com'>%s</item></query></iq>"
)
NODES = (
    f"<iq type='set' id='c' to='example.net'><command xmlns='{NS_COMMANDS}' node='unregister-push'>"
    f"<x xmlns='{NS_FORMS}' type='submit'><field var='nodes'>%s</field></x></command></iq>"
)


def stanzas(count: int) -> str:
    return "<message to='juliet@example.net' type='chat'><body>hi</body></message>" * count


GROWING: dict[str, tuple[str, Callable[[int], str]]] = {
    "stanzas": ("framer", lambda n: HEADER + stanzas(n)),
    "children": ("framer", lambda n: f"{HEADER}<message>{'<a/>' * n}</message>"),
    "claims": (
        "framer",
        lambda n: (
            HEADER + "<message>" + "<delay xmlns='urn:xmpp:delay' from='x'/>" * n + "</message>"
        ),
    ),
    "character references": ("framer", lambda n: f"{HEADER}<message>{'&#65;' * n}</message>"),
    "elements": ("element", lambda n: "<message>" + "<a b='c'>d</a>" * n + "</message>"),
    "namespaces": (
        "element",
        lambda n: (
            "<a>" + "".join(f"<b xmlns:n{i}='urn:{i}' n{i}:c='d'/>" for i in range(n)) + "</a>"
        ),
    ),
    "labels": ("jid", lambda n: "a." * (n // 2) + "example"),
    "letters": ("jid", lambda n: "\u00e9" * (n // 2) + "@example.net/" + "\u00e9" * (n // 2)),
    "attributes of SCRAM": ("sasl", lambda n: "SCRAM-SHA-1\nn,,n=romeo,r=abc" + ",x=y" * n),
    "fields": (
        "forms",
        lambda n: (
            "<x xmlns='jabber:x:data'>"
            + "".join(f"<field var='{i}'><value>1</value></field>" for i in range(n))
            + "</x>"
        ),
    ),
    "lines": ("admin", lambda n: '{"operation": "x"}\n' * n),
    "messages": ("client", lambda n: BOUND["client"] + stanzas(n)),
    "unknown nonzas": ("management", lambda n: BOUND["client"] + "<r xmlns='urn:xmpp:sm:3'/>" * n),
    "groups": (
        "client",
        lambda n: BOUND["client"] + ROSTER % "".join(f"<group>{i}</group>" for i in range(n)),
    ),
    "presence by name": (
        "client",
        lambda n: BOUND["client"] + "".join(f"<presence to='c{i}@example.com'/>" for i in range(n)),
    ),
    "stanzas of a component": (
        "component",
        lambda n: BOUND["component"] + "<message from='bot.example.net' to='x@example.net'/>" * n,
    ),
    "nodes": (
        "appserver",
        lambda n: BOUND["client"] + NODES % "".join(f"<value>{i}</value>" for i in range(n)),
    ),
}


@pytest.mark.parametrize("what", GROWING)
def test_four_times_as_much_is_four_times_the_work(what: str) -> None:
    name, make = GROWING[what]
    target = targets.load(name)
    small, big = (make(n).encode() for n in (SMALL, TIMES * SMALL))
    if hasattr(target, "renew"):
        target.renew()  # what other tests left there is no matter of these inputs
    for data in (small, big):
        target.one(data)  # what is done once is done
    # Before the growing part of a stream of the hall's comes a login.
    always = calls(target.one, make(0).encode()) if hasattr(target, "renew") else 0

    assert calls(target.one, big) - always <= 1.3 * TIMES * (calls(target.one, small) - always)


def calls(work: Callable[[bytes], None], data: bytes) -> int:
    """How many functions are called, of Python and of C."""
    count = 0

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work(data)
    finally:
        sys.setprofile(before)
    return count
