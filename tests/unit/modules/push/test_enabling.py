import pytest

from pushd.modules.push.options import Told
from pushd.routing.events import PushDecided, PushDisabled, PushEnabled
from pushd.wire.element import Element
from pushd.wire.framer import seal
from tests.hall import Client
from tests.unit.modules.push.stage import (
    JULIET,
    PHONE,
    SERVICE,
    Service,
    Stage,
    ask,
    condition,
    disable,
    echoed,
    enable,
    enabling,
    given_options,
    options,
    publish_options,
)

# Enabling.


@pytest.mark.line(1, 4, 5)
@pytest.mark.parametrize("to", ["", JULIET, "example.net"], ids=["nobody", "bare JID", "domain"])
def test_push_is_enabled_for_ones_own_account(to: str) -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)

    answer = enable(phone, to=to)

    assert answer["type"] == "result"
    assert list(answer.elements()) == []
    assert stage.hall.events(PushEnabled) == [PushEnabled(JULIET, SERVICE, "phone", PHONE)]


@pytest.mark.line(2)
@pytest.mark.parametrize(
    "to", ["romeo@example.net", "nobody@example.net"], ids=["another", "no account"]
)
def test_nobody_enables_push_for_another(to: str) -> None:
    stage = Stage()
    stage.hall.add_account("romeo@example.net")
    phone = stage.phone(enabled=False)

    answer = enable(phone, to=to)

    assert condition(answer) in ("not-allowed", "service-unavailable")
    assert list(stage.push.enablements.everyone()) == []


@pytest.mark.line(3)
def test_push_is_not_enabled_from_elsewhere() -> None:
    stage = Stage()
    stage.hall.add_account(JULIET)
    answers: list[str] = []
    stage.hall.host.router.add_host("example.org", lambda stanza: answers.append(stanza.type))

    stage.hall.route(
        f"<iq type='set' id='e' from='juliet@example.org/x' to='{JULIET}'>"
        f"{enabling('enable', SERVICE, 'n')}</iq>"
    )

    assert answers == ["error"]
    assert stage.nodes() == []


@pytest.mark.line(6, 7, 8, 30)
@pytest.mark.parametrize("name", ["enable", "disable"])
@pytest.mark.parametrize(
    ("service", "node", "expected"),
    [
        pytest.param(None, "n", "bad-request", id="no jid"),
        pytest.param("@example.org", "n", "jid-malformed", id="bad jid"),
        pytest.param("", "n", "jid-malformed", id="empty jid"),
        pytest.param(SERVICE, "", "not-acceptable", id="empty node"),
    ],
)
def test_what_names_no_service_or_node_is_refused(
    name: str, service: str | None, node: str, expected: str
) -> None:
    stage = Stage()
    phone = stage.phone()

    answer = ask(phone, enabling(name, service, node))

    assert condition(answer) == expected
    assert stage.nodes() == ["phone"]


def test_what_is_too_much_to_keep_is_refused() -> None:
    """A service would be told all of it with each push."""
    stage = Stage()
    phone = stage.phone(enabled=False)
    form = "<x xmlns='jabber:x:data'><field var='secret'><value>{}</value></field></x>"

    for node, content, named in (
        ("n" * 4_097, "", "node"),
        ("ñ" * 2_049, "", "node"),
        ("n", form.format("s" * 8_192), "publish-options"),
    ):
        answer = enable(phone, content, node=node)
        assert condition(answer) == "not-acceptable"
        assert named in answer.toXml()
        assert stage.nodes() == []

    assert condition(enable(phone, form.format("s" * 7_000), node="n" * 4_096)) == ""


@pytest.mark.line(8)
def test_a_node_may_be_absent() -> None:
    """XEP-0357 §5 only says that it should be there."""
    stage = Stage()
    phone = stage.phone(enabled=False)

    assert condition(enable(phone, node=None)) == ""

    phone.cut()
    stage.write()
    [publish] = stage.service.publishes
    assert publish.tree.pubsub.publish.getAttribute("node") is None


@pytest.mark.line(9)
@pytest.mark.parametrize("to", ["", "example.net"])
@pytest.mark.parametrize(
    ("type", "name"),
    [("get", "enable"), ("get", "disable"), ("get", "other"), ("set", "other")],
)
def test_other_requests_are_not_allowed(type: str, name: str, to: str) -> None:
    phone = Stage().phone()

    assert condition(ask(phone, enabling(name, SERVICE, "n"), type=type, to=to)) == "not-allowed"


def test_a_service_that_nobody_serves_is_refused() -> None:
    phone = Stage().phone(enabled=False)

    assert condition(enable(phone, service="push.example.com")) == "remote-server-not-found"


