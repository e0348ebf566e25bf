"""Deciding who is woken for what was not delivered; each decision is told, with its reason."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache, partial

from pushd.modules.push import filters
from pushd.modules.push.calls import Calls, Counted, Ringing
from pushd.modules.push.details import Details, details
from pushd.modules.push.enablements import Enablement, Enablements
from pushd.modules.push.extensions import Extensions
from pushd.modules.push.judge import SILENCES, Kind, Worth, judge, kind_of
from pushd.modules.push.publisher import COALESCED, ON_PROBATION, PAUSED, Publisher, PushOptions
from pushd.routing.events import Cause, PushDecided, Undelivered
from pushd.routing.host import Host
from pushd.routing.sessions import Session
from pushd.wire.carbons import opened
from pushd.wire.element import child, text
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import NS_CLIENT
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
# Why a device is woken that does not wait for the stanza itself.
CALL = "call"  # rings everywhere
AWAY = "away"  # as is whoever got it
# Why a call went nowhere, as its caller was told.
RETURNED = "call returned"
# Why a device is woken without one.
HOLD_ENDS = "hold ends"
TEST = "test"


REASONS = frozenset(
    (
        *(cause.value for cause in Cause),
        *(COALESCED, CALL, AWAY, HOLD_ENDS, TEST),
        *(NOT_ENABLED, OFF, CLOSED, ONLINE, ELSEWHERE, TAKES_NONE, TOLD, PAUSED, ON_PROBATION),
        RETURNED,
        *filters.FILTERED,
        *SILENCES,
    )
)
REMEMBERED = 1_000  # messages for which devices were woken beside somebody who is away


class Decider:
    """Counts stanzas for the devices that wait for them, and has these woken."""

    def __init__(
        self, host: Host, enablements: Enablements, publisher: Publisher, options: PushOptions
    ) -> None:
        self._host = host
        self._enablements = enablements
        self._publisher = publisher
        self._options = options
        self.calls = Calls(host, enablements, self._returned)
        self._beside: OrderedDict[tuple[str, str, str], None] = OrderedDict()
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
            self._host.events.emit(
                _not_pushed(
                    account,
                    obstacle,
                    kind_of(event.stanza),
                    self._sender(account, event.stanza),
                )
            )
            return
        concerned: list[Enablement] = []
        ringing = self._ringing(event.stanza, account)
        for one in self._enablements.of(account):
            if ringing is not None and one in ringing.weighed:
                continue
            reason = self._not_concerned(one, event)
            if reason is None:
                concerned.append(one)
            elif reason and kind_of(event.stanza) in WORTHWHILE:
                self._decided(account, one, event.stanza, False, reason)
        if concerned:
            self._count(concerned, event.stanza, event.cause.value)

    def left(self, session: Session, stanzas: Iterable[tuple[Stanza, float]]) -> None:
        """A session is detached, and nobody has acknowledged these: as one push."""
        bound, strays = self.bound_to(session), self.strays(session)
        if not (bound or strays) or self._obstacle(session.account):
            return
        for stanza, _ in stanzas:
            concerned = bound or [one for one in strays if self._concerns_stray(one, stanza)]
            if concerned:
                self._count(concerned, stanza, Cause.DETACHED.value)

    def call_last(self, session: Session) -> None:
        """Wake the devices of a session with what is known already: its hold ends soon."""
        for one in self.bound_to(session):
            obstacle = self._publisher.obstacle(one, urgent=False)
            pushed = obstacle in ("", COALESCED)
            self._decided(one.account, one, None, pushed, HOLD_ENDS if pushed else obstacle)
            one.count(Worth(Kind.OTHER), self._host.clock.seconds())
            self._enablements.changed(one)
            self._publisher.tell(one)

    def called(self, stanza: Stanza, to: JID) -> bool:
        """Somebody calls an account: wake all its devices that are not there (XEP-0353).

        Tells whether nobody can get the call, and it was returned.
        """
        account = to.bare
        sender = stanza.attributes.get("from", account)
        if stanza.type in ("error", "groupchat", "headline") or parse(sender).bare == account:
            return False
        if self._host.delivery.is_stuck:
            return False  # it is refused for that
        ringing = self.calls.begin(stanza, account)
        if ringing is None:
            return False
        sessions = self._host.sessions.of(account).values()
        doubtful = [one for one in sessions if one.is_detached or one.overdue]
        ringing.may_come_back = bool(doubtful)
        ringing.is_heard = any(one not in doubtful and self._takes(one) for one in sessions)
        if not self._obstacle(account):
            away = [
                one
                for one in self._enablements.of(account)
                if (session := self.session_of(one)) is None or session.is_detached
            ]
            ringing.weighed = frozenset(away)
            ringing.hoped.update(away)
            reason = CALL if sessions else Cause.ABSENT.value
            for one in away:
                waits = self.session_of(one) is not None
                self._count([one], stanza, Cause.DETACHED.value if waits else reason)
        return self.calls.review(ringing)

    def _returned(self, ringing: Ringing) -> None:
        if self._host.accounts.exists(ringing.account):
            self._decided(ringing.account, None, ringing.stanza, False, RETURNED)

    def _takes(self, session: Session) -> bool:
        """Whether a message for its account is delivered to a session, or copied to it."""
        is_receptive = session.presence is not None and session.priority >= 0
        return is_receptive or session in self._host.router.copied.get(session.account, ())

    def attended(self, stanza: Stanza, to: JID) -> None:
        """A message comes for an account that has devices woken beside others who are away.

        (tigase:push:away:0.) Somebody who is there and not away gets it for all. A device with
        a session of its own is woken for what waits there.
        """
        account = to.bare
        if stanza.type in ("error", "groupchat", "headline") or kind_of(stanza) == "call":
            return
        sessions = self._host.sessions.of(account)
        if to.resource in sessions and sessions[to.resource].stream is None:
            return
        there = [one for one in sessions.values() if one.stream is not None and self._takes(one)]
        if not there or not all(map(_is_away, there)) or self._obstacle(account):
            return
        concerned = [
            one
            for one in self._enablements.of(account)
            if one.wishes is not None and one.wishes.away and self.session_of(one) is None
        ]
        if concerned:
            self._count(concerned, stanza, AWAY)
            self._remember(stanza, account)

    def _remember(self, stanza: Stanza, account: str) -> None:
        if stanza.id:
            self._beside[account, stanza.attributes.get("from", ""), stanza.id] = None
            if len(self._beside) > REMEMBERED:
                self._beside.popitem(last=False)

    def _was_beside(self, one: Enablement, stanza: Stanza) -> bool:
        """Whether a device was woken for a stanza when somebody got it who was away."""
        if one.wishes is None or not one.wishes.away or not stanza.id:
            return False
        return (one.account, stanza.attributes.get("from", ""), stanza.id) in self._beside

    def _ringing(self, stanza: Stanza, account: str) -> Ringing | None:
        """The call that a stanza, or a copy of one, proposes, if it rings."""
        if account not in self.calls.ringing:
            return None
        return self.calls.of(opened(stanza, account), account)

    def bound_to(self, session: Session) -> list[Enablement]:
        return self._enablements.bound_to(session.account, session.full)

    def strays(self, session: Session) -> list[Enablement]:
        """Those whose session is gone, where this one has enabled nothing: its own, perhaps.

        COMPAT: Stork enables push once, and has another resource with each login. So whatever
        waits on such a session, and would be stored in the end, wakes them at once.
        """
        if self.bound_to(session):
            return []
        known = self._enablements.of(session.account)
        return [one for one in known if self.session_of(one) is None]

    def _concerns_stray(self, one: Enablement, stanza: Stanza) -> bool:
        return stanza.type != "groupchat" and not self._was_beside(one, stanza)

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
                if self.bound_to(waits_on) or not self._concerns_stray(one, event.stanza):
                    return ELSEWHERE
                return None
            return "" if session.is_detached else ONLINE
        if one.session in event.told or self._was_beside(one, event.stanza):
            return TOLD
        session = self.session_of(one)
        if session is None:
            had_none = (not self._enablements.bound_to(one.account, name) for name in event.told)
            return TOLD if any(had_none) else None  # as a stray
        return TAKES_NONE if session.is_detached else ONLINE

    def _count(self, concerned: list[Enablement], stanza: Stanza, reason: str) -> None:
        """Count a stanza for devices, unless they wish not to hear of it, and wake them."""
        account = concerned[0].account
        told = self._enablements.told(account, self._options.told)
        with_body = told.include_message_bodies
        is_wished = any(one.wishes is not None and one.wishes.key is not None for one in concerned)
        worth = judge(stanza, account, with_body=with_body or is_wished)
        if worth.kind not in self._counted:
            for one in concerned:
                self._decided(account, one, stanza, False, worth.reason)
            return
        bare = worth if with_body or worth.body is None else replace(worth, body=None)
        for one in concerned:
            if one.wishes is None:
                self._add(one, stanza, bare, reason)
            else:
                has_key = one.wishes.key is not None
                self._weigh(one, one.wishes, stanza, worth if has_key else bare, reason)

    def _weigh(
        self, one: Enablement, wishes: Extensions, stanza: Stanza, worth: Worth, reason: str
    ) -> None:
        """Count a stanza for a device with wishes, if these let it."""
        assert worth.stanza is not None
        account, judged = one.account, worth.stanza
        objection = filters.objection(wishes, judged, account)
        if objection:
            self._object(one, stanza, worth, objection)
            return
        told = None
        if wishes.wants_details:
            told = details(judged, is_encrypted=worth.is_encrypted)
        add = partial(self._add, one, stanza, worth, reason, told)
        if not wishes.ignore_unknown:
            add()
            return

        def look() -> None:
            if not self._enablements.is_current(one):
                return
            if filters.is_known(wishes, judged, self._host.rosters[account]):
                add()
            else:
                self._object(one, stanza, worth, filters.UNKNOWN)

        self._host.rosters.when((account,), look)

    def _object(self, one: Enablement, stanza: Stanza, worth: Worth, reason: str) -> None:
        """A device wishes not to hear of a stanza; a caller is not told so."""
        self._decided(one.account, one, stanza, False, reason, worth.sender)
        ringing = self.calls.of(worth.stanza, one.account) if worth.urgent else None
        if ringing is not None:
            ringing.hoped.discard(one)
            ringing.is_heard = True

    def _add(
        self,
        one: Enablement,
        stanza: Stanza,
        worth: Worth,
        reason: str,
        told: Details | None = None,
    ) -> None:
        obstacle = self._publisher.obstacle(one, urgent=worth.urgent)
        is_pushed = obstacle not in (PAUSED, ON_PROBATION)
        ringing = self.calls.of(worth.stanza, one.account) if worth.urgent else None
        self._decided(one.account, one, stanza, is_pushed, obstacle or reason, worth.sender)
        before = one.queued
        one.count(worth, self._host.clock.seconds(), told)
        if ringing is not None:
            ringing.counted[one] = Counted(before, one.queued, one.visits)
            if not is_pushed:
                ringing.hoped.discard(one)
        self._enablements.changed(one)
        self._publisher.tell(one)

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
        sender = "" if stanza is None else self._sender(account, stanza, sender)
        self._host.events.emit(PushDecided(account, service, node, pushed, reason, kind, sender))

    def _sender(self, account: str, stanza: Stanza, sender: str = "") -> str:
        """Who is told as the sender of a stanza, where the account lets pushes name senders."""
        if not self._enablements.told(account, self._options.told).include_senders:
            return ""
        return (sender or stanza.attributes.get("from", "")).partition("/")[0]


@lru_cache(4_096)
def _not_pushed(account: str, reason: str, kind: str, sender: str) -> PushDecided:
    """The same for all that comes for an account without a device: it is said of each message."""
    return PushDecided(account, "", "", False, reason, kind, sender)


def _is_away(session: Session) -> bool:
    """Whether a client says that nobody is there (RFC 6121 §4.7.2.1)."""
    if session.presence is None:
        return False
    return text(child(session.presence.tree, NS_CLIENT, "show")) in ("away", "xa")
