"""Deciding who is woken for what was not delivered; each decision is told, with its reason."""

from collections.abc import Iterable

from pushd.modules.push.enablements import Enablement, Enablements
from pushd.modules.push.judge import SILENCES, Kind, Worth, judge, kind_of
from pushd.modules.push.publisher import COALESCED, ON_PROBATION, PAUSED, Publisher, PushOptions
from pushd.routing.events import Cause, PushDecided, Undelivered
from pushd.routing.host import Host
from pushd.routing.sessions import Session
from pushd.wire.jid import parse
from pushd.wire.stanza import Stanza

# What may wake a phone that it is not for: of the rest, devices concerned alone have records.
WORTHWHILE = frozenset(("message", "call", "subscription"))
# Why a stanza wakes nobody, besides what `judge` says of the stanza itself.
NOT_ENABLED = "not enabled"  # the account has no push
OFF = "push is off"  # on this server, where sessions are not held
CLOSED = "account disabled"
ONLINE = "device online"
ELSEWHERE = "held for another device"
TAKES_NONE = "device takes no messages"  # its session waits, but wants none of those
TOLD = "told before"  # when it, or its copy, waited on the session of the device
# Why a device is woken without one.
HOLD_ENDS = "hold ends"
TEST = "test"


REASONS = frozenset(
    (
        *(cause.value for cause in Cause),
        *(COALESCED, HOLD_ENDS, TEST),
        *(NOT_ENABLED, OFF, CLOSED, ONLINE, ELSEWHERE, TAKES_NONE, TOLD, PAUSED, ON_PROBATION),
        *SILENCES,
    )
)


class Decider:
    """Counts stanzas for the devices that wait for them, and has these woken."""

    def __init__(
        self, host: Host, enablements: Enablements, publisher: Publisher, options: PushOptions
    ) -> None:
        self._host = host
        self._enablements = enablements
        self._publisher = publisher
        self._options = options
        self._counted = frozenset(
            (Kind.MESSAGE, Kind.SUBSCRIPTION, Kind.OTHER)
            if options.notify_on == "all"
            else (Kind.MESSAGE, Kind.SUBSCRIPTION)
        )

    def undelivered(self, event: Undelivered) -> None:
        """One stanza waits for a device of the account."""
        account = event.account
        obstacle = self._obstacle(account)
        if obstacle:
            self._decided(account, None, event.stanza, False, obstacle)
            return
        concerned: list[Enablement] = []
        for one in self._enablements.of(account):
            reason = self._not_concerned(one, event)
            if reason is None:
                concerned.append(one)
            elif reason and kind_of(event.stanza) in WORTHWHILE:
                self._decided(account, one, event.stanza, False, reason)
        if concerned:
            self._count(concerned, event.stanza, event.cause)
            for one in concerned:
                self._publisher.tell(one)

    def left(self, session: Session, stanzas: Iterable[tuple[Stanza, float]]) -> None:
        """A session is detached, and nobody has acknowledged these: as one push."""
        bound = self.bound_to(session)
        if bound and not self._obstacle(session.account):
            for stanza, _ in stanzas:
                self._count(bound, stanza, Cause.DETACHED)
            for one in bound:
                self._publisher.tell(one)

    def call_last(self, session: Session) -> None:
        """Wake the devices of a session with what is known already: its hold ends soon."""
        for one in self.bound_to(session):
            obstacle = self._publisher.obstacle(one, urgent=False)
            pushed = obstacle in ("", COALESCED)
            self._decided(one.account, one, None, pushed, HOLD_ENDS if pushed else obstacle)
            one.count(Worth(Kind.OTHER), self._host.clock.seconds())
            self._enablements.changed(one)
            self._publisher.tell(one)

    def bound_to(self, session: Session) -> list[Enablement]:
        return self._enablements.bound_to(session.account, session.full)

    def session_of(self, one: Enablement) -> Session | None:
        """The session that enabled it, or one with the same full JID."""
        return self._host.sessions.get(parse(one.session)) if one.session else None

    def _obstacle(self, account: str) -> str:
        """Why nobody of the account is woken, whatever comes; "" if somebody may be."""
        if not self._host.lifecycle.can_resume:
            return OFF
        if not self._enablements.has_any(account):
            return NOT_ENABLED
        return "" if self._host.accounts.is_open(account) else CLOSED

    def _not_concerned(self, one: Enablement, event: Undelivered) -> str | None:
        """Why this stanza is no news for a device; None if it is.

        "" where there is nothing to decide: another session of the account has it, too, or it
        is for that one alone.
        """
        waits_on = event.session
        if event.cause is not Cause.ABSENT and waits_on is not None:
            if waits_on.full == one.session:
                return None
            session = self.session_of(one)
            if session is None:
                return ELSEWHERE
            return "" if session.is_detached else ONLINE
        if one.session in event.told:
            return TOLD
        session = self.session_of(one)
        if session is None:
            return None
        return TAKES_NONE if session.is_detached else ONLINE

    def _count(self, concerned: list[Enablement], stanza: Stanza, cause: Cause) -> None:
        account, now = concerned[0].account, self._host.clock.seconds()
        told = self._enablements.told(account, self._options.told)
        worth = judge(stanza, account, with_body=told.include_message_bodies)
        if worth.kind not in self._counted:
            for one in concerned:
                self._decided(account, one, stanza, False, worth.reason)
            return
        for one in concerned:
            obstacle = self._publisher.obstacle(one, urgent=worth.urgent)
            self._decided(
                account,
                one,
                stanza,
                obstacle not in (PAUSED, ON_PROBATION),
                obstacle or cause.value,
                worth.sender,
            )
            one.count(worth, now)
            self._enablements.changed(one)

    def _decided(
        self,
        account: str,
        one: Enablement | None,
        stanza: Stanza | None,
        pushed: bool,
        reason: str,
        sender: str = "",
    ) -> None:
        service, node = ("", "") if one is None else (one.service, one.node)
        kind = "" if stanza is None else kind_of(stanza)
        told = self._enablements.told(account, self._options.told)
        if stanza is None or not told.include_senders:
            sender = ""
        else:
            sender = (sender or stanza.attributes.get("from", "")).partition("/")[0]
        self._host.events.emit(PushDecided(account, service, node, pushed, reason, kind, sender))
