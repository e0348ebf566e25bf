"""Addresses: what RFC 7622 takes, what it refuses, and what it calls the same."""

import copy
import pickle
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from pushd.wire import precis
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import JID, parse, prepare_domain, prepare_local, prepare_resource

ROOT = Path(__file__).parents[3]
FULLWIDTH_SOLIDUS, FULLWIDTH_AT, IDEOGRAPHIC_STOP = "\uff0f", "\uff20", "\u3002"


# The examples of RFC 7622 §3.5, table 1.
@pytest.mark.parametrize(
    ("text", "local", "domain", "resource"),
    [
        ("juliet@example.com", "juliet", "example.com", ""),
        ("juliet@example.com/foo", "juliet", "example.com", "foo"),
        ("juliet@example.com/foo bar", "juliet", "example.com", "foo bar"),
        ("juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"),
        ("foo\\20bar@example.com", "foo\\20bar", "example.com", ""),
        ("fussball@example.com", "fussball", "example.com", ""),
        ("fu\u00dfball@example.com", "fu\u00dfball", "example.com", ""),
        ("\u03c0@example.com", "\u03c0", "example.com", ""),
        ("\u03a3@example.com/foo", "\u03c3", "example.com", "foo"),
        ("\u03c3@example.com/foo", "\u03c3", "example.com", "foo"),
        ("\u03c2@example.com/foo", "\u03c2", "example.com", "foo"),
        ("king@example.com/\u265a", "king", "example.com", "\u265a"),
        ("example.com", "", "example.com", ""),
        ("example.com/foobar", "", "example.com", "foobar"),
        ("a.example.com/b@example.net", "", "a.example.com", "b@example.net"),
    ],
)
def test_the_examples_of_the_rfc_are_addresses(
    text: str, local: str, domain: str, resource: str
) -> None:
    read = parse(text)
    assert (read.local, read.domain, read.resource) == (local, domain, resource)


# The examples of RFC 7622 §3.5, table 2: no address that is given here looks like one of them.
@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"juliet"@example.com', id="16 quotation marks in localpart"),
        pytest.param("foo bar@example.com", id="17 space in localpart"),
        pytest.param("juliet@example.com/ foo", id="18 leading space in resourcepart"),
        pytest.param("@example.com/", id="19 zero-length localpart and resourcepart"),
        pytest.param("henry\u2163@example.com", id="20 Roman numeral four in localpart"),
        pytest.param("\u265a@example.com", id="21 black chess king in localpart"),
        pytest.param("juliet@", id="22 zero-length domainpart"),
        pytest.param("/foobar", id="23 zero-length domainpart"),
    ],
)
def test_the_counterexamples_of_the_rfc_are_refused(text: str) -> None:
    with pytest.raises(JIDMalformed):
        given(text)


def given(text: str) -> JID:
    """The address as one that is made here."""
    bare, slash, resource = text.partition("/")
    local, at, domain = bare.partition("@") if "@" in bare else ("", "", bare)
    return JID(
        prepare_local(local) if at else "",
        prepare_domain(domain),
        prepare_resource(resource) if slash else "",
    )


