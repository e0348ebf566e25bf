from pathlib import Path

import pytest

from pushd.wire.element import Element
from tests.hall import Client, Hall

NS = "jabber:iq:roster"
ROMEO = "romeo@example.net"
MODULES = {"roster": None}


def get(client: Client, ver: str | None = None, to: str = "") -> Element:
    version = f" ver='{ver}'" if ver is not None else ""
    addressed = f" to='{to}'" if to else ""
    return client.ask(f"<iq type='get' id='g'{addressed}><query xmlns='{NS}'{version}/></iq>")


def put(client: Client, content: str, to: str = "") -> Element:
    addressed = f" to='{to}'" if to else ""
    return client.ask(
        f"<iq type='set' id='s'{addressed}><query xmlns='{NS}'>{content}</query></iq>"
    )


def items(answer: Element) -> list[dict[str, object]]:
    return [
        {**node.attributes, **({"groups": groups} if (groups := groups_of(node)) else {})}
        for node in answer.query.elements()
    ]


def groups_of(item: Element) -> list[str]:
    return [str(node) for node in item.elements()]


def condition(answer: Element) -> tuple[str, str]:
    assert answer["type"] == "error"
    return answer.error["type"], answer.error.firstChildElement().name


@pytest.fixture
def hall() -> Hall:
    return Hall(modules=MODULES)


@pytest.fixture
def romeo(hall: Hall) -> Client:
    return hall.login("romeo@example.net/orchard")


def test_a_new_account_has_an_empty_roster(romeo: Client) -> None:
    answer = get(romeo)

    assert answer["type"] == "result"
    assert items(answer) == []
    assert answer.query["ver"] == "0"


def test_an_added_contact_is_there_with_its_name_and_groups(romeo: Client) -> None:
    answer = put(
        romeo,
        "<item jid='Juliet@example.net' name='Jule'><group>Friends</group><group>Us</group></item>",
    )

    assert answer["type"] == "result"
    assert answer.children == []
    assert items(get(romeo, to=ROMEO)) == [
        {
            "jid": "juliet@example.net",
            "name": "Jule",
            "subscription": "none",
            "groups": ["Friends", "Us"],
        }
    ]


def test_a_changed_contact_loses_what_is_not_said_again(romeo: Client) -> None:
    put(romeo, "<item jid='juliet@example.net' name='Jule'><group>Friends</group></item>")
    put(romeo, "<item jid='juliet@example.net'/>")

    assert items(get(romeo)) == [{"jid": "juliet@example.net", "subscription": "none"}]


def test_the_resource_of_a_contact_is_left_out(romeo: Client) -> None:
    put(romeo, "<item jid='juliet@example.net/balcony'/>")

    assert items(get(romeo)) == [{"jid": "juliet@example.net", "subscription": "none"}]


@pytest.mark.parametrize("state", ["ask='subscribe'", "approved='true'", "subscription='both'"])
def test_what_only_the_server_decides_is_ignored(romeo: Client, state: str) -> None:
    put(romeo, f"<item jid='juliet@example.net' {state}/>")

    assert items(get(romeo)) == [{"jid": "juliet@example.net", "subscription": "none"}]


