"""Nobody takes all of the room, however many names he has."""

from collections.abc import Iterator

import pytest

from pushd.s2s.shares import OTHERS, Asker, Shares, asker
from pushd.wire.jid import parse

HERE = "example.net"


def fill(shares: Shares, who: Asker) -> int:
    """Take one by one what there is for him; tells how much that was."""
    taken = 0
    while shares.has_room(who, 1):
        shares.take(who, 1)
        taken += 1
    return taken


def users(count: int, domain: str = HERE) -> Iterator[Asker]:
    return (Asker(domain, f"u{number}@{domain}") for number in range(count))


def test_one_has_a_part_and_no_more() -> None:
    shares = Shares(9_000, 250)
    assert [fill(shares, who) for who in users(2)] == [250, 250]


@pytest.mark.parametrize(("flood", "room"), [(1, 1_000), (5, 400), (10, 130), (20, 10)])
def test_however_many_fill_it_the_next_one_finds_room(flood: int, room: int) -> None:
    shares = Shares(10_000, 2_500)
    for _ in range(5):  # as long as there is anything
        for who in users(flood):
            fill(shares, who)
    assert fill(shares, Asker(HERE, f"late@{HERE}")) >= room


def test_those_of_one_domain_leave_a_third_to_those_of_others() -> None:
    shares = Shares(9_000, 2_000)
    crowd = sum(fill(shares, who) for who in users(500))
    assert crowd <= 6_000
    assert fill(shares, Asker("example.org", "romeo@example.org")) > 300
    assert fill(shares, Asker(OTHERS, "there.example")) > 200


def test_what_is_given_back_is_there_again_and_nothing_is_left_behind() -> None:
    shares = Shares(9_000, 250)
    before = vars(Shares(9_000, 250))
    for _ in range(3):
        taken = [(who, fill(shares, who)) for who in users(3)]
        assert [size for _, size in taken] == [250, 250, 250]
        for who, size in taken:
            shares.give(who, size)
    assert vars(shares) == before


@pytest.mark.parametrize(
    ("sender", "to", "type", "expected"),
    [
        ("romeo@example.net/orchard", "a@b.example", "chat", (HERE, "romeo@example.net")),
        ("romeo@example.net/orchard", "a@b.example", "", (HERE, "romeo@example.net")),
        ("romeo@example.net/orchard", "a@b.example", "result", (OTHERS, "b.example")),
        ("romeo@example.net", "a@b.example", "error", (OTHERS, "b.example")),
        ("romeo@example.net", "a@b.example", "unsubscribed", (OTHERS, "b.example")),
        ("example.net", "d1.evil.example", "result", (OTHERS, "evil.example")),
        ("example.net", "x.d2.evil.example", "set", (OTHERS, "evil.example")),
        ("push.example.net", "a@example", "", (OTHERS, "example")),
    ],
)
def test_what_is_said_for_others_is_theirs(
    sender: str, to: str, type: str, expected: tuple[str, str]
) -> None:
    assert asker(parse(sender), parse(to), type) == expected
