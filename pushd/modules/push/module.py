"""XEP-0357, the user's side: enabling, deciding who is woken, publishing, and the answers."""

import random
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pushd.modules.base import Module, iq, on
from pushd.modules.push import options
from pushd.modules.push.enablements import Enablement, Enablements, Summary
from pushd.modules.push.judge import Kind, Worth, judge
from pushd.modules.push.options import Told
from pushd.modules.push.publish import Verdict, notification, verdict
from pushd.routing.events import (
    AccountRemoved,
    Cause,
    NotificationPublished,
    PublishAnswered,
    PushDecided,
    PushDisabled,
    PushEnabled,
    ServerStarted,
    SessionBound,
    SessionDetached,
    SessionResumed,
    Undelivered,
)
from pushd.routing.requests import IQ, Answer, Refusal, Silence
from pushd.routing.sessions import Session
from pushd.wire import forms
from pushd.wire.element import Element, child, children, element, serialize
from pushd.wire.errors import (
    BadRequest,
    ItemNotFound,
    NotAcceptable,
    NotAllowed,
    RemoteServerNotFound,
)
from pushd.wire.framer import seal
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_OPTIONS,
    NS_FORMS,
    NS_PUBSUB,
    NS_PUSH,
)
from pushd.wire.stanza import Stanza

log = Logger()

FIRST_PAUSE = 10.0  # seconds before a publish is tried again
LONGEST_PAUSE = 900.0


@dataclass(frozen=True, slots=True)
class PushOptions:
    """How accounts are woken."""

    hold: float = 72 * 3600.0  # seconds for which a session with push waits to be resumed
    max_enablements: int = 10  # of one account
    publish_timeout: float = 30.0  # seconds for which an answer is awaited
    stale: float = 86_400.0  # seconds after which a publish is not tried again
    notify_on: str = "messages"  # or "all"
    told: Told = Told()  # noqa: RUF009 - a frozen value; what a push tells unless the account says otherwise


