"""YAML as a tree of text with places."""

from typing import Any

import pytest

from pushd.config.document import MAX_DEPTH, ListNode, MapNode, Node, Scalar, parse
from pushd.config.problems import ConfigErrors, Report


def tree_of(data: bytes | str) -> MapNode:
    report = Report()
    root = parse(data, "pushd.yml", report)
    assert report.problems == []
    return root


def plain(node: Node) -> Any:
    match node:
        case MapNode(entries=entries):
            return {name: plain(value) for name, value in entries.items()}
        case ListNode(items=items):
            return [plain(item) for item in items]
        case Scalar(text=text):
            return text


def refusal_of(data: bytes | str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        parse(data, "pushd.yml", Report())
    return str(caught.value)


def test_words_stay_the_text_that_was_written() -> None:
    text = "a: no\nb: 052\nc: 12:30\nd: 1e3\ne: 2026-01-01\nf: [0x1F, 1_000, 'x']\n"
    assert plain(tree_of(text)) == {
        "a": "no",
        "b": "052",
        "c": "12:30",
        "d": "1e3",
        "e": "2026-01-01",
        "f": ["0x1F", "1_000", "x"],
    }


def test_every_node_knows_its_place_and_its_key() -> None:
    root = tree_of("push:\n  hold:  1d\nlists:\n  - a\n  - {b: c}\n")
    hold = root.at("push", "hold")
    assert (hold.mark, hold.named_at, hold.key) == ((2, 10), (2, 3), "push.hold")
    lists = root.at("lists")
    assert isinstance(lists, ListNode)
    item = lists.items[1]
    assert isinstance(item, MapNode)
    assert item.at("b").key == "lists[1].b"
    assert item.at("b").mark == (5, 9)


def test_what_is_missing_is_placed_at_the_deepest_node_on_the_way() -> None:
    node = tree_of("push:\n  hold: 1d\n").at("push", "coalesce")
    assert (node.key, node.mark) == ("push.coalesce", (2, 3))


@pytest.mark.parametrize(
    "data", ["", "# only a comment\n", "~", b"", b"\xef\xbb\xbf", "---\n...\n"]
)
def test_nothing_is_a_mapping_without_entries(data: bytes | str) -> None:
    assert tree_of(data).entries == {}


def test_only_unquoted_nothing_is_nothing() -> None:
    root = tree_of("a:\nb: ~\nc: null\nd: ''\ne: 'null'\n")
    values = [value for value in root.entries.values() if isinstance(value, Scalar)]
    assert [value.is_null for value in values] == [True, True, True, False, False]


def test_a_duplicate_key_is_a_mistake_and_the_first_value_stays() -> None:
    report = Report()
    root = parse("a: 1\nb: {x: 1, x: 2}\na: 3\n", "pushd.yml", report)
    assert plain(root) == {"a": "1", "b": {"x": "1"}}
    assert [str(problem) for problem in report.problems] == [
        "2:11: b.x: found the key again (first in line 2); expected it once",
        "3:1: a: found the key again (first in line 1); expected it once",
    ]


def test_a_key_is_a_name() -> None:
    report = Report()
    parse("? [a, b]\n: 1\n", "pushd.yml", report)
    assert [str(problem) for problem in report.problems] == [
        "1:3: found a list or mapping as a key; expected a name"
    ]


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        ("a: {b", "pushd.yml:1:6: found a mistake in the YAML (expected ',' or '}', but got"),
        ("a: b: c", "pushd.yml:1:5: found a mistake in the YAML (mapping values are not allowed"),
        ("a:\n\tb: c", "pushd.yml:2:1: found a mistake in the YAML (found character '\\t'"),
        ("a: &x 1\nb: *x", "pushd.yml:1:4: found an unquoted & (an anchor); expected a value"),
        ("a: &x 1\nb: *x", "pushd.yml:2:4: found an unquoted * (an alias); expected a value in"),
        ("a: !!python/name:os.system x", "pushd.yml:1:4: found an unquoted !"),
        ("a: !secret x", "pushd.yml:1:4: found an unquoted ! (a tag); expected a value"),
        ("a: 1\n---\nb: 2", "pushd.yml:2:1: found a mistake in the YAML (a second document)"),
        ("- a", "pushd.yml:1:1: found a list; expected a mapping of sections"),
        ("text", "pushd.yml:1:1: found a single value; expected a mapping of sections"),
        (b"a: b\nc: \xff", "pushd.yml:2:4: found bytes that are not UTF-8; expected text in UTF-8"),
        ("a: b\nc: \x01", "pushd.yml:2:4: found a character that YAML forbids; expected text"),
        ('a: "\\ud800"', "pushd.yml:1:4: found a control character; expected text"),
        ('a: "\\0"', "pushd.yml:1:4: found a control character; expected text"),
        ('a: "\\UFFFFFFFF"', "pushd.yml:1:7: found a number out of range; expected YAML"),
        ("%YAML 1." + "1" * 5000 + "\n---\n", "pushd.yml:1:9: found a number out of range"),
        ("[" * 100_000, f"found more than {MAX_DEPTH} levels of nesting; expected fewer"),
        ("#" * 2_000_000, "pushd.yml: found more than a million characters"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(data: bytes | str, refusal: str) -> None:
    assert refusal in refusal_of(data)


def test_a_tab_is_told_to_be_spaces() -> None:
    assert "expected spaces, as YAML takes no tab there" in refusal_of("a:\n\tb: c")


def test_a_key_is_shown_on_one_line() -> None:
    report = Report()
    parse('"a\\nb": 1\n"a\\nb": 2', "pushd.yml", report)
    assert [problem.key for problem in report.problems] == ["'a\\nb'"]
