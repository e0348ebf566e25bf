"""The commands with which a device registers, is listed and is unregistered (XEP-0050).

They are those of mod_push: `register-push-TYPE`, `list-push-registrations` and
`unregister-push`, offered at each `register_host`.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pushd.appserver.apps import App
from pushd.appserver.limits import Limiter
from pushd.appserver.registrations import Registration, Registrations
from pushd.routing.commands import (
    Completed,
    Executing,
    Handler,
    Invocation,
    Reply,
    bad_payload,
)
from pushd.routing.events import DeviceRegistered
from pushd.routing.host import Host
from pushd.routing.requests import IQ
from pushd.wire import forms
from pushd.wire.element import Element
from pushd.wire.errors import Forbidden
from pushd.wire.jid import JID
from pushd.wire.namespaces import FORM_PUSH_OPTIONS
from pushd.wire.secret import Secret

LONGEST_NAME = 1_023  # bytes of a device's id or name, as of a resource
LONGEST_FIELD = 4_096  # bytes of what a provider asks for; tokens have some hundreds
LABELS = {
    "token": "Token, from the push provider",
    "application-id": "Application id",
    "silent-push": "Push silently",
    "environment": "Environment: production or sandbox",
    "endpoint": "Endpoint, from the push provider",
    "p256dh": "Public key of the device",
    "auth": "Authentication secret of the device",
    "device-id": "Device (your resource, if empty)",
    "device-name": "A name to tell your devices by",
    "app": "App",
}
LISTED = {
    "node": "Node",
    "device-name": "Name",
    "device-id": "Device",
    "type": "Provider",
    "app": "App",
    "registered": "Registered",
    "last-push": "Last push",
}


class Registering:
    """The commands of one register_host.

    `unregister` is told whom to forget, why and by whom; it also tells the account's server.
    """

    def __init__(
        self,
        host: Host,
        register_host: str,
        apps: Sequence[App],
        registrations: Registrations,
        limiter: Limiter,
        unregister: Callable[[Registration, str, str], None],
    ) -> None:
        self._host = host
        self._registrations = registrations
        self._limiter = limiter
        self._unregister = unregister
        for name in sorted({name for app in apps for name in app.type_names}):
            self._offer(
                register_host,
                f"register-push-{name}",
                f"Register a device for push by {name}",
                self._registrar([app for app in apps if name in app.type_names]),
            )
        self._offer(
            register_host, "list-push-registrations", "List my push registrations", self._list
        )
        self._offer(register_host, "unregister-push", "Remove push registrations", self._remove)
        for app in apps:
            host.disco.add_identity(register_host, "app-server", app.app_name)

    def _offer(self, register_host: str, node: str, name: str, handler: Handler) -> None:
        """Offer a command to those who may register."""

        def checked(request: IQ, invocation: Invocation) -> Reply | Coroutine[Any, Any, Reply]:
            self._check_access(request.sender)
            self._check_rate(request.sender)
            return handler(request, invocation)

        self._host.commands.add(register_host, node, name, checked)

    def _check_access(self, sender: JID) -> None:
        access = self._limiter.rules.access
        if access == "all":
            return
        allowed = self._host.domains if access == "local" else access
        if sender.domain not in allowed:
            raise Forbidden("devices of this domain are not served here")

    def _check_rate(self, sender: JID) -> None:
        now = self._host.clock.seconds()
        self._limiter.check_domain(sender, now)
        self._limiter.check_account(sender, now)

    # register-push-TYPE

    def _registrar(self, apps: Sequence[App]) -> Handler:
        async def register(request: IQ, invocation: Invocation) -> Reply:
            if invocation.form is None:
                return Executing(_form(apps))
            return await self._register(request, apps, _submitted(invocation.form))

        return register

    async def _register(self, request: IQ, apps: Sequence[App], form: forms.Form) -> Reply:
        app = _chosen(apps, _one(form, "app"))
        account, device = request.sender.bare, _device(form, request.sender)
        if not device:
            raise bad_payload("device-id: it is missing, and the sender has no resource")
        device_name = _name(form, "device-name")
        fields = _provider_fields(app, form)
        token = Secret(fields.pop("token", ""))
        for one, reason in self._displaced(account, device, app.name, token, fields):
            self._unregister(one, reason, request.sender.full)
        registration, secret = self._registrations.register(
            account,
            device,
            self._host.clock.seconds(),
            device_name=device_name,
            backend=app.name,
            type=app.provider.type,
            app=app.app_name,
            token=token,
            fields=fields,
        )
        await self._host.database.committed()
        self._host.events.emit(
            DeviceRegistered(
                account,
                app.pubsub_host,
                registration.node,
                registration.type,
                device,
                request.sender.full,
                is_new=registration.previous_secret_hash is None,
            )
        )
        given = {"jid": app.pubsub_host, "node": registration.node, "secret": secret.reveal()}
        return Completed(forms.result(None, given))

    def _displaced(
        self, account: str, device: str, backend: str, token: Secret, fields: Mapping[str, str]
    ) -> list[tuple[Registration, str]]:
        """What has to go when this device registers, and why."""
        rules = self._limiter.rules
        old, twins = self._registrations.find(account, device, backend, token, fields)
        gone = [(one, "its device is registered by another id") for one in twins]
        if old is None:
            known = sorted(self._registrations.of(account), key=lambda one: one.used_at)
            surplus = len(known) + 1 - rules.registrations_per_account
            gone += [(one, "too many devices, and used least") for one in known[: max(0, surplus)]]
        if not rules.shared_tokens:
            gone += [
                (one, "another account has its device")
                for one in self._registrations.everyone()
                if one.account != account and one.is_of(backend, token, fields)
            ]
        return gone

    # list-push-registrations

    def _list(self, request: IQ, invocation: Invocation) -> Reply:
        """What the asker has registered; never a token or a secret."""
        known = self._registrations.of(request.sender.bare)
        if not known:
            return Completed()
        heading = [forms.Field(name, label=label) for name, label in LISTED.items()]
        return Completed(forms.result(None, reported=heading, items=map(_row, known)))

    # unregister-push

    async def _remove(self, request: IQ, invocation: Invocation) -> Reply:
        """Remove by nodes, all, by device, or the sender's own device; all or nothing."""
        form = _submitted(invocation.form) if invocation.form is not None else forms.Form()
        nodes = form.fields.get("nodes", ())
        found = self._chosen(request.sender, form, nodes)
        for one in found:
            self._unregister(one, "unregistered by its owner", request.sender.full)
        await self._host.database.committed()
        if not nodes:
            return Completed()
        removed = forms.Field("nodes", "list-multi", values=[one.node for one in found])
        return Completed(forms.result(None, [removed]))

    def _chosen(self, sender: JID, form: forms.Form, nodes: tuple[str, ...]) -> list[Registration]:
        """What is to be removed. Nodes that are unknown, or another's, are passed over alike."""
        known = self._registrations.of(sender.bare)
        if nodes:
            return [one for one in known if one.node in nodes]
        if _flag(form, "all"):
            return known
        device = _device(form, sender)
        found = [one for one in known if one.device == device]
        if not found:
            raise bad_payload("device-id: no such device is registered")
        return found


