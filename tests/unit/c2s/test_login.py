"""Logins against stored keys: every mechanism, and everything that is refused."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from pushd.c2s.login import Login, Logins
from pushd.storage.errors import StorageError
from pushd.wire.element import Element, parse
from pushd.wire.sasl import SCRAM, ScramClient, ScramKeys
from pushd.wire.scram import Hash, derive
from pushd.wire.secret import Secret
from tests.hall import Hall

NS = "urn:ietf:params:xml:ns:xmpp-sasl"
PASSWORD = Secret("secret")
BINDINGS = {"tls-exporter": b"exported", "tls-server-end-point": b"hashed"}
HASHES: tuple[Hash, ...] = ("SHA-1", "SHA-256", "SHA-512")
ROMEO = "romeo@example.net"


def at_once(work: Callable[..., Any], *given: Any) -> "Deferred[Any]":
    return succeed(work(*given))


class Desk:
    """Where accounts log in; `channel` is None without TLS."""

    def __init__(self) -> None:
        self.hall = Hall()
        keys: dict[str, ScramKeys] = {
            name: derive(name, PASSWORD, b"salt", 4_096) for name in HASHES
        }
        self.accounts = self.hall.host.accounts
        for account in (ROMEO, "juliet@example.net"):
            self.hall.wait(self.accounts.add(account, keys))
        self.logins = Logins(self.accounts, b"pepper", at_once)

    def attempt(self, channel: Mapping[str, bytes] | None = BINDINGS) -> "Attempt":
        return Attempt(self, Login(self.logins, "example.net", channel))


class Attempt:
    """One login, from the client's side."""

    def __init__(self, desk: Desk, login: Login) -> None:
        self.desk = desk
        self.login = login

    def begin(self, mechanism: str, message: bytes | str = b"") -> Element:
        return self._told(self.login.begin(mechanism, encoded(message)))

    def respond(self, message: bytes | str) -> Element:
        return self._told(self.login.respond(encoded(message)))

    def plain(self, user: str, password: str, authzid: str = "") -> Element:
        return self.begin("PLAIN", f"{authzid}\0{user}\0{password}".encode())

    def scram(
        self, mechanism: str, user: str = "romeo", password: Secret = PASSWORD, kind: str = ""
    ) -> Element:
        hash, plus = SCRAM[mechanism]
        binding = (kind, BINDINGS[kind]) if plus else None
        client = ScramClient(hash, user, password, binding, plus)
        challenge = self.begin(mechanism, client.first())
        if challenge.name != "challenge":
            return challenge
        outcome = self.respond(client.final(base64.b64decode(str(challenge))))
        if outcome.name == "success":
            client.verify(base64.b64decode(str(outcome)))
        return outcome

    @property
    def who(self) -> str:
        return self.login.account.full if self.login.account is not None else ""

    def _told(self, working: "Deferred[bytes]") -> Element:
        return parse(self.desk.hall.wait(working))


def encoded(message: bytes | str) -> str:
    return message if isinstance(message, str) else base64.b64encode(message).decode()


def condition(failure: Element) -> str:
    assert (failure.name, failure.uri) == ("failure", NS)
    return str(next(failure.elements()).name)


@pytest.fixture
def desk() -> Desk:
    return Desk()


# What is offered.


def offered(desk: Desk, channel: Mapping[str, bytes] | None) -> list[str]:
    return [str(one) for one in desk.logins.features(channel)[0].elements()]


def test_under_tls_everything_is_offered_the_strongest_first(desk: Desk) -> None:
    assert offered(desk, BINDINGS) == [*SCRAM, "PLAIN"]
    kinds = [one["type"] for one in desk.logins.features(BINDINGS)[1].elements()]
    assert kinds == list(BINDINGS)


def test_without_a_binding_there_is_no_plus_and_no_list_of_bindings(desk: Desk) -> None:
    assert offered(desk, {}) == ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
    assert len(desk.logins.features({})) == 1


def test_without_tls_passwords_are_not_asked_for(desk: Desk) -> None:
    assert offered(desk, None) == ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"]


# Logins that succeed.


