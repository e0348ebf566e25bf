"""Accounts as an operator has them, over a real hall: answers with data, refusals with words."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from pushd.admin.operations import LONGEST_REASON, Operations, Refused
from pushd.admin.users import HASHES, Users
from pushd.routing.accounts import Accounts
from pushd.routing.events import AccountRemoved
from pushd.wire.sasl import verify
from pushd.wire.secret import Secret
from tests.hall import START, Hall


def at_once(work: Callable[..., Any], *given: Any) -> "Deferred[Any]":
    return succeed(work(*given))


@pytest.fixture
def hall() -> Hall:
    return Hall(domains=("example.net", "example.org"))


@pytest.fixture
def users(hall: Hall) -> Users:
    host = hall.host
    return Users(host.domains, host.accounts, host.database, at_once)


def call(hall: Hall, users: Users, name: str, arguments: Mapping[str, Any]) -> Any:
    return hall.wait(Operations(users).call(name, arguments))


def test_an_account_gets_keys_for_every_hash_and_no_password_is_stored(
    hall: Hall, users: Users
) -> None:
    result = hall.wait(users.add("romeo@example.net", Secret("pilot")))

    assert result == {"jid": "romeo@example.net"}
    for name in HASHES:
        keys = hall.wait(hall.host.accounts.keys("romeo@example.net", name))
        assert verify(keys, name, "pilot")
    assert not any(b"pilot" in str(row).encode() for row in hall.rows("SELECT * FROM credentials"))


def test_an_address_is_prepared_as_a_login_prepares_it(hall: Hall, users: Users) -> None:
    result = hall.wait(users.add("Romeo@EXAMPLE.net", Secret("pilot")))

    assert result == {"jid": "romeo@example.net"}


@pytest.mark.parametrize(
    ("jid", "words"),
    [
        ("example.net", "example.net is not of the form name@domain"),
        ("romeo@example.net/orchard", "romeo@example.net/orchard is not of the form name@domain"),
        (
            "romeo@example.com",
            "example.com is not served here; served: example.net, example.org",
        ),
    ],
)
def test_what_can_be_no_account_here_is_refused(
    hall: Hall, users: Users, jid: str, words: str
) -> None:
    with pytest.raises(Refused) as refused:
        hall.wait(users.add(jid, Secret("pilot")))

    assert str(refused.value) == words


@pytest.mark.parametrize(
    "jid", ["ro meo@example.net", "henry\u2163@example.net", "\u265a@example.net"]
)
def test_a_malformed_address_is_refused_with_the_fault(hall: Hall, users: Users, jid: str) -> None:
    """Also one that is read where it is another server's (RFC 7622 §3.5, table 2)."""
    with pytest.raises(Refused, match=rf"^{jid} is not an address: "):
        hall.wait(users.add(jid, Secret("pilot")))


def test_an_account_is_not_made_twice(hall: Hall, users: Users) -> None:
    hall.wait(users.add("romeo@example.net", Secret("pilot")))

    with pytest.raises(Refused, match=r"romeo@example.net: the account exists already"):
        hall.wait(users.add("romeo@example.net", Secret("another")))

    keys = hall.wait(hall.host.accounts.keys("romeo@example.net", "SHA-256"))
    assert verify(keys, "SHA-256", "pilot")


def test_another_password_replaces_the_keys(hall: Hall, users: Users) -> None:
    hall.wait(users.add("romeo@example.net", Secret("pilot")))
    hall.wait(users.passwd("romeo@example.net", Secret("montague")))

    keys = hall.wait(hall.host.accounts.keys("romeo@example.net", "SHA-1"))
    assert verify(keys, "SHA-1", "montague")
    assert not verify(keys, "SHA-1", "pilot")


@pytest.mark.parametrize("name", ["user-passwd", "user-del", "user-disable", "user-enable"])
def test_nothing_is_done_to_an_account_that_there_is_not(
    hall: Hall, users: Users, name: str
) -> None:
    arguments = {"jid": "romeo@example.net"}
    if name == "user-passwd":
        arguments["password"] = "pilot"

    with pytest.raises(Refused, match=r"romeo@example.net: no such account"):
        call(hall, users, name, arguments)


