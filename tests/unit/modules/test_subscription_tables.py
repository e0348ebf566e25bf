"""RFC 6121 §2.5, §3 and appendix A: each state of a subscription, and each stanza about it.

Romeo is at home in the roster of our server, Juliet at a service next door; the rows say what
Romeo's half of the subscription becomes, and what his clients and Juliet hear of it.
"""

from dataclasses import replace
from typing import Any

import pytest

from pushd.modules.subscriptions import State, state_of
from pushd.wire.element import Element
from pushd.wire.stanza import Stanza
from tests.hall import Hall

ROSTER = "jabber:iq:roster"
MODULES = {"roster": None, "subscriptions": None, "presence": None}
ROMEO, JULIET = "romeo@example.net", "juliet@gate.example.org"

STATES = {
    "None": State.NONE,
    "None+Out": State.NONE_OUT,
    "None+In": State.NONE_IN,
    "None+Out/In": State.NONE_OUT_IN,
    "To": State.TO,
    "To+In": State.TO_IN,
    "From": State.FROM,
    "From+Out": State.FROM_OUT,
    "Both": State.BOTH,
}

# What Romeo's client sends (A.2): what is sent to Juliet, in this order; the state after it,
# where it is another one; and the item that is pushed to Romeo's clients.
OUTBOUND = """
subscribe     A.2.1, §3.1.2
  None         subscribe                 None+Out     none ask
  None+Out     subscribe                 =            -
  None+In      subscribe                 None+Out/In  none ask
  None+Out/In  subscribe                 =            -
  To           subscribe                 =            -
  To+In        subscribe                 =            -
  From         subscribe                 From+Out     from ask
  From+Out     subscribe                 =            -
  Both         subscribe                 =            -
unsubscribe   A.2.2, §3.3.2
  None         unsubscribe               =            -
  None+Out     unsubscribe               None         none
  None+In      unsubscribe               =            -
  None+Out/In  unsubscribe               None+In      none
  To           unsubscribe               None         none
  To+In        unsubscribe               None+In      none
  From         unsubscribe               =            -
  From+Out     unsubscribe               From         from
  Both         unsubscribe               From         from
subscribed    A.2.3, §3.1.5, §3.4.2
  None         -                         =            none approved
  None+Out     -                         =            none ask approved
  None+In      subscribed,available      From         from
  None+Out/In  subscribed,available      From+Out     from ask
  To           -                         =            to approved
  To+In        subscribed,available      Both         both
  From         -                         =            -
  From+Out     -                         =            -
  Both         -                         =            -
unsubscribed  A.2.4, §3.2.2
  None         -                         =            -
  None+Out     -                         =            -
  None+In      unsubscribed              None         -
  None+Out/In  unsubscribed              None+Out     -
  To           -                         =            -
  To+In        unsubscribed              To           -
  From         unavailable,unsubscribed  None         none
  From+Out     unavailable,unsubscribed  None+Out     none ask
  Both         unavailable,unsubscribed  To           to
remove        §2.5.2
  None         -                         =            remove
  None+Out     unsubscribe               None         remove
  None+In      -                         =            remove
  None+Out/In  unsubscribe               None+In      remove
  To           unsubscribe               None         remove
  To+In        unsubscribe               None+In      remove
  From         unavailable,unsubscribed  None         remove
  From+Out     unavailable,unsubscribed,unsubscribe  None  remove
  Both         unavailable,unsubscribed,unsubscribe  None  remove
"""

