"""What happens in the middle of a publish, or of a commit, or while the clock is set."""

from pathlib import Path

import pytest

from pushd.modules.push.probation import DAY, PATIENCE
from pushd.routing.delivery import QueueLimits
from pushd.routing.events import PublishAnswered, PushDisabled, PushEnabled, ServerStarted
from pushd.wire.element import child
from pushd.wire.framer import seal
from pushd.wire.namespaces import NS_PUSH_JINGLE
from pushd.wire.stanza import Stanza
from tests.hall import Client, Hall, Outlet
from tests.unit.modules.push.stage import (
    HOUR,
    JULIET,
    SERVICE,
    Service,
    Stage,
    accepted,
    disable,
    enabling,
    given_options,
    notification,
    publish_options,
    refused,
    silence,
)

CALL = "<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>"
BUSY = refused("resource-constraint", "wait")
BROKEN = refused("internal-server-error", "cancel")
GONE = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


def is_call(publish: Stanza) -> bool:
    """Whether a publish has a phone ring."""
    return child(notification(publish), NS_PUSH_JINGLE, "jingle") is not None


def under_way(stage: Stage) -> None:
    """A publish has left, and nobody has answered it."""
    stage.service.answer = silence
    stage.write("one")
    assert stage.service.counts == ["1"]
    stage.service.answer = accepted


def message(text: str) -> Stanza:
    """What Romeo writes, for the turn that goes on."""
    at = f"from='romeo@example.org/orchard' to='{JULIET}' type='chat'"
    return seal(f"<message {at}><body>{text}</body></message>".encode())


def begin(client: Client, name: str, content: str = "") -> None:
    """Ask to enable or to disable, while nothing is committed yet."""
    client.pass_on(f"<iq type='set' id='r'>{enabling(name, SERVICE, 'phone', content)}</iq>")


def secret(stage: Stage) -> str:
    """What the last publish had."""
    options = given_options(stage.service.publishes[-1])
    assert options is not None
    return options.fields["secret"][0]


def ledger(stage: Stage) -> list[str]:
    stage.hall.advance(20)
    rows = stage.hall.rows("SELECT what FROM push_ledger ORDER BY number")
    return [what for (what,) in rows]


# A clock that is set.


@pytest.mark.parametrize("waits", [False, True])
def test_a_clock_that_is_set_back_delays_no_news(waits: bool) -> None:
    stage = Stage(coalesce=1.0)
    stage.asleep()
    stage.write("one")
    if waits:
        stage.write("another")

    stage.hall.clock.rightNow -= HOUR
    stage.write("two")
    stage.hall.advance(1)

    assert stage.service.counts == ["1", "3" if waits else "2"]


def test_a_clock_that_is_set_back_lengthens_no_pause() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = BUSY
    stage.write("one")
    stage.service.answer = accepted

    stage.hall.clock.rightNow -= HOUR
    stage.write("two")
    stage.hall.advance(20)

    assert stage.service.counts == ["1", "2"]


def test_what_a_clock_noted_that_was_ahead_keeps_nobody_on_probation(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "d", hold=30 * DAY)
    stage.asleep()
    stage.service.answer = BROKEN
    stage.hall.clock.rightNow += 1_000 * DAY
    for _ in range(PATIENCE):
        stage.write()
    hall = stage.hall.killed(after=-999 * DAY)
    service = Service(hall)
    hall.host.events.emit(ServerStarted())
    hall.route(f"<message from='a@b' to='{JULIET}' type='chat'><body>hi</body></message>")
    assert service.counts == []

    hall.advance(DAY)

    assert service.counts == [str(PATIENCE + 1)]


def test_a_clock_that_is_set_back_has_nobody_ring_for_longer() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = BUSY
    stage.write(content=CALL)

    stage.hall.clock.rightNow -= HOUR
    stage.write()
    for _ in range(20):
        stage.hall.advance(15)

    told = [is_call(one) for one in stage.service.publishes]
    assert told[0]
    assert not told[-1]


def test_a_hold_that_a_wrong_clock_began_in_days_to_come_begins_at_the_start(
    tmp_path: Path,
) -> None:
    stage = Stage(path=tmp_path / "d")
    phone = stage.phone()
    stage.hall.clock.rightNow += 1_000 * DAY
    phone.cut()

    hall = stage.hall.killed(after=-1_000 * DAY)
    hall.host.events.emit(ServerStarted())
    hall.advance(3 * DAY - 1)
    assert hall.host.sessions.of(JULIET)
    hall.advance(1)
    assert not hall.host.sessions.of(JULIET)


