"""A device with a second token: what comes of it when a service calls that one dead, or refuses."""

from typing import Any

import pytest

from pushd.providers.contract import (
    Accepted,
    Busy,
    Device,
    Notification,
    Refused,
    Request,
    Response,
    Secret,
    Sending,
    Unregistered,
)
from tests.unit.providers.bench import DAY, NOW, Obedient, note
from tests.unit.providers.test_dispatch import Office

OTHER = "second"


class TwoTokens(Obedient):
    """Calls go to the second token, if there is one."""

    def request(self, note: Notification, device: Device, now: float, sending: Sending) -> Request:
        request = super().request(note, device, now, sending)
        if device.fields.get(OTHER) and OTHER not in sending.without:
            request.field = OTHER
        return request


class Phones(Office):
    """`lost` is what was told to be forgotten."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.dispatcher.add("two", TwoTokens())
        self.lost: list[tuple[str, str, str]] = []
        self.device = phone()

    def call(self) -> Any:
        def lost(device: Device, field: str, reason: str) -> None:
            self.lost.append((device.fields[field], field, reason))
            self.device = phone(None)

        return self.push(to=lambda: self.device, backend="two", lost=lost)

    @property
    def fields(self) -> list[str]:
        """Which token each request went to."""
        return [sent.request.field for sent in self.sent]


def phone(second: str | None = "two-1", renewed_at: float = NOW - 100) -> Device:
    fields = {} if second is None else {OTHER: second}
    return Device(Secret("one-1"), fields=fields, renewed_at=renewed_at)


@pytest.mark.parametrize("status", [404, 405])
def test_a_dead_second_token_is_forgotten_and_the_push_goes_to_the_first(status: int) -> None:
    office = Phones()
    pushed = office.call()
    office.answer(status)
    assert office.lost == [("two-1", OTHER, str(status))]
    assert office.fields == [OTHER, ""]
    assert pushed.result is None
    office.answer(200)
    assert pushed.result == Accepted("message-1")


def test_both_attempts_are_of_one_id() -> None:
    office = Phones()
    office.call()
    office.answer(404)
    first, second = (sent.json["id"] for sent in office.sent)
    assert first == second


def test_then_a_dead_first_token_is_the_devices_end() -> None:
    office = Phones()
    pushed = office.call()
    office.answer(404)
    office.answer(404)
    assert pushed.result == Unregistered(reason="404")


def test_who_registered_meanwhile_is_called_by_the_new_second_token() -> None:
    office = Phones()
    office.call()
    office.device = phone("two-2", NOW + 1)
    office.answer(404)
    assert office.lost == []
    assert office.fields == [OTHER, OTHER]


def test_what_is_dead_since_before_it_was_registered_is_kept_and_passed_over() -> None:
    office = Phones()
    provider = TwoTokens()
    provider.outcomes[404] = Unregistered(since=NOW - 200, reason="404")
    office.dispatcher.renew("two", provider)
    office.call()
    office.answer(404)
    assert office.lost == []
    assert office.fields == [OTHER, ""]


@pytest.mark.parametrize("status", [400, 403])
def test_a_second_token_that_is_refused_is_kept_and_the_push_goes_to_the_first(status: int) -> None:
    office = Phones()
    pushed = office.call()
    office.answer(status)
    assert office.lost == []
    assert office.fields == [OTHER, ""]
    office.answer(200)
    assert pushed.result == Accepted("message-1")
    assert office.reports.alarms == []


def test_what_was_too_big_is_shrunk_before_the_second_token_is_given_up() -> None:
    office = Phones()
    office.call()
    office.answer(413)
    office.answer(413)
    assert office.fields == [OTHER, OTHER, ""]


def test_the_next_push_tries_a_refused_second_token_again() -> None:
    office = Phones()
    office.call()
    office.answer(400)
    office.answer(200)
    office.call()
    assert office.fields == [OTHER, "", OTHER]


def test_a_busy_service_is_asked_again_with_the_second_token() -> None:
    office = Phones()
    office.call()
    office.answer(429)
    office.wait_until_sent()
    assert office.fields == [OTHER, OTHER]


def test_too_many_dead_second_tokens_are_kept_and_all_pushes_arrive() -> None:
    office = Phones()
    office.dispatcher.renew("two", TwoTokens())
    results = []
    for number in range(12):
        office.device = phone(f"two-{number}")
        results.append(office.call())
        office.answer(404)
        office.answer(Response(400))
    assert len(office.lost) == 10
    assert "too many" in office.reports.alarms[0].reason
    assert {type(one.result) for one in results} == {Refused}


def test_nobody_is_needed_who_forgets() -> None:
    office = Phones()
    pushed = office.push(note(expires_at=NOW + DAY), to=phone(), backend="two")
    office.answer(404)
    office.answer(502)
    assert isinstance(TwoTokens().outcomes[502], Busy)
    office.answer(200)
    assert pushed.result == Accepted("message-1")
    assert office.fields == [OTHER, "", ""]