# What comes from Juliet (A.3): whether it is delivered to Romeo's clients; what is answered;
# the state after it; and the item that is pushed. An asterisk marks a pre-approval (§3.4).
INBOUND = """
subscribe     A.3.1, §3.1.3, §3.4.2
  None          yes  -                         None+In      -
  None+Out      yes  -                         None+Out/In  -
  None+In       no   -                         =            -
  None+Out/In   no   -                         =            -
  To            yes  -                         To+In        -
  To+In         no   -                         =            -
  From          no   subscribed,available      =            -
  From+Out      no   subscribed,available      =            -
  Both          no   subscribed,available      =            -
  None*         no   subscribed,available      From         from approved
  None+Out*     no   subscribed,available      From+Out     from ask approved
  To*           no   subscribed,available      Both         both approved
unsubscribe   A.3.2, §3.3.3
  None          no   -                         =            -
  None+Out      no   -                         =            -
  None+In       yes  unsubscribed              None         -
  None+Out/In   yes  unsubscribed              None+Out     -
  To            no   -                         =            -
  To+In         yes  unsubscribed              To           -
  From          yes  unsubscribed,unavailable  None         none
  From+Out      yes  unsubscribed,unavailable  None+Out     none ask
  Both          yes  unsubscribed,unavailable  To           to
  None*         no   -                         =            -
  To*           no   -                         =            -
subscribed    A.3.3, §3.1.6
  None          no   -                         =            -
  None+Out      yes  -                         To           to
  None+In       no   -                         =            -
  None+Out/In   yes  -                         To+In        to
  To            no   -                         =            -
  To+In         no   -                         =            -
  From          no   -                         =            -
  From+Out      yes  -                         Both         both
  Both          no   -                         =            -
  None+Out*     yes  -                         To           to approved
unsubscribed  A.3.4, §3.2.3
  None          no   -                         =            -
  None+Out      yes  -                         None         none
  None+In       no   -                         =            -
  None+Out/In   yes  -                         None+In      none
  To            yes  -                         None         none
  To+In         yes  -                         None+In      none
  From          no   -                         =            -
  From+Out      yes  -                         From         from
  Both          yes  -                         From         from
  To*           yes  -                         None         none approved
"""


def rows(table: str, columns: int) -> list[Any]:
    """Each row with the type of stanza it is about; the last column may hold spaces."""
    found: list[Any] = []
    type, section = "", ""
    for line in table.strip().splitlines():
        if not line.startswith(" "):
            type, _, section = line.partition(" ")
            continue
        state, *cells = line.split(None, columns - 1)
        case = f"{type} in {state} ({section.strip()})"
        found.append(pytest.param(type, state, *cells, id=case))
    return found


def listed(cell: str) -> list[str]:
    return [] if cell == "-" else cell.split(",")


class Verona:
    """Romeo's one client has asked for the roster and is available."""

    def __init__(self, state: str) -> None:
        self.hall = Hall(modules=MODULES)
        self.abroad: list[Stanza] = []
        self.hall.host.router.add_host("gate.example.org", self.abroad.append)
        self.romeo = self.hall.login(f"{ROMEO}/orchard", available=False)
        self.romeo.ask(f"<iq type='get' id='r'><query xmlns='{ROSTER}'/></iq>")
        self.romeo.send("<presence/>")
        self._put(STATES[state.rstrip("*")], approved=state.endswith("*"))
        self.romeo.received()
        self.abroad.clear()

    def _put(self, state: State, approved: bool) -> None:
        """Bring Romeo's half of the subscription into this state, with an item in the roster."""
        rosters = self.hall.host.rosters
        self.hall.wait(rosters.load(ROMEO))
        subscription, ask, asked = state.value
        if asked:
            rosters.add_request(ROMEO, JULIET, b"<presence type='subscribe'/>")
        contact = rosters[ROMEO].get(JULIET)
        rosters.put(ROMEO, replace(contact, subscription=subscription, ask=ask, approved=approved))
        self.hall.advance(0)

    @property
    def state(self) -> State:
        return state_of(self.hall.host.rosters[ROMEO], JULIET)

    @property
    def sent(self) -> list[str]:
        """The types of presence that went to Juliet, each from where it has to come."""
        for stanza in self.abroad:
            sender = f"{ROMEO}/orchard" if stanza.type in ("", "unavailable") else ROMEO
            assert (stanza.attributes["from"], stanza.attributes["to"]) == (sender, JULIET)
        return [stanza.type or "available" for stanza in self.abroad]

    def heard(self) -> tuple[list[Element], list[str]]:
        """What came to Romeo of Juliet, and the items that were pushed."""
        came, pushed = [], []
        for one in self.romeo.received():
            if one.name == "presence":
                came.append(one)
            elif one["type"] == "set":
                pushed.append(shown(one.query.item))
        return came, pushed


