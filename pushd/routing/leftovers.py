"""Where what a session held goes when it ends (XEP-0198 §5, RFC 6121 §8).

Messages that nobody acknowledged go to another session of the account or to the offline store,
requests back to their senders as errors; presence and room traffic are dropped.
"""

from twisted.logger import Logger

from pushd.routing.delivery import Delivery, stamped
from pushd.routing.router import FLEETING, Router
from pushd.routing.sessions import Session, Sessions
from pushd.wire.acks import Entry
from pushd.wire.carbons import opened
from pushd.wire.errors import ServiceUnavailable
from pushd.wire.framer import seal
from pushd.wire.stanza import Stanza

log = Logger()


class Leftovers:
    """Passes on what an ended session held, with the instant at which each stanza came first."""

    def __init__(self, sessions: Sessions, delivery: Delivery, router: Router) -> None:
        self._sessions = sessions
        self._delivery = delivery
        self._router = router

    def pass_on(
        self, session: Session, entry: Entry, heir: Session | None, is_announced: bool
    ) -> None:
        """One entry of its queue; `is_announced` where its user was told of it by push.

        The heir is the session that took its place, if one did.
        """
        data, at, copies = entry
        try:
            stanza = seal(data)
        except ValueError:
            log.error("an unreadable stanza was queued for {session}", session=session.full)
            return
        told: tuple[str, ...] = ()
        if is_announced or session.detached_at is not None:
            told = (session.full,)
        if copies is not None:
            told = copies.told = copies.told + told
        if stanza.name == "iq":
            self._router.refuse(stanza, ServiceUnavailable())
        elif (
            stanza.name == "message"
            and stanza.type not in FLEETING
            and (copies is None or copies.let_go())
        ):
            self._keep(session, opened(stanza, session.account), at, heir, told)

    def _keep(
        self,
        session: Session,
        stanza: Stanza,
        at: float,
        heir: Session | None,
        told: tuple[str, ...],
    ) -> None:
        """Give an unacknowledged message to the account's other sessions, or store it."""
        late = seal(stamped(stanza.raw, stanza, session.jid.domain, at))
        others = [
            other
            for other in self._sessions.of(session.account).values()
            if other.is_available and other.priority >= 0
        ]
        copies = self._delivery.copies() if len(others) > 1 else None
        for other in others:
            self._delivery.move(other, ((late, at),), copies)
        if not others and not self._store(session, late, at, heir, told):
            self._router.refuse(stanza, ServiceUnavailable())

    def _store(
        self,
        session: Session,
        late: Stanza,
        at: float,
        heir: Session | None,
        told: tuple[str, ...],
    ) -> bool:
        """Store a message; for the heir, which is there, it is no news to anybody."""
        offline = self._delivery.offline
        if heir is None or offline is None:
            return self._delivery.store(session.account, late, at, session, told)
        return not offline.accepts(late) or offline.keep(session.account, late, at)
