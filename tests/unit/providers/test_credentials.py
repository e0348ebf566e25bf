"""Tokens: fetched, kept, renewed; and the assertion that a service account signs."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from pushd.providers.contract import (
    Busy,
    Credential,
    Failed,
    Fault,
    Link,
    Refused,
    Request,
    Response,
    Secret,
    Token,
)
from pushd.providers.credentials import Got, JWTBearer, Keeper, read_token, sign_rs256
from tests.unit.providers.bench import (
    NOW,
    UNREACHABLE,
    FakeTransport,
    Fixed,
    Voucher,
    rsa_key,
    token,
)


class Desk:
    """A keeper, and those who ask it."""

    def __init__(self, credential: Credential, transport: Any = None) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.transport = transport or FakeTransport()
        self.told: list[tuple[Got, Response | None, float]] = []
        self.keeper = Keeper(
            credential,
            self.transport,
            self.clock,
            Fixed(),
            25.0,
            10.0,
            lambda *told: self.told.append(told),
        )

    def ask(self) -> list[Got]:
        """Where the answer will be."""
        answers: list[Got] = []
        Deferred.fromCoroutine(self.keeper.token()).addCallback(answers.append)
        return answers

    def answer(self, answer: Response | Failed | int = 200) -> None:
        self.transport.last.answer(answer)


def test_a_token_is_fetched_once_and_kept() -> None:
    desk = Desk(Voucher(first := token("one")))
    waiting = desk.ask()
    assert waiting == []
    desk.answer()
    assert waiting == [first]
    assert desk.ask() == [first]
    assert len(desk.transport.sent) == 1
    assert desk.transport.last.timeout == 25.0


def test_a_service_is_asked_again_after_an_hour_whatever_it_asks_for() -> None:
    desk = Desk(Voucher(Busy(9e9, reason="503"), second := token("right", NOW + 3600)))
    desk.ask()
    desk.answer()
    desk.clock.advance(3599)
    assert desk.ask() == [Busy(9e9, reason="503")]
    desk.clock.advance(1)
    waiting = desk.ask()
    desk.answer()
    assert waiting == [second]


def test_all_who_ask_during_a_renewal_wait_for_the_one_answer() -> None:
    desk = Desk(Voucher(first := token("one")))
    waiting = [desk.ask() for _ in range(5)]
    assert len(desk.transport.sent) == 1
    desk.answer()
    assert waiting == [[first]] * 5


def test_a_token_is_renewed_at_four_fifths_of_its_life() -> None:
    desk = Desk(Voucher(first := token("one"), second := token("two", NOW + 800)))
    desk.ask()
    desk.answer()
    desk.clock.advance(799)
    assert desk.ask() == [first]
    desk.clock.advance(1)
    waiting = desk.ask()
    assert waiting == []
    desk.answer()
    assert waiting == [second]


def test_a_renewal_that_fails_early_leaves_the_token_that_is_still_good() -> None:
    first = token("one")
    desk = Desk(Voucher(first, Busy(), Busy(after=300)))
    desk.ask()
    desk.answer()
    desk.clock.advance(800)
    waiting = desk.ask()
    desk.answer(503)
    assert waiting == [first]
    assert desk.ask() == [first]
    assert len(desk.transport.sent) == 2
    desk.clock.advance(10)
    waiting = desk.ask()
    desk.answer(503)
    assert waiting == [first]
    desk.clock.advance(200)
    assert desk.ask() == [Busy(after=300)]


def test_after_a_failure_the_service_is_left_alone_for_growing_pauses() -> None:
    failure = Busy(reason="503")
    desk = Desk(Voucher(*[failure] * 3, token("one")))
    desk.keeper._random = Fixed(1)
    pauses = []
    for _ in range(3):
        desk.ask()
        desk.answer(503)
        assert desk.ask() == [failure]
        pauses.append(desk.keeper.retry_at - desk.clock.seconds())
        desk.clock.advance(pauses[-1])
    assert pauses == [20, 30, 50]
    assert len(desk.transport.sent) == 3


def test_a_service_that_says_when_to_come_again_is_obeyed() -> None:
    desk = Desk(Voucher(Busy(after=77)))
    desk.ask()
    desk.answer(503)
    assert desk.keeper.retry_at == NOW + 77


def test_no_answer_is_a_busy_backend() -> None:
    desk = Desk(Voucher())
    waiting = desk.ask()
    desk.answer(UNREACHABLE)
    assert waiting == [Busy(reason="token endpoint: no connection")]


def test_what_came_of_each_request_is_told_with_its_time() -> None:
    desk = Desk(Voucher(first := token("one")))
    desk.ask()
    desk.clock.advance(3)
    desk.answer()
    assert desk.told == [(first, Response(200), 3)]


def test_a_stale_token_is_discarded_once_for_all_who_hold_it() -> None:
    desk = Desk(Voucher(first := token("one"), second := token("two")))
    desk.ask()
    desk.answer()
    assert desk.keeper.discard(first)
    waiting = desk.ask()
    desk.answer()
    assert waiting == [second]
    assert desk.keeper.discard(first)
    assert desk.ask() == [second]


def test_a_token_that_is_too_young_to_be_stale_is_kept() -> None:
    credential = Voucher(first := token("one"))
    credential.minimum_age = 60
    desk = Desk(credential)
    desk.ask()
    desk.answer()
    desk.clock.advance(59)
    assert not desk.keeper.discard(first)
    assert desk.ask() == [first]
    desk.clock.advance(1)
    assert desk.keeper.discard(first)


def test_one_who_stops_waiting_does_not_stop_the_others() -> None:
    desk = Desk(Voucher(first := token("one")))
    gone = Deferred.fromCoroutine(desk.keeper.token())
    waiting = desk.ask()
    gone.addErrback(lambda _: None)
    gone.cancel()
    desk.answer()
    assert waiting == [first]


def test_closing_cancels_the_renewal_under_way() -> None:
    desk = Desk(Voucher())
    desk.ask()
    desk.keeper.close()
    assert desk.transport.last.is_cancelled


class Minted(Credential):
    """Makes its tokens itself."""

    def __init__(self, life: float) -> None:
        self.life = life
        self.made = 0

    def request(self, now: float) -> Request | Token:
        self.made += 1
        return token(f"minted-{self.made}", now, self.life)

    def accept(self, response: Response, now: float) -> Token | Busy | Refused:
        raise AssertionError("nothing was asked")


def test_a_token_may_be_made_without_asking_anyone() -> None:
    desk = Desk(Minted(1000))
    assert desk.ask() == desk.ask() == [token("minted-1")]
    desk.clock.advance(800)
    assert desk.ask() == [token("minted-2", NOW + 800)]
    assert desk.transport.sent == []


def test_a_token_that_is_dead_on_arrival_is_the_operators_business() -> None:
    desk = Desk(Minted(0))
    (got,) = desk.ask()
    assert isinstance(got, Refused)
    assert got.alarm


class Broken(Credential):
    def request(self, now: float) -> Request | Token:
        raise ZeroDivisionError

    def accept(self, response: Response, now: float) -> Token | Busy | Refused:
        raise ZeroDivisionError


class BrokenReader(Broken):
    def request(self, now: float) -> Request | Token:
        return Request("https://token.example.net/")


class BrokenTransport:
    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        return fail(ZeroDivisionError())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Desk(Broken()),
        lambda: Desk(BrokenReader(), FakeTransport(lambda _: Response(200))),
        lambda: Desk(BrokenReader(), BrokenTransport()),
    ],
)
def test_a_fault_in_our_own_code_leaves_nobody_waiting(make: Callable[[], Desk]) -> None:
    desk = make()
    (got,) = desk.ask()
    assert isinstance(got, Refused)
    assert got.alarm


# The assertion.


def number(text: str) -> int:
    return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def rfc7515_key() -> rsa.RSAPrivateKey:
    """The key of RFC 7515 A.2, from its primes."""
    p = number(
        "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_"
        "Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc"
    )
    q = number(
        "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7Tje"
        "LQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc"
    )
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    exponents = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *exponents, public).private_key()


def test_the_signature_of_rfc_7515_a_2_is_reproduced() -> None:
    payload = b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'
    signed = sign_rs256(payload, rfc7515_key(), {})
    header, content, signature = signed.split(".")
    assert header == "eyJhbGciOiJSUzI1NiJ9"
    assert content == (
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ"
    )
    assert signature == (
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W"
        "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
        "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
        "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    )


def bearer(link: Link = Link()) -> JWTBearer:  # noqa: B008  frozen
    return JWTBearer(
        "https://oauth2.example.net/token",
        "pusher@example.net",
        "a-scope",
        rsa_key(),
        "key-1",
        link,
    )


def test_a_service_account_asks_with_a_signed_assertion() -> None:
    link = Link()
    request = bearer(link).request(NOW + 0.9)
    assert (request.method, request.url) == ("POST", "https://oauth2.example.net/token")
    assert request.headers == {"content-type": "application/x-www-form-urlencoded"}
    assert request.link is link
    form = parse_qs(request.body.decode(), strict_parsing=True)
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    (assertion,) = form["assertion"]
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    claims = jwt.decode(
        assertion,
        rsa_key().public_key(),
        ["RS256"],
        audience="https://oauth2.example.net/token",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims == {
        "iss": "pusher@example.net",
        "scope": "a-scope",
        "aud": "https://oauth2.example.net/token",
        "iat": int(NOW),
        "exp": int(NOW) + 3600,
    }


def reply(status: int, headers: dict[str, str] | None = None, **content: Any) -> Response:
    return Response(status, headers or {}, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("expires_in", "life"), [(3599, 3599), ("3599", 3599), (0.5, 0.5), (None, 300)]
)
def test_a_token_lives_as_long_as_the_service_says(expires_in: Any, life: float) -> None:
    content: dict[str, Any] = {"access_token": "ya29.x", "token_type": "Bearer"}
    if expires_in is not None:
        content["expires_in"] = expires_in
    assert bearer().accept(reply(200, **content), NOW) == Token(Secret("ya29.x"), NOW, NOW + life)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": "x", "expires_in": 0},
        {"access_token": "x", "expires_in": -1},
        {"access_token": "x", "expires_in": "soon"},
        {"access_token": "x", "expires_in": True},
    ],
)
def test_a_reply_without_a_usable_token_is_the_operators_business(content: dict[str, Any]) -> None:
    got = read_token(reply(200, **content), NOW)
    assert isinstance(got, Refused)
    assert got.alarm


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "invalid_grant"), (401, "invalid_client"), (403, "access_denied"), (404, ""), (302, "")],
)
def test_a_credential_that_is_not_taken_is_the_operators_business(status: int, error: str) -> None:
    got = read_token(reply(status, error=error, error_description="eyJhbGciOi"), NOW)
    assert isinstance(got, Refused)
    assert got.alarm
    assert str(status) in got.reason
    assert error in got.reason
    assert "eyJ" not in got.reason


def test_an_error_that_is_no_word_of_the_specification_is_not_repeated() -> None:
    got = read_token(reply(400, error="your key is MIIEvQ"), NOW)
    assert got == Refused("token endpoint: HTTP 400", alarm=True)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_token_endpoint_in_trouble_is_a_busy_backend(status: int) -> None:
    assert read_token(reply(status), NOW) == Busy(reason=f"token endpoint: HTTP {status}")
    told = read_token(reply(status, {"Retry-After": "9"}), NOW)
    assert isinstance(told, Busy)
    assert told.after == 9


def test_a_timeout_is_told_as_such() -> None:
    desk = Desk(Voucher(), FakeTransport(lambda _: Failed(Fault.TIMEOUT, "no answer within 25 s")))
    assert desk.ask() == [Busy(reason="token endpoint: no answer within 25 s")]


def test_a_token_may_say_itself_when_the_next_one_is_due() -> None:
    assert Token(Secret("x"), NOW, NOW + 3600, good_for=3000).renew_at == NOW + 3000