def shown(item: Element) -> str:
    """An item as the tables write it."""
    assert item["jid"] == JULIET
    words = [item["subscription"]]
    if item.getAttribute("ask"):
        assert item["ask"] == "subscribe"
        words.append("ask")
    if item.getAttribute("approved"):
        assert item["approved"] == "true"
        words.append("approved")
    return " ".join(words)


@pytest.mark.parametrize(("type", "before", "sent", "after", "push"), rows(OUTBOUND, 4))
def test_each_outbound_row(type: str, before: str, sent: str, after: str, push: str) -> None:
    verona = Verona(before)

    if type == "remove":
        verona.romeo.send(
            f"<iq type='set' id='x'><query xmlns='{ROSTER}'>"
            f"<item jid='{JULIET}' subscription='remove'/></query></iq>"
        )
    else:
        # The address of a client is left out on the way (§3.1.1 and the like).
        verona.romeo.send(f"<presence type='{type}' to='{JULIET}/balcony' id='x'/>")

    assert verona.sent == listed(sent)
    assert verona.state is STATES[before if after == "=" else after]
    came, pushed = verona.heard()
    assert came == []
    assert pushed == listed(push)
    assert [stanza.id for stanza in verona.abroad if stanza.type == type] == (
        ["x"] if type in listed(sent) else []
    )


@pytest.mark.parametrize(("type", "before", "delivered", "sent", "after", "push"), rows(INBOUND, 5))
def test_each_inbound_row(
    type: str, before: str, delivered: str, sent: str, after: str, push: str
) -> None:
    verona = Verona(before)

    verona.hall.route(f"<presence type='{type}' from='{JULIET}/balcony' to='{ROMEO}/any' id='x'/>")

    came, pushed = verona.heard()
    assert [(one["type"], one["from"], one["to"]) for one in came] == (
        [(type, JULIET, ROMEO)] if delivered == "yes" else []
    )
    assert verona.sent == listed(sent)
    assert verona.state is STATES[before.rstrip("*") if after == "=" else after]
    assert pushed == listed(push)


@pytest.mark.parametrize("before", [state for state in STATES if "In" in state])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_request_comes_again_with_each_resource_until_it_is_answered(
    before: str, restarted: bool, tmp_path: Any
) -> None:
    """RFC 6121 §3.1.3, rule 4: complete, once for each resource, and after a restart, too."""
    path = tmp_path / "pushd.db"
    hall = Hall(modules=MODULES, path=path)
    hall.host.router.add_host("gate.example.org", lambda stanza: None)
    hall.add_account(ROMEO)
    for text in ("first", "second"):
        hall.route(
            f"<presence type='subscribe' from='{JULIET}' to='{ROMEO}' id='{text}'>"
            f"<status>{text}</status></presence>"
        )
    if restarted:
        hall.wait(hall.host.database.close())
        hall = Hall(modules=MODULES, path=path)
        hall.host.router.add_host("gate.example.org", lambda stanza: None)
    subscription, ask, _ = STATES[before].value
    hall.wait(hall.host.rosters.load(ROMEO))
    contact = hall.host.rosters[ROMEO].get(JULIET)
    hall.host.rosters.put(ROMEO, replace(contact, subscription=subscription, ask=ask))

    def requests(resource: str) -> list[str]:
        client = hall.login(f"{ROMEO}/{resource}", available=False)
        client.send("<presence><priority>-1</priority></presence>")
        found = [one for one in client.received() if one.getAttribute("type") == "subscribe"]
        return [str(one.status) for one in found]

    assert requests("one") == ["first"]
    assert requests("two") == ["first"]
    answering = hall.login(f"{ROMEO}/three", available=False)
    answering.send(f"<presence type='unsubscribed' to='{JULIET}'/>")
    assert requests("four") == []
