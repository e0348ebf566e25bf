"""XEP-0357, the user's side: enabling, deciding who is woken, and what ends that."""

from collections.abc import Iterable

from pushd.modules.base import Module, iq, on
from pushd.modules.push import options
from pushd.modules.push.calls import SIGNALS
from pushd.modules.push.deciding import TEST, Decider
from pushd.modules.push.enablements import Enablement, Enablements
from pushd.modules.push.enabling import Target, Wishes, named, target, wishes
from pushd.modules.push.extensions import FEATURES
from pushd.modules.push.farewells import Farewell, Farewells
from pushd.modules.push.judge import PROPOSALS
from pushd.modules.push.notices import ended_nodes
from pushd.modules.push.pausing import Pauses
from pushd.modules.push.publisher import Publisher, PushOptions
from pushd.modules.push.shown import Shown
from pushd.modules.push.waking import LastCalls
from pushd.routing.delivery import unacknowledged
from pushd.routing.events import (
    AccountEnabled,
    AccountRemoved,
    Cause,
    PushDecided,
    PushDisabled,
    PushEnabled,
    PushPaused,
    PushUnpaused,
    ServerStarted,
    SessionAvailable,
    SessionBound,
    SessionCaughtUp,
    SessionDetached,
    SessionEnded,
    SessionResumed,
    Undelivered,
)
from pushd.routing.requests import IQ, Answer
from pushd.routing.sessions import Session
from pushd.wire.element import Element, element
from pushd.wire.errors import (
    FeatureNotImplemented,
    ItemNotFound,
    NotAllowed,
    RemoteServerNotFound,
)
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import NS_CLIENT, NS_PUBSUB, NS_PUSH
from pushd.wire.stanza import Stanza

__all__ = ["Push", "PushOptions"]

ANNOUNCED = "push"  # the note on a session: so many of its stanzas were overdue, and counted


