"""YAML as a tree of text: every value is what was written, with its place and its key.

PyYAML splits the text; the meaning it would give to words (`no`, `052`, `12:30`) is not
taken over, since only an option's type can tell. What configurations can do without and
readers stumble over (anchors, aliases, tags, duplicate keys) is refused.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from pushd.config.problems import WHOLE_FILE, ConfigErrors, Mark, Report

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Node:
    """A value. `mark` is where it begins, `named_at` where the key that names it does."""

    mark: Mark
    named_at: Mark
    key: str  # dotted, as written: "app_server.backends[1].type"


@dataclass(frozen=True, slots=True)
class Scalar(Node):
    text: str
    is_plain: bool  # neither quoted nor a block

    @property
    def is_null(self) -> bool:
        """Whether nothing was given: `key:` alone, `~` or `null`."""
        return self.is_plain and self.text in ("", "~", "null")


@dataclass(frozen=True, slots=True)
class ListNode(Node):
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapNode(Node):
    entries: dict[str, Node]

    def having(self, entries: Mapping[str, Node]) -> "MapNode":
        """This mapping with these entries added, or put in place of those of the same name."""
        return replace(self, entries={**self.entries, **entries})

    def without(self, names: Container[str]) -> "MapNode":
        """This mapping without the entries of these names."""
        kept = {name: node for name, node in self.entries.items() if name not in names}
        return replace(self, entries=kept)

    def at(self, *names: str) -> Node:
        """The node under these names, or else the deepest on the way, with the key sought."""
        node: Node = self
        for depth, name in enumerate(names):
            if not isinstance(node, MapNode) or name not in node.entries:
                key = ".".join(filter(None, (node.key, *names[depth:])))
                return replace(node, key=key)
            node = node.entries[name]
        return node


def is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_null


def parse(data: bytes | str, path: str, report: Report) -> MapNode:
    """Read a configuration file's content; an empty one is a mapping without entries.

    Raises ConfigErrors where the text is not YAML or not a mapping; what can be skipped
    (a duplicate key) goes to the report.
    """
    syntax = Report()
    text = data if isinstance(data, str) else _decode(data, syntax)
    if len(text) > MAX_CHARACTERS:
        syntax.refuse(WHOLE_FILE, "", "more than a million characters", "a configuration file")
    tree = None
    if not syntax.problems:
        _check_events(text, syntax)
    if not syntax.problems:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        start = Mark(1, 1)
        root = MapNode(start, start, "", {}) if tree is None else _plant(tree, start, "", report)
        if isinstance(root, MapNode):
            return root
        if is_null(root):
            return MapNode(root.mark, root.mark, "", {})
        syntax.refuse(root.mark, "", shape(root), "a mapping of sections, such as `domains:`")
    raise ConfigErrors(path, syntax.problems)


def shape(node: Node) -> str:
    """What stands there, without its text: it may be a secret in the wrong place."""
    match node:
        case MapNode():
            return "a mapping"
        case ListNode():
            return "a list"
    return "nothing" if is_null(node) else "a single value"


def _decode(data: bytes, syntax: Report) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        syntax.refuse(Mark(line, column), "", "bytes that are not UTF-8", "text in UTF-8")
        return ""


def _check_events(text: str, syntax: Report) -> None:
    """Report what is not YAML, and what of YAML is not taken."""
    loader: Any = None
    depth = 0
    try:
        loader = yaml.SafeLoader(text)
        for event in _events(loader):
            mark = _mark(event.start_mark)
            sign = _sign(event)
            if sign:
                syntax.refuse(mark, "", f"an unquoted {sign}", f"a value in quotes, or no {sign}")
            if isinstance(event, yaml.ScalarEvent) and not _is_text(event.value):
                syntax.refuse(mark, "", "a control character", "text")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                syntax.refuse(mark, "", f"more than {MAX_DEPTH} levels of nesting", "fewer")
                return
    except yaml.MarkedYAMLError as error:
        mark = _mark(error.problem_mark or error.context_mark)
        tab = "found character '\\t'" in (error.problem or "")
        remedy = "spaces, as YAML takes no tab there" if tab else "YAML"
        syntax.refuse(mark, "", f"a mistake in the YAML ({error.problem})", remedy)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        syntax.refuse(Mark(line, column), "", "a character that YAML forbids", "text")
    except (ValueError, OverflowError):  # PyYAML on "\UFFFFFFFF" or a very long version number
        syntax.refuse(_mark(loader.get_mark()), "", "a number out of range", "YAML")


def _events(loader: Any) -> Iterator[Any]:
    documents = 0
    while loader.check_event():
        event = loader.get_event()
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise yaml.MarkedYAMLError(problem="a second document", problem_mark=event.start_mark)
        yield event


def _sign(event: Any) -> str:
    """The sign of YAML's that a value begins with, or ""; it may be meant as part of a secret."""
    if isinstance(event, yaml.AliasEvent):
        return "* (an alias)"
    if getattr(event, "anchor", None) is not None:
        return "& (an anchor)"
    return "! (a tag)" if getattr(event, "tag", None) is not None else ""


def _is_text(value: str) -> bool:
    return all(
        (c >= " " or c in "\n\t") and c != "\x7f" and not "\ud800" <= c <= "\udfff" for c in value
    )


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark is not None else WHOLE_FILE


def _shown(name: str) -> str:
    """A key as it is printed: on one line, and not for ever."""
    return name if name.isprintable() and 0 < len(name) <= 80 else f"{name[:60]!r}"


def _plant(tree: Any, named_at: Mark, key: str, report: Report) -> Node:
    """Turn PyYAML's node into one of ours."""
    mark = _mark(tree.start_mark)
    if isinstance(tree, yaml.ScalarNode):
        return Scalar(mark, named_at, key, tree.value, tree.style is None)
    if isinstance(tree, yaml.SequenceNode):
        items = enumerate(tree.value)
        planted = (_plant(i, _mark(i.start_mark), f"{key}[{n}]", report) for n, i in items)
        return ListNode(mark, named_at, key, tuple(planted))
    entries: dict[str, Node] = {}
    for name, value in tree.value:
        name_mark = _mark(name.start_mark)
        if not isinstance(name, yaml.ScalarNode):
            report.refuse(name_mark, key, "a list or mapping as a key", "a name")
            continue
        dotted = f"{key}.{_shown(name.value)}" if key else _shown(name.value)
        if name.value in entries:
            first = entries[name.value].named_at.line
            report.refuse(name_mark, dotted, f"the key again (first in line {first})", "it once")
            continue
        entries[name.value] = _plant(value, name_mark, dotted, report)
    return MapNode(mark, named_at, key, entries)
