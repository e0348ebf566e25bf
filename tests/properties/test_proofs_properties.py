"""What another server has proved on its stream to us, in whatever order it says what it likes.

A stanza passes from a domain that has proved itself there, and from no other; what a proof is, is
read off what was said on the wires alone. When all is over, nothing is left of it.

For longer: PROOFS_EXAMPLES=5000 pytest tests/properties/test_proofs_properties.py
"""

import os
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from pushd.s2s.faults import Fault
from pushd.wire.element import Element
from tests.unit.s2s.house import EXTERNAL, HERE, STARTTLS, THERE, House, greet, header

EXAMPLES = int(os.environ.get("PROOFS_EXAMPLES", "40"))
ROOMS = "rooms.there.example"
SM = "xmlns='urn:xmpp:sm:3'"
KEY = f"<db:result from='{{}}' to='{HERE}'>key</db:result>"
WORD = "<message from='juliet@{}/x' to='romeo@example.net' id='m'><body>hi</body></message>"
FORGED = (
    f"<db:result from='{THERE}' to='{HERE}' type='valid'/>"
    f"<db:verify from='{THERE}' to='{HERE}' id='{{}}' type='valid'/>"
)


class Play:
    """One stream of theirs, by what it says and hears."""

    def __init__(self, is_good: bool) -> None:
        self.house = House()
        self.peers = self.house.peers
        if is_good:
            self.house.authorities.faults[THERE] = ""
        self.vouched: set[str] = set()  # domains whose own servers have said that a key is theirs
        self.proved: set[str] = set()
        self.ends = [self.house.secure()]

    def say(self, xml: str) -> None:
        self.hear(self.ends[0].say(xml))

    def hear(self, said: list[Element]) -> None:
        for one in said:
            if one.name == "success":
                self.proved.add(THERE)
            elif one.name == "result" and one["type"] == "valid":
                assert one["to"] in self.vouched | self.proved
                self.proved.add(one["to"])

    def speak(self, domain: str) -> None:
        """A stanza: it passes if that was proved, while the peer is listened to."""
        may_pass = domain in self.proved and not self.ends[0].transport.ended
        self.say(WORD.format(domain))
        heard = [one for one in self.house.romeo.received() if one.name == "message"]
        words = [one for one in heard if not one["id"].startswith("own")]
        assert len(words) <= may_pass, (domain, self.proved)

    def answer(self, type: str) -> None:
        """The server of a domain that was asked about a key says this."""
        asked = [call for call in self.house.caller.calls if call[1]]
        if not asked:
            return
        domain = asked[0][0][1]
        end = self.house.take_up(self.house.caller.calls.index(asked[0]))
        self.ends.append(end)
        greet(end)
        for verify in end.say("<stream:features/>"):
            if type == "valid":
                self.vouched.add(domain)
            names = f"from='{domain}' to='{HERE}' id='{verify['id']}'"
            end.say(f"<db:verify {names} type='{type}'/>")
        self.hear(self.ends[0].heard())

    def write(self) -> None:
        self.house.romeo.send(f"<message to='juliet@{THERE}' id='own'><body>hi</body></message>")

    def wait(self, seconds: float) -> None:
        self.house.hall.advance(seconds)
        self.hear(self.ends[0].heard())

    def lose(self) -> None:
        for end in self.ends:
            if not end.protocol._lost:
                end.lose()

    def end(self) -> None:
        """Everybody goes, and all time is over; nothing is left."""
        self.lose()
        for _ in range(20):
            calls, self.house.caller.calls[:] = self.house.caller.calls[:], []
            for _, _, waiting in calls:
                waiting.errback(Fault("absent", "there is none"))
            self.house.hall.advance(61)
        peers = self.peers
        checks = peers._checks
        left = (peers._incoming, peers.streams, peers.routes, checks._under_way, checks._waiting)
        assert not any(left)
        assert not peers.waiting


STEPS: dict[str, Callable[[Play], None]] = {
    "external": lambda play: play.say(EXTERNAL),
    "external and on": lambda play: play.say(EXTERNAL + header()),
    "header": lambda play: play.say(header()),
    "header of another": lambda play: play.say(header(ROOMS)),
    "tls again": lambda play: play.say(STARTTLS),
    "key": lambda play: play.say(KEY.format(THERE)),
    "key of rooms": lambda play: play.say(KEY.format(ROOMS)),
    "valid": lambda play: play.answer("valid"),
    "invalid": lambda play: play.answer("invalid"),
    "error": lambda play: play.answer("error"),
    "forged answers": lambda play: play.say(FORGED.format(play.ends[0].id)),
    "bidi": lambda play: play.say("<bidi xmlns='urn:xmpp:bidi'/>"),
    "enable": lambda play: play.say(f"<enable {SM}/>"),
    "count": lambda play: play.say(f"<r {SM}/>"),
    "speak": lambda play: play.speak(THERE),
    "speak in rooms": lambda play: play.speak(ROOMS),
    "speak for another": lambda play: play.speak("evil.example"),
    "speak for us": lambda play: play.speak(HERE),
    "write": Play.write,
    "a moment": lambda play: play.wait(1),
    "half a minute": lambda play: play.wait(31),
    "a quarter of an hour": lambda play: play.wait(900),
    "close": lambda play: play.say("</stream:stream>"),
    "lose": Play.lose,
}


# What gets somewhere is said as often as all else.
USUAL = ["external", "external and on", "key", "key of rooms", "valid", "bidi", "speak"]
SAID = st.sampled_from(USUAL) | st.sampled_from(sorted(STEPS))


@settings(max_examples=EXAMPLES)
@given(is_good=st.booleans(), steps=st.lists(SAID, min_size=3, max_size=14))
def test_who_has_not_proved_himself_is_not_heard(is_good: bool, steps: list[str]) -> None:
    play = Play(is_good)
    for step in steps:
        STEPS[step](play)
    play.end()
