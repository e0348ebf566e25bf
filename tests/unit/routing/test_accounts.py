import pytest

from pushd.routing.accounts import Accounts
from pushd.routing.events import AccountRemoved
from pushd.wire.errors import Conflict, ItemNotFound
from pushd.wire.sasl import ScramKeys
from tests.hall import START, Hall

ROMEO, JULIET = "romeo@example.net", "juliet@example.net"


def keys(number: int) -> ScramKeys:
    return ScramKeys(b"salt%d" % number, 10_000, b"stored%d" % number, b"server%d" % number)


@pytest.fixture
def hall() -> Hall:
    return Hall()


@pytest.fixture
def accounts(hall: Hall) -> Accounts:
    hall.wait(hall.host.accounts.add(ROMEO, {"SHA-1": keys(1), "SHA-256": keys(256)}))
    return hall.host.accounts


def test_an_account_has_the_keys_it_was_made_with(hall: Hall, accounts: Accounts) -> None:
    assert hall.wait(accounts.keys(ROMEO, "SHA-1")) == keys(1)
    assert hall.wait(accounts.keys(ROMEO, "SHA-256")) == keys(256)
    assert hall.wait(accounts.keys(ROMEO, "SHA-512")) is None
    assert hall.wait(accounts.keys(JULIET, "SHA-1")) is None


def test_an_account_is_made_once(hall: Hall, accounts: Accounts) -> None:
    with pytest.raises(Conflict):
        hall.wait(accounts.add(ROMEO, {}))
    assert hall.wait(accounts.keys(ROMEO, "SHA-1")) == keys(1)


def test_new_keys_take_the_place_of_the_old_ones(hall: Hall, accounts: Accounts) -> None:
    hall.wait(accounts.set_keys(ROMEO, {"SHA-1": keys(2)}))

    assert hall.wait(accounts.keys(ROMEO, "SHA-1")) == keys(2)
    with pytest.raises(ItemNotFound):
        hall.wait(accounts.set_keys(JULIET, {"SHA-1": keys(2)}))


def test_a_removed_account_is_gone_with_its_keys_and_others_hear_of_it(
    hall: Hall, accounts: Accounts
) -> None:
    hall.wait(accounts.remove(ROMEO))

    assert not accounts.exists(ROMEO)
    assert accounts.all() == []
    assert hall.events(AccountRemoved) == [AccountRemoved(ROMEO)]
    assert hall.rows("SELECT * FROM credentials") == []
    assert hall.wait(accounts.keys(ROMEO, "SHA-1")) is None
    with pytest.raises(ItemNotFound):
        hall.wait(accounts.remove(ROMEO))


def test_accounts_are_known_after_a_restart_and_numbers_are_not_used_again(
    hall: Hall, accounts: Accounts
) -> None:
    hall.wait(accounts.add(JULIET, {}))
    again = Accounts(hall.clock, hall.host.database, hall.host.events)
    hall.wait(again.load())

    found = again.get(ROMEO)
    assert found is not None
    assert found.created_at == START
    assert [account.jid for account in again.all()] == [JULIET, ROMEO]
    hall.wait(again.add("nurse@example.net", {"SHA-1": keys(3)}))
    assert hall.wait(again.keys(ROMEO, "SHA-1")) == keys(1)
    assert hall.wait(again.keys("nurse@example.net", "SHA-1")) == keys(3)


def test_a_disabled_account_exists_with_its_keys_and_is_not_open(
    hall: Hall, accounts: Accounts
) -> None:
    accounts.disable(ROMEO, "banished")
    again = Accounts(hall.clock, hall.host.database, hall.host.events)
    hall.wait(again.load())

    assert again.exists(ROMEO)
    assert not again.is_open(ROMEO)
    assert hall.wait(again.keys(ROMEO, "SHA-1")) == keys(1)
    again.enable(ROMEO)
    assert again.is_open(ROMEO)
    assert not again.is_open("nobody@example.net")
