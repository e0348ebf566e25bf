"""The rings of decisions: what they hold, for how many, and for how long."""

import pytest

from pushd.routing.decisions import MOST, MOST_ACCOUNTS, MOST_RECORDS, Record
from pushd.routing.events import PublishAnswered, PublishReceived, PushDecided, PushSettled
from pushd.wire.secret import Secret
from tests.hall import START, Hall

JULIET = "juliet@example.net"
SERVICE = "push.example.net"
NODE = "a-node-of-the-phone"
DIGEST = Secret(NODE).digest


@pytest.fixture
def hall() -> Hall:
    hall = Hall()
    hall.add_account(JULIET)
    return hall


def test_a_stanza_is_followed_from_the_decision_to_the_provider(hall: Hall) -> None:
    for event in (
        PushDecided(JULIET, SERVICE, NODE, True, "detached", "message", "romeo@example.net"),
        PushDecided(JULIET, SERVICE, NODE, False, "chat state", "message"),
        PublishAnswered(JULIET, SERVICE, NODE, "1", "refused", "resource-constraint"),
        PublishReceived(JULIET, SERVICE, NODE, "example.net", "accepted", ""),
        PublishReceived(JULIET, SERVICE, NODE, "example.net", "limited", "20 s"),
        PublishReceived("", SERVICE, "unknown", "example.net", "refused", "item-not-found"),
        PushSettled(JULIET, SERVICE, NODE, "fcm/a/b", "accepted", "", 0.25),
        PushDecided(JULIET, "", "", False, "not enabled", "message"),
    ):
        hall.host.events.emit(event)
        hall.advance(1)

    assert hall.host.decisions.of(JULIET) == [
        Record(START, SERVICE, DIGEST, "push", "detached", "message", "romeo@example.net"),
        Record(START + 1, SERVICE, DIGEST, "no push", "chat state", "message"),
        Record(START + 2, SERVICE, DIGEST, "publish refused", "resource-constraint"),
        Record(START + 4, SERVICE, DIGEST, "publish limited", "20 s"),
        Record(START + 6, SERVICE, DIGEST, "provider: accepted", ""),
        Record(START + 7, "", "", "no push", "not enabled", "message"),
    ]
    assert hall.host.decisions.of("") == []


def test_the_last_ones_of_the_last_accounts_are_kept(hall: Hall) -> None:
    for number in range(MOST_RECORDS + 5):
        hall.host.events.emit(PushDecided(JULIET, SERVICE, NODE, True, str(number)))
    assert [one.why for one in hall.host.decisions.of(JULIET)][::99] == ["5", "104"]

    for number in range(MOST_ACCOUNTS - 1):
        hall.host.events.emit(PushDecided(f"{number}@example.net", SERVICE, NODE, True, "x"))
    assert len(hall.host.decisions.of(JULIET)) == MOST_RECORDS
    hall.host.events.emit(PushDecided(JULIET, SERVICE, NODE, True, "again"))
    hall.host.events.emit(PushDecided("one-more@example.net", SERVICE, NODE, True, "x"))

    assert hall.host.decisions.of("0@example.net") == []
    assert len(hall.host.decisions.of(JULIET)) == MOST_RECORDS


def test_what_wakes_nobody_by_its_kind_is_counted(hall: Hall) -> None:
    hall.host.events.emit(PushDecided(JULIET, SERVICE, NODE, True, "detached", "message"))
    for _ in range(2 * MOST_RECORDS):
        hall.advance(1)
        hall.host.events.emit(PushDecided(JULIET, SERVICE, NODE, False, "presence", "presence"))
        hall.host.events.emit(PushDecided(JULIET, SERVICE, "pad", False, "presence", "presence"))
    hall.host.events.emit(PushDecided(JULIET, SERVICE, NODE, False, "paused", "message"))
    hall.host.events.emit(PushDecided(JULIET, SERVICE, NODE, False, "paused", "message"))

    last = START + 2 * MOST_RECORDS
    counted = ("no push", "presence", "presence", "", 2 * MOST_RECORDS)
    assert hall.host.decisions.of(JULIET) == [
        Record(START, SERVICE, DIGEST, "push", "detached", "message"),
        Record(last, SERVICE, DIGEST, *counted),
        Record(last, SERVICE, Secret("pad").digest, *counted),
        Record(last, SERVICE, DIGEST, "no push", "paused", "message"),
        Record(last, SERVICE, DIGEST, "no push", "paused", "message"),
    ]


def test_what_comes_for_an_account_without_a_device_is_counted_by_its_sender(hall: Hall) -> None:
    for kind, sender in (("message", "romeo"), ("message", "romeo"), ("message", "nurse")):
        hall.host.events.emit(PushDecided(JULIET, "", "", False, "not enabled", kind, sender))
    for _ in range(2):
        hall.host.events.emit(PushDecided(JULIET, "", "", False, "call returned", "call", "romeo"))

    found = [(one.why, one.sender, one.times) for one in hall.host.decisions.of(JULIET)]
    assert found == [
        ("not enabled", "romeo", 2),
        ("not enabled", "nurse", 1),
        ("call returned", "romeo", 1),
        ("call returned", "romeo", 1),
    ]


def test_all_together_are_no_more_than_so_many(hall: Hall) -> None:
    for number in range(MOST // MOST_RECORDS + 1):
        for record in range(MOST_RECORDS + 10):
            event = PushDecided(f"{number}@example.net", SERVICE, NODE, True, str(record))
            hall.host.events.emit(event)

    decisions = hall.host.decisions
    assert decisions.of("0@example.net") == []
    assert len(decisions.of("1@example.net")) == MOST_RECORDS
    assert decisions._count == sum(map(len, decisions._rings.values())) == MOST


def test_they_go_with_the_account(hall: Hall) -> None:
    hall.host.events.emit(PushDecided(JULIET, SERVICE, NODE, True, "detached"))
    hall.wait(hall.host.accounts.remove(JULIET))

    assert hall.host.decisions.of(JULIET) == []
    assert hall.host.decisions._count == 0
