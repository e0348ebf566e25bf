"""Lines 70 to 81 of docs/checklist.rst: holding sessions, and restarts, over real sockets.

Where time itself is the point, `tests/unit/modules/push/test_holding.py` has a clock to move.
"""

import signal
import time
from collections.abc import Iterator

import pytest

from pushd.wire.acks import Handled
from pushd.wire.element import child
from pushd.wire.namespaces import NS_SM
from tests.patience import PATIENCE
from tests.scenarios.house import DOMAIN, FOREIGN, PUSH_HOST, House, opened
from tests.scenarios.peers import Phone
from tests.scenarios.reading import options_of, secret_form, succeeded, summary

ENDS = pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Where a session without push is held for a second, and one with push for four."""
    push = {"coalesce": 0, "hold": "4s"}
    yield from opened(tmp_path_factory, sessions={"resume_timeout": "1s"}, push=push)


def pushed(house: House, node: str) -> dict[str, str]:
    publish = house.service().publish(node)
    house.service().accept(publish)
    return summary(publish)


def held_until(house: House, phone: Phone) -> tuple[float, float]:
    """No earlier, and no later; a second more to either side, as the clock may be set."""
    asked = time.time()
    [row] = house.operate("sessions", jid=phone.jid)["sessions"]
    left = float(row["hold_left"])
    return asked + left - 1, time.time() + left + 1


@pytest.mark.line(70, 73)
def test_push_lengthens_the_hold_and_wakes_once_more_before_it_ends(hasty: House) -> None:
    plain, phone = hasty.phone(), hasty.phone()
    succeeded(phone.enable(FOREIGN, "held"))
    phone.received()
    phone.settled()
    phone.cut()
    plain.cut()
    ended = hasty.event("session-ended", session=plain.jid)
    assert plain.resume().name == "failed"
    assert pushed(hasty, "held") == {}  # nothing new: the last call
    called = hasty.event("notification-published", account=phone.account)
    assert ended["at"] < called["at"]
    # However slow this machine is, it was there when it was called.
    for gone in hasty.events("session-ended", session=phone.jid):
        assert gone["at"] > called["at"]


@pytest.mark.line(71, 72)
@pytest.mark.mistake(16)
def test_the_hold_has_one_end_which_messages_do_not_move(house: House) -> None:
    phone = house.phone()
    succeeded(phone.enable(FOREIGN, "one end"))
    phone.cut()
    lost = house.event("session-detached", session=phone.jid)
    low, high = held_until(house, phone)
    assert low < lost["at"] + 72 * 3600 < high
    house.friend().message(phone.account, "hello")
    pushed(house, "one end")
    low, high = held_until(house, phone)
    assert low < lost["at"] + 72 * 3600 < high


@pytest.mark.line(74)
@pytest.mark.parametrize(("wanted", "told"), [(None, "300"), (60, "60"), (86_400, "300")])
def test_the_hold_that_is_told_is_a_lower_bound(
    house: House, wanted: int | None, told: str
) -> None:
    phone = house.phone(sm=False)
    assert phone.manage(max=wanted)["max"] == told
    phone.cut()
    lost = house.event("session-detached", session=phone.jid)
    low, high = held_until(house, phone)
    assert low < lost["at"] + int(told) < high
    assert phone.resume().name == "resumed"
    succeeded(phone.enable(FOREIGN, "lower bound"))
    phone.cut()
    assert held_until(house, phone)[0] - lost["at"] > 71 * 3600


@pytest.mark.line(75, 77, 78)
def test_after_a_restart_only_what_was_not_pushed_is_and_nothing_is_lost(house: House) -> None:
    known, news = house.phone(), house.phone()
    for phone, node in ((known, "known"), (news, "news")):
        succeeded(phone.enable(FOREIGN, node, secret_form("s")))
        phone.cut()
    house.friend().message(known.account, "one")
    assert pushed(house, "known") == {"message-count": "1"}
    house.friend().message(news.account, "one")
    house.service().publish("news")  # it is never answered
    house.friend().message(known.account, "two")
    assert pushed(house, "known") == {"message-count": "2"}
    house.settle()

    house.kill()

    again = house.service().publish("news")
    assert summary(again) == {"message-count": "1"}
    assert options_of(again) == {"secret": ("s",)}
    house.service().accept(again)
    house.settle()
    assert not house.service().published("known")
    house.friend().message(known.account, "three")
    assert pushed(house, "known")["message-count"] == "3"
    assert known.resume().name == "resumed"
    for body in ("one", "two", "three"):
        delay = child(known.hear(body), "urn:xmpp:delay", "delay")
        assert delay is not None
        assert delay["from"] == DOMAIN
    assert not known.bodies()


@pytest.mark.line(76, 144)
@ENDS
def test_a_registration_survives_with_node_and_secret(house: House, end: int) -> None:
    phone = house.phone()
    token = f"survivor-{int(end)}"
    given = phone.enable_registered(token)
    phone.cut()

    house.restart(end)

    house.friend().message(phone.account, "hello")
    [push] = house.pushes(token, wait=PATIENCE)
    assert push["message"]["data"]["message-count"] == "1"
    assert phone.resume().name == "resumed"
    again = phone.enable(PUSH_HOST, given["node"], secret_form(given["secret"]))
    succeeded(again)
    listed = phone.command("list-push-registrations").toXml()
    assert given["node"] in listed


@pytest.mark.line(78)
@ENDS
def test_a_client_that_enables_again_after_a_restart_is_pushed(house: House, end: int) -> None:
    phone = house.phone()
    node = f"enables again {end}"
    succeeded(phone.enable(FOREIGN, node))

    house.restart(end)

    anew = house.phone(phone.account)
    succeeded(anew.enable(FOREIGN, node))
    anew.cut()
    house.friend().message(phone.account, "hello")
    assert pushed(house, node) == {"message-count": "1"}


# Resumption.


@pytest.mark.line(79)
def test_an_unknown_session_is_not_resumed_and_the_client_may_bind(house: House) -> None:
    phone, other = house.phone(), house.phone()
    phone.connect()
    assert other.sm is not None
    for previd in ("nobody-knows-it", other.sm.id):
        phone.raw.send(f"<resume xmlns='{NS_SM}' previd='{previd}' h='0'/>")
        failed = phone.take("<failed/>", lambda one: one.name == "failed")
        assert "item-not-found" in failed.toXml()
    phone.sm = None
    assert b"type='result'" in phone.raw.bind("phone")
    phone.settled()


@pytest.mark.line(80)
@pytest.mark.parametrize("where", ["a", "resume"])
def test_more_than_was_sent_cannot_be_acknowledged(house: House, where: str) -> None:
    phone = house.phone()
    assert phone.sm is not None
    if where == "a":
        phone.raw.send(f"<a xmlns='{NS_SM}' h='4000'/>")
    else:
        phone.cut()
        phone.connect()
        phone.raw.send(f"<resume xmlns='{NS_SM}' previd='{phone.sm.id}' h='4000'/>")
    said = phone.raw.read_to_end()
    assert b"<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in said
    assert b"<handled-count-too-high xmlns='urn:xmpp:sm:3' h='4000' send-count='" in said
    assert said.endswith(b"</stream:stream>")


@pytest.mark.line(81)
def test_all_that_is_unacknowledged_comes_again_in_order(house: House) -> None:
    phone = house.phone()
    phone.acknowledges = False
    assert phone.sm is not None
    said = [f"number {count}" for count in range(20)]
    for body in said[:10]:
        house.friend().message(phone.account, body)
    assert [phone.hear(body) for body in said[:10]]
    seen = phone.sm.handled.h
    phone.cut()
    for body in said[10:]:
        house.friend().message(phone.account, body)
    house.friend().settled()
    phone.sm.handled = Handled(seen - 5)  # five have been lost on the way
    assert phone.resume().name == "resumed"
    assert phone.bodies() == said[5:]
