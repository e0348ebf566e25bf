"""Other credentials while pushes are under way: none is lost, and no old trouble harms the new."""

from typing import Any

import pytest

from pushd.providers.contract import Accepted, Device, Failed, Fault, Notification, Request, Sending
from tests.unit.providers.bench import Obedient, Voucher, token
from tests.unit.providers.test_dispatch import Office


class Signed(Obedient):
    """A provider that says in each request which credential of the operator's it has."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def request(self, note: Notification, device: Device, now: float, sending: Sending) -> Request:
        request = super().request(note, device, now, sending)
        request.headers["x-signed-by"] = self.name
        return request


class Renewed(Office):
    """A push is under way with the old credential when the new one comes."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher.renew("main", Signed("old"))
        self.pushed = self.push()
        self.dispatcher.renew("main", Signed("new"))

    @property
    def signed(self) -> list[str]:
        return [sent.request.headers["x-signed-by"] for sent in self.sent]


def test_what_is_under_way_is_answered_and_not_said_twice() -> None:
    office = Renewed()
    office.answer(200)
    assert office.pushed.result == Accepted("message-1")
    assert office.signed == ["old"]
    office.push()
    assert office.signed == ["old", "new"]


@pytest.mark.parametrize(
    "answer",
    [401, 403, 405, 406, Failed(Fault.TLS, "certificate unknown"), Failed(Fault.PROXY, "")],
)
def test_what_is_said_of_the_old_one_is_asked_of_the_new_one_at_once(answer: Any) -> None:
    office = Renewed()
    office.answer(answer)
    assert office.signed == ["old", "new"]
    assert office.reports.alarms == []
    office.answer(200)
    assert office.pushed.result == Accepted("message-1")


def test_trouble_with_the_new_one_is_its_own() -> None:
    office = Renewed()
    office.answer(403)
    office.answer(403)
    assert [alarm.reason for alarm in office.reports.alarms] == ["403"]


@pytest.mark.parametrize("answer", [429, 503, Failed(Fault.BROKEN, "cut")])
def test_a_pause_is_kept(answer: Any) -> None:
    office = Renewed()
    office.provider = Signed("new")
    office.answer(502 if answer == 503 else answer)
    assert len(office.sent) <= 2  # the second, if any, over a new connection
    assert office.pushed.result is None


def test_a_dead_device_is_dead_whoever_is_told() -> None:
    office = Renewed()
    office.answer(404)
    assert office.signed == ["old"]
    assert office.pushed.result is not None


def test_who_waits_for_the_old_token_gets_the_new_one_at_once() -> None:
    office = Office(credential=Voucher())
    pushes = [office.push(), office.push()]  # both wait for one token
    successor = Obedient()
    successor.fetched = Voucher(token("new"))

    office.dispatcher.renew("main", successor)

    assert [sent.is_cancelled for sent in office.sent] == [True, False]
    office.answer(200)  # the token
    assert [sent.json["credential"] for sent in office.sent[2:]] == ["new", "new"]
    for sent in office.sent[2:]:
        sent.answer(200)
    assert [pushed.result for pushed in pushes] == [Accepted("message-1")] * 2


def test_who_waits_for_the_old_token_needs_none_where_there_is_no_credential_any_more() -> None:
    office = Office(credential=Voucher())
    office.push()
    office.dispatcher.renew("main", Obedient())
    assert office.sent[-1].json["credential"] is None
