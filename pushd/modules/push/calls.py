"""Calls (XEP-0353): every device is woken at once, no longer than it rings, or the caller hears.

A proposal to an account is followed for a minute. Whoever answers, on whichever device, and a
caller who gives up, end it: devices that were not told yet are not woken any more. A call that
nobody can get (no session is connected or comes back, and no push service takes the push, or
its network does not) is returned to the caller as an error, within half a minute. Who the device
wishes not to hear is not told so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from twisted.internet.interfaces import IDelayedCall

from pushd.modules.push.enablements import RINGS, Enablement, Enablements, Summary
from pushd.modules.push.judge import JINGLE_MESSAGES, PROPOSALS, proposal
from pushd.routing.events import NotificationPublished, PublishAnswered, PushSettled
from pushd.routing.host import Host
from pushd.routing.sessions import Session
from pushd.wire.element import children
from pushd.wire.errors import JIDMalformed, RecipientUnavailable, ServiceUnavailable
from pushd.wire.jid import parse
from pushd.wire.stanza import Stanza

PATIENCE = 30.0  # seconds after which a caller is told that nobody gets the call
MOST = 10  # calls of an account that are followed; of more, the oldest are not any more
UNREACHABLE = "no device can be reached"
# What ends a call, in either direction; that of <ringing/> is no end.
ENDS = frozenset(("accept", "proceed", "reject", "retract", "finish"))
SIGNALS = frozenset(
    f"{namespace} {name}" for namespace in JINGLE_MESSAGES for name in (*ENDS, "ringing")
)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a call made of what waits for a device."""

    before: Summary
    after: Summary
    visits: int


@dataclass(slots=True, eq=False)
class Ringing:
    """A call that was proposed a short time ago, and what is known of who got it."""

    account: str
    caller: str  # bare JID
    sid: str
    stanza: Stanza = field(repr=False)
    at: float  # seconds since the epoch
    is_heard: bool = False  # by somebody: it is not returned
    may_come_back: bool = False  # a session that waits for its client
    weighed: frozenset[Enablement] = field(default=frozenset(), repr=False)  # when it was proposed
    counted: dict[Enablement, Counted] = field(default_factory=dict, repr=False)
    hoped: set[Enablement] = field(default_factory=set, repr=False)  # no service has answered yet
    taken: set[Enablement] = field(default_factory=set, repr=False)  # the service took it
    publishes: dict[str, Enablement] = field(default_factory=dict, repr=False)  # by id
    timer: IDelayedCall | None = field(default=None, repr=False)


