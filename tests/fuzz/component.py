"""A component's stream: its handshake, and then stanzas in the name of its domain or others."""

from random import Random

from pushd.wire.namespaces import NS_COMPONENT, NS_STREAMS
from tests.fuzz import grammar, house

HEADER = (
    f"<stream:stream to='{house.COMPONENT}' xmlns='{NS_COMPONENT}' xmlns:stream='{NS_STREAMS}'>"
)
WORDS = (
    *(
        "{{component}}",
        HEADER,
        "<handshake>{{proof}}</handshake>",
        "{{to 0}}",
        "{{to 1}}",
        "{{cut}}",
    ),
    *(
        "<handshake/>",
        "from='bot.example.net'",
        "from='x@bot.example.net/y'",
        "{{stall}}",
        "{{go}}",
    ),
    *(f"xmlns='{NS_COMPONENT}'", "{{wait 40}}", "{{client}}{{bound romeo phone}}<presence/>"),
)
TOKENS = (*(word.encode() for word in WORDS), *grammar.TOKENS)
PROVEN = "{{component}}" + HEADER + "<handshake>{{proof}}</handshake>"


def write(random: Random) -> bytes:
    parts = ["{{client}}{{bound romeo phone}}<presence/>"] if random.random() < 0.6 else []
    parts.append(PROVEN if random.random() < 0.9 else "{{component}}" + grammar.header(random))
    while random.random() < 0.8:
        way = random.random()
        if way < 0.7:
            said = grammar.some(random)
            name = random.choice(("bot.example.net", "x@bot.example.net/y", "example.net"))
            head, space, rest = said.partition(" ")
            parts.append(f"{head} from='{name}'{space}{rest}" if space else said)
        else:
            parts.append(random.choice(WORDS))
    return "".join(parts).encode(errors="replace")


one = house.play
renew = house.renew
