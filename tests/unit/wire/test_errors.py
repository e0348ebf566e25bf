"""Errors: each condition with the type that RFC 6120 gives it."""

import pytest

from pushd.wire import errors
from pushd.wire.element import element, serialize
from pushd.wire.errors import BadRequest, ItemNotFound, StanzaError, StreamError

# RFC 6120 §8.3.3; where it allows two types, the first it names.
TYPES = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "undefined-condition": "cancel",
    "unexpected-request": "wait",
}


def test_every_condition_has_a_class_and_its_type() -> None:
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, StanzaError) and value is not StanzaError
    ]
    assert {each.condition: each.type for each in classes} == TYPES
    assert len(classes) == len(TYPES)


@pytest.mark.parametrize("condition", TYPES)
def test_a_class_is_named_by_its_condition(condition: str) -> None:
    words = condition.split("-")
    name = "".join("JID" if word == "jid" else word.capitalize() for word in words)
    assert getattr(errors, name).condition == condition


def test_an_error_is_written_with_condition_text_and_an_element_of_the_applications() -> None:
    assert serialize(ItemNotFound().element()) == (
        b"<error type='cancel'>"
        b"<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    )
    assert serialize(BadRequest("a < b", element("urn:x", "why")).element()) == (
        b"<error type='modify'>"
        b"<bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>a &lt; b</text>"
        b"<why xmlns='urn:x'/></error>"
    )


def test_an_error_prints_its_text_or_else_its_condition() -> None:
    assert str(BadRequest("no such field")) == "no such field"
    assert str(BadRequest()) == "bad-request"
    assert str(StreamError("host-unknown")) == "host-unknown"
    assert str(StreamError("host-unknown", "not here")) == "not here"


def test_a_stream_error_is_written_in_the_streams_own_namespace() -> None:
    assert serialize(StreamError("host-unknown").element()) == (
        b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    )
    error = StreamError("policy-violation", "too big", element("urn:x", "why"))
    assert serialize(error.element()) == (
        b"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>too big</text>"
        b"<why xmlns='urn:x'/></stream:error>"
    )
