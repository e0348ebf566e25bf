"""Devices that never registered: whatever comes, what is known of them is what waits for them."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushd.appserver import passing
from pushd.appserver.limits import Rate, Rules
from pushd.providers.contract import Accepted, Outcome, Refused, Unregistered
from tests.effort import examples
from tests.unit.appserver.stage import Stage
from tests.unit.appserver.test_fpush import MODULE, ON, apps, push
from tests.unit.appserver.test_outbox import killed

TOKENS = ("a", "b", "c", "d")
PUBLISHERS = ("one.example", "two.example")
MODULES = (MODULE, f"{MODULE}-sandbox", "quicksyProdiOS")
ENDS: dict[str, Outcome] = {
    "accepted": Accepted(),
    "refused": Refused("no reason"),
    "dead": Unregistered(),
}
RULES = Rules(dialects=ON, pushes=Rate(20.0, 2))
MOST, MOST_OF_DOMAIN, MOST_DEAD = 3, 2, 2

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("publish"),
            st.sampled_from(TOKENS),
            st.sampled_from(MODULES),
            st.sampled_from(PUBLISHERS),
        ),
        st.tuples(st.just("answer"), st.integers(0, 3), st.sampled_from(sorted(ENDS))),
        st.tuples(st.just("wait"), st.sampled_from((1.0, 21.0, 43_200.0, 86_401.0))),
        st.tuples(st.just("kill")),
    ),
    max_size=25,
)


class House:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.stage = Stage(apps(), RULES, path=path)
        self.dead: dict[tuple[str, bool, str], float] = {}  # until when, the oldest first

    def now(self) -> float:
        return self.stage.hall.clock.seconds()

    def publish(self, token: str, module: str, sender: str) -> None:
        known = self.stage.server.passing.get(token)
        key = (module.split("Prod")[0], module.endswith("-sandbox"), token)
        answer = push(self.stage, token, module=module, sender=sender)
        if self.dead.get(key, 0.0) > self.now():
            assert answer == "item-not-found"
        elif answer == "service-unavailable":  # of another module, or there is no room
            other = known is not None and (known.backend, known.fields.reveal()) != (
                key[0],
                '{"environment": "sandbox"}' if key[1] else "{}",
            )
            assert other or known is None
        else:
            assert answer == ""
            assert token in self.stage.server.outbox or known is None

    def answer(self, place: int, end: str) -> None:
        open_calls = [one for one in self.stage.calls if not one.result.called]
        if not open_calls:
            return
        call = open_calls[place % len(open_calls)]
        if call.latest() is None or call.device() is None:
            return
        note, device = call.look()
        if end == "dead":
            app = "quicksy" if call.backend == "quicksy" else "monal"
            key = (app, bool(device.fields), note.node)
            self.dead.pop(key, None)
            self.dead[key] = self.now() + passing.DEAD_FOR
            for one in list(self.dead)[:-MOST_DEAD]:
                del self.dead[one]
        call.answer(ENDS[end])  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        self.stage.hall.advance(seconds)

    def kill(self) -> None:
        at = self.now()
        self._path = killed(self._path)
        self.stage.hall.cut()
        self.stage = Stage(apps(), RULES, path=self._path)
        self.stage.hall.clock.advance(max(0.0, at - self.now()))

    def check(self) -> None:
        server, database = self.stage.server, self.stage.hall.host.database
        waiting = {one.node for one in server.outbox.waiting()}
        known = {token for token in TOKENS if server.passing.get(token) is not None}
        assert known == waiting
        assert len(known) == len(server.passing) <= MOST
        rows = self.stage.hall.wait(passing.PASSERS.bind(database).select())
        assert {row.node for row in rows} == waiting
        for domain in PUBLISHERS:
            assert sum(row.publisher == domain for row in rows) <= MOST_OF_DOMAIN
        assert len(self.stage.hall.wait(passing.DEAD.bind(database).select())) <= MOST_DEAD


@pytest.mark.mistake(11)
@settings(max_examples=examples(60))
@given(steps)
def test_what_is_known_is_what_waits(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name, most in (
            ("MOST", MOST),
            ("MOST_OF_DOMAIN", MOST_OF_DOMAIN),
            ("MOST_DEAD", MOST_DEAD),
        ):
            patch.setattr(passing, name, most)
        house = House(Path(folder) / "db")
        for step, *arguments in steps:
            getattr(house, str(step))(*arguments)
            house.check()
