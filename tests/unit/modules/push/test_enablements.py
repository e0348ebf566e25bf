import pytest

from pushd.modules.push.enablements import RINGS, Enablement, Enablements, Flight, Summary
from pushd.modules.push.judge import Kind, Worth
from pushd.modules.push.options import Told
from pushd.wire.secret import Secret
from tests.hall import Hall

JULIET, SERVICE = "juliet@example.net", "push.example.org"
MESSAGE = Worth(Kind.MESSAGE, sender="romeo@example.org", body=Secret("hi"))
CALL = Worth(Kind.MESSAGE, sender="paris@example.org", urgent=True)
REQUEST = Worth(Kind.SUBSCRIPTION, sender="tybalt@example.org")
OTHER = Worth(Kind.OTHER)


def enablement(node: str = "n", options: bytes | None = b"<x/>") -> Enablement:
    return Enablement(JULIET, SERVICE, node, options, f"{JULIET}/phone", 1.0, 2.0)


def loaded(hall: Hall) -> Enablements:
    enablements = Enablements(hall.host.database)
    hall.wait(enablements.load(3.0))
    return enablements


def test_a_summary_adds_up_what_waits() -> None:
    summary = Summary()
    for worth in (MESSAGE, CALL, REQUEST, OTHER, REQUEST):
        summary = summary.plus(worth)

    assert summary == Summary(
        messages=2,
        subscriptions=2,
        others=1,
        sender="paris@example.org",
        body=None,
        subscriber="tybalt@example.org",
        calls=1,
    )


def test_news_is_what_was_not_pushed() -> None:
    one = enablement()
    assert not one.has_news

    one.count(OTHER, 5.0)
    assert one.has_news
    assert one.news_at == 5.0

    one.settle(Flight(one.queued, one.visits))
    assert not one.has_news


def test_a_push_settles_nothing_once_the_device_was_back() -> None:
    one = enablement()
    one.count(MESSAGE, 5.0)
    flight = Flight(one.queued, one.visits)

    assert one.reset()
    one.count(MESSAGE, 6.0)
    one.settle(flight)

    assert one.has_news


def test_a_visit_with_nothing_waiting_changes_nothing() -> None:
    assert not enablement().reset()


def test_urgency_is_gone_with_the_push_that_told_it_and_not_with_an_earlier_one() -> None:
    one = enablement()
    one.count(MESSAGE, 5.0)
    flight = Flight(one.queued, one.visits)
    one.count(CALL, 6.0)

    one.settle(flight)
    assert one.is_urgent(6.0)
    assert not one.is_urgent(6.0 + RINGS)

    one.called = 1
    assert not one.is_urgent(6.0)


def test_a_late_answer_takes_nothing_back() -> None:
    one = enablement()
    one.count(MESSAGE, 5.0)
    early = Flight(one.queued, one.visits)
    one.count(MESSAGE, 6.0)
    one.settle(Flight(one.queued, one.visits))

    one.settle(early)

    assert not one.has_news


@pytest.mark.parametrize("is_known", [False, True], ids=["new", "changed"])
def test_all_of_it_is_stored(is_known: bool) -> None:
    hall = Hall()
    enablements = loaded(hall)
    one = enablement()
    if is_known:
        enablements.put(one)
    for worth in (CALL, MESSAGE, REQUEST, OTHER):
        one.count(worth, 5.0)
    one.pushed = Summary(1, 0, 1)
    one.probed_at, one.tried_at = 7.0, 8.0
    one.failures = 3
    if is_known:
        enablements.changed(one)
        hall.advance(0)
    else:
        enablements.put(one)

    [again] = loaded(hall).of(JULIET)

    assert again.key == one.key
    assert (again.options, again.session) == (b"<x/>", f"{JULIET}/phone")
    assert (again.created_at, again.used_at, again.news_at) == (1.0, 2.0, 3.0)
    assert again.queued == one.queued
    assert again.pushed.counts == (1, 0, 1)
    assert again.failures == 3
    assert (again.probed_at, again.tried_at) == (7.0, 8.0)


def test_numbers_go_into_the_commit_of_what_changed_them() -> None:
    hall = Hall()
    enablements = loaded(hall)
    one = enablement()
    enablements.put(one)
    hall.advance(0)

    one.count(MESSAGE, 5.0)
    enablements.changed(one)
    enablements.changed(one)
    hall.host.database.write("INSERT INTO settings VALUES ('queue', '1')")
    hall.advance(0)

    assert hall.rows("SELECT queued_messages FROM push_enablements") == [(1,)]


def test_what_is_removed_does_not_come_back_with_its_numbers() -> None:
    hall = Hall()
    enablements = loaded(hall)
    old, new = enablement(), enablement()
    enablements.put(old)
    old.count(MESSAGE, 5.0)
    enablements.changed(old)
    enablements.remove(old)
    hall.advance(0)
    assert hall.rows("SELECT * FROM push_enablements") == []

    enablements.changed(old)
    enablements.put(new)
    enablements.remove(old)
    hall.advance(0)
    assert hall.rows("SELECT queued_messages FROM push_enablements") == [(0,)]
    assert enablements.is_current(new)
    assert not enablements.is_current(old)


@pytest.mark.line(21)
def test_options_stay_as_long_as_anything_is_enabled() -> None:
    hall = Hall()
    enablements = loaded(hall)
    told = Told(True, False, True, True)
    one, two = enablement("one"), enablement("two")
    enablements.put(one)
    enablements.put(two)
    enablements.set_told(JULIET, told)

    enablements.remove(one)
    assert loaded(hall).told(JULIET, Told()) == told

    enablements.remove(two)
    assert enablements.told(JULIET, Told()) == Told()
    assert loaded(hall).told(JULIET, Told()) == Told()


def test_nothing_private_is_printed() -> None:
    one = enablement(options=b"<x>s3cr3t</x>")
    one.count(Worth(Kind.MESSAGE, body=Secret("wherefore")), 5.0)

    assert "s3cr3t" not in repr(one)
    assert "wherefore" not in repr(one)


@pytest.mark.parametrize("is_pushed", [True, False])
def test_how_long_news_takes_does_not_count_from_the_start(is_pushed: bool) -> None:
    hall = Hall()
    enablements = loaded(hall)
    one = enablement()
    enablements.put(one)
    one.count(MESSAGE, 1.0)
    if is_pushed:
        one.settle(Flight(one.queued))
    enablements.changed(one)
    hall.advance(0)

    [again] = loaded(hall).of(JULIET)
    assert again.since == (0.0 if is_pushed else 3.0)
    again.count(MESSAGE, 5000.0)
    assert again.since == (5000.0 if is_pushed else 3.0)
