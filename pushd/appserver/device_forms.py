"""The forms of the commands: what a device fills in, and what it is shown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pushd.appserver.apps import App
from pushd.appserver.registrations import Registration
from pushd.providers.contract import BadField
from pushd.routing.commands import bad_payload
from pushd.wire import forms
from pushd.wire.element import Element
from pushd.wire.instant import written
from pushd.wire.jid import JID
from pushd.wire.namespaces import FORM_PUSH_OPTIONS

LONGEST_NAME = 1_023  # bytes of a device's id or name, as of a resource
LONGEST_FIELD = 4_096  # bytes of what a provider asks for; tokens have some hundreds
LABELS = {
    "token": "Token, from the push provider",
    "application-id": "Application id",
    "voip-token": "Token for calls, from PushKit",
    "silent-push": "Push silently",
    "environment": "Environment",
    "endpoint": "Endpoint, from the push provider",
    "p256dh": "Public key of the device",
    "auth": "Authentication secret of the device",
    "vapid": "Public key of this server, to subscribe with",
    "device-id": "Device (your resource, if empty)",
    "android-id": "Device, by an id that stays the same",
    "muc": "Room (your account, if empty)",
    "type": "Provider",
    "node": "Node: the id of the device, which stays the same",
    "device-name": "A name to tell your devices by",
    "app": "App",
}
# What is no line of text, for clients that show forms to people.
KINDS = {
    "silent-push": forms.Field("silent-push", "boolean", values="0"),
    "environment": forms.Field(
        "environment",
        "list-single",
        options=(("production", "Production"), ("sandbox", "Sandbox")),
    ),
}
LISTED = {
    "node": "Node",
    "device-name": "Name",
    "device-id": "Device",
    "type": "Provider",
    "app": "App",
    "dialect": "Registered by",
    "room": "Room",
    "registered": "Registered",
    "last-push": "Last push",
}


# Reading the forms.


def submitted(form: forms.Form) -> forms.Form:
    """The form, unless it was cancelled or is another one: then raises BadRequest."""
    if form.type == "cancel":
        raise bad_payload("the form was cancelled")
    if form.form_type not in (None, FORM_PUSH_OPTIONS):
        raise bad_payload(f"FORM_TYPE: {FORM_PUSH_OPTIONS} or none is expected")
    return form


def value_of(form: forms.Form, name: str) -> str | None:
    """The one value of a field; None without it. Raises BadRequest for several."""
    try:
        return form.one(name)
    except ValueError as error:
        raise bad_payload(str(error)) from None


def flag(form: forms.Form, name: str) -> bool:
    """A boolean, false where it is absent. Raises BadRequest for what is none (XEP-0004 §3.3)."""
    try:
        return bool(form.boolean(name))
    except ValueError as error:
        raise bad_payload(str(error)) from None


def text_of(form: forms.Form, name: str) -> str | None:
    """A text of the device's own, such as its name. Raises BadRequest for a long one."""
    value = value_of(form, name)
    if value is not None:
        _check_length(name, value, LONGEST_NAME)
    return value


def _check_length(name: str, value: str, longest: int) -> None:
    if len(value.encode()) > longest:
        raise bad_payload(f"{name}: it has {longest} bytes at most")


def device_of(form: forms.Form, sender: JID) -> str:
    """The id of the device: its own, or else the resource that registers."""
    return text_of(form, "device-id") or sender.resource


def provider_fields(app: App, form: forms.Form) -> dict[str, str]:
    """What the provider asks for, checked by it, as it is to be stored."""
    provider = app.provider
    asked = sorted(provider.register_fields | provider.optional_fields)
    return checked(
        app, {name: value for name in asked if (value := value_of(form, name)) is not None}
    )


def checked(
    app: App, fields: Mapping[str, str], called: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The fields as the provider wants them stored. Raises BadRequest that names one.

    `called` has the names of those fields that the dialect calls by others.
    """
    called = called or {}
    for name, value in fields.items():
        _check_length(called.get(name, name), value, LONGEST_FIELD)
    try:
        app.provider.check(fields)
    except BadField as error:
        name = called.get(error.field, error.field)
        raise bad_payload(name + str(error).removeprefix(error.field)) from None
    except ValueError as error:
        raise bad_payload(str(error)) from None
    return app.provider.stored(fields)


def chosen_app(apps: Sequence[App], wanted: str | None) -> App:
    """The app that the form names; the only one needs no naming."""
    if not wanted and len(apps) == 1:
        return apps[0]
    for app in apps:
        if app.app_name == wanted:
            return app
    names = ", ".join(app.app_name for app in apps)
    raise bad_payload(f"app: one of {names} is expected")


# Writing them.


def offered(apps: Sequence[App]) -> Element:
    """The form of a register command, for clients that know nothing of it."""
    provider = apps[0].provider  # all are of one type
    fields = [
        *(_field(name, required=True) for name in sorted(provider.register_fields)),
        *_fixed(apps),
        *(_field(name) for name in sorted(provider.optional_fields - provider.shown().keys())),
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


def blank(title: str, required: Sequence[str], optional: Sequence[str] = ()) -> Element:
    """The form of another dialect's command, without FORM_TYPE, as its clients have none."""
    fields = [_field(name, required=True) for name in required]
    fields += [_field(name) for name in optional]
    return forms.offer(None, title, "Fill in what your app knows.", fields)


def _fixed(apps: Sequence[App]) -> Iterator[forms.Field]:
    """What a device must know before; one each where it is not the same for all apps."""
    for name in apps[0].provider.shown():
        values = {app.app_name: app.provider.shown()[name] for app in apps}
        label = LABELS.get(name, name)
        if len(set(values.values())) == 1:
            yield forms.Field(name, "fixed", label, values[apps[0].app_name])
            continue
        for app, value in values.items():
            yield forms.Field(f"{name}-{app}", "fixed", f"{label} of {app}", value)


def _field(name: str, required: bool = False) -> forms.Field:
    field = KINDS.get(name) or forms.Field(name)
    return replace(field, label=LABELS.get(name, name), required=required)


def row(registration: Registration) -> dict[str, str]:
    """A registration, as the lists of a command show it: texts by the names in `LISTED`."""
    row = {
        "node": registration.called,
        "device-name": registration.device_name or "",
        "device-id": registration.device,
        "type": registration.type,
        "app": registration.app,
        "dialect": registration.dialect,
        "room": registration.room,
        "registered": written(registration.registered_at),
        "last-push": written(registration.last_push_at),
    }
    return {name: value for name, value in row.items() if value}