@pytest.mark.parametrize("kind", BINDINGS)
@pytest.mark.parametrize("mechanism", SCRAM)
def test_scram_lets_in_and_proves_that_the_server_knows_the_keys(
    desk: Desk, mechanism: str, kind: str
) -> None:
    attempt = desk.attempt()

    assert attempt.scram(mechanism, kind=kind).name == "success"
    assert (attempt.who, attempt.login.is_over) == (ROMEO, True)


def test_plain_lets_in_under_tls(desk: Desk) -> None:
    attempt = desk.attempt()

    assert attempt.plain("romeo", "secret").name == "success"
    assert attempt.who == ROMEO


def test_the_first_message_may_come_on_request(desk: Desk) -> None:
    attempt = desk.attempt()

    challenge = attempt.begin("PLAIN")
    assert (challenge.name, str(challenge)) == ("challenge", "")

    assert attempt.respond(b"\0romeo\0secret").name == "success"


def test_a_user_may_be_named_twice_and_in_capitals(desk: Desk) -> None:
    attempt = desk.attempt()

    assert attempt.plain("Romeo", "secret", "romeo@EXAMPLE.net").name == "success"
    assert attempt.who == ROMEO


# Logins that fail.


@pytest.mark.parametrize("mechanism", [*SCRAM, "PLAIN"])
@pytest.mark.parametrize("user", ["romeo", "nobody"])
def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(
    desk: Desk, mechanism: str, user: str
) -> None:
    attempt = desk.attempt()
    if mechanism == "PLAIN":
        outcome = attempt.plain(user, "wrong")
    else:
        outcome = attempt.scram(mechanism, user, Secret("wrong"), "tls-exporter")

    assert condition(outcome) == "not-authorized"
    assert (attempt.who, attempt.login.is_over) == ("", True)


def test_the_salt_of_an_unknown_user_stays_as_that_of_a_known_one_does(desk: Desk) -> None:
    def salt(user: str) -> list[str]:
        challenge = desk.attempt().begin("SCRAM-SHA-256", f"n,,n={user},r=abc".encode())
        return base64.b64decode(str(challenge)).decode().split(",")[1:]

    assert salt("nobody") == salt("nobody")
    assert salt("nobody") != salt("anybody")


@pytest.mark.parametrize("mechanism", [*SCRAM, "PLAIN"])
@pytest.mark.parametrize("authzid", ["juliet@example.net", "romeo@example.org", "example.net"])
def test_nobody_logs_in_for_somebody_else(desk: Desk, mechanism: str, authzid: str) -> None:
    attempt = desk.attempt()
    if mechanism == "PLAIN":
        outcome = attempt.plain("romeo", "secret", authzid)
    else:
        flag = "p=tls-exporter" if SCRAM[mechanism][1] else "n"
        outcome = attempt.begin(mechanism, f"{flag},a={authzid},n=romeo,r=abc".encode())

    assert condition(outcome) == "invalid-authzid"
    assert attempt.who == ""


@pytest.mark.parametrize(
    ("mechanism", "channel", "expected"),
    [
        ("ANONYMOUS", BINDINGS, "invalid-mechanism"),
        ("EXTERNAL", BINDINGS, "invalid-mechanism"),
        ("DIGEST-MD5", BINDINGS, "invalid-mechanism"),
        ("", BINDINGS, "invalid-mechanism"),
        ("plain", BINDINGS, "invalid-mechanism"),
        ("PLAIN", None, "encryption-required"),
        ("SCRAM-SHA-1-PLUS", {}, "invalid-mechanism"),
        ("SCRAM-SHA-1-PLUS", None, "invalid-mechanism"),
    ],
)
def test_what_was_not_offered_is_not_accepted(
    desk: Desk, mechanism: str, channel: Mapping[str, bytes] | None, expected: str
) -> None:
    attempt = desk.attempt(channel)

    assert condition(attempt.begin(mechanism, b"\0romeo\0secret")) == expected


def test_a_client_that_was_robbed_of_channel_binding_is_not_let_in(desk: Desk) -> None:
    outcome = desk.attempt().begin("SCRAM-SHA-256", b"y,,n=romeo,r=abc")

    assert condition(outcome) == "not-authorized"


