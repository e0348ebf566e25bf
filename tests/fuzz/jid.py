"""Addresses: any text is one, or JIDMalformed; and one that is stays the same."""

from random import Random

from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import MAX_BYTES, MAX_DOMAIN, parse
from pushd.wire.jid import _read as read
from tests.fuzz import grammar

# Characters that rules of preparation are about.
SPECIAL = (
    *("\u00df", "\u03c2", "\u03c3", "\u0130", "\u0131", "\u017f", "\u212a", "\ufb01", "\uff21"),
    *("\u3002", "\uff0e", "\uff61", "\u200b", "\u200c", "\u200d", "\u202e", "\u2060", "\ufeff"),
    *("\u0300", "\u0345", "\u05d0", "\u0627", "\u0660", "\u06f0", "\u00b7", "\u0375", "\u30fb"),
    *("\u1e9e", "\u0390", "\u1fd3", "\U0001d400", "\U0001f600", "\u00a0", "\u3000", "\u00ad"),
    *("\uff20", "\uff0f", "\u2044", "\u0f43", "\u1100\u1161", "\uac00", "\U000e0001", "\ufdfa"),
    *("@", "/", ".", "..", "-", "--", "xn--", "XN--", "[", "]", "%", ":", "::", "\x00", "\x7f"),
    *("a", "B", "0", "1", " ", "\u00e9", "x" * 63, "x" * 64, "\u0390" * 341, "1.2.3.4", "::1"),
    *("xn--mnchen-3ya", "xn--a", "xn--80ak6aa92e", "romeo", "example.net", "\u2122", "\u2260"),
)
TOKENS = tuple(text.encode() for text in SPECIAL)


def write(random: Random) -> bytes:
    if random.random() < 0.2:
        return random.choice(grammar.ADDRESSES).encode()

    def part() -> str:
        return "".join(random.choice(SPECIAL) for _ in range(1 + int(random.expovariate(0.6))))

    local = f"{part()}@" if random.random() < 0.7 else ""
    resource = f"/{part()}" if random.random() < 0.5 else ""
    domain = part() if random.random() < 0.5 else "example.net"
    return f"{local}{domain}{resource}".encode()


def one(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        jid = read(text)
    except JIDMalformed:
        return
    again = read(jid.full)
    assert again == jid == parse(text), "a prepared address is not stable"
    assert (again.local, again.domain, again.resource) == (jid.local, jid.domain, jid.resource)
    assert jid.domain
    assert not set("\"&'/:<>@ ") & set(jid.local)
    assert "@" not in jid.domain
    assert "/" not in jid.domain
    assert "/" not in jid.bare
    assert max(len(jid.local.encode()), len(jid.resource.encode())) <= MAX_BYTES
    assert len(jid.domain.encode("utf-8")) <= 4 * MAX_DOMAIN
    assert all(ord(c) >= 32 and ord(c) != 127 for c in jid.full)
    assert jid.domain == jid.domain.lower() or not jid.domain.isascii()
    assert read(f"{jid.bare}/x").bare == jid.bare
