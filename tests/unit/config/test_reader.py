"""Annotations become kinds, and sections are read by them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from pushd.config.document import parse
from pushd.config.kinds import DomainName, Duration, Endpoint, Faulty, Reading, Whole
from pushd.config.problems import Report
from pushd.config.reader import DERIVED, construct, kind_of
from pushd.wire.secret import Secret


@dataclass(frozen=True, slots=True)
class Inner:
    name: str = "nobody"


@dataclass(frozen=True, slots=True)
class Options:
    url: str
    bearer: Secret
    lifetime: Duration = 86_400.0
    port: Annotated[int, Whole(1, 65_535)] = 443
    topic: str | None = "any"
    inner: Inner = field(default_factory=Inner)
    made: str = field(default="by us", metadata=DERIVED)


@dataclass(frozen=True, slots=True)
class Pair:
    first: str | None = None
    second: str | None = None

    def __post_init__(self) -> None:
        if bool(self.first) == bool(self.second):
            raise ValueError("one of first and second")


def read(annotation: Any, yaml: str) -> tuple[Any, list[str]]:
    """The value, or None, and the problems."""
    report = Report()
    root = parse(yaml, "pushd.yml", report)
    reading = Reading(report, Path("/nowhere"), {}, {}, {})
    value = None
    try:
        value = kind_of(annotation).read(root.entries.get("x", root), reading)
    except Faulty:
        assert report.problems
    return value, [str(problem) for problem in report.problems]


def test_a_dataclass_is_read_by_its_annotations() -> None:
    yaml = "{url: 052, bearer: sesame, lifetime: 1h, inner: {name: no}, topic: ~}"
    value, problems = read(Options, f"x: {yaml}")
    assert problems == []
    assert value == Options("052", Secret("sesame"), 3600.0, 443, None, Inner("no"))


def test_an_option_without_a_value_is_as_good_as_absent() -> None:
    value, problems = read(Options, "x:\n  url: a\n  bearer: b\n  lifetime:\n  inner:\n")
    assert (value, problems) == (Options("a", Secret("b")), [])


def test_every_option_that_is_wrong_is_told() -> None:
    value, problems = read(Options, "x:\n  bearer: [a]\n  port: 0\n  urll: a\n")
    assert value is None
    assert problems == [
        "4:3: x.urll: found an unknown key; expected a known one: did you mean 'url'?",
        "2:3: x.url: found nothing; expected a text that is not empty",
        "2:11: x.bearer: found a list; expected a secret: its text, {file: path} or {env: NAME}",
        "3:9: x.port: found '0'; expected a whole number from 1 to 65535, in decimal digits",
    ]


def test_a_field_that_is_no_option_cannot_be_given() -> None:
    _, problems = read(Options, "x: {url: a, bearer: b, made: c}")
    assert problems == [
        "1:24: x.made: found an unknown key;"
        " expected one of url, bearer, lifetime, port, topic, inner"
    ]


def test_a_word_alone_is_not_shown_as_it_may_be_a_secret() -> None:
    _, problems = read(Pair, "x: {sesame, frist: , first: a}")
    assert problems == [
        "1:5: x: found an unknown key; expected one of first, second",
        "1:13: x.frist: found an unknown key; expected a known one: did you mean 'first'?",
    ]


class Unfit(ValueError):
    option = "second"


@dataclass(frozen=True)
class Fitting:
    first: int = 0
    second: int = 0

    def __post_init__(self) -> None:
        if self.first != self.second:
            raise Unfit("the same as first")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x: {first: 1}", "1:4: x.second: found nothing; expected the same as first"),
        (
            "x: {first: 1, second: 2}",
            "1:23: x.second: found options that do not fit together; expected the same as first",
        ),
    ],
)
def test_the_option_that_does_not_fit_is_named_where_it_stands(text: str, problem: str) -> None:
    assert read(Fitting, text)[1] == [problem]


def test_options_that_contradict_each_other_are_refused_by_the_dataclass() -> None:
    assert read(Pair, "x: {first: a}") == (Pair("a"), [])
    _, problems = read(Pair, "x: {}")
    assert problems == [
        "1:4: x: found options that do not fit together; expected one of first and second"
    ]


def test_a_value_in_place_of_a_section_is_not_shown() -> None:
    _, problems = read(Mapping[DomainName, Options], "x: {example.net: sesame}")
    assert problems == [
        "1:18: x.example.net: found a single value;"
        " expected a mapping with url, bearer, lifetime, port, topic, inner"
    ]


def test_an_excused_option_may_be_missing_without_a_word() -> None:
    report = Report()
    root = parse("", "pushd.yml", report)
    with pytest.raises(Faulty):
        construct(Options, root, Reading(report, Path(), {}, {}, {}), excused=("url", "bearer"))
    assert report.problems == []


def test_a_list_tells_all_its_wrong_items() -> None:
    assert read(tuple[Endpoint, ...], "x: [':1', ':2']")[0] == (Endpoint("", 1), Endpoint("", 2))
    value, problems = read(tuple[DomainName, ...], "x: [a..b, example.net, [c]]")
    assert value is None
    assert problems == [
        "1:5: x[0]: found 'a..b'; expected a domain name such as example.net",
        "1:24: x[2]: found a list; expected a domain name such as example.net",
    ]


def test_a_mapping_may_be_a_list_of_names() -> None:
    expected = {"a.example": Inner(), "b.example": Inner()}
    assert read(Mapping[DomainName, Inner], "x: [A.example, b.example]") == (expected, [])
    assert read(Mapping[DomainName, Inner], "x:\n  a.example:\n  b.example: {}\n") == (expected, [])


def test_two_spellings_of_one_name_are_one_name() -> None:
    _, problems = read(Mapping[DomainName, Inner], "x: [a.example, A.EXAMPLE]")
    assert problems == ["1:16: x[1]: found 'a.example' again; expected it once"]


def test_a_list_of_names_holds_names() -> None:
    _, problems = read(Mapping[DomainName, Inner], "x: [[a], {b: c}, ~]")
    assert [problem.rpartition(";")[0] for problem in problems] == [
        "1:5: x[0]: found a list",
        "1:10: x[1]: found a mapping",
        "1:18: x[2]: found nothing",
    ]


def test_alternatives_are_told_apart_by_their_shape() -> None:
    either = Literal["all", "local"] | tuple[DomainName, ...]
    assert read(either, "x: local")[0] == "local"
    assert read(either, "x: [a.example]")[0] == ("a.example",)
    assert read(either, "x: example.net")[1] == [
        "1:4: x: found 'example.net'; expected all or local"
    ]
    assert read(either, "x: {a: b}")[1] == [
        "1:4: x: found a mapping; expected all or local,"
        " or a list, each item being a domain name such as example.net"
    ]
    assert kind_of(either).show(("a.example",)) == "[a.example]"
    assert kind_of(either).show("all") == "all"


def test_an_annotation_that_means_nothing_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="no option is written as"):
        kind_of(set[str])
