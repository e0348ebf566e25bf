from collections.abc import Mapping

import pytest

from pushd.modules.push.options import Told, accept, all_of, read, result
from pushd.wire import forms
from pushd.wire.errors import NotAcceptable
from pushd.wire.namespaces import FORM_PUSH_OPTIONS


def form(**fields: str | list[str]) -> forms.Form:
    named = {name.replace("_", "-"): values for name, values in fields.items()}
    return forms.read(forms.submit(FORM_PUSH_OPTIONS, named))


@pytest.mark.line(147)
def test_counts_are_told_and_names_and_texts_are_not_unless_the_account_says_so() -> None:
    assert all_of(Told()) == {
        "include_senders": False,
        "include_message_count": True,
        "include_subscription_count": True,
        "include_message_bodies": False,
    }


@pytest.mark.line(11)
@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("0", False), ("true", True), ("false", False)]
)
def test_a_switch_has_four_spellings(text: str, value: bool) -> None:
    assert read(form(include_senders=text)) == {"include_senders": value}


@pytest.mark.line(12, 13)
@pytest.mark.parametrize("values", [["yes"], ["TRUE"], [""], ["2"], [" 1"], ["1", "1"], []])
def test_anything_else_is_not_acceptable(values: list[str]) -> None:
    with pytest.raises(NotAcceptable, match="include-senders"):
        read(form(include_senders=values))


@pytest.mark.line(10)
def test_the_four_are_known_and_others_ignored() -> None:
    read_from = form(
        include_senders="1",
        include_message_count="0",
        include_subscription_count="0",
        include_message_bodies="1",
        include_everything="perhaps",
    )

    assert read(read_from) == {
        "include_senders": True,
        "include_message_count": False,
        "include_subscription_count": False,
        "include_message_bodies": True,
    }


OFF, ON = {"include_senders": False}, {"include_senders": True}


@pytest.mark.line(18, 19, 20, 22)
@pytest.mark.parametrize(
    ("now", "wanted", "is_first", "then", "accepted"),
    [
        (False, ON, True, True, ON),
        (True, OFF, True, False, OFF),
        (True, OFF, False, False, OFF),
        (False, ON, False, False, {}),
        (True, ON, False, True, ON),
        (False, OFF, False, False, OFF),
        (True, {}, False, True, {}),
    ],
)
def test_a_later_enabling_may_only_switch_off(
    now: bool,
    wanted: Mapping[str, bool],
    is_first: bool,
    then: bool,
    accepted: Mapping[str, bool],
) -> None:
    told, echoed = accept(Told(include_senders=now), wanted, may_widen=is_first)

    assert told == Told(include_senders=then)
    assert echoed == accepted


def test_a_widening_does_not_spoil_what_is_asked_for_besides() -> None:
    told, echoed = accept(
        Told(), {"include_message_bodies": True, "include_message_count": False}, may_widen=False
    )

    assert told == Told(include_message_count=False)
    assert echoed == {"include_message_count": False}


@pytest.mark.line(17)
def test_switches_are_told_as_0_and_1() -> None:
    told = result({"include_senders": True, "include_message_bodies": False})

    read_back = forms.read(told)
    assert told["type"] == "result"
    assert read_back.form_type == FORM_PUSH_OPTIONS
    assert read_back.fields == {"include-senders": ("1",), "include-message-bodies": ("0",)}
