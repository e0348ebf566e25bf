"""Reports of mistakes: one line each, in the order of the file."""

from pushd.config.problems import Caution, ConfigErrors, Problem


def test_a_problem_is_told_with_its_place_its_key_and_the_remedy() -> None:
    problem = Problem(3, 7, "push.hold", "'ages'", "a duration")
    assert str(problem) == "3:7: push.hold: found 'ages'; expected a duration"
    assert str(Caution(3, 7, "push.hold", "that is long")) == (
        "3:7: push.hold: warning: that is long"
    )


def test_the_report_has_a_line_for_each_problem_in_the_order_of_the_file() -> None:
    errors = ConfigErrors(
        "etc/pushd.yml",
        [Problem(10, 1, "b", "x", "y"), Problem(9, 5, "a", "x", "y"), Problem(0, 0, "", "x", "y")],
    )
    assert str(errors) == (
        "etc/pushd.yml: found x; expected y\n"
        "etc/pushd.yml:9:5: a: found x; expected y\n"
        "etc/pushd.yml:10:1: b: found x; expected y"
    )


def test_what_concerns_the_whole_file_has_no_line() -> None:
    assert str(Problem(0, 0, "data", "x", "y")) == "data: found x; expected y"
    assert str(Caution(0, 0, "", "mind that")) == "warning: mind that"