# Reading the forms.


def _submitted(form: forms.Form) -> forms.Form:
    if form.type == "cancel":
        raise bad_payload("the form was cancelled")
    if form.form_type not in (None, FORM_PUSH_OPTIONS):
        raise bad_payload(f"FORM_TYPE: {FORM_PUSH_OPTIONS} or none is expected")
    return form


def _one(form: forms.Form, name: str) -> str | None:
    try:
        return form.one(name)
    except ValueError as error:
        raise bad_payload(str(error)) from None


def _flag(form: forms.Form, name: str) -> bool:
    try:
        return bool(form.boolean(name))
    except ValueError as error:
        raise bad_payload(str(error)) from None


def _name(form: forms.Form, name: str) -> str | None:
    value = _one(form, name)
    if value is not None:
        _check_length(name, value, LONGEST_NAME)
    return value


def _check_length(name: str, value: str, longest: int) -> None:
    if len(value.encode()) > longest:
        raise bad_payload(f"{name}: it has {longest} bytes at most")


def _device(form: forms.Form, sender: JID) -> str:
    return _name(form, "device-id") or sender.resource


def _provider_fields(app: App, form: forms.Form) -> dict[str, str]:
    """What the provider asks for, checked by it, as it is to be stored."""
    provider = app.provider
    asked = sorted(provider.register_fields | provider.optional_fields)
    fields = {name: value for name in asked if (value := _one(form, name)) is not None}
    for name, value in fields.items():
        _check_length(name, value, LONGEST_FIELD)
    try:
        provider.check(fields)
    except ValueError as error:
        raise bad_payload(str(error)) from None
    return provider.stored(fields)


def _chosen(apps: Sequence[App], wanted: str | None) -> App:
    """The app that the form names; the only one needs no naming."""
    if wanted is None and len(apps) == 1:
        return apps[0]
    for app in apps:
        if app.app_name == wanted:
            return app
    names = ", ".join(app.app_name for app in apps)
    raise bad_payload(f"app: one of {names} is expected")


# Writing them.


def _form(apps: Sequence[App]) -> Element:
    """The form of a register command, for clients that know nothing of it."""
    provider = apps[0].provider  # all are of one type
    fields = [
        *(_field(name, required=True) for name in sorted(provider.register_fields)),
        *(_field(name) for name in sorted(provider.optional_fields)),
        _field("device-id"),
        _field("device-name"),
    ]
    if len(apps) > 1:
        choices = [(app.app_name, app.app_name) for app in apps]
        fields.append(
            forms.Field("app", "list-single", LABELS["app"], required=True, options=choices)
        )
    return forms.offer(
        FORM_PUSH_OPTIONS,
        "Register for push",
        "Fill in what your app got from the provider.",
        fields,
    )


def _field(name: str, required: bool = False) -> forms.Field:
    return forms.Field(name, label=LABELS.get(name, name), required=required)


def _row(registration: Registration) -> dict[str, str]:
    row = {
        "node": registration.node,
        "device-name": registration.device_name or "",
        "device-id": registration.device,
        "type": registration.type,
        "app": registration.app,
        "registered": _instant(registration.registered_at),
        "last-push": _instant(registration.last_push_at),
    }
    return {name: value for name, value in row.items() if value}


def _instant(at: float | None) -> str:
    """A time as XEP-0082 writes it; nothing for what never was."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
