import pytest

from tests.hall import Hall


@pytest.mark.parametrize("to", ["", "to='example.net'", "to='romeo@example.net'"])
def test_a_ping_is_answered_with_an_empty_result(to: str) -> None:
    hall = Hall(modules={"ping": None})
    romeo = hall.login("romeo@example.net/orchard")

    answer = romeo.ask(f"<iq type='get' id='p1' {to}><ping xmlns='urn:xmpp:ping'/></iq>")

    assert answer["type"] == "result"
    assert answer.children == []


@pytest.mark.parametrize("to", ["juliet@example.net", "nobody@example.net"])
def test_a_ping_tells_no_stranger_who_has_an_account(to: str) -> None:
    hall = Hall(modules={"ping": None})
    hall.login("juliet@example.net/balcony")
    romeo = hall.login("romeo@example.net/orchard")

    answer = romeo.ask(f"<iq type='get' id='p1' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>")

    assert answer["type"] == "error"
    assert str(answer.error.firstChildElement().name) == "service-unavailable"


def test_ping_is_announced_by_the_server_and_by_the_account() -> None:
    hall = Hall(modules={"ping": None})
    romeo = hall.login("romeo@example.net/orchard")

    for to in ("example.net", "romeo@example.net"):
        answer = romeo.ask(
            f"<iq type='get' id='d1' to='{to}'>"
            "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        features = [node["var"] for node in answer.query.elements() if node.name == "feature"]
        assert "urn:xmpp:ping" in features
