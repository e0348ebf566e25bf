"""Addresses, for any text: one error, and preparation that is done when it is done."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile

from pushd.wire import precis
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import JID, parse, prepare_domain, prepare_local, prepare_resource

# Letters of several scripts and widths, combining marks, digits, joiners, the separators
# and what looks like them, an A-label's prefix, a surrogate and an unassigned code point.
PIECES = [
    *"aZ09-.@/[]:%_ \t\x00\x7f\"'&<>",
    *"\u00e4\u00df\u1e9e\u0130\u03a3\u03c2\u05d0\u0627\u0660\u06f0\u094d\u0915\u200c\u200d",
    *"\u0301\u0308\u0304\u0345\uff21\uff0e\uff0f\uff20\uff76\uff9e\u3002\u30fb\u00b7\u00ad",
    *"\u2163\u265a\ufdfa\ud800\uffff\U00010400\U0001f600\U000e0001",
    *("xn--", "xn--bcher-kva", "example", "127.0.0.1", "::1", "l\u00b7l", "\u1100\u1161\u11a8"),
]
texts = st.one_of(
    st.text(),
    st.text(st.characters(codec=None)),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.tuples(*[st.lists(st.sampled_from(PIECES), max_size=5).map("".join)] * 3).map(
        lambda parts: f"{parts[0]}@{parts[1]}/{parts[2]}"
    ),
)


def read(text: str) -> JID | None:
    try:
        return parse(text)
    except JIDMalformed:
        return None


@given(texts)
def test_any_text_is_an_address_or_malformed_and_nothing_else(text: str) -> None:
    address = read(text)
    if address is not None:
        for part in (address.local, address.domain, address.resource):
            assert len(part.encode()) <= 1023
        assert address.domain
        assert not set("\"&'/:<>@ ") & set(address.local)
        assert not set("/@") & set(address.domain)


@given(texts)
def test_a_prepared_address_is_prepared(text: str) -> None:
    address = read(text)
    if address is not None:
        again = parse(address.full)
        assert (again.local, again.domain, again.resource) == (
            address.local,
            address.domain,
            address.resource,
        )
        assert parse(address.bare) == address.with_resource("")


@given(texts)
def test_the_fast_path_and_the_slow_path_agree(text: str) -> None:
    """`parse` tries one expression for the whole; the parts by themselves say the same."""
    bare, slash, resource = text.partition("/")
    local, at, domain = bare.partition("@") if "@" in bare else ("", "", bare)
    address = read(text)
    try:
        parts = (
            prepare_local(local) if at else "",
            prepare_domain(domain),
            prepare_resource(resource) if slash else "",
        )
    except JIDMalformed:
        # Nobody gets such an address here; others may have it, as they write it (`legacy`).
        if address is not None:
            assert address.resource == unicodedata.normalize("NFC", resource)
            if address.local != unicodedata.normalize("NFC", local.lower()):
                assert address.local == prepare_local(local)
    else:
        assert address is not None
        assert (address.local, address.domain, address.resource) == parts


@given(st.from_regex(r"[a-z0-9.-]{1,70}", fullmatch=True))
def test_plain_domains_are_what_host_names_are(domain: str) -> None:
    labels = domain.removesuffix(".").split(".")
    proper = all(
        0 < len(label) <= 63 and label.strip("-") == label and label[2:4] != "--"
        for label in labels
    )
    if labels[-1].isdecimal():
        proper = len(labels) == 4 and all(
            label.isdecimal() and str(int(label)) == label and int(label) < 256 for label in labels
        )
    if not any(label.startswith("xn--") for label in labels):
        assert (read(domain) is not None) == proper


@given(texts, st.sampled_from(["UsernameCaseMapped", "OpaqueString"]))
def test_the_profiles_say_what_the_library_says(text: str, profile: precis.ProfileName) -> None:
    try:
        expected = get_profile(profile).enforce(text)
    except ValueError:
        expected = None
    try:
        prepared = precis.enforce(profile, text, 10_000)
    except ValueError:
        prepared = None
    assert prepared == expected
