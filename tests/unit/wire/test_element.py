"""Elements: made in a line, read with every trap refused, written so that all read the same."""

import gc
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from pushd.wire.element import (
    MAX_DEPTH,
    Element,
    MalformedXML,
    child,
    children,
    element,
    escape,
    parse,
    serialize,
    text,
)
from pushd.wire.letter import unsealed
from pushd.wire.namespaces import NS_CLIENT, NS_SERVER, NS_STREAM_ERRORS, NS_STREAMS, NS_XML
from pushd.wire.stanza import Stanza


def nested(levels: int) -> bytes:
    return b"<a>" * levels + b"</a>" * levels


def test_an_element_is_made_in_the_order_given() -> None:
    made = element("urn:x", "a", "one", element("urn:y", "b"), "", "two", to="c", from_="d")
    assert serialize(made) == b"<a xmlns='urn:x' to='c' from='d'>one<b xmlns='urn:y'/>two</a>"
    assert [node.name for node in children(made)] == ["b"]
    assert text(made) == "onetwo"
    assert text(None) == text(element("urn:x", "a")) == ""


def test_the_first_child_of_a_name_is_found() -> None:
    parent = parse(b"<a><b xmlns='urn:x'/><b n='1'/><b n='2'/></a>")
    found = child(parent, NS_CLIENT, "b")
    assert found is not None
    assert found.attributes == {"n": "1"}
    assert child(parent, "urn:x", "c") is None


def test_the_default_namespace_of_the_stream_is_not_declared_again() -> None:
    stanza = element(NS_CLIENT, "iq", element(NS_CLIENT, "error"), element("urn:x", "q"))
    assert serialize(stanza) == b"<iq><error/><q xmlns='urn:x'/></iq>"
    assert serialize(stanza, NS_SERVER) == (
        b"<iq xmlns='jabber:client'><error/><q xmlns='urn:x'/></iq>"
    )


def test_a_namespace_is_declared_where_it_changes_only() -> None:
    made = element("urn:x", "a", element("urn:x", "b", element("", "c", element("", "d"))))
    assert serialize(made) == b"<a xmlns='urn:x'><b><c xmlns=''><d/></c></b></a>"


def test_an_element_without_a_namespace_of_its_own_is_its_parents() -> None:
    made = element("urn:x", "a")
    made.addChild(Element((None, "b")))
    assert serialize(made) == b"<a xmlns='urn:x'><b/></a>"


def test_the_stream_prefix_is_used_and_its_children_are_the_streams() -> None:
    error = element(
        NS_STREAMS, "error", element(NS_STREAM_ERRORS, "reset"), element(NS_CLIENT, "x")
    )
    assert serialize(error) == (
        b"<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><x/></stream:error>"
    )
    read = parse(serialize(error))
    assert [(node.uri, node.name) for node in (read, *children(read))] == [
        (NS_STREAMS, "error"),
        (NS_STREAM_ERRORS, "reset"),
        (NS_CLIENT, "x"),
    ]


def test_elements_of_the_xml_namespace_keep_the_one_prefix_they_may_have() -> None:
    read = parse(b"<a><xml:b xml:lang='en'><c/></xml:b></a>")
    assert serialize(read) == b"<a><xml:b xml:lang='en'><c/></xml:b></a>"


def test_attributes_of_a_namespace_get_a_prefix_of_their_own() -> None:
    read = parse(
        b"<a xmlns:p='urn:p' xmlns:q='urn:q' p:x='1' x='2' q:x='3' p:y='4' xml:lang='en'/>"
    )
    assert read.attributes == {
        ("urn:p", "x"): "1",
        "x": "2",
        ("urn:q", "x"): "3",
        ("urn:p", "y"): "4",
        (NS_XML, "lang"): "en",
    }
    assert serialize(read) == (
        b"<a xmlns:n0='urn:p' n0:x='1' x='2' xmlns:n1='urn:q' n1:x='3' n0:y='4' xml:lang='en'/>"
    )


def test_an_attribute_may_name_its_namespace_as_none() -> None:
    made = element("urn:x", "a")
    made.attributes["", "b"] = "c"
    assert serialize(made) == b"<a xmlns='urn:x' b='c'/>"


def test_markup_in_text_and_attributes_is_escaped() -> None:
    made = element(NS_CLIENT, "a", "<&>'\"]]>\r\n\t", b="<&>'\"\r\n\t")
    assert serialize(made) == (
        b"<a b='&lt;&amp;&gt;&apos;\"&#13;&#10;&#9;'>&lt;&amp;&gt;'\"]]&gt;&#13;\n\t</a>"
    )
    assert escape("a'b") == "a&apos;b"


def test_a_namespace_name_cannot_inject_a_stanza() -> None:
    evil = "u'/></message><message from='admin@x'><b a='"
    made = element(NS_CLIENT, "message", element(evil, "x"))
    made.attributes[evil, "y"] = "z"
    stream = b"<s xmlns='jabber:client'>" + serialize(made) + b"</s>"
    assert [node.tag for node in ElementTree.fromstring(stream)] == ["{jabber:client}message"]
    with pytest.raises(MalformedXML, match=r"namespace name|syntax error"):
        parse(serialize(made))


