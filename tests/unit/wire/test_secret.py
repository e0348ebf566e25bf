"""Secrets: told on request only."""

import copy
import pickle

import pytest

from pushd.wire.secret import Secret


def test_a_secret_prints_as_a_short_digest() -> None:
    secret = Secret("r0m30myr0m30")
    for shown in (str(secret), repr(secret), f"{secret}", f"{[secret]}", "%s" % secret):  # noqa: UP031
        assert "r0m30" not in shown
        assert secret.digest in shown
    assert len(secret.digest) == 6
    assert secret.digest == Secret("r0m30myr0m30").digest != Secret("other").digest


def test_a_secret_is_revealed_on_request() -> None:
    assert Secret("p\u00e4ss").reveal() == "p\u00e4ss"


def test_an_empty_secret_is_false_and_says_so() -> None:
    assert not Secret("")
    assert repr(Secret("")) == "Secret(empty)"
    assert Secret("0")


def test_secrets_are_equal_by_their_text_and_to_nothing_else() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_text_that_is_not_unicode_is_a_secret_too() -> None:
    assert Secret("\ud800") == Secret("\ud800") != Secret("\ud801")
    assert len(Secret("\ud800").digest) == 6
    assert Secret("").digest == ""


def test_a_secret_is_not_copied_away() -> None:
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            way(Secret("a"))
    with pytest.raises(AttributeError):
        Secret("a").value = "b"  # type: ignore[attr-defined]
