"""Lines 34 to 42 of docs/checklist.rst: what service discovery tells of push, over real sockets."""

from collections.abc import Iterator

import pytest

from pushd.wire import forms
from pushd.wire.element import Element, child
from pushd.wire.namespaces import FORM_PUSH_OPTIONS, NS_COMMANDS, NS_FORMS, NS_PUBSUB, NS_PUSH
from tests.scenarios.house import DOMAIN, FOREIGN, PUSH_HOST, House, opened
from tests.scenarios.reading import accepted, condition, info, items, options_form, succeeded, words

BOTH = "both.example.net"  # where devices register and servers publish
COMMANDS = {"list-push-registrations", "register-push-fcm", "register-push-gcm", "unregister-push"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    backends = [
        {},
        {"app_name": "Messenger"},
        {"app_name": "Talk", "register_host": BOTH, "pubsub_host": BOTH},
        {"app_name": "Chat", "register_host": BOTH, "pubsub_host": BOTH},
    ]
    yield from opened(tmp_path_factory, app_server={"backends": backends})


def shown(form: object) -> dict[str, str]:
    return {name: value for name, (value,) in form.fields.items()}  # type: ignore[attr-defined]


@pytest.mark.line(34, 36, 147)
@pytest.mark.mistake(8)
def test_the_owner_sees_push_and_the_defaults(house: House) -> None:
    phone = house.phone()
    for to in ("", phone.account):
        found = info(phone.disco("info", to))
        assert found.features.count(NS_PUSH) == 1
        assert shown(found.forms[FORM_PUSH_OPTIONS]) == {
            "include-senders": "0",
            "include-message-count": "1",
            "include-subscription-count": "1",
            "include-message-bodies": "0",
        }
        assert found.forms[FORM_PUSH_OPTIONS].type == "result"


@pytest.mark.line(35, 37)
def test_others_see_neither_feature_nor_options(house: House) -> None:
    phone, contact, stranger = house.phone(), house.phone(), house.phone()
    contact.say(f"<presence type='subscribe' to='{phone.account}'/>")
    contact.settled()
    phone.say(f"<presence type='subscribed' to='{contact.account}'/>")
    phone.settled()
    accepted(phone.enable(FOREIGN, "seen", options_form(include_senders="1")))
    assert condition(stranger.disco("info", phone.account)) == "service-unavailable"
    seen = info(contact.disco("info", phone.account))
    assert ("account", "registered") in seen.identities
    assert NS_PUSH not in seen.features
    assert not seen.forms


@pytest.mark.line(37)
def test_the_form_shows_the_values_in_force(house: House) -> None:
    phone = house.phone()
    tablet = house.phone(phone.account, "tablet")
    wanted = options_form(include_senders="1", include_message_count="0")
    accepted(phone.enable(FOREIGN, "in force", wanted))
    for device in (phone, tablet):
        found = info(device.disco("info", device.account)).forms[FORM_PUSH_OPTIONS]
        assert shown(found) == {
            "include-senders": "1",
            "include-message-count": "0",
            "include-subscription-count": "1",
            "include-message-bodies": "0",
        }
    succeeded(phone.disable(FOREIGN))
    found = info(phone.disco("info", phone.account)).forms[FORM_PUSH_OPTIONS]
    assert shown(found)["include-senders"] == "0"


@pytest.mark.line(38, 39)
def test_the_host_for_registering_is_an_app_server_for_each_app(house: House) -> None:
    found = info(house.friend().disco("info", DOMAIN))
    apps = [type for category, type in found.identities if category == "app-server"]
    assert sorted(apps) == ["Messenger", "any"]
    assert len(found.identities) == len(set(found.identities))
    assert len(found.features) == len(set(found.features))
    assert NS_PUSH not in found.features


@pytest.mark.line(40, 41)
def test_the_host_for_publishing_says_what_it_honours(house: House) -> None:
    found = info(house.friend().disco("info", PUSH_HOST))
    assert ("pubsub", "push") in found.identities
    assert NS_PUSH in found.features
    honoured = {one for one in found.features if one.startswith(NS_PUBSUB)}
    assert honoured == {
        NS_PUBSUB,
        f"{NS_PUBSUB}#access-whitelist",
        f"{NS_PUBSUB}#publish",
        f"{NS_PUBSUB}#publish-only-affiliation",
    }


@pytest.mark.line(42)
@pytest.mark.parametrize("host", [DOMAIN, BOTH])
def test_each_command_is_listed_and_says_what_it_is(house: House, host: str) -> None:
    asker = house.friend()
    assert NS_COMMANDS in info(asker.disco("info", host)).features
    listed = items(asker.disco("items", host, NS_COMMANDS))
    nodes = {one["node"] for one in listed if one["jid"] == host}
    assert nodes >= COMMANDS
    for node in COMMANDS:
        found = info(asker.disco("info", host, node))
        assert found.identities == [("automation", "command-node")]
        assert {NS_COMMANDS, NS_FORMS} <= set(found.features)
    assert condition(asker.disco("info", host, "register-push-none")) == "item-not-found"


@pytest.mark.line(38, 39, 40)
def test_one_host_may_be_both(house: House) -> None:
    found = info(house.friend().disco("info", BOTH))
    assert {("app-server", "Talk"), ("app-server", "Chat"), ("pubsub", "push")} <= set(
        found.identities
    )
    assert len(found.identities) == len(set(found.identities))
    assert {NS_PUSH, NS_PUBSUB, NS_COMMANDS} <= set(found.features)
    assert len(found.features) == len(set(found.features))


@pytest.mark.line(40)
def test_the_services_are_found_among_the_server_s_items(house: House) -> None:
    listed = {one["jid"] for one in items(house.friend().disco("items", DOMAIN))}
    assert {PUSH_HOST, BOTH, FOREIGN} <= listed


@pytest.mark.line(38, 102)
def test_where_there_are_several_apps_a_device_names_its_own(house: House) -> None:
    phone = house.phone(sm=False)
    unnamed = phone.command("register-push-fcm", forms.submit(None, {"token": "t:1"}))
    assert condition(unnamed) == "bad-request"
    assert words(unnamed).startswith("app: ")
    wrong = forms.submit(None, {"token": "t:1", "app": "Telegraph"})
    assert condition(phone.command("register-push-fcm", wrong)) == "bad-request"
    for app, host in (("Messenger", DOMAIN), ("any", DOMAIN), ("Talk", BOTH)):
        given = phone.register(f"t:{app}", to=host, app=app, device_id=app)
        assert given["jid"] == (PUSH_HOST if host == DOMAIN else BOTH)
    listed = forms.find(child_of(phone.command("list-push-registrations")))
    assert listed is not None
    assert {row["app"] for row in listed.items} == {("Messenger",), ("any",), ("Talk",)}


def child_of(answer: Element) -> Element:
    found = child(succeeded(answer), NS_COMMANDS, "command")
    assert found is not None
    return found
