import pytest

from pushd.modules.push.enablements import Enablement, Summary
from pushd.modules.push.options import Told
from pushd.modules.push.publish import Verdict, publication, verdict
from pushd.routing.requests import Answer, Refusal, Result, Silence
from pushd.wire import forms
from pushd.wire.element import parse, serialize
from pushd.wire.framer import seal
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza

FORM = serialize(forms.submit(FORM_PUBLISH_OPTIONS, {"secret": "s3cr3t"}))
ALL = Told(True, True, True, True)


def enablement(node: str = "n", options: bytes | None = FORM) -> Enablement:
    return Enablement("juliet@example.net", "push.example.org", node, options, "", 0.0, 0.0)


def published(one: Enablement, queued: Summary, told: Told = ALL, urgent: bool = False) -> Stanza:
    made = publication(one, queued, told, urgent=urgent, sender="example.net", id="p'1")
    again = seal(made.raw)
    assert (made.name, made.attributes, made.children) == (
        again.name,
        again.attributes,
        again.children,
    )
    return made


@pytest.mark.line(84, 85, 86, 87)
def test_a_publish_as_it_stands_on_the_wire() -> None:
    queued = Summary(2, 1, 0, "romeo@example.org/o", Secret("hi"), "paris@example.org")

    assert published(enablement(), queued).tree.toXml() == (
        parse(
            b"""<iq id='p&apos;1' type='set' from='example.net' to='push.example.org'>"""
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
            b"""<field var='secret'><value>s3cr3t</value></field></x></publish-options>"""
            b"""</pubsub></iq>"""
        ).toXml()
    )


def test_what_there_is_none_of_is_not_told() -> None:
    made = published(enablement(), Summary())

    form = forms.find(made.tree.pubsub.publish.item.notification)
    assert form is not None
    assert form.fields == {}


@pytest.mark.parametrize(("urgent", "told"), [(True, "high"), (False, "")])
def test_an_urgent_notification_says_so(urgent: bool, told: str) -> None:
    made = published(enablement(), Summary(1), urgent=urgent)
    note = made.tree.pubsub.publish.item.notification

    assert str(note.priority or "") == told


@pytest.mark.line(88, 89)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Result(None), Verdict.ACCEPTED),
        (Silence(), Verdict.LATER),
        (Refusal("item-not-found", "cancel"), Verdict.REMOVE),
        (Refusal("forbidden", "auth"), Verdict.REMOVE),
        (Refusal("not-authorized", "auth"), Verdict.REMOVE),
        (Refusal("gone", "cancel"), Verdict.REMOVE),
        (Refusal("gone", "wait"), Verdict.REMOVE),
        (Refusal("resource-constraint", "wait"), Verdict.LATER),
        (Refusal("remote-server-timeout", "wait"), Verdict.LATER),
        (Refusal("internal-server-error", "wait"), Verdict.LATER),
        (Refusal("internal-server-error", "cancel"), Verdict.COUNT),
        (Refusal("service-unavailable", "cancel"), Verdict.COUNT),
        (Refusal("remote-server-not-found", "cancel"), Verdict.LATER),  # a component is away
        (Refusal("bad-request", "modify"), Verdict.OURS),
        (Refusal("not-acceptable", "modify"), Verdict.OURS),
        (Refusal("policy-violation", "modify"), Verdict.COUNT),  # a block without an end
        (Refusal("conflict", "cancel"), Verdict.COUNT),
        (Refusal("undefined-condition", "cancel"), Verdict.COUNT),
    ],
)
def test_what_an_answer_means(answer: Answer, expected: Verdict) -> None:
    assert verdict(answer) is expected


def test_nothing_that_a_stranger_chose_breaks_out() -> None:
    one = Enablement("j@example.net", "push.example.org/<&'>", "<n'&>", None, "", 0.0, 0.0)
    queued = Summary(1, 0, 0, "romeo@example.org/<'&>", Secret("</value>]]> & \r\n\x0b'"))

    made = published(one, queued)

    assert made.tree["to"] == "push.example.org/<&'>"
    assert made.tree.pubsub.publish["node"] == "<n'&>"
    form = forms.find(made.tree.pubsub.publish.item.notification)
    assert form is not None
    assert form.fields["last-message-sender"] == ("romeo@example.org/<'&>",)
    assert form.fields["last-message-body"] == ("</value>]]> & \r\n\ufffd'",)
