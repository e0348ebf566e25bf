import pytest

from pushd.modules.push.notices import ended_nodes
from pushd.wire.framer import seal
from pushd.wire.jid import parse

PUBSUB = "http://jabber.org/protocol/pubsub"
NONE = "<affiliation jid='juliet@example.net' affiliation='none'/>"
OTHER = "<affiliation jid='juliet@example.net' affiliation='publish-only'/>"


@pytest.mark.parametrize(
    ("content", "nodes"),
    [
        (f"<pubsub xmlns='{PUBSUB}' node='n'>{NONE}</pubsub>", ["n"]),
        (f"<pubsub xmlns='{PUBSUB}'>{NONE}</pubsub>", [""]),
        (f"<pubsub xmlns='{PUBSUB}' node='n'><affiliation affiliation='none'/></pubsub>", ["n"]),
        (
            f"<pubsub xmlns='{PUBSUB}'><affiliations node='a'>{NONE}</affiliations>"
            f"<affiliations node='b'>{OTHER}{NONE}</affiliations></pubsub>",
            ["a", "b"],
        ),
        (f"<pubsub xmlns='{PUBSUB}' node='n'>{OTHER}</pubsub>", []),
        (f"<pubsub xmlns='{PUBSUB}' node='n'/>", []),
        (f"<pubsub xmlns='{PUBSUB}' node='n'><affiliation/><items node='n'/></pubsub>", []),
        ("<body>affiliation none</body>", []),
    ],
)
def test_which_nodes_take_nothing_more(content: str, nodes: list[str]) -> None:
    message = seal(f"<message from='push.example.org'>{content}</message>".encode())

    assert list(ended_nodes(message, parse("juliet@example.net"))) == nodes