class Push(Module):
    """Hears what was not delivered, and wakes the devices that asked for it.

    Where sessions cannot be resumed at all, nothing is offered and nobody is woken.
    """

    xep = 357
    options: PushOptions

    async def start(self) -> None:
        host = self.host
        self.enablements = Enablements(host.database)
        self.pauses = Pauses(host.clock, host.database, self._unpaused)
        self.publisher = Publisher(host, self.enablements, self.pauses, self.options, self._refused)
        self.decider = Decider(host, self.enablements, self.publisher, self.options)
        self.last_calls = LastCalls(host.clock, self.decider.call_last)
        await self.enablements.load(host.clock.seconds())
        await self.pauses.load()
        self.farewells = Farewells(host.clock, host.database)
        await self.farewells.load()
        host.push.enablements = Shown(self)
        if host.lifecycle.can_resume:
            for feature in (NS_PUSH, *FEATURES):
                host.disco.add_feature("account", feature, owner_only=True)
            host.disco.add_form("account", self._options_form, owner_only=True)
            host.lifecycle.hold_for(self._hold)
        host.router.watch(f"{NS_PUBSUB} pubsub", self._noticed)
        for name in PROPOSALS:
            host.router.watch(name, self.decider.called)
        for name in SIGNALS:
            host.router.watch(name, self._signalled)
        for account in {one.account for one in self.enablements.everyone()}:
            self._attend(account)

    # Enabling and disabling (XEP-0357 §5 and §6).
    # COMPAT: an example of mod_push's README addresses the domain of the account.

    @iq("set", NS_PUSH, "enable", to="account")
    @iq("set", NS_PUSH, "enable", to="server")
    async def answer_enable(self, request: IQ) -> Element | None:
        """XEP-0357 §5; the result echoes only the options that were accepted."""
        session = await self._owner(request)
        if not self.host.lifecycle.can_resume:
            raise FeatureNotImplemented("push needs sessions that can be resumed")
        service, wanted = target(request.payload), wishes(request.payload)
        if service.domain in self.host.domains and "@" in service.service:
            # Nobody has this server write to another, or to a session of his own without end.
            raise NotAllowed("jid: an account is no push service")
        if not self.host.router.is_reachable(service.domain):
            raise RemoteServerNotFound(f"no push service can be reached at {service.domain}")
        account = session.account
        told, accepted = options.accept(
            self.enablements.told(account, self.options.told),
            wanted.switches,
            may_widen=not self.enablements.of(account),
        )
        is_new = self.enablements.get(account, service.service, service.node or "") is None
        one = self._enable(session, service, wanted)
        if accepted:
            self.enablements.set_told(account, told)
        self.host.events.emit(PushEnabled(account, one.service, one.node, session.full, is_new))
        await self.host.database.committed()
        if not accepted:
            return None
        return named("enable", one.service, one.node, options.result(accepted))

    def _enable(self, session: Session, service: Target, wanted: Wishes) -> Enablement:
        """Make the enablement, in place of one that is known: what that was answered is old now."""
        account, now = session.account, self.host.clock.seconds()
        known = self.enablements.get(account, service.service, service.node or "")
        one = Enablement(
            account,
            service.service,
            service.node or "",
            wanted.publish_options,
            session.full,
            created_at=now,
            used_at=now,
            wishes=wanted.extensions,
        )
        if known is not None:
            self._leave_old_session(known, session)
            self.publisher.forget(known)
            one.created_at, one.published_at = known.created_at, known.published_at
        self.enablements.put(one)
        self.farewells.forget(*one.key)
        self._make_room(one)
        self._attend(account)
        return one

    def _attend(self, account: str) -> None:
        """Hear of what others of an account get, if a device is to be woken beside them."""
        attended = self.host.router.attended
        wishes = [one.wishes for one in self.enablements.of(account)]
        if any(one is not None and one.away for one in wishes):
            attended[account] = self.decider.attended
        else:
            attended.pop(account, None)

    def _leave_old_session(self, one: Enablement, session: Session) -> None:
        """The device is back under another resource: what waits for the old one is its own."""
        old = self.decider.session_of(one)
        if old is not None and old is not session and old.is_detached:
            self.host.lifecycle.end(old, "its device came back as another", heir=session)

    def _make_room(self, newest: Enablement) -> None:
        """Evict those that were used least recently, when the account has too many."""
        others = [one for one in self.enablements.of(newest.account) if one is not newest]
        others.sort(key=lambda one: one.used_at, reverse=True)
        for one in others[self.options.max_enablements - 1 :]:
            self._give_up(one, "evicted by a newer one", newest.session)

    @iq("set", NS_PUSH, "disable", to="account")
    @iq("set", NS_PUSH, "disable", to="server")
    async def answer_disable(self, request: IQ) -> None:
        """XEP-0357 §6: one node, or all that are enabled at a service."""
        session, gone = await self._owner(request), target(request.payload)
        found = [
            one
            for one in self.enablements.of(session.account)
            if one.service == gone.service and gone.node in (None, one.node)
        ]
        if not found:
            raise ItemNotFound("nothing is enabled there")
        for one in found:
            self._remove(one, "disabled by the client", session.full)
        await self.host.database.committed()

    @iq("get", NS_PUSH, "*", to="account")
    @iq("get", NS_PUSH, "*", to="server")
    @iq("set", NS_PUSH, "*", to="account")
    @iq("set", NS_PUSH, "*", to="server")
    async def refuse(self, request: IQ) -> None:
        if request.recipient.local:
            await self.visible(request)
        raise NotAllowed("push is enabled and disabled, by requests of type set")

    async def _owner(self, request: IQ) -> Session:
        """The session that asks for its own account; nobody asks for another."""
        if request.recipient.local:
            return await self.owner(request, NotAllowed)
        if request.session is None or request.recipient.full != request.sender.domain:
            raise NotAllowed("push is enabled for one's own account")
        return request.session

    def _options_form(self, request: IQ) -> Element:
        """The options in force, for the account's own disco#info."""
        told = self.enablements.told(request.sender.bare, self.options.told)
        return options.result(options.all_of(told))

    # Deciding.

    @on(Undelivered)
    def decide(self, event: Undelivered) -> None:
        """Count a stanza for the devices that wait for it, and wake them."""
        self.decider.undelivered(event)
        session = event.session
        if event.cause is not Cause.UNACKED or session is None:
            return
        if self.decider.bound_to(session) or self.decider.strays(session):
            # Through a crash, too, nobody hears of it twice.
            self.host.lifecycle.note(session, ANNOUNCED, session.announced)

    @on(SessionDetached)
    def count_unacknowledged(self, event: SessionDetached) -> None:
        """One push for all that stood unacknowledged when the stream was lost."""
        session = event.session
        self.decider.left(session, unacknowledged(session, session.notes.get(ANNOUNCED, 0)))
        if self.decider.bound_to(session):
            self.last_calls.expect(session)

    @on(ServerStarted)
    def catch_up(self, event: ServerStarted) -> None:
        """Push what was queued before the last stop and not pushed yet."""
        self.publisher.open()
        for one in self.enablements.everyone():
            session = self.decider.session_of(one)
            if session is not None and session.is_detached:
                self.last_calls.expect(session)

    @on(SessionBound)
    @on(SessionResumed)
    @on(SessionCaughtUp)
    def welcome_back(self, event: SessionBound | SessionResumed | SessionCaughtUp) -> None:
        """The device is there: what it was told counts no more."""
        self.last_calls.cancel(event.session)
        if ANNOUNCED in event.session.notes and isinstance(event, SessionResumed):
            self.host.lifecycle.note(event.session, ANNOUNCED, None)  # it is sent all again
        self.decider.calls.is_there(event.session.account)
        self._reset(self.decider.bound_to(event.session))
        if not isinstance(event, SessionBound):  # it takes nothing before it is available
            self._reset(self.decider.strays(event.session))

    def _reset(self, known: Iterable[Enablement]) -> None:
        for one in known:
            if one.reset():
                self.enablements.changed(one)

    @on(SessionEnded)
    def forget_session(self, event: SessionEnded) -> None:
        self.last_calls.cancel(event.session)

    def _hold(self, session: Session) -> float:
        return self.options.hold if self.decider.bound_to(session) else 0.0

    # What operators and owners ask for, besides enabling.

    def pause(self, account: str, until: float | None, by: str = "") -> None:
        """Publish nothing for an account until then (None: until `unpause`).

        What would have been pushed is counted, and goes out as one when that is over.
        """
        if until is not None and until <= self.host.clock.seconds():
            self.unpause(account, by)
            return
        self.pauses.begin(account, until)
        self.host.events.emit(PushPaused(account, until, by))

    def unpause(self, account: str, by: str = "") -> bool:
        """End a pause; tells whether there was one."""
        if not self.pauses.end(account):
            return False
        self._unpaused(account, by)
        return True

    def paused_until(self, account: str) -> float | None:
        """When the pause of an account ends: infinity if nobody knows, None if there is none."""
        return self.pauses.until(account)

    def _unpaused(self, account: str, by: str = "") -> None:
        self.host.events.emit(PushUnpaused(account, by))
        self._tell_all(account)

    @on(AccountEnabled)
    def tell_what_is_left(self, event: AccountEnabled) -> None:
        """What was not told before the account was disabled is told now."""
        self._tell_all(event.account)

    def _tell_all(self, account: str) -> None:
        for one in self.enablements.of(account):
            self.publisher.tell(one)

    async def test(self, one: Enablement) -> Answer:
        """Publish what stands at once, paused or not; gives what the push service answered.

        A refusal for good ends the enablement as at any other time.
        """
        self.host.events.emit(PushDecided(one.account, one.service, one.node, True, TEST))
        return await self.publisher.test(one)

    def disable(self, one: Enablement, reason: str, by: str = "") -> bool:
        """Disable it, and tell its device when that is next there; False if it is no more."""
        if not self.enablements.is_current(one):
            return False
        self._give_up(one, reason, by)
        return True

    # What ends an enablement.

    def _remove(self, one: Enablement, reason: str, by: str = "") -> None:
        self.publisher.forget(one)
        self.enablements.remove(one)
        self._attend(one.account)
        self.host.events.emit(PushDisabled(one.account, one.service, one.node, reason, by))

    def _refused(self, one: Enablement, reason: str) -> None:
        self._give_up(one, reason, one.service)

    def _give_up(self, one: Enablement, reason: str, by: str) -> None:
        """Remove what its client still counts on."""
        self._remove(one, reason, by)
        self._let_go(self.decider.session_of(one))
        session = self.decider.session_of(one)
        if session is not None:
            self._say_farewell(session, one)
        else:
            self.farewells.keep(one.account, one.service, one.node, one.session)

    def _say_farewell(self, session: Session, one: Enablement | Farewell) -> None:
        """Let the client know, so that it can enable anew."""
        gone = named("disable", one.service, one.node)
        message = element(NS_CLIENT, "message", gone, from_=one.account, to=session.full)
        self.host.delivery.deliver(session, Stanza.of(message))

    @on(SessionAvailable)
    def say_farewells(self, event: SessionAvailable) -> None:
        """Tell a device that is there again of what ended while it was away."""
        session = event.session
        if session.priority >= 0:
            self._reset(self.decider.strays(session))
        self.farewells.say(
            session.account,
            session.full,
            bool(self.decider.bound_to(session)),
            lambda one: self._say_farewell(session, one),
        )

    def _noticed(self, message: Stanza, to: JID) -> None:
        """The service ended it, which it says to the client, too: the message goes on there."""
        service = parse(message.attributes["from"]).full
        for node in ended_nodes(message, to):
            one = self.enablements.get(to.bare, service, node)
            if one is not None:
                self._remove(one, "the service gave notice", service)
                self._let_go(self.decider.session_of(one))

    def _signalled(self, message: Stanza, to: JID) -> None:
        """A caller gives up, or a device of the account says to the others what it did."""
        self.decider.calls.heard(message, to.bare)

    def _let_go(self, session: Session | None) -> None:
        """A detached session that nothing wakes is held no longer than its client was told."""
        if session is not None:
            self.host.lifecycle.release(session, "its device is registered for push no more")

    @on(AccountRemoved)
    def forget_account(self, event: AccountRemoved) -> None:
        for one in self.enablements.of(event.account):
            self._remove(one, "the account was removed")
        self.farewells.forget_all(event.account)
        self.pauses.end(event.account)
        self.decider.calls.forget_account(event.account)
