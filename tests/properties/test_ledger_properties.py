"""Whatever happens in whatever order: the ledger loses no push, and repeats none."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pushd.routing.events import (
    PublishAnswered,
    PushDisabled,
    PushEnabled,
    PushProbed,
    PushSettled,
)
from pushd.routing.ledger import LINGER, MOST_LINES
from tests.effort import examples
from tests.hall import Hall

ACCOUNTS = ("juliet@example.net", "romeo@example.net")
SERVICE = "push.example.net"
# What is told, and what the line of it says.
KINDS = ("created", "bound", "pushed", "refused", "removed", "put on probation", "settled")

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(("a", "b")), st.sampled_from(KINDS)),
        st.sampled_from(("read", "pause", "linger")),
    ),
    max_size=MOST_LINES // 2,  # so that nothing is too old to be kept
)


def event(account: str, node: str, kind: str) -> object:
    where = (account, SERVICE, node)
    match kind:
        case "created" | "bound":
            return PushEnabled(*where, f"{account}/phone", kind == "created")
        case "pushed" | "refused":
            outcome = "accepted" if kind == "pushed" else kind
            return PublishAnswered(*where, "1", outcome, "")
        case "removed":
            return PushDisabled(*where, "disabled by the client")
        case "put on probation":
            return PushProbed(*where, 16)
    return PushSettled(*where, "fcm/a/b", "accepted", "", 0.5)


@settings(max_examples=examples(60))
@given(steps)
def test_everything_that_was_told_is_counted_once(taken: list[tuple[str, str, str] | str]) -> None:
    hall = Hall()
    told: Counter[tuple[str, str, str]] = Counter()
    for account in ACCOUNTS:
        hall.add_account(account)
    for step in taken:
        match step:
            case "read":
                hall.wait(hall.host.ledger.of(ACCOUNTS[0]))
            case "pause":
                hall.advance(1)
            case "linger":
                hall.advance(LINGER)
            case (account, node, kind):
                hall.host.events.emit(event(account, node, kind))
                what, side = ("pushed", "r") if kind == "settled" else (kind, "e")
                told[account, side, what] += 1
    hall.host.ledger.stop()
    hall.advance(0)

    kept: Counter[tuple[str, str, str]] = Counter()
    for account in ACCOUNTS:
        lines = hall.wait(hall.host.ledger.of(account))
        assert [one.number for one in lines] == sorted({one.number for one in lines})
        assert all(one.first_at <= one.last_at for one in lines)
        for one in lines:
            kept[account, one.side[0], one.what] += one.times
            if one.what in ("created", "removed", "put on probation"):
                assert one.times == 1
    assert kept == told
    assert not hall.host.ledger._waiting
