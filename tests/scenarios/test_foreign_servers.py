"""pushd and Debian's Prosody over bidirectional streams (XEP-0288); `matrix` has the rest."""

import json
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accounts import DOMAIN, Population
from benchmarks.processes import a_core
from tests.papers import Office
from tests.patience import PATIENCE
from tests.scenarios.foreigners import Foreigner, Prosody, foreigner
from tests.scenarios.neighbours import Neighbour
from tests.scenarios.peers import PING
from tests.scenarios.reading import secret_form, succeeded
from tests.scenarios.test_starting import PYTHON_M, WITH_US, Operator
from tests.scenarios.zone import Zone

HERE = "capulet.example"
PUSH = f"push.{HERE}"
PEOPLE = Population(users=8)


class Pair:
    """A server of ours, and one of another make; both have good certificates."""

    def __init__(self, folder: Path) -> None:
        self.zone = Zone()
        office = Office(folder / "office")
        core = a_core()
        self.other = Prosody(folder / Prosody.name, core, tls=False)
        theirs, paper = office.issue(DOMAIN), office.issue(HERE, f"*.{HERE}")
        made = folder / HERE
        made.mkdir()
        self.operator = Operator(folder)
        said = folder / "fcm.json"
        command = (*PYTHON_M[:2], "pushd.simulators", "fcm", "--folder", folder / "fcm", WITH_US)
        self.fcm = self.operator.wait(self.operator.run(*command, "--ready-file", said), said)
        backend = {
            "type": "fcm",
            "register_host": HERE,
            "pubsub_host": PUSH,
            "base_url": self.fcm["url"],
            "ca_file": self.fcm["ca"],
            "service_account": self.fcm["service_account"],
        }
        app_server = {"backends": [backend]}
        self.ours = Neighbour(made, HERE, office.path, app_server=app_server)
        self.ours.configure(
            [],
            paper.certificate,
            paper.key,
            policy="require",
            ca_file=str(office.path),
            name_servers=[f"127.0.0.1:{self.zone.port}"],
        )
        places = dict.fromkeys((HERE, PUSH), int(self.ours.place.rpartition(":")[2]))
        self.other.emigrate(places, office.path, theirs.certificate, theirs.key)
        self._names = iter(PEOPLE.names())

    def start(self) -> None:
        self.other.folder.mkdir()
        self.other.populate(PEOPLE)
        self.zone.address("localhost", "127.0.0.1")
        self.zone.service(DOMAIN, "localhost", self.other.s2s_port)
        self.other.start()
        self.ours.start()

    def close(self) -> None:
        self.ours.close()
        self.other.end()
        self.zone.close()
        for run in self.operator.runs:
            run.stop()

    def pushes(self, token: str) -> list[Any]:
        """What the stand-in got for a token, within half a minute."""
        query = urllib.parse.urlencode({"token": token, "since": 0, "wait": PATIENCE})
        trusted = ssl.create_default_context(cafile=self.fcm["ca"])
        url = f"{self.fcm['control_url']}/requests?{query}"
        with urllib.request.urlopen(url, None, 2 * PATIENCE, context=trusted) as answer:
            return list(json.load(answer)["requests"])

    def foreigner(self) -> Foreigner:
        return foreigner(self, next(self._names))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if not Prosody.is_installed():
        pytest.skip("Prosody is not installed")
    pair = Pair(tmp_path_factory.mktemp(Prosody.name))
    try:
        pair.start()
        yield pair
        pair.ours.check()
    finally:
        pair.close()


def test_our_user_writes_to_one_of_theirs(pair: Pair) -> None:
    juliet, romeo = pair.ours.phone("juliet"), pair.foreigner()

    juliet.message(romeo.account, "from here")

    assert romeo.hear("from here")["from"] == juliet.jid
    assert pair.ours.event("peer-connected", remote=DOMAIN, outgoing=True)["method"] == "EXTERNAL"


def test_their_user_writes_to_one_of_ours(pair: Pair) -> None:
    juliet, romeo = pair.ours.phone("juliet"), pair.foreigner()

    romeo.message(juliet.account, "from there")

    assert juliet.hear("from there")["from"] == romeo.jid
    assert juliet.ask(PING, DOMAIN, "get")["type"] == "result"
    assert romeo.ask(PING, HERE, "get")["type"] == "result"


def test_they_see_each_other(pair: Pair) -> None:
    juliet, romeo = pair.ours.phone("juliet"), pair.foreigner()
    for phone in (juliet, romeo):
        phone.ask("<query xmlns='jabber:iq:roster'/>", type="get")

    romeo.say(f"<presence to='{juliet.account}' type='subscribe'/>")
    juliet.take("a request", lambda one: one.getAttribute("type") == "subscribe")
    juliet.say(f"<presence to='{romeo.account}' type='subscribed'/>")
    romeo.take("presence", lambda one: one.name == "presence" and one["from"] == juliet.jid)
    juliet.hang_up()

    romeo.take("the end", lambda one: one.getAttribute("type") == "unavailable")


def test_their_phone_is_woken_by_our_app_server(pair: Pair) -> None:
    """Their server publishes over s2s: mod_cloud_notify (XEP-0357)."""
    if not pair.other.can_push():
        pytest.skip("mod_cloud_notify is not installed")
    romeo, mercutio = pair.foreigner(), pair.foreigner()
    romeo.manage()
    token = "token-of-romeo"
    given = romeo.register(token, HERE)
    assert given["jid"] == PUSH
    succeeded(romeo.enable(given["jid"], given["node"], secret_form(given["secret"])))

    romeo.raw.reset()
    mercutio.message(romeo.account, "wake up")

    assert pair.pushes(token)
