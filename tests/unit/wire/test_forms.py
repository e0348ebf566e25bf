"""Data forms: read with tolerance, written as XEP-0004 asks."""

import pytest

from pushd.wire import forms
from pushd.wire.compat import data_form
from pushd.wire.element import Element, parse, serialize
from pushd.wire.forms import Field, Form
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, FORM_PUSH_OPTIONS


def form(inside: str, attributes: str = "type='submit'") -> Element:
    return parse(f"<x xmlns='jabber:x:data' {attributes}>{inside}</x>".encode())


def field(name: str, *values: str, kind: str = "") -> str:
    inside = "".join(f"<value>{value}</value>" for value in values)
    return f"<field var='{name}'{kind and f' type={kind!r}'}>{inside}</field>"


def test_a_form_is_read_with_its_values_in_order() -> None:
    read = forms.read(
        form(
            field("FORM_TYPE", FORM_PUSH_OPTIONS, kind="hidden")
            + field("secret", "a &amp; b", kind="text-private")
            + field("nodes", "one", "", "two", kind="list-multi")
            + field("empty")
        )
    )
    assert read == Form(
        "submit",
        FORM_PUSH_OPTIONS,
        {"secret": ("a & b",), "nodes": ("one", "", "two"), "empty": ()},
    )


def test_a_form_without_a_type_is_a_submit() -> None:
    assert forms.read(form(field("a", "1"), attributes="")).type == "submit"


@pytest.mark.parametrize("kind", ["form", "submit", "result", "cancel"])
def test_the_type_of_a_form_is_told(kind: str) -> None:
    assert forms.read(form("", f"type='{kind}'")) == Form(kind)


def test_form_type_need_not_be_hidden_nor_come_first() -> None:
    for kind in ("", "hidden", "text-single"):
        read = forms.read(form(field("a", "1") + field("FORM_TYPE", "urn:x", kind=kind)))
        assert (read.form_type, read.fields) == ("urn:x", {"a": ("1",)})


def test_an_empty_form_type_is_none() -> None:
    assert forms.read(form(field("FORM_TYPE", ""))).form_type is None
    assert forms.read(form(field("FORM_TYPE"))).form_type is None
    assert forms.read(form("")).form_type is None


def test_what_is_unknown_is_ignored() -> None:
    read = forms.read(
        form(
            " text <title>T</title><field xmlns='urn:other' var='b'><value>2</value></field>"
            "<field type='fixed'><value>Heading</value></field>"
            "<field var='a' type='novel' fancy='yes'><desc>d</desc><required/>"
            "<value>1</value><value xmlns='urn:other'>3</value>"
            "<option><value>9</value></option></field><other/>"
        )
    )
    assert read.fields == {"a": ("1",)}


