"""RFC 6121 §8.5, cell by cell: what a stanza for a local address becomes.

Each row names its section, the state of the addressee's account and the form of the address.
Whoever sends is a stranger at a service next door, so that no subscription helps.
"""

from typing import Any

import pytest

from pushd.wire.element import Element
from pushd.wire.element import element as made
from pushd.wire.stanza import Stanza
from tests.hall import Client, Hall

MODULES = {"roster": None, "subscriptions": None, "presence": None, "offline": None}
ROMEO = "romeo@example.net"
STRANGER, STRANGERS_ACCOUNT = "juliet@gate.example.org/balcony", "juliet@gate.example.org"

# The resources of an account in each state, with their priorities: `-` is a resource that is
# connected but not available (RFC 6120 §1.4), `~` one that is detached (XEP-0198 §5).
STATES: dict[str, dict[str, str]] = {
    "none": {},
    "connected": {"here": "-"},
    "negative": {"here": "-1"},
    "one": {"here": "0"},
    "detached": {"here": "~1"},
    "several": {"here": "1", "there": "1", "low": "0", "shy": "-5", "bound": "-"},
}

# §8.5.2, §8.5.3 and Table 1 of §8.5.4, for messages. D: delivered to the resource named, or to
# the only one. M: to the most available ones. A: to all of no negative priority. O: stored
# offline. E: <service-unavailable/>. S: silence. Where the RFC leaves the choice between
# silence and an error (§8.5.1, §8.5.3.2.1), whoever wrote something to read is told. What is
# for another resource is never for the others, but for type chat (§8.5.3.2.1).
MESSAGES = """
                                 normal  chat  groupchat  headline  error
8.5.1      no account  bare        E      E        E         S        S
8.5.1      no account  full        E      E        E         S        S
8.5.2.2.1  none        bare        O      O        E         S        S
8.5.3.2.1  none        other       E      O        E         S        S
8.5.2.2.1  connected   bare        O      O        E         S        S
8.5.3.1    connected   full        D      D        D         D        D
8.5.3.2.1  connected   other       E      O        E         S        S
8.5.2.1.1  negative    bare        O      O        E         S        S
8.5.3.1    negative    full        D      D        D         D        D
8.5.3.2.1  negative    other       E      O        E         S        S
8.5.2.1.1  one         bare        D      D        E         D        S
8.5.3.1    one         full        D      D        D         D        D
8.5.3.2.1  one         other       E      D        E         S        S
8.5.2.1.1  detached    bare        D      D        E         D        S
8.5.3.1    detached    full        D      D        D         D        D
8.5.3.2.1  detached    other       E      D        E         S        S
8.5.2.1.1  several     bare        M      M        E         A        S
8.5.3.1    several     full        D      D        D         D        D
8.5.3.2.1  several     other       E      M        E         S        S
"""

# The same for requests and their answers. R: the server answers for the account. `known` is
# a request that the server has an answer to, `unknown` one that it has not.
REQUESTS = """
                                 known  unknown  result  error
8.5.1      no account  bare        E       E       S       S
8.5.1      no account  full        E       E       S       S
8.5.2.2.3  none        bare        R       E       S       S
8.5.3.2.3  none        other       E       E       S       S
8.5.2.2.3  connected   bare        R       E       S       S
8.5.3.1    connected   full        D       D       D       D
8.5.3.2.3  connected   other       E       E       S       S
8.5.2.1.3  negative    bare        R       E       S       S
8.5.3.1    negative    full        D       D       D       D
8.5.2.1.3  one         bare        R       E       S       S
8.5.3.1    one         full        D       D       D       D
8.5.3.2.3  one         other       E       E       S       S
8.5.3.1    detached    full        D       D       D       D
8.5.2.1.3  several     bare        R       E       S       S
8.5.3.1    several     full        D       D       D       D
8.5.3.2.3  several     other       E       E       S       S
"""

