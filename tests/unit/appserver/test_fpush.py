"""Devices that never registered: Monal's, whose token is the node (fpush)."""

from pathlib import Path
from typing import Any

import pytest

from pushd.appserver import passing
from pushd.appserver.limits import Rate, Rules
from pushd.appserver.shown import Shown
from pushd.providers.contract import Accepted, Unregistered
from pushd.routing.events import DeviceUnregistered, PublishReceived, PushSettled
from pushd.wire import forms
from pushd.wire.element import element, serialize
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, NS_PUBSUB
from tests.unit.appserver.stage import (
    Post,
    Stage,
    app,
    register,
)
from tests.unit.appserver.test_outbox import killed

TOKEN, MODULE = "af7aa91ca9b36478d82986c6ef22387e", "monalProdiOS"
ON = frozenset({"fpush", "mod_push"})


class Apple(Post):
    """A provider with a sandbox."""

    type = "apple"
    optional_fields = frozenset({"environment"})


def apps() -> tuple[Any, ...]:
    monal, quicksy = app("monal", Apple(), app_name="m"), app("quicksy", Post(), app_name="q")
    monal.push_modules = (MODULE, "monalProdCatalyst")
    quicksy.push_modules = ("quicksyProdiOS",)
    return monal, quicksy


def staged(dialects: frozenset[str] = ON, **given: Any) -> Stage:
    rules = given.pop("rules", {})
    return Stage(apps=apps(), rules=Rules(dialects=dialects, **rules), **given)


def options(*fields: tuple[str, str | list[str]], form_type: str = FORM_PUBLISH_OPTIONS) -> str:
    form = forms.submit(form_type, dict(fields))
    return serialize(element(NS_PUBSUB, "publish-options", form)).decode()


def push(stage: Stage, token: str = TOKEN, module: str | None = MODULE, **given: Any) -> str:
    given.setdefault("options", options(("pushModule", module)) if module is not None else "")
    return stage.publish(token, None, **given)


def test_the_node_is_the_token_and_the_module_is_the_app() -> None:
    stage = staged()

    assert push(stage, summary={"message-count": "2"}) == ""

    [call] = stage.calls
    note, device = call.look()
    assert call.backend == "monal"
    assert device.token.reveal() == TOKEN
    assert device.fields == {}
    assert note.message_count == 2


@pytest.mark.parametrize(
    ("module", "backend", "environment"),
    [
        (MODULE, "monal", None),
        ("monalProdCatalyst", "monal", None),
        (f"{MODULE}-sandbox", "monal", "sandbox"),
        ("quicksyProdiOS", "quicksy", None),
    ],
)
def test_modules_lead_to_their_backends(module: str, backend: str, environment: str | None) -> None:
    stage = staged()

    assert push(stage, module=module) == ""

    [call] = stage.calls
    assert call.backend == backend
    assert call.look()[1].fields.get("environment") == environment


def test_a_module_that_is_listed_by_its_whole_name_is_no_sandbox() -> None:
    monal, beta = apps()[0], app("beta", Apple(), app_name="b")
    beta.push_modules = (f"{MODULE}-sandbox",)
    stage = Stage(apps=(monal, beta), rules=Rules(dialects=ON))

    assert push(stage, module=f"{MODULE}-sandbox") == ""

    assert stage.calls[0].backend == "beta"
    assert stage.calls[0].look()[1].fields == {}


@pytest.mark.mistake(13)
@pytest.mark.parametrize(
    "fields",
    [
        (("secret", "of another dialect"), ("pushModule", MODULE)),
        (("pushModule", MODULE), ("secret", "of another dialect")),
        (*((f"field{number}", "x") for number in range(9)), ("pushModule", MODULE)),
        (("a", ["several", "values"]), ("pushModule", MODULE)),
    ],
    ids=["before", "behind", "many", "several values"],
)
def test_other_options_may_stand_beside_the_module(
    fields: tuple[tuple[str, str | list[str]], ...],
) -> None:
    stage = staged()

    assert push(stage, options=options(*fields)) == ""
    assert len(stage.calls) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"module": "another"},
        {"module": "quicksyProdiOS-sandbox"},  # a provider without one
        {"module": None},
        {"module": ""},
        {"options": options(("pushModule", [MODULE, MODULE]))},
        {"options": "<publish-options/>"},
    ],
    ids=["unknown", "no sandbox", "none", "empty", "twice", "no form"],
)
def test_without_a_module_of_ours_the_node_is_unknown(given: dict[str, Any]) -> None:
    stage = staged()

    assert push(stage, **given) == "item-not-found"
    assert stage.calls == []


def test_where_it_is_switched_off_the_node_is_unknown() -> None:
    stage = staged(frozenset({"mod_push"}))

    assert push(stage) == "item-not-found"
    assert stage.calls == []


@pytest.mark.mistake(12)
@pytest.mark.parametrize("token", ["no token!", "t" * 3 + "-", "<>"], ids=["words", "odd", "xml"])
def test_what_is_no_token_is_refused_and_named(token: str) -> None:
    stage = staged()
    node = token.replace("<", "&lt;").replace(">", "&gt;")

    assert push(stage, node) == "bad-request"
    assert stage.calls == []
    assert len(stage.server.passing) == 0


def test_who_registered_is_reached_by_his_secret_alone() -> None:
    stage = staged()
    node, _ = register(stage.client(), "apple")

    assert push(stage, node) == "forbidden"


