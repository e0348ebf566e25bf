"""What counts as one address, and what has no limits of its own."""

from ipaddress import ip_network

import pytest

from pushd.net.origins import Origins


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_ipv6_network_of_64_bits_is_one_origin(one: str, other: str, are_one: bool) -> None:
    origins = Origins()

    assert origins.of(one)
    assert (origins.of(one) == origins.of(other)) == are_one


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "", "/run/x"]
)
def test_loopback_addresses_and_what_is_none_are_exempt(host: str) -> None:
    assert Origins().of(host) == ""


@pytest.mark.parametrize(
    ("host", "is_exempt"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("198.51.100.7", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("127.0.0.1", False),
    ],
)
def test_the_networks_of_proxies_are_exempt_instead(host: str, is_exempt: bool) -> None:
    origins = Origins((ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))

    assert (origins.of(host) == "") == is_exempt
