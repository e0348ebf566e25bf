"""XEP-0050: Ad-Hoc Commands of one stage, or of one form and its submission.

A command is declared for a host and a node. Sessions are not kept: what a command needs
is in the form that is submitted, so a session id is only made, and told back.
"""

import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from pushd.routing.disco import Disco, Identity, Info, Item, MakeItems
from pushd.routing.requests import IQ, Requests
from pushd.wire import forms
from pushd.wire.element import Element, element
from pushd.wire.errors import BadRequest, ItemNotFound, NotAllowed, StanzaError
from pushd.wire.namespaces import NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS, NS_FORMS

__all__ = [
    "Commands",
    "Completed",
    "Executing",
    "Guard",
    "Handler",
    "Invocation",
    "Note",
    "Reply",
    "bad_action",
    "bad_payload",
    "bad_session",
    "malformed_action",
    "session_expired",
]

_STEPS = frozenset(("prev", "next"))


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command is to be executed: with the form submitted, or without any."""

    node: str
    session: str
    form: forms.Form | None


@dataclass(frozen=True, slots=True)
class Note:
    """A line for people; `type` is info, warn or error (XEP-0050 §4.3)."""

    text: str
    type: str = "info"


@dataclass(frozen=True, slots=True)
class Completed:
    """The command is done. One that failed says so in a note of type error."""

    form: Element | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Executing:
    """The command needs this form filled in; the first action is the default one."""

    form: Element
    notes: tuple[Note, ...] = ()
    actions: tuple[str, ...] = ("complete",)


Reply = Completed | Executing
Handler = Callable[[IQ, Invocation], "Reply | Coroutine[Any, Any, Reply]"]
Guard = Callable[[IQ], Awaitable[object]]


class _Command(NamedTuple):
    name: str  # for people
    handler: Handler
    may_use: Callable[[IQ], None]


class Commands:
    """Which host offers which commands, as discovered and as executed."""

    def __init__(self, requests: Requests, disco: Disco) -> None:
        self._requests = requests
        self._disco = disco
        self._commands: dict[str, dict[str, _Command]] = {}
        self._guards: dict[str, Guard] = {}

    def guard(self, host: str, may_use: Guard) -> None:
        """Have `may_use` asked before a command of this host is executed or listed.

        It raises the StanzaError that is said to who may not; to him the list is empty, and the
        feature is hidden from all but the account itself. To be said before the first `add`.
        """
        self._guards[host] = may_use

    def add(
        self,
        host: str,
        node: str,
        name: str,
        handler: Handler,
        may_use: Callable[[IQ], None] = lambda request: None,
    ) -> None:
        """Offer a command; `host` as in `Disco`, `name` for people.

        The handler refuses by raising a StanzaError; so does `may_use`, for who may not use it
        at all and therefore does not find it in the list (§3.2). Raises ValueError when the
        host has this node already.
        """

        async def about(request: IQ) -> Info:
            if not await self._is_welcome(host, request):
                raise ItemNotFound("no such node")
            may_use(request)
            return _about(name)

        self._disco.add_node(host, node, about)
        if host not in self._commands:
            self._commands[host] = {}
            self._serve(host)
        self._commands[host][node] = _Command(name, handler, may_use)

    def _serve(self, host: str) -> None:
        async def execute(request: IQ) -> Element:
            return await self._execute(host, request)

        async def refuse(request: IQ) -> Element:
            await self._check(host, request)
            raise BadRequest("a command is executed by a request of type set")

        async def items(request: IQ) -> list[Item]:
            if not await self._is_welcome(host, request):
                return []
            jid = request.recipient.full
            return [Item(jid, node, name) for node, name in self._offered(host, request)]

        self._requests.add("set", NS_COMMANDS, "command", host, execute)
        self._requests.add("get", NS_COMMANDS, "command", host, refuse)
        if host in self._guards:
            self._disco.add_feature(host, NS_COMMANDS, owner_only=True)
        else:
            self._disco.add_info(host, lambda request: self._announced(host, request))
        self._disco.add_node(host, NS_COMMANDS, lambda request: _LIST, items)
        if host in self._guards:
            self._disco.add_items(host, self._pointer(host))

    def _announced(self, host: str, request: IQ) -> Info:
        """The feature, to whom there is a command to use."""
        return Info(features=(NS_COMMANDS,) if any(self._usable(host, request)) else ())

    def _pointer(self, host: str) -> MakeItems:
        """Has who looks at what there is find the list (XEP-0050 §2.2)."""

        async def items(request: IQ) -> list[Item]:
            if not await self._is_welcome(host, request):
                return []
            return [Item(request.recipient.full, NS_COMMANDS, "Ad-Hoc Commands")]

        return items

    async def _is_welcome(self, host: str, request: IQ) -> bool:
        try:
            await self._check(host, request)
        except StanzaError:
            return False
        return True

    async def _check(self, host: str, request: IQ) -> None:
        if host in self._guards:
            await self._guards[host](request)

    def _offered(self, host: str, request: IQ) -> Iterator[tuple[str, str]]:
        for place in self._disco.places(host):
            yield from self._usable(place, request)

    def _usable(self, place: str, request: IQ) -> Iterator[tuple[str, str]]:
        for node, command in self._commands.get(place, {}).items():
            with suppress(StanzaError):
                command.may_use(request)
                yield node, command.name

    def _find(self, host: str, node: str) -> _Command:
        for place in self._disco.places(host):
            known = self._commands.get(place, {}).get(node)
            if known is not None:
                return known
        raise ItemNotFound("no such command")

    async def _execute(self, host: str, request: IQ) -> Element:
        """Execute, whether the action is absent, `execute` or `complete`; or cancel."""
        await self._check(host, request)
        command = request.payload
        node = command.attributes.get("node", "")
        if not node:
            raise BadRequest("the node of the command is missing")
        found = self._find(host, node)
        found.may_use(request)
        session = command.attributes.get("sessionid") or secrets.token_urlsafe(12)
        action = command.attributes.get("action", "execute")
        if action == "cancel":
            return _command(node, session, "canceled")
        if action in _STEPS:
            raise bad_action(f"this command has no {action} step")
        if action not in ("execute", "complete"):
            raise malformed_action("the action is not one of XEP-0050's")
        reply = found.handler(request, Invocation(node, session, _form(command)))
        if isinstance(reply, Coroutine):
            reply = await reply
        return _answer(node, session, reply)


def _form(command: Element) -> forms.Form | None:
    """What was submitted. A form of type cancel counts as a submission (XEP-0050 §3.6.1)."""
    try:
        form = forms.find(command)
    except ValueError as error:
        raise bad_payload(str(error)) from None
    if form is not None and form.type not in ("submit", "cancel"):
        raise bad_payload("the type of the form is not submit")
    return form


def _answer(node: str, session: str, reply: Reply) -> Element:
    content = [element(NS_COMMANDS, "note", note.text, type=note.type) for note in reply.notes]
    if reply.form is not None:
        content.insert(0, reply.form)
    if isinstance(reply, Completed):
        return _command(node, session, "completed", *content)
    allowed = (element(NS_COMMANDS, action) for action in reply.actions)
    actions = element(NS_COMMANDS, "actions", *allowed, execute=reply.actions[0])
    return _command(node, session, "executing", actions, *content)


def _command(node: str, session: str, status: str, *content: Element) -> Element:
    return element(NS_COMMANDS, "command", *content, node=node, sessionid=session, status=status)


_LIST = Info((Identity("automation", "command-list"),), (NS_DISCO_INFO, NS_DISCO_ITEMS))


def _about(name: str) -> Info:
    return Info((Identity("automation", "command-node", name),), (NS_COMMANDS, NS_FORMS))


# Errors, with the conditions of XEP-0050 §4.4.


def malformed_action(text: str) -> StanzaError:
    """The action is not understood."""
    return BadRequest(text, element(NS_COMMANDS, "malformed-action"))


def bad_action(text: str) -> StanzaError:
    """The action is understood, but not accepted."""
    return BadRequest(text, element(NS_COMMANDS, "bad-action"))


def bad_payload(text: str) -> StanzaError:
    """The form cannot be accepted; the text names the field at fault."""
    return BadRequest(text, element(NS_COMMANDS, "bad-payload"))


def bad_session(text: str) -> StanzaError:
    """The session id cannot be accepted."""
    return BadRequest(text, element(NS_COMMANDS, "bad-sessionid"))


def session_expired(text: str) -> StanzaError:
    """The session has ended; not-allowed rather than bad-request, as the table there says."""
    return NotAllowed(text, element(NS_COMMANDS, "session-expired"))
