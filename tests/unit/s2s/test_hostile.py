"""Other servers that mean ill, or are broken: refused, bounded, and nobody else is disturbed."""

import pytest

from pushd.s2s.faults import Fault
from pushd.wire import dialback
from tests.unit.s2s.house import (
    EXTERNAL,
    HERE,
    STARTTLS,
    THERE,
    End,
    House,
    condition,
    greet,
    header,
)

KEY = "<db:result from='{}' to='example.net'>the-key</db:result>"
WORD = "<message to='juliet@there.example' id='{}'><body>hi</body></message>"
MESSAGE = "<message from='juliet@{}/x' to='romeo@example.net'><body>hi</body></message>"


def confirm(house: House, end: End, domain: str = THERE, type: str = dialback.VALID) -> None:
    """The domain's own server is asked, and says this."""
    asked = house.take_up()
    greet(asked)
    asked.say("<stream:features/>")
    asked.say(f"<db:verify from='{domain}' to='{HERE}' id='{end.id}' type='{type}'/>")


def test_nobody_speaks_for_a_domain_that_is_ours() -> None:
    house = House()
    house.authorities.faults[HERE] = ""
    assert condition(house.connect().say(header(HERE))) == "invalid-from"
    end = house.external()
    [result] = end.say(KEY.format(HERE))
    assert result["type"] == "error"
    assert not house.caller.calls


@pytest.mark.parametrize(
    "said",
    [
        "<bidi xmlns='urn:xmpp:bidi'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='1' h='0'/>",
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
        EXTERNAL,
        KEY.format(THERE),
        MESSAGE.format(THERE),
    ],
)
def test_before_tls_there_is_nothing_but_tls(said: str) -> None:
    end = House().connect()
    end.say(header())
    assert condition(end.say(said))
    assert end.is_closed


def test_what_comes_in_the_clear_behind_starttls_is_an_offence() -> None:
    end = House().connect()
    end.say(header())
    assert condition(end.say(STARTTLS + header() + EXTERNAL)) == "policy-violation"
    assert end.transport.tls is None


def test_what_comes_in_the_clear_behind_proceed_is_an_offence_too() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    end = house.take_up()
    end.say(header(THERE, HERE, "1"))
    end.say(f"<stream:features>{STARTTLS}</stream:features>")
    said = end.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + header(THERE, HERE, "2"))
    assert condition(said) == "policy-violation"
    assert end.transport.tls is None


def test_a_domain_that_proves_itself_again_takes_no_more_room() -> None:
    house = House(streams_per_domain=2)
    end = house.secure()
    assert not end.say(KEY.format(THERE))
    confirm(house, end)
    assert end.heard()[0]["type"] == "valid"
    for _ in range(5):
        [result] = end.say(KEY.format(THERE))
        assert result["type"] == "valid"
    assert not house.caller.calls
    end.lose()
    for _ in range(2):
        house.external()


def test_a_stanza_that_breaks_every_stream_is_not_said_for_ever() -> None:
    """A peer takes us up, and falls over what we say, again and again."""
    house = House(patience=60.0)
    house.romeo.send(WORD.format(0))
    streams = 0
    for _ in range(2_000):
        if house.caller.calls:
            streams += 1
            end = house.stand("<sm xmlns='urn:xmpp:sm:3'/>")
            end.lose()
        house.hall.advance(1.0)
        if house.romeo.received():
            break
    else:
        pytest.fail("it is still tried")
    assert streams < 15
    assert not house.peers.waiting


def test_questions_that_are_not_answered_are_forgotten() -> None:
    house = House()
    house.romeo.send(WORD.format(0))
    house.stand()
    [route] = house.peers.routes.values()
    for _ in range(3):
        end = house.secure()
        assert not end.say(KEY.format(THERE))
        house.hall.advance(31)
    assert not route.link._questions  # type: ignore[union-attr]


def test_strangers_are_not_told_what_is_in_our_network() -> None:
    house = House()
    end = house.secure()
    end.say(KEY.format(THERE))
    fault = Fault("connect", "no connection to 10.0.0.7:6379: Connection refused")
    house.caller.calls[0][2].errback(fault)
    [result] = end.heard()
    assert result["type"] == "error"
    assert "10.0.0.7" not in result.toXml()
    assert "refused" not in result.toXml()
