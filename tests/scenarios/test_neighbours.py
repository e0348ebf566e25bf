"""pushd as the push service of Debian's ejabberd and Prosody, which connects as a component.

Their own modules do the user's side of XEP-0357: mod_push and mod_cloud_notify.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import servers
from benchmarks.accounts import DOMAIN, PASSWORD, Population
from benchmarks.component import SECRET
from benchmarks.ports import free_port
from benchmarks.processes import Server, a_core
from pushd.wire import forms
from pushd.wire.element import serialize
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS
from pushd.wire.secret import Secret
from tests.patience import PATIENCE
from tests.scenarios.foreigners import Foreigner
from tests.scenarios.gateways import Gateway
from tests.scenarios.house import House
from tests.scenarios.peers import Phone, until
from tests.scenarios.reading import secret_form, succeeded
from tests.scenarios.tongues import MODULE, TONGUES, Tongue
from tests.scenarios.zone import Zone

GATEWAY = f"gateway.{DOMAIN}"
PEOPLE = Population(users=20)


class Neighbour(House):
    """A server of another make, a stand-in for FCM, and pushd between the two."""

    def __init__(self, folder: Path, kind: type[Any]) -> None:
        super().__init__(folder)
        self.missed: str = kind.missed
        core = a_core()
        self.other: Server = kind(folder / kind.name, core, tls=False)
        self.other.components = (GATEWAY,)
        self.gateway: Gateway
        self._names = iter(PEOPLE.names())

    def start(self) -> None:
        self.other.folder.mkdir()
        self.other.populate(PEOPLE)
        self.other.start()
        place = f"127.0.0.1:{self.other.component_port}"
        backend = {**self._backend("fcm"), "push_modules": [MODULE]}
        self.gateway = Gateway(self.folder / "gateway", GATEWAY, place, backend, SECRET)
        self.gateway.start()
        self.gateway.attached()

    def close(self) -> None:
        super().close()
        self.other.end()
        self.gateway.close()

    def has_missed(self) -> bool:
        """Whether the other server says that it looked for the gateway in vain."""
        return any(self.missed in one.read_text() for one in self.other.folder.glob("*.log"))

    def user(self) -> "Neighbouring":
        """Somebody with an account there, logged in and resumable."""
        phone = Neighbouring(self, f"{next(self._names)}@{DOMAIN}", "phone", Secret(PASSWORD))
        self.peers.append(phone)
        phone.log_in()
        phone.manage()
        phone.say("<presence/>")
        phone.settled()
        return phone


class Neighbouring(Foreigner):
    """A client of the other server."""

    house: Neighbour

    def lose(self) -> None:
        self.raw.reset()

    def enabled(self, token: str) -> dict[str, str]:
        """Register at the gateway, and have one's own server publish there."""
        given = self.register(token, GATEWAY)
        assert given["jid"] == GATEWAY
        succeeded(self.enable(given["jid"], given["node"], secret_form(given["secret"])))
        return given


class Ejabberd(servers.Ejabberd):
    """It finds an address for the component, at which nobody is."""

    missed = "Failed to establish outbound s2s connection"  # said when the component is away

    def configure(self) -> None:
        super().configure()
        self._zone = Zone()
        self._zone.service(GATEWAY, "localhost", free_port())
        (self.folder / "inetrc").write_text(
            '{resolv_conf, ""}.\n{lookup, [file, dns]}.\n'
            f"{{nameserver, {{127,0,0,1}}, {self._zone.port}}}.\n"
        )
        with (self.folder / "ejabberd.yml").open("a") as file:
            file.write("outgoing_s2s_families: [ipv4]\n")

    def end(self) -> None:
        super().end()
        self._zone.close()


class Prosody(servers.Prosody):
    """It takes a password in the clear, on loopback."""

    missed = "Component not connected, bouncing error"

    def configure(self) -> None:
        super().configure()
        written = self._file.read_text()
        self._file.write_text(f"allow_unencrypted_plain_auth = true\n{written}")


