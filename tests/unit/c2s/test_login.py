"""Logins against stored keys: every mechanism, and everything that is refused."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from pushd.c2s.guard import Guard, Patience
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
        self.origin = "192.0.2.1"
        for account in (ROMEO, "juliet@example.net"):
            self.hall.wait(self.accounts.add(account, keys))
        self.logins = Logins(self.accounts, b"pepper", at_once, Guard(self.hall.clock))

    def attempt(self, channel: Mapping[str, bytes] | None = BINDINGS) -> "Attempt":
        return Attempt(self, Login(self.logins, "example.net", channel, self.origin))


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


# Accounts that exist and accounts that do not: the same answer, for the same work.


class Work:
    """Counts what takes time: hashes in threads, questions to storage, and waits."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[object, ...]] = []
        database, clock = desk.hall.host.database, desk.hall.clock
        read, later = database.read, clock.callLater

        def counted_read(sql: str, parameters: tuple[Any, ...] = ()) -> "Deferred[Any]":
            self.done.append(("read", sql, len(parameters)))
            return read(sql, parameters)

        def counted_thread(work: Callable[..., Any], *given: Any) -> "Deferred[Any]":
            keys = given[0]
            self.done.append(("hash", work, len(keys.salt), keys.iterations, len(keys.stored_key)))
            return succeed(work(*given))

        def counted_wait(delay: float, *given: Any, **named: Any) -> Any:
            if delay:
                self.done.append(("wait", delay))
                delay = 0.0  # so that no test has to let time pass for it
            return later(delay, *given, **named)

        monkeypatch.setattr(database, "read", counted_read)
        monkeypatch.setattr(clock, "callLater", counted_wait)
        desk.logins.in_thread = counted_thread


def shape(said: Element) -> object:
    """What an answer looks like, but for what is random and what names the user."""
    if said.name != "challenge":
        return said.toXml()
    nonce, salt, iterations = base64.b64decode(str(said)).decode().split(",")
    return len(nonce), len(base64.b64decode(salt[2:])), iterations


@pytest.mark.parametrize("failures", [0, 8, 50], ids=["at first", "slowed", "put off"])
@pytest.mark.parametrize("mechanism", [*SCRAM, "PLAIN"])
def test_no_answer_and_no_work_tells_whether_there_is_an_account(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, failures: int
) -> None:
    def seen(user: str) -> tuple[list[object], list[tuple[object, ...]]]:
        with monkeypatch.context() as patch:
            desk = Desk()
            keys: dict[str, ScramKeys] = {
                name: derive(name, PASSWORD) for name in HASHES
            }  # as they are made today
            desk.hall.wait(desk.accounts.set_keys(ROMEO, keys))
            desk.logins.guard.patience = Patience(per_address=20, per_account=5)
            desk.logins.guard.succeeded(
                desk.logins.guard.attempt(desk.origin, "juliet@example.net")
            )
            for _ in range(failures):
                desk.logins.guard.attempt(desk.origin, f"{user}@example.net")
            work, attempt = Work(desk, patch), desk.attempt()
            if mechanism == "PLAIN":
                answers = [attempt.plain(user, "wrong")]
            else:
                hash, plus = SCRAM[mechanism]
                binding = ("tls-exporter", BINDINGS["tls-exporter"]) if plus else None
                client = ScramClient(hash, user, Secret("wrong"), binding, plus)
                challenge = attempt.begin(mechanism, client.first())
                final = client.final(base64.b64decode(str(challenge)))
                answers = [challenge, attempt.respond(final)]
            return [shape(answer) for answer in answers], work.done

    answers, work = seen("romeo")
    assert (answers, work) == seen("nobody")
    [*_, last] = answers
    assert isinstance(last, str)
    assert ("temporary-auth-failure" if failures == 50 else "not-authorized") in last
    assert any(kind == "wait" for kind, *_ in work) == (failures > 5)
    assert [kind for kind, *_ in work if kind != "wait"] == (
        ["read", "hash"] if mechanism == "PLAIN" else ["read"]
    )


# Failed logins.


def test_an_address_that_fails_too_often_is_put_off_before_anything_is_worked_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.logins.guard.patience = Patience(per_address=2)
    for _ in range(2):
        assert condition(desk.attempt().plain("romeo", "wrong")) == "not-authorized"
    work = Work(desk, monkeypatch)

    for mechanism in ("PLAIN", "SCRAM-SHA-1"):
        outcome = desk.attempt().begin(mechanism, b"\0romeo\0secret")
        assert condition(outcome) == "temporary-auth-failure"
    assert work.done == []

    desk.hall.advance(10)
    assert desk.attempt().plain("romeo", "secret").name == "success"


def test_who_is_at_home_logs_in_while_others_are_put_off(desk: Desk) -> None:
    desk.logins.guard.patience = Patience(per_address=2)
    assert desk.attempt().plain("romeo", "secret").name == "success"
    for _ in range(2):
        desk.attempt().plain("nobody", "wrong")

    assert condition(desk.attempt().plain("juliet", "secret")) == "temporary-auth-failure"
    assert condition(desk.attempt().plain("romeo", "wrong")) == "temporary-auth-failure"
    assert desk.attempt().plain("romeo", "secret").name == "success"


@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_an_account_under_attack_is_slow_to_answer_and_not_lost(desk: Desk, password: str) -> None:
    desk.logins.guard.patience = Patience(per_account=2)
    for number in range(2):
        desk.origin = f"192.0.2.{number}"
        desk.attempt().plain("romeo", "wrong")

    working = desk.attempt().login.begin("PLAIN", encoded(f"\0romeo\0{password}".encode()))
    desk.hall.advance(0.4)
    assert not working.called
    desk.hall.advance(0.1)

    assert parse(desk.hall.wait(working)).name == ("success" if password == "secret" else "failure")


def test_a_stream_that_is_lost_while_it_waits_leaves_no_timer(desk: Desk) -> None:
    desk.logins.guard.patience = Patience(per_account=1)
    desk.attempt().plain("romeo", "wrong")
    timers = len(desk.hall.clock.getDelayedCalls())
    attempt = desk.attempt()
    working = attempt.login.begin("PLAIN", encoded(b"\0romeo\0secret"))

    attempt.login.abandon()

    assert len(desk.hall.clock.getDelayedCalls()) == timers
    assert condition(parse(desk.hall.wait(working))) == "aborted"
    assert attempt.who == ""


def test_a_storage_that_fails_is_nobodys_failure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.logins.guard.patience = Patience(per_address=1)

    def failing(sql: str, parameters: object = ()) -> "Deferred[Any]":
        return fail(StorageError("full"))

    with monkeypatch.context() as patch:
        patch.setattr(desk.hall.host.database, "read", failing)
        desk.attempt().plain("romeo", "secret")

    assert desk.attempt().plain("romeo", "secret").name == "success"
