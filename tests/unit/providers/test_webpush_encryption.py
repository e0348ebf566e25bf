"""Sealing for a subscription: the RFC's example, and what must not be sealed."""

import hashlib

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from pushd.providers.webpush_encryption import (
    LONGEST,
    OVERHEAD,
    SIZES,
    USUAL,
    Recipient,
    decoded,
    encoded,
    padded_size,
    public_key,
    seal,
)
from tests.unit.providers.browser import Browser, unb64

# RFC 8291 §5 and its appendix.
PLAIN = b"When I grow up, I want to be a watermelon"
UA = Browser(
    int.from_bytes(unb64("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), "big"),
    unb64("BTBZMqHH6r4Tts7J_aSIgg"),
)
UA_PUBLIC = (
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
)
AS_PRIVATE = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6"
    "TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulc"
    "y4a-fN"
)

PHONE = Browser(7)
TO = Recipient(PHONE.public, PHONE.auth)


def test_the_example_of_the_rfc_is_sealed_byte_for_byte() -> None:
    key = ec.derive_private_key(int.from_bytes(unb64(AS_PRIVATE), "big"), ec.SECP256R1())
    body = seal(PLAIN, Recipient(UA.public, UA.auth), key=key, salt=unb64(SALT))
    assert encoded(UA.public) == UA_PUBLIC
    assert body == unb64(BODY)
    assert len(body) == 144
    assert hashlib.sha256(body).hexdigest() == (
        "f976e174457c5111a0b05234e648bc012cb1e2b37949afce4d7b1e84752953c7"
    )


def test_the_example_of_the_rfc_is_read_by_the_browser_of_these_tests() -> None:
    assert UA.read(unb64(BODY)) == PLAIN


@given(st.binary(max_size=LONGEST))
def test_what_is_sealed_is_read_and_is_longer_by_so_much(content: bytes) -> None:
    body = seal(content, TO)
    assert len(body) == len(content) + OVERHEAD == len(content) + 103
    assert PHONE.read(body) == content


@given(st.integers(0, LONGEST))
def test_what_is_padded_has_one_of_a_few_lengths(length: int) -> None:
    content = b"x" * length
    body = seal(content, TO, padded_size(length))
    assert len(body) - 102 in SIZES
    assert PHONE.read(body) == content


def test_the_longest_that_is_padded_goes_through_mozillas_bridge() -> None:
    assert len(seal(bytes(USUAL), TO, padded_size(USUAL))) == 2742
    assert padded_size(USUAL + 1) == 3994
    assert padded_size(LONGEST) == 3994
    assert padded_size(LONGEST + 1) == 0


def test_what_needs_a_second_record_is_not_sealed() -> None:
    assert len(seal(bytes(3993), TO)) == 4096
    for content, size in ((bytes(3994), 0), (b"", 3995)):
        with pytest.raises(ValueError, match="one record"):
            seal(content, TO, size)


def test_no_two_messages_have_a_key_or_a_salt_in_common() -> None:
    heads = {seal(b"x", TO)[:86] for _ in range(20)}
    assert len({head[:16] for head in heads}) == len({head[21:] for head in heads}) == 20


def test_another_subscription_cannot_read_it() -> None:
    body = seal(b"x", TO)
    with pytest.raises(InvalidTag):
        Browser(7, b"another auth....").read(body)
    with pytest.raises(InvalidTag):
        Browser(8).read(body)
    with pytest.raises(InvalidTag):
        PHONE.read(body[:-1] + bytes([body[-1] ^ 1]))


@pytest.mark.parametrize(
    "point",
    [
        b"",
        b"\x04" + bytes(64),
        PHONE.public[:-1] + bytes([PHONE.public[-1] ^ 1]),
        PHONE.public[:-1],
        PHONE.public + b"\x00",
        b"\x03" + PHONE.public[1:33],
        b"\x06" + PHONE.public[1:],
    ],
    ids=["nothing", "the origin", "off the curve", "short", "long", "compressed", "hybrid"],
)
def test_what_is_no_point_on_the_curve_is_no_public_key(point: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  cryptography's own words
        public_key(point)


@pytest.mark.parametrize("text", ["_-8", "_-8=", "/+8", "/+8="])
def test_either_alphabet_of_base64_is_read(text: str) -> None:
    assert decoded(text) == b"\xff\xef"


@pytest.mark.parametrize("text", ["", "=", "a", "abcde", "ab c", "ab\n", "ä", "a=b"])
def test_what_is_no_base64_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        decoded(text)
