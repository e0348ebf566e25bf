"""VAPID tokens: the example of RFC 8292, and what does not hold."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pushd.simulators.webpush_vapid import Refused, check
from tests.unit.simulators.webpush_bench import b64, point, unb64

# RFC 8292 §2.4.
TOKEN = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0"
    "NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCG"
    "SK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
)
KEY = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
HEADER = f"vapid t={TOKEN},k={KEY}"
ORIGIN = "https://push.example.net"
EXPIRES = 1_453_523_768
HALF_A_DAY_BEFORE = 1_453_480_568


def test_the_example_of_rfc_8292_holds() -> None:
    signer = check(HEADER, ORIGIN, HALF_A_DAY_BEFORE)
    assert signer.key == KEY
    assert signer.claims == {
        "aud": ORIGIN,
        "exp": EXPIRES,
        "sub": "mailto:push@example.com",
    }


@pytest.mark.parametrize(
    "header",
    [
        f"Vapid t={TOKEN}, k={KEY}",
        f"VAPID k={KEY},t={TOKEN}",
        f'vapid t="{TOKEN}", k="{KEY}"',
    ],
)
def test_the_header_may_be_written_otherwise(header: str) -> None:
    assert check(header, ORIGIN, HALF_A_DAY_BEFORE).key == KEY


def _flipped(text: str) -> str:
    data = bytearray(unb64(text))
    data[-1] ^= 1
    return b64(bytes(data))


HEAD, CLAIMS, SIGNATURE = TOKEN.split(".")


@pytest.mark.parametrize(
    ("header", "origin", "now", "words"),
    [
        (HEADER, ORIGIN, EXPIRES, "expiry"),
        (HEADER, ORIGIN, EXPIRES + 1, "expiry"),
        (HEADER, ORIGIN, EXPIRES - 25 * 3600, "too long"),
        (HEADER, "https://push.example.org", HALF_A_DAY_BEFORE, "audience"),
        (HEADER, "https://push.example.net:8443", HALF_A_DAY_BEFORE, "audience"),
        (HEADER, "http://push.example.net", HALF_A_DAY_BEFORE, "audience"),
        (f"vapid t={HEAD}.{CLAIMS}.{_flipped(SIGNATURE)},k={KEY}", ORIGIN, 0, "signature"),
        (f"vapid t={HEAD}.{_flipped(CLAIMS)}.{SIGNATURE},k={KEY}", ORIGIN, 0, "JSON|signature"),
        (f"vapid t={HEAD}.{CLAIMS},k={KEY}", ORIGIN, 0, "three parts"),
        (f"vapid t={TOKEN}", ORIGIN, 0, "Missing VAPID public key"),
        (f"vapid k={KEY}", ORIGIN, 0, "Missing VAPID token"),
        (f"vapid t={TOKEN},k={KEY},k={KEY}", ORIGIN, 0, "Malformed"),
        (f"vapid t={TOKEN} k={KEY}", ORIGIN, 0, "Malformed"),
        (f"vapid t={TOKEN},k={_flipped(KEY)}", ORIGIN, 0, "public key"),
        (f"vapid t={TOKEN},k={KEY[:-1]}", ORIGIN, 0, "public key"),
        (f"WebPush {TOKEN}", ORIGIN, 0, "scheme"),
        (f"Bearer {TOKEN}", ORIGIN, 0, "scheme"),
        ("", ORIGIN, 0, "scheme"),
        ("vapid", ORIGIN, 0, "Malformed"),
        ("vapid \u2028", ORIGIN, 0, "Malformed"),
    ],
)
def test_what_does_not_hold_is_refused(header: str, origin: str, now: float, words: str) -> None:
    with pytest.raises(Refused, match=words):
        check(header, origin, now or HALF_A_DAY_BEFORE)


PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = b64(point(PRIVATE))
GOOD: dict[str, Any] = {"aud": ORIGIN, "exp": EXPIRES, "sub": "mailto:a@example.net"}


def _signed(claims: dict[str, Any], **header: Any) -> str:
    token = jwt.encode(claims, PRIVATE, algorithm="ES256", headers=header or None)
    return f"vapid t={token},k={PUBLIC}"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": str(EXPIRES)},
        {"exp": None},
        {"exp": True},
        {"exp": EXPIRES * 1000},
        {"aud": None},
        {"aud": [ORIGIN]},
        {"aud": ORIGIN + "/"},
        {"sub": None},
        {"sub": ""},
        {"sub": "operator@example.net"},
        {"sub": "mailto:<operator@example.net>"},
        {"sub": "mailto: operator@example.net"},
        {"sub": "http://example.net"},
    ],
    ids=lambda changes: f"{next(iter(changes))}={next(iter(changes.values()))!r}",
)
def test_claims_must_be_right(changes: dict[str, Any]) -> None:
    assert check(_signed(GOOD), ORIGIN, HALF_A_DAY_BEFORE).key == PUBLIC
    claims = {name: value for name, value in (GOOD | changes).items() if value is not None}
    # PyJWT would refuse some of them itself: they are encoded by hand where it does.
    head = b64(json.dumps({"alg": "ES256", "typ": "JWT"}).encode())
    body = b64(json.dumps(claims).encode())
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(
        f"{head}.{body}".encode(), PRIVATE
    )
    with pytest.raises(Refused):
        check(f"vapid t={head}.{body}.{b64(signature)},k={PUBLIC}", ORIGIN, HALF_A_DAY_BEFORE)


def test_a_token_by_another_algorithm_does_not_hold() -> None:
    body = b64(json.dumps(GOOD).encode())
    for header in ({"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256", "typ": "other"}):
        head = b64(json.dumps(header).encode())
        forged = jwt.encode(GOOD, "x" * 32, algorithm="HS256").split(".")[2]
        with pytest.raises(Refused, match="ES256"):
            check(f"vapid t={head}.{body}.{forged},k={PUBLIC}", ORIGIN, HALF_A_DAY_BEFORE)


def test_a_signature_in_der_does_not_hold() -> None:
    head, body, signature = _signed(GOOD).split(",")[0].split("=", 1)[1].split(".")
    raw = unb64(signature)
    der = base64.urlsafe_b64encode(b"0D" + raw).rstrip(b"=").decode()
    with pytest.raises(Refused, match="signature"):
        check(f"vapid t={head}.{body}.{der},k={PUBLIC}", ORIGIN, HALF_A_DAY_BEFORE)


@pytest.mark.parametrize(
    ("subject", "is_reachable"),
    [
        ("mailto:operator@example.net", True),
        ("https://chat.example.net/contact", True),
        ("mailto:operator@localhost", False),
        ("mailto:operator@push.localhost", False),
        ("mailto:operator@chat.local", False),
        ("https://chat.invalid/", False),
        ("https://localhost", False),
    ],
)
def test_a_contact_may_be_nowhere(subject: str, is_reachable: bool) -> None:
    signer = check(_signed(GOOD | {"sub": subject}), ORIGIN, HALF_A_DAY_BEFORE)
    assert signer.is_reachable is is_reachable