KINDS: list[type[Any]] = [Ejabberd, Prosody]


@pytest.fixture(scope="module", params=KINDS, ids=[kind.name for kind in KINDS])
def neighbour(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Neighbour]:
    kind = request.param
    if not (kind.is_installed() and kind.can_push()):
        pytest.skip(f"{kind.name}, or its module for push, is not installed")
    house = Neighbour(tmp_path_factory.mktemp(kind.name), kind)
    try:
        house.start()
        yield house
    finally:
        house.close()


def registrations(neighbour: Neighbour) -> int:
    """How many the gateway has."""
    found: int = neighbour.gateway.status()["push"]["registrations"]
    return found


def test_a_phone_is_woken_resumes_and_unregisters(neighbour: Neighbour) -> None:
    phone, friend = neighbour.user(), neighbour.user()
    phone.enabled("token-of-the-phone")

    phone.lose()
    friend.message(phone.account, "are you there?")

    assert neighbour.pushes("token-of-the-phone", wait=PATIENCE)
    assert phone.resume().name == "resumed"
    phone.hear("are you there?")
    succeeded(phone.command("unregister-push", to=GATEWAY))
    listed = succeeded(phone.command("list-push-registrations", to=GATEWAY))
    assert "token-of-the-phone" not in serialize(listed).decode()


def test_a_gateway_that_was_killed_is_published_to_when_it_is_back(neighbour: Neighbour) -> None:
    """What was enabled there is kept, though a publish came to nothing meanwhile."""
    phone, friend = neighbour.user(), neighbour.user()
    phone.enabled("token-of-the-patient")
    neighbour.gateway.stop(signal.SIGKILL)
    phone.lose()
    until(lambda: in_vain(neighbour, friend, phone), "publish in vain")
    neighbour.gateway.start()
    neighbour.gateway.attached()

    friend.message(phone.account, "after the crash")

    assert neighbour.pushes("token-of-the-patient", wait=PATIENCE)


def in_vain(neighbour: Neighbour, friend: Phone, phone: Phone) -> bool:
    """Whether a message becomes a publish that finds nobody.

    Until the other server notices that the gateway is gone, what it publishes is just lost.
    """
    friend.message(phone.account, "while it is away")
    end = time.monotonic() + 1.0
    while not (missed := neighbour.has_missed()) and time.monotonic() < end:
        time.sleep(0.01)
    return missed


def test_the_server_is_told_of_a_dead_token_and_publishes_no_more(neighbour: Neighbour) -> None:
    phone, friend = neighbour.user(), neighbour.user()
    phone.enabled("token-of-the-dead")
    before = registrations(neighbour)
    neighbour.script("token-of-the-dead", {"error": "UNREGISTERED"})

    phone.lose()
    friend.message(phone.account, "anybody there?")
    assert neighbour.pushes("token-of-the-dead", wait=PATIENCE)

    until(lambda: registrations(neighbour) < before, "end of the registration")
    friend.message(phone.account, "and now?")
    assert len(neighbour.pushes("token-of-the-dead")) == 1
    assert phone.resume().name == "resumed"
    notice = phone.take("notice", lambda one: one["from"] == GATEWAY)
    assert "affiliation='none'" in serialize(notice).decode()


@pytest.mark.parametrize("tongue", TONGUES)
def test_a_client_of_another_dialect_is_woken_and_resumes(
    neighbour: Neighbour, tongue: Tongue
) -> None:
    phone, friend = neighbour.user(), neighbour.user()
    token = f"token-{tongue.__name__}"
    node, options = tongue(phone, GATEWAY, GATEWAY, token)
    parts = [forms.submit(FORM_PUBLISH_OPTIONS, options)] if options else []
    succeeded(phone.enable(GATEWAY, node, *parts))

    phone.lose()
    friend.message(phone.account, "are you there?")

    assert neighbour.pushes(token, wait=PATIENCE)
    assert phone.resume().name == "resumed"
    phone.hear("are you there?")
