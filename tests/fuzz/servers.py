"""Streams between servers, theirs and ours: what another server may say on either, and when.

An input is bytes of the peer, and words in double braces that tell what happens besides: `in`,
`tls` and `external` are streams that it opens, up to that point; `out` and `stand` one of ours,
which somebody writes on; `asked` one on which we ask about a key, and `vouch` the answer to that.
`other` goes on with another one.
"""

import re
from random import Random

from pushd.s2s.faults import Fault
from pushd.wire.element import Element
from tests.fuzz import grammar
from tests.fuzz.watch import Finding, Log
from tests.unit.s2s.house import EXTERNAL, HERE, STARTTLS, THERE, End, House, greet, header

SM, DIALBACK = "urn:xmpp:sm:3", "urn:xmpp:features:dialback"
OFFERS = (f"<sm xmlns='{SM}'/>", f"<dialback xmlns='{DIALBACK}'/>")
DOMAINS = (THERE, THERE, "rooms.there.example", HERE, "evil.example", "THERE.example.", "a@b", "")
SCENES = (
    "in",
    "tls",
    "external",
    "external",
    "out",
    "stand",
    "asked",
    "vouch",
    "other",
    "lose",
    "write",
)
SAID = (
    *(header(), header("", HERE), STARTTLS, EXTERNAL, EXTERNAL + header(), "</stream:stream>"),
    *(header(THERE, HERE, "7"), "<stream:features/>", "<bidi xmlns='urn:xmpp:bidi'/>"),
    *(
        f"<{name} xmlns='{SM}'/>"
        for name in ("r", "enable", "enabled", "failed", "a h='0'", "a h='1'")
    ),
    *(f"<{name} xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" for name in ("proceed", "failure")),
    *(f"<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>" for name in ("success", "failure")),
    "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    f"<stream:features>{STARTTLS}</stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL"
    f"</mechanism></mechanisms><bidi xmlns='urn:xmpp:features:bidi'/>{''.join(OFFERS)}"
    "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>20000</max-bytes></limits>"
    "</stream:features>",
)
WORDS = (*(f"{{{{{word}}}}}" for word in SCENES), "{{wait 1}}", "{{wait 31}}", "{{wait 700}}")
TOKENS = (*(word.encode() for word in (*WORDS, *SAID, *DOMAINS)), *grammar.TOKENS)
MOST = 40  # things that happen in an input
_split = re.compile(rb"\{\{(\w+(?: \d{1,3})?)\}\}").split
_logs: list[Log] = []


def _dialback(random: Random) -> str:
    name = random.choice(("result", "verify"))
    more = random.choice(
        ("", " id='ID'", " type='valid'", " id='ID' type='valid'", " type='error'")
    )
    sender, to = random.choice(DOMAINS), random.choice((HERE, HERE, *DOMAINS))
    return f"<db:{name} from='{sender}' to='{to}'{more}>key</db:{name}>"


def _stanza(random: Random) -> str:
    said = grammar.some(random)
    head, space, rest = said.partition(" ")
    sender = f"juliet@{random.choice(DOMAINS)}/x"
    return f"{head} from='{sender}'{space}{rest}" if space else said


def write(random: Random) -> bytes:
    parts = ["{{" + random.choice(SCENES[:7]) + "}}"]
    while random.random() < 0.9:
        way = random.random()
        if way < 0.25:
            parts.append(random.choice(WORDS))
        elif way < 0.5:
            parts.append(random.choice(SAID))
        else:
            parts.append(_dialback(random) if way < 0.7 else _stanza(random))
    return "".join(parts).encode(errors="replace")


def one(data: bytes) -> None:
    if not _logs:
        _logs.append(Log())
    play = _Play()
    for place, part in enumerate(_split(data)[: 2 * MOST]):
        if place % 2:
            play.happen(*part.decode().split(" "))
        elif part:
            play.say(part)
    play.end()
    _logs[0].check()


