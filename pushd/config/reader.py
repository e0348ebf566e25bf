"""From annotations to values: one reader for sections, providers' and modules' options.

A section is a dataclass. Each field is an option; its annotation says how it is written, its
default what holds when it is not given, the comment beside it what it is for. Nothing else
has to be declared:

    @dataclass(frozen=True, slots=True)
    class Options:
        url: Url  # where to post; never taken from a client
        bearer: Secret
        lifetime: Duration = 86_400.0  # how long a notification stays worth showing
"""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pushd.config.document import ListNode, MapNode, Node, Scalar, is_null, shape
from pushd.config.files import File, Hidden
from pushd.config.kinds import (
    Choice,
    Decimal,
    Endpoint,
    Faulty,
    Kind,
    Listener,
    Reading,
    Text,
    Truth,
    Whole,
    nearest,
    suggestion,
)
from pushd.wire.secret import Secret

S = TypeVar("S")

DERIVED = {"derived": True}  # metadata of a field that is no option

_kinds: dict[type, Kind] = {
    bool: Truth(),
    int: Whole(),
    float: Decimal(),
    str: Text(),
    Path: File(),
    Secret: Hidden(),
    Endpoint: Listener(),
}


def kind_of(annotation: Any) -> Kind:
    """The kind that an annotation stands for. Raises TypeError if there is none."""
    arguments = get_args(annotation)
    match get_origin(annotation):
        case _ if annotation in _kinds:
            return _kinds[annotation]
        case None if isinstance(annotation, type) and is_dataclass(annotation):
            return Section(annotation)
        case form if form is Annotated:
            own = (mark for mark in arguments[1:] if isinstance(mark, Kind))
            return next(own, None) or kind_of(arguments[0])
        case form if form is Literal:
            return Choice(arguments)
        case form if form is Union or form is UnionType:
            kinds = [kind_of(a) for a in arguments if a is not NoneType]
            inner = kinds[0] if len(kinds) == 1 else Either(tuple(kinds))
            return Optional(inner) if NoneType in arguments else inner
        case form if form is tuple and arguments[1:] == (...,):
            return Several(kind_of(arguments[0]))
        case form if form is Mapping:
            return Named(kind_of(arguments[0]), kind_of(arguments[1]))
    raise TypeError(f"no option is written as {annotation}")


@dataclass(frozen=True)
class Optional(Kind):
    """A kind, or nothing."""

    inner: Kind

    @property
    def title(self) -> str:
        return self.inner.title

    @property
    def expected(self) -> str:
        return self.inner.expected

    def read(self, node: Node, reading: Reading) -> Any:
        return None if is_null(node) else self.inner.read(node, reading)

    def takes(self, node: Node) -> bool:
        return is_null(node) or self.inner.takes(node)

    def show(self, value: Any) -> str:
        return "" if value is None else self.inner.show(value)


@dataclass(frozen=True)
class Either(Kind):
    """One of several kinds, told apart by the shape of what is written."""

    kinds: tuple[Kind, ...]

    @property
    def title(self) -> str:
        return ", or ".join(kind.title for kind in self.kinds)

    @property
    def expected(self) -> str:
        return ", or ".join(kind.expected for kind in self.kinds)

    def read(self, node: Node, reading: Reading) -> Any:
        for kind in self.kinds:
            if kind.takes(node):
                return kind.read(node, reading)
        return reading.refuse(node, shape(node), self.expected)

    def takes(self, node: Node) -> bool:
        return any(kind.takes(node) for kind in self.kinds)

    def show(self, value: Any) -> str:
        kind = next(k for k in self.kinds if isinstance(k, Several) == isinstance(value, tuple))
        return kind.show(value)


@dataclass(frozen=True)
class Several(Kind):
    """A list."""

    item: Kind

    @property
    def title(self) -> str:
        return f"list ({self.item.title})"

    @property
    def expected(self) -> str:
        return "a list, each item being " + self.item.expected

    def read(self, node: Node, reading: Reading) -> tuple[Any, ...]:
        if not isinstance(node, ListNode):
            reading.refuse(node, shape(node), self.expected)
        good = []
        for item in node.items:
            try:
                good.append(self.item.read(item, reading))
            except Faulty:
                continue
        if len(good) < len(node.items):
            raise Faulty
        return tuple(good)

    def takes(self, node: Node) -> bool:
        return isinstance(node, ListNode)

    def show(self, value: Any) -> str:
        return f"[{', '.join(self.item.show(item) for item in value)}]"


