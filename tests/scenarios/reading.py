"""Making and reading what push is about: enablings, publishes, commands, errors, disco."""

from collections.abc import Mapping
from typing import NamedTuple

from pushd.wire import forms
from pushd.wire.element import Element, child, children, serialize, text
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_OPTIONS,
    FORM_PUSH_SUMMARY,
    NS_CLIENT,
    NS_COMMANDS,
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    NS_PUBSUB,
    NS_PUSH,
    NS_STANZA_ERRORS,
)


def node_of(stanza: Element) -> str | None:
    """The node that a stanza publishes to, or None."""
    pubsub = child(stanza, NS_PUBSUB, "pubsub")
    publish = child(pubsub, NS_PUBSUB, "publish") if pubsub is not None else None
    return publish.getAttribute("node", "") if publish is not None else None


def item_of(publish: Element) -> Element:
    """The only item of a publish."""
    pubsub = child(publish, NS_PUBSUB, "pubsub")
    assert pubsub is not None
    inner = child(pubsub, NS_PUBSUB, "publish")
    assert inner is not None
    [item] = children(inner)
    return item


def summary(publish: Element) -> dict[str, str]:
    """The fields of the summary."""
    notification = child(item_of(publish), NS_PUSH, "notification")
    assert notification is not None
    form = forms.find(notification, FORM_PUSH_SUMMARY)
    assert form is not None
    return {name: value for name, (value,) in form.fields.items()}


def options_of(publish: Element) -> Mapping[str, tuple[str, ...]] | None:
    """The publish-options, or None."""
    pubsub = child(publish, NS_PUBSUB, "pubsub")
    assert pubsub is not None
    found = child(pubsub, NS_PUBSUB, "publish-options")
    if found is None:
        return None
    form = forms.find(found, FORM_PUBLISH_OPTIONS)
    assert form is not None
    return form.fields


def succeeded(answer: Element) -> Element:
    assert answer["type"] == "result", serialize(answer)
    return answer


def refusal(answer: Element) -> tuple[str, str]:
    """Type and condition of an error."""
    assert answer["type"] == "error", serialize(answer)
    error = child(answer, NS_CLIENT, "error")
    assert error is not None
    [condition] = [
        one.name for one in children(error) if one.uri == NS_STANZA_ERRORS and one.name != "text"
    ]
    return error["type"], condition


def condition(answer: Element) -> str:
    return refusal(answer)[1]


def words(answer: Element) -> str:
    """The text of an error."""
    error = child(answer, NS_CLIENT, "error")
    assert error is not None, serialize(answer)
    return text(child(error, NS_STANZA_ERRORS, "text"))


def fields_of(answer: Element) -> dict[str, str]:
    """The fields of a completed command, each with one value."""
    completed = child(succeeded(answer), NS_COMMANDS, "command")
    assert completed is not None
    assert completed["status"] == "completed"
    form = forms.find(completed)
    return {} if form is None else {name: values[0] for name, values in form.fields.items()}


def options_form(**options: str) -> Element:
    """The form of options; names with underscores."""
    given = {name.replace("_", "-"): value for name, value in options.items()}
    return forms.submit(FORM_PUSH_OPTIONS, given)


def secret_form(secret: str) -> Element:
    return forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret})


def accepted(answer: Element) -> dict[str, str]:
    """The options that the result of enabling echoes."""
    enabled = child(succeeded(answer), NS_PUSH, "enable")
    if enabled is None:
        return {}
    form = forms.find(enabled, FORM_PUSH_OPTIONS)
    assert form is not None
    return {name: value for name, (value,) in form.fields.items()}


class Info(NamedTuple):
    """What disco#info says; forms by FORM_TYPE."""

    features: list[str]
    identities: list[tuple[str, str]]
    forms: dict[str, forms.Form]


def info(answer: Element) -> Info:
    query = child(succeeded(answer), NS_DISCO_INFO, "query")
    assert query is not None
    parts = list(children(query))
    found = [forms.read(one) for one in parts if one.name == "x"]
    return Info(
        [one["var"] for one in parts if one.name == "feature"],
        [(one["category"], one["type"]) for one in parts if one.name == "identity"],
        {form.form_type or "": form for form in found},
    )


def items(answer: Element) -> list[dict[str, str]]:
    """What disco#items lists."""
    query = child(succeeded(answer), NS_DISCO_ITEMS, "query")
    assert query is not None
    return [{str(key): value for key, value in one.attributes.items()} for one in children(query)]
