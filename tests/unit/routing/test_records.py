"""Rows that go at once."""

import pytest

from pushd.routing.records import runs


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([], []),
        ([7], [(7, 7)]),
        ([1, 2, 3], [(1, 3)]),
        ([9, 3, 4, 6, 5, 10], [(3, 6), (9, 10)]),
    ],
)
def test_numbers_that_follow_each_other_are_one_pair(
    rows: list[int], found: list[tuple[int, int]]
) -> None:
    assert runs(rows) == found
