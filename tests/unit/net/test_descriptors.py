"""The limit of open files, which is the process's own: it is played here."""

import resource

import pytest

from pushd.net.descriptors import RESERVE, make_room

FREE = resource.RLIM_INFINITY


class System:
    def __init__(self, soft: int, hard: int, most: int = 10**9) -> None:
        self.soft, self.hard, self.most = soft, hard, most

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.soft, self.hard

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        soft, hard = limits
        if soft > self.most or (self.hard != FREE and soft > self.hard):
            raise ValueError("not allowed to raise maximum limit")
        self.soft, self.hard = soft, hard


@pytest.mark.parametrize(
    ("system", "fits", "soft"),
    [
        pytest.param(System(1024, 4096), 2000, 2000 + RESERVE, id="raised as far as needed"),
        pytest.param(System(1024, FREE), 2000, 2000 + RESERVE, id="no hard limit"),
        pytest.param(System(1024, 1500), 1500 - RESERVE, 1500, id="raised as far as allowed"),
        pytest.param(System(9000, 9000), 2000, 9000, id="never lowered"),
        pytest.param(System(FREE, FREE), 2000, FREE, id="no limit at all"),
        pytest.param(System(1024, FREE, most=1500), 1024 - RESERVE, 1024, id="refused"),
        pytest.param(System(50, 50), 1, 50, id="hopeless"),
    ],
)
def test_the_limit_of_files_is_raised_and_bounds_the_connections(
    monkeypatch: pytest.MonkeyPatch, system: System, fits: int, soft: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", system.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", system.setrlimit)

    assert make_room(2000) == fits
    assert system.soft == soft