class Push(Module):
    """Hears what was not delivered, and wakes the devices that asked for it."""

    xep = 357
    options: PushOptions

    async def start(self) -> None:
        host = self.host
        self.enablements = Enablements(host.database)
        await self.enablements.load()
        host.disco.add_feature("account", NS_PUSH, owner_only=True)
        host.disco.add_form("account", self._options_form, owner_only=True)
        host.lifecycle.hold_for(self._hold)
        host.router.watch(f"{NS_PUBSUB} pubsub", self._noticed)

    # Enabling and disabling (XEP-0357 §5 and §6).

    # COMPAT: an example of mod_push's README addresses the domain.
    @iq("set", NS_PUSH, "enable", to="account")
    @iq("set", NS_PUSH, "enable", to="server")
    async def enable(self, request: IQ) -> Element | None:
        """XEP-0357 §5; the result echoes only the options that were accepted."""
        session = _owner(request)
        service, node = _target(request.payload)
        if not self.host.router.is_reachable(service.domain):
            raise RemoteServerNotFound(f"no push service can be reached at {service.domain}")
        wanted, publish_options = _forms(request.payload)
        account = session.account
        existing = self.enablements.of(account)
        current = self.enablements.told(account, self.options.told)
        told, accepted = options.accept(current, wanted, may_widen=not existing)
        if accepted:
            self.enablements.set_told(account, told)
        self._store(session, service.full, node, publish_options)
        await self.host.database.committed()
        self.host.events.emit(PushEnabled(account, service.full, node, session.full))
        if not accepted:
            return None
        attributes = {"jid": service.full, **({"node": node} if node else {})}
        return element(NS_PUSH, "enable", options.result(accepted), **attributes)

    def _store(
        self, session: Session, service: str, node: str, publish_options: bytes | None
    ) -> None:
        """Make the enablement, or bind a known one to this session with its new options."""
        now = self.host.clock.seconds()
        one = self.enablements.get(session.account, service, node)
        if one is None:
            self._make_room(session.account)
            one = Enablement(session.account, service, node, publish_options, session.full, now)
        else:
            self._leave_old_session(one, session)
            one.options = publish_options
            one.session = session.full
            one.used_at = now
            one.failures = 0
            one.queued = one.pushed = Summary()
        self.enablements.put(one)

    def _make_room(self, account: str) -> None:
        """Evict the one that was used least recently, when the account has its fill."""
        known = self.enablements.of(account)
        if len(known) >= self.options.max_enablements:
            self._remove(min(known, key=lambda one: one.used_at), "evicted by a newer one")

    def _leave_old_session(self, one: Enablement, session: Session) -> None:
        """The device is back under another resource: what waits for the old one is its own."""
        if one.session == session.full:
            return
        old = self.host.sessions.get(parse(one.session))
        if old is not None and old.is_detached:
            self.host.lifecycle.end(old, "its device came back as another", heir=session)

    @iq("set", NS_PUSH, "disable", to="account")
    @iq("set", NS_PUSH, "disable", to="server")
    async def disable(self, request: IQ) -> Element | None:
        """XEP-0357 §6: one node, or all that are enabled at a service."""
        session = _owner(request)
        service, node = _target(request.payload)
        named = "node" in request.payload.attributes
        found = [
            one
            for one in self.enablements.of(session.account)
            if one.service == service.full and (not named or one.node == node)
        ]
        if not found:
            raise ItemNotFound("nothing is enabled there")
        for one in found:
            self._remove(one, "disabled by the client")
        await self.host.database.committed()
        return None

    @iq("get", NS_PUSH, "enable", to="account")
    @iq("get", NS_PUSH, "disable", to="account")
    def refuse_get(self, request: IQ) -> Element | None:
        raise NotAllowed("push is enabled and disabled by requests of type set")

    def _remove(self, one: Enablement, reason: str) -> None:
        self.enablements.remove(one)
        self.host.events.emit(PushDisabled(one.account, one.service, one.node, reason))

    def _options_form(self, request: IQ) -> Element:
        """The options in force, for the account's own disco#info."""
        told = self.enablements.told(request.sender.bare, self.options.told)
        return options.result(options.all_of(told))

    # Deciding.

    @on(Undelivered)
    def decide(self, event: Undelivered) -> None:
        """Count a stanza for the devices that wait for it, and wake them."""
        known = self.enablements.of(event.account)
        if not known:
            return
        worth = judge(event.stanza)
        for one in known:
            if self._concerns(one, event):
                self._count(one, worth, event.cause)

    def _concerns(self, one: Enablement, event: Undelivered) -> bool:
        if event.cause is not Cause.ABSENT:
            return event.session is not None and one.session == event.session.full
        if event.session is not None and one.session == event.session.full:
            return False  # it was counted when it was queued on that very session
        return not one.session or self.host.sessions.get(parse(one.session)) is None

    def _count(self, one: Enablement, worth: Worth, cause: Cause) -> None:
        counts = worth.kind in (Kind.MESSAGE, Kind.SUBSCRIPTION)
        if worth.kind is Kind.OTHER and self.options.notify_on == "all":
            counts = True
        reason = cause.value if counts else worth.reason
        self.host.events.emit(PushDecided(one.account, one.service, one.node, counts, reason))
        if counts:
            one.queued = one.queued.plus(worth)
            self.enablements.changed(one)
            self._publish_news(one)

    @on(SessionDetached)
    def count_unacknowledged(self, event: SessionDetached) -> None:
        """One push for all that stood unacknowledged when the stream was lost."""
        session = event.session
        bound = self.enablements.bound_to(session.account, session.full)
        if not bound or session.queue is None:
            return
        worths = [judge(seal(data)) for data, _, _ in session.queue]
        for one in bound:
            before = one.in_flight
            one.in_flight = True
            for worth in worths:
                self._count(one, worth, Cause.DETACHED)
            one.in_flight = before
            self._publish_news(one)

    @on(ServerStarted)
    def catch_up(self, event: ServerStarted) -> None:
        """Push what was queued before the last stop and not pushed yet."""
        for one in self.enablements.everyone():
            self._publish_news(one)

    @on(SessionResumed)
    def welcome_back(self, event: SessionResumed) -> None:
        self._reset(event.session)

    @on(SessionBound)
    def welcome_anew(self, event: SessionBound) -> None:
        self._reset(event.session)

    def _reset(self, session: Session) -> None:
        """The device is back: what it was told counts no more."""
        for one in self.enablements.bound_to(session.account, session.full):
            if one.queued != Summary():
                one.queued = one.pushed = Summary()
                self.enablements.changed(one)

    def _hold(self, session: Session) -> float:
        bound = self.enablements.bound_to(session.account, session.full)
        return self.options.hold if bound else 0.0

    @on(AccountRemoved)
    def forget(self, event: AccountRemoved) -> None:
        for one in self.enablements.of(event.account):
            self._remove(one, "the account was removed")

    # Publishing.

    def _publish_news(self, one: Enablement) -> None:
        """One publish at a time: what comes while it is under way goes out with the next."""
        if not one.in_flight and one.has_news:
            one.in_flight = True
            Deferred.fromCoroutine(self._publish(one)).addErrback(self._broke, one)

    async def _publish(self, one: Enablement) -> None:
        began = self.host.clock.seconds()
        pause = FIRST_PAUSE
        while self._is_current(one) and one.has_news:
            told = self.enablements.told(one.account, self.options.told)
            queued = one.queued
            answer = await self._ask(one, queued, told)
            if not self._is_current(one):
                break
            match verdict(answer):
                case Verdict.ACCEPTED:
                    self._accepted(one, queued)
                    began, pause = self.host.clock.seconds(), FIRST_PAUSE
                case Verdict.REMOVE:
                    self._remove(one, f"refused by the service: {_condition(answer)}")
                case Verdict.COUNT:
                    one.failures += 1
                    one.pushed = queued
                    self.enablements.changed(one)
                case Verdict.LATER:
                    if self.host.clock.seconds() + pause > began + self.options.stale:
                        break
                    await self._sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                    pause = min(2 * pause, LONGEST_PAUSE)
        one.in_flight = False

    async def _ask(self, one: Enablement, queued: Summary, told: Told) -> Answer:
        """Publish once, and tell the listeners."""
        emit = self.host.events.emit
        # The queue that this push is about is on disk before anybody is told of it.
        await self.host.database.committed()
        domain = one.account.rpartition("@")[2]
        id = self.host.requests.new_id()
        emit(
            NotificationPublished(
                one.account, one.service, one.node, id, queued.messages, queued.subscriptions
            )
        )
        payload = notification(one, queued, told)
        answer = await self.host.requests.ask(
            one.service, domain, payload, timeout=self.options.publish_timeout, id=id
        )
        outcome = {Refusal: "refused", Silence: "silence"}.get(type(answer), "accepted")
        emit(PublishAnswered(one.account, one.service, one.node, id, outcome, _condition(answer)))
        return answer

    def _accepted(self, one: Enablement, queued: Summary) -> None:
        """The service has it. A device that came back meanwhile starts from nothing anyway."""
        one.failures = 0
        one.used_at = self.host.clock.seconds()
        if one.queued != Summary():
            one.pushed = queued
        self.enablements.changed(one)

    def _is_current(self, one: Enablement) -> bool:
        return self.enablements.get(*one.key) is one

    def _sleep(self, seconds: float) -> "Deferred[None]":
        woken: Deferred[None] = Deferred()
        self.host.clock.callLater(seconds, woken.callback, None)
        return woken

    def _broke(self, failure: object, one: Enablement) -> None:
        one.in_flight = False
        log.error("a publish broke: {failure}", failure=failure)

    # The service's notice (XEP-0357 §8 and XEP-0060 §8.9.2).

    def _noticed(self, stanza: Stanza, to: JID) -> None:
        pubsub = child(stanza.tree, NS_PUBSUB, "pubsub")
        if pubsub is None:
            return
        for node, affiliation in _affiliations(pubsub):
            if affiliation.attributes.get("affiliation") != "none":
                continue
            named = affiliation.attributes.get("jid", to.bare)
            one = self.enablements.get(to.bare, stanza.attributes["from"], node)
            if one is not None and named in (to.bare, to.domain):
                self._remove(one, "the service gave notice")


