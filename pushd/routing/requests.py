"""IQ requests: who answers which, each exactly once; and the questions we ask (RFC 6120 §8.2.3).

A request has one owner, found in one dictionary. What a handler returns or raises becomes
the answer here and nowhere else.
"""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.routing.delivery import STUCK
from pushd.routing.sessions import Session
from pushd.storage.errors import StorageError
from pushd.wire.element import Element, child, children, element, escape, text
from pushd.wire.errors import BadRequest, InternalServerError, ServiceUnavailable, StanzaError
from pushd.wire.jid import JID, parse
from pushd.wire.letter import Written
from pushd.wire.namespaces import NS_CLIENT, NS_STANZA_ERRORS
from pushd.wire.stanza import Stanza

if TYPE_CHECKING:
    from pushd.routing.router import Router

log = Logger()

DRAWN = 64  # ids at a time
OUTSTANDING = 100  # requests of a session that may be answered at a time; then it is not read


@dataclass(slots=True)
class IQ:
    """A request that is being answered. `session` is the asker's, when it is one of ours."""

    stanza: Stanza
    sender: JID
    recipient: JID
    session: Session | None

    @property
    def id(self) -> str:
        return self.stanza.id

    @property
    def type(self) -> str:
        return self.stanza.type

    @property
    def payload(self) -> Element:
        return next(children(self.stanza.tree))


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a question of ours; None where it has no payload."""

    stanza: Stanza | None

    @property
    def payload(self) -> Element | None:
        """Read only if somebody asks for it."""
        return None if self.stanza is None else next(children(self.stanza.tree), None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A question of ours was answered with an error (RFC 6120 §8.3)."""

    condition: str
    type: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """A question of ours was not answered in time."""


Answer = Result | Refusal | Silence
Payload = Element | Written | None
Handler = Callable[[IQ], "Payload | Coroutine[Any, Any, Payload]"]


