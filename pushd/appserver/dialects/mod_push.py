"""The commands with which a device registers, is listed and is unregistered (XEP-0050).

They are those of mod_push: `register-push-TYPE`, `list-push-registrations` and
`unregister-push`. The list tells of what was registered by other dialects too, and all that
it tells of is unregistered by its node, or by `all`.
"""

from collections.abc import Sequence

from pushd.appserver.apps import App
from pushd.appserver.desk import Desk, Place, Speaker
from pushd.appserver.device_forms import (
    LISTED,
    chosen_app,
    device_of,
    flag,
    offered,
    provider_fields,
    row,
    submitted,
    text_of,
    value_of,
)
from pushd.appserver.registrations import Registration
from pushd.routing.commands import Completed, Executing, Handler, Invocation, Reply, bad_payload
from pushd.routing.disco import Identity, Info
from pushd.routing.requests import IQ
from pushd.wire import forms
from pushd.wire.jid import JID

NAME = "mod_push"


class ModPush:
    """The commands of one register_host."""

    def __init__(self, desk: Desk, place: Place) -> None:
        self._desk = desk
        self._place = place
        self._registrations = desk.registrations
        desk.host.disco.add_info(place.domain, self._about)
        for name in place.names():
            desk.offer(
                place,
                f"register-push-{name}",
                f"Register a device for push by {name}",
                Speaker(NAME, self._registrar(place.called(name))),
            )
        desk.offer(
            place,
            "list-push-registrations",
            "List my push registrations",
            Speaker(NAME, self._list),
        )
        desk.offer(
            place,
            "unregister-push",
            "Remove push registrations",
            Speaker(NAME, self._remove),
        )

    def _about(self, request: IQ) -> Info:
        if not self._desk.speaks(NAME):
            return Info()
        return Info(tuple(Identity("app-server", app.app_name) for app in self._place.apps))

    # register-push-TYPE

    def _registrar(self, apps: Sequence[App]) -> Handler:
        async def register(request: IQ, invocation: Invocation) -> Reply:
            if invocation.form is None:
                return Executing(offered(apps))
            return await self._register(request, apps, submitted(invocation.form))

        return register

    async def _register(self, request: IQ, apps: Sequence[App], form: forms.Form) -> Reply:
        app = chosen_app(apps, value_of(form, "app"))
        device = device_of(form, request.sender)
        if not device:
            raise bad_payload("device-id: it is missing, and the sender has no resource")
        given = await self._desk.register(
            request.sender,
            app,
            dialect=NAME,
            device=device,
            device_name=text_of(form, "device-name"),
            fields=provider_fields(app, form),
        )
        told = {"jid": given.jid, "node": given.node, "secret": given.secret.reveal()}
        return Completed(forms.result(None, told))

    # list-push-registrations

    def _list(self, request: IQ, invocation: Invocation) -> Reply:
        """What the asker has registered; never a token or a secret."""
        known = self._registrations.of(request.sender.bare)
        if not known:
            return Completed()
        heading = [forms.Field(name, label=label) for name, label in LISTED.items()]
        return Completed(forms.result(None, reported=heading, items=map(row, known)))

    # unregister-push

    async def _remove(self, request: IQ, invocation: Invocation) -> Reply:
        """Remove by nodes, all, by device, or the sender's own device; all or nothing."""
        form = submitted(invocation.form) if invocation.form is not None else forms.Form()
        nodes = form.fields.get("nodes", ())
        found = self._chosen(request.sender, form, nodes)
        await self._desk.unregister(found, request.sender)
        if not nodes:
            return Completed()
        removed = forms.Field("nodes", "list-multi", values=[one.called for one in found])
        return Completed(forms.result(None, [removed]))

    def _chosen(self, sender: JID, form: forms.Form, nodes: tuple[str, ...]) -> list[Registration]:
        """What is to be removed. Nodes that are unknown, or another's, are passed over alike.

        An id is that of a device that registered so; if there is none, and the form has named it,
        it is another's that the list tells of.
        """
        known = self._registrations.of(sender.bare)
        if nodes:
            return [one for one in known if one.called in nodes]
        if flag(form, "all"):
            return known
        device = device_of(form, sender)
        named = [one for one in known if one.device == device]
        found = [one for one in named if one.dialect == NAME]
        if not found and value_of(form, "device-id"):
            found = named
        if not found:
            raise bad_payload("device-id: no such device is registered")
        return found
