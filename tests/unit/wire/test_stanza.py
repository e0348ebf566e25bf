"""The sealed stanza: stamping, splicing, and a tree on demand."""

import pytest

from pushd.wire.element import element
from pushd.wire.namespaces import NS_CLIENT
from pushd.wire.stanza import Stanza, delay, with_child


def sealed(raw: bytes, **attributes: str) -> Stanza:
    return Stanza(NS_CLIENT, "message", dict(attributes), (), raw)


def test_stamping_sets_the_sender_and_the_language() -> None:
    stanza = sealed(b"<message to='a@b'>x</message>", to="a@b")
    stanza.stamp("c@d/'e", "fr")
    assert stanza.raw == b"<message from='c@d/&apos;e' xml:lang='fr' to='a@b'>x</message>"
    assert stanza.attributes["from"] == "c@d/'e"
    assert stanza.tree.attributes["from"] == "c@d/'e"


def test_stamping_replaces_the_senders_own_words_and_only_these() -> None:
    raw = b"<message id=\" from='x'\" from = 'forged@x' to='a@b'>from='y'</message>"
    stanza = sealed(raw, **{"id": " from='x'", "from": "forged@x", "to": "a@b"})
    stanza.stamp("c@d")
    assert stanza.raw == b"<message from='c@d' id=\" from='x'\" to='a@b'>from='y'</message>"


def test_a_copy_has_other_addresses_and_the_same_letter() -> None:
    stanza = sealed(b"<message from='a@b' to='c@d'>x</message>", **{"from": "a@b", "to": "c@d"})
    copy = stanza.addressed(to="e@f", from_="g@h")
    assert copy.tree.attributes == {"to": "e@f", "from": "g@h"}
    assert copy.attributes == {"to": "e@f", "from": "g@h"}
    assert stanza.raw == b"<message from='a@b' to='c@d'>x</message>"


def test_a_child_is_spliced_in_before_the_end_tag() -> None:
    assert with_child(b"<a b='c'>d</a >", b"<e/>") == b"<a b='c'>d<e/></a >"
    assert with_child(b"<a b='c'/>", b"<e/>") == b"<a b='c'><e/></a>"
    assert with_child(b"<a/>", b"<e/>") == b"<a><e/></a>"


def test_an_element_of_ours_is_sealed_without_being_written() -> None:
    stanza = Stanza.of(element(NS_CLIENT, "message", element(NS_CLIENT, "body", "x"), to="a@b"))
    assert stanza.children == ("jabber:client body",)
    assert stanza.raw == b"<message to='a@b'><body>x</body></message>"


def test_a_printed_stanza_shows_no_body() -> None:
    stanza = sealed(b"<message to='a@b'><body>secret</body></message>", to="a@b")
    assert "secret" not in repr(stanza)


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (1_700_000_000.001, "2023-11-14T22:13:20.001Z"),
        (1_700_000_000.0015, "2023-11-14T22:13:20.001Z"),
        (1_700_000_000.9999, "2023-11-14T22:13:20.999Z"),
        (1_700_000_001, "2023-11-14T22:13:21.000Z"),
        (4_102_444_799.9996, "2099-12-31T23:59:59.999Z"),
    ],
)
def test_a_delay_tells_the_millisecond_that_has_begun(at: float, told: str) -> None:
    assert f"stamp='{told}'".encode() in delay("example.net", at)
    assert f"from='example.com' stamp='{told}'".encode() in delay("example.com", at)


def test_a_delay_tells_the_instant_in_utc() -> None:
    assert delay("example.net", 0.25) == (
        b"<delay xmlns='urn:xmpp:delay' from='example.net' stamp='1970-01-01T00:00:00.250Z'/>"
    )


def test_folded_it_is_the_same() -> None:
    stanza = Stanza.of(element(NS_CLIENT, "iq", element("urn:a", "b", c="d"), type="result"))
    tree = stanza.tree
    stanza.fold()
    assert stanza.raw == b"<iq type='result'><b xmlns='urn:a' c='d'/></iq>"
    assert stanza.tree is not tree
    assert stanza.tree.toXml() == tree.toXml()
