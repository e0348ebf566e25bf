import pytest
from twisted.internet.defer import Deferred, fail

from pushd.routing.events import ContactRemoved, RosterChanged
from pushd.routing.rosters import Contact, Roster, Rosters
from pushd.storage.sqlite import StorageError
from tests.hall import START, Hall

ROMEO, JULIET, NURSE = "romeo@example.net", "juliet@example.net", "nurse@example.net"


@pytest.fixture
def hall() -> Hall:
    return Hall()


@pytest.fixture
def rosters(hall: Hall) -> Rosters:
    return hall.host.rosters


# Waiting for rosters.


def test_what_needs_a_roster_on_disk_is_done_once_it_is_read(hall: Hall, rosters: Rosters) -> None:
    done: list[str] = []

    rosters.when((ROMEO,), lambda: done.append("first"))
    assert done == []
    hall.advance(0)
    assert done == ["first"]
    rosters.when((ROMEO,), lambda: done.append("at once"))

    assert done == ["first", "at once"]


def test_what_is_about_the_same_account_is_done_in_the_order_of_asking(
    hall: Hall, rosters: Rosters
) -> None:
    done: list[str] = []
    hall.wait(rosters.load(ROMEO))

    rosters.when((ROMEO, JULIET), lambda: done.append("both"))
    rosters.when((ROMEO,), lambda: done.append("romeo"))
    rosters.when((NURSE,), lambda: done.append("nurse"))
    rosters.when((JULIET, NURSE), lambda: done.append("juliet and nurse"))
    assert done == []
    hall.advance(0)

    assert done.index("both") < done.index("romeo")
    assert done.index("both") < done.index("juliet and nurse")
    assert done.index("nurse") < done.index("juliet and nurse")
    assert len(done) == 4


def test_what_is_asked_within_is_done_within(hall: Hall, rosters: Rosters) -> None:
    done: list[str] = []

    def outer() -> None:
        done.append("outer begins")
        rosters.when((JULIET,), lambda: done.append("inner"))
        done.append("outer ends")

    rosters.when((ROMEO, JULIET), outer)
    rosters.when((JULIET,), lambda: done.append("later"))
    hall.advance(0)

    assert done == ["outer begins", "inner", "outer ends", "later"]