# What others may have from before RFC 7622, or from a newer Unicode, is read but never given.
@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("\u265a@example.com", "\u265a@example.com"),
        ("Henry\u265a@example.com/X", "henry\u265a@example.com/X"),
        ("\U0001f40e@example.com", "\U0001f40e@example.com"),
        ("room@muc.example/\U000e0fff", None),  # no character, nor will it be one that is seen
        ("room@muc.example/\U0003fffd", "room@muc.example/\U0003fffd"),  # of a newer Unicode
        ("juliet@example.com/ foo", "juliet@example.com/ foo"),
        ("henry\u2163@example.com", None),  # would be henryiv
        ("\u00df\u265a@example.com", None),  # would be ss
        ("\uff0f\u265a@example.com", None),  # would be a solidus
        ("a b\u265a@example.com", None),
        ("a'\u265a@example.com", None),
        ("\u2764\ufe0f@example.com", None),  # would lose its variation selector
        ("room@muc.example/\U0001f469\u200d\U0001f467", None),  # would lose its joiner
        ("room@muc.example/x\u200b", None),
        ("room@muc.example/x\u2066", None),  # invisible, though of a newer Unicode than RFC 3454
        ("room@muc.example/\ue000", None),  # private use
        ("room@muc.example/\ufffe", None),
        ("room@muc.example/\x7f", None),
        ("\u05d0\u265aa@example.com", None),  # both directions
        ("\u265a" * 341 + "@b", "\u265a" * 341 + "@b"),
        ("\u265a" * 342 + "@b", None),
        ("b/" + "\U0003fffd" * 255, "b/" + "\U0003fffd" * 255),
        ("b/" + "\U0003fffd" * 256, None),
    ],
)
def test_what_nodeprep_left_as_it_is_is_taken_from_others(text: str, full: str | None) -> None:
    with pytest.raises(JIDMalformed):
        given(text)
    if full is None:
        with pytest.raises(JIDMalformed):
            parse(text)
    else:
        assert parse(text).full == full
        assert parse(full).full == full


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("Juliet@CAPULET.Example/Balcony", "juliet@capulet.example/Balcony"),
        ("juliet@capulet.example./x", "juliet@capulet.example/x"),
        ("a@localhost", "a@localhost"),
        ("A@Localhost.", "a@localhost"),
        ("juliet@capulet.example//", "juliet@capulet.example//"),
        ("juliet@capulet.example/ a ", "juliet@capulet.example/ a "),
        ("a@127.0.0.1/x", "a@127.0.0.1/x"),
        ("a@[::1]/x", "a@[::1]/x"),
        ("a@[2001:DB8:0::1]", "a@[2001:db8::1]"),
        ("a@3com.example", "a@3com.example"),
        ("a@b\u00fccher.example", "a@b\u00fccher.example"),
        ("a@BU\u0308CHER.example.", "a@b\u00fccher.example"),
        ("a@xn--bcher-kva.example", "a@b\u00fccher.example"),
        ("a@XN--BCHER-KVA.example", "a@b\u00fccher.example"),
        ("\uff21@\uff22.example", "a@b.example"),
        ("A\u030a@b.example/A\u030a", "\u00e5@b.example/\u00c5"),
        ("a@b.example/non\u00a0breaking", "a@b.example/non breaking"),
        ("a@[::1]/\u265a", "a@[::1]/\u265a"),
    ],
)
def test_addresses_are_prepared(text: str, full: str) -> None:
    assert parse(text).full == full
    assert parse(full).full == full


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the domain is empty"),
        ("/", "the domain is empty"),
        ("a@", "the domain is empty"),
        ("a@.", "the domain is empty"),
        ("@b.example", "the local part is empty"),
        ("a@b.example/", "the resource is empty"),
        ("a@b@c.example", "the domain is not a valid name"),
        ("a@b..example", "the domain is not a valid name"),
        ("a@b.example..", "the domain is not a valid name"),
        ("a@.b.example", "the domain is not a valid name"),
        ("a@-b.example", "the domain is not a valid name"),
        ("a@b-.example", "the domain is not a valid name"),
        ("a@b_c.example", "the domain is not a valid name"),
        ("a@b c.example", "the domain is not a valid name"),
        ("a@b.example\n", "the domain is not a valid name"),
        ("a@ab--cd.example", "the domain is not a valid name"),
        ("a@xn--a.example", "the domain is not a valid name"),
        ("a@xn--fuball-.example", "the domain is not a valid name"),
        (f"a@b{IDEOGRAPHIC_STOP}example", "the domain is not a valid name"),
        ("a@\u0301b.example", "the domain is not a valid name"),
        ("a@\ud800.example", "the domain is not a valid name"),
        ("a@256.0.0.1", "the domain is not a valid name"),
        ("a@127.1", "the domain is not a valid name"),
        ("a@2130706433", "the domain is not a valid name"),
        ("a@127.0.0.01", "the domain is not a valid name"),
        ("a@[::1", "the domain is not a valid IPv6 address"),
        ("a@[]", "the domain is not a valid IPv6 address"),
        ("a@[::1].", "the domain is not a valid IPv6 address"),
        ("a@[127.0.0.1]", "the domain is not a valid IPv6 address"),
        ("a@[fe80::1%eth0]", "the domain is not a valid IPv6 address"),
        ("a\x00@b.example", "the local part holds a forbidden character"),
        ("a\x7f@b.example", "the local part holds a forbidden character"),
        ("\ud800@b.example", "the local part holds a forbidden character"),
        (f"a{FULLWIDTH_SOLIDUS}@b.example", "the local part holds a forbidden character"),
        (f"a{FULLWIDTH_AT}@b.example", "the local part holds a forbidden character"),
        ("a@b.example/x\n", "the resource holds a forbidden character"),
        ("a@b.example/\u200b", "the resource holds a forbidden character"),
        ("a@b.example/\udfff", "the resource holds a forbidden character"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(JIDMalformed) as refusal:
        parse(text)
    assert refusal.value.text == reason


@pytest.mark.parametrize("character", "\"&'/:<>@ ")
def test_a_local_part_holds_none_of_the_forbidden_characters(character: str) -> None:
    with pytest.raises(JIDMalformed):
        prepare_local(f"a{character}b")
    with pytest.raises(JIDMalformed):
        prepare_local(f"\u00e4{character}b")


@pytest.mark.parametrize("character", sorted(set(map(chr, range(33, 127))) - set("\"&'/:<>@")))
def test_a_local_part_may_hold_every_other_printable_ascii_character(character: str) -> None:
    assert prepare_local(character) == character.lower()
    assert parse(f"{character}@b/x").local == character.lower()


@pytest.mark.parametrize("letter", ["a", "\u00e4", "\u30ab", "\U00010400"])
def test_local_parts_and_resources_have_1023_bytes_at_most(letter: str) -> None:
    letter = letter.lower()
    size = len(letter.encode())
    longest = letter * (1023 // size) + "a" * (1023 % size)
    assert parse(f"{longest}@b/{longest}").full == f"{longest}@b/{longest}"
    for text in (f"{longest}a@b", f"b/{longest}a"):
        with pytest.raises(JIDMalformed) as refusal:
            parse(text)
        assert refusal.value.text.endswith("is too long")


def test_lengths_count_after_preparation() -> None:
    assert len(prepare_local("\uff41" * 1023)) == 1023  # three bytes each before, one after
    assert prepare_local("u\u0308\u0304" * 511) == "\u01d6" * 511  # 1,533 code points before
    with pytest.raises(JIDMalformed, match="too long"):
        prepare_local("\u023a" * 512)  # two bytes each before, three after


def test_composition_never_makes_text_shorter_than_the_early_refusal_supposes() -> None:
    worst = max(
        len(unicodedata.normalize("NFD", chr(c))) / len(chr(c).encode())
        for c in range(0x110000)
        if not 0xD800 <= c < 0xE000
    )
    assert worst == 1.5


def test_domains_have_the_lengths_of_the_dns() -> None:
    label = "a" * 63
    longest = ".".join([label, label, label, "a" * 61])
    assert prepare_domain(longest) == longest
    assert parse(f"{longest}.").full == longest
    for text in (f"{longest}a", f"{'a' * 64}.example", "\u00fc" * 60, f"{'a' * 60}\u00fc.example"):
        with pytest.raises(JIDMalformed):
            parse(text)
    with pytest.raises(JIDMalformed, match="too long"):
        prepare_domain(".".join(["\u00fc\u00fc"] * 30))


def test_enormous_text_is_refused_without_being_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precis, "profile", None)  # calling it would raise TypeError
    for text in ("\u00e4" * 1536 + "@b", "a@" + "\u00e4" * 1536, "b/" + "\u00e4" * 1536):
        with pytest.raises(JIDMalformed, match="too long"):
            parse(text)


def test_two_spellings_of_one_address_are_equal() -> None:
    assert parse("JULIET@Capulet.Example/x") == parse("juliet@capulet.example/x")
    assert hash(parse("JULIET@Capulet.Example/x")) == hash(parse("juliet@capulet.example/x"))
    assert parse("juliet@capulet.example/X") != parse("juliet@capulet.example/x")
    assert parse("juliet@capulet.example") != "juliet@capulet.example"


def test_an_address_says_its_parts() -> None:
    full = parse("juliet@capulet.example/balcony")
    assert full.bare == "juliet@capulet.example"
    assert full.full == str(full) == "juliet@capulet.example/balcony"
    assert repr(full) == "JID('juliet@capulet.example/balcony')"
    bare = parse(full.bare)
    assert bare.full == bare.bare == full.bare
    assert parse("capulet.example/x").bare == "capulet.example"


def test_an_address_is_made_of_its_parts() -> None:
    assert JID.of("Juliet", "Capulet.Example.", "a/b@c") == parse("juliet@capulet.example/a/b@c")
    assert JID.of("", "capulet.example") == parse("capulet.example")
    for parts in (("a@b", "c"), ("a/b", "c"), ("a", "b/c"), ("a", ""), ("a", "b", "\n")):
        with pytest.raises(JIDMalformed):
            JID.of(*parts)


def test_an_account_gets_another_resource() -> None:
    full = parse("juliet@capulet.example/balcony")
    assert full.with_resource("e\u0301") == parse("juliet@capulet.example/\u00e9")
    assert full.with_resource("") == parse("juliet@capulet.example")
    with pytest.raises(JIDMalformed):
        full.with_resource("a\tb")


def test_an_address_does_not_change() -> None:
    address = parse("a@b/c")
    for name in ("local", "full", "anything"):
        with pytest.raises(AttributeError):
            setattr(address, name, "x")
    with pytest.raises(AttributeError):
        del address.local
    assert copy.deepcopy(address) == address
    assert pickle.loads(pickle.dumps(address)).bare == "a@b"


def test_an_address_seen_lately_is_not_read_again() -> None:
    assert parse("seen@lately.example") is parse("seen@lately.example")


def test_long_addresses_do_not_fill_the_memory() -> None:
    long = "a@b.example/" + "x" * 1000
    assert parse(long) is not parse(long)


def test_parts_are_prepared_alone() -> None:
    assert prepare_local("J\u00dcRGEN") == "j\u00fcrgen"
    assert prepare_domain("EXAMPLE.net.") == "example.net"
    assert prepare_resource("X\u3000y") == "X y"
    for prepare in (prepare_local, prepare_domain, prepare_resource):
        with pytest.raises(JIDMalformed, match="is empty"):
            prepare("")


def test_the_libraries_are_not_loaded_for_plain_addresses() -> None:
    program = (
        "import sys\n"
        "from pushd.wire.jid import parse\n"
        "assert parse('A@B.example/c').full == 'a@b.example/c'\n"
        "assert not {'idna', 'precis_i18n'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
