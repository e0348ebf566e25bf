"""Which endpoints are taken at registration."""

import pytest

from pushd.providers.contract import BadField
from pushd.providers.webpush_endpoints import LONGEST, Place, Rules

ANY = Rules()
PRIVATE = Rules(allow_private=True)


def taken(endpoint: str, rules: Rules = ANY) -> bool:
    try:
        rules.place(endpoint)
    except BadField as error:
        return error.field != "endpoint"
    return True


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABnpdbulnTLVcG1dB8MMTW1w9txxdv6",
        "https://fcm.googleapis.com/fcm/send/cITe60iQR1w:APA91bEWLv9IwSyWN8oenp2Z9vUx1Y3mhWBoiNKp",
        "https://web.push.apple.com/QF8w7V0M5Z3hbQiw4tIsMBJ",
        "https://wns2-par02p.notify.windows.com/w/?token=BQYAAAD%2bx%2f",
        "https://ntfy.sh/upAbCdEf?up=1",
        "https://xn--mnchen-3ya.example/x",
        "https://push.example.org:8443/x",
        "https://push.example.org:443/x",
        "https://push.example.org",
        "https://8.8.8.8/x",
        "https://[2a00:1450::1]:1024/x",
        "https://push.example.org/" + "x" * (LONGEST - 25),
    ],
)
def test_an_endpoint_of_the_public_internet_is_taken(endpoint: str) -> None:
    assert taken(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "x",
        "push.example.org/x",
        "//push.example.org/x",
        "http://push.example.org/x",
        "HTTPS://push.example.org/x",
        "ftp://push.example.org/x",
        "https:push.example.org/x",
        "https:///x",
        "https://:443/x",
        "https://push.example.org:/x",
        "https://push.example.org:0/x",
        "https://push.example.org:22/x",
        "https://push.example.org:80/x",
        "https://push.example.org:1023/x",
        "https://push.example.org:65536/x",
        "https://push.example.org:443x/x",
        "https://push.example.org:4 43/x",
        "https://user@push.example.org/x",
        "https://user:password@push.example.org/x",
        "https://push.example.org@127.0.0.1/x",
        "https://push.example.org\\@127.0.0.1/x",
        "https://push.example.org/x#y",
        "https://push.example.org#x",
        "https://push.example.org?x",
        "https://push.example.org?@127.0.0.1/",
        "https://push.example.org/x y",
        "https://push.example.org/x\r\nhost: evil.example",
        "https://push.example.org/x\n",
        " https://push.example.org/x",
        "https://push.example.org/\x00",
        "https://push.example.org/ä",
        "https://münchen.example/x",
        "https://push.example.org%2f@x/",
        "https://push%2eexample.org/x",
        "https://push..example.org/x",
        "https://.example.org/x",
        "https://push.example.org./x",
        "https://-push.example.org/x",
        "https://push_1.example.org/x",
        "https://" + "x" * 64 + ".example.org/x",
        "https://[::1/x",
        "https://::1/x",
        "https://[push.example.org]/x",
        "https://[::ffff:8.8.8.8%25eth0]/x",
        "https://push.example.org/" + "x" * (LONGEST - 24),
    ],
)
def test_what_is_no_plain_https_address_is_refused(endpoint: str) -> None:
    assert not taken(endpoint)
    assert not taken(endpoint, PRIVATE) or endpoint.endswith(("22/x", "80/x", "1023/x"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "push.localhost",
        "intranet",
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "0X7F000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "1.2.3.4.5",
        "8.8.8.08",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[2001::1]",
    ],
)
def test_a_host_that_is_not_public_is_refused_in_any_spelling(host: str) -> None:
    with pytest.raises(BadField, match="its host is not served here"):
        ANY.place(f"https://{host}/x")


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://127.0.0.1:5231/x", "https://127.0.0.1:5231"),
        ("http://127.0.0.1:80/x", "http://127.0.0.1"),
        ("http://localhost:8080/x", "http://localhost:8080"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("https://intranet:22/x", "https://intranet:22"),
        ("https://push.example.org/x", "https://push.example.org"),
    ],
)
def test_the_operator_may_let_it_be_anywhere(endpoint: str, origin: str) -> None:
    assert PRIVATE.place(endpoint) == Place(origin, is_private=True)


def test_plain_http_is_for_this_machine_alone() -> None:
    assert not taken("http://192.168.1.1/x", PRIVATE)
    assert not taken("http://push.example.org/x", PRIVATE)


def test_a_stand_in_that_the_operator_named_is_taken_wherever_it_is() -> None:
    rules = Rules(stand_in="https://127.0.0.1:7443")
    place = rules.place("https://127.0.0.1:7443/x")
    assert (place.is_private, place.is_stand_in) == (True, True)
    place = rules.place("https://push.example.org/x")
    assert (place.is_private, place.is_stand_in) == (False, False)
    for endpoint in (
        "https://127.0.0.1:7443@evil.example/x",
        "https://127.0.0.1:7443.evil.example/x",
        "https://127.0.0.1:744/x",
        "https://127.0.0.1:7444/x",
    ):
        assert not taken(endpoint, rules)
    assert not taken("https://127.0.0.1:7443/x", Rules(stand_in="https://127.0.0.1:744"))


@pytest.mark.parametrize(
    ("host", "allowed", "denied", "is_taken"),
    [
        ("push.example.org", ("example.org",), (), True),
        ("PUSH.EXAMPLE.ORG", ("Example.Org",), (), True),
        ("example.org", ("example.org",), (), True),
        ("badexample.org", ("example.org",), (), False),
        ("example.org.evil.example", ("example.org",), (), False),
        ("push.example.com", ("example.org", "example.com"), (), True),
        ("push.example.org", (), ("example.org",), False),
        ("example.org", (), ("push.example.org",), True),
        ("push.example.org", ("example.org",), ("push.example.org",), False),
        ("8.8.8.8", (), ("8.8.8.8",), False),
        ("8.8.8.8", ("example.org",), (), False),
    ],
)
def test_hosts_are_allowed_and_denied_by_the_operator(
    host: str, allowed: tuple[str, ...], denied: tuple[str, ...], is_taken: bool
) -> None:
    for rules in (Rules(allowed, denied), Rules(allowed, denied, allow_private=True)):
        assert taken(f"https://{host}/x", rules) is is_taken


def test_all_hosts_that_are_not_served_are_refused_with_the_same_words() -> None:
    texts = set()
    for host in ("127.0.0.1", "denied.example", "intranet", "[fe80::1]"):
        with pytest.raises(BadField) as raised:
            Rules(denied=("denied.example",)).place(f"https://{host}/x")
        texts.add(str(raised.value))
    assert len(texts) == 1