class _Play:
    def __init__(self) -> None:
        self.house = House()
        self.house.authorities.faults[THERE] = ""
        self.house.hall.host.router.add_service("push.example.net")
        self.ends: list[End] = []
        self._asked: list[Element] = []  # what was said as the last question

    def happen(self, word: str, seconds: str = "0") -> None:
        house = self.house
        match word:
            case "in":
                self.ends.append(house.connect())
            case "tls":
                self.ends.append(house.secure())
            case "external" if house.peers._incoming[HERE, THERE] < 9:
                self.ends.append(house.external())
            case "out" | "stand":
                self._write()
                place = next((n for n, call in enumerate(house.caller.calls) if not call[1]), None)
                if place is not None:
                    self.ends.append(house.take_up(place))
                    if word == "stand":
                        self._stand()
            case "asked":
                place = next((n for n, call in enumerate(house.caller.calls) if call[1]), None)
                if place is not None:
                    self.ends.append(house.take_up(place))
                    greet(self.ends[-1])
                    self._asked = self.ends[-1].say("<stream:features/>")
            case "vouch":
                self._vouch()
            case "other" if self.ends:
                self.ends.insert(0, self.ends.pop())
            case "lose" if self.ends and not self.ends[-1].protocol._lost:
                self.ends[-1].lose()
            case "write":
                self._write()
            case "wait":
                house.hall.advance(float(seconds))
        self._listen()

    def say(self, data: bytes) -> None:
        if not self.ends:
            self.ends.append(self.house.secure())
        end = self.ends[-1]
        if end.header is not None:
            data = data.replace(b"ID", end.header.attributes.get("id", "").encode())
        if end.transport.tls is not None and not end.protocol._lost:
            end.protocol.handshakeCompleted()
        end.protocol.dataReceived(data)
        self._listen()

    def _vouch(self) -> None:
        """Whoever was asked about a key knows it, unless nobody is to get through."""
        asked, self._asked = self._asked, []
        for verify in asked:
            domain, id = verify.getAttribute("to"), verify.getAttribute("id")
            if verify.name == "verify" and domain != "evil.example":
                self.ends[-1].say(
                    f"<db:verify from='{domain}' to='{HERE}' id='{id}' type='valid'/>"
                )
                self.ends.insert(0, self.ends.pop())

    def _write(self) -> None:
        self.house.romeo.send(f"<message to='juliet@{THERE}' id='own'><body>hi</body></message>")

    def _stand(self) -> None:
        end = self.ends[-1]
        greet(end)
        end.say(SAID[-1])
        end.say(EXTERNAL.replace("auth", "success").replace(" mechanism='EXTERNAL'", ""))
        end.say(header(THERE, HERE, "3"))
        end.say(f"<stream:features>{''.join(OFFERS)}</stream:features>")

    def _listen(self) -> None:
        """What we say is well-formed, and no excuse."""
        self.house.hall.advance(0)
        for end in self.ends:
            pieces = end.transport.take().split(b"<?xml")
            heard = end.read(pieces[0])
            for piece in pieces[1:]:
                end.begin()
                heard += end.read(b"<?xml" + piece)
            if any("internal-server-error" in one.toXml() for one in heard):
                raise Finding("an internal error")
        for stanza in self.house.romeo.received():
            domain = stanza.getAttribute("from", "").partition("/")[0].partition("@")[2].lower()
            if domain.endswith("evil.example"):
                raise Finding("from somebody whom nobody has vouched for")

    def end(self) -> None:
        """All go away, and nothing is left."""
        for end in self.ends:
            if not end.protocol._lost:
                end.lose()
        for _ in range(15):
            calls, self.house.caller.calls[:] = self.house.caller.calls[:], []
            for _, _, waiting in calls:
                waiting.errback(Fault("absent", "there is none"))
            self.house.hall.advance(61)
        peers = self.house.peers
        if peers._incoming or peers.streams or peers.routes or peers.waiting:
            raise Finding(f"left: {peers._incoming} {peers.streams} {peers.routes}")
