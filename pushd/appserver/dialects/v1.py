"""The commands of mod_push_appserver: of yaxim, and of Monal before it went over to fpush.

    v1-register-push      type, node, token  -> completed, with jid, node and secret
    v1-unregister-push    type, node         -> completed, with jid and node

The device names its node itself, and the answer repeats it: Monal disables push by the name
that it gave, whatever the answer said. It is the same for all accounts of a device, so here
it is the account's own, and told apart from others' of that name by who publishes.

yaxim enables push with the address where it registered, whatever `jid` says: for it the
commands are at the pubsub_host, too (`service.OF_ONE_ADDRESS`). Monal's forms have a
FORM_TYPE, the address of a web page, yaxim's have none; it is passed over. What is wrong is
answered as there, `not-acceptable`, with a text that names the field.
"""

from pushd.appserver.apps import App
from pushd.appserver.desk import Desk, Place, Speaker
from pushd.appserver.device_forms import blank, chosen_app, provider_fields, text_of, value_of
from pushd.routing.commands import Completed, Executing, Invocation, Reply
from pushd.routing.requests import IQ
from pushd.wire import forms
from pushd.wire.errors import BadRequest, ItemNotFound, NotAcceptable

NAME = "v1"


class V1:
    """The commands of one register_host, or pubsub_host."""

    def __init__(self, desk: Desk, place: Place) -> None:
        self._desk = desk
        self._place = place
        for node, name, handler in (
            ("v1-register-push", "Register a device for push, by its node", self._register),
            ("v1-unregister-push", "Unregister a device from push, by its node", self._remove),
        ):
            desk.offer(place, node, name, Speaker(NAME, handler))

    async def _register(self, request: IQ, invocation: Invocation) -> Reply:
        if invocation.form is None:
            optional = ("app",) if len(self._place.apps) > 1 else ()
            return Executing(blank("Register for push", ("type", "node", "token"), optional))
        try:
            form = _submitted(invocation.form)
            apps, node = self._apps(form), _node(form)
            app = chosen_app(apps, value_of(form, "app"))
            fields = provider_fields(app, form)
        except BadRequest as error:
            raise NotAcceptable(error.text) from None
        given = await self._desk.register(
            request.sender, app, fields, dialect=NAME, device=node, alias=node
        )
        told = {"jid": given.jid, "node": given.node, "secret": given.secret.reveal()}
        return Completed(forms.result(None, told))

    async def _remove(self, request: IQ, invocation: Invocation) -> Reply:
        if invocation.form is None:
            return Executing(blank("Unregister from push", ("type", "node")))
        try:
            form = _submitted(invocation.form)
            apps, node = self._apps(form), _node(form)
        except BadRequest as error:
            raise NotAcceptable(error.text) from None
        found = self._desk.registrations.of_device(request.sender.bare, node, NAME)
        if found is None or found.type != apps[0].provider.type:
            raise ItemNotFound("node: no such device is registered")
        app = next((one for one in apps if one.name == found.backend), apps[0])
        await self._desk.unregister([found], request.sender)
        return Completed(forms.result(None, {"jid": app.pubsub_host, "node": node}))

    def _apps(self, form: forms.Form) -> list[App]:
        """Those of the type that the form names."""
        type = value_of(form, "type") or ""
        apps = self._place.called(type)
        if not apps:
            names = ", ".join(self._place.names())
            raise BadRequest(f"type: one of {names} is expected")
        return apps


def _submitted(form: forms.Form) -> forms.Form:
    if form.type == "cancel":
        raise BadRequest("the form was cancelled")
    return form


def _node(form: forms.Form) -> str:
    node = text_of(form, "node")
    if not node:
        raise BadRequest("node: it is missing")
    return node
