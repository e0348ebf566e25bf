import pytest

from pushd.routing.requests import IQ
from pushd.wire.element import Element, element
from pushd.wire.jid import JID
from pushd.wire.stanza import Stanza
from tests.hall import Client, Hall

MODULES = {"roster": None, "presence": None, "offline": None}
ROMEO, ORCHARD, PHONE = (
    "romeo@example.net",
    "romeo@example.net/orchard",
    "romeo@example.net/phone",
)
BALCONY = "juliet@example.net/balcony"
TYPES = ("normal", "chat", "groupchat", "headline", "error")


class Verona:
    def __init__(self) -> None:
        self.hall = Hall(modules=MODULES)
        self.juliet = self.hall.login(BALCONY)


def messages(client: Client) -> list[Element]:
    return [one for one in client.received() if one.name == "message"]


# The rules of RFC 6121 §8.5 as tables are in test_delivery_tables.py; here is what is beside them.


@pytest.mark.parametrize("type", TYPES)
def test_a_message_to_a_domain_is_refused(type: str) -> None:
    verona = Verona()

    verona.juliet.send(f"<message to='example.net' type='{type}' id='m'><body>hi</body></message>")

    errors = messages(verona.juliet)
    assert [one.error.firstChildElement().name for one in errors] == (
        [] if type == "error" else ["service-unavailable"]
    )


@pytest.mark.parametrize(
    ("priorities", "chosen"),
    [
        ((0, 0), {0, 1}),
        ((1, 0), {0}),
        ((1, 5, 5), {1, 2}),
        ((-1, 0), {1}),
        ((-1, -5), set()),
        ((127, -128, 126), {0}),
    ],
)
def test_an_account_is_reached_at_its_highest_priority_but_no_negative_one(
    priorities: tuple[int, ...], chosen: set[int]
) -> None:
    verona = Verona()
    clients = []
    for number, priority in enumerate(priorities):
        client = verona.hall.login(f"{ROMEO}/{number}", available=False)
        client.send(f"<presence><priority>{priority}</priority></presence>")
        clients.append(client)

    verona.juliet.send(f"<message to='{ROMEO}' type='chat'><body>hi</body></message>")

    assert {place for place, client in enumerate(clients) if messages(client)} == chosen


def test_a_detached_resource_is_as_good_as_any() -> None:
    verona = Verona()
    phone = verona.hall.login(PHONE, sm=True)
    phone.cut()

    verona.juliet.send(f"<message to='{ROMEO}' type='chat'><body>hi</body></message>")
    phone.resume()

    assert [str(one.body) for one in messages(phone)] == ["hi"]


def test_a_message_for_nobody_is_for_oneself() -> None:
    verona = Verona()

    verona.juliet.send("<message type='chat'><body>note</body></message>")

    assert [str(one.body) for one in messages(verona.juliet)] == ["note"]


# Requests (§8.5): answered for an account or domain, delivered to a resource.


def request(type: str, to: str, id: str = "q") -> str:
    child = "<error type='cancel'/>" if type == "error" else "<query xmlns='urn:example'/>"
    addressed = f" to='{to}'" if to else ""
    return f"<iq type='{type}' id='{id}'{addressed}>{child}</iq>"


@pytest.mark.parametrize("type", ["get", "set"])
@pytest.mark.parametrize("to", ["nobody@example.net", "nobody@example.net/x", f"{ROMEO}/none"])
def test_a_request_to_nobody_is_refused(type: str, to: str) -> None:
    verona = Verona()
    verona.hall.add_account(ROMEO)

    answer = verona.juliet.ask(request(type, to))

    assert answer["from"] == to
    assert answer.error.firstChildElement().name == "service-unavailable"


@pytest.mark.parametrize("type", ["get", "set"])
@pytest.mark.parametrize("to", ["", "example.net", "juliet@example.net", ROMEO])
def test_a_request_that_nobody_handles_is_refused(type: str, to: str) -> None:
    verona = Verona()
    verona.hall.add_account(ROMEO)

    answer = verona.juliet.ask(request(type, to))

    assert (answer["from"], answer["to"]) == (to or "juliet@example.net", BALCONY)
    assert answer.error["type"] == "cancel"
    assert answer.error.firstChildElement().name == "service-unavailable"


