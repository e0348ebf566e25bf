from importlib.metadata import version

from pushd.wire.element import Element, children
from tests.hall import Hall

NS = "jabber:iq:version"


def test_the_version_is_told_and_nothing_of_the_machine() -> None:
    hall = Hall(modules={"version": None})
    romeo = hall.login("romeo@example.net/orchard")

    answer: Element = romeo.ask(
        f"<iq type='get' id='v' to='example.net'><query xmlns='{NS}'/></iq>"
    )

    assert answer["type"] == "result"
    assert answer.query.uri == NS
    told = [(node.uri, node.name, str(node)) for node in children(answer.query)]
    assert told == [(NS, "name", "pushd"), (NS, "version", version("pushd"))]


def test_it_is_announced_by_the_server() -> None:
    hall = Hall(modules={"version": None})
    romeo = hall.login("romeo@example.net/orchard")

    answer = romeo.ask(
        "<iq type='get' id='d' to='example.net'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )

    assert NS in {node["var"] for node in answer.query.elements() if node.name == "feature"}
