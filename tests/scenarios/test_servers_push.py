"""Push between servers: phones of one are woken by the app server of another (XEP-0357)."""

from collections.abc import Iterator

import pytest

from tests.patience import PATIENCE
from tests.scenarios.fcm import Fcm
from tests.scenarios.neighbours import Neighbour, Town
from tests.scenarios.peers import Phone, until
from tests.scenarios.reading import fields_of, secret_form, succeeded
from tests.scenarios.test_starting import free_port

HERE, THERE = "capulet.example", "montague.example"
PUSH = f"push.{HERE}"


class Place:
    """A server with an app server, one with users, and a stand-in for FCM."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.fcm = Fcm(town.folder)
        backend = self.fcm.backend(HERE, PUSH)
        town.add(HERE, app_server={"backends": [backend]})
        self.service, self.users = town.settle(THERE)

    def close(self) -> None:
        self.town.close()
        self.fcm.close()

    def phone(self) -> Phone:
        """Of a user of the server without an app server, resumable."""
        return self.users.phone("juliet", sm=True)

    def enabled(self, phone: Phone, token: str) -> dict[str, str]:
        """It registers at the other server, and has its own publish there."""
        given = phone.register(token, HERE)
        succeeded(phone.enable(given["jid"], given["node"], secret_form(given["secret"])))
        return given


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(Town(tmp_path_factory.mktemp("town")))
    try:
        yield place
        place.town.check()
    finally:
        place.close()


def test_a_phone_of_another_server_is_woken(place: Place) -> None:
    phone, friend = place.phone(), place.users.phone("romeo")
    given = place.enabled(phone, "token-1")
    assert given["jid"] == PUSH
    phone.cut()

    friend.message(phone.account, "wake up")

    assert place.fcm.pushes("token-1", wait=PATIENCE)
    place.users.event("publish-answered", account=phone.account, outcome="accepted")


def test_the_other_server_is_told_of_a_dead_token(place: Place) -> None:
    phone, friend = place.phone(), place.users.phone("romeo")
    place.enabled(phone, "token-2")
    place.fcm.script("token-2", {"error": "UNREGISTERED"})
    phone.cut()

    friend.message(phone.account, "wake up")

    place.users.event("push-disabled", account=phone.account)


def test_a_wrong_secret_ends_the_enablement(place: Place) -> None:
    phone, friend = place.phone(), place.users.phone("romeo")
    given = phone.register("token-3", HERE)
    succeeded(phone.enable(given["jid"], given["node"], secret_form("not the secret")))
    phone.cut()

    friend.message(phone.account, "wake up")

    place.users.event("push-disabled", account=phone.account)
    assert not place.fcm.pushes("token-3")


def test_a_push_waits_for_a_service_that_is_away(place: Place) -> None:
    phone, friend = place.phone(), place.users.phone("romeo")
    place.enabled(phone, "token-4")
    phone.cut()
    place.service.stop()
    friend.message(phone.account, "are you there?")
    place.users.event("peer-unreachable", remote=PUSH)

    place.service.start()

    assert place.fcm.pushes("token-4", wait=PATIENCE)


def test_what_is_registered_from_elsewhere_is_listed_there(place: Place) -> None:
    phone = place.phone()
    phone.register("token-5", HERE)
    listed = fields_of(phone.command("list-push-registrations", to=HERE))
    assert listed is not None


def test_built_in_push_needs_no_port_for_servers(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = Neighbour(tmp_path_factory.mktemp("alone"), "alone.example", place.town.authority.path)
    backend = place.fcm.backend("alone.example", "push.alone.example")
    alone._given = {"app_server": {"backends": [backend]}}
    made = place.town.authority.issue(["alone.example"], "alone")
    alone.configure([], made.certificate, made.key, listen=[], name_servers=[free_port()])
    alone.start()
    try:
        phone, friend = alone.phone("juliet", sm=True), alone.phone("romeo")
        phone.enable_registered("token-6")
        phone.cut()
        friend.message(phone.account, "wake up")
        assert place.fcm.pushes("token-6", wait=PATIENCE)
        assert until(lambda: not alone.events("peer-unreachable"), "no other server")
    finally:
        alone.close()
