"""Tigase's commands: `register-device` and `unregister-device`, of Siskin, Snikket and Stork.

The clients look among the items of their server for an identity `pubsub`/`push` with the
feature `urn:xmpp:push:0` and the name of their provider, and register where they will have
published: both are one address, the pubsub_host. There is no secret; nodes are unguessable,
and only the account and its server may publish. Documented in Tigase's Push Component guide,
13.4.2; `device-second-token`, `features` and `max-payload-size` are what its clients send and
read (Martin, TigasePushNotificationsModule).

A device is known by its token, as that guide has it, and a client that gets another one
unregisters the old one first. A resource would not do: Siskin's is the name of the device,
which is "iPhone" for all phones whose owners gave no leave to read it.
"""

import hashlib
from collections.abc import Mapping

from pushd.appserver.apps import App
from pushd.appserver.desk import Desk, Place, Speaker
from pushd.appserver.device_forms import checked, value_of
from pushd.appserver.registrations import Registration
from pushd.routing.commands import Completed, Executing, Invocation, Note, Reply, bad_payload
from pushd.routing.disco import Info
from pushd.routing.requests import IQ
from pushd.wire import forms
from pushd.wire.element import Element
from pushd.wire.errors import ItemNotFound
from pushd.wire.jid import JID
from pushd.wire.namespaces import NS_PRIORITY, NS_PUSH_ENCRYPT, NS_PUSH_JINGLE
from pushd.wire.secret import Secret

NAME = "tigase"
VOIP = "voip-token"  # where a provider has a second token
# What is passed on to the device, whoever publishes it.
FEATURES = (
    NS_PUSH_ENCRYPT,
    "tigase:push:encrypt:aes-128-gcm",
    NS_PRIORITY,
    NS_PUSH_JINGLE,
)
# Bytes of what is encrypted, as base64: a payload of 4,096 has room for it besides addresses.
MAX_PAYLOAD = 3_000
LABELS = {
    "provider": "Provider",
    "device-token": "Token, from the push provider",
    "device-second-token": "Token for calls, from the push provider",
}


class Tigase:
    """The commands of one pubsub_host."""

    def __init__(self, desk: Desk, place: Place) -> None:
        self._desk = desk
        self._place = place
        self._apps: dict[str, App] = {}  # by what their providers are called
        for app in place.apps:
            # A form with one token is all that these clients fill in.
            for name in app.tigase_names if app.provider.register_fields == {"token"} else ():
                self._apps.setdefault(name, app)
        if not self._apps:
            return
        desk.host.disco.add_info(place.domain, self._about)
        desk.offer(place, "register-device", "Register device", Speaker(NAME, self._register))
        desk.offer(place, "unregister-device", "Unregister device", Speaker(NAME, self._unregister))

    def _about(self, request: IQ) -> Info:
        return Info(features=tuple(self._apps) if self._desk.speaks(NAME) else ())

    async def _register(self, request: IQ, invocation: Invocation) -> Reply:
        if invocation.form is None:
            return Executing(self._offered("Register device", *LABELS))
        app, token = self._wanted(invocation.form)
        fields = {"token": token}
        second = value_of(invocation.form, "device-second-token")
        if second and VOIP in app.provider.optional_fields:
            fields[VOIP] = second
        fields = _named(app, fields)
        given = await self._desk.register(
            request.sender,
            app,
            fields,
            dialect=NAME,
            device=_id(fields["token"]),
            device_name=request.sender.resource or None,
        )
        told = [
            forms.Field("node", values=given.node),
            forms.Field("features", "text-multi", values=FEATURES),
            forms.Field("max-payload-size", values=str(MAX_PAYLOAD)),
        ]
        return Completed(forms.result(None, told))

    async def _unregister(self, request: IQ, invocation: Invocation) -> Reply:
        if invocation.form is None:
            return Executing(self._offered("Unregister device", "provider", "device-token"))
        app, token = self._wanted(invocation.form)
        token = _named(app, {"token": token})["token"]
        found = self._of(request.sender, app, token)
        if not found:
            raise ItemNotFound("device-token: no such device is registered")
        await self._desk.unregister(found, request.sender)
        return Completed(notes=(Note("The device is unregistered."),))

    def _of(self, sender: JID, app: App, token: str) -> list[Registration]:
        return [
            one
            for one in self._desk.registrations.of(sender.bare)
            if one.dialect == NAME and one.backend == app.name and one.token == Secret(token)
        ]

    def _wanted(self, form: forms.Form) -> tuple[App, str]:
        """The app and the token that a form names. Raises BadRequest that names the field."""
        if form.type == "cancel":
            raise bad_payload("the form was cancelled")
        provider, token = value_of(form, "provider"), value_of(form, "device-token")
        app = self._apps.get(provider or "")
        if app is None:
            raise bad_payload(f"provider: one of {', '.join(self._apps)} is expected")
        if not token:
            raise bad_payload("device-token: is missing or empty")
        return app, token

    def _offered(self, title: str, *names: str) -> Element:
        fields = [forms.Field(name, label=LABELS[name], required=True) for name in names]
        fields[0] = forms.Field(
            "provider",
            "list-single",
            LABELS["provider"],
            required=True,
            options=[(name, name) for name in self._apps],
        )
        if len(fields) > 2:
            fields[2] = forms.Field(names[2], label=LABELS[names[2]])
        return forms.offer(None, title, "Fill in what your app got from the provider.", fields)


def _id(token: str) -> str:
    """What tells a device from others of its account, and nobody what its token is."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _named(app: App, fields: Mapping[str, str]) -> dict[str, str]:
    """The fields as the provider stores them; what is wrong is told by the dialect's names."""
    return checked(app, fields, {"token": "device-token", VOIP: "device-second-token"})
