import pytest

from pushd.modules.push.enablements import Enablement, Summary
from pushd.modules.push.options import Told
from pushd.modules.push.publish import Verdict, pubsub, verdict
from pushd.routing.requests import Answer, Refusal, Result, Silence
from pushd.wire import forms
from pushd.wire.element import parse, serialize
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS
from pushd.wire.secret import Secret

FORM = serialize(forms.submit(FORM_PUBLISH_OPTIONS, {"secret": "s3cr3t"}))
ALL = Told(True, True, True, True)


def enablement(node: str = "n", options: bytes | None = FORM) -> Enablement:
    return Enablement("juliet@example.net", "push.example.org", node, options, "", 0.0, 0.0)


def test_a_publish_as_it_stands_on_the_wire() -> None:
    """Checklist 84 to 87."""
    queued = Summary(2, 1, 0, "romeo@example.org/o", Secret("hi"), "paris@example.org")

    assert parse(serialize(pubsub(enablement(), queued, ALL))).toXml() == (
        parse(
            b"""<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item>"""
            b"""<notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='submit'>"""
            b"""<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:push:summary</value></field>"""
            b"""<field var='message-count'><value>2</value></field>"""
            b"""<field var='last-message-sender'><value>romeo@example.org/o</value></field>"""
            b"""<field var='last-message-body'><value>hi</value></field>"""
            b"""<field var='pending-subscription-count'><value>1</value></field>"""
            b"""<field var='last-subscription-sender'><value>paris@example.org</value></field>"""
            b"""</x></notification></item></publish><publish-options>"""
            b"""<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"""
            b"""<value>http://jabber.org/protocol/pubsub#publish-options</value></field>"""
            b"""<field var='secret'><value>s3cr3t</value></field></x></publish-options></pubsub>"""
        ).toXml()
    )


def test_what_there_is_none_of_is_not_told() -> None:
    made = pubsub(enablement(), Summary(), ALL)

    form = forms.find(made.publish.item.notification)
    assert form is not None
    assert form.fields == {}


@pytest.mark.parametrize(("urgent", "told"), [(True, "high"), (False, "")])
def test_an_urgent_notification_says_so(urgent: bool, told: str) -> None:
    note = pubsub(enablement(), Summary(1, urgent=urgent), ALL).publish.item.notification

    assert str(note.priority or "") == told


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Result(None), Verdict.ACCEPTED),
        (Silence(), Verdict.LATER),  # checklist 89
        (Refusal("item-not-found", "cancel"), Verdict.REMOVE),  # checklist 88
        (Refusal("forbidden", "auth"), Verdict.REMOVE),
        (Refusal("not-authorized", "auth"), Verdict.REMOVE),
        (Refusal("gone", "cancel"), Verdict.REMOVE),
        (Refusal("gone", "wait"), Verdict.REMOVE),
        (Refusal("resource-constraint", "wait"), Verdict.LATER),
        (Refusal("remote-server-timeout", "wait"), Verdict.LATER),
        (Refusal("internal-server-error", "wait"), Verdict.LATER),
        (Refusal("internal-server-error", "cancel"), Verdict.COUNT),
        (Refusal("service-unavailable", "cancel"), Verdict.COUNT),
        (Refusal("remote-server-not-found", "cancel"), Verdict.COUNT),
        (Refusal("bad-request", "modify"), Verdict.COUNT),
        (Refusal("conflict", "cancel"), Verdict.COUNT),
        (Refusal("undefined-condition", "cancel"), Verdict.COUNT),
    ],
)
def test_what_an_answer_means(answer: Answer, expected: Verdict) -> None:
    assert verdict(answer) is expected
