"""Ad-hoc commands at the own bare JID (XEP-0050): what wakes my devices, and why it did or did not.

Whoever has a client that knows of commands, but nothing of push, sees his devices, removes one,
sends himself a test push, pauses push and reads what was decided. Nobody but the owner is
told that there are such commands. Nodes are shown as digests, tokens and secrets never.
"""

from collections.abc import Iterable

from pushd.modules.base import Module
from pushd.routing.commands import (
    Completed,
    Executing,
    Invocation,
    Note,
    Reply,
    bad_payload,
)
from pushd.routing.ledger import devices
from pushd.routing.pushing import Device, Enablements, Tried, called, handles
from pushd.routing.requests import IQ
from pushd.wire import forms
from pushd.wire.element import Element
from pushd.wire.errors import FeatureNotImplemented, ResourceConstraint
from pushd.wire.instant import written

PATIENCE = 15.0  # seconds for a test; clients wait for an answer little longer
BREATH = 5.0  # seconds from a test of an account to its next one
SHOWN = 50  # decisions, the newest first
LONGEST = 366 * 86_400  # seconds of a pause
PAUSES = (
    ("3600", "One hour"),
    ("28800", "Eight hours"),
    ("86400", "One day"),
    ("604800", "One week"),
    ("0", "Until I resume it"),
)
ALL = "all"

_DEVICES = {
    "name": "Device",
    "service": "Push service",
    "node": "Node",
    "type": "Provider",
    "enabled": "Enabled since",
    "last-push": "Last push",
    "device-is": "It is",
    "waiting": "Waiting",
    "state": "State",
}
_DECISIONS = {
    "at": "At",
    "device": "Device",
    "what": "What",
    "why": "Why",
    "kind": "Stanza",
    "sender": "From",
}
_LEDGER = {
    "first": "First",
    "last": "Last",
    "times": "Times",
    "what": "What",
    "of": "Of",
    "device": "Device",
    "who": "By",
    "why": "Why",
}


class Devices(Module):
    """The commands. What they need of push is asked of the hall."""

    xep = 50

    async def start(self) -> None:
        self._tested_at: dict[str, float] = {}  # of late, by account
        commands = self.host.commands
        commands.guard("account", self.owner)
        for node, name, handler in (
            ("push-devices", "My devices for push", self._list),
            ("push-test", "Send me a test push", self._test),
            ("push-remove", "Remove a device from push", self._remove),
            ("push-pause", "Pause push", self._pause),
            ("push-resume", "Resume push", self._resume),
            ("push-decisions", "Why did my device (not) ring?", self._decisions),
            ("push-ledger", "What became of my devices", self._ledger),
        ):
            commands.add("account", node, name, handler)

    # What there is.

    def _list(self, request: IQ, invocation: Invocation) -> Reply:
        account = request.sender.bare
        found = self.host.push.devices(account)
        notes = self._pause_told(account)
        if not found:
            return Completed(notes=(Note("No device of yours can be woken."), *notes))
        return Completed(_table(_DEVICES, map(_device_row, found)), notes)

    def _decisions(self, request: IQ, invocation: Invocation) -> Reply:
        account = request.sender.bare
        names = {one.digest: one.name for one in self.host.push.devices(account)}
        found = self.host.decisions.of(account)[-SHOWN:]
        if not found:
            return Completed(
                notes=(Note("Nothing is remembered: whatever came went to connected devices."),)
            )
        rows = (
            {
                "at": written(one.at),
                "device": names.get(one.node, one.node),
                "what": one.what,
                "why": one.why,
                "kind": f"{one.kind} ({one.times} times)" if one.times > 1 else one.kind,
                "sender": one.sender,
            }
            for one in reversed(found)
        )
        return Completed(_table(_DECISIONS, rows), self._pause_told(account))

    async def _ledger(self, request: IQ, invocation: Invocation) -> Reply:
        account = request.sender.bare
        lines = await self.host.ledger.of(account)
        names = devices(lines)
        names.update((one.digest, one.name) for one in self.host.push.devices(account))
        if not lines:
            return Completed(notes=(Note("Nothing is known."),))
        rows = (
            {
                "first": written(one.first_at),
                "last": written(one.last_at),
                "times": str(one.times),
                "what": one.what,
                "of": one.side,
                "device": names.get(one.node, one.node),
                "who": one.who,
                "why": one.why,
            }
            for one in reversed(lines)
        )
        return Completed(_table(_LEDGER, rows))

    # What may be done.

    async def _test(self, request: IQ, invocation: Invocation) -> Reply:
        found = self.host.push.devices(request.sender.bare)
        if not found:
            return _nothing("No device of yours can be woken.")
        if invocation.form is None:
            return Executing(_choice(found, "Send me a test push", "Which device?", all=True))
        chosen = _chosen(invocation.form, found, all=True)
        self._catch_breath(request.sender.bare)
        tried = await self.host.push.test(chosen, PATIENCE)
        return Completed(notes=tuple(map(_said, chosen, tried)))

    def _catch_breath(self, account: str) -> None:
        """Nobody has the server push without end. Raises ResourceConstraint."""
        now = self.host.clock.seconds()
        self._tested_at = {who: at for who, at in self._tested_at.items() if at > now - BREATH}
        if account in self._tested_at:
            raise ResourceConstraint("a test was sent just now: wait some seconds")
        self._tested_at[account] = now

    async def _remove(self, request: IQ, invocation: Invocation) -> Reply:
        found = self.host.push.devices(request.sender.bare)
        if not found:
            return _nothing("No device of yours can be woken.")
        if invocation.form is None:
            text = "It is woken no more, until its app registers anew."
            return Executing(_choice(found, "Remove a device from push", text))
        [one] = _chosen(invocation.form, found)
        self.host.push.remove(one, "removed by its owner", request.sender.full)
        await self.host.database.committed()
        return Completed(notes=(Note(f"{_called(one)} is removed."),))

    async def _pause(self, request: IQ, invocation: Invocation) -> Reply:
        enablements, account = self._enablements(), request.sender.bare
        if invocation.form is None:
            return Executing(_pause_form(), self._pause_told(account))
        length = _length(invocation.form)
        until = self.host.clock.seconds() + length if length else None
        enablements.pause(account, until, request.sender.full)
        await self.host.database.committed()
        return Completed(notes=self._pause_told(account))

    async def _resume(self, request: IQ, invocation: Invocation) -> Reply:
        enablements, account = self._enablements(), request.sender.bare
        if enablements.paused_until(account) == 0:
            return Completed(notes=(Note("Push is not paused."),))
        enablements.unpause(account, request.sender.full)
        await self.host.database.committed()
        return Completed(notes=(Note("Push goes on."),))

    def _enablements(self) -> Enablements:
        found = self.host.push.enablements
        if found is None:
            raise FeatureNotImplemented("push cannot be enabled here")
        return found

    def _pause_told(self, account: str) -> tuple[Note, ...]:
        enablements = self.host.push.enablements
        until = enablements.paused_until(account) if enablements is not None else 0
        if until == 0:
            return ()
        words = "until you resume it" if until is None else f"until {written(until)}"
        return (Note(f"Push is paused {words}.", "warn"),)