# The same for presence. L: to all available resources, whatever their priority. K: the request
# is kept (§3.1.3). k: it is kept, and shown to all available resources. U: answered with
# `unsubscribed`, and from the bare address only (§4.3.2).
PRESENCE = """
                       available  unavailable  subscribe  subscribed  unsubscribe  unsubscribed  \
probe  error
8.5.1      no account  bare   S   S   S   S   S   S   U   S
8.5.1      no account  full   S   S   S   S   S   S   U   S
8.5.2.2.2  none        bare   S   S   K   S   S   S   U   S
8.5.3.2.2  none        other  S   S   K   S   S   S   U   S
8.5.2.2.2  connected   bare   S   S   K   S   S   S   U   S
8.5.3.1    connected   full   D   D   K   S   S   S   U   D
8.5.3.2.2  connected   other  S   S   K   S   S   S   U   S
8.5.2.1.2  negative    bare   L   L   k   S   S   S   U   S
8.5.3.1    negative    full   D   D   k   S   S   S   U   D
8.5.2.1.2  one         bare   L   L   k   S   S   S   U   S
8.5.3.1    one         full   D   D   k   S   S   S   U   D
8.5.3.2.2  one         other  S   S   k   S   S   S   U   S
8.5.2.1.2  detached    bare   L   L   k   S   S   S   U   S
8.5.3.1    detached    full   D   D   k   S   S   S   U   D
8.5.2.1.2  several     bare   L   L   k   S   S   S   U   S
8.5.3.1    several     full   D   D   k   S   S   S   U   D
8.5.3.2.2  several     other  S   S   k   S   S   S   U   S
"""


def cells(table: str) -> list[Any]:
    """Each cell as state, address, kind and letter, under an id that names its section."""
    heading, *rows = table.strip("\n").splitlines()
    kinds = heading.split()
    found: list[Any] = []
    for row in rows:
        *place, address = row[:28].split()
        section, state = place[0], " ".join(place[1:])
        for kind, letter in zip(kinds, row[28:].split(), strict=True):
            case = f"{section} {state}, {address}: {kind}"
            found.append(pytest.param(state, address, kind, letter, id=case))
    return found


class Verona:
    """Romeo's account in one of the states, and a stranger who hears what comes back."""

    def __init__(self, state: str) -> None:
        self.hall = Hall(modules=MODULES)
        self.answers: list[Stanza] = []
        self.hall.host.router.add_host("gate.example.org", self.answers.append)
        self.romeo: dict[str, Client] = {}
        if state != "no account":
            self.hall.add_account(ROMEO)
            for resource, how in STATES[state].items():
                self._come(resource, how)
        for client in self.romeo.values():
            client.received()

    def _come(self, resource: str, how: str) -> None:
        client = self.hall.login(f"{ROMEO}/{resource}", available=False, sm="~" in how)
        priority = how.strip("~")
        if priority != "-":
            client.send(f"<presence><priority>{priority}</priority></presence>")
        self.romeo[resource] = client
        if "~" in how:
            client.received()
            client.acknowledge()
            client.cut()

    def address(self, form: str) -> str:
        return {"bare": ROMEO, "full": f"{ROMEO}/here", "other": f"{ROMEO}/gone"}[form]

    def received(self) -> dict[str, list[Element]]:
        """What each resource got, which got anything; a detached one has come back for it."""
        found = {}
        for resource, client in self.romeo.items():
            if client.session.stream is None:
                client.resume()
            if stanzas := client.received():
                found[resource] = stanzas
        return found


def sent_to(state: str, letter: str) -> set[str]:
    """The resources that a letter of the tables stands for."""
    resources = STATES.get(state, {})
    available = {name: int(how.strip("~")) for name, how in resources.items() if how != "-"}
    able = {name: priority for name, priority in available.items() if priority >= 0}
    chosen: dict[str, set[str]] = {
        "D": {"here"},
        "M": {name for name in able if able[name] == max(able.values())},
        "A": set(able),
        "L": set(available),
        "k": set(available),
    }
    return chosen.get(letter, set())


@pytest.mark.parametrize(("state", "form", "type", "letter"), cells(MESSAGES))
def test_each_cell_for_messages(state: str, form: str, type: str, letter: str) -> None:
    verona = Verona(state)
    to = verona.address(form)

    verona.hall.route(
        f"<message from='{STRANGER}' to='{to}' type='{type}' id='m'><body>hi</body></message>"
    )

    received = verona.received()
    assert set(received) == sent_to(state, letter)
    for [one] in received.values():
        assert one["from"] == STRANGER
        assert one["to"] == to  # never rewritten (§8.5.2.1.1)
        assert (one["type"], one["id"], str(one.body)) == (type, "m", "hi")
    assert len(verona.hall.rows("SELECT id FROM offline")) == (letter == "O")
    assert_refused(verona.answers, letter, "message", "m", to)


