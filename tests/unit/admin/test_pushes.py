"""Push as an operator asks about it, over both halves put together as in a server."""

from collections.abc import Callable
from types import SimpleNamespace as Namespace
from typing import Any, cast

import pytest

from pushd.admin.operations import Refused
from pushd.admin.pushes import MOST_ROWS
from pushd.cli import pushtables
from pushd.routing.events import PushDecided
from pushd.routing.pushing import Totals
from pushd.wire.secret import Secret
from tests.hall import START
from tests.unit.appserver.house import BACKEND, ELSEWHERE, ROMEO, SECRET, TOKEN, House, enable
from tests.unit.appserver.stage import JULIET, PHONE, PUBSUB


@pytest.fixture
def house() -> House:
    return House()


def test_registrations_are_told_without_what_is_secret(house: House) -> None:
    house.phone(device_name="Juliet's phone")
    house.phone(f"{ROMEO}/pad", enabled=False)

    told = house.ask("registrations")

    assert told["total"] == 2
    one = next(one for one in told["registrations"] if one["account"] == JULIET)
    assert one == {
        "account": JULIET,
        "service": PUBSUB,
        "node": Secret(house.stage.nodes(JULIET)[0]).digest,
        "device": "phone",
        "name": "Juliet's phone",
        "type": "post",
        "app": "any",
        "backend": "post/example.net/any",
        "dialect": "mod_push",
        "room": "",
        "registered_at": START,
        "renewed_at": START,
        "last_push_at": None,
        "enabled": True,
    }
    assert [
        one["device"] for one in house.ask("registrations", account=ROMEO)["registrations"]
    ] == ["pad"]
    shown = pushtables.registrations(told)
    assert "Juliet's phone" in shown
    assert TOKEN not in shown + str(told)
    assert not any(node in shown + str(told) for node in house.stage.nodes(JULIET))


def test_what_another_servers_account_has_enabled_is_not_ours_to_say(house: House) -> None:
    """As where we are the push service of that server, and its component."""
    house.hall.host.router.remote = lambda stanza, to: None
    form = "<field var='token'><value>t</value></field>"
    house.hall.route(
        "<iq type='set' id='r' from='juliet@far.example/phone' to='example.net'>"
        "<command xmlns='http://jabber.org/protocol/commands' node='register-push-post'>"
        f"<x xmlns='jabber:x:data' type='submit'>{form}</x></command></iq>"
    )
    house.hall.advance(1)

    told = house.ask("registrations")
    assert [(one["account"], one["enabled"]) for one in told["registrations"]] == [
        ("juliet@far.example", None)
    ]
    assert pushtables.registrations(told).endswith("elsewhere")
    tried = house.waited("test", 20, account="juliet@far.example")
    assert pushtables.tests(tried).endswith("its provider took it after 0.0 s")


def test_enablements_are_told_with_the_device_where_it_is_one_of_ours(house: House) -> None:
    phone = house.phone(device_name="Juliet's phone")
    enable(phone, ELSEWHERE, "a-token-for-a-node", SECRET)
    enable(phone, ELSEWHERE, "", SECRET)
    phone.cut()
    house.write()

    told = house.ask("enablements", account=JULIET)

    ours, theirs, nameless = told["enablements"]
    assert (ours["device"], ours["service"], ours["waiting"]) == ("Juliet's phone", PUBSUB, 1)
    assert ours["last_push_at"] is not None
    assert (theirs["device"], theirs["session"]) == ("", PHONE)
    assert theirs["node"] == Secret("a-token-for-a-node").digest
    assert nameless["node"] == ""
    shown = pushtables.enablements(told)
    assert "a-token-for-a-node" not in shown + str(told)
    assert SECRET not in shown + str(told)
    assert house.ask("enablements")["total"] == 3
    assert house.ask("enablements", account=ROMEO)["enablements"] == []