class Requests:
    """The table of IQ handlers, and the questions under way."""

    def __init__(self, clock: IReactorTime) -> None:
        self.router: Router
        self.absent: Handler  # answers in place of an account that is not there
        self._clock = clock
        self._ids: list[str] = []
        self._handlers: dict[tuple[str, str, str], Handler] = {}
        self._asked: dict[str, tuple[str, Deferred[Answer], IDelayedCall]] = {}

    def add(self, type: str, namespace: str, name: str, to: str, handler: Handler) -> None:
        """Let `handler` answer requests of this type and payload.

        `to` is "account" (the bare JID of a local account), "server" (a domain served
        here) or the name of one host, which goes before "server" if it is a served domain.
        The name `*` is for all of the namespace that nobody else there claims.
        A key claimed twice is a ValueError.
        """
        key = (to, type, f"{namespace} {name}")
        if key in self._handlers:
            raise ValueError(f"two handlers for {key}")
        self._handlers[key] = handler

    def handle(
        self,
        stanza: Stanza,
        to: JID,
        where: str,
        session: Session | None = None,
        is_there: bool = True,
    ) -> None:
        """Answer a request addressed to one of us, now or when its handler is done.

        What is addressed to an account that is not there gets the answer that a stranger to
        an account gets, for the same work.
        """
        if stanza.type not in ("get", "set"):
            self._answered(stanza)
            return
        request = IQ(stanza, parse(stanza.attributes["from"]), to, session)
        if len(stanza.children) != 1:
            self.router.refuse(stanza, BadRequest("a request has exactly one child element"))
            return
        handler = self._find(where, to, stanza)
        if handler is None:
            self.router.refuse(stanza, ServiceUnavailable())
            return
        if stanza.type == "set" and self.router.is_stuck:
            self.router.refuse(stanza, STUCK)  # most change something that is stored
            return
        if not is_there:
            handler = self.absent
        try:
            answer = handler(request)
        except Exception as error:  # noqa: BLE001 - the asker gets an answer whatever happens
            self._refuse(request, error)
            return
        if answer is None or isinstance(answer, Element | Written):
            self._reply(request, answer)
        else:
            self._await(request, answer)

    def _find(self, where: str, to: JID, stanza: Stanza) -> Handler | None:
        """The one who answers; of a served domain first whoever named that very domain."""
        child = stanza.children[0]
        whatever = f"{child.rpartition(' ')[0]} *"
        places = (to.domain, where) if where == "server" else (where,)
        for place in places:
            for payload in (child, whatever):
                found = self._handlers.get((place, stanza.type, payload))
                if found is not None:
                    return found
        return None

    def _await(self, request: IQ, answer: Coroutine[Any, Any, Payload]) -> None:
        """The answer comes later; until then the asker's `h` does not cover its request."""
        session = request.session
        handled = session.handled if session else None
        number = handled.received if handled else 0
        held = None
        if handled:
            handled.hold(number)
        if session is not None:
            session.outstanding += 1
            if session.outstanding > OUTSTANDING and session.stream is not None:
                held = session.stream
                held.hold()

        def done(ignored: object) -> None:
            if handled:
                handled.release(number)
            if session is not None:
                session.outstanding -= 1
            if held is not None:
                held.release()

        deferred = Deferred.fromCoroutine(answer)
        deferred.addCallbacks(
            lambda payload: self._reply(request, payload),
            lambda failure: self._refuse(request, failure.value),
        )
        deferred.addBoth(done)

    def _reply(self, request: IQ, payload: Payload) -> None:
        attributes = {
            "type": "result",
            "id": request.id,
            "from": request.recipient.full,
            "to": request.sender.full,
        }
        if isinstance(payload, Written):
            head = "".join([f" {name}='{escape(value)}'" for name, value in attributes.items()])
            raw = f"<iq{head}>{payload.xml}</iq>".encode()
            stanza = Stanza(NS_CLIENT, "iq", attributes, (payload.name,), raw)
        else:
            content = () if payload is None else (payload,)
            stanza = Stanza.of(element(NS_CLIENT, "iq", *content, **attributes))
        if request.session is not None and request.session.stream is not None:
            # Who asks for much has sent as much: a roster takes longer than its request.
            request.session.stream.charge(len(stanza.raw))
        self.router.route(stanza)

    def _refuse(self, request: IQ, error: BaseException) -> None:
        if isinstance(error, StorageError):  # of which storage has said enough
            error = STUCK
        elif not isinstance(error, StanzaError):
            log.error(
                "answering {stanza} failed: {error!r}",
                stanza=request.stanza,
                error=type(error).__name__,
                log_failure=Failure(error),
            )
            error = InternalServerError()
        self.router.refuse(request.stanza, error)

    def new_id(self) -> str:
        """An id for a question that nobody can guess."""
        if not self._ids:  # asking the system for each takes longer than all else
            drawn = urlsafe_b64encode(secrets.token_bytes(9 * DRAWN)).decode()
            self._ids = [drawn[start : start + 12] for start in range(0, len(drawn), 12)]
        return self._ids.pop()

    def ask(
        self,
        to: str,
        sender: str,
        payload: Element,
        type: str = "set",
        timeout: float = 30.0,
        id: str = "",
    ) -> "Deferred[Answer]":
        """Send a request; fires with the answer, or with `Silence` after `timeout` seconds."""
        id = id or self.new_id()
        question = element(NS_CLIENT, "iq", payload, type=type, id=id, from_=sender, to=to)
        return self.send(Stanza.of(question), timeout)

    def send(self, question: Stanza, timeout: float = 30.0) -> "Deferred[Answer]":
        """The same for a request that is sealed already; its id is one of `new_id`."""
        id = question.id
        late = self._clock.callLater(timeout, self._finish, id, Silence())
        answered: Deferred[Answer] = Deferred()
        self._asked[id] = (question.attributes["to"], answered, late)
        self.router.route(question)
        return answered

    def is_ours(self, stanza: Stanza) -> bool:
        """Whether this is a question of ours that awaits its answer."""
        asked = self._asked.get(stanza.id)
        return asked is not None and asked[0] == stanza.attributes.get("to")

    def _answered(self, stanza: Stanza) -> None:
        """An answer came: it counts only from whom we asked, however that is written."""
        asked = self._asked.get(stanza.id)
        if asked is None:
            return
        sender = stanza.attributes["from"]
        if sender != asked[0] and parse(sender) != parse(asked[0]):
            return
        if stanza.type == "result":
            self._finish(stanza.id, Result(stanza if stanza.children else None))
        elif stanza.type == "error":
            self._finish(stanza.id, _refusal(stanza))

    def _finish(self, id: str, answer: Answer) -> None:
        asked = self._asked.pop(id, None)
        if asked is not None:
            _, answered, late = asked
            if late.active():
                late.cancel()
            answered.callback(answer)


def _refusal(stanza: Stanza) -> Refusal:
    error = child(stanza.tree, NS_CLIENT, "error")
    if error is None:
        return Refusal("undefined-condition", "cancel")
    conditions = [node for node in children(error) if node.uri == NS_STANZA_ERRORS]
    names = [node.name for node in conditions if node.name != "text"]
    said = text(child(error, NS_STANZA_ERRORS, "text"))
    return Refusal(
        names[0] if names else "undefined-condition",
        error.attributes.get("type", "cancel"),
        said,
    )
