"""How values are written: each kind takes what it should, and says what would be right."""

from ipaddress import ip_network
from typing import Any

import pytest

from pushd.config.kinds import (
    Bytes,
    Choice,
    Decimal,
    Domain,
    Endpoint,
    Kind,
    Listener,
    Span,
    Subnet,
    Text,
    Truth,
    WebAddress,
    Whole,
)
from tests.unit.config.support import is_refused, value_of


@pytest.mark.parametrize("word", ["true", "yes", "on", "True", "ON", "'yes'"])
def test_a_boolean_is_switched_on_by_words(word: str) -> None:
    assert value_of(Truth(), word) is True


@pytest.mark.parametrize("word", ["false", "no", "off", "No", '"off"'])
def test_a_boolean_is_switched_off_by_words(word: str) -> None:
    assert value_of(Truth(), word) is False


@pytest.mark.parametrize("word", ["1", "0", "y", "n", "enabled", "", "~", "[]", "'true '"])
def test_no_other_word_is_a_boolean(word: str) -> None:
    assert is_refused(Truth(), word)


@pytest.mark.parametrize(("word", "number"), [("0", 0), ("5000", 5000), ("'7'", 7)])
def test_a_whole_number_is_decimal(word: str, number: int) -> None:
    assert value_of(Whole(), word) == number


@pytest.mark.parametrize(
    "word", ["052", "0x1F", "0o17", "1_000", "1e3", "5.0", "+5", "-1", "٣", ""]
)
def test_no_other_way_of_writing_is_a_whole_number(word: str) -> None:
    assert is_refused(Whole(), word)


def test_a_whole_number_keeps_its_bounds_and_tells_them() -> None:
    assert value_of(Whole(1, 10), "11") == (
        "1:4: x: found '11'; expected a whole number from 1 to 10, in decimal digits"
    )
    assert is_refused(Whole(), "9" * 5000)


def test_a_number_may_have_a_fraction() -> None:
    assert value_of(Decimal(), "0.25") == 0.25
    assert is_refused(Decimal(), "nan")
    assert is_refused(Decimal(), "1e9")


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("300", 300.0),
        ("300s", 300.0),
        ("5m", 300.0),
        ("5 min", 300.0),
        ("72h", 259_200.0),
        ("1d", 86_400.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("2w", 1_209_600.0),
        ("0", 0.0),
    ],
)
def test_a_duration_has_a_unit_or_is_seconds(word: str, seconds: float) -> None:
    assert value_of(Span(), word) == seconds


@pytest.mark.parametrize(
    "word", ["12:30", "5M", "-5s", "5 years", "1h30m", "s", "", "1e3s", "99999d"]
)
def test_no_other_text_is_a_duration(word: str) -> None:
    assert is_refused(Span(), word)


@pytest.mark.parametrize(
    ("word", "size"),
    [
        ("10000", 10_000),
        ("64KiB", 65_536),
        ("10MB", 10_000_000),
        ("256 KB", 256_000),
        ("10mb", 10_000_000),
        ("1.5MiB", 1_572_864),
        ("1GiB", 2**30),
        ("7B", 7),
    ],
)
def test_a_size_has_a_unit_or_is_bytes(word: str, size: int) -> None:
    assert value_of(Bytes(), word) == size


@pytest.mark.parametrize("word", ["10M", "64K", "0.3B", "-1KB", "KB", "10 mega", "9999GiB"])
def test_no_other_text_is_a_size(word: str) -> None:
    assert is_refused(Bytes(), word)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Span(), 300.0, "5m"),
        (Span(), 259_200.0, "72h"),
        (Span(), 2_592_000.0, "30d"),
        (Span(), 0.5, "0.5s"),
        (Span(), 90.0, "90s"),
        (Span(), 0.0, "0s"),
        (Bytes(), 262_144, "256KiB"),
        (Bytes(), 10_000_000, "10MB"),
        (Bytes(), 10_001, "10001"),
        (Bytes(), 0, "0"),
        (Decimal(), 0.25, "0.25"),
        (Truth(), False, "false"),
    ],
)
def test_a_value_is_shown_as_it_would_be_written(kind: Kind, value: Any, text: str) -> None:
    assert kind.show(value) == text
    assert value_of(kind, text) == value


def test_a_domain_is_prepared() -> None:
    assert value_of(Domain(), "EXAMPLE.Net.") == "example.net"
    assert value_of(Domain(), "xn--mnchen-3ya.example") == "münchen.example"