def test_a_removed_contact_is_gone(romeo: Client) -> None:
    put(romeo, "<item jid='juliet@example.net'/>")

    answer = put(romeo, "<item jid='juliet@example.net' subscription='remove'/>")

    assert answer["type"] == "result"
    assert items(get(romeo)) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ("modify", "bad-request")),
        ("<item jid='a@example.net'/><item jid='b@example.net'/>", ("modify", "bad-request")),
        ("<item xmlns='urn:other' jid='a@example.net'/>", ("modify", "bad-request")),
        ("<item/>", ("modify", "bad-request")),
        ("<item jid=''/>", ("modify", "bad-request")),
        ("<item jid='@@'/>", ("modify", "jid-malformed")),
        ("<item jid='romeo@example.net'/>", ("cancel", "not-allowed")),
        ("<item jid='Romeo@example.net/orchard'/>", ("cancel", "not-allowed")),
        ("<item jid='romeo@example.net' subscription='remove'/>", ("cancel", "item-not-found")),
        (
            "<item jid='a@example.net'><group>\u00fc</group><group>u\u0308</group></item>",
            ("modify", "bad-request"),
        ),
        (
            "<item jid='a@example.net'><group>x</group><group>x</group></item>",
            ("modify", "bad-request"),
        ),
        ("<item jid='a@example.net'><group/></item>", ("modify", "not-acceptable")),
        (
            f"<item jid='a@example.net'><group>{'x' * 256}</group></item>",
            ("modify", "not-acceptable"),
        ),
        (f"<item jid='a@example.net' name='{'x' * 256}'/>", ("modify", "not-acceptable")),
        (
            "<item jid='a@example.net'>"
            + "".join(f"<group>{number}</group>" for number in range(65))
            + "</item>",
            ("modify", "not-acceptable"),
        ),
        ("<item jid='a@example.net' subscription='remove'/>", ("cancel", "item-not-found")),
    ],
)
def test_a_set_that_is_wrong_is_refused_and_changes_nothing(
    romeo: Client, content: str, expected: tuple[str, str]
) -> None:
    get(romeo)

    assert condition(put(romeo, content)) == expected
    assert romeo.received() == []
    assert items(get(romeo)) == []


def test_a_roster_has_a_size_beyond_which_it_does_not_grow() -> None:
    romeo = Hall(modules={"roster": {"contacts": 2}}).login("romeo@example.net/orchard")
    put(romeo, "<item jid='a@example.net'/>")
    put(romeo, "<item jid='b@example.net'/>")

    assert condition(put(romeo, "<item jid='c@example.net'/>")) == ("wait", "resource-constraint")
    assert put(romeo, "<item jid='b@example.net' name='still'/>")["type"] == "result"


@pytest.mark.parametrize("to", [ROMEO, "nobody@example.net"])
def test_a_stranger_learns_nothing_of_a_roster_nor_of_an_account(
    hall: Hall, romeo: Client, to: str
) -> None:
    mercutio = hall.login("mercutio@example.net/street")

    assert condition(get(mercutio, to=to)) == ("cancel", "service-unavailable")
    assert condition(put(mercutio, "<item jid='a@example.net'/>", to)) == (
        "cancel",
        "service-unavailable",
    )
    assert items(get(romeo)) == []


# Pushes (RFC 6121 §2.1.6).


def pushes(client: Client) -> list[tuple[Element, dict[str, object]]]:
    received = client.received()
    assert all(one.name == "iq" and one["type"] == "set" for one in received)
    return [(one, items(one)[0]) for one in received]


def test_every_interested_resource_is_pushed_each_change_and_others_are_not(
    hall: Hall, romeo: Client
) -> None:
    phone = hall.login("romeo@example.net/phone")
    deaf = hall.login("romeo@example.net/deaf")
    get(romeo)
    get(phone)

    put(romeo, "<item jid='juliet@example.net' name='Jule'/>")
    put(phone, "<item jid='juliet@example.net' subscription='remove'/>")

    for client in (romeo, phone):
        (added, first), (removed, second) = pushes(client)
        assert added["to"] == removed["to"] == client.session.full
        assert added.getAttribute("from") is None
        assert added["id"] != removed["id"]
        assert first == {"jid": "juliet@example.net", "name": "Jule", "subscription": "none"}
        assert second == {"jid": "juliet@example.net", "subscription": "remove"}
    assert deaf.received() == []


def test_a_change_that_changes_nothing_is_pushed_all_the_same(romeo: Client) -> None:
    get(romeo)
    for _ in range(2):
        put(romeo, "<item jid='juliet@example.net'/>")

    assert len(pushes(romeo)) == 2


@pytest.mark.parametrize("answer", ["result", "error"])
def test_the_answer_to_a_push_is_taken_silently(romeo: Client, answer: str) -> None:
    get(romeo)
    put(romeo, "<item jid='juliet@example.net'/>")
    [(push, _)] = pushes(romeo)

    romeo.send(f"<iq type='{answer}' id='{push['id']}'/>")

    assert romeo.received() == []


def test_a_detached_session_finds_the_push_when_it_resumes(hall: Hall) -> None:
    phone = hall.login("romeo@example.net/phone", sm=True)
    get(phone)
    phone.cut()

    put(hall.login("romeo@example.net/orchard"), "<item jid='juliet@example.net'/>")
    phone.resume()

    [(_, item)] = pushes(phone)
    assert item["jid"] == "juliet@example.net"


