"""The commands with which a device registers, is listed and is unregistered (XEP-0050).

They are those of mod_push: `register-push-TYPE`, `list-push-registrations` and
`unregister-push`, offered at each `register_host`.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from pushd.appserver.apps import App
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
from pushd.wire.errors import Forbidden
from pushd.wire.jid import JID
from pushd.wire.secret import Secret


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
            self._check_rate(request.sender)
            return handler(request, invocation)

        self._host.commands.add(register_host, node, name, checked, self._check_access)

    def _check_access(self, request: IQ) -> None:
        access = self._limiter.rules.access
        if access == "all":
            return
        allowed = self._host.domains if access == "local" else access
        if request.sender.domain not in allowed:
            raise Forbidden("devices of this domain are not served here")

    def _check_rate(self, sender: JID) -> None:
        now = self._host.clock.seconds()
        self._limiter.check_domain(sender, now)
        self._limiter.check_account(sender, now)

    # register-push-TYPE

    def _registrar(self, apps: Sequence[App]) -> Handler:
        async def register(request: IQ, invocation: Invocation) -> Reply:
            if invocation.form is None:
                return Executing(offered(apps))
            return await self._register(request, apps, submitted(invocation.form))

        return register

    async def _register(self, request: IQ, apps: Sequence[App], form: forms.Form) -> Reply:
        app = chosen_app(apps, value_of(form, "app"))
        account, device = request.sender.bare, device_of(form, request.sender)
        if not device:
            raise bad_payload("device-id: it is missing, and the sender has no resource")
        device_name = text_of(form, "device-name")
        fields = provider_fields(app, form)
        token = Secret(fields.pop("token", ""))
        if self._registrations.find(account, device, app.name, token, fields)[0] is None:
            domain = request.sender.domain
            self._limiter.check_room(request.sender, self._registrations.count_of(domain))
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
        return Completed(forms.result(None, reported=heading, items=map(row, known)))

    # unregister-push

    async def _remove(self, request: IQ, invocation: Invocation) -> Reply:
        """Remove by nodes, all, by device, or the sender's own device; all or nothing."""
        form = submitted(invocation.form) if invocation.form is not None else forms.Form()
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
        if flag(form, "all"):
            return known
        device = device_of(form, sender)
        found = [one for one in known if one.device == device]
        if not found:
            raise bad_payload("device-id: no such device is registered")
        return found
