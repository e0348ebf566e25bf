"""XEP-0198 and XEP-0352 between two clients: any nonza at any time, cuts, counts that lie."""

from random import Random

from tests.fuzz import grammar, house

SM = "urn:xmpp:sm:3"
NONZAS = (
    *(f"<r xmlns='{SM}'/>", f"<a xmlns='{SM}' h='{{{{h}}}}'/>", f"<a xmlns='{SM}' h='0'/>"),
    *(f"<enable xmlns='{SM}' resume='true'/>", f"<enable xmlns='{SM}'/>"),
    *(f"<enable xmlns='{SM}' resume='1' max='1'/>", f"<a xmlns='{SM}' h='4294967295'/>"),
    *(f"<resume xmlns='{SM}' h='{{{{h}}}}' previd='{{{{token}}}}'/>", f"<a xmlns='{SM}'/>"),
    f"<resume xmlns='{SM}' h='0' previd='{{{{token}}}}'/>",
    *("<inactive xmlns='urn:xmpp:csi:0'/>", "<active xmlns='urn:xmpp:csi:0'/>"),
)
# What is held for an inactive client.
HELD = (
    *("<presence%s/>", "<presence type='unavailable'%s/>"),
    "<message type='chat'%s><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
)
WORDS = (
    *(
        "{{cut}}",
        "{{to 0}}",
        "{{to 1}}",
        "{{wait 0}}",
        "{{wait 0}}{{cut}}",
        "{{wait 1}}",
        "{{wait 70}}",
        "{{stall}}",
        "{{go}}",
    ),
    *("</stream:stream>", "{{client}}{{bound romeo phone}}", "<presence/>"),
    *(
        f"{{{{client}}}}{{{{login romeo}}}}<resume xmlns='{SM}' h='{h}' previd='{{{{token}}}}'/>"
        for h in range(3)
    ),
    f"{{{{client}}}}{{{{login juliet}}}}<resume xmlns='{SM}' h='0' previd='{{{{token}}}}'/>",
)
TOKENS = tuple(text.encode() for text in (*NONZAS, *WORDS)) + grammar.TOKENS[:20]


def write(random: Random) -> bytes:
    parts = ["{{client}}{{bound juliet balcony}}<presence/>{{client}}{{bound romeo phone}}"]
    if random.random() < 0.8:
        parts.append(random.choice(NONZAS[3:6]))
    if random.random() < 0.7:
        parts.append("<presence/>")
    while random.random() < 0.85:
        way = random.random()
        if way < 0.3:
            parts.append(random.choice(NONZAS))
        elif way < 0.4:
            parts.append(grammar.management(random))
        elif way < 0.65:
            to = random.choice(
                ("juliet@example.net", "romeo@example.net", "romeo@example.net/phone")
            )
            said = random.choice(("<message type='chat'%s><body>hi</body></message>", *HELD))
            parts.append(said % f" to='{to}'")
        elif way < 0.7:
            parts.append(grammar.some(random))
        else:
            parts.append(random.choice(WORDS))
    return "".join(parts).encode(errors="replace")


one = house.play
renew = house.renew