# Versions (RFC 6121 §2.6).


def test_versions_are_offered_in_the_stream_features(hall: Hall) -> None:
    assert ("urn:xmpp:features:rosterver", "ver") in [
        (feature.uri, feature.name) for feature in hall.host.stream_features
    ]


def test_who_has_the_present_version_gets_no_roster(romeo: Client) -> None:
    put(romeo, "<item jid='juliet@example.net'/>")
    version = get(romeo, ver="").query["ver"]

    answer = get(romeo, ver=version)

    assert answer["type"] == "result"
    assert answer.children == []


@pytest.mark.parametrize("ver", [None, "", "0", "1", "x", "-1", "999999999999", "9" * 30, "\u0661"])
def test_who_has_an_unknown_version_gets_the_whole_roster(hall: Hall, ver: str | None) -> None:
    """Among them that of an account of the same name that was there before."""
    before = hall.login("romeo@example.net/before")
    put(before, "<item jid='c0@example.net'/>")
    old = str(get(before).query["ver"])
    before.close()
    hall.wait(hall.host.accounts.remove(ROMEO))
    hall.advance(60)
    romeo = hall.login("romeo@example.net/orchard")
    for number in range(4):
        put(romeo, f"<item jid='c{number}@example.net'/>")
    romeo.received()

    for has in (ver, old):
        if has != "0":  # which an empty roster has
            assert len(items(get(romeo, ver=has))) == 4
            assert romeo.received() == []


def test_who_has_an_older_version_is_pushed_what_changed(hall: Hall, romeo: Client) -> None:
    """RFC 6121 §2.6.3: an empty result, then the changes in their order, each contact once."""
    for number in range(6):
        put(romeo, f"<item jid='c{number}@example.net'/>")
    old = str(get(romeo).query["ver"])
    put(romeo, "<item jid='c1@example.net' name='first'/>")
    put(romeo, "<item jid='c2@example.net' subscription='remove'/>")
    put(romeo, "<item jid='c1@example.net' name='last'/>")
    newest = str(get(romeo).query["ver"])
    phone = hall.login("romeo@example.net/phone")

    phone.send(f"<iq type='get' id='g'><query xmlns='{NS}' ver='{old}'/></iq>")

    answer, removed, renamed = phone.received()
    assert (answer["type"], answer.children) == ("result", [])
    assert items(removed) == [{"jid": "c2@example.net", "subscription": "remove"}]
    assert items(renamed) == [{"jid": "c1@example.net", "name": "last", "subscription": "none"}]
    assert old < removed.query["ver"] < renamed.query["ver"] == newest
    for push in (removed, renamed):
        assert (push["type"], push["to"]) == ("set", phone.session.full)
        assert push.getAttribute("from") is None
    assert get(phone, ver=newest).children == []
    assert phone.received() == []
    phone.send(f"<iq type='get' id='g'><query xmlns='{NS}' ver='{removed.query['ver']}'/></iq>")
    assert [items(push)[0]["name"] for push in phone.received()[1:]] == ["last"]


def test_where_most_has_changed_the_whole_roster_is_shorter(hall: Hall, romeo: Client) -> None:
    for number in range(4):
        put(romeo, f"<item jid='c{number}@example.net'/>")
    old = str(get(romeo).query["ver"])
    for number in range(3):
        put(romeo, f"<item jid='c{number}@example.net' name='new'/>")

    assert len(items(get(hall.login("romeo@example.net/phone"), ver=old))) == 4


