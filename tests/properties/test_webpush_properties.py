"""Endpoints: whatever a stranger writes, all who read it read the same host, or nobody does."""

from urllib.parse import urlsplit

from hyperlink import URL
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.web.client import URI

from pushd.net.client import origin_of
from pushd.net.http2 import _parts
from pushd.net.public import may_be_public
from pushd.providers.contract import BadField
from pushd.providers.webpush_endpoints import LONGEST, Rules

PIECES = st.sampled_from(
    [
        *("https://", "http://", "//", "/", "\\", "@", ":", "#", "?", ".", "[", "]", "%", "%40"),
        *("127.0.0.1", "2130706433", "0x7f.1", "::1", "::ffff:7f00:1", "localhost", "443", "8443"),
        *("push.example.org", "EXAMPLE", "xn--mnchen-3ya", "x", "up=1", " ", "\t", "\n", "\x00"),
        *("ä", "。", "\uff0f", "\u2100", "user", "-", "_", "~", "^", "|", '"', "<"),
    ]
)
ENDPOINTS = st.one_of(
    st.lists(PIECES, max_size=12).map("".join),
    st.lists(PIECES, max_size=8).map(lambda pieces: "https://" + "".join(pieces)),
    st.text(max_size=60),
)


@given(ENDPOINTS, st.booleans())
@example("https://push.example.org:443\\@127.0.0.1/", False)
@example("https://push.example.org?@127.0.0.1/", False)
@example("https://push.example.org/\u2100", True)
def test_all_who_read_an_endpoint_read_the_same_host(text: str, allow_private: bool) -> None:
    try:
        place = Rules(allow_private=allow_private).place(text)
    except BadField:
        return
    assert len(text) <= LONGEST
    parts = urlsplit(text)
    host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme]
    assert allow_private or (parts.scheme == "https" and may_be_public(host))
    assert _parts(origin_of(text.encode()).decode())[::2] == (parts.scheme, host)
    uri = URI.fromBytes(text.encode())
    assert (uri.host.decode().lower(), uri.port) == (host, port)
    assert URL.from_text(text).host.lower() == host
    named = urlsplit(place.origin)
    usual = {"https": 443, "http": 80}[named.scheme]
    assert (named.scheme, named.port or usual) == (parts.scheme, port)
    assert named.port != usual
    assert named.path == ""
