"""What an `<enable/>` or a `<disable/>` says (XEP-0357 §5 and §6)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pushd.modules.push import extensions, options
from pushd.modules.push.extensions import Extensions
from pushd.wire import forms
from pushd.wire.element import Element, children, element, serialize
from pushd.wire.errors import BadRequest, NotAcceptable
from pushd.wire.jid import parse
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, FORM_PUSH_OPTIONS, NS_FORMS, NS_PUSH

# What one enablement may keep here, and have said with each push, in bytes.
LONGEST_NODE = 4_096
MOST_OPTIONS = 8_192


@dataclass(frozen=True, slots=True)
class Target:
    """A push service and a node there; None where no node is named."""

    service: str
    domain: str  # of the service
    node: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Which switches are asked for, which publish-options to keep, as XML, and what else."""

    switches: Mapping[str, bool]
    publish_options: bytes | None = field(repr=False)
    extensions: Extensions | None = None


def target(payload: Element) -> Target:
    """Raises BadRequest, JIDMalformed or NotAcceptable for what names no service or node."""
    address = payload.attributes.get("jid")
    if address is None:
        raise BadRequest("jid: the address of the push service is missing")
    node = payload.attributes.get("node")
    if node == "":
        raise NotAcceptable("node: an empty name is none")
    if node is not None and len(node.encode()) > LONGEST_NODE:
        raise NotAcceptable(f"node: it has {LONGEST_NODE} bytes at most")
    service = parse(address)
    return Target(service.full, service.domain, node)


def wishes(payload: Element) -> Wishes:
    """Read the forms, each the first of its kind, in either order; one cancelled is not applied.

    Raises BadRequest for what is no form, or a `secret` without exactly one value, and
    NotAcceptable for a switch that is neither on nor off, and for too much to keep; and what
    `extensions.read` raises.
    """
    switches: Mapping[str, bool] | None = None
    publish_options: bytes | None = None
    for form in _forms(payload):
        if form.form_type == FORM_PUSH_OPTIONS and switches is None:
            switches = options.read(form)
        # COMPAT: a form without FORM_TYPE is meant as publish-options, the only one of the XEP.
        elif form.form_type in (FORM_PUBLISH_OPTIONS, None) and publish_options is None:
            if len(form.fields.get("secret", ("",))) != 1:
                raise BadRequest("secret: exactly one value is expected")
            publish_options = serialize(forms.submit(FORM_PUBLISH_OPTIONS, form.fields))
            if len(publish_options) > MOST_OPTIONS:
                raise NotAcceptable(f"publish-options: they have {MOST_OPTIONS} bytes at most")
    return Wishes(switches or {}, publish_options, extensions.read(payload))


def _forms(payload: Element) -> list[forms.Form]:
    parts = (node for node in children(payload) if (node.uri, node.name) == (NS_FORMS, "x"))
    try:
        found = [forms.read(node) for node in parts]
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return [form for form in found if form.type in ("submit", "form")]


def named(name: str, service: str, node: str, *content: Element) -> Element:
    """An element of XEP-0357 that names a service and a node ("" for none)."""
    attributes = {"jid": service, **({"node": node} if node else {})}
    return element(NS_PUSH, name, *content, **attributes)
