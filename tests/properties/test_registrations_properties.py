"""Whoever registers how, and for what: each device has one node for each thing it is woken for."""

from collections import Counter
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from pushd.appserver.limits import Rules
from pushd.appserver.registrations import Registration, Registrations
from pushd.wire.jid import parse
from tests.unit.appserver.stage import BOTH, Stage

MOST, MOST_ROOMS = 3, 4


class Asked(NamedTuple):
    """A device registers."""

    account: str
    dialect: str
    device: str
    room: str
    token: str
    app: int
    named: bool  # the device names its node


class Left(NamedTuple):
    """An account has this one of its registrations removed, as far as there are so many."""

    account: str
    place: int


ACCOUNTS = st.sampled_from(("juliet@example.net", "romeo@example.net", "ann@example.org"))
ASKED = st.builds(
    Asked,
    ACCOUNTS,
    st.sampled_from(("mod_push", "conversations", "v1")),
    st.sampled_from(("phone", "pad", "6D92")),
    st.sampled_from(("", "", "hall@rooms.example", "yard@rooms.example")),
    st.sampled_from(("tok1", "tok2", "tok3")),
    st.sampled_from((0, 1)),
    st.booleans(),
)
STEPS = st.lists(ASKED | st.builds(Left, ACCOUNTS, st.integers(0, 5)), max_size=30)


def fields(asked: Asked) -> dict[str, str]:
    more = {"application-id": "app"} if asked.app else {}
    return {"token": asked.token, **more}


def same(one: Registration, asked: Asked) -> bool:
    return (one.dialect, one.device, one.room) == (asked.dialect, asked.device, asked.room)


@given(STEPS, st.booleans())
def test_each_device_has_one_node_for_its_account_and_one_for_each_room(
    steps: list[Asked | Left], shared: bool
) -> None:
    rules = Rules(
        registrations_per_account=MOST, rooms_per_account=MOST_ROOMS, shared_tokens=shared
    )
    stage = Stage(rules=rules, domains=("example.net",))
    server, known = stage.server, stage.server.registrations
    for step in steps:
        stage.hall.advance(1)
        mine = known.of(step.account)
        if isinstance(step, Left):
            if step.place < len(mine):
                gone = mine[step.place]
                stage.hall.wait(server.desk.unregister([gone], parse(step.account)))
                assert gone not in known.called(gone.called)
            continue
        kept = next((one for one in mine if same(one, step)), None)
        given = stage.hall.wait(
            server.desk.register(
                parse(f"{step.account}/x"),
                BOTH[step.app],
                fields(step),
                dialect=step.dialect,
                device=step.device,
                room=step.room,
                alias=step.device if step.named and not step.room else "",
            )
        )
        [one] = [one for one in known.of(step.account) if same(one, step)]
        assert kept is None or one.node == kept.node
        lost = [each for each in mine if known.get(each.node) is None]
        elsewhere = [each for each in lost if each.room != step.room]
        is_full = sum(bool(each.room) == bool(step.room) for each in mine) >= (
            MOST_ROOMS if step.room else MOST
        )
        assert all(is_full and each.room and step.room for each in elsewhere)
        assert one in known.called(given.node)
        assert known.admits(one, given.secret.reveal())
    check(stage, shared)


def check(stage: Stage, shared: bool) -> None:
    """What always holds, and that storage holds the same."""
    known = stage.server.registrations
    every = list(known.everyone())
    rooms = Counter(one.account for one in every if one.room)
    assert all(count <= MOST_ROOMS for count in rooms.values())
    devices = Counter(one.account for one in every if not one.room)
    assert all(count <= MOST for count in devices.values())

    # A device is woken once for one thing, though it may have registered in several ways.
    woken = Counter((one.account, one.backend, one.token.reveal(), one.room) for one in every)
    if shared:
        assert set(woken.values()) <= {1}
    else:  # several rooms of one account are its own, but no token is of two accounts
        owners = {(one.backend, one.token.reveal(), one.account) for one in every}
        assert len(owners) == len({(backend, token) for backend, token, _ in owners})

    for domain in ("example.net", "example.org"):
        count = sum(one.account.endswith(f"@{domain}") for one in every)
        assert known.count_of(domain) == count
    for one in every:
        assert one in known.called(one.called)
        assert known.of_device(one.account, one.device, one.dialect, one.room) is one

    accounts = {one.account for one in every}
    assert {one.node for account in accounts for one in known.of(account)} == set(known._nodes)
    assert sum(len(known.of(account)) for account in accounts) == len(every)
    assert {*known._aliases} == {one.alias for one in every if one.alias}  # else they pile up

    stage.hall.wait(stage.hall.host.database.committed())
    stored = Registrations(stage.hall.host.database)
    stage.hall.wait(stored.load())
    assert {one.node: one for one in stored.everyone()} == {one.node: one for one in every}