@pytest.mark.parametrize("way", ["without a type", "type='unheard-of'"])
@pytest.mark.parametrize(("state", "form", "type", "letter"), cells(MESSAGES)[::5])
def test_a_type_that_is_none_is_normal(
    state: str, form: str, type: str, letter: str, way: str
) -> None:
    """RFC 6121 §5.2.2."""
    assert type == "normal"
    verona = Verona(state)
    to = verona.address(form)
    attribute = "" if way == "without a type" else way

    verona.hall.route(f"<message from='{STRANGER}' to='{to}' {attribute} id='m'><body/></message>")

    assert set(verona.received()) == sent_to(state, letter)
    assert len(verona.hall.rows("SELECT id FROM offline")) == (letter == "O")
    assert_refused(verona.answers, letter, "message", "m", to)


@pytest.mark.parametrize("type", ["get", "set"])
@pytest.mark.parametrize(("state", "form", "kind", "letter"), cells(REQUESTS))
def test_each_cell_for_requests(state: str, form: str, kind: str, letter: str, type: str) -> None:
    verona = Verona(state)
    to = verona.address(form)
    for asked in ("get", "set"):
        verona.hall.host.requests.add(
            asked, "urn:known", "query", "account", lambda request: made("urn:known", "answer")
        )
    content = "<error type='cancel'/>" if kind == "error" else f"<query xmlns='urn:{kind}'/>"
    real_type = type if kind in ("known", "unknown") else kind

    verona.hall.route(f"<iq from='{STRANGER}' to='{to}' type='{real_type}' id='q'>{content}</iq>")

    received = verona.received()
    assert set(received) == sent_to(state, letter)
    for [one] in received.values():
        assert (one["from"], one["to"], one["type"], one["id"]) == (STRANGER, to, real_type, "q")
    if letter == "R":
        [answer] = verona.answers
        assert (answer.type, answer.id, answer.children) == ("result", "q", ("urn:known answer",))
        assert (answer.attributes["from"], answer.attributes["to"]) == (to, STRANGER)
    else:
        assert_refused(verona.answers, letter, "iq", "q", to)


@pytest.mark.parametrize(("state", "form", "kind", "letter"), cells(PRESENCE))
def test_each_cell_for_presence(state: str, form: str, kind: str, letter: str) -> None:
    verona = Verona(state)
    to = verona.address(form)
    type = "" if kind == "available" else f"type='{kind}'"

    verona.hall.route(f"<presence from='{STRANGER}' to='{to}' {type} id='p'/>")

    received = verona.received()
    assert set(received) == sent_to(state, letter)
    for [one] in received.values():
        assert (one.name, one["id"]) == ("presence", "p")
        assert one.getAttribute("type") == (None if kind == "available" else kind)
        bare = (STRANGERS_ACCOUNT, ROMEO)
        assert (one["from"], one["to"]) == (bare if letter == "k" else (STRANGER, to))
    kept = verona.hall.rows("SELECT account, jid FROM subscription_requests")
    assert kept == ([(ROMEO, STRANGERS_ACCOUNT)] if letter in "Kk" else [])
    told = [(one.type, one.attributes["from"], one.attributes["to"]) for one in verona.answers]
    assert told == ([("unsubscribed", ROMEO, STRANGERS_ACCOUNT)] if letter == "U" else [])
    assert verona.hall.rows("SELECT id FROM offline") == []


def assert_refused(answers: list[Stanza], letter: str, name: str, id: str, by: str) -> None:
    """E is one error, addressed as RFC 6120 §8.3.1 wants it; any other letter is none."""
    assert len(answers) == (letter == "E")
    for answer in answers:
        assert (answer.name, answer.type, answer.id) == (name, "error", id)
        assert (answer.attributes["from"], answer.attributes["to"]) == (by, STRANGER)
        error = answer.tree.error
        assert error["type"] == "cancel"
        assert error.firstChildElement().name == "service-unavailable"
