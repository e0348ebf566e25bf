"""Whatever is in memory while pushes are on their way prints without what is secret."""

import gc

import pytest

from tests.unit.appserver.house import ELSEWHERE, SECRET, TOKEN, House, enable
from tests.unit.appserver.stage import JULIET

BODY = "But soft"  # as the house writes


@pytest.mark.parametrize("status", [503, 410, 400, 200])
def test_no_object_prints_a_secret(status: int) -> None:
    house = House(status=status)
    phone = house.phone(device_name="Juliet's phone")
    enable(phone, ELSEWHERE, "elsewhere", SECRET)
    phone.cut()
    house.write()
    told = [house.ask(name, account=JULIET) for name in ("decisions", "ledger", "enablements")]

    seen: dict[type, str] = {}
    for one in gc.get_objects():
        kind = type(one)
        if str(kind.__module__).startswith("pushd.") and "__repr__" in vars(kind):
            text = repr(one)
            seen[kind] = text
            for secret in (TOKEN, SECRET, BODY):
                assert secret not in text, (kind, text)

    names = {kind.__name__ for kind in seen}
    assert {"Registration", "Enablement", "PushDecided", "Session"} <= names, names
    assert not any(secret in repr(told) for secret in (TOKEN, SECRET, BODY))