def test_one_that_fails_does_not_stop_the_others(hall: Hall, rosters: Rosters) -> None:
    done: list[str] = []

    rosters.when((ROMEO,), lambda: 1 // 0)
    rosters.when((ROMEO,), lambda: done.append("second"))
    hall.advance(0)

    assert done == ["second"]


def test_storage_that_fails_is_told_to_who_loads_and_nothing_is_done_or_acknowledged(
    hall: Hall, rosters: Rosters, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    romeo = hall.login(f"{ROMEO}/orchard", sm=True)
    handled = romeo.session.handled
    assert handled is not None
    before = handled.h

    with monkeypatch.context() as patch:
        patch.setattr(hall.host.database, "read", failing)
        handled.count()
        rosters.when((ROMEO,), lambda: done.append("never"), romeo.session)
        with pytest.raises(StorageError):
            hall.wait(rosters.load(ROMEO))
    hall.host.delivery.touch(romeo.session)
    hall.advance(0)

    assert done == []
    assert handled.h == before
    assert hall.wait(rosters.load(ROMEO)).contacts == {}


def failing(sql: str, parameters: tuple[object, ...] = ()) -> "Deferred[object]":
    return fail(StorageError("no disk"))


def test_a_roster_is_read_once_however_many_wait(
    hall: Hall, rosters: Rosters, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = hall.host.database.read

    def counted(sql: str, parameters: tuple[object, ...] = ()) -> object:
        asked.append(sql)
        return read(sql, parameters)

    monkeypatch.setattr(hall.host.database, "read", counted)
    for _ in range(5):
        rosters.when((ROMEO,), lambda: None)
    hall.advance(0)

    assert len(asked) == 3


def test_rosters_of_accounts_without_a_session_are_forgotten_when_there_are_many(
    hall: Hall, rosters: Rosters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.routing.rosters.IDLE", 2)
    monkeypatch.setattr("pushd.routing.rosters.SWEEP", 1)
    hall.login(f"{ROMEO}/orchard")
    hall.wait(rosters.load(ROMEO))

    for number in range(4):
        hall.wait(rosters.load(f"{number}@example.net"))

    assert rosters[ROMEO].account == ROMEO
    with pytest.raises(KeyError):
        rosters["0@example.net"]
    assert hall.wait(rosters.load("0@example.net")).account == "0@example.net"


# Contacts.


def test_a_stored_contact_is_read_back_as_it_was(hall: Hall, rosters: Rosters) -> None:
    contact = Contact(JULIET, "Jule", "both", False, True, ("A", "B"))
    hall.wait(rosters.load(ROMEO))
    rosters.put(ROMEO, contact)
    rosters.put(ROMEO, Contact(NURSE, ask=True))
    rosters.add_request(ROMEO, "paris@example.net", b"<presence/>")
    hall.advance(0)

    again = Rosters(
        hall.clock,
        hall.host.events,
        hall.host.database,
        hall.host.sessions,
        hall.host.delivery,
    )

    assert hall.wait(again.load(ROMEO)) == Roster(
        ROMEO,
        int(START) + 1,
        {JULIET: contact, NURSE: Contact(NURSE, ask=True)},
        {"paris@example.net": b"<presence/>"},
        since=int(START) + 1,
    )


def test_changes_are_told_with_their_version(hall: Hall, rosters: Rosters) -> None:
    hall.wait(rosters.load(ROMEO))

    rosters.put(ROMEO, Contact(JULIET, "Jule"))
    rosters.remove(ROMEO, JULIET)

    added, removed = hall.events(RosterChanged)
    assert added == RosterChanged(ROMEO, Contact(JULIET, "Jule"), str(int(START)))
    assert removed.contact.subscription == "remove"
    assert removed.version == str(int(START) + 1)
    assert hall.events(ContactRemoved) == [
        ContactRemoved(ROMEO, Contact(JULIET, "Jule"), was_asking=False)
    ]


def test_a_request_is_dropped_once(hall: Hall, rosters: Rosters) -> None:
    hall.wait(rosters.load(ROMEO))
    rosters.add_request(ROMEO, JULIET, b"<presence/>")
    rosters.drop_request(ROMEO, JULIET)
    rosters.drop_request(ROMEO, JULIET)

    assert rosters[ROMEO].requests == {}
    assert hall.rows("SELECT * FROM subscription_requests") == []


@pytest.mark.parametrize(
    ("subscription", "sees", "is_seen"),
    [("none", False, False), ("to", True, False), ("from", False, True), ("both", True, True)],
)
def test_a_subscription_says_who_sees_whom(
    hall: Hall, rosters: Rosters, subscription: str, sees: bool, is_seen: bool
) -> None:
    contact = Contact(JULIET, subscription=subscription)
    hall.wait(rosters.load(ROMEO))
    rosters.put(ROMEO, contact)

    assert (contact.sees, contact.is_seen) == (sees, is_seen)
    assert hall.wait(rosters.may_see(ROMEO, JULIET)) is is_seen
    assert hall.wait(rosters.may_see(ROMEO, ROMEO)) is True
    assert hall.wait(rosters.may_see(ROMEO, NURSE)) is False


def test_a_removed_account_has_its_contacts_and_requests_told(hall: Hall, rosters: Rosters) -> None:
    hall.add_account(ROMEO)
    hall.wait(rosters.load(ROMEO))
    rosters.put(ROMEO, Contact(JULIET, subscription="to"))
    rosters.add_request(ROMEO, JULIET, b"<presence/>")
    rosters.add_request(ROMEO, NURSE, b"<presence/>")

    hall.wait(hall.host.accounts.remove(ROMEO))

    assert hall.events(ContactRemoved) == [
        ContactRemoved(ROMEO, Contact(JULIET, subscription="to"), was_asking=True),
        ContactRemoved(ROMEO, Contact(NURSE), was_asking=True),
    ]
    with pytest.raises(KeyError):
        rosters[ROMEO]
