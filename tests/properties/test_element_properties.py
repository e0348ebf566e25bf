"""Elements: written and read again they are the same, for us and for another parser."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from pushd.wire.element import Element, MalformedXML, element, parse, serialize, text
from pushd.wire.namespaces import NS_CLIENT, NS_SERVER, NS_STREAMS, NS_XML

Shape = tuple[str, str, dict[tuple[str, str], str], list[object]]

DEFAULTS = [NS_CLIENT, NS_SERVER, "urn:x", ""]
PROPER = [*DEFAULTS, NS_STREAMS, NS_XML, "urn:a&b", "urn:\u00e4", "http://x/?a=1&b=;2#c", "n0"]
NASTY = ["u'", 'u"', "u<", "u>", "u v", "u\nv", "u\r", "\t", "u]]>", "u{v", "&#39;", "&lt;"]
INJECTION = "u'/></message><message xmlns='jabber:client' from='a@b'><x y='"
FORBIDDEN = ["&apos;", '"', "&lt;", "&gt;", " v", "&#10;", "&#13;", "&#9;", "{"]

names = st.from_regex(r"[A-Za-z_\u00e4][A-Za-z0-9_.\-\u00e4]{0,5}", fullmatch=True).filter(
    lambda name: name != "xmlns"
)
texts = st.one_of(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")
    ),
    st.text("ab<>&'\"\r\n\t ]\u0085\u2028\U0001f600", max_size=12),
)


def trees(namespaces: st.SearchStrategy[str]) -> st.SearchStrategy[Element]:
    keys = st.one_of(names, st.tuples(namespaces.filter(bool), names))
    attributes = st.dictionaries(keys, texts, max_size=4)

    def build(
        namespace: str,
        name: str,
        attributes: dict[str | tuple[str, str], str],
        content: list[str | Element],
    ) -> Element:
        made = element(namespace, name, *content)
        made.attributes.update(attributes)
        return made

    leaves = st.builds(build, namespaces, names, attributes, st.lists(texts, max_size=2))
    return st.recursive(
        leaves,
        lambda inner: st.builds(
            build, namespaces, names, attributes, st.lists(st.one_of(texts, inner), max_size=4)
        ),
        max_leaves=12,
    )


def merged(content: list[object]) -> list[object]:
    """Adjacent texts as one, and none that is empty."""
    out: list[object] = []
    for part in content:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        elif part != "":
            out.append(part)
    return out


def shape(node: Element) -> Shape:
    attributes = {
        key if isinstance(key, tuple) else ("", key): value
        for key, value in node.attributes.items()
    }
    content: list[object] = [
        shape(part) if isinstance(part, Element) else part for part in node.children
    ]
    return node.uri or "", node.name, attributes, merged(content)


def split(tag: str) -> tuple[str, str]:
    namespace, brace, name = tag.rpartition("}")
    return (namespace[1:], name) if brace else ("", tag)


def foreign_shape(node: ElementTree.Element) -> Shape:
    content: list[object] = [node.text or ""]
    for part in node:
        content += [foreign_shape(part), part.tail or ""]
    attributes = {split(key): value for key, value in node.attrib.items()}
    return *split(node.tag), attributes, merged(content)


def read_by_another(data: bytes, default: str) -> list[Shape]:
    """What stands in a stream of that default namespace, as xml.etree reads it."""
    header = f"<stream:stream xmlns='{default}' xmlns:stream='{NS_STREAMS}'>".encode()
    stream = ElementTree.fromstring(header + data + b"</stream:stream>")
    between = [stream.text, *(node.tail for node in stream)]
    assert not any((part or "").strip(" \t\r\n") for part in between)
    return [foreign_shape(node) for node in stream]


@given(trees(st.sampled_from(PROPER)), st.sampled_from(DEFAULTS))
def test_an_element_written_and_read_again_is_the_same(tree: Element, default: str) -> None:
    assert shape(parse(serialize(tree, default), default)) == shape(tree)


@given(trees(st.sampled_from(PROPER)), st.sampled_from(DEFAULTS))
def test_another_parser_reads_the_same_in_what_is_written(tree: Element, default: str) -> None:
    assert read_by_another(serialize(tree, default), default) == [shape(tree)]


@given(trees(st.sampled_from([*PROPER, *NASTY, INJECTION])), st.sampled_from(DEFAULTS))
def test_no_namespace_name_breaks_out_of_its_quotes(tree: Element, default: str) -> None:
    data = serialize(tree, default)
    assert read_by_another(data, default) == [shape(tree)]
    try:
        read = parse(data, default)
    except MalformedXML:
        assert any(forbidden.encode() in data for forbidden in FORBIDDEN)
    else:
        assert shape(read) == shape(tree)


@given(st.text(st.characters(codec=None)))
def test_any_text_at_all_can_be_written(anything: str) -> None:
    legal = "".join(
        c
        if c in "\t\n\r" or " " <= c < "\ud800" or "\udfff" < c < "\ufffe" or c > "\uffff"
        else "\ufffd"
        for c in anything
    )
    read = parse(serialize(element(NS_CLIENT, "a", anything, b=anything)))
    assert (text(read), read.attributes["b"]) == (legal, legal)


PIECES = [
    *("<a>", "</a>", "<a/>", "<b xmlns='urn:b'>", "</b>", "<p:c>", "</p:c>", "<a", ">", "/>"),
    *("<p:c xmlns:p='urn:p' p:d='&#10;'>", "<stream:e>", "</stream:e>", "<xml:f/>", " xmlns=''"),
    *(" g='1'", ' h="&quot;"', " xmlns:p='urn:q'", " xml:lang='en'", " xmlns='u v'", " i='<'"),
    *(
        "text",
        "&amp;",
        "&#13;",
        "&#0;",
        "&x;",
        "]]>",
        "<![CDATA[<]]>",
        "<![CDATA[",
        "\r\n",
        "\u00e4",
    ),
    *("<!-- -->", "<?x y?>", "<?xml version='1.0'?>", "<!DOCTYPE a>", "<s>", "</s>", "\x00", "}"),
]
documents = st.one_of(
    st.binary(),
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join).map(str.encode),
    st.lists(st.sampled_from(PIECES), max_size=8).map(
        lambda parts: f"<a>{''.join(parts)}</a>".encode()
    ),
)


@given(documents)
def test_any_bytes_are_one_element_or_malformed(data: bytes) -> None:
    try:
        read = parse(data)
    except MalformedXML:
        return
    assert read_by_another(data.strip(), NS_CLIENT) == [shape(read)]
    assert shape(parse(serialize(read))) == shape(read)