# Reading the forms.


def _submitted(form: forms.Form, name: str) -> str:
    """The value of the only field. Raises what XEP-0050 §4.4 has for forms."""
    if form.type == "cancel":
        raise bad_payload("the form was cancelled")
    try:
        value = form.one(name)
    except ValueError as error:
        raise bad_payload(str(error)) from None
    if not value:
        raise bad_payload(f"{name}: it is missing")
    return value


def _chosen(form: forms.Form, devices: list[Device], all: bool = False) -> list[Device]:
    value = _submitted(form, "device")
    if all and value == ALL:
        return devices
    found = called(devices, value)
    if len(found) > 1:
        raise bad_payload("device: several of yours are called so")
    if not found:
        raise bad_payload("device: you have no such device")
    return found


def _length(form: forms.Form) -> int:
    value = _submitted(form, "for")
    if not (value.isascii() and value.isdigit() and int(value[:12]) <= LONGEST):
        raise bad_payload(f"for: whole seconds are expected, {LONGEST} at most, or 0")
    return int(value)


# Writing them.


def _choice(devices: list[Device], title: str, text: str, all: bool = False) -> Element:
    options = list(zip(handles(devices), map(_called, devices), strict=True))
    if all and len(options) > 1:
        options.insert(0, (ALL, "All of them"))
    values = options[0][0] if len(options) == 1 or all else ()
    field = forms.Field("device", "list-single", "Device", values, required=True, options=options)
    return forms.offer(None, title, text, [field])


def _pause_form() -> Element:
    field = forms.Field(
        "for",
        "list-single",
        "For how long",
        PAUSES[0][0],
        required=True,
        options=[(value, label) for value, label in PAUSES],
    )
    text = "No device of yours is woken meanwhile. What comes is kept, and counted."
    return forms.offer(None, "Pause push", text, [field])


def _nothing(text: str) -> Reply:
    return Completed(notes=(Note(text, "warn"),))


def _table(heading: dict[str, str], rows: Iterable[dict[str, str]]) -> Element:
    fields = [forms.Field(name, label=label) for name, label in heading.items()]
    shown = ({name: value for name, value in row.items() if value} for row in rows)
    return forms.result(None, reported=fields, items=shown)


def _device_row(one: Device) -> dict[str, str]:
    enabled, registered = one.enabled, one.registered
    return {
        "name": one.name,
        "service": one.service,
        "node": one.digest,
        "type": f"{registered.type} {registered.app}" if registered is not None else "",
        "enabled": written(enabled.created_at if enabled is not None else None),
        "last-push": written(one.last_push_at),
        "device-is": enabled.device_is if enabled is not None else "",
        "waiting": str(enabled.waiting) if enabled is not None else "",
        "state": _state(one),
    }


def _state(one: Device) -> str:
    if one.enabled is None:
        if one.registered is not None and one.registered.room:
            return "registered for a room, where push is enabled or not"
        return "registered, but its client has not enabled push"
    if one.enabled.probation_since is not None:
        return f"on probation since {written(one.enabled.probation_since)}"
    return f"{one.enabled.failures} pushes in a row failed" if one.enabled.failures else "ok"


def _called(one: Device) -> str:
    name = one.name or one.digest
    return f"{name} ({one.service})" if one.service else name


def _said(one: Device, tried: Tried) -> Note:
    name, why = _called(one), f": {tried.reason}" if tried.reason else ""
    if tried.settled == "accepted":
        is_enabled = one.enabled is not None or (one.registered and one.registered.room)
        more = "" if is_enabled else ", but its client has not enabled push"
        return Note(f"{name}: the push network took it after {tried.seconds:.1f} s{more}.")
    if tried.settled == "waiting":
        return Note(f"{name}: the push network has not taken it yet.", "warn")
    if tried.settled:
        return Note(f"{name}: the push network did not take it ({tried.settled}{why}).", "error")
    if tried.published == "accepted":
        return Note(f"{name}: the push service took it after {tried.seconds:.1f} s.")
    return Note(f"{name}: the push service did not take it ({tried.published}).", "error")