def test_a_clock_that_is_set_ahead_makes_one_push_of_all_that_waits() -> None:
    stage = Stage(coalesce=60.0)
    stage.asleep()
    for text in ("one", "two", "three"):
        stage.write(text)

    stage.hall.advance(HOUR)

    assert stage.service.counts == ["1", "3"]


# An account that goes.


def test_an_account_goes_while_a_publish_is_under_way() -> None:
    stage = Stage()
    stage.asleep()
    under_way(stage)

    stage.hall.wait(stage.hall.host.accounts.remove(JULIET))
    stage.service.reply(stage.service.publishes[0], GONE)
    stage.hall.advance(HOUR)

    assert ledger(stage) == []
    assert stage.hall.host.decisions.of(JULIET) == []
    assert stage.hall.rows("SELECT * FROM push_enablements") == []
    assert stage.hall.rows("SELECT * FROM push_farewells") == []
    assert stage.service.counts == ["1"]


def test_an_account_of_the_same_name_hears_nothing_of_the_old_ones_publish() -> None:
    stage = Stage()
    stage.asleep()
    under_way(stage)
    stage.hall.wait(stage.hall.host.accounts.remove(JULIET))
    anew = stage.phone()
    anew.cut()

    stage.service.reply(stage.service.publishes[0], GONE)
    stage.write("two")

    assert stage.nodes() == ["phone"]
    assert stage.service.counts == ["1", "1"]


@pytest.mark.parametrize("name", ["enable", "disable"])
def test_an_account_goes_while_it_waits_for_the_disk(name: str) -> None:
    stage = Stage()
    phone = stage.phone(enabled=name == "disable")

    begin(phone, name)
    stage.hall.wait(stage.hall.host.accounts.remove(JULIET))

    assert stage.nodes() == []
    assert stage.hall.rows("SELECT * FROM push_enablements") == []
    assert ledger(stage) == []


# Enabling and disabling in the middle.


def test_what_happens_in_one_commit_is_told_in_its_order() -> None:
    stage = Stage()
    phone, desk = stage.phone(enabled=False), stage.phone("desk", enabled=False)

    begin(phone, "enable")
    begin(desk, "disable")
    stage.hall.advance(0)

    assert stage.nodes() == []
    kinds = (PushEnabled, PushDisabled)
    assert [type(one) for one in stage.hall.seen if isinstance(one, kinds)] == list(kinds)
    assert ledger(stage) == ["created", "removed"]


def test_two_sessions_enable_one_node_at_once_and_the_later_one_has_it() -> None:
    stage = Stage()
    phone, tablet = stage.phone(enabled=False), stage.phone("tablet", enabled=False)

    begin(phone, "enable", publish_options(secret="a"))
    begin(tablet, "enable", publish_options(secret="b"))
    stage.hall.advance(0)
    said = [one for client in (phone, tablet) for one in client.received() if one.name == "iq"]
    assert [one["type"] for one in said] == ["result", "result"]
    phone.cut()
    stage.write("for both")
    assert stage.service.counts == []  # the device is at the tablet now
    tablet.cut()
    stage.write("for both")

    assert [one.session for one in stage.push.enablements.of(JULIET)] == [f"{JULIET}/tablet"]
    assert secret(stage) == "b"


@pytest.mark.parametrize("content", ["", GONE], ids=["accepted", "gone"])
def test_disabling_while_a_publish_is_under_way_ends_it_whatever_the_answer(content: str) -> None:
    stage = Stage()
    stage.asleep()
    desk = stage.phone("desk", enabled=False)
    under_way(stage)
    stage.write("two")

    assert disable(desk)["type"] == "result"
    stage.service.reply(stage.service.publishes[0], content)
    stage.hall.advance(HOUR)

    assert stage.service.counts == ["1"]
    assert [one.reason for one in stage.hall.events(PushDisabled)] == ["disabled by the client"]
    assert stage.hall.rows("SELECT * FROM push_farewells") == []