def _affiliations(pubsub: Element) -> list[tuple[str, Element]]:
    """Node and affiliation, in XEP-0357's shape and in XEP-0060's."""
    found = []
    for part in children(pubsub):
        if part.name == "affiliation":
            found.append((pubsub.attributes.get("node", ""), part))
        elif part.name == "affiliations":
            found.extend((part.attributes.get("node", ""), inner) for inner in children(part))
    return found


def _owner(request: IQ) -> Session:
    """The session that asks for its own account; nobody asks for another."""
    if request.session is None or request.recipient.full not in (
        request.sender.bare,
        request.sender.domain,
    ):
        raise NotAllowed("push is enabled for one's own account")
    return request.session


def _target(payload: Element) -> tuple[JID, str]:
    """The service and node that an `<enable/>` or `<disable/>` names."""
    address = payload.attributes.get("jid")
    if not address:
        raise BadRequest("jid: the address of the push service is missing")
    node = payload.attributes.get("node")
    if node == "":
        raise NotAcceptable("node: an empty name is none")
    return parse(address), node or ""


def _forms(payload: Element) -> tuple[dict[str, bool], bytes | None]:
    """The options that are wanted, and the publish-options to keep, as XML."""
    wanted: dict[str, bool] = {}
    publish_options: bytes | None = None
    for node in children(payload):
        if node.name != "x" or node.uri != NS_FORMS:
            continue
        try:
            form = forms.read(node)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        if form.type in ("cancel", "result"):
            continue
        if form.form_type == FORM_PUSH_OPTIONS and not wanted:
            wanted = dict(options.read(form))
        elif form.form_type == FORM_PUBLISH_OPTIONS and publish_options is None:
            if len(form.fields.get("secret", ("",))) != 1:
                raise BadRequest("secret: exactly one value is expected")
            publish_options = serialize(forms.submit(FORM_PUBLISH_OPTIONS, form.fields))
    return wanted, publish_options


def _condition(answer: Answer) -> str:
    return answer.condition if isinstance(answer, Refusal) else ""
