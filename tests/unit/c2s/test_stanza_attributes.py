"""RFC 6120 §8.1 at the door for clients: `from`, `to`, `id` and `xml:lang` of what they send."""

import pytest

from pushd.wire.element import Element
from tests.unit.c2s.test_stream import House, Wire, condition

ROMEO = "romeo@example.net"
XML = "http://www.w3.org/XML/1998/namespace"
OTHER = "invalid-from"
NOT_HIS = ["juliet@example.net", "juliet@example.net/phone", "example.net"]

# §8.1.2.1: what a client says of itself, and what its receiver reads, or the stream error.
SENDERS = [
    ("", f"{ROMEO}/phone"),
    (f"from='{ROMEO}/phone'", f"{ROMEO}/phone"),
    (f"from='{ROMEO}'", f"{ROMEO}/phone"),
    ("from='Romeo@EXAMPLE.net./phone'", f"{ROMEO}/phone"),
    (f"from='{ROMEO}/Phone'", OTHER),
    (f"from='{ROMEO}/tablet'", OTHER),
    ("from='juliet@example.net'", OTHER),
    ("from='juliet@example.net/phone'", OTHER),
    ("from='example.net'", OTHER),
    ("from='@@'", OTHER),
    ("from=''", OTHER),
]


def both(house: House, lang: str = "") -> tuple[Wire, Wire]:
    """Romeo, whose stream is in this language, and Juliet, who is available."""
    juliet = house.bound("juliet")
    juliet.say("<presence/>")
    romeo = Wire(house)
    romeo.log_in("romeo", lang=lang)
    romeo.say(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        "<resource>phone</resource></bind></iq>"
    )
    return romeo, juliet


def stanza(name: str, attributes: str) -> str:
    type = "type='get' id='x'" if name == "iq" else ""
    return f"<{name} to='juliet@example.net/phone' {type} {attributes}><q xmlns='urn:q'/></{name}>"


@pytest.mark.parametrize("name", ["message", "presence", "iq"])
@pytest.mark.parametrize(("claimed", "expected"), SENDERS)
def test_the_sender_is_stamped_or_the_stream_ends(name: str, claimed: str, expected: str) -> None:
    house = House()
    romeo, juliet = both(house)

    said = romeo.say(stanza(name, claimed))

    if expected == OTHER:
        assert [condition(error) for error in said] == [OTHER]
        assert romeo.is_closed
        assert [one.name for one in juliet.heard()] == []
    else:
        [one] = juliet.heard()
        assert (one.name, one["from"], one["to"]) == (name, expected, "juliet@example.net/phone")


# CVE-2015-8688 and its kin: what pretends to be the server's arrives with the sender's name on it.
FORGED = [
    "<iq type='set' id='push1'{}><query xmlns='jabber:iq:roster'>"
    "<item jid='mallory@example.net' subscription='both'/></query></iq>",
    "<iq type='result' id='r'{}><query xmlns='jabber:iq:roster'>"
    "<item jid='mallory@example.net' subscription='both'/></query></iq>",
    "<iq type='result' id='b'{}/>",
    "<presence type='subscribed'{}/>",
]


@pytest.mark.parametrize("forged", FORGED[:3], ids=["roster push", "roster result", "empty result"])
@pytest.mark.parametrize("claimed", ["", f" from='{ROMEO}'"])
def test_what_looks_like_the_servers_has_its_real_sender(forged: str, claimed: str) -> None:
    romeo, juliet = both(House())

    romeo.say(forged.format(f" to='juliet@example.net/phone'{claimed}"))

    [one] = juliet.heard()
    assert one["from"] == f"{ROMEO}/phone"


@pytest.mark.parametrize("forged", FORGED, ids=["push", "result", "empty", "subscribed"])
@pytest.mark.parametrize(
    "claimed", ["juliet@example.net", "juliet@example.net/phone", "example.net"]
)
def test_nobody_speaks_in_the_name_of_an_account_or_of_the_server(
    forged: str, claimed: str
) -> None:
    romeo, juliet = both(House())

    [error] = romeo.say(forged.format(f" to='juliet@example.net/phone' from='{claimed}'"))

    assert condition(error) == OTHER
    assert juliet.heard() == []


@pytest.mark.parametrize("forged", FORGED[:3], ids=["roster push", "roster result", "empty result"])
def test_what_looks_like_the_servers_never_passes_by_an_account(forged: str) -> None:
    """To a bare address the server answers itself (RFC 6121 §8.5.2.1.3), so nobody else does."""
    romeo, juliet = both(House())

    answers = romeo.say(forged.format(" to='juliet@example.net'"))

    assert juliet.heard() == []
    assert all(one["type"] == "error" for one in answers)


# §8.1.5 and §4.7.4: the language of the stream, that of the stanza, and what the receiver reads.
@pytest.mark.parametrize(
    ("stream", "own", "read"),
    [
        ("", None, None),
        ("", "de", "de"),
        ("de", None, "de"),
        ("de-CH", None, "de-CH"),
        ("de", "fr", "fr"),
        ("de", "de", "de"),
        ("de", "", ""),
        ("x" * 36, None, None),
    ],
)
@pytest.mark.parametrize("name", ["message", "presence", "iq"])
def test_a_stanza_has_its_own_language_or_its_streams(
    name: str, stream: str, own: str | None, read: str | None
) -> None:
    romeo, juliet = both(House(), lang=stream)

    romeo.say(stanza(name, "" if own is None else f"xml:lang='{own}'"))

    [one] = juliet.heard()
    assert language(one) == read


def language(one: Element) -> str | None:
    found: str | None = one.getAttribute((XML, "lang"))
    return found


# §8.1.3 and §8.3.1: an `id` comes back as it was, and where there was none there is none.
@pytest.mark.parametrize("id", ["1", "a b", "&lt;&apos;&quot;&amp;", "\u00e4\U0001f600", "x" * 999])
def test_an_id_comes_back_as_it_was(id: str) -> None:
    romeo, _ = both(House())

    [answer] = romeo.say(f"<message to='nobody@example.net' id='{id}'/>")
    [again] = romeo.say(f"<iq type='get' id='{id}'><q xmlns='urn:q'/></iq>")

    plain = id.replace("&lt;", "<").replace("&apos;", "'").replace("&quot;", '"')
    assert answer["id"] == again["id"] == plain.replace("&amp;", "&")


def test_an_error_has_no_id_where_there_was_none() -> None:
    romeo, _ = both(House())

    [answer] = romeo.say("<message to='nobody@example.net'/>")

    assert answer.getAttribute("id") is None
