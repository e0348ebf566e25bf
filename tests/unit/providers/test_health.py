"""Breaker, deletion guard, bucket."""

from pushd.providers.health import HOUR, Breaker, Bucket, DeletionGuard


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(at)
    return breaker


def test_a_breaker_opens_at_the_fifth_failure_in_a_row() -> None:
    breaker = Breaker()
    assert [breaker.failed(0.0) for _ in range(5)] == [False, False, False, False, True]
    assert breaker.is_open
    assert breaker.opens_at == 30


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0)
    breaker.succeeded(50)
    for _ in range(4):
        breaker.failed(0.0)
    assert not breaker.is_open


def test_each_failed_probe_doubles_the_pause_up_to_a_quarter_of_an_hour() -> None:
    breaker = opened()
    pauses = []
    for _ in range(7):
        now = breaker.opens_at
        breaker.failed(now)
        pauses.append(breaker.opens_at - now)
    assert pauses == [60, 120, 240, 480, 900, 900, 900]


def test_late_failures_of_what_was_sent_before_do_not_lengthen_the_pause() -> None:
    breaker = opened()
    breaker.failed(29.9)
    assert breaker.opens_at == 30


def test_one_may_pass_while_it_is_open_and_then_one_more_with_each_success() -> None:
    breaker = opened()
    widths = [breaker.width(5)]
    for _ in range(5):
        breaker.succeeded(5)
        widths.append(breaker.width(5))
    assert widths == [1, 2, 3, 4, 5, 5]


def test_closing_is_told_once_and_brings_back_the_first_pause() -> None:
    breaker = opened()
    breaker.failed(30)
    assert breaker.succeeded(50)
    assert not breaker.succeeded(50)
    for _ in range(5):
        breaker.failed(1000)
    assert breaker.opens_at == 1030


def test_a_trip_opens_at_once_and_is_told_once() -> None:
    breaker = Breaker()
    assert breaker.trip(7)
    assert not breaker.trip(8)
    assert breaker.opens_at == 37


def test_what_one_connection_takes_with_it_counts_once() -> None:
    breaker = Breaker()
    for second in range(100, 104):
        lost = [breaker.failed(second + 0.1 * n, lost_since=second - 0.1) for n in range(50)]
        assert not any(lost)
    assert breaker.failed(104, lost_since=103.9)
    assert breaker.opens_at == 134


def test_what_is_lost_one_after_the_other_counts_each_time() -> None:
    breaker = Breaker()
    lost = [breaker.failed(100 + 0.002 * n, lost_since=100 + 0.002 * n - 0.001) for n in range(5)]
    assert lost == [False] * 4 + [True]


def test_losses_and_refusals_count_together() -> None:
    breaker = Breaker()
    assert not any(breaker.failed(0.0) for _ in range(4))
    assert breaker.failed(0.0, lost_since=0.0)


def test_ten_dead_devices_are_believed_and_the_eleventh_is_not() -> None:
    guard = DeletionGuard()
    assert all(guard.may_delete(number, 0) for number in range(10))
    assert not guard.may_delete(10, 0)


def test_a_device_that_is_called_dead_again_and_again_counts_once() -> None:
    guard = DeletionGuard()
    assert all(guard.may_delete(1, 0) for _ in range(50))


def test_the_dead_are_believed_while_more_is_accepted() -> None:
    guard = DeletionGuard()
    for _ in range(20):
        guard.accepted(0)
    assert all(guard.may_delete(number, 0) for number in range(20))
    assert not guard.may_delete(20, 0)
    guard.accepted(0)
    assert guard.may_delete(20, 0)


def test_an_acceptance_proves_that_we_are_the_right_sender() -> None:
    guard = DeletionGuard()
    guard.may_delete(1, 0)
    assert not guard.is_proven
    guard.accepted(0)
    assert guard.is_proven


def test_acceptances_of_an_hour_ago_excuse_no_dead_of_today() -> None:
    guard = DeletionGuard()
    for _ in range(100):
        guard.accepted(0)
    assert all(guard.may_delete(number, HOUR + 61) for number in range(10))
    assert not guard.may_delete(10, HOUR + 61)
    assert guard.is_proven


def test_the_dead_of_an_hour_ago_are_forgotten() -> None:
    guard = DeletionGuard()
    for number in range(10):
        guard.may_delete(number, 0)
    assert guard.may_delete(10, HOUR)


def test_the_guard_remembers_no_more_devices_than_it_may() -> None:
    guard = DeletionGuard(remembered=100)
    for number in range(1000):
        guard.may_delete(number, 0)
    assert len(guard._dead) == 100
    assert not guard.may_delete(0, 0)


def taken(bucket: Bucket, now: float) -> int:
    """How many can be taken at this moment."""
    count = 0
    while bucket.ready_at(now) <= now and count < 1000:
        bucket.take(now)
        count += 1
    return count


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate=4, burst=3, now=100)
    assert taken(bucket, 100) == 3
    assert bucket.ready_at(100) == 100.25
    assert taken(bucket, 100.5) == 2
    assert taken(bucket, 200) == 3


def test_a_bucket_without_a_rate_never_empties() -> None:
    assert taken(Bucket(rate=None, burst=1, now=0), 0) == 1000


def test_a_device_that_is_called_dead_again_keeps_no_others_remembered() -> None:
    guard = DeletionGuard(devices=10, period=3600.0)
    guard.may_delete(1, 0.0)
    for device in range(2, 11):
        guard.may_delete(device, 10.0)
    guard.may_delete(1, 3500.0)
    assert guard.may_delete(11, 3700.0)
    assert guard.may_delete(12, 3700.0)
