"""XEP-0004: Data Forms, with the FORM_TYPE of XEP-0068.

Reading is tolerant: a form without a type is a submit, FORM_TYPE need not be hidden, the
types of fields are ignored and so is what is unknown. Writing is as the XEP asks. wokkel's
forms keep neither tables of items nor the types of a result's fields, refuse FORM_TYPE
unless it is hidden, and prepare addresses by other rules than ours, so none of it is used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pushd.wire.element import Element, children, element
from pushd.wire.namespaces import NS_FORMS

__all__ = ["Field", "Form", "Values", "boolean", "find", "offer", "read", "result", "submit"]

Values = str | Sequence[str]  # of one field: a single value, or several in order

FORM_TYPE: Final = "FORM_TYPE"
TYPES: Final = frozenset({"form", "submit", "result", "cancel"})


@dataclass(frozen=True, slots=True)
class Form:
    """A form as it was read: `type`, FORM_TYPE or None, and values by field, in order.

    FORM_TYPE is not among the fields. `items` are the rows of a table (XEP-0004 §3.4).
    """

    type: str = "submit"
    form_type: str | None = None
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    items: tuple[Mapping[str, tuple[str, ...]], ...] = field(default=(), repr=False)

    def one(self, name: str) -> str | None:
        """The value of a field that has one at most; None when it has none or is absent.

        Raises ValueError for several.
        """
        values = self.fields.get(name, ())
        if len(values) > 1:
            raise ValueError(f"{at(name)}: more than one value")
        return values[0] if values else None

    def boolean(self, name: str) -> bool | None:
        """The value of a boolean field; None when it has none or is absent.

        Raises ValueError for several, and for what is no boolean.
        """
        value = self.one(name)
        if value is None:
            return None
        try:
            return boolean(value)
        except ValueError as error:
            raise ValueError(f"{at(name)}: {error}") from None


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it is offered or answered; `options` are pairs of value and label."""

    name: str
    type: str = "text-single"
    label: str = ""
    values: Values = ()
    required: bool = False
    description: str = ""
    options: Sequence[tuple[str, str]] = ()


def boolean(value: str) -> bool:
    """Read `1`, `0`, `true` or `false` (XEP-0004 §3.3). Raises ValueError for all else."""
    if value in ("1", "true"):
        return True
    if value in ("0", "false"):
        return False
    raise ValueError("not one of 0, 1, true, false")


def read(form: Element) -> Form:
    """Read a form. Raises ValueError, with a text that names the field at fault."""
    if form.name != "x" or form.uri != NS_FORMS:
        raise ValueError("not a data form")
    kind = form.attributes.get("type", "submit")
    if kind not in TYPES:
        raise ValueError("the type of the form is not one of form, submit, result, cancel")
    fields = _read_fields(form)
    form_type = fields.pop(FORM_TYPE, ())
    if len(form_type) > 1:
        raise ValueError(f"{at(FORM_TYPE)}: more than one value")
    items = tuple(
        _read_fields(node)
        for node in form.children
        if not isinstance(node, str) and node.name == "item" and node.uri == NS_FORMS
    )
    return Form(kind, (form_type[0] or None) if form_type else None, fields, items)


def find(parent: Element, form_type: str | None = None) -> Form | None:
    """The first form among the children that has this FORM_TYPE, or None.

    Without `form_type` the first form whatsoever. Raises ValueError as `read` does.
    """
    for node in children(parent):
        if node.name == "x" and node.uri == NS_FORMS:
            form = read(node)
            if form_type is None or form.form_type == form_type:
                return form
    return None


def submit(form_type: str | None, fields: Mapping[str, Values]) -> Element:
    """Make a form that submits these values, FORM_TYPE first."""
    form = _form("submit", form_type)
    _add_fields(form, fields)
    return form


def result(
    form_type: str | None,
    fields: Mapping[str, Values] | Iterable[Field] = (),
    reported: Iterable[Field | str] = (),
    items: Iterable[Mapping[str, Values]] = (),
) -> Element:
    """Make a form that gives results: fields, or a table of `items` headed by `reported`.

    Fields given as `Field` are written with their type and label.
    """
    form = _form("result", form_type)
    _add_fields(form, fields)
    heading = [Field(part) if isinstance(part, str) else part for part in reported]
    if heading:
        form.children.append(element(NS_FORMS, "reported", *map(_described, heading)))
    for item in items:
        row = element(NS_FORMS, "item")
        _add_fields(row, item)
        form.children.append(row)
    return form


def offer(form_type: str | None, title: str, instructions: str, fields: Iterable[Field]) -> Element:
    """Make a form to fill in. Each line of the instructions becomes an element of its own."""
    form = _form("form")
    if title:
        form.children.append(element(NS_FORMS, "title", title))
    for line in instructions.splitlines():
        form.children.append(element(NS_FORMS, "instructions", line))
    if form_type is not None:
        form.children.append(_hidden(form_type))
    for each in fields:
        form.children.append(_described(each))
    return form


def _read_fields(parent: Element) -> dict[str, tuple[str, ...]]:
    fields: dict[str, tuple[str, ...]] = {}
    for node in parent.children:
        if isinstance(node, str) or node.name != "field" or node.uri != NS_FORMS:
            continue
        name = node.attributes.get("var")
        if name is None:
            if node.attributes.get("type") == "fixed":
                continue  # text for people to read, such as a heading (XEP-0004 §3.3)
            raise ValueError("a field without a name")
        if name in fields:
            raise ValueError(f"{at(name)}: given twice")
        values: list[str] = []
        for part in node.children:
            if isinstance(part, str) or part.name != "value" or part.uri != NS_FORMS:
                continue
            inner = part.children
            if len(inner) == 1 and isinstance(inner[0], str):
                values.append(inner[0])
            elif all(isinstance(one, str) for one in inner):
                values.append("".join(inner))
            else:
                raise ValueError(f"{at(name)}: a value holds an element")
        fields[name] = tuple(values)
    return fields


def at(name: str) -> str:
    """Where a mistake is, for whoever made it."""
    return f"field '{name[:64]}'"  # a stranger chose its length


def _form(kind: str, form_type: str | None = None) -> Element:
    form = element(NS_FORMS, "x", type=kind)
    if form_type is not None:
        form.children.append(_hidden(form_type))
    return form


def _hidden(form_type: str) -> Element:
    return _described(Field(FORM_TYPE, "hidden", values=form_type))


def _add_fields(parent: Element, fields: Mapping[str, Values] | Iterable[Field]) -> None:
    if isinstance(fields, Mapping):
        for name, values in fields.items():
            parent.children.append(element(NS_FORMS, "field", *_values(values), var=name))
    else:
        for each in fields:
            parent.children.append(_described(each))


def _described(each: Field) -> Element:
    node = element(NS_FORMS, "field", var=each.name, type=each.type)
    if each.label:
        node.attributes["label"] = each.label
    if each.description:
        node.children.append(element(NS_FORMS, "desc", each.description))
    if each.required:
        node.children.append(element(NS_FORMS, "required"))
    for value in _values(each.values):
        node.children.append(value)
    for choice, label in each.options:
        option = element(NS_FORMS, "option", *_values(choice))
        if label:
            option.attributes["label"] = label
        node.children.append(option)
    return node


def _values(values: Values) -> list[Element]:
    several = (values,) if isinstance(values, str) else values
    return [element(NS_FORMS, "value", value) for value in several]
