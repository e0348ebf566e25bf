"""Sessions as an operator sees them: who is there, in which state, and how one is ended."""

from collections.abc import Iterable, Mapping
from typing import Any

from pushd.admin.operations import Operation, Refused, spoken
from pushd.admin.users import address
from pushd.net.stranding import Stranded, deafen
from pushd.routing.host import Host
from pushd.routing.sessions import Session
from pushd.wire.errors import StreamError

KICKED = "ended by the operator"
CUT = "cut by the operator"


class LiveSessions:
    """The sessions of a running server, with a stream or waiting to be resumed."""

    def __init__(self, host: Host, stranded: Stranded | None = None) -> None:
        self._host = host
        self._stranded = Stranded() if stranded is None else stranded

    def operations(self) -> Mapping[str, Operation]:
        return {"sessions": self.show, "kick": self.kick, "cut": self.cut}

    async def show(self, jid: str = "") -> dict[str, Any]:
        """All sessions, or those of an account, or the one of a full JID."""
        found = self._of(jid) if jid else self._host.sessions.everyone()
        shown = [self._row(session) for session in found]
        return {"sessions": sorted(shown, key=lambda row: str(row["jid"]))}

    async def kick(self, jid: str, reason: str = "") -> dict[str, Any]:
        """End the session of a full JID, or all of an account; detached ones, too.

        What they hold goes to the account's other sessions or to the offline store. Raises
        Refused where there are none.
        """
        told = spoken(reason)
        found = self._of(jid)
        if not found:
            raise Refused(f"{jid} has no session")
        for session in found:
            expel(self._host, session, StreamError("policy-violation", told or KICKED))
        await self._host.database.committed()
        return {"sessions": sorted(session.full for session in found)}

    async def cut(self, jid: str, withhold: str = "") -> dict[str, Any]:
        """Break the connection of a session, or of all of an account, without a word.

        The client is left in the dark: no FIN, no RST, no answer; here the connection counts as
        lost. With `withhold` it does not: nothing of what the client sends is heard or
        acknowledged any more, and who notices first acts. Raises Refused where there is none.
        """
        if withhold not in ("", "yes"):
            raise Refused("withhold: yes or nothing is expected")
        found = [session for session in self._of(jid) if session.stream is not None]
        if not found:
            raise Refused(f"{jid} has no session with a connection")
        for session in found:
            self._break(session, bool(withhold))
        await self._host.database.committed()
        known = self._host.sessions
        return {
            "sessions": [
                {
                    "jid": session.full,
                    "state": state(session) if known.get(session.jid) is session else "ended",
                }
                for session in sorted(found, key=lambda one: one.full)
            ]
        }

    def _break(self, session: Session, withhold: bool) -> None:
        stream = session.stream
        assert stream is not None
        try:
            if withhold:
                if not deafen(stream.descriptor):
                    raise Refused("this system offers no way to drop what a client sends")
                return
            self._stranded.keep(stream.descriptor)
        except OSError as error:
            raise Refused(f"{session.full}: {error.strerror}") from None
        stream.give_up(CUT)

    def end_all(self, account: str, reason: str) -> None:
        """End all sessions of an account that may not have any."""
        for session in list(self._host.sessions.of(account).values()):
            expel(self._host, session, StreamError("not-authorized", reason))

    def cut_all(self, account: str, reason: str) -> None:
        """Close the streams of an account; its sessions wait for it to log in anew."""
        for session in list(self._host.sessions.of(account).values()):
            stream = session.stream
            if stream is not None:
                stream.end(StreamError("reset", reason))
                self._host.lifecycle.detach(session, reason)

    def _of(self, text: str) -> list[Session]:
        jid = address(text)
        if jid.domain not in self._host.domains or not jid.local:
            raise Refused(f"{text} is no account here")
        if not self._host.accounts.exists(jid.bare):
            raise Refused(f"there is no account {jid.bare}")
        if jid.resource:
            session = self._host.sessions.get(jid)
            return [session] if session is not None else []
        return list(self._host.sessions.of(jid.bare).values())

    def _row(self, session: Session) -> dict[str, Any]:
        stream, queue = session.stream, session.queue
        is_held = session.detached_at is not None
        ends_at = session.detached_at + session.hold if session.detached_at is not None else 0.0
        return {
            "jid": session.full,
            "bound_at": session.bound_at,
            "state": state(session),
            "address": stream.address if stream is not None else "",
            "tls": stream.tls_version if stream is not None else "",
            "management": _management(session),
            "queued_stanzas": len(queue) if queue is not None else 0,
            "queued_bytes": queue.size if queue is not None else 0,
            "detached_at": session.detached_at,
            "hold_left": max(0.0, ends_at - self._host.clock.seconds()) if is_held else None,
            "available": session.is_available,
            "priority": session.priority,
        }


def state(session: Session) -> str:
    """What a session is, to an operator."""
    return "detached" if session.detached_at is not None else "live"


def expel(host: Host, session: Session, error: StreamError) -> None:
    """End a session for good; its stream, where it has one, is closed with this error."""
    if session.stream is not None:
        session.stream.end(error)
    host.lifecycle.end(session, error.text or error.condition)


def totals(sessions: Iterable[Session]) -> dict[str, int]:
    """How many there are, what waits on them, and how much of that on detached ones."""
    count = detached = stanzas = octets = held = held_octets = 0
    for session in sessions:
        queue = session.queue
        waiting, size = (len(queue), queue.size) if queue is not None else (0, 0)
        count += 1
        stanzas += waiting
        octets += size
        if session.stream is None:
            detached += 1
            held += waiting
            held_octets += size
    return {
        "live": count - detached,
        "detached": detached,
        "queued_stanzas": stanzas,
        "queued_bytes": octets,
        "detached_stanzas": held,
        "detached_bytes": held_octets,
    }


def _management(session: Session) -> str:
    """What XEP-0198 does for it."""
    if session.queue is None:
        return "none"
    return "resumable" if session.token else "acknowledged"
