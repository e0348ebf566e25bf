"""What a client says before it has a session is read however it is written."""

import pytest

from pushd.c2s.reading import resource
from pushd.wire.framer import seal

BIND = "xmlns='urn:ietf:params:xml:ns:xmpp-bind'"


@pytest.mark.parametrize(
    ("request_for", "wanted"),
    [
        pytest.param(f"<bind {BIND}><resource>phone</resource></bind>", "phone", id="usual"),
        pytest.param(f"<bind {BIND}><resource>Jülich</resource></bind>", "Jülich", id="utf-8"),
        pytest.param(f"<bind {BIND}><resource>a&amp;b</resource></bind>", "a&b", id="escaped"),
        pytest.param(f"<bind {BIND}><resource>a\r\nb</resource></bind>", "a\nb", id="lines"),
        pytest.param(f"<bind {BIND}> <resource>x</resource> </bind>", "x", id="spaces"),
        pytest.param(f"<bind {BIND}><resource a='>'>x</resource></bind>", "x", id="attribute"),
        pytest.param(
            f"<b:bind {BIND.replace('=', ':b=')}><b:resource>x</b:resource></b:bind>",
            "x",
            id="prefix",
        ),
        pytest.param(f"<bind {BIND}><resource xmlns='x'>x</resource></bind>", "", id="another's"),
        pytest.param(f"<bind {BIND}><resource/></bind>", "", id="empty"),
        pytest.param(f"<bind {BIND}/>", "", id="none"),
    ],
)
def test_a_resource_is_asked_for_in_many_ways(request_for: str, wanted: str) -> None:
    assert resource(seal(f"<iq type='set' id='b'>{request_for}</iq>".encode())) == wanted