@pytest.mark.parametrize(
    ("inside", "complaint"),
    [
        (field("FORM_TYPE", "a", "b"), "field 'FORM_TYPE': more than one value"),
        (field("a", "1") + field("a", "2"), "field 'a': given twice"),
        ("<field type='text-single'><value>1</value></field>", "a field without a name"),
        ("<field><value>1</value></field>", "a field without a name"),
        (field("a", "1<b/>"), "field 'a': a value holds an element"),
        (f"<item>{field('a', '1')}{field('a', '2')}</item>", "field 'a': given twice"),
    ],
)
def test_a_bad_structure_is_refused_by_the_fields_name(inside: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        forms.read(form(inside))


def test_a_complaint_does_not_repeat_a_name_of_any_length() -> None:
    name = "n" * 10_000
    with pytest.raises(ValueError, match="given twice") as refusal:
        forms.read(form(field(name) + field(name)))
    assert len(str(refusal.value)) < 100


def test_what_is_no_form_is_refused() -> None:
    with pytest.raises(ValueError, match="the type of the form is not one of"):
        forms.read(form("", "type='novel'"))
    for data in (b"<x xmlns='urn:x'/>", b"<y xmlns='jabber:x:data'/>"):
        with pytest.raises(ValueError, match="not a data form"):
            forms.read(parse(data))


def test_a_form_is_found_by_its_form_type() -> None:
    parent = parse(
        "<enable xmlns='urn:xmpp:push:0'><x xmlns='urn:other'/>"
        f"<x xmlns='jabber:x:data'>{field('FORM_TYPE', FORM_PUSH_OPTIONS)}</x>"
        f"<x xmlns='jabber:x:data'>{field('FORM_TYPE', FORM_PUBLISH_OPTIONS)}"
        f"{field('secret', 's')}</x>"
        f"<x xmlns='jabber:x:data'>{field('FORM_TYPE', FORM_PUBLISH_OPTIONS)}</x>"
        "</enable>".encode()
    )
    found = forms.find(parent, FORM_PUBLISH_OPTIONS)
    assert found is not None
    assert found.fields == {"secret": ("s",)}
    first = forms.find(parent)
    assert first is not None
    assert first.form_type == FORM_PUSH_OPTIONS
    assert forms.find(parent, "urn:absent") is None
    assert forms.find(form("")) is None


def test_a_broken_form_is_not_passed_over() -> None:
    parent = parse(f"<a><x xmlns='jabber:x:data'>{field('b') * 2}</x></a>".encode())
    with pytest.raises(ValueError, match="field 'b': given twice"):
        forms.find(parent, "urn:x")


def test_single_values_and_booleans_are_read_by_name() -> None:
    read = forms.read(form(field("a", "x") + field("b", "1", "0") + field("c") + field("d", "1")))
    assert [read.one(name) for name in "acz"] == ["x", None, None]
    assert [read.boolean(name) for name in "dcz"] == [True, None, None]
    for ask in (read.one, read.boolean):
        with pytest.raises(ValueError, match=r"^field 'b': more than one value$"):
            ask("b")
    with pytest.raises(ValueError, match=r"^field 'a': not one of 0, 1, true, false$"):
        read.boolean("a")


def test_booleans_have_four_spellings() -> None:
    assert [forms.boolean(value) for value in ("1", "true", "0", "false")] == [1, 1, 0, 0]
    for value in ("", "True", "FALSE", " 1", "2", "yes", "01", "\u0661"):
        with pytest.raises(ValueError, match="not one of 0, 1, true, false"):
            forms.boolean(value)


def test_a_submit_is_written_with_form_type_first() -> None:
    made = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": "s<", "many": ["1", "2"], "none": []})
    assert serialize(made) == (
        b"<x xmlns='jabber:x:data' type='submit'>"
        b"<field var='FORM_TYPE' type='hidden'><value>"
        + FORM_PUBLISH_OPTIONS.encode()
        + b"</value>"
        b"</field><field var='secret'><value>s&lt;</value></field>"
        b"<field var='many'><value>1</value><value>2</value></field><field var='none'/></x>"
    )
    assert forms.read(made) == Form(
        "submit", FORM_PUBLISH_OPTIONS, {"secret": ("s<",), "many": ("1", "2"), "none": ()}
    )
    assert forms.read(forms.submit(None, {"a": ""})) == Form("submit", None, {"a": ("",)})


def test_a_result_may_carry_the_types_of_its_fields() -> None:
    made = forms.result(FORM_PUSH_OPTIONS, [Field("b", "boolean", "Bodies", "1")])
    assert serialize(made).endswith(
        b"<field var='b' type='boolean' label='Bodies'><value>1</value></field></x>"
    )
    assert forms.read(made) == Form("result", FORM_PUSH_OPTIONS, {"b": ("1",)})
    assert forms.read(forms.result(None, {"jid": "a@b"})) == Form("result", None, {"jid": ("a@b",)})


def test_a_result_may_be_a_table() -> None:
    made = forms.result(
        None,
        reported=["node", Field("name", label="Name")],
        items=[{"node": "1", "name": "phone"}, {"node": "2"}],
    )
    assert serialize(made) == (
        b"<x xmlns='jabber:x:data' type='result'><reported>"
        b"<field var='node' type='text-single'/>"
        b"<field var='name' type='text-single' label='Name'/></reported>"
        b"<item><field var='node'><value>1</value></field>"
        b"<field var='name'><value>phone</value></field></item>"
        b"<item><field var='node'><value>2</value></field></item></x>"
    )
    assert forms.read(made).items == ({"node": ("1",), "name": ("phone",)}, {"node": ("2",)})


def test_an_offer_says_what_to_fill_in() -> None:
    made = forms.offer(
        "urn:x",
        "Register",
        "First line\nSecond line",
        [
            Field("token", label="Token", required=True, description="From the network"),
            Field("app", "list-single", values="b", options=[("a", "A"), ("b", "")]),
        ],
    )
    assert serialize(made) == (
        b"<x xmlns='jabber:x:data' type='form'><title>Register</title>"
        b"<instructions>First line</instructions><instructions>Second line</instructions>"
        b"<field var='FORM_TYPE' type='hidden'><value>urn:x</value></field>"
        b"<field var='token' type='text-single' label='Token'>"
        b"<desc>From the network</desc><required/></field>"
        b"<field var='app' type='list-single'><value>b</value>"
        b"<option label='A'><value>a</value></option><option><value>b</value></option></field></x>"
    )
    bare = forms.offer(None, "", "", [])
    assert serialize(bare) == b"<x xmlns='jabber:x:data' type='form'/>"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:wokkel")
def test_another_library_reads_the_same_in_what_is_written() -> None:
    made = forms.submit("urn:x", {"a": "1", "b": ["2", "3"]})
    read = data_form.Form.fromElement(parse(serialize(made)))
    assert (read.formType, read.formNamespace) == ("submit", "urn:x")
    assert dict(read) == {"a": "1", "b": ["2", "3"]}
    offered = data_form.Form.fromElement(
        forms.offer(None, "T", "I", [Field("c", "list-multi", options=[("x", "X")])])
    )
    assert (offered.title, offered.instructions) == ("T", ["I"])
    assert [(o.value, o.label) for o in offered.fields["c"].options] == [("x", "X")]