@pytest.mark.parametrize("service", ["romeo@example.net", PHONE])
def test_an_account_is_no_push_service(service: str) -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)

    assert condition(enable(phone, service=service)) == "not-allowed"
    assert stage.nodes() == []


@pytest.mark.line(10, 11, 17, 18)
def test_options_are_echoed_as_they_were_accepted() -> None:
    stage = Stage(told=Told())
    phone = stage.phone(enabled=False)

    answer = enable(
        phone,
        options(
            include_senders="true",
            include_message_count="0",
            include_message_bodies="1",
            include_weather="1",
        ),
    )

    assert answer.enable["jid"] == SERVICE
    assert answer.enable["node"] == "phone"
    assert echoed(answer) == {
        "include-senders": "1",
        "include-message-count": "0",
        "include-message-bodies": "1",
    }


@pytest.mark.line(12)
@pytest.mark.parametrize("value", ["yes", "", "on"])
def test_a_switch_that_is_neither_stores_nothing(value: str) -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)

    assert condition(enable(phone, options(include_senders=value))) == "not-acceptable"
    assert stage.nodes() == []
    assert stage.hall.rows("SELECT * FROM push_options") == []


@pytest.mark.line(13)
def test_a_switch_with_two_values_is_not_acceptable_and_a_secret_is_a_bad_request() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)

    two = options(include_senders="1</value><value>1")
    assert condition(enable(phone, two)) == "not-acceptable"
    two = publish_options(secret="a</value><value>b")
    assert condition(enable(phone, two)) == "bad-request"
    none = publish_options(secret="a").replace("<value>a</value>", "")
    assert condition(enable(phone, none)) == "bad-request"
    assert stage.nodes() == []


def test_a_form_that_is_none_is_a_bad_request() -> None:
    phone = Stage().phone(enabled=False)

    assert condition(enable(phone, options("survey"))) == "bad-request"


@pytest.mark.line(14, 87)
def test_all_publish_options_are_published_again() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    enable(phone, publish_options(secret="s3cr3t", pushModule="monal"))
    phone.cut()

    stage.write()

    form = given_options(stage.service.publishes[0])
    assert form is not None
    assert form.type == "submit"
    assert form.form_type == "http://jabber.org/protocol/pubsub#publish-options"
    assert form.fields == {"secret": ("s3cr3t",), "pushModule": ("monal",)}


@pytest.mark.line(87)
def test_publish_options_that_were_not_given_are_not_published() -> None:
    stage = Stage()
    stage.asleep()

    stage.write()

    assert given_options(stage.service.publishes[0]) is None


@pytest.mark.line(15)
@pytest.mark.parametrize("type", ["", "form", "submit"], ids=["none", "form", "submit"])
def test_a_form_to_apply_need_not_say_submit(type: str) -> None:
    phone = Stage(told=Told()).phone(enabled=False)

    assert echoed(enable(phone, options(type, include_senders="1"))) == {"include-senders": "1"}


@pytest.mark.line(16)
@pytest.mark.parametrize("type", ["cancel", "result"])
def test_a_form_that_submits_nothing_is_not_applied(type: str) -> None:
    stage = Stage(told=Told())
    phone = stage.phone(enabled=False)

    answer = enable(phone, options(type, include_senders="1") + publish_options(type, secret="s"))

    assert answer["type"] == "result"
    assert echoed(answer) == {}
    [one] = stage.push.enablements.of(JULIET)
    assert one.options is None


@pytest.mark.line(16)
@pytest.mark.parametrize("is_reversed", [False, True])
def test_forms_come_in_either_order(is_reversed: bool) -> None:
    stage = Stage(told=Told())
    phone = stage.phone(enabled=False)
    given = [options(include_senders="1"), publish_options(secret="s")]
    if is_reversed:
        given.reverse()

    answer = enable(phone, "<other xmlns='urn:example'/>".join(given))

    assert echoed(answer) == {"include-senders": "1"}
    assert b"<value>s</value>" in (stage.push.enablements.of(JULIET)[0].options or b"")


@pytest.mark.mistake(20)
def test_a_form_without_a_form_type_is_taken_for_publish_options() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)

    enable(
        phone,
        "<x xmlns='jabber:x:data'><field var='secret'><value>s</value></field></x>",
    )

    assert b"<value>s</value>" in (stage.push.enablements.of(JULIET)[0].options or b"")


def test_of_each_kind_of_form_the_first_counts_and_others_are_ignored() -> None:
    stage = Stage(told=Told())
    phone = stage.phone(enabled=False)
    foreign = publish_options(secret="c").replace("publish-options", "other")

    answer = enable(
        phone,
        foreign
        + options(include_senders="1")
        + options(include_message_bodies="1")
        + publish_options(secret="a")
        + publish_options(secret="b"),
    )

    assert echoed(answer) == {"include-senders": "1"}
    [one] = stage.push.enablements.of(JULIET)
    assert one.options is not None
    assert [secret in one.options for secret in (b">a<", b">b<", b">c<")] == [True, False, False]


