"""Where the servers of a domain are, by what name servers say (RFC 6120 §3.2, XEP-0368)."""

import random
from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns, error
from twisted.python.failure import Failure

from pushd.net.racing import Racing, mixed
from pushd.net.srv import (
    LookupFailed,
    NoService,
    Record,
    Resolver,
    Target,
    _addresses,
    _failed,
    _services,
    in_order,
    targets,
)
from tests.support import result_of

SECURE, PLAIN = "_xmpps-server._tcp.a.example", "_xmpp-server._tcp.a.example"
ALL = ["127.0.0.1", "192.0.9.1", "10.1.2.3", "192.168.1.1"]
NOWHERE = Record(0, 0, "", 0)


class Names:
    """Name servers that know these records, and of what is None give no answer."""

    def __init__(self, **known: Any) -> None:
        self.known = known
        self.asked: list[str] = []

    def records(self, name: str) -> "Deferred[list[Record]]":
        self.asked.append(name)
        found = self.known.get("secure" if "xmpps" in name else "plain", [])
        return fail(LookupFailed("silence")) if found is None else succeed(found)


def found(names: Names, domain: str = "a.example") -> list[str]:
    chance = random.Random(7)
    return [str(one) for one in result_of(targets(domain, names, chance))]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param({}, ["a.example:5269"], id="no records: the domain itself"),
        pytest.param({"plain": [Record(1, 0, "x.a", 1)]}, ["x.a:1"], id="one"),
        pytest.param(
            {"plain": [Record(2, 0, "late", 1), Record(1, 0, "early", 2)]},
            ["early:2", "late:1"],
            id="by priority",
        ),
        pytest.param(
            {"plain": [Record(2, 0, "x", 1)], "secure": [Record(3, 0, "y", 2)]},
            ["x:1", "y:2 (direct TLS)"],
            id="both kinds by one priority",
        ),
        pytest.param(
            {"plain": [NOWHERE], "secure": [Record(1, 0, "y", 2)]},
            ["y:2 (direct TLS)"],
            id="direct TLS alone",
        ),
        pytest.param(
            {"plain": [Record(1, 0, "x", 2)], "secure": [NOWHERE]}, ["x:2"], id="STARTTLS alone"
        ),
        pytest.param({"secure": [NOWHERE]}, ["a.example:5269"], id="no direct TLS, and no word"),
        pytest.param({"secure": None}, ["a.example:5269"], id="half an answer, of nothing"),
        pytest.param(
            {"secure": None, "plain": [Record(1, 0, "x", 2)]}, ["x:2"], id="half an answer"
        ),
    ],
)
def test_the_records_tell_where_to_try(known: dict[str, Any], expected: list[str]) -> None:
    names = Names(**known)
    assert found(names) == expected
    assert names.asked == [SECURE, PLAIN]


def test_of_thousands_of_records_a_few_count() -> None:
    class Counted(random.Random):
        draws = 0

        def randint(self, a: int, b: int) -> int:
            self.draws += 1
            return super().randint(a, b)

    chance = Counted(7)
    records = [Record(2, 1, f"h{number}", number) for number in range(3_000)]
    names = Names(plain=[*records, Record(1, 1, "first", 1)])
    tried = result_of(targets("a.example", names, chance))
    assert (len(tried), str(tried[0])) == (16, "first:1")
    assert chance.draws < 100


def test_a_dot_means_that_there_is_no_server() -> None:
    with pytest.raises(NoService):
        found(Names(plain=[NOWHERE]))


def test_silence_is_not_taken_for_no_records() -> None:
    with pytest.raises(LookupFailed):
        found(Names(plain=None, secure=None))


@pytest.mark.parametrize(
    ("domain", "expected"),
    [("192.0.2.7", "192.0.2.7:5269"), ("[2001:db8::7]", "[2001:db8::7]:5269")],
)
def test_an_address_is_where_it_is(domain: str, expected: str) -> None:
    names = Names()
    assert found(names, domain) == [expected]
    assert not names.asked


def test_a_name_is_asked_for_as_dns_writes_it() -> None:
    names = Names()
    assert found(names, "bücher.example") == ["xn--bcher-kva.example:5269"]
    assert names.asked[1] == "_xmpp-server._tcp.xn--bcher-kva.example"