class Calls:
    """The calls that ring, by account. `returned` is called with one whose caller is refused."""

    def __init__(
        self, host: Host, enablements: Enablements, returned: Callable[[Ringing], None]
    ) -> None:
        self.ringing: dict[str, list[Ringing]] = {}
        self._host = host
        self._enablements = enablements
        self._returned = returned
        host.events.listen(NotificationPublished, self._published)
        host.events.listen(PublishAnswered, self._answered)
        host.events.listen(PushSettled, self._settled)

    # What is said of calls.

    def begin(self, stanza: Stanza, account: str) -> Ringing | None:
        """Follow a proposal from now on; None for one without an id."""
        proposed = proposal(stanza)
        sid = "" if proposed is None else proposed.attributes.get("id", "")
        if not sid:
            return None
        caller = parse(stanza.attributes["from"]).bare
        known = self.ringing.setdefault(account, [])
        for one in [one for one in known if (one.caller, one.sid) == (caller, sid)] or (
            known[: max(0, len(known) - MOST + 1)]
        ):
            self._forget(one)
        ringing = Ringing(account, caller, sid, stanza, self._host.clock.seconds())
        self.ringing.setdefault(account, []).append(ringing)
        self._host.router.overheard[account] = self.overhear
        ringing.timer = self._host.clock.callLater(PATIENCE, self._out_of_patience, ringing)
        return ringing

    def of(self, stanza: Stanza | None, account: str) -> Ringing | None:
        """The call that a proposal, or what was inside a carbon, is of, if it rings."""
        if stanza is None or account not in self.ringing or PROPOSALS.isdisjoint(stanza.children):
            return None
        proposed = proposal(stanza)
        sid = "" if proposed is None else proposed.attributes.get("id", "")
        caller = parse(stanza.attributes.get("from", account)).bare
        return next(iter(self._found(account, sid, (caller,))), None)

    def heard(self, stanza: Stanza, account: str) -> None:
        """Something came for an account that calls it, or from itself: what of its calls?"""
        sender = parse(stanza.attributes.get("from", account)).bare
        self._said(stanza, account, None if sender == account else (sender,))

    def overhear(self, session: Session, stanza: Stanza) -> None:
        """A session of an account that is called has sent this message to somebody."""
        if SIGNALS.isdisjoint(stanza.children):
            return
        try:
            to = parse(stanza.attributes["to"]).bare
        except JIDMalformed:
            return  # the router says so
        self._said(stanza, session.account, None if to == session.account else (to,))

    def _said(self, stanza: Stanza, account: str, callers: tuple[str, ...] | None) -> None:
        if account not in self.ringing or SIGNALS.isdisjoint(stanza.children):
            return
        for node in children(stanza.tree):
            if node.uri in JINGLE_MESSAGES:
                for one in self._found(account, node.attributes.get("id", ""), callers):
                    if node.name in ENDS:
                        self._withdraw(one)
                        self._forget(one)
                    elif node.name == "ringing":
                        one.is_heard = True

    def _found(self, account: str, sid: str, callers: tuple[str, ...] | None) -> list[Ringing]:
        known = self.ringing.get(account, ())
        return [
            one for one in known if one.sid == sid and (callers is None or one.caller in callers)
        ]

    def _withdraw(self, ringing: Ringing) -> None:
        """Nobody waits any more: wake nobody who was not told."""
        self._calm(ringing)
        for one, counted in ringing.counted.items():
            if one.is_enabled and one.visits == counted.visits and one not in ringing.taken:
                one.withdraw(counted.before, counted.after)
                self._enablements.changed(one)

    def _calm(self, ringing: Ringing) -> None:
        """What is told of a call from now on is not urgent, unless another one rings there."""
        others = [one for one in self.ringing[ringing.account] if one is not ringing]
        for one in ringing.counted:
            if not any(one in other.counted for other in others):
                one.called_at = 0.0
                self._enablements.changed(one)

    # Who got it.

    def is_there(self, account: str) -> None:
        """A session of the account is back, and gets what waits."""
        for one in self.ringing.get(account, ()):
            one.is_heard = True

    def review(self, ringing: Ringing, *, is_last: bool = False) -> bool:
        """Return a call that nobody can get any more. Tells whether it was."""
        is_possible = not is_last and (ringing.hoped or ringing.may_come_back)
        if ringing.is_heard or ringing.taken or is_possible or not self._rings(ringing):
            return False
        self._calm(ringing)
        self._forget(ringing)
        self._returned(ringing)
        self._refuse(ringing.stanza, ringing.account)
        return True

    def _refuse(self, stanza: Stanza, account: str) -> None:
        """Return a call as RFC 6120 §8.3.3.13 asks.

        Who may not see the presence of the account hears what he hears of one that is not there,
        and as often.
        """
        caller, host = parse(stanza.attributes["from"]).bare, self._host

        def tell() -> None:
            if host.rosters[account].may_see(caller) and host.accounts.is_open(account):
                host.router.refuse(stanza, RecipientUnavailable(UNREACHABLE))
            elif host.router.is_told(caller):
                host.router.refuse(stanza, ServiceUnavailable(UNREACHABLE))

        host.rosters.when((account,), tell)

    def _published(self, event: NotificationPublished) -> None:
        if event.account not in self.ringing:
            return
        one = self._enablements.get(event.account, event.service, event.node)
        for ringing in self.ringing[event.account]:
            if one is not None and one in ringing.counted:
                ringing.publishes[event.id] = one

    def _answered(self, event: PublishAnswered) -> None:
        for ringing in list(self.ringing.get(event.account, ())):
            one = ringing.publishes.pop(event.id, None)
            if one is None or one not in ringing.counted:
                continue
            if event.outcome == "accepted":
                ringing.hoped.discard(one)
                ringing.taken.add(one)
            else:  # and once it is known what that means for the enablement:
                self._host.clock.callLater(0, self._refused, ringing, one)

    def _refused(self, ringing: Ringing, one: Enablement) -> None:
        if one not in ringing.counted:
            return
        is_settled = one.pushed.calls >= ringing.counted[one].after.calls
        if is_settled or not one.is_enabled or one.probed_at:
            # It is not tried again, or not soon.
            del ringing.counted[one]
            ringing.hoped.discard(one)
            self.review(ringing)

    def _settled(self, event: PushSettled) -> None:
        """Our own app server knows what became of a push that it took."""
        for ringing in self._concerned(event):
            one = self._enablements.get(ringing.account, event.service, event.node)
            accepted_at = self._host.clock.seconds() - event.seconds
            if event.outcome == "accepted":
                ringing.is_heard = ringing.is_heard or one in ringing.counted
            elif accepted_at >= ringing.at:
                gone = [
                    known
                    for known in ringing.taken
                    if (known.service, known.node) == (event.service, event.node)
                ]
                if gone:
                    ringing.taken.difference_update(gone)
                    self.review(ringing)

    def _concerned(self, event: PushSettled) -> list[Ringing]:
        """The calls to its account; to any, where nobody but who published knows whose it was."""
        if event.account:
            return list(self.ringing.get(event.account, ()))
        return [one for known in self.ringing.values() for one in known]

    # How long.

    def _rings(self, ringing: Ringing) -> bool:
        return ringing in self.ringing.get(ringing.account, ())

    def _out_of_patience(self, ringing: Ringing) -> None:
        ringing.timer = None
        if not self.review(ringing, is_last=True):
            ringing.is_heard = True
            left = RINGS - PATIENCE
            ringing.timer = self._host.clock.callLater(left, partial(self._forget, ringing))

    def _forget(self, ringing: Ringing) -> None:
        timer, ringing.timer = ringing.timer, None
        if timer is not None and timer.active():
            timer.cancel()
        known = self.ringing.get(ringing.account, [])
        if ringing in known:
            known.remove(ringing)
        if not known:
            self.ringing.pop(ringing.account, None)
            self._host.router.overheard.pop(ringing.account, None)

    def forget_account(self, account: str) -> None:
        for one in list(self.ringing.get(account, ())):
            self._forget(one)