@pytest.mark.parametrize("type", ["result", "error"])
@pytest.mark.parametrize(
    "to", ["", "example.net", ROMEO, f"{ROMEO}/none", "nobody@example.net", "far.example.com"]
)
def test_an_answer_that_nobody_waits_for_is_dropped(type: str, to: str) -> None:
    verona = Verona()
    verona.hall.add_account(ROMEO)

    verona.juliet.send(request(type, to))

    assert verona.juliet.received() == []


@pytest.mark.parametrize("type", ["get", "set", "result", "error"])
@pytest.mark.parametrize("available", [True, False])
def test_what_is_addressed_to_a_resource_reaches_it(type: str, available: bool) -> None:
    verona = Verona()
    romeo = verona.hall.login(ORCHARD, available=available)
    romeo.received()

    verona.juliet.send(request(type, ORCHARD))

    [one] = romeo.received()
    assert (one["type"], one["from"], one["to"], one["id"]) == (type, BALCONY, ORCHARD, "q")


@pytest.mark.parametrize("broken", ["type='get'", "type='set' id=''", "id='x'", "type='x' id='x'"])
@pytest.mark.parametrize("to", ["", "example.net", ROMEO, ORCHARD, "push.example.net"])
def test_a_request_without_id_or_type_is_a_bad_request(broken: str, to: str) -> None:
    verona = Verona()
    romeo = verona.hall.login(ORCHARD)
    romeo.received()
    verona.hall.host.router.add_service("push.example.net")

    addressed = f" to='{to}'" if to else ""
    verona.juliet.send(f"<iq {broken}{addressed}><query xmlns='urn:example'/></iq>")

    [error] = verona.juliet.received()
    assert error["type"] == "error"
    assert error.error.firstChildElement().name == "bad-request"
    assert romeo.received() == []


@pytest.mark.parametrize("content", ["", "<a xmlns='urn:a'/><b xmlns='urn:b'/>"])
@pytest.mark.parametrize("type", ["get", "set"])
def test_a_request_has_exactly_one_child(type: str, content: str) -> None:
    answer = Verona().juliet.ask(f"<iq type='{type}' id='q' to='example.net'>{content}</iq>")

    assert answer.error.firstChildElement().name == "bad-request"


# Other domains.


@pytest.mark.parametrize("name", ["message", "iq", "presence"])
def test_what_is_for_a_domain_that_nobody_serves_is_refused(name: str) -> None:
    verona = Verona()
    type = "type='get' id='q'" if name == "iq" else ""

    verona.juliet.send(f"<{name} {type} to='a@far.example.com'/>")

    [error] = verona.juliet.received()
    assert (error.name, error["from"]) == (name, "a@far.example.com")
    assert error.error.firstChildElement().name == "remote-server-not-found"


@pytest.mark.parametrize("name", ["message", "iq", "presence"])
def test_a_wrong_address_is_refused(name: str) -> None:
    verona = Verona()
    type = "type='get' id='q'" if name == "iq" else ""

    verona.juliet.send(f"<{name} {type} to='@@'/>")

    [error] = verona.juliet.received()
    assert error.error["type"] == "modify"
    assert error.error.firstChildElement().name == "jid-malformed"
    assert error["from"] == "juliet@example.net"


def test_a_host_gets_all_that_is_for_its_domain_until_it_goes() -> None:
    verona = Verona()
    got: list[Stanza] = []
    router = verona.hall.host.router
    router.add_host("gate.example.org", got.append)

    for to in ("gate.example.org", "a@Gate.Example.org", "a@gate.example.org/x"):
        verona.juliet.send(f"<message to='{to}'/>")
    router.remove_host("gate.example.org")
    verona.juliet.send("<message to='gate.example.org'/>")

    assert [stanza.attributes["from"] for stanza in got] == [BALCONY] * 3
    assert len(messages(verona.juliet)) == 1
    assert not router.is_reachable("gate.example.org")


