"""Nobody finds out who has an account: strangers get the same answers, for the same work.

RFC 6120 §13.11, RFC 6121 §8.5.1. Work is counted and never timed: questions to storage.
"""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from pushd.modules.catalogue import available
from tests.hall import Hall

MODULES = dict.fromkeys(available())
THERE, ABSENT = "romeo", "nobody"


def house() -> Hall:
    hall = Hall(modules=MODULES)
    hall.add_account(f"{THERE}@example.net")
    return hall


def claims() -> list[tuple[str, str, str]]:
    """Type, namespace and name of each request that an account answers."""
    handlers = house().host.requests._handlers
    claimed = {(type, *child.split(" ")) for to, type, child in handlers if to == "account"}
    return sorted((type, space, name.replace("*", "any")) for type, space, name in claimed)


REQUESTS = [
    f"<iq to='WHO@example.net{resource}' type='{type}' id='i'><{name} xmlns='{space}'/></iq>"
    for type, space, name in [*claims(), ("get", "urn:example", "unknown")]
    for resource in ("", "/orchard")
]
UNSOUND = [
    "<iq to='WHO@example.net' type='get' id='i'/>",
    "<iq to='WHO@example.net' type='get' id='i'><a xmlns='b'/><c xmlns='d'/></iq>",
    "<iq to='WHO@example.net' type='result' id='i'/>",
    "<iq to='WHO@example.net' type='nonsense' id='i'><a xmlns='b'/></iq>",
]
PRESENCE = [
    f"<presence to='WHO@example.net{resource}' id='p'{type}/>"
    for type in (
        *("", " type='unavailable'", " type='subscribe'", " type='subscribed'"),
        *(" type='unsubscribe'", " type='unsubscribed'", " type='probe'", " type='error'"),
    )
    for resource in ("", "/orchard")
]
MESSAGES = [
    f"<message to='WHO@example.net{resource}' id='m' type='{type}'><body>hi</body></message>"
    for type in ("groupchat", "headline", "error")
    for resource in ("", "/orchard")
] + ["<message to='WHO@example.net/orchard' id='m' type='normal'><body>hi</body></message>"]


def seen(who: str, xml: str) -> tuple[list[str], list[str]]:
    """What a stranger hears, and what storage is asked before."""
    hall = house()
    juliet = hall.login("juliet@example.net/balcony")
    asked: list[str] = []
    database = hall.host.database
    read = database.read

    def counted(sql: str, *given: Any) -> "Deferred[Any]":
        asked.append(sql)
        return read(sql, *given)

    database.read = counted  # type: ignore[assignment, method-assign]
    juliet.send(xml.replace("WHO", who))
    hall.advance(1)
    return [one.toXml().replace(who, "WHO") for one in juliet.received()], asked


def test_there_are_requests_to_accounts() -> None:
    assert ("get", "urn:xmpp:ping", "ping") in claims()
    assert len(claims()) > 10


@pytest.mark.parametrize("xml", REQUESTS + UNSOUND)
def test_a_request_tells_a_stranger_nothing(xml: str) -> None:
    assert seen(THERE, xml) == seen(ABSENT, xml)


@pytest.mark.parametrize("xml", PRESENCE + MESSAGES)
def test_presence_and_messages_tell_a_stranger_nothing(xml: str) -> None:
    """What presence is worth to storage shows in no answer, as there is none."""
    assert seen(THERE, xml)[0] == seen(ABSENT, xml)[0]
