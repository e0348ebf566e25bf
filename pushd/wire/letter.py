"""The letter of a stanza without a tree of ours: for requests that come by the thousand.

To read it with ElementTree takes a quarter of what a tree of ours takes (`Stanza.tree`), which
could be passed on besides. What is read has passed a framer, which lets through restricted XML
alone (RFC 6120 §11.1), or was written by our own serializer: there are no doctypes, comments or
entities in it.
"""

from dataclasses import dataclass
from xml.etree.ElementTree import Element as Node
from xml.etree.ElementTree import ParseError, XMLParser

from pushd.wire import forms
from pushd.wire.element import MalformedXML
from pushd.wire.namespaces import NS_CLIENT, NS_FORMS, NS_STREAMS
from pushd.wire.stanza import Stanza

__all__ = ["Node", "Written", "form_of", "named", "unsealed"]

_HEADER = f"<s xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'>".encode()


@dataclass(frozen=True, slots=True)
class Written:
    """An element of our own making that is written already, in the plain form."""

    name: str  # "namespace local", as in `Stanza.children`
    xml: str


def named(namespace: str, name: str) -> str:
    """What a node of this name has as its tag."""
    return f"{{{namespace}}}{name}" if namespace else name


FORM = named(NS_FORMS, "x")
_FIELD, _VALUE = named(NS_FORMS, "field"), named(NS_FORMS, "value")


def unsealed(stanza: Stanza) -> Node:
    """The whole stanza. Raises MalformedXML, which none that a framer let through does."""
    parser = XMLParser()  # noqa: S314 - restricted XML, see above
    try:
        parser.feed(_HEADER)
        parser.feed(stanza.raw)
        parser.feed(b"</s>")
        stream: Node = parser.close()
    except ParseError:
        raise MalformedXML("not well-formed") from None
    return stream[0]


def form_of(node: Node) -> forms.Form:
    """What `forms.read` makes of a form, without its tables. Raises ValueError as that does."""
    kind = node.get("type", "submit")
    if kind not in forms.TYPES:
        raise ValueError("the type of the form is not one of form, submit, result, cancel")
    fields: dict[str, tuple[str, ...]] = {}
    for field in node:
        if field.tag != _FIELD:
            continue
        name = field.get("var")
        if name is None:
            if field.get("type") == "fixed":
                continue
            raise ValueError("a field without a name")
        if name in fields:
            raise ValueError(f"{forms.at(name)}: given twice")
        values = field.findall(_VALUE)
        for value in values:
            if len(value):
                raise ValueError(f"{forms.at(name)}: a value holds an element")
        fields[name] = tuple([value.text or "" for value in values])
    form_type = fields.pop(forms.FORM_TYPE, ())
    if len(form_type) > 1:
        raise ValueError(f"{forms.at(forms.FORM_TYPE)}: more than one value")
    return forms.Form(kind, (form_type[0] or None) if form_type else None, fields)
