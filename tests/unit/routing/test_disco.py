import pytest

from pushd.routing.disco import Identity, Info, Item
from pushd.routing.requests import IQ
from pushd.wire import forms
from pushd.wire.element import Element
from pushd.wire.errors import Forbidden
from tests.hall import Client, Hall

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
ROMEO = "romeo@example.net/orchard"


def ask(client: Client, what: str, to: str = "", node: str | None = None) -> Element:
    addressed = f" to='{to}'" if to else ""
    asked = f" node='{node}'" if node is not None else ""
    return client.ask(f"<iq type='get' id='d'{addressed}><query xmlns='{what}'{asked}/></iq>")


def features(answer: Element) -> list[str]:
    return [node["var"] for node in answer.query.elements() if node.name == "feature"]


def identities(answer: Element) -> list[tuple[str, str, str]]:
    return [
        (node["category"], node["type"], node.getAttribute("name", ""))
        for node in answer.query.elements()
        if node.name == "identity"
    ]


def items(answer: Element) -> list[tuple[str, str, str]]:
    return [
        (node["jid"], node.getAttribute("node", ""), node.getAttribute("name", ""))
        for node in answer.query.elements()
    ]


def condition(answer: Element) -> str:
    assert answer["type"] == "error"
    return str(answer.error.firstChildElement().name)


def test_a_server_says_what_it_is_and_can_with_sorted_features() -> None:
    hall = Hall()
    hall.host.disco.add_feature("server", "urn:z")
    hall.host.disco.add_feature("server", "urn:a")
    hall.host.disco.add_feature("server", "urn:z")

    answer = ask(hall.login(ROMEO), INFO, "example.net")

    assert identities(answer) == [("server", "im", "")]
    assert features(answer) == [INFO, ITEMS, "urn:a", "urn:z"]


@pytest.mark.parametrize("to", ["", "romeo@example.net"])
def test_an_account_tells_its_owner_that_it_is_registered(to: str) -> None:
    hall = Hall()
    hall.host.disco.add_feature("account", "urn:push", owner_only=True)

    answer = ask(hall.login(ROMEO), INFO, to)

    assert identities(answer) == [("account", "registered", "")]
    assert features(answer) == [INFO, ITEMS, "urn:push"]


@pytest.mark.parametrize("to", ["romeo@example.net", "nobody@example.net"])
def test_a_stranger_learns_nothing_about_an_account_not_even_whether_it_is(to: str) -> None:
    hall = Hall()
    hall.login(ROMEO)
    hall.host.disco.add_item("account", "romeo@example.net", "secrets")
    mercutio = hall.login("mercutio@example.net/street")

    assert condition(ask(mercutio, INFO, to)) == "service-unavailable"
    assert items(ask(mercutio, ITEMS, to)) == []
    assert items(ask(mercutio, ITEMS, to, "secrets")) == []


def test_those_who_may_ask_learn_all_but_what_is_the_owners_own() -> None:
    hall = Hall()
    hall.login(ROMEO)
    disco = hall.host.disco
    disco.add_feature("account", "urn:push", owner_only=True)
    disco.add_feature("account", "urn:ping")
    disco.add_form("account", lambda request: forms.result("urn:options", {}), owner_only=True)
    disco.add_form("account", lambda request: forms.result("urn:contact", {}))
    disco.may_ask = lambda request: request.sender.local == "juliet"

    answer = ask(hall.login("juliet@example.net/balcony"), INFO, "romeo@example.net")

    assert features(answer) == [INFO, ITEMS, "urn:ping"]
    [form] = [forms.read(node) for node in answer.query.elements() if node.name == "x"]
    assert form.form_type == "urn:contact"


def test_what_is_told_besides_is_asked_for_each_time() -> None:
    hall = Hall()
    told = [Info((Identity("pubsub", "push"),), ("urn:push",)), Info()]
    hall.host.disco.add_info("example.net", lambda request: told.pop(0))
    romeo = hall.login(ROMEO)

    first, second = (ask(romeo, INFO, "example.net") for _ in range(2))

    assert identities(first) == [("pubsub", "push", ""), ("server", "im", "")]
    assert "urn:push" in features(first)
    assert identities(second) == [("server", "im", "")]
    assert "urn:push" not in features(second)


def test_a_feature_that_anybody_announced_for_all_is_shown_to_all() -> None:
    hall = Hall()
    disco = hall.host.disco
    disco.may_ask = lambda request: True
    for order in ((True, False), (False, True)):
        for owner_only in order:
            disco.add_feature("account", f"urn:{order}", owner_only=owner_only)
    hall.login(ROMEO)

    answer = ask(hall.login("juliet@example.net/balcony"), INFO, "romeo@example.net")

    assert {"urn:(True, False)", "urn:(False, True)"} <= set(features(answer))