def test_a_password_that_no_preparation_allows_is_refused_without_repeating_it(
    hall: Hall, users: Users
) -> None:
    with pytest.raises(Refused, match="this password cannot be used: ") as refused:
        hall.wait(users.add("romeo@example.net", Secret("bell\x07tower")))

    assert "tower" not in str(refused.value)


def test_a_removed_account_takes_its_sessions_along(hall: Hall) -> None:
    ended: list[tuple[str, str]] = []
    host = hall.host
    users = Users(
        host.domains,
        host.accounts,
        host.database,
        at_once,
        lambda account, reason: ended.append((account, reason)),
    )
    hall.wait(users.add("romeo@example.net", Secret("pilot")))

    hall.wait(users.remove("romeo@example.net"))

    assert ended == [("romeo@example.net", "the account was removed")]
    assert not hall.host.accounts.exists("romeo@example.net")
    assert hall.events(AccountRemoved) == [AccountRemoved("romeo@example.net")]


def test_accounts_are_listed_by_domain(hall: Hall, users: Users) -> None:
    for jid in ("romeo@example.net", "juliet@example.org"):
        hall.wait(users.add(jid, Secret("pilot")))
    romeo = {"jid": "romeo@example.net", "created_at": START, "disabled": False, "reason": ""}
    juliet = {"jid": "juliet@example.org", "created_at": START, "disabled": False, "reason": ""}

    assert call(hall, users, "user-list", {}) == {"accounts": [juliet, romeo]}
    assert call(hall, users, "user-list", {"domain": "example.net"}) == {"accounts": [romeo]}
    with pytest.raises(Refused, match=r"example.com is not served here"):
        call(hall, users, "user-list", {"domain": "example.com"})


def test_a_served_domain_may_have_no_accounts(hall: Hall, users: Users) -> None:
    assert call(hall, users, "user-list", {"domain": "example.net"}) == {"accounts": []}


def test_a_disabled_account_is_listed_with_its_reason_until_it_is_enabled(
    hall: Hall, users: Users
) -> None:
    hall.wait(users.add("romeo@example.net", Secret("pilot")))

    hall.wait(users.disable("romeo@example.net", "banished"))
    [shown] = hall.wait(users.show())["accounts"]
    assert (shown["disabled"], shown["reason"]) == (True, "banished")

    again = Accounts(hall.clock, hall.host.database, hall.host.events)
    hall.wait(again.load())
    assert again.get("romeo@example.net") == hall.host.accounts.get("romeo@example.net")

    hall.wait(users.enable("romeo@example.net"))
    [shown] = hall.wait(users.show())["accounts"]
    assert (shown["disabled"], shown["reason"]) == (False, "")


@pytest.mark.parametrize("reason", ["two\nlines", "bell\x07", "x" * (LONGEST_REASON + 1)])
def test_a_reason_that_no_client_could_show_is_refused(
    hall: Hall, users: Users, reason: str
) -> None:
    hall.wait(users.add("romeo@example.net", Secret("pilot")))

    with pytest.raises(Refused, match="the reason: one line"):
        hall.wait(users.disable("romeo@example.net", reason))

    assert hall.host.accounts.is_open("romeo@example.net")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("user-frobnicate", {}, "there is no operation user-frobnicate"),
        ("user-add", {}, "the operation user-add: missing a required argument: 'jid'"),
        ("user-del", {"name": "x"}, "the operation user-del: missing a required argument: 'jid'"),
        ("user-del", {"jid": ["romeo"]}, "jid: a text is expected"),
        ("user-add", {"jid": "romeo@example.net", "password": 7}, "password: a text is expected"),
    ],
)
def test_what_is_no_operation_is_refused(
    hall: Hall, users: Users, name: str, arguments: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(Refused) as refused:
        call(hall, users, name, arguments)

    assert str(refused.value) == words
