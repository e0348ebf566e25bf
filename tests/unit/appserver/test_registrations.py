from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from pushd.appserver.registrations import UNUSED, Registration, Registrations, Wanted
from pushd.wire.secret import Secret
from tests.hall import Hall

JULIET = "juliet@example.net"


def loaded(hall: Hall) -> Registrations:
    registrations = Registrations(hall.host.database)
    hall.wait(registrations.load())
    return registrations


def register(
    registrations: Registrations, device: str = "phone", now: float = 1.0, **changed: Any
) -> tuple[Registration, str]:
    given: dict[str, Any] = {
        "device_name": "Home",
        "backend": "b",
        "type": "post",
        "app": "any",
        "token": Secret("tok" if device == "phone" else f"tok {device}"),
        "fields": {"silent-push": "1"},
        **changed,
    }
    registration, secret = registrations.register(Wanted(JULIET, device, **given), now)
    return registration, secret.reveal()


def admits(registrations: Registrations, secret: str, device: str = "phone") -> bool:
    registration = registrations.of_device(JULIET, device)
    assert registration is not None
    return registrations.admits(registration, secret)


def test_a_registration_is_found_by_node_by_account_and_by_device() -> None:
    registrations = loaded(Hall())
    later, _ = register(registrations, "tablet", now=2.0)
    earlier, _ = register(registrations, "phone", now=1.0)

    assert registrations.get(later.node) is later
    assert registrations.of(JULIET) == [earlier, later]
    assert registrations.of_device(JULIET, "tablet") is later
    assert registrations.of("romeo@example.net") == []


def test_nodes_and_secrets_cannot_be_guessed() -> None:
    registrations = loaded(Hall())
    made = [register(registrations, str(number)) for number in range(50)]

    assert len({one.node for one, _ in made}) == 50
    assert len({secret for _, secret in made}) == 50
    assert all(len(one.node) >= 22 and len(secret) >= 32 for one, secret in made)


def test_a_field_is_forgotten_if_it_is_still_what_was_used() -> None:
    hall = Hall()
    registrations = loaded(hall)
    one, secret = register(registrations, fields={"voip-token": "x", "silent-push": "1"})

    assert registrations.forget_field(one.node, "voip-token", "y") is None
    assert registrations.forget_field(one.node, "other", "") is None
    assert registrations.forget_field("nobody", "voip-token", "x") is None
    changed = registrations.forget_field(one.node, "voip-token", "x")

    assert changed is not None
    assert changed.provider_fields() == {"silent-push": "1"}
    assert registrations.get(one.node) == changed
    assert admits(registrations, secret)
    hall.wait(hall.host.database.committed())
    kept = loaded(hall).get(one.node)
    assert kept is not None
    assert kept.provider_fields() == {"silent-push": "1"}


@pytest.mark.line(105)
def test_a_device_that_registers_again_keeps_its_node_and_gets_a_new_secret() -> None:
    registrations = loaded(Hall())
    first, old = register(registrations, now=1.0)
    second, new = register(registrations, now=9.0, token=Secret("other"), device_name=None)

    assert second.node == first.node
    assert new != old
    assert second.token.reveal() == "other"
    assert second.device_name is None
    assert (second.registered_at, second.renewed_at) == (1.0, 9.0)
    assert registrations.of(JULIET) == [second]


@pytest.mark.line(106)
def test_the_old_secret_is_valid_until_the_new_one_is_used() -> None:
    """But not at once: a lost answer strands no phone."""
    registrations = loaded(Hall())
    _, old = register(registrations)
    _, new = register(registrations)

    assert admits(registrations, old)
    assert admits(registrations, new)
    assert not admits(registrations, old)
    assert admits(registrations, new)


def test_secrets_whose_answers_were_lost_strand_nobody() -> None:
    registrations = loaded(Hall())
    given = [register(registrations)[1] for _ in range(4)]

    assert admits(registrations, given[1])
    assert [admits(registrations, secret) for secret in given] == [False, True, True, True]


def test_secrets_that_nobody_used_do_not_pile_up() -> None:
    registrations = loaded(Hall())
    given = [register(registrations)[1] for _ in range(3 * UNUSED)]

    [registration] = registrations.of(JULIET)
    assert len(registration.hashes()) == UNUSED + 1
    assert not admits(registrations, given[0])
    assert admits(registrations, given[-UNUSED - 1])


