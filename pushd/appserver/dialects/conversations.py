"""The commands of Conversations and of its app server p2: `register-push-fcm`, `-apns`, and back.

    register-push-TYPE    token, android-id (or device-id), for a room muc: its bare JID
                          -> completed, with jid, node and secret
    unregister-push-TYPE  android-id (or device-id), for a room muc, or channel: its hash
                          -> completed; item-not-found for what is not registered

Conversations 1 and 2 ask for `fcm` with `android-id`, older ones for `gcm` with `device-id`; p2's
clients for Apple's devices send `device-id`. Their forms have no FORM_TYPE, and what they read of
an answer are the form's fields. A device registers for its account and for each of its rooms
apart, and each time has a node and a secret of their own. One for a room is used by the room.
Without a room, to unregister ends what the device has for rooms, too.

Conversations since July 2025 reads node and secret alone, and enables with the address where it
registered: so the commands are at the pubsub_host, too (`service.OF_ONE_ADDRESS`).

The reference has a command of the same name. A form with `android-id` or `muc` is for this
dialect. One with neither is the reference's as long as that is switched on; the answer is the
same, and `unregister-push-TYPE` finds what was registered so as well.

Of a push the app is told what p2 tells it by FCM, and nothing else: which account it is for,
and which room, as hashes with the device's id (`told`).
"""

import hashlib
from collections.abc import Sequence

from pushd.appserver.apps import App
from pushd.appserver.desk import Desk, Place, Speaker
from pushd.appserver.device_forms import blank, chosen_app, provider_fields, text_of, value_of
from pushd.appserver.registrations import Registration
from pushd.routing.commands import Completed, Executing, Handler, Invocation, Reply, bad_payload
from pushd.routing.requests import IQ
from pushd.wire import forms
from pushd.wire.errors import ItemNotFound, JIDMalformed
from pushd.wire.jid import JID, parse

NAME = "conversations"
ALSO = "mod_push"  # where devices may be that this dialect knows
TYPES = ("apns", "fcm", "gcm")
OWN_FIELDS = frozenset(("android-id", "muc"))


class Conversations:
    """The commands of one register_host, or pubsub_host."""

    def __init__(self, desk: Desk, place: Place) -> None:
        self._desk = desk
        for type in TYPES:
            apps = place.called(type)
            if not apps:
                continue
            desk.offer(
                place,
                f"register-push-{type}",
                f"Register a device for push by {type}",
                Speaker(NAME, self._registrar(apps), _is_ours),
            )
            desk.offer(
                place,
                f"unregister-push-{type}",
                f"Unregister a device from push by {type}",
                Speaker(NAME, self._remover(apps[0].provider.type)),
            )

    # register-push-TYPE

    def _registrar(self, apps: Sequence[App]) -> Handler:
        optional = ("muc", "device-name", *(("app",) if len(apps) > 1 else ()))

        async def register(request: IQ, invocation: Invocation) -> Reply:
            if invocation.form is None:
                return Executing(blank("Register for push", ("token", "android-id"), optional))
            form = _submitted(invocation.form)
            app = chosen_app(apps, value_of(form, "app"))
            given = await self._desk.register(
                request.sender,
                app,
                provider_fields(app, form),
                dialect=NAME,
                device=_device(form),
                device_name=text_of(form, "device-name"),
                room=self._room(form),
            )
            told = {"jid": given.jid, "node": given.node, "secret": given.secret.reveal()}
            return Completed(forms.result(None, told))

        return register

    # unregister-push-TYPE

    def _remover(self, type: str) -> Handler:
        async def remove(request: IQ, invocation: Invocation) -> Reply:
            if invocation.form is None:
                return Executing(blank("Unregister from push", ("android-id",), ("muc",)))
            form = _submitted(invocation.form)
            device, room, channel = _device(form), self._room(form), text_of(form, "channel")
            found = [one for one in self._of(request.sender, device) if one.type == type]
            if room:
                found = [one for one in found if one.room == room]
            elif channel:
                found = [one for one in found if one.room and channel_of(one) == channel]
            if not found:
                raise ItemNotFound("no such device is registered")
            await self._desk.unregister(found, request.sender)
            return Completed()

        return remove

    def _room(self, form: forms.Form) -> str:
        """The bare JID of the room, or ""; it is no account of ours."""
        muc = value_of(form, "muc")
        if not muc:
            return ""
        try:
            room = parse(muc)
        except JIDMalformed:
            raise bad_payload("muc: an address is expected") from None
        if not room.local or room.resource or room.domain in self._desk.host.domains:
            raise bad_payload("muc: the bare address of a room is expected")
        return room.bare

    def _of(self, sender: JID, device: str) -> list[Registration]:
        """What a device of this id has."""
        known = [one for one in self._desk.registrations.of(sender.bare) if one.device == device]
        ours = [one for one in known if one.dialect == NAME]
        return ours or [one for one in known if one.dialect == ALSO]


def _is_ours(invocation: Invocation) -> bool:
    return invocation.form is not None and not OWN_FIELDS.isdisjoint(invocation.form.fields)


def _submitted(form: forms.Form) -> forms.Form:
    """Whatever its FORM_TYPE."""
    if form.type == "cancel":
        raise bad_payload("the form was cancelled")
    return form


def _device(form: forms.Form) -> str:
    """The id of the device; it is never the resource, which changes."""
    for name in ("device-id", "android-id"):
        if device := (text_of(form, name) or "").strip():
            return device
    raise bad_payload("android-id: it is missing, and so is device-id")


# What the app is told.


def told(registration: Registration) -> dict[str, str]:
    """Which account a push is for, and which room if it is for one, in hashes."""
    account = {"account": _hash(registration.account, registration.device)}
    return account | ({"channel": channel_of(registration)} if registration.room else {})


def channel_of(registration: Registration) -> str:
    """What the app knows a room by."""
    return _hash(registration.room, registration.device)


def _hash(address: str, device: str) -> str:
    """Of an address, salted with the id that only the device and we know."""
    text = f"{address}\0{device}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