def test_the_way_of_a_push_is_in_the_decisions(house: House) -> None:
    house.phone(device_name="Juliet's phone").cut()
    house.write()

    told = house.ask("decisions", account=JULIET)

    said = [(one["device"], one["what"]) for one in told["decisions"]]
    assert ("Juliet's phone", "push") in said
    assert said[-2:] == [
        ("Juliet's phone", "publish accepted"),
        ("Juliet's phone", "provider: accepted"),
    ] or said[-2:] == [
        ("Juliet's phone", "provider: accepted"),
        ("Juliet's phone", "publish accepted"),
    ]
    assert "But soft" not in str(told)
    assert "Juliet's phone" in pushtables.decisions(told)


def test_the_ledger_of_an_account_has_both_sides(house: House) -> None:
    house.phone(device_name="Juliet's phone").cut()
    house.write()

    told = house.ask("ledger", account=JULIET)

    said = {(one["side"], one["what"], one["device"]) for one in told["ledger"]}
    assert said == {
        (side, what, "Juliet's phone")
        for side in ("enablement", "registration")
        for what in ("created", "pushed")
    }
    assert PHONE in pushtables.ledger(told)


def test_a_reason_is_told_to_its_end() -> None:
    why = "the provider no longer knows the token: HTTP 400 VapidPkHashMismatch: the subscription"
    nobody = dict.fromkeys(
        ("account", "node", "device", "service", "who", "kind", "sender", "side", "what"), ""
    )
    at = {"at": 1.0, "first_at": 1.0, "last_at": 1.0, "times": 1, "why": why}
    for name in ("ledger", "decisions"):
        said = getattr(pushtables, name)({name: [nobody | at], "total": 1})
        assert why in said
    tried = nobody | {"settled": "refused", "reason": why, "enabled": True, "seconds": 0.1}
    assert pushtables.tests({"tests": [tried]}).endswith(why)
    long = nobody | at | {"why": "x" * 5_000}
    assert len(pushtables.ledger({"ledger": [long], "total": 1})) < 2_000


def test_a_device_that_is_gone_is_called_as_it_was(house: House) -> None:
    house.phone(device_name="Juliet's phone")
    [found] = house.host.push.devices(JULIET)
    house.host.push.remove(found, "removed by its owner", PHONE)
    house.hall.advance(0)

    told = house.ask("ledger", account=JULIET)

    assert {one["device"] for one in told["ledger"]} == {"phone"}
    assert "removed" in {one["what"] for one in told["ledger"]}


def test_what_waits_is_told_the_oldest_first(house: House) -> None:
    house.status = 503
    house.phone(device_name="Juliet's phone").cut()
    house.write()
    house.hall.advance(60)
    house.phone(f"{ROMEO}/pad").cut()
    house.hall.login(PHONE + "2").send(f"<message to='{ROMEO}'><body>Ay me</body></message>")

    told = house.ask("queue")

    assert [(one["account"], one["backend"]) for one in told["queue"]] == [
        (JULIET, "post/example.net/any"),
        (ROMEO, "post/example.net/any"),
    ]
    assert pushtables.queue(told).count("\n") == 2


def test_of_everybody_so_many_rows_are_told_and_no_more(house: House) -> None:
    shown = next(iter(house.host.push.registered()), None)
    assert shown is None
    house.phone()
    [one] = house.host.push.registered()
    many = [one] * (MOST_ROWS + 5)
    house.host.push.registrations = cast(
        Any, Namespace(registered=lambda account="": many, totals=lambda: Totals(0, 0, len(many)))
    )

    told = house.ask("registrations")

    assert (len(told["registrations"]), told["total"]) == (MOST_ROWS, MOST_ROWS + 5)
    assert pushtables.registrations(told).endswith("\n… and 5 more")
    assert len(house.ask("registrations", account=JULIET)["registrations"]) == MOST_ROWS + 5


