"""The keys of SCRAM: derived as the RFCs say, told to nobody, and faked so that none can tell."""

import pytest
from scramp import ScramMechanism

from pushd.wire.scram import ITERATIONS, Hash, ScramKeys, derive, fake_keys, salted, verify
from pushd.wire.secret import Secret

HASHES: tuple[Hash, ...] = ("SHA-1", "SHA-256", "SHA-512")
SALT = bytes(range(16))


# RFC 6070, and RFC 7914 §11.
@pytest.mark.parametrize(
    ("hash", "password", "salt", "iterations", "expected"),
    [
        ("SHA-1", "password", b"salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
        ("SHA-1", "password", b"salt", 4096, "4b007901b765489abead49d926f721d065a429c1"),
        ("SHA-256", "passwd", b"salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d"),
    ],
)
def test_passwords_are_salted_as_pbkdf2_says(
    hash: Hash, password: str, salt: bytes, iterations: int, expected: str
) -> None:
    assert salted(hash, password, salt, iterations).hex().startswith(expected)


@pytest.mark.parametrize("hash", HASHES)
@pytest.mark.parametrize("password", ["pencil", "p\u00e4ssw\u00f6rd", "I\u00adX", "\u00b5\u00b2"])
def test_another_library_derives_the_same_keys(hash: Hash, password: str) -> None:
    keys = derive(hash, password, SALT, 4096)
    mechanism = ScramMechanism(f"SCRAM-{hash}")
    theirs = mechanism.make_auth_info(password, iteration_count=4096, salt=SALT)
    assert (keys.salt, keys.stored_key, keys.server_key, keys.iterations) == theirs


@pytest.mark.parametrize("hash", HASHES)
def test_keys_fit_their_password_only(hash: Hash) -> None:
    keys = derive(hash, "pencil")
    assert verify(keys, hash, "pencil")
    assert verify(keys, hash, Secret("pencil"))
    for wrong in ("Pencil", "pencil ", "", "\x00"):
        assert not verify(keys, hash, wrong)


def test_every_derivation_has_a_salt_of_its_own() -> None:
    one, other = derive("SHA-1", "pencil"), derive("SHA-1", "pencil")
    assert len(one.salt) == 16
    assert one.salt != other.salt
    assert one.stored_key != other.stored_key
    assert one.iterations == ITERATIONS >= 10_000


def test_keys_are_not_printed() -> None:
    keys = ScramKeys(b"salt", 4096, b"stored", b"server")
    assert repr(keys) == "ScramKeys(iterations=4096)"


# RFC 4013 §3: the same password, however it is typed.
@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("e\u0301", "\u00e9"),
        ("\u00b5", "\u03bc"),
    ],
)
def test_passwords_are_prepared_by_saslprep(typed: str, prepared: str) -> None:
    assert verify(derive("SHA-1", prepared, iterations=1), "SHA-1", typed)


@pytest.mark.parametrize(
    "password",
    ["\U0001f511", "\u05d0\u05d11", "\u06271", "a\u05d0", "\u1e9e"],
    ids=["emoji", "hebrew and digit", "arabic and digit", "two directions", "capital sharp s"],
)
def test_passwords_that_saslprep_refuses_stay_as_typed(password: str) -> None:
    keys = derive("SHA-256", password, SALT, 1)
    assert verify(keys, "SHA-256", password)
    assert not verify(keys, "SHA-256", password + "\u00e9")


@pytest.mark.parametrize("password", ["", "a\x00b", "a\nb", "\x7f", "\u00e4\u0007", "\ud800"])
def test_what_no_password_may_hold_is_refused_without_quoting_it(password: str) -> None:
    with pytest.raises(ValueError, match=r"^the password (is empty|holds a character .*)$"):
        derive("SHA-1", password)


@pytest.mark.parametrize("hash", HASHES)
def test_an_account_that_does_not_exist_looks_like_one_that_does(hash: Hash) -> None:
    real = derive(hash, "pencil")
    fake = fake_keys(b"secret", hash, "nobody@example.net")
    assert fake == fake_keys(b"secret", hash, "nobody@example.net")
    for name in ("salt", "stored_key", "server_key"):
        assert len(getattr(fake, name)) == len(getattr(real, name))
    assert fake.iterations == real.iterations
    assert fake_keys(b"secret", hash, "a@b", 20_000).iterations == 20_000


def test_fake_keys_differ_by_account_hash_server_and_part() -> None:
    several = [
        fake_keys(b"secret", "SHA-1", "nobody@example.net"),
        fake_keys(b"secret", "SHA-1", "no-one@example.net"),
        fake_keys(b"secret", "SHA-256", "nobody@example.net"),
        fake_keys(b"other secret", "SHA-1", "nobody@example.net"),
    ]
    values = [
        value[:16] for keys in several for value in (keys.salt, keys.stored_key, keys.server_key)
    ]
    assert len(set(values)) == len(values)


def test_no_password_fits_fake_keys() -> None:
    fake = fake_keys(b"secret", "SHA-1", "nobody@example.net", iterations=1)
    for password in ("", "pencil", "secret"):
        assert not verify(fake, "SHA-1", password)
