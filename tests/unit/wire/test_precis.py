"""The profiles of RFC 8265: what they take, and that a long text costs no more than its length."""

import pytest
from precis_i18n import get_profile

from pushd.wire import precis
from pushd.wire.precis import ProfileName, TooLong, enforce


@pytest.mark.parametrize(
    ("profile", "text", "prepared"),
    [
        ("UsernameCaseMapped", "J\u00dcRGEN", "j\u00fcrgen"),
        ("UsernameCaseMapped", "\uff21\u030a", "\u00e5"),
        ("UsernameCaseMapped", "l\u00b7l", "l\u00b7l"),
        ("UsernameCaseMapped", "a\u00b7l", None),
        ("UsernameCaseMapped", "\u265a", None),
        ("UsernameCaseMapped", "\u0661a", None),
        ("OpaqueString", "X\u3000y", "X y"),
        ("OpaqueString", "\u265a", "\u265a"),
        ("OpaqueString", "\u0661\u0662", "\u0661\u0662"),
        ("OpaqueString", "\u0661\u06f2", None),
        ("OpaqueString", "\u06f2\u0661", None),
        ("OpaqueString", "\u30ab\u30fb\u30fb", "\u30ab\u30fb\u30fb"),
        ("OpaqueString", "a\u30fb", None),
        ("OpaqueString", "\u0915\u094d\u200d", "\u0915\u094d\u200d"),
        ("OpaqueString", "a\u200d", None),
        ("OpaqueString", "a\n", None),
        ("OpaqueString", "\ud800", None),
        ("OpaqueString", "", None),
    ],
)
def test_what_a_profile_makes_of_a_text(
    profile: ProfileName, text: str, prepared: str | None
) -> None:
    if prepared is None:
        with pytest.raises(ValueError):  # noqa: PT011 - of any kind
            enforce(profile, text, 100)
    else:
        assert enforce(profile, text, 100) == prepared == get_profile(profile).enforce(text)


def test_a_text_that_is_too_long_is_refused_before_anything_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precis, "_classify", None)
    with pytest.raises(TooLong):
        enforce("OpaqueString", "\u0b95" * 342, 1023)


@pytest.mark.parametrize("character", ["\u0661", "\u06f1", "\u30fb\u30ab"])
def test_what_is_about_the_whole_text_is_asked_once(
    character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text of digits was looked through for each of them: 1,500 took seconds."""
    asked: list[int] = []
    real = precis._is_misplaced

    def is_misplaced(text: str, place: int) -> bool:
        asked.append(place)
        return real(text, place)

    monkeypatch.setattr(precis, "_is_misplaced", is_misplaced)

    enforce("OpaqueString", character * 100, 1023)

    assert asked == [0]


def test_a_character_is_classified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    enforce("OpaqueString", "\u2654\u2655", 100)
    monkeypatch.setattr(precis, "_classify", None)

    assert enforce("OpaqueString", "\u2655\u2654" * 10, 100) == "\u2655\u2654" * 10