def test_nothing_is_a_line_too(house: House) -> None:
    for name, shape, arguments in (
        ("registrations", pushtables.registrations, {}),
        ("enablements", pushtables.enablements, {}),
        ("queue", pushtables.queue, {}),
        ("decisions", pushtables.decisions, {"account": JULIET}),
        ("ledger", pushtables.ledger, {"account": JULIET}),
        ("blocked", pushtables.blocked, {}),
    ):
        shaped: Callable[[Any], str] = shape
        assert len(shaped(house.ask(name, **arguments)).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("ledger", {"account": "nobody@example.net"}, "there is no account nobody@example.net"),
        ("ledger", {"account": "example.net"}, "example.net is not of the form name@domain"),
        ("ledger", {"account": PHONE}, f"{PHONE} is not of the form name@domain"),
        ("ledger", {"account": "@"}, "@ is not an address"),
        ("enablements", {"account": "r@example.org"}, "r@example.org is no account here"),
        ("test", {"account": JULIET}, f"{JULIET} has no device that could be woken"),
        ("test", {"account": JULIET, "node": "x"}, f"{JULIET} has no device x: see"),
        (
            "pause",
            {"what": "apns"},
            "apns is neither an account nor a backend; backends: post/exam",
        ),
        ("pause", {"what": "post/example.net/any", "seconds": "0"}, "for how long: whole seconds"),
        ("pause", {"what": "post/example.net/any", "seconds": "9" * 40}, "for how long"),
        ("pause", {"what": "post/example.net/any", "seconds": "٣"}, "for how long"),
        ("resume", {"what": "nobody@example.net"}, "there is no account nobody@example.net"),
        ("block", {"domain": PHONE}, "publisher: the address has a resource"),
        ("block", {"domain": "a.example", "reason": "a\nb"}, "the reason: one line"),
        ("unblock", {"domain": "a.example"}, "a.example is not blocked"),
        ("unblock", {"domain": "a@b@c"}, "publisher: a domain or a bare address is expected"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    house: House, name: str, arguments: dict[str, str], words: str
) -> None:
    with pytest.raises(Refused) as refused:
        house.ask(name, **arguments)
    assert str(refused.value).startswith(words)


def test_a_backend_is_paused_for_a_while(house: House) -> None:
    name = "post/example.net/any"
    house.phone().cut()

    told = house.ask("pause", what=name, seconds="600")
    assert told == {"paused": name, "until": START + 600}
    assert house.pushes.backends() == {name: START + 600}
    house.write()
    assert house.transport.sent == []

    house.hall.advance(600)
    assert len(house.transport.sent) == 1
    assert house.pushes.backends() == {}


def test_a_backend_is_paused_without_an_end_and_resumed(house: House) -> None:
    name = "post/example.net/any"
    house.ask("pause", what=name, seconds="600")
    assert house.ask("pause", what=name) == {"paused": name, "until": None}
    house.hall.advance(601)
    assert house.pushes.backends() == {name: None}

    house.ask("pause", what=name, seconds="600")
    assert house.ask("resume", what=name) == {"resumed": name}
    assert house.pushes.backends() == {}
    house.ask("pause", what=name)
    house.hall.advance(601)
    assert house.pushes.backends() == {name: None}


def test_an_account_is_paused_and_resumed(house: House) -> None:
    house.phone().cut()

    told = house.ask("pause", what=JULIET, seconds="3600")
    assert told == {"paused": JULIET, "until": START + 3600}
    house.write()
    assert house.transport.sent == []
    [one] = house.ask("enablements", account=JULIET)["enablements"]
    assert (one["is_paused"], one["paused_until"]) == (True, START + 3600)
    assert "paused until" in pushtables.enablements(house.ask("enablements"))

    assert house.ask("resume", what=JULIET) == {"resumed": JULIET}
    assert len(house.transport.sent) == 1
    with pytest.raises(Refused, match=f"{JULIET} is not paused"):
        house.ask("resume", what=JULIET)
    assert house.ask("pause", what=JULIET) == {"paused": JULIET, "until": None}
    assert "  paused" in pushtables.enablements(house.ask("enablements"))
    what = [one["what"] for one in house.ask("ledger", account=JULIET)["ledger"]]
    assert what.count("paused") == 2
    [line, *_] = [
        one for one in house.ask("ledger", account=JULIET)["ledger"] if one["what"] == "resumed"
    ]
    assert line["who"] == "operator"


@pytest.mark.parametrize(
    ("status", "enabled", "said"),
    [
        (200, True, "its provider took it after 0.0 s"),
        (200, False, "its provider took it after 0.0 s, but its client has not enabled push"),
        (503, True, "no provider has taken it after 20 s"),
        (0, True, "no provider has taken it after 20 s: its backend is paused"),
        (410, True, "its provider did not take it, unregistered"),
        (400, True, "its provider did not take it, refused: HTTP 400"),
    ],
)
def test_a_test_push_tells_how_far_it_came(
    house: House, status: int, enabled: bool, said: str
) -> None:
    house.phone(enabled=enabled)
    house.status = status
    if not status:
        house.ask("pause", what=BACKEND)

    told = house.waited("test", 20, account=JULIET)

    [one] = told["tests"]
    assert one["arrived"] is (status == 200)
    shown = pushtables.tests(told)
    assert shown.startswith(f"{one['node']} (phone): {said}")


def test_a_test_push_to_another_service_tells_what_that_said(house: House) -> None:
    phone = house.hall.login(PHONE, sm=True)
    enable(phone, ELSEWHERE, "elsewhere", SECRET)

    told = house.waited("test", 20, account=JULIET, node="elsewhere")

    [one] = told["tests"]
    assert (one["arrived"], one["published"]) == (False, "no answer yet")
    assert pushtables.tests(told).endswith(f"{ELSEWHERE} did not take it: no answer yet")


def test_a_device_is_chosen_by_what_the_tables_call_it(house: House) -> None:
    """A node may be at two services, and an owner may call two devices the same."""
    phone = house.phone(device_name="My phone")
    enable(phone, ELSEWHERE, house.node, SECRET)
    house.phone(f"{JULIET}/pad", device_name="My phone")

    def chosen(node: str) -> tuple[str, str]:
        [one] = house.waited("test", 20, account=JULIET, node=node)["tests"]
        return one["service"], one["device"]

    [first, twin, pad] = house.ask("enablements", account=JULIET)["enablements"]
    assert first["node"] == twin["node"]
    for name, several in (
        ("My phone", f"{first['node']}@{PUBSUB}, {pad['node']}"),
        (first["node"], f"{first['node']}@{PUBSUB}, {first['node']}@{ELSEWHERE}"),
    ):
        with pytest.raises(Refused) as refused:
            house.ask("test", account=JULIET, node=name)
        words = f"{JULIET} has several devices {name}: say which, by one of {several}"
        assert str(refused.value) == words
    assert chosen(f"{twin['node']}@{ELSEWHERE}") == (ELSEWHERE, "phone")
    assert chosen(f"{first['node']}@{PUBSUB}") == (PUBSUB, "My phone")
    assert chosen(pad["node"]) == (PUBSUB, "My phone")
    house.host.push.remove(house.host.push.devices(JULIET)[-1], "removed by its owner", PHONE)
    assert chosen("My phone") == (PUBSUB, "My phone")


def test_a_publisher_is_blocked_for_a_while_and_told_why(house: House) -> None:
    told = house.ask("block", domain="evil.example", reason="spam", seconds="60")
    assert told == {"blocked": "evil.example", "until": START + 60}
    [one] = house.ask("blocked")["blocked"]
    assert (one["publisher"], one["reason"], one["until"]) == ("evil.example", "spam", START + 60)
    assert "evil.example" in pushtables.blocked(house.ask("blocked"))

    assert house.ask("unblock", domain="evil.example") == {"unblocked": "evil.example"}
    assert house.ask("blocked") == {"blocked": []}


def test_words_of_others_do_no_harm_to_a_terminal(house: House) -> None:
    house.phone(device_name="\x9b31mRed\u202e" + "x" * 200)

    shown = pushtables.registrations(house.ask("registrations"))

    assert "?31mRed?xxx" in shown
    assert max(map(len, shown.splitlines())) < 250


def test_decisions_are_told_of_who_has_enabled_nothing(house: House) -> None:
    house.host.events.emit(PushDecided(JULIET, "", "", False, "not enabled", "message"))

    told = house.ask("decisions", account=JULIET)

    [one] = told["decisions"]
    assert (one["node"], one["device"], one["why"]) == ("", "", "not enabled")
    assert "not enabled" in pushtables.decisions(told)