@pytest.mark.parametrize(
    ("access", "sender", "answer"),
    [
        ("all", "monal.example", ""),
        ("local", "monal.example", "forbidden"),
        ("local", "example.net", ""),
        (("monal.example",), "monal.example", ""),
        (("monal.example",), "juliet@monal.example", ""),
        (("monal.example",), "other.example", "forbidden"),
    ],
)
def test_who_may_publish_is_who_may_register(access: Any, sender: str, answer: str) -> None:
    stage = staged(rules={"access": access})

    assert push(stage, sender=sender) == answer


def test_a_token_is_pushed_no_faster_than_a_node() -> None:
    stage = staged(rules={"pushes": Rate(20.0, 1)})
    push(stage)
    stage.calls[0].answer(Accepted())

    assert push(stage, summary={"message-count": "2"}) == ""  # taken, and sent later
    assert push(stage, summary={"message-count": "3"}) == ""
    assert len(stage.calls) == 1
    stage.hall.clock.advance(20)

    assert [call.look()[0].message_count for call in stage.calls[1:]] == [3]


def test_a_domain_publishes_no_faster_than_it_may() -> None:
    stage = staged(rules={"domain_requests": Rate(10.0, 2)})

    assert [push(stage, f"tok{n}", sender="a.example") for n in range(3)] == [
        "",
        "",
        "service-unavailable",
    ]
    assert push(stage, "tok9", sender="b.example") == ""


def test_nothing_is_kept_of_who_was_pushed() -> None:
    stage = staged()
    push(stage)

    stage.calls[0].answer(Accepted())

    assert len(stage.server.passing) == 0
    assert stage.hall.wait(passing.PASSERS.bind(stage.hall.host.database).select()) == []


@pytest.mark.mistake(11)
def test_what_waits_is_bounded_for_a_domain_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "MOST", 3)
    monkeypatch.setattr(passing, "MOST_OF_DOMAIN", 2)
    stage = staged()

    def full(number: int, sender: str) -> bool:
        return push(stage, f"tok{number}", sender=sender) == "service-unavailable"

    assert [full(number, "a.example") for number in range(3)] == [False, False, True]
    assert [full(number, "b.example") for number in range(3, 5)] == [False, True]
    assert not full(1, "a.example")  # who waits already may be told more
    stage.calls[0].answer(Accepted())
    assert not full(5, "a.example")


@pytest.mark.mistake(11)
def test_dead_tokens_are_remembered_for_a_day_and_then_forgotten() -> None:
    stage = staged()
    push(stage)
    stage.calls[0].answer(Unregistered(reason="410 Unregistered"))

    assert push(stage) == "item-not-found"
    assert push(stage, "another") == ""
    assert stage.hall.events(DeviceUnregistered) == []  # nobody knows whose it was
    stage.hall.clock.advance(passing.DEAD_FOR - 1)
    assert push(stage) == "item-not-found"
    stage.hall.clock.advance(1)
    assert push(stage) == ""


@pytest.mark.mistake(11)
def test_dead_tokens_are_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "MOST_DEAD", 2)
    stage = staged()
    for number in range(3):
        push(stage, f"tok{number}")
        stage.calls[-1].answer(Unregistered())
        stage.hall.clock.advance(1)

    assert [push(stage, f"tok{number}") for number in range(3)] == [
        "",
        "item-not-found",
        "item-not-found",
    ]
    rows = stage.hall.wait(passing.DEAD.bind(stage.hall.host.database).select())
    assert len(rows) == 2


def test_what_waits_and_who_is_dead_outlive_a_restart(tmp_path: Path) -> None:
    stage = staged(path=tmp_path / "db")
    push(stage, "dead")
    stage.calls[0].answer(Unregistered())
    push(stage, module=f"{MODULE}-sandbox", summary={"message-count": "2"})
    stage.calls[1].answer(Accepted())
    push(stage, "waits", module=f"{MODULE}-sandbox", summary={"message-count": "5"})

    again = staged(path=killed(tmp_path / "db"))

    [call] = again.calls
    note, device = call.look()
    assert note.message_count == 5
    assert (device.token.reveal(), device.fields) == ("waits", {"environment": "sandbox"})
    assert push(again, "dead") == "item-not-found"


def test_while_a_push_of_one_module_waits_another_may_not_take_its_place() -> None:
    stage = staged()
    push(stage)

    assert push(stage, module="quicksyProdiOS") == "service-unavailable"

    assert stage.calls[0].look()[0].node == TOKEN


def test_what_became_of_it_is_told_without_an_account() -> None:
    stage = staged()
    push(stage)
    stage.calls[0].answer(Accepted())

    [received] = stage.hall.events(PublishReceived)
    assert (received.account, received.node, received.outcome) == ("", TOKEN, "accepted")
    [settled] = stage.hall.events(PushSettled)
    assert (settled.account, settled.backend, settled.outcome) == ("", "monal", "accepted")


def test_a_bad_item_leaves_nothing() -> None:
    stage = staged()

    assert push(stage, items="<item><other xmlns='x'/></item>").startswith("bad-request")
    assert len(stage.server.passing) == 0


def test_what_waits_is_shown_with_who_published_it() -> None:
    stage = staged()
    push(stage, sender="monal.example")

    [waiting] = Shown(stage.server).waiting()

    shown = waiting.registered
    assert (shown.account, shown.called, shown.room) == ("monal.example", "never registered", "")
    assert TOKEN not in repr(waiting)