@dataclass(frozen=True)
class Named(Kind):
    """A mapping from names to values. A list of names gives each what holds by default."""

    name: Kind
    value: Kind

    @property
    def title(self) -> str:
        return f"mapping ({self.name.title} to {self.value.title})"

    @property
    def expected(self) -> str:
        return f"a mapping, each key being {self.name.expected}"

    def read(self, node: Node, reading: Reading) -> dict[str, Any]:
        entries = pairs(node, reading, self.expected)
        good: dict[str, Any] = {}
        for name_node, value_node in entries:
            try:
                name = self.name.read(name_node, reading)
                if name in good:
                    reading.refuse(name_node, f"{name!r} again", "it once")
                good[name] = self.value.read(value_node, reading)
            except Faulty:
                continue
        if len(good) < len(entries):
            raise Faulty
        return good

    def takes(self, node: Node) -> bool:
        return isinstance(node, ListNode | MapNode)

    def show(self, value: Any) -> str:
        return "{" + ", ".join(f"{n}: {self.value.show(v)}" for n, v in value.items()) + "}"


@dataclass(frozen=True)
class Section(Kind):
    """The options of a dataclass, by name. Nothing given is as good as `{}`."""

    cls: type

    @property
    def title(self) -> str:
        return "section"

    @property
    def expected(self) -> str:
        return f"a mapping with {', '.join(option_fields(self.cls)) or 'nothing in it'}"

    def read(self, node: Node, reading: Reading) -> Any:
        entries = entries_of(node, reading, self.expected)
        refuse_unknown(entries, option_fields(self.cls), reading)
        return construct(self.cls, entries, reading)

    def takes(self, node: Node) -> bool:
        return isinstance(node, MapNode)

    def show(self, value: Any) -> str:
        return ""


@dataclass(frozen=True)
class Given(Section):
    """A section that means something by being there, even with nothing in it."""

    title = "section, off if not given"

    def takes(self, node: Node) -> bool:
        return isinstance(node, MapNode) or is_null(node)


def option_fields(cls: type) -> dict[str, "Field[Any]"]:
    """The fields of a dataclass that are options, by name, in order."""
    return {f.name: f for f in fields(cls) if not f.metadata.get("derived")}


def option_kinds(cls: type) -> dict[str, Kind]:
    """The kind of each option of a dataclass. Raises TypeError for an annotation without one."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: kind_of(hints[name]) for name in option_fields(cls)}


def is_required(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def default_of(field: "Field[Any]") -> Any:
    """The default of an option that is not required."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def pairs(node: Node, reading: Reading, expected: str) -> list[tuple[Scalar, Node]]:
    """The names of a mapping, as nodes, and their values; the items of a list, and nothing."""
    if isinstance(node, MapNode):
        return [
            (Scalar(value.named_at, value.named_at, value.key, name, False), value)
            for name, value in node.entries.items()
        ]
    if not isinstance(node, ListNode):
        reading.refuse(node, shape(node), expected)
    names = []
    for item in node.items:
        if isinstance(item, Scalar) and not item.is_null:
            names.append(item)
        else:
            reading.report.refuse(item.mark, item.key, shape(item), "a name")
    return [(name, Scalar(name.mark, name.mark, name.key, "", True)) for name in names]


def entries_of(node: Node, reading: Reading, expected: str) -> MapNode:
    if is_null(node):
        return MapNode(node.mark, node.named_at, node.key, {})
    if not isinstance(node, MapNode):
        reading.refuse(node, shape(node), expected)
    return node


def refuse_unknown(node: MapNode, known: Collection[str], reading: Reading) -> None:
    for name, value in node.entries.items():
        if name in known:
            continue
        # A word alone, like no key there is, may be a secret whose key was forgotten.
        may_be_secret = is_null(value) and not nearest(name, tuple(known))
        key = node.key if may_be_secret else value.key
        remedy = suggestion(name, tuple(known))
        reading.report.refuse(value.named_at, key, "an unknown key", remedy)


def construct(cls: type[S], node: MapNode, reading: Reading, excused: Collection[str] = ()) -> S:
    """An instance of the dataclass `cls` from a mapping's values.

    Everything wrong with its options is reported before Faulty is raised; an option that is
    `excused` may be missing without a report, if another already says what to do about it.
    A ValueError from `__post_init__` is reported as what it says would be right, at the option
    that it names as its `option`.
    """
    values = read_options(cls, node, reading, excused)
    if len(values) < len(option_fields(cls)):
        raise Faulty
    try:
        return cls(**values)
    except ValueError as error:
        option = getattr(error, "option", "")
        is_absent = bool(option) and option not in node.entries
        found = "nothing" if is_absent else "options that do not fit together"
        reading.refuse(node.at(option) if option else node, found, str(error))


def read_options(
    cls: type, node: MapNode, reading: Reading, excused: Collection[str] = ()
) -> dict[str, Any]:
    """The values of the options that are right or left to their default; others are reported."""
    values: dict[str, Any] = {}
    kinds = option_kinds(cls)
    for name, field in option_fields(cls).items():
        kind, value = kinds[name], node.entries.get(name)
        try:
            if value is not None and (kind.takes(value) or not is_null(value)):
                values[name] = kind.read(value, reading)
            elif not is_required(field):
                values[name] = default_of(field)
            elif name not in excused:
                key = f"{node.key}.{name}" if node.key else name
                mark = node.mark if value is None else value.mark
                reading.report.refuse(mark, key, "nothing", kind.expected)
        except Faulty:
            continue
    return values
