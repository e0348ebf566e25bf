import pytest

from pushd.wire.claims import without_forgeries
from pushd.wire.framer import seal

OURS = frozenset({"example.net", "example.org"})
SID, DELAY = "xmlns='urn:xmpp:sid:0'", "xmlns='urn:xmpp:delay'"
CARBONS = "xmlns='urn:xmpp:carbons:2'"


def passed(child: str) -> bytes:
    stanza = seal(f"<message to='a@example.net'><body>hi</body>{child}</message>".encode())
    return without_forgeries(stanza, OURS).raw


@pytest.mark.parametrize(
    "child",
    [
        f"<stanza-id {SID} by='example.net' id='1'/>",
        f"<stanza-id {SID} by='romeo@example.org' id='1'/>",
        f"<stanza-id {SID} by='EXAMPLE.NET' id='1'/>",
        f"<stanza-id {SID} by='romeo@Example.Net' id='1'/>",
        f"<stanza-id {SID} by='romeo@example.net/phone' id='1'/>",
        f"<delay {DELAY} from='example.net' stamp='2020-01-01T00:00:00Z'/>",
        f"<delay {DELAY} from='Example.Org' stamp='2020-01-01T00:00:00Z'/>",
        "<s:stanza-id xmlns:s='urn:xmpp:sid:0' by='example.net' id='1'/>",
        f"<received {CARBONS}><forwarded xmlns='urn:xmpp:forward:0'/></received>",
        f"<sent {CARBONS}/>",
        "<c:sent xmlns:c='urn:xmpp:carbons:2'/>",
    ],
)
def test_what_only_the_server_may_say_is_taken_out(child: str) -> None:
    assert passed(child) == b"<message to='a@example.net'><body>hi</body></message>"


@pytest.mark.parametrize(
    "child",
    [
        f"<stanza-id {SID} by='room@muc.example.net' id='1'/>",
        f"<stanza-id {SID} by='' id='1'/>",
        f"<stanza-id {SID} id='1'/>",
        f"<stanza-id {SID} by='@' id='1'/>",
        f"<origin-id {SID} id='1'/>",
        f"<delay {DELAY} from='romeo@example.net/phone' stamp='2020-01-01T00:00:00Z'/>",
        f"<delay {DELAY} from='example.com' stamp='2020-01-01T00:00:00Z'/>",
        f"<forwarded xmlns='urn:xmpp:forward:0'><delay {DELAY} from='example.net'/></forwarded>",
        f"<private {CARBONS}/>",
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
    ],
)
def test_what_others_may_say_stays_to_the_byte(child: str) -> None:
    assert child.encode() in passed(child)


def test_of_several_only_the_forged_ones_go_and_the_rest_keeps_its_order() -> None:
    said = passed(
        f"<stanza-id {SID} by='example.net' id='1'/><a xmlns='urn:a'/>"
        f"<stanza-id {SID} by='x@example.com' id='2'/><stanza-id {SID} by='example.net' id='3'/>"
    )

    assert b"id='1'" not in said
    assert b"id='3'" not in said
    assert said.index(b"<a ") < said.index(b"id='2'")


def test_a_stanza_without_forgeries_is_the_same_one() -> None:
    stanza = seal(b"<message to='a@example.net'><body>hi</body></message>")

    assert without_forgeries(stanza, OURS) is stanza
