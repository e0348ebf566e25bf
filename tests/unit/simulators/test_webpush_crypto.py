"""What a user agent decrypts: the vectors of RFC 8291 and RFC 8188, and what it throws away."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from pushd.simulators.webpush_crypto import (
    Receiver,
    Undecryptable,
    open_record,
    public_key,
    read_header,
    to_base64url,
)
from tests.unit.simulators.webpush_bench import encrypt, point, unb64

# RFC 8291 §5 and appendix A.
PLAINTEXT = b"When I grow up, I want to be a watermelon"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
SENDER = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
BODY = unb64(
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
    "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
    "lcy4a-fN"
)
# RFC 8188 §3.2: what it encodes is two records.
TWO_RECORDS = unb64(
    "uNCkWiNYzKTnBN9ji3-qWAAAABkCYTHOG8chz_gnvgOqdGYovxyjuqRyJFjEDyoF1Fvkj6hQPdPHI51OEUKEpgz3SsLW"
    "IqS_uA"
)


def private_of(scalar: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(unb64(scalar), "big"), ec.SECP256R1())


WATERMELON = Receiver(private_of(PRIVATE), unb64(AUTH))
ADDRESS = {"p256dh": PUBLIC, "auth": AUTH}


def test_the_example_of_rfc_8291_is_opened() -> None:
    assert to_base64url(WATERMELON.point) == PUBLIC
    opened = WATERMELON.open(BODY)
    assert (opened.plaintext, opened.padding) == (PLAINTEXT, 0)
    assert to_base64url(opened.sender) == SENDER


def test_the_sender_of_these_tests_makes_the_very_bytes_of_the_example() -> None:
    sender = private_of("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
    salt = unb64("DGv6ra1nlYgDCS1FRnbzlw")
    assert encrypt(PLAINTEXT, ADDRESS, sender=sender, salt=salt) == BODY
    assert hashlib.sha256(BODY).hexdigest() == (
        "f976e174457c5111a0b05234e648bc012cb1e2b37949afce4d7b1e84752953c7"
    )


def test_the_first_example_of_rfc_8188_is_opened() -> None:
    body = unb64("I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg")
    key = unb64("yqdlZ-tYemfogSmv7Ws5PQ")
    assert open_record(body, read_header(body), key) == (b"I am the walrus", 0)


def test_two_records_are_refused_though_rfc_8188_has_them() -> None:
    key = unb64("BO3ZVPxUlnLORbVGMpbT1Q")
    with pytest.raises(Undecryptable, match="one record"):
        open_record(TWO_RECORDS, read_header(TWO_RECORDS), key)
    with pytest.raises(Undecryptable):
        WATERMELON.open(TWO_RECORDS)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "within the header"),
        (BODY[:85], "within the header"),
        (BODY[:86], "too short"),
        (BODY[:-1], "not encrypted for this"),
        (BODY[:-1] + bytes([BODY[-1] ^ 1]), "not encrypted for this"),
        (bytes([BODY[0] ^ 1]) + BODY[1:], "not encrypted for this"),
        (BODY[:21] + b"\x05" + BODY[22:], "no point"),
        (BODY[:30] + bytes([BODY[30] ^ 1]) + BODY[31:], "no point"),
        (BODY[:16] + (17).to_bytes(4, "big") + BODY[20:], "18 or more"),
        (BODY[:16] + (57).to_bytes(4, "big") + BODY[20:], "one record"),
        (encrypt(b"x", ADDRESS, end=b"\x01"), "begin with 2"),
        (encrypt(b"x", ADDRESS, end=b"\x02\x00\x01"), "begin with 2"),
        (encrypt(b"", ADDRESS, end=b"\x00"), "begin with 2"),
    ],
    ids=[
        "nothing",
        "cut in the header",
        "no record",
        "cut in the record",
        "a bit of the tag",
        "a bit of the salt",
        "a compressed point",
        "a point beside the curve",
        "a record size too small",
        "a record size smaller than the record",
        "not the last record",
        "padding that is not zero",
        "no delimiter",
    ],
)
def test_what_a_user_agent_throws_away_is_told(body: bytes, words: str) -> None:
    with pytest.raises(Undecryptable, match=words):
        WATERMELON.open(body)


def test_sixteen_zeros_are_no_tag() -> None:
    with pytest.raises(Undecryptable):
        WATERMELON.open(BODY[:-16] + bytes(16))


def test_another_subscription_cannot_open_it() -> None:
    other = Receiver(ec.generate_private_key(ec.SECP256R1()), WATERMELON.auth)
    for receiver in (other, Receiver(WATERMELON.private, bytes(16))):
        with pytest.raises(Undecryptable):
            receiver.open(BODY)


@given(st.binary(max_size=3993), st.integers(0, 200))
def test_any_text_comes_through(text: bytes, padding: int) -> None:
    sender = private_of("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
    padding = min(padding, 3993 - len(text))
    body = encrypt(text, ADDRESS, sender=sender, end=b"\x02" + bytes(padding))
    opened = WATERMELON.open(body)
    assert (opened.plaintext, opened.padding, opened.sender) == (text, padding, point(sender))
    assert len(body) == len(text) + padding + 103


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else(garbage: bytes, tail: bytes) -> None:
    for body in (garbage, BODY[:86] + garbage, BODY[:16] + garbage + tail):
        if body != BODY:
            with pytest.raises(Undecryptable):
                WATERMELON.open(body)


@given(st.binary(min_size=60, max_size=70))
def test_what_is_no_point_is_no_key(data: bytes) -> None:
    with pytest.raises(Undecryptable):
        public_key(data)
