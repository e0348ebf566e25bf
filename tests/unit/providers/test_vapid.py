"""Who we are to a push service: what is signed, for how long, and with which key."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from twisted.internet.task import Clock

from pushd.providers.contract import Response, Secret, Token
from pushd.providers.credentials import Keeper, sign_es256
from pushd.providers.vapid import Keys, Signature, authorization, own_key
from tests.support import result_of
from tests.unit.providers.bench import NOW, FakeTransport, Fixed
from tests.unit.providers.browser import Forged, b64, claims_of, unb64

ORIGIN = "https://push.example.net"
OLD, NEW = (ec.derive_private_key(number, ec.SECP256R1()) for number in (3, 4))
KEYS = Keys([NEW, OLD])
OLD_PUBLIC = Keys([OLD]).current
SUB = "mailto:admin@example.net"

# RFC 8292 §2.4.
T = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0"
    "NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCG"
    "SK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
)
K = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
ENDS_AT = 1_453_523_768


def token(now: float = NOW, origin: str = ORIGIN, keys: Keys = KEYS) -> Token:
    return Signature(origin, SUB, keys).request(now)


def test_the_example_of_the_rfc_is_taken_by_the_verifier_of_these_tests() -> None:
    header = f"vapid t={T}, k={K}"
    claims, key = claims_of(header, ORIGIN, ENDS_AT - 43_200)
    assert claims["sub"] == "mailto:push@example.com"
    assert key == K


@pytest.mark.parametrize(
    ("header", "origin", "now"),
    [
        (f"vapid t={T}, k={K}", ORIGIN, ENDS_AT + 1),
        (f"vapid t={T}, k={K}", ORIGIN, ENDS_AT - 90_000),
        (f"vapid t={T}, k={K}", "https://push.example.org", ENDS_AT - 60),
        (f"vapid t={T.replace('i3CY', 'i3CZ')}, k={K}", ORIGIN, ENDS_AT - 60),
        (f"bearer t={T}, k={K}", ORIGIN, ENDS_AT - 60),
        (f"vapid t={T}, k={KEYS.current}", ORIGIN, ENDS_AT - 60),
    ],
    ids=["too late", "too early", "origin", "a bit", "scheme", "another key"],
)
def test_the_verifier_refuses_what_is_forged(header: str, origin: str, now: float) -> None:
    with pytest.raises(Forged):
        claims_of(header, origin, now)


@pytest.mark.parametrize(
    ("message", "r", "s"),
    [
        (
            b"sample",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ),
        (
            b"test",
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
        ),
    ],
)
def test_a_signature_is_two_numbers_of_32_bytes(
    message: bytes, r: str, s: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 6979 A.2.5, where the second `s` begins with a zero."""
    number = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    key = ec.derive_private_key(number, ec.SECP256R1())

    class Deterministic:
        """The key, which signs this message whatever it is given."""

        curve = key.curve

        def sign(self, data: bytes, algorithm: object) -> bytes:
            return key.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))

    from jwt import algorithms

    monkeypatch.setattr(algorithms, "EllipticCurvePrivateKey", Deterministic)
    monkeypatch.setattr(
        algorithms.ECAlgorithm, "prepare_key", lambda self, given: given, raising=True
    )
    made = sign_es256(b"{}", Deterministic(), {})  # type: ignore[arg-type]
    assert unb64(made.rpartition(".")[2]).hex().upper() == r + s


def test_a_push_is_signed_for_its_origin_for_twelve_hours() -> None:
    made = token()
    claims, key = claims_of(authorization(made.value, KEYS.current), ORIGIN, NOW)
    assert claims == {"aud": ORIGIN, "exp": int(NOW) + 43_200, "sub": SUB}
    assert key == KEYS.current
    assert made.expires_at == NOW + 43_200
    assert made.renew_at == NOW + 21_600


def test_a_subscription_is_served_by_the_key_that_it_was_made_for() -> None:
    _, key = claims_of(authorization(token().value, OLD_PUBLIC), ORIGIN, NOW)
    assert key == OLD_PUBLIC != KEYS.current


@pytest.mark.parametrize("public", ["", K])
def test_a_key_that_is_lost_is_replaced_by_the_current_one(public: str) -> None:
    _, key = claims_of(authorization(token().value, public), ORIGIN, NOW)
    assert key == KEYS.current


def test_one_token_of_an_origin_is_used_for_six_hours() -> None:
    clock = Clock()
    clock.advance(NOW)
    keeper = Keeper(
        Signature(ORIGIN, SUB, KEYS), FakeTransport(), clock, Fixed(), 30, 5, lambda *_: None
    )
    first = result_of(keeper.token())
    clock.advance(21_599)
    assert result_of(keeper.token()) is first
    clock.advance(1)
    second = result_of(keeper.token())
    assert isinstance(second, Token)
    assert second.expires_at == NOW + 21_600 + 43_200


def test_nobody_answers_for_what_is_made_here() -> None:
    assert Signature(ORIGIN, SUB, KEYS).accept(Response(200), NOW).alarm  # type: ignore[union-attr]


def test_a_servers_own_key_is_the_same_whenever_it_is_made() -> None:
    """Registrations outlive releases: this may never change."""
    made = [Keys([own_key(bytes([number] * 32))]).current for number in (1, 1, 2)]
    golden = (
        "BEnVVwNBJn61V26m1wNnxe5jTwdIwtEr3IjrQ08dN0R_0_gMgmd6ZBaPX8dle8O7-HvermxUdXfdcUeHA_2_ESc"
    )
    assert made[:2] == [golden] * 2
    assert made[2] != golden


def test_the_tokens_of_all_keys_are_no_text_that_shows() -> None:
    made = token()
    assert isinstance(made.value, Secret)
    assert json.dumps(b64(b"x")) not in repr(made)
    assert "eyJ" not in repr(made)
