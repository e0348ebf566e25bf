"""Typed rows: what is put is what is got."""

from dataclasses import dataclass

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pushd.storage.sqlite import Database, StorageError
from pushd.storage.table import Table
from pushd.wire.secret import Secret
from tests.unit.storage.shim import Disk, outcomes


@dataclass(frozen=True, slots=True)
class Contact:
    account: str
    jid: str
    name: str | None
    ask: bool


@dataclass(frozen=True, slots=True)
class Enablement:
    account: str
    service: str
    node: str
    last_body: Secret | None
    created_at: float
    failures: int


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Key:
    name: str


class Rows:
    settings = Table(Setting, key=("name",))


CONTACTS = Table(Contact, key=("account", "jid"), name="roster")
JULIET = Contact("romeo@example.org", "juliet@example.org", None, True)
NURSE = Contact("romeo@example.org", "nurse@example.org", "Nurse", False)
PARIS = Contact("juliet@example.org", "paris@example.org", "Paris", False)


@pytest.fixture
def contacts(database: Database) -> Table[Contact]:
    return CONTACTS.bind(database)


def test_what_was_put_is_got_back_with_its_types(contacts: Table[Contact], clock: Clock) -> None:
    contacts.put(JULIET)
    got = outcomes(Deferred.fromCoroutine(contacts.get("romeo@example.org", "juliet@example.org")))
    clock.advance(0)
    assert got == [JULIET]
    assert got[0].ask is True


def test_secrets_and_instants_come_back_as_such(database: Database, clock: Clock) -> None:
    table = Table(Enablement, key=("account", "service", "node"), name="push_enablements").bind(
        database
    )
    row = Enablement("a@b", "push.b", "node", Secret("Wherefore?"), 7, 0)
    table.put(row)
    got = outcomes(Deferred.fromCoroutine(table.get("a@b", "push.b", "node")))
    clock.advance(0)
    assert got == [row]
    assert got[0].last_body.reveal() == "Wherefore?"
    assert type(got[0].created_at) is float


def test_a_row_that_is_not_there_is_none(contacts: Table[Contact], clock: Clock) -> None:
    got = outcomes(Deferred.fromCoroutine(contacts.get("a@b", "c@d")))
    clock.advance(0)
    assert got == [None]


def test_putting_again_replaces_the_row_of_that_key(contacts: Table[Contact], clock: Clock) -> None:
    contacts.put(JULIET)
    changed = Contact(JULIET.account, JULIET.jid, "Juliet", False)
    contacts.put(changed)
    got = outcomes(Deferred.fromCoroutine(contacts.select()))
    clock.advance(0)
    assert got == [[changed]]


def test_a_table_of_keys_alone_takes_the_same_row_twice(database: Database, clock: Clock) -> None:
    database.write("CREATE TABLE keys (name TEXT NOT NULL PRIMARY KEY)")
    keys = Table(Key, key=("name",), name="keys").bind(database)
    keys.put(Key("a"))
    keys.put(Key("a"))
    got = outcomes(Deferred.fromCoroutine(keys.select()))
    told = outcomes(database.committed())
    clock.advance(0)
    assert (got, told) == ([[Key("a")]], [None])


def test_rows_are_selected_and_deleted_by_the_beginning_of_their_key(
    contacts: Table[Contact], clock: Clock
) -> None:
    for row in (NURSE, PARIS, JULIET):
        contacts.put(row)
    everyone = outcomes(Deferred.fromCoroutine(contacts.select()))
    romeos = outcomes(Deferred.fromCoroutine(contacts.select("romeo@example.org")))
    clock.advance(0)
    assert everyone == [[PARIS, JULIET, NURSE]]
    assert romeos == [[JULIET, NURSE]]
    contacts.delete("romeo@example.org", "nurse@example.org")
    one_less = outcomes(Deferred.fromCoroutine(contacts.select()))
    contacts.delete("romeo@example.org")
    rest = outcomes(Deferred.fromCoroutine(contacts.select()))
    clock.advance(0)
    assert one_less == [[PARIS, JULIET]]
    assert rest == [[PARIS]]


def test_rows_put_one_after_the_other_share_a_call(contacts: Table[Contact], clock: Clock) -> None:
    contacts.put(JULIET)
    contacts.put(NURSE)
    clock.advance(0)
    assert len(Disk.said) == 3
    assert Disk.said[1].startswith("many INSERT INTO roster")


def test_the_class_attribute_names_the_table(database: Database, clock: Clock) -> None:
    settings = Rows.settings.bind(database)
    settings.put(Setting("salt", b"\x00\xff"))
    got = outcomes(Deferred.fromCoroutine(settings.get("salt")))
    clock.advance(0)
    assert got == [Setting("salt", b"\x00\xff")]


def test_a_table_that_is_not_bound_says_so(database: Database) -> None:
    CONTACTS.bind(database)
    with pytest.raises(StorageError, match="roster is not bound"):
        CONTACTS.put(JULIET)


@pytest.mark.parametrize("name", ["\ud800", 1 << 63, -(1 << 63) - 1])
def test_a_value_that_no_column_holds_is_refused_where_it_is_put(
    contacts: Table[Contact], name: str
) -> None:
    with pytest.raises(ValueError, match=r"roster\.name: ") as refused:
        contacts.put(Contact("a@b", "c@d", name, False))
    assert str(name) not in str(refused.value)


def test_a_key_of_another_length_is_refused(contacts: Table[Contact], clock: Clock) -> None:
    got = [
        *outcomes(Deferred.fromCoroutine(contacts.get("a@b"))),
        *outcomes(Deferred.fromCoroutine(contacts.select("a@b", "c@d", "e"))),
    ]
    assert [type(error) for error in got] == [TypeError, TypeError]
    with pytest.raises(TypeError):
        contacts.delete()
    with pytest.raises(TypeError):
        contacts.delete("a@b", "c@d", "e")


def test_declarations_that_cannot_work_are_refused_at_once(database: Database) -> None:
    @dataclass(frozen=True, slots=True)
    class Odd:
        account: str
        groups: list[str]

    with pytest.raises(TypeError, match=r"Odd\.groups"):
        Table(Odd, name="odd")
    with pytest.raises(TypeError, match="owner"):
        Table(Contact, key=("owner",), name="roster")
    with pytest.raises(TypeError, match="dataclass"):
        Table(str, name="odd")
    with pytest.raises(TypeError, match="no name"):
        Table(Contact).bind(database)