def test_changes_are_remembered_to_a_limit(
    hall: Hall, romeo: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.routing.rosters.REMEMBERED", 2)
    versions = []
    for number in range(4):
        put(romeo, f"<item jid='c{number}@example.net'/>")
    for _ in range(4):
        versions.append(str(get(romeo).query["ver"]))
        put(romeo, "<item jid='c0@example.net'/>")

    sizes = []
    for version in versions:
        phone = hall.login("romeo@example.net/phone")
        phone.send(f"<iq type='get' id='g'><query xmlns='{NS}' ver='{version}'/></iq>")
        answer, *pushed = phone.received()
        sizes.append((len(answer.children), len(pushed)))

    assert sizes == [(1, 0), (1, 0), (0, 1), (0, 1)]


def test_after_a_restart_the_present_version_is_known_and_older_ones_are_not(
    tmp_path: Path,
) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    romeo = hall.login("romeo@example.net/orchard")
    for number in range(4):
        put(romeo, f"<item jid='c{number}@example.net'/>")
    old = str(get(romeo).query["ver"])
    put(romeo, "<item jid='c0@example.net' name='new'/>")
    newest = str(get(romeo).query["ver"])
    hall.wait(hall.host.database.close())

    again = Hall(modules=MODULES, path=tmp_path / "pushd.db").login("romeo@example.net/x")

    assert get(again, ver=newest).children == []
    assert len(items(get(again, ver=old))) == 4
    put(again, "<item jid='c0@example.net' name='newer'/>")
    again.received()
    again.send(f"<iq type='get' id='g'><query xmlns='{NS}' ver='{newest}'/></iq>")
    assert [one["type"] for one in again.received()] == ["result", "set"]


def test_a_push_carries_the_version_that_a_get_would_give(romeo: Client) -> None:
    get(romeo)
    put(romeo, "<item jid='juliet@example.net'/>")
    [(push, _)] = pushes(romeo)

    assert push.query["ver"] == get(romeo).query["ver"]


def test_who_has_the_present_version_is_interested_all_the_same(romeo: Client) -> None:
    assert get(romeo, ver="0").children == []
    put(romeo, "<item jid='juliet@example.net'/>")

    assert len(pushes(romeo)) == 1


def test_no_version_comes_twice_even_if_the_account_is_made_anew(hall: Hall, romeo: Client) -> None:
    versions = {get(romeo).query["ver"]}
    for number in range(3):
        put(romeo, f"<item jid='c{number}@example.net'/>")
        versions.add(get(romeo).query["ver"])
    romeo.close()
    hall.advance(60)
    hall.wait(hall.host.accounts.remove(ROMEO))

    again = hall.login("romeo@example.net/orchard")
    put(again, "<item jid='other@example.net'/>")
    versions.add(get(again).query["ver"])

    assert len(versions) == 5


# Storage.


def test_a_roster_outlives_a_restart(tmp_path: Path) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    romeo = hall.login("romeo@example.net/orchard")
    put(romeo, "<item jid='juliet@example.net' name='Jule'><group>A</group><group>B</group></item>")
    before = get(romeo)
    hall.wait(hall.host.database.close())

    after = get(Hall(modules=MODULES, path=tmp_path / "pushd.db").login("romeo@example.net/x"))

    assert after.query.attributes == before.query.attributes
    assert items(after) == items(before)


def test_an_answer_to_a_set_comes_once_it_is_on_disk(hall: Hall, romeo: Client) -> None:
    get(romeo)
    romeo.pass_on(
        f"<iq type='set' id='s'><query xmlns='{NS}'><item jid='juliet@example.net'/></query></iq>"
    )
    assert [one["type"] for one in romeo.received()] == ["set"]

    hall.advance(0)

    assert [one["type"] for one in romeo.received()] == ["result"]
    assert hall.rows("SELECT jid FROM roster") == [("juliet@example.net",)]


def test_the_roster_of_a_removed_account_is_removed(hall: Hall, romeo: Client) -> None:
    put(romeo, "<item jid='juliet@example.net'/>")
    romeo.close()

    hall.wait(hall.host.accounts.remove(ROMEO))
    hall.advance(0)

    for table in ("roster", "roster_versions", "subscription_requests"):
        assert hall.rows(f"SELECT * FROM {table}") == []
    assert items(get(hall.login("romeo@example.net/again"))) == []


def test_interest_in_the_roster_outlives_a_restart(tmp_path: Path) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    phone = hall.login("romeo@example.net/phone", sm=True)
    get(phone)
    hall.wait(hall.host.database.close())

    later = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    put(later.login("romeo@example.net/orchard"), "<item jid='juliet@example.net'/>")
    revived = later.host.sessions.of(ROMEO)["phone"]

    assert revived.queue is not None
    assert b"juliet@example.net" in revived.queue.entries[-1][0]