@pytest.mark.parametrize("illegal", ["\x00", "\x08", "\x0b", "\x1f", "\ud800", "\ufffe", "\uffff"])
def test_what_xml_cannot_say_never_reaches_a_stream(illegal: str) -> None:
    made = element(NS_CLIENT, "a", f"1{illegal}2", b=f"3{illegal}4")
    assert serialize(made).decode() == "<a b='3\ufffd4'>1\ufffd2</a>"


@pytest.mark.parametrize("legal", ["\t", "\n", "\x7f", "\x85", "\u2028", "\ufffd", "\U0010ffff"])
def test_what_xml_can_say_passes(legal: str) -> None:
    read = parse(serialize(element(NS_CLIENT, "a", legal, b=legal)))
    assert (text(read), read.attributes["b"]) == (legal, legal)


@pytest.mark.parametrize(
    "character", ["&lt;", "&gt;", "&quot;", "&apos;", " ", "&#10;", "\u00a0", "{", "}"]
)
def test_namespace_names_that_trap_another_parser_are_refused(character: str) -> None:
    for data in (f'<a xmlns="u{character}v"/>', f'<a><b xmlns:p="u{character}v"/></a>'):
        with pytest.raises(MalformedXML, match=r"namespace name|syntax error"):
            parse(data.encode())
    assert parse(b"<a xmlns='u&amp;v'/>").uri == "u&v"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"<a>",
        b"<a/><b/>",
        b"<a/>text",
        b"text<a/>",
        b"<a/>\xc2\xa0",
        b"</a>",
        b"</s>",
        b"</s><s>",
        b"<a/></s>",
        b"</s><a/>",
        b"<a></b>",
        b"<a",
        b"<a b='1' b='2'/>",
        b"<p:a/>",
        b"<a p:b='1'/>",
        b"<a xmlns:p=''/>",
        b"<a xmlns:xml='urn:x'/>",
        b"<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        b"<xmlns:a/>",
        b"<a>&nbsp;</a>",
        b"<a>&#0;</a>",
        b"<a>&#xd800;</a>",
        b"<a>\x00</a>",
        b"<a>\xff</a>",
        b"<a>\xed\xa0\x80</a>",
        b"<a>\xef\xbf\xbf</a>",
        b"<a>]]></a>",
        b"<a><!-- comment --></a>",
        b"<!-- comment --><a/>",
        b"<a><?target data?></a>",
        b"<?xml version='1.0'?><a/>",
        b"<!DOCTYPE a><a/>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        b"<a><!DOCTYPE a></a>",
    ],
)
def test_what_is_not_one_element_of_restricted_xml_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedXML):
        parse(data)


def test_white_space_around_an_element_is_passed_over() -> None:
    assert serialize(parse(b" \n<a/>\n")) == b"<a/>"


def test_a_hundred_levels_are_read_and_not_one_more() -> None:
    assert MAX_DEPTH == 100
    assert serialize(parse(nested(100))).count(b"<a") == 100
    for levels in (101, 5_000):
        with pytest.raises(MalformedXML, match="nested too deeply"):
            parse(nested(levels))


def test_the_deepest_tree_is_written_without_recursion() -> None:
    root = node = element(NS_CLIENT, "a")
    for _ in range(20_000):
        node = node.addChild(element(NS_CLIENT, "a"))
    assert serialize(root).count(b"<a") == 20_001
    while root.children:  # freed from the top, as Python frees by recursion
        root = root.children.pop()


def test_a_text_is_one_child_however_long_and_however_written() -> None:
    long = "\u00e4&" * 50_000
    assert parse(serialize(element(NS_CLIENT, "a", long))).children == [long]
    assert parse(b"<a>1<![CDATA[<2>]]>&amp;3&#52;</a>").children == ["1<2>&34"]


def test_a_stanza_may_use_what_its_stream_declared() -> None:
    read = parse(b"<p:a q='1'><stream:b/></p:a>", NS_SERVER, {"p": "urn:p"})
    assert serialize(read, NS_SERVER) == b"<a xmlns='urn:p' q='1'><stream:b/></a>"
    assert parse(b"<a/>", NS_SERVER).uri == NS_SERVER
    assert parse(b"<a xmlns=''/>").uri == ""


@pytest.mark.parametrize(
    "work",
    [
        lambda: parse(b"<iq><x xmlns='urn:x' a='b'><y>text</y></x></iq>"),
        lambda: serialize(element(NS_CLIENT, "iq", element("urn:x", "x", "text"))),
        lambda: unsealed(Stanza(NS_CLIENT, "iq", {}, (), b"<iq><x xmlns='urn:x'/></iq>")),
    ],
    ids=["read", "made", "letter"],
)
def test_no_tree_waits_for_the_garbage_collector(work: Callable[[], object]) -> None:
    work()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            work()
        assert gc.collect() == 0
    finally:
        gc.enable()