@pytest.mark.line(18, 19, 20, 21, 22)
def test_what_is_told_is_widened_by_the_first_enabling_alone() -> None:
    stage = Stage(told=Told())
    phone = stage.phone(enabled=False)
    enable(phone, options(include_message_bodies="1"))

    narrowed = enable(phone, options(include_message_count="0"), node="second")
    widened = enable(phone, options(include_senders="1", include_message_count="1"), node="third")

    assert echoed(narrowed) == {"include-message-count": "0"}
    assert echoed(widened) == {}
    told = stage.push.enablements.told(JULIET, Told())
    assert told == Told(include_message_count=False, include_message_bodies=True)

    disable(phone, node=None)
    again = enable(phone, options(include_senders="1"))

    assert echoed(again) == {"include-senders": "1"}
    assert stage.push.enablements.told(JULIET, Told()) == Told(include_senders=True)


@pytest.mark.line(23)
def test_enabling_again_brings_new_publish_options() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    enable(phone, publish_options(secret="old"))
    enable(phone, publish_options(secret="new"))
    phone.cut()

    stage.write()

    form = given_options(stage.service.publishes[0])
    assert form is not None
    assert form.fields == {"secret": ("new",)}


@pytest.mark.line(24)
def test_two_nodes_of_a_service_are_enabled_by_two_resources() -> None:
    stage = Stage()
    stage.asleep("phone")
    stage.asleep("tablet")

    stage.write()

    nodes = [publish.tree.pubsub.publish["node"] for publish in stage.service.publishes]
    assert sorted(nodes) == ["phone", "tablet"]


@pytest.mark.line(25, 26)
def test_the_same_node_is_enabled_at_two_services_in_one_session() -> None:
    """What a session enabled is not replaced by another node."""
    stage = Stage()
    other = Service(stage.hall, "push.example.com")
    phone = stage.phone(enabled=False)
    enable(phone, node="n")
    enable(phone, node="n", service=other.domain)
    phone.cut()

    stage.write()

    assert stage.service.counts == ["1"]
    assert other.counts == ["1"]


@pytest.mark.line(27)
def test_enabling_resets_the_counters() -> None:
    stage = Stage()
    stage.asleep()
    stage.write()

    phone = stage.hall.login(f"{JULIET}/new-phone", sm=True)
    enable(phone)
    phone.acknowledge()
    phone.cut()
    stage.write()

    assert stage.service.counts == ["1", "1"]


def test_an_enabling_is_on_disk_before_it_is_answered() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)

    phone.pass_on(
        f"<iq type='set' id='e'>{enabling('enable', SERVICE, 'n', options(include_senders='0'))}"
        "</iq>"
    )

    assert phone.received() == []
    stage.hall.advance(0)
    assert [answer["type"] for answer in phone.received()] == ["result"]
    assert stage.hall.rows("SELECT node, session FROM push_enablements") == [("n", PHONE)]
    assert stage.hall.rows("SELECT include_senders FROM push_options") == [(0,)]


@pytest.mark.parametrize(("enabled", "evicted"), [("aabbc", "a"), ("abac", "b")])
def test_the_enablement_used_least_recently_makes_room(enabled: str, evicted: str) -> None:
    stage = Stage(max_enablements=2)
    phone = stage.phone(enabled=False)
    for node in enabled:
        enable(phone, node=node)
        stage.hall.advance(1)

    [removed] = stage.hall.events(PushDisabled)
    assert (removed.node, removed.reason) == (evicted, "evicted by a newer one")
    assert stage.nodes() == sorted({*enabled} - {evicted})
    [told] = [one for one in phone.received() if one.name == "message"]
    assert (told.disable["jid"], told.disable["node"]) == (SERVICE, evicted)


def test_options_outlive_the_only_enablement_that_makes_room_for_another() -> None:
    stage = Stage(told=Told(), max_enablements=1)
    phone = stage.phone(enabled=False)
    enable(phone, options(include_message_count="0"), node="a")

    answer = enable(phone, options(include_message_bodies="1"), node="b")

    assert echoed(answer) == {}
    assert stage.nodes() == ["b"]
    assert stage.push.enablements.told(JULIET, Told()) == Told(include_message_count=False)


@pytest.mark.line(33)
def test_a_service_is_known_by_its_address_however_it_is_written() -> None:
    """Any service that is served here or by a component."""
    stage = Stage()
    phone = stage.phone(enabled=False)

    enable(phone, service="PUSH.Example.ORG")

    assert condition(disable(phone)) == ""


