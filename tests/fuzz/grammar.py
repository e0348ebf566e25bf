"""A grammar of XMPP: what clients write, what attackers write, and what lies in between."""

from collections.abc import Callable
from random import Random

from pushd.wire.namespaces import (
    NS_BIND,
    NS_CLIENT,
    NS_COMMANDS,
    NS_COMPONENT,
    NS_DELAY,
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    NS_FORMS,
    NS_PUBSUB,
    NS_PUSH,
    NS_ROSTER,
    NS_SASL,
    NS_SM,
    NS_STANZA_ID,
    NS_STREAMS,
    NS_TLS,
)

DOMAIN = "example.net"
CARBONS = "urn:xmpp:carbons:2"
ADDRESSES = (
    *("romeo@example.net", "romeo@example.net/phone", "juliet@example.net"),
    *("juliet@example.net/balcony", "example.net", "push.example.net", "nobody@example.net"),
    *("example.com", "mercutio@example.com/x", "push.example.net/x", "romeo@push.example.net"),
    *("ROMEO@EXAMPLE.NET/phone", "romeo@example.net.", "@example.net", "a@b@c", "", " ", "/", "@"),
    *("romeo@example.net/", "\u00e9t\u00e9@example.net", "[::1]", "127.0.0.1", "xn--a", "a" * 1100),
    *(
        "\u212aate@example.net",
        "e\u0301@example.net/\U0001f469\u200d\U0001f692",
        "example\u3002net",
    ),
)
KINDS = (
    *("", "chat", "normal", "headline", "groupchat", "error", "get", "set", "result"),
    *("available", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed"),
    *("probe", "invisible", "submit", "cancel", "form"),
)
NAMESPACES = (
    *(NS_CLIENT, NS_COMPONENT, NS_STREAMS, NS_SASL, NS_TLS, NS_SM, NS_BIND, NS_ROSTER, NS_FORMS),
    *(NS_PUBSUB, NS_PUSH, NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS, NS_DELAY, NS_STANZA_ID),
    *(CARBONS, "urn:xmpp:forward:0", "urn:xmpp:ping", "jabber:iq:version", "urn:x"),
    *("http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/", "", " ", "{x}y"),
    "http://jabber.org/protocol/pubsub#owner",
)
TEXTS = (
    *("", "hi", "a < b", "]]>", "&amp;", "\r\n", "\t", "\u00a0", "\u2028", "\ufeff", "\U0001f600"),
    *("\x85", "x" * 70, "</message>", "<message/>", "'\"", "e\u0301", "0", "-1", "true"),
)
NUMBERS = ("0", "1", "2", "7", "300", "-1", "+1", "4294967295", "4294967296", "1e3", "\u0661", "x")

# What opens, closes and breaks things, for a mutator to put anywhere.
_TOKENS = tuple(
    token.encode()
    for token in (
        *("<", ">", "/>", "</", "=", "'", '"', "&", ";", "&#0;", "&#x41;", "&#xD800;", "&amp;"),
        *("&quot;", "&lol;", "<![CDATA[", "]]>", "<!--", "-->", "<?x?>", "<?xml version='1.0'?>"),
        *("<?xml version='1.0' encoding='UTF-16'?>", "<!DOCTYPE x [<!ENTITY l 'x'>]>", "\x00", " "),
        *("<message>", "</message>", "<iq type='get' id='1'>", "</iq>", "<presence/>", "<body>"),
        *("</stream:stream>", "<stream:stream ", "xmlns=''", "xmlns='jabber:client'", "xmlns:a="),
        *(
            "xmlns:stream='x'",
            "xml:lang='en'",
            "xml:space='x'",
            "stream:",
            "from='",
            "to='",
            "by='",
        ),
        *(f"<{name} xmlns='{NS_SM}'/>" for name in ("r", "enable", "a", "resume")),
        f"<stanza-id xmlns='{NS_STANZA_ID}' by='example.net' id='x'/>",
        f"<delay xmlns='{NS_DELAY}' from='example.net' stamp='2002-09-10T23:08:25Z'/>",
        "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/></received>",
        f"xmlns='{NS_COMPONENT}'",
        *("\ufeff", "\ufffe", "\x85", "\u2028", "\U0001f600", "e\u0301", "\u212a", "a" * 300),
        *ADDRESSES[:8],
    )
)
_BROKEN = (b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"\xe2\x82")
TOKENS = (*_TOKENS, *_BROKEN)

HEADER = (
    f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'>"
)


def escaped(text: str, random: Random) -> str:
    """A text as one of many ways to write it."""
    if random.random() < 0.02:
        return text
    if random.random() < 0.1:
        return "".join(f"&#{ord(c)};" if random.random() < 0.5 else _entity(c) for c in text)
    return "".join(map(_entity, text))


def _entity(char: str) -> str:
    return {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;"}.get(char, char)


def attributes(random: Random, /, **given: str) -> str:
    """Attributes as they stand in a tag: those given, and some more."""
    pairs = list(given.items())
    while random.random() < 0.15:
        name = random.choice(("to", "from", "id", "type", "xml:lang", "a:b", "q:k", "h", "xmlns:q"))
        pairs.append((name, random.choice((*ADDRESSES[:9], *KINDS, *TEXTS, "en"))))
    random.shuffle(pairs)
    written = ""
    for name, value in pairs:
        quote = random.choice("'\"")
        space = " " if random.random() < 0.95 else random.choice(("\n", "  ", "\t"))
        equal = "=" if random.random() < 0.95 else " = "
        written += f"{space}{name.rstrip('_')}{equal}{quote}{escaped(value, random)}{quote}"
    return written


def element(random: Random, name: str, content: str = "", /, **given: str) -> str:
    """An element with this content, or empty in one of two ways."""
    written = attributes(random, **given)
    if not content and random.random() < 0.7:
        return f"<{name}{written}/>"
    return f"<{name}{written}>{content}</{name}{' ' * (random.random() < 0.02)}>"


def anything(random: Random, depth: int = 3) -> str:
    """Some element, with others inside."""
    name = random.choice(
        ("a", "body", "x", "q:y", "stream:z", "message", "iq", "error", "b-1", "_", "\u00e9")
    )
    given = {"xmlns": random.choice(NAMESPACES)} if random.random() < 0.4 else {}
    if ":" in name and name[0] == "q" and random.random() < 0.7:
        given["xmlns:q"] = random.choice(NAMESPACES)
    return element(random, name, content(random, depth - 1), **given)


def content(random: Random, depth: int = 2) -> str:
    """Text, CDATA and elements."""
    parts = []
    while random.random() < 0.45:
        way = random.random()
        if way < 0.4 and depth > 0:
            parts.append(anything(random, depth))
        elif way < 0.85:
            parts.append(escaped(random.choice(TEXTS), random))
        else:
            parts.append(f"<![CDATA[{random.choice(TEXTS).replace(']]>', '')}]]>")
    return "".join(parts)


def claim(random: Random) -> str:
    """A child that says something in somebody's name."""
    who = random.choice(ADDRESSES)
    kind = random.randrange(4)
    if kind == 0:
        return element(random, "stanza-id", xmlns=NS_STANZA_ID, by=who, id="1")
    if kind == 1:
        return element(random, "delay", xmlns=NS_DELAY, from_=who, stamp="2002-09-10T23:08:25Z")
    if kind == 2:
        inner = element(random, "message", "<body>x</body>", xmlns=NS_CLIENT, from_=who)
        forwarded = element(random, "forwarded", inner, xmlns="urn:xmpp:forward:0")
        name = random.choice(("received", "sent"))
        return element(random, name, forwarded, xmlns=CARBONS)
    prefix = random.choice(("q", "stream", "xml"))
    declared = {f"xmlns:{prefix}": random.choice((NS_STANZA_ID, NS_DELAY))}
    return element(random, f"{prefix}:stanza-id", **declared, by=who, id="1")


def message(random: Random) -> str:
    parts = [content(random)] if random.random() < 0.3 else []
    if random.random() < 0.7:
        parts.append(element(random, "body", escaped(random.choice(TEXTS), random)))
    while random.random() < 0.3:
        parts.append(claim(random))
    return stanza(random, "message", "".join(parts))


def presence(random: Random) -> str:
    parts = [content(random)] if random.random() < 0.2 else []
    if random.random() < 0.4:
        parts.append(element(random, "priority", random.choice(NUMBERS)))
    return stanza(random, "presence", "".join(parts))


def iq(random: Random, payload: str | None = None) -> str:
    inner = random.choice(PAYLOADS)(random) if payload is None else payload
    if random.random() < 0.05:
        inner += content(random)
    return stanza(random, "iq", inner, ("get", "set") * 3 + KINDS)


def stanza(
    random: Random, name: str, content: str, kinds: tuple[str, ...] = KINDS, to: str | None = None
) -> str:
    given: dict[str, str] = {}
    if random.random() < 0.8:
        given["to"] = random.choice(ADDRESSES) if to is None else to
    if random.random() < 0.7:
        given["type"] = random.choice(kinds)
    if random.random() < 0.8:
        given["id"] = random.choice(("1", "2", "x", "", "\u00e9", "'&<>"))
    if random.random() < 0.1:
        given["from_"] = random.choice(ADDRESSES)
    if random.random() < 0.05:
        given["xmlns"] = random.choice(NAMESPACES)
    return element(random, name, content, **given)


def form(random: Random, names: tuple[str, ...] = ("FORM_TYPE", "a", "b")) -> str:
    """A data form, more or less."""
    fields = []
    while random.random() < 0.75:
        values = ""
        while random.random() < 0.6:
            values += element(random, "value", escaped(random.choice((*TEXTS, *NUMBERS)), random))
        given = {"var": random.choice(names)} if random.random() < 0.95 else {}
        if random.random() < 0.2:
            given["type"] = random.choice(("hidden", "fixed", "boolean", "jid-multi", "x"))
        fields.append(element(random, "field", values, **given))
    if random.random() < 0.1:
        fields.append(f"<item>{''.join(fields)}</item>")
    kind = random.choice(("submit",) * 6 + ("form", "result", "cancel", "", "x"))
    return element(random, "x", "".join(fields), xmlns=NS_FORMS, type=kind)


def _query(random: Random) -> str:
    given = {"node": random.choice(("", "x", NS_COMMANDS))} if random.random() < 0.3 else {}
    return element(
        random, "query", xmlns=random.choice((NS_DISCO_INFO, NS_DISCO_ITEMS, NS_ROSTER)), **given
    )


def _roster(random: Random) -> str:
    items = ""
    while random.random() < 0.6:
        groups = ""
        while random.random() < 0.3:
            groups += element(random, "group", escaped(random.choice(TEXTS), random))
        given = {"jid": random.choice(ADDRESSES), "name": random.choice(TEXTS)}
        if random.random() < 0.3:
            given["subscription"] = random.choice(("remove", "both", "none", "x"))
        items += element(random, "item", groups, **given)
    return element(random, "query", items, xmlns=NS_ROSTER)


def _enabling(random: Random) -> str:
    given = {"jid": random.choice(ADDRESSES)} if random.random() < 0.9 else {}
    if random.random() < 0.8:
        given["node"] = random.choice(("n", "", "x" * 70))
    inner = form(random, ("FORM_TYPE", "secret", "x")) if random.random() < 0.5 else ""
    return element(random, random.choice(("enable", "disable")), inner, xmlns=NS_PUSH, **given)


def _bind(random: Random) -> str:
    resource = random.choice(("phone", "balcony", "", "\x7f", "x" * 1100, "\u00e9", "a/b@c"))
    inner = element(random, "resource", resource) if random.random() < 0.8 else ""
    return element(random, "bind", inner, xmlns=NS_BIND)


PAYLOADS: tuple[Callable[[Random], str], ...] = (
    _query,
    _roster,
    _enabling,
    _bind,
    lambda random: element(random, "ping", xmlns="urn:xmpp:ping"),
    lambda random: element(random, random.choice(("enable", "disable")), xmlns=CARBONS),
    lambda random: element(random, "session", xmlns="urn:ietf:params:xml:ns:xmpp-session"),
    content,
    claim,
)


def management(random: Random) -> str:
    """A nonza of XEP-0198, with attributes that it has and others."""
    name = random.choice(("r", "a", "enable", "resume", "enabled", "failed", "x"))
    given = {"xmlns": NS_SM}
    for key, values in (
        ("h", NUMBERS),
        ("resume", ("true", "1", "false", "")),
        ("max", NUMBERS),
        ("previd", ("{{token}}", "x", "")),
    ):
        if random.random() < 0.4:
            given[key] = random.choice(values)
    return element(random, name, content(random) if random.random() < 0.05 else "", **given)


def header(random: Random) -> str:
    """A stream header, mostly a good one."""
    if random.random() < 0.6:
        return HEADER
    declaration = random.choice(
        ("", "<?xml version='1.0'?>", "<?xml version='1.0' encoding='utf-8'?>\n", "\ufeff", " ")
    )
    prefix = random.choice(("stream", "stream", "stream", "s", ""))
    name = f"{prefix}:stream" if prefix else "stream"
    given = {
        "to": random.choice(ADDRESSES[:12]),
        "version": random.choice(("1.0", "1.0", "1.1", "0.9", "")),
        "xmlns": random.choice((NS_CLIENT, NS_CLIENT, NS_CLIENT, NS_COMPONENT, "", "urn:x")),
        f"xmlns:{prefix}" if prefix else "xmlns": random.choice((NS_STREAMS,) * 4 + ("urn:x",)),
    }
    if random.random() < 0.3:
        given["xmlns:q"] = random.choice(NAMESPACES)
    return f"{declaration}<{name}{attributes(random, **given)}>"


def some(random: Random) -> str:
    """A stanza, or something else that might stand on a stream."""
    way = random.random()
    if way < 0.4:
        return message(random)
    if way < 0.55:
        return presence(random)
    if way < 0.75:
        return iq(random)
    if way < 0.85:
        return management(random)
    return anything(random)


def stream(random: Random) -> bytes:
    """A stream from its header on, with white space here and there."""
    parts = [header(random)]
    while random.random() < 0.75:
        parts.append(some(random))
        if random.random() < 0.1:
            parts.append(random.choice((" ", "\n", "\r\n \t", "x")))
    if random.random() < 0.3:
        parts.append("</stream:stream>")
    return "".join(parts).encode(errors="replace")
