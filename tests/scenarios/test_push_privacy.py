"""What docs/privacy.rst says of contacts and push services, over real sockets."""

from collections.abc import Iterator

import pytest

from pushd.wire.element import serialize
from tests.scenarios.house import FOREIGN, House, opened
from tests.scenarios.peers import befriend
from tests.scenarios.reading import options_form, secret_form, succeeded


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory)


def seen_by_a_contact(house: House, has_push: bool) -> list[str]:
    """All that a contact receives while a phone sleeps, is written to, wakes and says goodbye."""
    phone, contact = house.phone(), house.phone(sm=False)
    befriend(phone, contact)
    if has_push:
        succeeded(phone.enable(FOREIGN, "seen", options_form(include_senders="1")))
    contact.received()
    phone.say("<presence><show>away</show></presence>")
    phone.settled()
    phone.cut()
    contact.message(phone.account, "are you there?")
    if has_push:
        house.service().accept(house.service().publish("seen"))
    contact.say(
        f"<iq type='get' id='info' to='{phone.account}'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    contact.settled()
    assert phone.resume().name == "resumed"
    phone.hear("are you there?")
    phone.message(contact.account, "now I am")
    contact.hear("now I am")
    phone.settled()
    if has_push:
        succeeded(phone.disable(FOREIGN))
    phone.hang_up()
    contact.take("farewell", lambda one: one.getAttribute("type") == "unavailable")
    names = {phone.account: "PHONE", contact.account: "CONTACT"}
    said = [serialize(one).decode() for one in contact.received()]
    for name, word in names.items():
        said = [one.replace(name, word) for one in said]
    return said


def test_a_contact_sees_the_same_with_push_and_without(house: House) -> None:
    without, with_push = seen_by_a_contact(house, False), seen_by_a_contact(house, True)
    assert without
    assert with_push == without


def test_a_push_service_is_not_told_whose_phone_it_is(house: House) -> None:
    phone = house.phone()
    everything = options_form(
        include_senders="1", include_message_bodies="1", include_subscription_count="1"
    )
    succeeded(phone.enable(FOREIGN, "whose", everything, secret_form("s")))
    phone.cut()
    user = phone.account.partition("@")[0]
    for body in ("one", "two"):
        house.friend().message(phone.account, body)
        publish = house.service().publish("whose")
        said = serialize(publish).decode()
        assert body in said
        assert user not in said
        assert phone.resource not in said.replace("whose", "")
        house.service().accept(publish)