def test_weights_are_shares() -> None:
    chance = random.Random(1)
    records = [(Record(1, weight, f"{weight}", 1), False) for weight in (0, 10, 30)]
    first = Counter(in_order(records, chance)[0][0].weight for _ in range(4_000))
    assert 0.68 < first[30] / 4_000 < 0.80
    assert 0.18 < first[10] / 4_000 < 0.30
    assert 0 < first[0] < 400
    assert {one.weight for one, _ in in_order(records, chance)} == {0, 10, 30}


def test_answers_of_name_servers_are_read() -> None:
    header = dns.RRHeader("n", dns.SRV, payload=dns.Record_SRV(1, 2, 3, b"Host.Example"))
    other = dns.RRHeader("n", dns.A, payload=dns.Record_A("192.0.2.1"))
    dot = dns.RRHeader("n", dns.SRV, payload=dns.Record_SRV(0, 0, 0, b"."))
    assert _services(([header, other, dot], [], [])) == [
        Record(1, 2, "host.example", 3),
        Record(0, 0, "", 0),
    ]
    assert _failed(Failure(error.DNSNameError())) == []
    for broken in (error.DNSServerError(), error.DNSQueryRefusedError(), TimeoutError()):
        with pytest.raises(LookupFailed):
            _failed(Failure(broken))


def test_both_families_are_tried_by_turns() -> None:
    six = [IPv6Address("TCP", f"2001:db8::{place}", 1) for place in range(3)]
    four = [IPv4Address("TCP", "192.0.2.1", 1)]
    assert mixed([*six, *four]) == [six[0], four[0], six[1], six[2]]
    assert mixed([*four, *six]) == [four[0], *six]
    assert mixed([]) == []


class Receiver:
    def __init__(self) -> None:
        self.found: list[str] = []

    def resolutionBegan(self, resolution: object) -> None:
        self.found.clear()

    def addressResolved(self, address: Any) -> None:
        self.found.append(address.host)

    def resolutionComplete(self) -> None:
        self.found.append("done")


def looked_up(addresses: list[str], only_public: bool = False) -> list[str]:
    """What an endpoint hears of a host that has these."""

    class Known:
        def addresses(self, name: str) -> "Deferred[list[str]]":
            return succeed(addresses)

    class Reactor:
        nameResolver = None

    known: Any = Known()
    receiver: Any = Receiver()
    racing = Racing(Reactor(), known, only_public)
    racing.nameResolver.resolveHostName(receiver, "host.example", 5269)
    return list(receiver.found)


@pytest.mark.parametrize(("only_public", "expected"), [(True, ["192.0.9.1"]), (False, ALL)])
def test_what_others_name_leads_into_the_public_internet(
    only_public: bool, expected: list[str]
) -> None:
    assert looked_up(ALL, only_public) == [*expected, "done"]


def test_of_thousands_of_addresses_a_few_are_tried() -> None:
    many = [f"192.0.{number // 250}.{number % 250}" for number in range(5_000)]
    assert looked_up([*many, "2001:db8::1"]) == [
        "192.0.0.0",
        "2001:db8::1",
        *(f"192.0.0.{number}" for number in range(1, 7)),
        "done",
    ]


@pytest.mark.parametrize(
    ("sixth", "fourth", "is_known"),
    [
        (error.DNSNameError(), error.DNSNameError(), True),
        (error.DNSQueryTimeoutError(1), error.DNSNameError(), False),
        (error.DNSServerError(), error.DNSServerError(), False),
    ],
    ids=["no such name", "half an answer", "none"],
)
def test_no_answer_is_another_thing_than_no_address(
    sixth: Exception, fourth: Exception, is_known: bool
) -> None:
    """Who has no address is given up at once; else it is tried again."""
    results: Any = [(False, Failure(sixth)), (False, Failure(fourth))]
    with nullcontext() if is_known else pytest.raises(LookupFailed):
        assert _addresses(results) == []


def test_a_target_is_written_for_people() -> None:
    assert str(Target("2001:db8::1", 5270, direct=True)) == "[2001:db8::1]:5270 (direct TLS)"


def test_nobody_is_asked_before_somebody_is_looked_for() -> None:
    Resolver(None).close()
