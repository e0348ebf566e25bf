import pytest

from pushd.net.pace import BURST, REMEMBERED, STEP, Budget, Budgets, Rate

JULIET = "juliet@example.net"
NOW = 1_700_000_000.0


def budget(budgets: Budgets, account: str = JULIET) -> Budget:
    found = budgets.of(account, "192.0.2.1")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("rate", "origin"),
    [
        pytest.param(Rate(), "192.0.2.1", id="switched off"),
        pytest.param(Rate(1_000, 1_000), "", id="from an exempt address"),
    ],
)
def test_without_a_limit_there_is_no_budget(rate: Rate, origin: str) -> None:
    assert Budgets(rate).of(JULIET, origin) is None


def test_an_account_keeps_its_budget_when_its_client_comes_back() -> None:
    budgets = Budgets(Rate(bytes=100))
    assert budget(budgets).spend(10_000, 0, NOW) == 10_000 / 100 - BURST

    assert budget(budgets).spend(0, 0, NOW + 30) == 60
    assert budget(budgets, "romeo@example.net").spend(0, 0, NOW) == 0


def test_the_tighter_of_the_two_limits_counts() -> None:
    both = budget(Budgets(Rate(bytes=100, stanzas=10)))

    assert both.spend(2_000, 100, NOW) == 10
    assert both.spend(0, 200, NOW) == 20


def test_the_rate_may_change_at_any_time() -> None:
    budgets = Budgets(Rate(bytes=100))
    one = budget(budgets)
    budgets.rate = Rate(bytes=10)

    assert one.spend(1_000, 0, NOW) == 90


@pytest.mark.parametrize(
    ("rate", "step"),
    [(Rate(bytes=1_000), 1_000), (Rate(bytes=10**7), STEP), (Rate(stanzas=10), STEP)],
)
def test_a_budget_is_settled_after_a_seconds_worth_at_the_latest(rate: Rate, step: int) -> None:
    assert budget(Budgets(rate)).step == step


def test_only_so_many_budgets_are_remembered() -> None:
    budgets = Budgets(Rate(bytes=100))
    for number in range(REMEMBERED + 5):
        budget(budgets, f"{number}@example.net")

    assert len(budgets) == REMEMBERED
