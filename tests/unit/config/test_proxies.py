"""How a proxy is written."""

from pathlib import Path

import pytest

from pushd.config.proxies import DIRECT, Proxy, ProxyUrl
from pushd.wire.secret import Secret
from tests.unit.config.support import is_refused, value_of


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.example.net:3128", Proxy("proxy.example.net", 3128)),
        ("http://proxy.example.net:3128/", Proxy("proxy.example.net", 3128)),
        ("HTTP://Proxy:80", Proxy("proxy", 80)),
        ("http://192.0.2.1:8080", Proxy("192.0.2.1", 8080)),
        ("'http://[2001:db8::1]:8080'", Proxy("2001:db8::1", 8080)),
        ("http://jo:pw@proxy:3128", Proxy("proxy", 3128, "jo", Secret("pw"))),
        ("http://jo@proxy:3128", Proxy("proxy", 3128, "jo")),
        ("http://j%40x:p%C3%A4%3A%2F@proxy:1", Proxy("proxy", 1, "j@x", Secret("pä:/"))),
    ],
)
def test_a_proxy_is_written_as_a_url(text: str, proxy: Proxy) -> None:
    assert value_of(ProxyUrl(), text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "proxy:3128",
        "http://proxy",
        "http://proxy:0",
        "http://proxy:70000",
        "http://proxy:3128/path",
        "'http://proxy:3128/#x'",
        "http://:3128",
        "'http://proxy name:3128'",
        "http://a%3Ab:pw@proxy:3128",
        "http://:pw@proxy:3128",
        "https://proxy:3128",
        "socks5://proxy:1080",
        "direct",
        "''",
        "[http://proxy:3128]",
    ],
)
def test_what_is_no_proxy_is_refused(text: str) -> None:
    assert is_refused(ProxyUrl(), text)


@pytest.mark.parametrize(
    "text", ["http://jo:hunter2@proxy", "https://jo:hunter2@proxy:1", "http://jo:hunter2@a/b:1"]
)
def test_a_refusal_repeats_no_password(text: str) -> None:
    found = value_of(ProxyUrl(), text)
    assert "; expected " in found
    assert "hunter2" not in found


def test_the_remedy_is_told_for_what_is_often_tried() -> None:
    assert "by TLS" in value_of(ProxyUrl(), "https://proxy:3128")
    assert "SOCKS" in value_of(ProxyUrl(), "socks5://proxy:1080")
    assert "without a port" in value_of(ProxyUrl(), "http://proxy")


def test_a_backend_may_do_without() -> None:
    assert value_of(ProxyUrl(may_be_direct=True), "direct") == DIRECT
    assert value_of(ProxyUrl(may_be_direct=True), "http://proxy:1") == Proxy("proxy", 1)
    assert is_refused(ProxyUrl(may_be_direct=True), "none")


def test_it_may_be_kept_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text("http://jo:pw@proxy:3128\n")
    proxy = Proxy("proxy", 3128, "jo", Secret("pw"))
    assert value_of(ProxyUrl(), "{file: proxy}", tmp_path) == proxy
    environment = {"https_proxy": "http://jo:pw@proxy:3128"}
    assert value_of(ProxyUrl(), "{env: https_proxy}", environment=environment) == proxy
    assert is_refused(ProxyUrl(), "{env: https_proxy}")