def test_a_form_is_made_for_each_request_or_left_out() -> None:
    hall = Hall()

    async def form(request: IQ) -> Element | None:
        await hall.host.database.committed()
        if request.id == "none":
            return None
        return forms.result("urn:form", {"asker": request.sender.full})

    hall.host.disco.add_form("account", form)
    romeo = hall.login(ROMEO)

    with_form = ask(romeo, INFO)
    without = romeo.ask(f"<iq type='get' id='none'><query xmlns='{INFO}'/></iq>")

    [found] = [forms.read(node) for node in with_form.query.elements() if node.name == "x"]
    assert found.fields == {"asker": (ROMEO,)}
    assert [node for node in without.query.elements() if node.name == "x"] == []


def test_items_come_and_go() -> None:
    hall = Hall()
    romeo = hall.login(ROMEO)
    disco = hall.host.disco
    assert items(ask(romeo, ITEMS, "example.net")) == []

    disco.add_item("server", "push.example.net", name="Push")
    disco.add_item("server", "gate.example.net")
    disco.add_item("server", "gate.example.net")
    disco.add_items("server", lambda request: [Item("more.example.net", "node")])
    assert items(ask(romeo, ITEMS, "example.net")) == [
        ("push.example.net", "", "Push"),
        ("gate.example.net", "", ""),
        ("more.example.net", "node", ""),
    ]


@pytest.mark.parametrize("where", ["server", "account"])
@pytest.mark.parametrize("what", [INFO, ITEMS])
def test_an_unknown_node_is_not_found(where: str, what: str) -> None:
    hall = Hall()
    to = {"server": "example.net", "account": ""}[where]

    assert condition(ask(hall.login(ROMEO), what, to, "nonsense")) == "item-not-found"


def test_a_node_tells_its_own_information_and_is_mirrored() -> None:
    hall = Hall()

    async def things(request: IQ) -> list[Item]:
        return [Item(request.recipient.full, "one")]

    hall.host.disco.add_node(
        "server",
        "things",
        lambda request: Info((Identity("hierarchy", "branch"),), ("urn:b", "urn:a", "urn:b")),
        things,
    )
    romeo = hall.login(ROMEO)

    info = ask(romeo, INFO, "example.net", "things")
    inside = ask(romeo, ITEMS, "example.net", "things")

    assert info.query["node"] == "things"
    assert identities(info) == [("hierarchy", "branch", "")]
    assert features(info) == ["urn:a", "urn:b"]
    assert inside.query["node"] == "things"
    assert items(inside) == [("example.net", "one", "")]


def test_a_node_with_one_half_answers_the_other_emptily() -> None:
    hall = Hall()
    hall.host.disco.add_node("server", "leaf")
    romeo = hall.login(ROMEO)

    assert list(ask(romeo, INFO, "example.net", "leaf").query.elements()) == []
    assert list(ask(romeo, ITEMS, "example.net", "leaf").query.elements()) == []


def test_a_node_may_refuse() -> None:
    hall = Hall()

    def forbid(request: IQ) -> Info:
        raise Forbidden

    hall.host.disco.add_node("server", "secret", forbid)

    assert condition(ask(hall.login(ROMEO), INFO, "example.net", "secret")) == "forbidden"


def test_a_node_claimed_twice_is_an_error_at_start() -> None:
    disco = Hall().host.disco
    disco.add_node("server", "twice")

    with pytest.raises(ValueError, match="twice"):
        disco.add_node("server", "twice")


def test_a_service_answers_for_itself() -> None:
    hall = Hall()
    hall.host.router.add_service("push.example.net")
    hall.host.disco.add_identity("push.example.net", "pubsub", "push", "Push")
    romeo = hall.login(ROMEO)

    answer = ask(romeo, INFO, "push.example.net")

    assert answer["from"] == "push.example.net"
    assert identities(answer) == [("pubsub", "push", "Push")]
    assert features(answer) == [INFO, ITEMS]


def test_a_service_at_a_served_domain_adds_to_what_that_domain_says() -> None:
    hall = Hall(domains=("example.net", "example.com"))
    disco = hall.host.disco
    disco.add_feature("server", "urn:everywhere")
    disco.add_feature("example.net", "urn:here")
    disco.add_item("server", "one.example.org")
    disco.add_item("example.net", "two.example.org")
    disco.add_node("server", "everywhere")
    disco.add_node("example.net", "here")
    romeo = hall.login(ROMEO)

    here, there = ask(romeo, INFO, "example.net"), ask(romeo, INFO, "example.com")

    assert features(here) == [INFO, ITEMS, "urn:everywhere", "urn:here"]
    assert features(there) == [INFO, ITEMS, "urn:everywhere"]
    assert identities(here) == identities(there) == [("server", "im", "")]
    assert len(items(ask(romeo, ITEMS, "example.net"))) == 2
    assert len(items(ask(romeo, ITEMS, "example.com"))) == 1
    assert ask(romeo, INFO, "example.net", "everywhere")["type"] == "result"
    assert ask(romeo, INFO, "example.net", "here")["type"] == "result"
    assert condition(ask(romeo, INFO, "example.com", "here")) == "item-not-found"
