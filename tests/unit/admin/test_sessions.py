"""Sessions as an operator sees them, and how they end: nothing that they hold is lost."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from twisted.internet.defer import succeed

from pushd.admin.operations import Operations, Refused
from pushd.admin.sessions import LiveSessions, totals
from pushd.admin.users import Users
from pushd.net.stranding import Stranded
from pushd.routing.events import PushDecided, SessionEnded
from pushd.wire.jid import parse
from tests.hall import START, Client, Hall, Outlet
from tests.patience import PATIENCE

MODULES = ("presence", "roster", "subscriptions", "offline")
ROMEO = "romeo@example.net"
JULIET = "juliet@example.net"


def message(body: str, to: str = JULIET) -> str:
    return f"<message to='{to}' id='{body}' type='chat'><body>{body}</body></message>"


@pytest.fixture
def hall() -> Hall:
    return Hall(modules=dict.fromkeys(MODULES))


def ask(hall: Hall, name: str, **arguments: str) -> Any:
    host, sessions = hall.host, LiveSessions(hall.host)
    users = Users(
        host.domains,
        host.accounts,
        host.database,
        lambda work, *given: succeed(work(*given)),
        sessions.end_all,
        sessions.cut_all,
    )
    return hall.wait(Operations(users, sessions).call(name, arguments))


def bodies(client: Client) -> list[str]:
    return [str(stanza["id"]) for stanza in client.received() if stanza.name == "message"]


def stored(hall: Hall) -> list[str]:
    rows = hall.rows("SELECT stanza FROM offline ORDER BY id")
    return [bytes(row[0]).split(b"<body>")[1].split(b"<")[0].decode() for row in rows]


def test_sessions_are_shown_with_their_state_and_what_waits(hall: Hall) -> None:
    romeo = hall.login(f"{ROMEO}/orchard")
    juliet = hall.login(f"{JULIET}/balcony", sm=True)
    juliet.acknowledge()
    hall.advance(10)
    juliet.cut()
    romeo.send(message("wherefore"))
    hall.advance(100)

    away, live = ask(hall, "sessions")["sessions"]

    assert live == {
        "jid": f"{ROMEO}/orchard",
        "bound_at": START,
        "state": "live",
        "address": "192.0.2.7",
        "tls": "TLSv1.3",
        "management": "none",
        "queued_stanzas": 0,
        "queued_bytes": 0,
        "detached_at": None,
        "hold_left": None,
        "available": True,
        "priority": 0,
    }
    assert away["jid"] == f"{JULIET}/balcony"
    assert (away["state"], away["address"], away["tls"]) == ("detached", "", "")
    assert (away["management"], away["queued_stanzas"]) == ("resumable", 1)
    assert away["queued_bytes"] > len("<body>wherefore</body>")
    assert (away["detached_at"], away["hold_left"]) == (START + 10, 200.0)


def test_the_sessions_of_an_account_or_one_of_them_may_be_asked_for(hall: Hall) -> None:
    for resource in ("balcony", "vault"):
        hall.login(f"{JULIET}/{resource}")
    hall.login(f"{ROMEO}/orchard")

    def shown(jid: str) -> list[str]:
        return [one["jid"] for one in ask(hall, "sessions", jid=jid)["sessions"]]

    assert shown(JULIET) == [f"{JULIET}/balcony", f"{JULIET}/vault"]
    assert shown(f"{JULIET}/vault") == [f"{JULIET}/vault"]
    assert shown(f"{JULIET}/tomb") == []
    with pytest.raises(Refused, match=r"juliet@example.com is no account here"):
        shown("juliet@example.com")


def test_a_session_knows_since_when_it_is_after_a_kill(tmp_path: Any) -> None:
    hall = Hall(path=tmp_path / "pushd.db")
    hall.login(f"{JULIET}/balcony", sm=True)
    hall.advance(50)

    [session] = ask(hall.killed(after=5), "sessions")["sessions"]

    assert (session["bound_at"], session["state"]) == (START, "detached")


def test_a_kicked_session_is_told_why_and_what_it_held_goes_to_another(hall: Hall) -> None:
    romeo = hall.login(f"{ROMEO}/orchard")
    balcony = hall.login(f"{JULIET}/balcony", sm=True)
    vault = hall.login(f"{JULIET}/vault")
    romeo.send(message("wherefore", f"{JULIET}/balcony"))
    vault.received()

    answer = ask(hall, "kick", jid=f"{JULIET}/balcony", reason="the hour is late")

    assert answer == {"sessions": [f"{JULIET}/balcony"]}
    ended = balcony.outlet.ended
    assert ended is not None
    assert (ended.condition, ended.text) == ("policy-violation", "the hour is late")
    assert bodies(vault) == ["wherefore"]
    assert [event.reason for event in hall.events(SessionEnded)] == ["the hour is late"]


def test_what_a_kicked_detached_session_held_is_stored(hall: Hall) -> None:
    romeo = hall.login(f"{ROMEO}/orchard")
    juliet = hall.login(f"{JULIET}/balcony", sm=True)
    juliet.cut()
    for body in ("one", "two"):
        romeo.send(message(body))

    ask(hall, "kick", jid=JULIET)

    assert stored(hall) == ["one", "two"]
    assert hall.rows("SELECT * FROM sessions") == hall.rows("SELECT * FROM queue") == []


@pytest.mark.parametrize("jid", [JULIET, f"{JULIET}/balcony"])
def test_whoever_has_no_session_cannot_be_kicked(hall: Hall, jid: str) -> None:
    hall.add_account(JULIET)

    with pytest.raises(Refused, match=f"{jid} has no session"):
        ask(hall, "kick", jid=jid)


def test_the_totals_tell_live_and_detached_and_what_waits(hall: Hall) -> None:
    romeo = hall.login(f"{ROMEO}/orchard")
    juliet = hall.login(f"{JULIET}/balcony", sm=True)
    juliet.acknowledge()
    juliet.cut()
    nurse = hall.login("nurse@example.net/kitchen", sm=True)
    nurse.acknowledge()
    before = totals(hall.host.sessions.everyone())
    romeo.send(message("wherefore"))
    romeo.send("<message to='nurse@example.net'><body>good nurse</body></message>")

    counted = totals(hall.host.sessions.everyone())

    assert (counted["live"], counted["detached"]) == (2, 1)
    assert counted["queued_stanzas"] == before["queued_stanzas"] + 2
    assert counted["detached_stanzas"] == before["detached_stanzas"] + 1
    assert 0 < counted["detached_bytes"] < counted["queued_bytes"]


# What a disabled account is like.


def test_the_sessions_of_a_disabled_account_end_and_what_they_held_is_kept(hall: Hall) -> None:
    romeo = hall.login(f"{ROMEO}/orchard")
    balcony = hall.login(f"{JULIET}/balcony", sm=True)
    vault = hall.login(f"{JULIET}/vault", sm=True)
    vault.cut()
    romeo.send(message("before"))

    ask(hall, "user-disable", jid=JULIET, reason="stolen")

    ended = balcony.outlet.ended
    assert ended is not None
    assert (ended.condition, ended.text) == (
        "not-authorized",
        "the account is disabled: stolen",
    )
    assert not hall.host.sessions.of(JULIET)
    assert stored(hall) == ["before"]

    ask(hall, "user-enable", jid=JULIET)
    back = hall.login(f"{JULIET}/balcony", available=False)
    back.send("<presence/>")
    hall.advance(1)
    assert bodies(back) == ["before"]


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (message("lost"), "service-unavailable"),
        (message("lost", f"{JULIET}/balcony"), "service-unavailable"),
        (
            f"<iq type='get' id='1' to='{JULIET}'>"
            "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
            "service-unavailable",
        ),
    ],
    ids=["message", "message-to-a-resource", "request"],
)
def test_whoever_writes_to_a_disabled_account_is_told_as_if_there_were_none(
    hall: Hall, stanza: str, condition: str
) -> None:
    romeo = hall.login(f"{ROMEO}/orchard")
    hall.add_account(JULIET)
    ask(hall, "user-disable", jid=JULIET)

    romeo.send(stanza)
    [to_disabled] = romeo.received()
    romeo.send(stanza.replace("juliet@", "nobody@"))
    [to_nobody] = romeo.received()

    assert [child.name for child in to_disabled.error.elements()] == [condition]
    assert to_disabled.toXml().replace("juliet@", "nobody@") == to_nobody.toXml()
    assert stored(hall) == []


def test_a_disabled_account_keeps_its_contacts(hall: Hall) -> None:
    romeo, juliet = hall.login(f"{ROMEO}/orchard"), hall.login(f"{JULIET}/balcony")
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
    romeo.received()

    ask(hall, "user-disable", jid=JULIET)

    assert [stanza["type"] for stanza in romeo.received()] == ["unavailable"]
    romeo.send(f"<presence to='{JULIET}' type='probe'/>")
    assert "unsubscribed" not in [stanza.getAttribute("type") for stanza in romeo.received()]
    rows = hall.rows("SELECT subscription FROM roster WHERE account = 'juliet@example.net'")
    assert rows == [("from",)]


def test_no_phone_is_woken_for_a_disabled_account() -> None:
    hall = Hall(modules=dict.fromkeys((*MODULES, "push")))
    hall.host.router.add_host("push.example.com", lambda stanza: None)
    romeo = hall.login(f"{ROMEO}/orchard")
    juliet = hall.login(f"{JULIET}/balcony", sm=True)
    juliet.ask(
        "<iq type='set' id='1'><enable xmlns='urn:xmpp:push:0' jid='push.example.com' "
        "node='n'/></iq>"
    )
    romeo.send(message("unread"))
    ask(hall, "user-disable", jid=JULIET)
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")

    assert stored(hall) == ["unread"]
    decided = {(one.pushed, one.reason) for one in hall.events(PushDecided)}
    assert decided == {(False, "account disabled")}


def test_sessions_of_an_account_that_was_disabled_meanwhile_do_not_come_back(
    tmp_path: Any,
) -> None:
    hall = Hall(modules={"offline": None}, path=tmp_path / "pushd.db")
    romeo = hall.login(f"{ROMEO}/orchard")
    hall.login(f"{JULIET}/balcony", sm=True).cut()
    romeo.send(message("kept"))
    hall.host.accounts.disable(JULIET, "")  # as with the server down: nobody ends the session
    hall.advance(0)

    again = hall.killed()

    assert not again.host.sessions.of(JULIET)
    assert stored(again) == ["kept"]


def test_another_password_closes_the_streams_and_keeps_the_sessions(hall: Hall) -> None:
    romeo = hall.login(f"{ROMEO}/orchard")
    juliet = hall.login(f"{JULIET}/balcony", sm=True)
    juliet.acknowledge()

    ask(hall, "user-passwd", jid=JULIET, password="nurse")

    ended = juliet.outlet.ended
    assert ended is not None
    assert (ended.condition, ended.text) == ("reset", "the password was changed")
    assert juliet.session.is_detached
    assert romeo.outlet.ended is None
    romeo.send(message("later"))
    assert len(juliet.session.queue or ()) == 1


# Cut connections.


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection; the server's comes second."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
        server, _ = listener.accept()
    with closing(client), closing(server):
        yield client, server


def outlet(hall: Hall, jid: str) -> Outlet:
    session = hall.host.sessions.get(parse(jid))
    assert session is not None
    assert isinstance(session.stream, Outlet)
    return session.stream


def test_a_cut_session_has_lost_its_connection(hall: Hall, line: Any) -> None:
    hall.login(f"{JULIET}/balcony", sm=True)
    hall.login(f"{JULIET}/chamber", sm=True)
    kept = Stranded()
    for name in ("balcony", "chamber"):
        outlet(hall, f"{JULIET}/{name}").descriptor = line[1].fileno()

    operations = Operations(LiveSessions(hall.host, kept))
    told = hall.wait(operations.call("cut", {"jid": f"{JULIET}/balcony"}))

    # The stream here only notes what it is told; the real one detaches its session.
    assert told == {"sessions": [{"jid": f"{JULIET}/balcony", "state": "live"}]}
    assert outlet(hall, f"{JULIET}/balcony").given_up == "cut by the operator"
    assert outlet(hall, f"{JULIET}/chamber").given_up == ""
    assert len(kept) == 1
    told = hall.wait(operations.call("cut", {"jid": JULIET}))
    assert len(told["sessions"]) == 2
    kept.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops what comes in")
def test_a_session_whose_acknowledgements_are_withheld_knows_nothing(hall: Hall, line: Any) -> None:
    client, server = line
    hall.login(f"{JULIET}/balcony", sm=True)
    outlet(hall, f"{JULIET}/balcony").descriptor = server.fileno()

    told = ask(hall, "cut", jid=JULIET, withhold="yes")

    assert told == {"sessions": [{"jid": f"{JULIET}/balcony", "state": "live"}]}
    assert outlet(hall, f"{JULIET}/balcony").given_up == ""
    client.sendall(b"<r/>")
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(10)


@pytest.mark.parametrize("operation", ["sessions", "kick", "cut"])
def test_a_name_that_was_mistyped_is_not_one_without_sessions(hall: Hall, operation: str) -> None:
    with pytest.raises(Refused, match=r"^there is no account julia@example\.net$"):
        ask(hall, operation, jid="julia@example.net/balcony")


def test_what_cannot_be_cut_is_refused(hall: Hall) -> None:
    juliet = hall.login(f"{JULIET}/balcony", sm=True)
    with pytest.raises(Refused, match="withhold: yes or nothing is expected"):
        ask(hall, "cut", jid=JULIET, withhold="no")
    with pytest.raises(Refused, match=f"{JULIET}/balcony: Bad file descriptor"):
        ask(hall, "cut", jid=JULIET)
    juliet.cut()
    hall.add_account(ROMEO)
    for jid in (JULIET, ROMEO):
        with pytest.raises(Refused, match=f"{jid} has no session with a connection"):
            ask(hall, "cut", jid=jid)
    with pytest.raises(Refused, match=r"nurse@example\.org is no account here"):
        ask(hall, "cut", jid="nurse@example.org")
