"""Works by turns: nobody waits for somebody else's thousands."""

from functools import partial

from twisted.internet.defer import Deferred, succeed

from pushd.s2s.turns import Turns


def test_so_many_are_under_way_and_askers_take_turns() -> None:
    turns = Turns(2, 2)
    begun: list[tuple[str, Deferred[str]]] = []
    done: list[str] = []

    def work(name: str) -> "Deferred[str]":
        begun.append((name, Deferred()))
        return begun[-1][1]

    for who, count in (("flood", 5), ("one", 1), ("other", 2)):
        for number in range(count):
            name = f"{who}-{number}"
            turns.run(who, partial(work, name)).addCallback(done.append)
    assert [name for name, _ in begun] == ["flood-0", "flood-1"]
    for place in range(8):
        begun[place][1].callback(begun[place][0])
    assert [name for name, _ in begun[2:]] == [
        "flood-2",
        "one-0",
        "other-0",
        "flood-3",
        "other-1",
        "flood-4",
    ]
    assert done == [name for name, _ in begun]


def test_what_is_done_at_once_is_done_in_any_number() -> None:
    turns = Turns(1, 1)
    first: Deferred[None] = Deferred()
    turns.run("a", lambda: first)
    done: list[None] = []
    for _ in range(5_000):
        turns.run("a", lambda: succeed(None)).addCallback(done.append)
    first.callback(None)
    assert len(done) == 5_000


def test_a_failure_makes_room_too() -> None:
    turns = Turns(1, 1)
    first: Deferred[None] = Deferred()
    failed: list[object] = []
    turns.run("a", lambda: first).addErrback(failed.append)
    later: list[int] = []

    def work() -> "Deferred[int]":
        later.append(1)
        return Deferred()

    turns.run("a", work)
    assert later == []
    first.errback(ValueError())
    assert later == [1]
    assert len(failed) == 1


def test_nobody_has_all_of_them_under_way() -> None:
    turns = Turns(3, 2)
    begun: list[str] = []

    def work(name: str) -> "Deferred[str]":
        begun.append(name)
        return Deferred()

    for number in range(5):
        turns.run("flood", partial(work, f"flood-{number}"))
    assert begun == ["flood-0", "flood-1"]
    turns.run("one", partial(work, "one"))
    assert begun == ["flood-0", "flood-1", "one"]