def test_the_binding_of_another_connection_does_not_bind(desk: Desk) -> None:
    attempt = desk.attempt({**BINDINGS, "tls-exporter": b"of another connection"})

    outcome = attempt.scram("SCRAM-SHA-256-PLUS", kind="tls-exporter")

    assert condition(outcome) == "not-authorized"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("!!", "incorrect-encoding"),
        ("=", "malformed-request"),
        (b"romeo", "malformed-request"),
        (b"\0\0secret", "malformed-request"),
        (b"\0romeo\0", "malformed-request"),
        (b"\0\xff\0secret", "malformed-request"),
        (b"\0romeo\0secret\0more", "malformed-request"),
        (b"\0ro@meo\0secret", "not-authorized"),
    ],
)
def test_a_message_of_plain_that_makes_no_sense_is_refused(
    desk: Desk, message: bytes | str, expected: str
) -> None:
    assert condition(desk.attempt().begin("PLAIN", message)) == expected


def test_a_message_of_scram_comes_once(desk: Desk) -> None:
    attempt = desk.attempt()
    attempt.begin("SCRAM-SHA-256", b"n,,n=romeo,r=abc")

    assert condition(attempt.respond(b"n,,n=romeo,r=abc")) == "malformed-request"


def test_a_login_is_aborted_by_its_client(desk: Desk) -> None:
    attempt = desk.attempt()
    attempt.begin("SCRAM-SHA-256", b"n,,n=romeo,r=abc")

    assert condition(parse(attempt.login.abort())) == "aborted"
    assert attempt.login.is_over


# Accounts that change, storage that fails, streams that are lost.


def test_an_account_removed_during_its_login_is_not_let_in(desk: Desk) -> None:
    attempt = desk.attempt()
    client = ScramClient("SHA-256", "romeo", PASSWORD)
    challenge = attempt.begin("SCRAM-SHA-256", client.first())

    desk.hall.wait(desk.accounts.remove(ROMEO))

    final = client.final(base64.b64decode(str(challenge)))
    assert condition(attempt.respond(final)) == "not-authorized"
    assert attempt.who == ""


def test_a_storage_that_fails_is_a_temporary_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(sql: str, parameters: object = ()) -> "Deferred[Any]":
        return fail(StorageError("full"))

    monkeypatch.setattr(desk.hall.host.database, "read", failing)

    assert condition(desk.attempt().plain("romeo", "secret")) == "temporary-auth-failure"


def test_a_login_whose_stream_is_gone_lets_nobody_in(desk: Desk) -> None:
    waiting: list[Deferred[bool]] = []

    def later(work: Callable[..., Any], *given: Any) -> "Deferred[Any]":
        waiting.append(Deferred())
        return waiting[-1]

    desk.logins.in_thread = later
    attempt = desk.attempt()
    working = attempt.login.begin("PLAIN", encoded(b"\0romeo\0secret"))
    desk.hall.advance(0)

    attempt.login.abandon()
    waiting[0].callback(True)

    assert condition(parse(desk.hall.wait(working))) == "not-authorized"
    assert attempt.who == ""


# Accounts that are disabled.


@pytest.mark.parametrize("mechanism", ["PLAIN", *SCRAM])
def test_that_an_account_is_disabled_is_told_to_who_knows_its_password(
    desk: Desk, mechanism: str
) -> None:
    desk.accounts.disable(ROMEO, "banished")

    def attempt(password: Secret) -> Element:
        made = desk.attempt()
        if mechanism == "PLAIN":
            return made.plain("romeo", password.reveal())
        return made.scram(mechanism, password=password, kind="tls-exporter")

    refused, wrong = attempt(PASSWORD), attempt(Secret("wrong"))

    assert (condition(refused), str(next(refused.elements(NS, "text")))) == (
        "account-disabled",
        "banished",
    )
    assert condition(wrong) == "not-authorized"
    assert len(list(wrong.elements())) == 1


def test_an_account_that_is_enabled_again_lets_in(desk: Desk) -> None:
    desk.accounts.disable(ROMEO, "")
    assert condition(desk.attempt().plain("romeo", "secret")) == "account-disabled"

    desk.accounts.enable(ROMEO)

    assert desk.attempt().plain("romeo", "secret").name == "success"
