"""Carbons: whatever a client has written, its copy is that and nothing else, to any parser."""

from hypothesis import assume, given
from hypothesis import strategies as st

from pushd.wire.carbons import carbons, opened
from pushd.wire.framer import Framer, Limits, seal
from pushd.wire.namespaces import NS_CARBONS, NS_CLIENT, NS_FORWARD
from pushd.wire.stanza import RECEIVED_CARBON, SENT_CARBON, Stanza
from tests.properties.test_element_properties import Shape, read_by_another, shape
from tests.properties.test_framer_properties import HEADER, elements, texts

ACCOUNT = "juliet@example.net"

messages = elements(names=st.just("message"))
# A start tag may say in any way what needs no saying.
starts = st.sampled_from(
    ["", " xmlns='jabber:client'", ' \txmlns = "jabber:client"', " a='>' xmlns='jabber:client'"]
)


def framed(xml: str) -> Stanza:
    framer = Framer(Limits())
    _, *events = framer.feed(HEADER.encode() + xml.encode())
    assume(len(events) == 1 and isinstance(events[0], Stanza))
    stanza = events[0]
    assert isinstance(stanza, Stanza)
    assume(stanza.namespace == NS_CLIENT)
    return stanza


@given(messages, starts, st.sampled_from([SENT_CARBON, RECEIVED_CARBON]), texts)
def test_a_copy_holds_what_was_written_and_nothing_else(
    xml: str, start: str, direction: str, resource: str
) -> None:
    stanza = framed(xml.replace("<message", f"<message{start}", 1))
    full = f"{ACCOUNT}/{resource}"

    [carbon] = carbons(stanza, direction, ACCOUNT, [full])

    [(namespace, name, attributes, [wrapping])] = read_by_another(carbon.raw, NS_CLIENT)
    assert (namespace, name) == (NS_CLIENT, "message")
    assert (attributes["", "from"], attributes["", "to"]) == (ACCOUNT, full)
    inner = shape(stanza.tree)
    forwarded: Shape = (NS_FORWARD, "forwarded", {}, [inner])
    assert wrapping == (NS_CARBONS, direction.rpartition(" ")[2], {}, [forwarded])
    assert shape(opened(seal(carbon.raw), ACCOUNT).tree) == inner
