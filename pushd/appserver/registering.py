"""The commands with which a device registers, is listed and is unregistered (XEP-0050).

They are those of mod_push: `register-push-TYPE`, `list-push-registrations` and
`unregister-push`, offered at each `register_host`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pushd.appserver.registrations import Registration, Registrations
from pushd.providers.contract import Provider
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
from pushd.wire.errors import BadRequest, Forbidden, ResourceConstraint
from pushd.wire.jid import JID
from pushd.wire.namespaces import FORM_PUSH_OPTIONS
from pushd.wire.secret import Secret

LISTED = ("node", "device-name", "device-id", "type", "app", "registered", "last-push")
COMMON = ("token", "device-id", "device-name")


@dataclass(frozen=True, slots=True)
class App:
    """A configured backend: one app at one provider, with its hosts."""

    name: str  # unique among all backends
    provider: Provider
    register_host: str
    pubsub_host: str
    app_name: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may register, and how much."""

    access: str | tuple[str, ...] = "all"  # or "local", or domains
    registrations_per_account: int = 20


class Registering:
    """The commands of one register_host. `unregister` also tells the account's server."""

    def __init__(
        self,
        host: Host,
        register_host: str,
        apps: Sequence[App],
        registrations: Registrations,
        rules: Rules,
        unregister: Callable[[Registration, str], None],
    ) -> None:
        self._host = host
        self._apps = apps
        self._registrations = registrations
        self._rules = rules
        self._unregister = unregister
        for type_name in self._types():
            host.commands.add(
                register_host,
                f"register-push-{type_name}",
                f"Register a device for push by {type_name}",
                self._registrar(type_name),
            )
        host.commands.add(
            register_host, "list-push-registrations", "List my push registrations", self.list
        )
        host.commands.add(
            register_host, "unregister-push", "Remove push registrations", self.unregister
        )
        for app in apps:
            host.disco.add_identity(register_host, "app-server", app.app_name)

    def _types(self) -> list[str]:
        """The provider types served here, and their other names."""
        names = {name for app in self._apps for name in (app.provider.type, *app.provider.aliases)}
        return sorted(names)

    def _registrar(self, type_name: str) -> Handler:
        apps = [
            app for app in self._apps if type_name in (app.provider.type, *app.provider.aliases)
        ]

        async def register(request: IQ, invocation: Invocation) -> Reply:
            self._check_access(request.sender)
            if invocation.form is None:
                return Executing(_offer(apps))
            return await self._register(request, apps, _submitted(invocation.form))

        return register

    async def _register(self, request: IQ, apps: list[App], form: forms.Form) -> Reply:
        app = _chosen(apps, _one(form, "app"))
        account = request.sender.bare
        device = _one(form, "device-id") or request.sender.resource
        if not device:
            raise bad_payload("device-id: it is missing, and the sender has no resource")
        fields = {
            name: value
            for name in sorted(app.provider.register_fields)
            if (value := _one(form, name)) is not None
        }
        token = fields.pop("token", "")
        if not token and "token" in app.provider.register_fields:
            raise bad_payload("token: it is missing or empty")
        try:
            app.provider.check({"token": token, **fields})
        except ValueError as error:
            raise bad_payload(str(error)) from None
        self._check_limit(account, device)
        registration, secret = self._registrations.register(
            account=account,
            device=device,
            device_name=_one(form, "device-name"),
            backend=app.name,
            type=app.provider.type,
            app=app.app_name,
            token=Secret(token),
            fields=fields,
            now=self._host.clock.seconds(),
        )
        await self._host.database.committed()
        self._host.events.emit(
            DeviceRegistered(account, app.pubsub_host, registration.node, registration.type, device)
        )
        given = {
            "jid": app.pubsub_host,
            "node": registration.node,
            "secret": secret.reveal(),
        }
        return Completed(forms.result(None, given))

    async def list(self, request: IQ, invocation: Invocation) -> Reply:
        """What the asker has registered; never a token or a secret."""
        self._check_access(request.sender)
        known = self._registrations.of(request.sender.bare)
        if not known:
            return Completed()
        return Completed(forms.result(None, reported=LISTED, items=map(_row, known)))

    async def unregister(self, request: IQ, invocation: Invocation) -> Reply:
        """Remove by nodes, by device, all, or the sender's own device; all or nothing."""
        self._check_access(request.sender)
        form = _submitted(invocation.form) if invocation.form is not None else forms.Form()
        known = self._registrations.of(request.sender.bare)
        nodes = form.fields.get("nodes", ())
        by_nodes = bool(nodes)
        if by_nodes:
            found = [one for one in known if one.node in nodes]
        elif _all(form):
            found = known
        else:
            device = _one(form, "device-id") or request.sender.resource
            found = [one for one in known if one.device == device]
            if not found:
                raise BadRequest("device-id: no such device is registered")
        for one in found:
            self._unregister(one, "unregistered by its owner")
        await self._host.database.committed()
        if not by_nodes:
            return Completed()
        removed = forms.Field("nodes", "list-multi", values=[one.node for one in found])
        return Completed(forms.result(None, [removed]))

    def _check_access(self, sender: JID) -> None:
        access = self._rules.access
        if access == "all":
            return
        allowed = self._host.domains if access == "local" else access
        if sender.domain not in allowed:
            raise Forbidden("devices of this domain are not served here")

    def _check_limit(self, account: str, device: str) -> None:
        known = self._registrations.of(account)
        if (
            len(known) >= self._rules.registrations_per_account
            and self._registrations.of_device(account, device) is None
        ):
            raise ResourceConstraint("too many registrations of this account")


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


def _all(form: forms.Form) -> bool:
    try:
        return bool(form.boolean("all"))
    except ValueError as error:
        raise bad_payload(str(error)) from None


def _chosen(apps: list[App], wanted: str | None) -> App:
    """The app that the form names; the only one needs no naming."""
    if wanted is None and len(apps) == 1:
        return apps[0]
    for app in apps:
        if app.app_name == wanted:
            return app
    names = ", ".join(app.app_name for app in apps)
    raise bad_payload(f"app: one of {names} is expected")


def _offer(apps: list[App]) -> Element:
    """The form of a register command, for clients that know nothing of it."""
    wanted = sorted(apps[0].provider.register_fields - set(COMMON))
    fields = [
        forms.Field("token", label="Token from the push provider", required=True),
        forms.Field("device-id", label="Device (your resource if empty)"),
        forms.Field("device-name", label="A name to tell your devices by"),
        *(forms.Field(name, label=name.replace("-", " ")) for name in wanted),
    ]
    if len(apps) > 1:
        options = [(app.app_name, app.app_name) for app in apps]
        fields.append(
            forms.Field("app", "list-single", label="App", required=True, options=options)
        )
    return forms.offer(
        FORM_PUSH_OPTIONS,
        "Register for push",
        "Fill in what your app got from the provider.",
        fields,
    )


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