# Disabling.


@pytest.mark.line(28)
def test_any_resource_disables_a_node() -> None:
    stage = Stage()
    stage.phone()
    desk = stage.phone("desk", enabled=False)

    assert condition(disable(desk)) == ""
    assert stage.nodes() == []
    assert stage.hall.rows("SELECT * FROM push_enablements") == []
    [removed] = stage.hall.events(PushDisabled)
    assert removed.reason == "disabled by the client"


@pytest.mark.line(29)
def test_without_a_node_all_of_that_service_are_disabled() -> None:
    stage = Stage()
    Service(stage.hall, "push.example.com")
    phone = stage.phone(enabled=False)
    for node, service in (("a", SERVICE), ("b", SERVICE), ("c", "push.example.com")):
        enable(phone, node=node, service=service)

    assert condition(disable(phone, node=None)) == ""
    assert stage.nodes() == ["c"]


@pytest.mark.line(30)
@pytest.mark.parametrize("node", ["other", None])
def test_nothing_to_disable_is_item_not_found(node: str | None) -> None:
    phone = Stage().phone(enabled=False)

    assert condition(disable(phone, node=node)) == "item-not-found"


@pytest.mark.line(31)
def test_nothing_is_published_to_what_is_disabled() -> None:
    """Also while a publish waits for its turn."""
    stage = Stage()
    stage.asleep()
    desk = stage.phone("desk", enabled=False)
    stage.hall.host.router.route(
        seal(f"<message from='r@example.org/o' to='{PHONE}'><body>hi</body></message>".encode())
    )

    disable(desk)
    stage.write()

    assert stage.hall.events(PushDecided)
    assert stage.service.publishes == []


def test_a_disabling_is_on_disk_before_it_is_answered() -> None:
    stage = Stage()
    phone = stage.phone()

    phone.pass_on(f"<iq type='set' id='d'>{enabling('disable', SERVICE, 'phone')}</iq>")

    assert phone.received() == []
    stage.hall.advance(0)
    assert [answer["type"] for answer in phone.received()] == ["result"]


@pytest.mark.line(32)
def test_disabling_closes_no_session() -> None:
    stage = Stage()
    phone = stage.asleep()
    desk = stage.phone("desk", enabled=False)

    disable(desk)

    assert stage.hall.host.lifecycle.is_alive(phone.session)
    assert desk.outlet.ended is None


# Discovery.

INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"


def discovered(client: Client) -> tuple[set[str], dict[str, str]]:
    query: Element = ask(client, INFO, type="get", to=JULIET).query
    shown = {
        field["var"]: str(field.value)
        for form in query.elements()
        if form.name == "x"
        for field in form.elements()
    }
    return {node["var"] for node in query.elements() if node.name == "feature"}, shown


@pytest.mark.line(34, 36)
def test_the_account_announces_push_and_its_options_to_its_owner() -> None:
    phone = Stage(told=Told()).phone(enabled=False)

    features, shown = discovered(phone)

    assert "urn:xmpp:push:0" in features
    assert shown == {
        "FORM_TYPE": "urn:xmpp:push:options",
        "include-senders": "0",
        "include-message-count": "1",
        "include-subscription-count": "1",
        "include-message-bodies": "0",
    }


@pytest.mark.line(37)
def test_the_options_in_force_are_shown() -> None:
    phone = Stage(told=Told()).phone(enabled=False)
    enable(phone, options(include_senders="1", include_message_count="0"))

    _, shown = discovered(phone)

    assert shown["include-senders"] == "1"
    assert shown["include-message-count"] == "0"


@pytest.mark.line(35)
def test_strangers_learn_nothing() -> None:
    stage = Stage()
    stage.phone()
    romeo = stage.hall.login("romeo@example.net/orchard")

    assert condition(ask(romeo, INFO, type="get", to=JULIET)) == "service-unavailable"


@pytest.mark.line(35, 37)
def test_contacts_do_not_learn_of_push() -> None:
    stage = Stage()
    stage.phone()
    stage.hall.host.disco.may_ask = lambda request: True
    romeo = stage.hall.login("romeo@example.net/orchard")

    features, shown = discovered(romeo)

    assert features
    assert "urn:xmpp:push:0" not in features
    assert shown == {}


@pytest.mark.line(44)
def test_without_resumption_there_is_no_push() -> None:
    stage = Stage(resume_timeout=0.0)
    phone = stage.phone(enabled=False)

    assert "urn:xmpp:push:0" not in discovered(phone)[0]
    assert condition(enable(phone)) == "feature-not-implemented"