@pytest.mark.parametrize(
    "word", ["romeo@example.net", "a b", "a..b", "-a.example", "''", "@HOST@ x"]
)
def test_no_other_text_is_a_domain(word: str) -> None:
    assert is_refused(Domain(), f"'{word}'" if word[0] == "@" else word)


@pytest.mark.parametrize(
    ("word", "host", "port"),
    [
        (":5222", "", 5222),
        ("127.0.0.1:5222", "127.0.0.1", 5222),
        ("'[::1]:5222'", "::1", 5222),
        ("'[0:0::1]:0'", "::1", 0),
        ("localhost:5347", "127.0.0.1", 5347),
    ],
)
def test_an_endpoint_is_an_address_and_a_port(word: str, host: str, port: int) -> None:
    assert value_of(Listener(), word) == Endpoint(host, port)


@pytest.mark.parametrize(
    "word",
    ["5222", "127.0.0.1", "::1:5222", ":65536", ":x", "example.net:5222", "1.2.3:5", "[1.2.3.4]:5"],
)
def test_no_other_text_is_an_endpoint(word: str) -> None:
    assert is_refused(Listener(), f"'{word}'")


def test_endpoints_tell_loopback_and_print_as_they_are_written() -> None:
    assert Endpoint("127.0.0.53", 1).is_loopback
    assert Endpoint("::1", 1).is_loopback
    assert not Endpoint("", 1).is_loopback
    assert not Endpoint("192.0.2.1", 1).is_loopback
    texts = [":5222", "127.0.0.1:5222", "[::1]:5222"]
    assert [str(value_of(Listener(), f"'{text}'")) for text in texts] == texts


def test_endpoints_overlap_on_one_port_of_one_address() -> None:
    assert Endpoint("", 1).overlaps(Endpoint("127.0.0.1", 1))
    assert Endpoint("::1", 1).overlaps(Endpoint("::1", 1))
    assert not Endpoint("::1", 1).overlaps(Endpoint("127.0.0.1", 1))
    assert not Endpoint("", 1).overlaps(Endpoint("", 2))
    assert not Endpoint("", 0).overlaps(Endpoint("", 0))


@pytest.mark.parametrize(
    ("word", "url"),
    [
        ("https://fcm.example.org", "https://fcm.example.org"),
        ("https://fcm.example.org:8443/base/", "https://fcm.example.org:8443/base"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_url_is_https_or_local(word: str, url: str) -> None:
    assert value_of(WebAddress(), word) == url


@pytest.mark.parametrize(
    "word",
    [
        "http://fcm.example.org",
        "ftp://127.0.0.1/",
        "https://",
        "https://a:99999/",
        "https://[::1/",
        "https://a/?x=1",
        "fcm.example.org",
        "http://1.2.3.4.5/",
    ],
)
def test_no_other_text_is_a_url(word: str) -> None:
    assert is_refused(WebAddress(), word)


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    refusal = value_of(WebAddress(), "https://me:sesame@example.org/")
    assert refusal.startswith("1:4: x: found something else; expected a URL such as")


def test_a_choice_names_what_there_is() -> None:
    kind = Choice(("text", "json", "none"))
    assert value_of(kind, "json") == "json"
    assert value_of(kind, "xml") == "1:4: x: found 'xml'; expected text, json or none"


def test_a_text_is_not_empty() -> None:
    assert value_of(Text(), "052") == "052"
    assert is_refused(Text(), "''")
    assert value_of(Text(), "[a]") == "1:4: x: found a list; expected a text that is not empty"


def test_a_long_value_is_cut_in_its_refusal() -> None:
    assert len(value_of(Truth(), "x" * 5000)) < 150


@pytest.mark.parametrize(
    ("word", "network"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("'2001:db8::/32'", "2001:db8::/32"),
        ("'::1'", "::1/128"),
    ],
)
def test_a_network_is_an_address_with_or_without_the_length_of_its_prefix(
    word: str, network: str
) -> None:
    assert value_of(Subnet(), word) == ip_network(network)


@pytest.mark.parametrize("word", ["192.0.2.1/24", "192.0.2", "example.net", "::1/129", "3", ""])
def test_no_other_text_is_a_network(word: str) -> None:
    assert is_refused(Subnet(), word)


def test_a_network_is_written_as_short_as_it_can_be() -> None:
    assert Subnet().show(ip_network("192.0.2.1/32")) == "192.0.2.1"
    assert Subnet().show(ip_network("2001:db8::/32")) == "'2001:db8::/32'"