def test_no_other_secret_is_admitted() -> None:
    registrations = loaded(Hall())
    register(registrations)
    _, other = register(registrations, "tablet")

    assert not admits(registrations, "")
    assert not admits(registrations, "guess")
    assert not admits(registrations, other)


@pytest.mark.line(76)
def test_registrations_and_secrets_survive_a_restart() -> None:
    hall = Hall()
    before = loaded(hall)
    _, old = register(before)
    registration, new = register(before)
    hall.advance(0)

    after = loaded(hall)

    assert after.get(registration.node) == registration
    assert registration.provider_fields() == {"silent-push": "1"}
    assert admits(after, old)
    assert admits(after, new)
    hall.advance(0)
    assert not admits(loaded(hall), old)


def test_neither_secrets_nor_their_like_are_stored_or_printed() -> None:
    hall = Hall()
    registrations = loaded(hall)
    registration, secret = register(registrations, token=Secret("t0ken"), fields={"auth": "4uth"})

    stored = repr(hall.rows("SELECT * FROM registrations"))
    assert secret not in stored
    shown = repr(registration)
    assert "t0ken" not in shown
    assert "4uth" not in shown
    assert registration.secret_hash.hex() not in shown


def test_the_last_push_is_noted() -> None:
    hall = Hall()
    registrations = loaded(hall)
    registration, _ = register(registrations)

    stored = []
    for at in (7.0, 47.0, 87.0, 119.0, 127.0):
        registrations.pushed(registration.node, at)
        stored += hall.rows("SELECT last_push_at FROM registrations")
    registrations.pushed("gone", 7.0)
    again, _ = register(registrations)

    assert again.last_push_at == 127.0
    assert stored == [(7.0,), (7.0,), (87.0,), (87.0,), (127.0,)]


def test_what_is_removed_is_gone() -> None:
    hall = Hall()
    registrations = loaded(hall)
    phone, _ = register(registrations, "phone")
    tablet, _ = register(registrations, "tablet")

    assert registrations.remove(phone.node) is phone
    assert registrations.remove(phone.node) is None
    assert registrations.get(phone.node) is None
    assert registrations.of(JULIET) == [tablet]
    assert hall.rows("SELECT node FROM registrations") == [(tablet.node,)]

    again, _ = register(registrations, "phone")
    assert again.node != phone.node


@pytest.mark.mistake(14)
def test_a_device_is_registered_for_its_account_and_for_each_room_apart(tmp_path: Path) -> None:
    hall = Hall(path=tmp_path / "db")
    registrations = loaded(hall)
    rooms = ("", "hall@rooms.example", "yard@rooms.example")
    made = [register(registrations, room=room) for room in rooms]

    assert len({one.node for one, _ in made}) == len({secret for _, secret in made}) == 3
    assert [one.publisher for one, _ in made] == [JULIET, *rooms[1:]]
    again, _ = register(registrations, room=rooms[1], token=Secret("new"))
    assert again.node == made[1][0].node
    tokens = {one.room: one.token.reveal() for one in registrations.of(JULIET)}
    assert tokens == dict(zip(rooms, ("tok", "new", "tok"), strict=True))
    hall.wait(hall.host.database.committed())
    by_node = attrgetter("node")
    assert sorted(loaded(hall).of(JULIET), key=by_node) == sorted(
        registrations.of(JULIET), key=by_node
    )


def test_a_device_id_is_another_device_in_another_dialect() -> None:
    registrations = loaded(Hall())
    one, _ = register(registrations)
    other, _ = register(registrations, dialect="another", token=Secret("its own"))

    assert one.node != other.node
    assert registrations.of_device(JULIET, "phone") is one
    assert registrations.of_device(JULIET, "phone", "another") is other


def test_a_node_that_a_device_names_anew_is_known_by_the_old_name_no_more() -> None:
    registrations = loaded(Hall())
    for alias in ("one", "two", "two"):
        made, _ = register(registrations, alias=alias)
    assert registrations.called("one") == registrations.called(made.node) == []
    assert registrations.called("two") == [made]
    registrations.remove(made.node)
    assert registrations.called("two") == []


def test_a_token_of_another_dialect_is_the_same_device_and_not_its_node() -> None:
    registrations = loaded(Hall())
    one, _ = register(registrations)
    wanted = Wanted(JULIET, "id", "b", "post", "any", Secret("tok"), dialect="another")

    assert registrations.find(wanted) == (None, [one])
