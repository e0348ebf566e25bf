"""A client's stream, from the first byte to the last: any bytes, and streams of a grammar."""

from random import Random

from tests.fuzz import grammar, house

WORDS = (
    *(
        "{{client}}",
        "{{secure}}",
        "{{tls}}",
        "{{to 0}}",
        "{{to 1}}",
        "{{cut}}",
        "{{stall}}",
        "{{go}}",
    ),
    *(
        "{{wait 0}}",
        "{{wait 1}}",
        "{{wait 35}}",
        "{{wait 100}}",
        "{{login romeo}}",
        "{{bound juliet balcony}}",
    ),
    *("{{bound romeo phone}}", "{{token}}", "{{h}}", "{{login nobody}}", grammar.HEADER),
)
TOKENS = (*grammar.TOKENS, *(word.encode() for word in WORDS))


def write(random: Random) -> bytes:
    """Some peers, most of them logged in, who say this and that."""
    if random.random() < 0.15:
        return _arriving(random).encode(errors="replace")
    parts = ["{{client}}{{bound romeo phone}}"]
    if random.random() < 0.6:
        parts.append("{{client}}{{bound juliet balcony}}")
    while random.random() < 0.8:
        way = random.random()
        if way < 0.3:
            parts.append("<presence/>" if way < 0.1 else grammar.presence(random))
        elif way < 0.75:
            parts.append(grammar.some(random))
        else:
            parts.append(random.choice(WORDS))
    return "".join(parts).encode(errors="replace")


def _arriving(random: Random) -> str:
    """What comes before there is a session."""
    parts = [random.choice(("{{client}}", "{{secure}}", "{{tls}}"))]
    while random.random() < 0.8:
        way = random.random()
        if way < 0.3:
            parts.append(grammar.header(random))
        elif way < 0.7:
            parts.append(_negotiating(random))
        elif way < 0.8:
            parts.append("{{login romeo}}")
        else:
            parts.append(grammar.some(random))
    return "".join(parts)


def _negotiating(random: Random) -> str:
    sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
    if random.random() < 0.2:
        return "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    name = random.choice(("auth", "auth", "response", "abort", "success"))
    given = {"xmlns": sasl}
    if name == "auth":
        given["mechanism"] = random.choice(
            ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "X", "", "EXTERNAL")
        )
    text = random.choice(
        (
            "",
            "=",
            "AHJvbWVvAHNlY3JldA==",
            "biwsbj1yb21lbyxyPWFiYw==",
            "AA",
            "x",
            "AHJvbWVvAA==",
            " =",
        )
    )
    return grammar.element(random, name, text, **given)


one = house.play
renew = house.renew
