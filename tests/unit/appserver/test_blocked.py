from pathlib import Path

import pytest

from pushd.routing.events import PublishReceived, PushDisabled
from tests.hall import START
from tests.unit.appserver.stage import (
    JULIET,
    PUBSUB,
    REGISTER,
    Stage,
    outcome,
    publishing,
    register,
    said,
)
from tests.unit.appserver.test_outbox import killed
from tests.unit.appserver.test_service import WholeWay

HOUR = 3600.0


class Registered(Stage):
    """A registered phone, and Juliet's desk, which publishes as her server would."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        super().__init__(path=path)
        self.node, self.secret = register(self.client())
        self.desk = self.client(f"{JULIET}/desk")

    def condition(self, secret: str = "") -> tuple[str, str, str]:
        """Of a publish: condition, type and text of the error."""
        payload = publishing(self.node, secret or self.secret)
        answer = self.desk.ask(f"<iq type='set' id='p' to='{PUBSUB}'>{payload}</iq>")
        type = answer.error["type"] if answer.error else ""
        return outcome(answer), type, said(answer) if answer.error else ""


@pytest.mark.parametrize("publisher", [REGISTER, "Example.NET", JULIET])
def test_a_blocked_publisher_is_told_so_until_its_time_is_over(publisher: str) -> None:
    stage = Registered()
    stage.server.publishers.block(publisher, "a flood of pushes", START + HOUR)

    condition, type, text = stage.condition()

    assert (condition, type) == ("service-unavailable", "wait")
    assert "until 2023-11-14T23:13:20Z: a flood of pushes" in text
    assert stage.calls == []
    assert stage.hall.events(PublishReceived)[-1].outcome == "blocked"

    stage.hall.advance(HOUR)
    assert stage.condition() == ("", "", "")
    assert stage.server.publishers.blocked() == []
    assert stage.hall.rows("SELECT * FROM publisher_blocks") == []


def test_a_block_without_an_end_is_no_matter_of_waiting() -> None:
    stage = Registered()
    stage.server.publishers.block(REGISTER, "spam")

    assert stage.condition() == (
        "policy-violation",
        "modify",
        "example.net may not publish here: spam",
    )


def test_nobody_learns_of_an_account_that_is_blocked_without_its_secret() -> None:
    stage = Registered()
    stage.server.publishers.block(JULIET, "spam", START + HOUR)

    assert stage.condition("wrong")[0] == "forbidden"


def test_others_may_publish() -> None:
    stage = Registered()
    stage.server.publishers.block("example.org", "spam")
    stage.server.publishers.block("romeo@example.net", "spam")

    assert stage.condition()[0] == ""


def test_a_block_can_be_lifted() -> None:
    stage = Registered()
    stage.server.publishers.block(REGISTER, "spam")

    assert stage.server.publishers.unblock("Example.net")
    assert stage.condition()[0] == ""
    assert not stage.server.publishers.unblock(REGISTER)


def test_the_newest_block_of_a_publisher_holds() -> None:
    stage = Registered()
    stage.server.publishers.block(REGISTER, "first")
    second = stage.server.publishers.block(REGISTER, "second", START + HOUR)

    assert stage.server.publishers.blocked() == [second]


def test_blocks_outlive_a_restart(tmp_path: Path) -> None:
    stage = Registered(tmp_path / "db")
    kept = stage.server.publishers.block("b.example", "spam")
    ending = stage.server.publishers.block("a.example", "", START + HOUR)
    stage.hall.advance(0)

    again = Stage(path=killed(tmp_path / "db"))

    assert again.server.publishers.blocked() == [ending, kept]


@pytest.mark.parametrize(
    ("publisher", "reason", "until", "field"),
    [
        ("", "", None, "publisher"),
        ("juliet@example.net/phone", "", None, "publisher"),
        ("two words@", "", None, "publisher"),
        (REGISTER, "", START, "until"),
        (REGISTER, "x" * 1_001, None, "reason"),
    ],
)
def test_a_block_that_cannot_be_is_refused(
    publisher: str, reason: str, until: float | None, field: str
) -> None:
    stage = Registered()

    with pytest.raises(ValueError, match=f"^{field}: "):
        stage.server.publishers.block(publisher, reason, until)

    assert stage.server.publishers.blocked() == []


def test_what_its_users_have_enabled_outlives_a_block_that_ends() -> None:
    stage = WholeWay()
    stage.server.publishers.block(REGISTER, "a flood of pushes", stage.hall.clock.seconds() + 60)

    stage.write("one")
    assert stage.transport.requests == []
    assert stage.hall.events(PublishReceived)[-1].outcome == "blocked"

    for _ in range(60):
        stage.hall.advance(5)
    assert stage.transport.requests == [{"to": "tok", "message-count": 1}]
    assert stage.hall.events(PushDisabled) == []