@pytest.mark.parametrize("domain", ["example.net", "gate.example.org"])
def test_a_domain_is_served_once(domain: str) -> None:
    router = Verona().hall.host.router
    router.add_host("gate.example.org", lambda stanza: None)

    with pytest.raises(ValueError, match=domain):
        router.add_host(domain, lambda stanza: None)


def test_a_service_of_our_own_answers_requests_and_refuses_the_rest() -> None:
    verona = Verona()
    host = verona.hall.host
    host.router.add_service("push.example.net")
    host.requests.add(
        "get", "urn:example", "query", "push.example.net", lambda request: element("urn:e", "done")
    )

    assert verona.juliet.ask(request("get", "push.example.net")).done.uri == "urn:e"
    refusal = verona.juliet.ask(request("get", "a@push.example.net"))
    assert refusal.error.firstChildElement().name == "item-not-found"
    verona.juliet.send("<message to='push.example.net'/>")
    assert len(messages(verona.juliet)) == 1
    verona.juliet.send("<presence to='push.example.net'/>")
    assert verona.juliet.received() == []


def test_presence_for_a_domain_is_taken_silently() -> None:
    verona = Verona()

    verona.juliet.send("<presence to='example.net'/>")

    assert verona.juliet.received() == []


def test_a_watcher_sees_messages_to_accounts_with_its_child_and_stops_none() -> None:
    verona = Verona()
    seen: list[tuple[str, JID]] = []
    verona.hall.host.router.watch(
        "urn:example notice", lambda stanza, to: seen.append((stanza.id, to))
    )
    romeo = verona.hall.login(ORCHARD)

    for id, to, child in (("1", ROMEO, "notice"), ("2", ROMEO, "other"), ("3", ORCHARD, "notice")):
        verona.juliet.send(f"<message to='{to}' id='{id}'><{child} xmlns='urn:example'/></message>")

    assert [(id, to.full) for id, to in seen] == [("1", ROMEO)]
    assert [one["id"] for one in messages(romeo)] == ["1", "2", "3"]


# Errors.


def test_an_error_is_never_answered() -> None:
    verona = Verona()

    for name in ("message", "iq", "presence"):
        verona.juliet.send(f"<{name} type='error' id='e' to='nobody@example.net/x'/>")
        verona.juliet.send(f"<{name} type='error' id='e' to='far.example.com'/>")

    assert verona.juliet.received() == []


def test_a_refusal_that_cannot_be_delivered_ends_there() -> None:
    """A stranger's message to nobody: its error has no way back."""
    hall = Verona().hall

    hall.route("<message from='a@far.example.com' to='nobody@example.net' id='1'/>")
    hall.route("<iq from='a@far.example.com' to='nobody@example.net' id='1' type='get'/>")


def test_a_handler_is_told_whose_session_asks() -> None:
    verona = Verona()
    seen: list[IQ] = []
    verona.hall.host.requests.add("get", "urn:example", "query", "server", seen.append)

    verona.juliet.ask(request("get", "example.net"))
    verona.hall.route(
        "<iq from='a@far.example.com/x' to='example.net' id='1' type='get'>"
        "<query xmlns='urn:example'/></iq>"
    )

    ours, theirs = seen
    assert ours.session is verona.juliet.session
    assert (ours.sender.full, ours.recipient.full, ours.id) == (BALCONY, "example.net", "q")
    assert theirs.session is None
    assert theirs.payload.uri == "urn:example"


def test_what_is_for_other_domains_goes_to_who_reaches_them() -> None:
    verona = Verona()
    router = verona.hall.host.router
    away: list[tuple[str | None, str]] = []
    router.remote = lambda stanza, to: away.append((stanza.attributes.get("from"), to.full))
    router.reaches = lambda domain: domain == "mantua.example"

    verona.juliet.send("<message to='friar@mantua.example/cell'><body>hi</body></message>")

    assert away == [(BALCONY, "friar@mantua.example/cell")]
    assert router.is_reachable("mantua.example")
    assert not router.is_served("mantua.example")
    assert not router.is_reachable("padua.example")
