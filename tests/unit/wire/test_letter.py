"""Letters: what ElementTree reads in them is what our own tree says."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.wire import forms
from pushd.wire.element import Element, MalformedXML, children, element, parse, serialize, text
from pushd.wire.framer import seal
from pushd.wire.letter import Node, form_of, named, unsealed
from pushd.wire.namespaces import NS_CLIENT, NS_FORMS
from pushd.wire.stanza import Stanza
from tests.fuzz.grammar import some

WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=9)


def same(node: Node, tree: Element) -> None:
    """Both say the same."""
    assert node.tag == named(tree.uri, tree.name)
    assert node.attrib == {
        key if isinstance(key, str) else named(*key): value
        for key, value in tree.attributes.items()
    }
    own = "".join([node.text or "", *(child.tail or "" for child in node)])
    assert own == text(tree)
    inner = list(children(tree))
    assert len(node) == len(inner)
    for one, other in zip(node, inner, strict=True):
        same(one, other)


@given(st.integers(0, 1 << 32))
def test_both_read_the_same(seed: int) -> None:
    written = some(Random(seed)).encode(errors="replace")
    try:
        tree = parse(written)
        raw = serialize(tree)
    except MalformedXML:
        return
    stanza = Stanza(NS_CLIENT, tree.name, {}, (), raw)

    same(unsealed(stanza), parse(raw))


def test_what_is_no_xml_is_refused() -> None:
    with pytest.raises(MalformedXML):
        unsealed(Stanza(NS_CLIENT, "iq", {}, (), b"<iq>"))


FORMS = [
    "<x xmlns='jabber:x:data'/>",
    "<x xmlns='jabber:x:data' type='form'><field var='a'/></x>",
    "<x xmlns='jabber:x:data' type='survey'/>",
    "<x xmlns='jabber:x:data'><field/></x>",
    "<x xmlns='jabber:x:data'><field type='fixed'><value>a</value></field></x>",
    "<x xmlns='jabber:x:data'><field var='a'><value>1</value></field><field var='a'/></x>",
    "<x xmlns='jabber:x:data'><field var='a'><value>1<b/></value></field></x>",
    "<x xmlns='jabber:x:data'> <field var='a'>\n<value/><value> 1 &amp; 2\n</value></field></x>",
    "<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>t</value></field></x>",
    "<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value/></field></x>",
    "<x xmlns='jabber:x:data'><field var='FORM_TYPE'/></x>",
    "<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>a</value><value>b</value></field></x>",
    "<x xmlns='jabber:x:data'><field xmlns='urn:x' var='a'/><field var='b'><v/></field></x>",
    f"<x xmlns='jabber:x:data'><field var='{'a' * 100}'/><field var='{'a' * 100}'/></x>",
]


def outcome(read: object) -> forms.Form | str:
    assert callable(read)
    try:
        form: forms.Form = read()
    except ValueError as error:
        return str(error)
    return form


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_read_as_anywhere_else(form: str) -> None:
    stanza = seal(f"<iq>{form}</iq>".encode())
    [tree] = children(stanza.tree)

    assert outcome(lambda: form_of(unsealed(stanza)[0])) == outcome(lambda: forms.read(tree))


@given(st.dictionaries(WORDS, st.lists(WORDS)))
def test_values_are_those_that_were_written(fields: dict[str, list[str]]) -> None:
    fields.pop("FORM_TYPE", None)
    form = forms.submit("urn:example", fields)
    stanza = Stanza.of(element(NS_CLIENT, "iq", form))

    read = form_of(unsealed(stanza)[0])

    assert unsealed(stanza)[0].tag == named(NS_FORMS, "x")
    assert read == forms.read(form)
    assert read.fields == {name: tuple(values) for name, values in fields.items()}
