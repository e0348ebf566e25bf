"""Answers as text: what is short stays short, and columns are as wide as they must be."""

import pytest

from pushd.cli import tables


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (90_061, "1 d 1 h"),
        (86_400 * 3, "3 d"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float | None, text: str) -> None:
    assert tables.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 kB"), (3 << 20, "3.0 MB"), (5 << 30, "5.0 GB")],
)
def test_a_size_has_a_unit(count: int, text: str) -> None:
    assert tables.size(count) == text


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    shown = tables.table(("WHO", "WHAT"), [("romeo", "-"), ("nurse", "knocks")])

    assert shown == "WHO    WHAT\nromeo  -\nnurse  knocks"
