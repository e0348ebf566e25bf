"""Two readings of one protocol meet: what a stand-in says, a provider understands.

Each fault that a stand-in can be told to give has its row here: what follows from it, in the words
of docs/providers/index.rst. Those of APNs and Web Push have theirs in tests over sockets.
"""

from collections.abc import Callable, Mapping

import pytest

from pushd.providers import fcm, ubuntu, webhook, wns
from pushd.providers.contract import Outcome, Response
from pushd.simulators import fcm_errors
from pushd.simulators import ubuntu as ubuntu_simulator
from pushd.simulators import webhook as webhook_simulator
from pushd.simulators import wns as wns_simulator
from pushd.simulators.answers import Answer
from tests.unit.providers.pages import told
from tests.unit.simulators import bench as fcm_bench
from tests.unit.simulators import test_ubuntu, test_webhook, test_wns
from tests.unit.simulators.bench import NOW

LATER, HIS = "later", "later, this device alone"

FCM = {
    "UNREGISTERED": "gone",
    "SENDER_ID_MISMATCH": "gone, unless many are",
    "QUOTA_EXCEEDED": HIS,
    "UNAVAILABLE": LATER,
    "INTERNAL": LATER,
    "INVALID_ARGUMENT": "gone",
    "INVALID_TOKEN": "gone",
    "THIRD_PARTY_AUTH_ERROR": "alarm",
    "UNSPECIFIED_ERROR": LATER,
    "BAD_REQUEST": "refused",
    "NOT_FOUND": "alarm",
    "PERMISSION_DENIED": "alarm",
    "UNAUTHENTICATED": "new token, else alarm",
}
UBUNTU = {
    **dict.fromkeys(("bad-json", "empty", "missing-id", "missing-data"), "refused"),
    **dict.fromkeys(("bad-expiry", "past-expiry", "unknown-channel"), "refused"),
    **dict.fromkeys(("method", "no-length", "content-type"), "refused"),
    **dict.fromkeys(("data-too-large", "too-large"), "again, shorter"),
    "unknown-token": "gone",
    "unauthorized": "gone, unless many are",
    "too-many-pending": "again, once",
    "too-many": HIS,
    **dict.fromkeys(("io-error", "internal", "unavailable"), LATER),
}
WNS = {
    **dict.fromkeys(("dropped", "bad-header", "method", "no-length"), "refused"),
    "channelthrottled": HIS,
    "unauthorized": "new token, else alarm",
    "forbidden": "alarm, unless others are served",
    **dict.fromkeys(("not-found", "expired"), "gone"),
    "blocked": "alarm",
    "too-large": "again, shorter",
    **dict.fromkeys(("throttled", "internal", "unavailable"), LATER),
}
WEBHOOK = {
    **dict.fromkeys(("missing-header", "bad-id", "bad-json", "bad-content"), "refused"),
    **dict.fromkeys(("content-type", "refused"), "refused"),
    **dict.fromkeys(("bad-signature", "bad-timestamp", "forbidden"), "alarm"),
    **dict.fromkeys(("moved", "redirect"), "alarm"),
    **dict.fromkeys(("not-found", "method"), "alarm, unless others are served"),
    "unregistered": "gone",
    "gone": "gone, unless many are",
    "too-large": "again, shorter",
    **dict.fromkeys(("timeout", "too-early"), HIS),
    **dict.fromkeys(("too-many", "internal", "bad-gateway"), LATER),
    **dict.fromkeys(("unavailable", "gateway-timeout"), LATER),
}


def by_fcm(name: str) -> Response:
    bench = fcm_bench.Bench()
    bench.simulator.script("phone", Answer(error=name))
    said = bench.send(fcm_bench.note("phone"))
    return Response(said.status, said.headers, said.body)


def by_ubuntu(name: str) -> Response:
    bench = test_ubuntu.Bench()
    bench.simulator.script("phone", Answer(error=name))
    return bench.notify()


def by_wns(name: str) -> Response:
    bench = test_wns.Bench()
    bench.simulator.script(bench.channel, Answer(error=name))
    return bench.notify()


def by_webhook(name: str) -> Response:
    bench = test_webhook.Bench()
    bench.simulator.script("phone", Answer(error=name))
    said = bench.push()
    return Response(said.status, said.headers, said.body)


Read = Callable[[Response, float], Outcome]
NETWORKS: Mapping[str, tuple[Callable[[str], Response], Read, Mapping[str, str]]] = {
    "fcm": (by_fcm, fcm.read, FCM),
    "ubuntu": (by_ubuntu, ubuntu.read, UBUNTU),
    "wns": (by_wns, wns.read, WNS),
    "webhook": (by_webhook, webhook.read, WEBHOOK),
}
ROWS = [(kind, name, row) for kind, (*_, rows) in NETWORKS.items() for name, row in rows.items()]


@pytest.mark.parametrize(("kind", "name", "follows"), ROWS, ids=[f"{k}-{n}" for k, n, _ in ROWS])
def test_a_fault_is_understood(kind: str, name: str, follows: str) -> None:
    ask, read, _ = NETWORKS[kind]
    assert told(read(ask(name), NOW)) == follows


def test_every_fault_of_a_stand_in_has_its_row() -> None:
    assert set(FCM) == set(fcm_errors.FAILURES)
    assert set(UBUNTU) == set(ubuntu_simulator.FAULTS)
    assert set(WNS) == set(wns_simulator.FAULTS)
    assert set(WEBHOOK) == set(webhook_simulator.FAULTS)