def test_disabling_while_a_publish_waits_for_the_disk_has_nothing_published() -> None:
    stage = Stage()
    stage.asleep()
    desk = stage.phone("desk", enabled=False)

    stage.hall.host.router.route(message("one"))
    begin(desk, "disable")
    stage.hall.advance(HOUR)

    assert stage.service.counts == []


def test_enabling_anew_while_a_publish_waits_for_the_disk_tells_nobody_twice() -> None:
    stage = Stage()
    stage.asleep()
    tablet = stage.phone("tablet", enabled=False)

    stage.hall.host.router.route(message("one"))
    begin(tablet, "enable")  # the device is there, and has what waited
    stage.hall.advance(HOUR)

    assert stage.service.counts == []
    assert "one" in "".join(one.toXml() for one in tablet.received())


@pytest.mark.parametrize("is_paused", [True, False])
def test_a_pause_or_a_disabled_account_keeps_what_waits_for_the_disk(is_paused: bool) -> None:
    stage = Stage()
    stage.asleep()

    stage.hall.host.router.route(message("one"))
    if is_paused:
        stage.push.pause(JULIET, None)
    else:
        stage.hall.host.accounts.disable(JULIET, "")
    stage.hall.advance(HOUR)
    assert stage.service.counts == []

    if is_paused:
        stage.push.unpause(JULIET)
        stage.hall.advance(0)
        assert stage.service.counts == ["1"]


def test_limits_that_shrink_below_what_waits_wake_nobody_twice() -> None:
    stage = Stage()
    phone = stage.asleep()
    for text in ("one", "two", "three"):
        stage.write(text)

    stage.hall.host.delivery.limit(QueueLimits(stanzas=2))
    stage.write("four")
    stage.hall.advance(HOUR)

    assert not stage.hall.host.lifecycle.is_alive(phone.session)
    assert stage.hall.rows("SELECT COUNT(*) FROM offline") == [(4,)]
    assert stage.service.counts == ["1", "2", "3", "4"]


# A device that comes back in the middle.


def test_a_device_that_is_back_while_a_publish_waits_for_the_disk_is_not_woken() -> None:
    stage = Stage()
    phone = stage.asleep()

    stage.hall.host.router.route(message("one"))
    stage.hall.host.lifecycle.resume(phone.session, Outlet(), b"")
    stage.hall.advance(HOUR)

    assert stage.service.counts == []


def test_what_comes_after_a_visit_is_told_once_the_publish_before_it_is_answered() -> None:
    stage = Stage()
    phone = stage.asleep()
    under_way(stage)
    phone.resume()
    phone.acknowledge()
    phone.cut()
    stage.write("two")
    assert stage.service.counts == ["1"]

    stage.service.reply(stage.service.publishes[0])

    assert stage.service.counts == ["1", "1"]


# Answers that come late, and stops between two steps.


@pytest.mark.parametrize("content", ["", GONE], ids=["accepted", "gone"])
def test_an_answer_after_half_a_minute_says_nothing(content: str) -> None:
    stage = Stage()
    stage.asleep()
    under_way(stage)
    stage.hall.advance(30)
    [silent] = stage.hall.events(PublishAnswered)

    stage.service.reply(stage.service.publishes[0], content)

    assert stage.hall.events(PublishAnswered) == [silent]
    assert silent.outcome == "silence"
    assert stage.nodes() == ["phone"]
    stage.hall.advance(10)  # it is tried again, and that answer counts
    assert stage.service.counts == ["1", "1"]
    assert stage.hall.events(PublishAnswered)[-1].outcome == "accepted"


def test_a_kill_between_the_commit_and_the_publish_has_it_published_at_the_start(
    tmp_path: Path,
) -> None:
    stage = Stage(path=tmp_path / "d")
    stage.asleep()
    left: list[Hall] = []

    def die(leaving: object) -> None:
        left.append(stage.hall.killed())

    stage.push.publisher._publish_all = die  # type: ignore[method-assign]
    stage.write("one")
    assert stage.service.counts == []
    [hall] = left

    service = Service(hall)
    hall.host.events.emit(ServerStarted())
    hall.advance(0)

    assert service.counts == ["1"]


def test_a_kill_between_the_publish_and_its_answer_has_it_published_again(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "d")
    stage.asleep()
    under_way(stage)

    hall = stage.hall.killed()
    service = Service(hall)
    hall.host.events.emit(ServerStarted())
    hall.advance(0)

    assert service.counts == ["1"]
