"""XEP-0198 counters and queue."""

import pytest

from pushd.wire.acks import MODULUS, AckQueue, Copies, Handled, HandledCountTooHigh


def queue(count: int, acked: int = 0) -> AckQueue:
    made = AckQueue(acked)
    for number in range(count):
        made.append(b"%d" % number, float(number))
    return made


def recovered(count: int, acked: int = 0) -> AckQueue:
    made = queue(count, acked)
    made.uncertain = count
    return made


def test_an_acknowledgement_drops_what_it_covers() -> None:
    sent = queue(5)
    assert sent.acknowledge(3) == 3
    assert [entry[0] for entry in sent] == [b"3", b"4"]
    assert (sent.acked, sent.sent, sent.size) == (3, 5, 2)


def test_an_acknowledgement_said_twice_drops_nothing_more() -> None:
    sent = queue(5)
    sent.acknowledge(3)
    assert sent.acknowledge(3) == 0


def test_a_count_beyond_what_was_sent_is_refused_and_drops_nothing() -> None:
    sent = queue(2)
    with pytest.raises(HandledCountTooHigh) as refused:
        sent.acknowledge(3)
    assert (refused.value.h, refused.value.sent) == (3, 2)
    assert len(sent) == 2


def test_a_count_that_goes_back_is_refused() -> None:
    sent = queue(5)
    sent.acknowledge(4)
    with pytest.raises(HandledCountTooHigh):
        sent.acknowledge(3)


def test_counters_wrap_at_two_to_the_thirty_second() -> None:
    sent = queue(4, acked=MODULUS - 2)
    assert sent.acknowledge(1) == 3
    assert [entry[0] for entry in sent] == [b"3"]
    assert sent.acknowledge(2) == 1


def test_a_recovered_queue_accepts_once_what_it_does_not_know() -> None:
    sent = recovered(2, acked=10)
    assert sent.acknowledge(15) == 2
    assert sent.sent == 15
    with pytest.raises(HandledCountTooHigh):
        sent.acknowledge(16)


@pytest.mark.parametrize(("h", "left"), [(10, 5), (11, 4), (12, 3), (13, 3), (15, 3), (900, 3)])
def test_a_recovered_queue_keeps_what_it_was_given_since_the_crash(h: int, left: int) -> None:
    sent = recovered(2, acked=10)
    for since in (b"a", b"b", b"c"):
        sent.append(since, 0.0)
    sent.acknowledge(h)
    assert len(sent) == left
    assert sent.sent == h + left
    assert sent.acknowledge(h + left) == left


def test_a_recovered_queue_does_not_accept_a_count_from_before() -> None:
    with pytest.raises(HandledCountTooHigh):
        recovered(2, acked=10).acknowledge(9)


def test_what_is_received_is_safe_after_a_commit() -> None:
    handled = Handled()
    handled.count()
    handled.count()
    assert handled.h == 0
    committed = handled.committable()
    handled.count()
    assert handled.commit(committed)
    assert (handled.h, handled.received) == (2, 3)
    assert not handled.commit(committed)


def test_an_open_request_holds_the_count_back() -> None:
    handled = Handled()
    handled.count()
    handled.hold(handled.count())
    handled.count()
    assert handled.committable() == 1
    handled.release(2)
    assert handled.committable() == 3


def test_the_count_of_received_stanzas_wraps_on_the_wire() -> None:
    handled = Handled(MODULUS - 1)
    handled.commit(handled.count())
    assert handled.h == 0


def test_an_acknowledged_copy_tells_the_others() -> None:
    copies, one, other = Copies(), AckQueue(), AckQueue()
    for sent in (one, other):
        sent.append(b"x", 0.0, copies)
    one.acknowledge(1)
    assert [entry[2] for entry in other] == [copies]
    assert copies.acknowledged


def test_a_message_is_nobodys_when_the_last_queue_lets_go_of_it_unacknowledged() -> None:
    copies, one, other = Copies(), AckQueue(), AckQueue()
    one.append(b"x", 0.0, copies)
    other.append(b"x", 0.0, copies)
    assert not copies.let_go()
    assert copies.let_go()


def test_a_message_that_was_acknowledged_once_is_never_nobodys() -> None:
    copies, one, other = Copies(), AckQueue(), AckQueue()
    one.append(b"x", 0.0, copies)
    other.append(b"x", 0.0, copies)
    one.acknowledge(1)
    assert not copies.let_go()
