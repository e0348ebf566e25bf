"""XEP-0198's counters: any order of sending, acknowledging, handling and committing."""

from random import Random

from pushd.wire.acks import MODULUS, AckQueue, Copies, Handled, HandledCountTooHigh

# Every two bytes are a step, and its number.
TOKENS = tuple(bytes((step, number)) for step in range(8) for number in (0, 1, 2, 127, 255))


def write(random: Random) -> bytes:
    return random.randbytes(2 * random.randrange(1, 40))


def one(data: bytes) -> None:
    """Follow the steps with a queue, with a count of what is handled, and with a model of each."""
    if not data:
        return
    start = (0, 5, MODULUS - 3, 3 * MODULUS + MODULUS - 1)[data[0] & 3]
    _queue(data, start, recovered=bool(data[0] & 4))
    _handled(data, start)


def _queue(data: bytes, start: int, recovered: bool) -> None:
    queue = AckQueue(start)
    told: list[int] = []
    kept: list[bytes] = []
    acked = start
    uncertain: int | None = None
    if recovered:  # with what storage knew of
        kept = [bytes((number,)) for number in range(data[0] >> 5)]
        for number, entry in enumerate(kept):
            queue.append(entry, 0.0, _copies(number - len(kept), told))
        uncertain = queue.uncertain = len(kept)
    number = 0
    for step, given in zip(data[::2], data[1::2], strict=False):
        if step & 3:
            number += 1
            queue.append(b"x" * given, float(number), _copies(number, told) if step & 4 else None)
            kept.append(b"x" * given)
            continue
        h = (acked + (given if step & 8 else given % (len(kept) + 2)) - (step >> 4)) % MODULUS
        covered = (h - acked) % MODULUS
        is_plausible = uncertain is not None and covered < MODULUS // 2
        refused: tuple[int, int] | None = None
        try:
            dropped = queue.acknowledge(h)
        except HandledCountTooHigh as error:
            refused = (error.h, error.sent)
        if refused:
            assert covered > len(kept)
            assert not is_plausible
            assert refused == (h, (acked + len(kept)) % MODULUS)
        else:
            assert covered <= len(kept) or is_plausible
            assert dropped == min(covered, (uncertain or 0) if is_plausible else len(kept))
            uncertain = None
            acked += covered
            del kept[:dropped]
        assert (queue.acked, queue.sent) == (acked, acked + len(kept))
        assert [entry for entry, _, _ in queue] == kept
        assert queue.size == sum(map(len, kept))
    assert told == sorted(set(told))


def _copies(number: int, told: list[int]) -> Copies:
    copies = Copies(told.extend)
    copies.rows.append(number)
    return copies


def _handled(data: bytes, start: int) -> None:
    handled = Handled(start)
    held: list[int] = []
    waiting = answered = 0

    def tell() -> None:
        nonlocal answered
        answered += 1

    safe = start
    for step, given in zip(data[::2], data[1::2], strict=False):
        match step % 6:
            case 0 | 1:
                number = handled.count()
                if step & 8:
                    handled.hold(number)
                    held.append(number)
            case 2 if held:
                number = held.pop(given % len(held))
                handled.release(number)
                handled.release(number)
            case 3:
                handled.commit(start + given)
                if start + given > safe:
                    safe = handled.safe = min(start + given, handled.received)
            case 4:
                number = handled.committable()
                assert number <= handled.received
                assert not held or number == min(held) - 1
                assert handled.commit(number) == (number > safe)
                safe = max(safe, number)
            case 5 if given == 0:
                handled.waive()
                held.clear()
            case 5:
                waiting += 1
                handled.when_answered(tell)
        assert answered <= waiting
        assert held or answered == waiting
        assert handled.h == safe % MODULUS
        assert handled.safe == safe
