"""Assertions of service accounts, checked without a JWT library and signed with one."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pushd.simulators.assertions import AssertionRefused, Grant, check

NOW = 1_795_000_000
AUDIENCE = "https://fcm.test/token"
ISSUER = "stand-in@example.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {ISSUER: {"key-1": KEY.public_key()}}
CLAIMS = {"iss": ISSUER, "scope": SCOPE, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 3600}
HEADER = {"kid": "key-1"}


def signed(header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return jwt.encode(claims, KEY, algorithm="RS256", headers=HEADER if header is None else header)


def refusal(assertion: str, now: float = NOW) -> AssertionRefused:
    with pytest.raises(AssertionRefused) as refused:
        check(assertion, KEYS, AUDIENCE, now)
    return refused.value


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_what_the_account_signed_is_granted() -> None:
    assert check(signed(), KEYS, AUDIENCE, NOW) == Grant(ISSUER, frozenset({SCOPE}))


def test_a_header_need_not_name_the_key() -> None:
    assert check(signed(header={}), KEYS, AUDIENCE, NOW).issuer == ISSUER


def test_several_scopes_are_told_apart() -> None:
    other = "https://www.googleapis.com/auth/cloud-platform"
    grant = check(signed(scope=f"{SCOPE} {other}"), KEYS, AUDIENCE, NOW)
    assert grant.scopes == {SCOPE, other}


def test_the_published_example_of_rs256_verifies() -> None:
    """RFC 7515, Appendix A.2: its claims are too old, which is noticed after the signature."""
    p = int.from_bytes(
        base64.urlsafe_b64decode(
            "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_"
            "Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc="
        )
    )
    q = int.from_bytes(
        base64.urlsafe_b64decode(
            "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7Tje"
            "LQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc="
        )
    )
    published = rsa.RSAPublicNumbers(65537, p * q).public_key()
    payload = (
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ"
    )
    signature = (
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W"
        "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS"
        "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
        "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    )
    assertion = f"eyJhbGciOiJSUzI1NiJ9.{payload}.{signature}"
    keys = {"joe": {"a": published}}
    with pytest.raises(AssertionRefused, match="Failed audience check"):
        check(assertion, keys, AUDIENCE, NOW)
    flipped = f"eyJhbGciOiJSUzI1NiJ9.{payload}.{'d' + signature[1:]}"
    with pytest.raises(AssertionRefused, match="Invalid JWT Signature"):
        check(flipped, keys, AUDIENCE, NOW)


def test_a_signature_by_another_key_is_refused() -> None:
    refused = refusal(jwt.encode(CLAIMS, OTHER_KEY, algorithm="RS256", headers=HEADER))
    assert (refused.error, refused.status) == ("invalid_grant", 400)
    assert refused.description == "Invalid JWT Signature."


def test_a_key_that_the_account_does_not_have_is_refused() -> None:
    assert refusal(signed(header={"kid": "key-2"})).description == "Invalid JWT Signature."


def test_claims_changed_after_signing_are_refused() -> None:
    header, _, signature = signed().split(".")
    changed = part(CLAIMS | {"exp": NOW + 3599})
    assert refusal(f"{header}.{changed}.{signature}").description == "Invalid JWT Signature."


def test_another_algorithm_is_refused_whatever_it_proves() -> None:
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    none = jwt.encode(CLAIMS, "", algorithm="none", headers=HEADER)
    longer = jwt.encode(CLAIMS, KEY, algorithm="RS512", headers=HEADER)
    # The old trick: the public key taken as the secret of a MAC.
    confused = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'key-1'})}.{part(CLAIMS)}"
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(mac.sign(confused.encode(), public)).rstrip(b"=").decode()
    for forged in (none, longer, f"{confused}.{signature}"):
        assert refusal(forged).error == "invalid_grant"


def test_an_account_that_nobody_knows_is_refused() -> None:
    refused = refusal(signed(iss="nobody@example.iam.gserviceaccount.com"))
    assert refused.error == "invalid_grant"
    assert refused.description == "Invalid grant: account not found"


@pytest.mark.parametrize("audience", [None, "https://oauth2.googleapis.com/token", f"{AUDIENCE}/"])
def test_an_assertion_for_somebody_else_is_refused(audience: str | None) -> None:
    assert refusal(signed(aud=audience)).description == "Invalid JWT: Failed audience check."


@pytest.mark.parametrize(
    "times",
    [
        {"exp": NOW + 3601},
        {"iat": NOW - 1, "exp": NOW + 3600},
        {"iat": NOW, "exp": NOW},
        {"iat": NOW + 10, "exp": NOW + 5},
        {"iat": None},
        {"exp": None},
        {"iat": str(NOW)},
        {"exp": True},
        {"iat": float("nan")},
        {"exp": float("inf")},
    ],
)
def test_a_life_of_more_than_an_hour_or_of_none_is_refused(times: dict[str, Any]) -> None:
    refused = refusal(signed(**times))
    assert refused.error == "invalid_grant"
    assert "short-lived token (60 minutes)" in refused.description


def test_an_assertion_holds_until_its_end_and_no_longer() -> None:
    assertion = signed()
    assert check(assertion, KEYS, AUDIENCE, NOW + 3599.9).issuer == ISSUER
    assert "reasonable timeframe" in refusal(assertion, NOW + 3600).description


def test_a_sender_s_clock_may_be_five_minutes_ahead() -> None:
    assert check(signed(), KEYS, AUDIENCE, NOW - 300).issuer == ISSUER
    assert "reasonable timeframe" in refusal(signed(), NOW - 301).description


@pytest.mark.parametrize("scope", [None, "", 7, "firebase.messaging", f"{SCOPE} messaging"])
def test_a_scope_that_does_not_exist_is_refused(scope: object) -> None:
    assert refusal(signed(scope=scope)).error == "invalid_scope"


def test_nobody_signs_in_for_somebody_else() -> None:
    refused = refusal(signed(sub="juliet@example.net"))
    assert (refused.error, refused.status) == ("unauthorized_client", 401)
    assert check(signed(sub=ISSUER), KEYS, AUDIENCE, NOW).issuer == ISSUER


@pytest.mark.parametrize(
    "assertion",
    [
        "",
        "a.b",
        "a.b.c.d",
        "..",
        f"{part([])}.{part(CLAIMS)}.AA",
        f"{part({'alg': 'RS256'})}.{part('text')}.AA",
        f"{part({'alg': 'RS256'})}.{part(CLAIMS)}.",
        f"{part({'alg': 'RS256'})}.{part(CLAIMS)}.A",
        f"{part({'alg': 'RS256'})}=.{part(CLAIMS)}.AA",
        f"{part({'alg': 'RS256'})}.{part(CLAIMS)}.AA+/",
        f"{part({'alg': 'RS256', 'kid': ['key-1']})}.{part(CLAIMS)}.AA",
        f"{base64.urlsafe_b64encode(b'[' * 6000).decode()}.{part(CLAIMS)}.AA",
    ],
)
def test_what_is_no_jwt_is_refused(assertion: str) -> None:
    assert refusal(assertion).error == "invalid_grant"
