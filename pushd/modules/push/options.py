"""What a push may tell: one set of options for the account (`urn:xmpp:push:options`).

The first enablement may set them either way; while any exists, a later one may only
switch off, so that nobody who gets hold of a session learns more than its owner allowed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from pushd.wire import forms
from pushd.wire.element import Element
from pushd.wire.errors import NotAcceptable
from pushd.wire.namespaces import FORM_PUSH_OPTIONS


@dataclass(frozen=True, slots=True)
class Told:
    """The four switches. The names of the form have hyphens."""

    include_senders: bool = False
    include_message_count: bool = True
    include_subscription_count: bool = True
    include_message_bodies: bool = False


NAMES = tuple(field.name for field in fields(Told))


def read(form: forms.Form) -> Mapping[str, bool]:
    """The switches that a form sets. Raises NotAcceptable for what is no boolean."""
    wanted: dict[str, bool] = {}
    for name in NAMES:
        field = name.replace("_", "-")
        if field in form.fields:
            values = form.fields[field]
            try:
                (value,) = values
                wanted[name] = forms.boolean(value)
            except ValueError:
                raise NotAcceptable(f"{field}: one of 0, 1, true, false is expected") from None
    return wanted


def accept(
    current: Told, wanted: Mapping[str, bool], may_widen: bool
) -> tuple[Told, Mapping[str, bool]]:
    """Apply what may be applied: the new switches, and those of `wanted` that were accepted."""
    accepted = {
        name: value
        for name, value in wanted.items()
        if may_widen or not value or getattr(current, name)
    }
    return replace(current, **accepted), accepted


def result(values: Mapping[str, bool]) -> Element:
    """A form of type result with these switches as 0 and 1."""
    shown = (
        forms.Field(name.replace("_", "-"), "boolean", values="1" if value else "0")
        for name, value in values.items()
    )
    return forms.result(FORM_PUSH_OPTIONS, shown)


def all_of(told: Told) -> Mapping[str, bool]:
    return {name: getattr(told, name) for name in NAMES}
