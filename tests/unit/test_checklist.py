"""docs/checklist.rst and the tests marked with `line`: each line of the reference is tested.

When it fails after tests were renamed or marked anew: `python docs/checklist.py`.
"""

import ast

from docs import checklist

ROWS = checklist.rows(checklist.PAGE.read_text(encoding="utf-8"))
MARKED = checklist.marked()
ALL = [*checklist.LINES, *checklist.MISTAKES]
# What cannot be tested before there is what it is about.
NOT_YET = {number for number, (said, _) in ROWS.items() if said.startswith("Not yet")}


def test_every_line_is_in_the_table_once() -> None:
    text = checklist.PAGE.read_text(encoding="utf-8")
    assert [row[0] for row in checklist.ROW.findall(text)] == ALL


def test_marks_are_numbers_of_lines() -> None:
    assert set(MARKED) <= set(ALL)


def test_every_line_is_tested() -> None:
    assert not set(ALL) - set(MARKED) - NOT_YET


def test_what_is_overruled_or_not_there_yet_says_why() -> None:
    for number, (said, _) in ROWS.items():
        if "overruled" in said.lower() or number in NOT_YET:
            assert ":" in said, number
            assert len(said) > 60, number
    assert not {number for number in NOT_YET if number not in checklist.MISTAKES}


def test_tests_that_the_table_names_exist_and_carry_the_number() -> None:
    for number, (_, tests) in ROWS.items():
        assert set(tests) <= set(MARKED.get(number, ())), f"{number}: {tests}"
        assert tests or number not in MARKED, f"{number} is tested now"


def test_marks_of_functions_classes_methods_and_cases_are_found() -> None:
    text = """
@pytest.mark.line(1, 2)
def test_one(): ...

@pytest.mark.line(3)
class TwoTest:
    @pytest.mark.line(4)
    @pytest.mark.mistake(1)
    async def test_two(self): ...

@pytest.mark.parametrize("case", [pytest.param(0, marks=pytest.mark.line(5)), 7])
def test_three(case): ...

@other.line(6)
def test_four(): ...
"""
    assert dict(checklist.marks_in(ast.parse(text).body)) == {
        "test_one": {"1", "2"},
        "TwoTest::test_two": {"3", "4", "M1"},
        "test_three": {"5"},
        "test_four": set(),
    }
