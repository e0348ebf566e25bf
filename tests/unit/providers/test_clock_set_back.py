"""A machine whose clock was a day ahead, and is set right: what it noted before binds nobody."""

from typing import Any

import pytest

from pushd.providers.contract import Accepted, Busy, Limits, Token, Unregistered
from tests.unit.providers.bench import DAY, NOW, Voucher, device, token
from tests.unit.providers.test_credentials import Desk
from tests.unit.providers.test_dispatch import Office
from tests.unit.providers.test_second_tokens import Phones, phone


def set_back(clock: Any) -> None:
    clock.rightNow -= DAY


@pytest.mark.parametrize("limits", [Limits(), Limits(rate=1.0, burst=2)], ids=["any", "rate"])
def test_a_service_that_was_known_before_is_sent_to(limits: Limits) -> None:
    office = Office(limits)
    office.push_and_answer(200)
    set_back(office.clock)
    office.push_and_answer(200)
    assert len(office.sent) == 2


def test_a_rate_holds_all_the_same() -> None:
    office = Office(Limits(rate=1.0, burst=1))
    office.push_and_answer(200)
    set_back(office.clock)
    office.push(to=device("next"))
    assert len(office.sent) == 1
    assert office.wait_until_sent() == 1.0


def test_a_service_in_trouble_is_tried_again_after_its_pause() -> None:
    office = Office()
    office.close_breaker()
    set_back(office.clock)
    pushed = office.push(to=device("other"))
    office.advance(100)
    assert pushed.result is None
    assert [sent.json["token"] for sent in office.sent[5:]] == ["other"]


def test_a_dead_device_that_registered_by_the_wrong_clock_is_asked_once() -> None:
    office = Office()
    pushed = office.push_and_answer(404, to=device(renewed_at=NOW + DAY))
    assert pushed.result == Unregistered(reason="404")
    assert len(office.sent) == 1


def test_a_dead_second_token_of_such_a_device_is_asked_once() -> None:
    office = Phones()
    office.device = phone(renewed_at=NOW + DAY)
    pushed = office.call()
    office.answer(404)
    assert len(office.lost) == 1
    office.answer(200)
    assert pushed.result == Accepted("message-1")


@pytest.mark.parametrize(
    "first", [token("ahead", NOW), Busy(reason="503")], ids=["of the future", "not to be had"]
)
def test_another_token_is_asked_for_in_place_of_that_of_a_wrong_clock(first: Token | Busy) -> None:
    desk = Desk(Voucher(first, second := token("right", NOW - DAY)))
    desk.ask()
    desk.answer()
    set_back(desk.clock)
    waiting = desk.ask()
    desk.answer()
    assert waiting == [second]
