"""The push service: commands that register, publishes to nodes, and whatever is no such thing."""

from random import Random

from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_OPTIONS,
    FORM_PUSH_SUMMARY,
    NS_COMMANDS,
    NS_FORMS,
    NS_PRIORITY,
    NS_PUBSUB,
    NS_PUSH,
)
from tests.fuzz import grammar, house
from tests.fuzz.grammar import element

COMMANDS = (
    *("register-push-post", "register-push-pigeon", "register-push-mail", "unregister-push"),
    *("list-push-registrations", "", "x", NS_COMMANDS),
)
REGISTER = (
    f"<iq type='set' id='r' to='example.net'><command xmlns='{NS_COMMANDS}' "
    f"node='register-push-post'><x xmlns='{NS_FORMS}' type='submit'>"
    "<field var='token'><value>tok</value></field></x></command></iq>"
)
PUBLISH = (
    f"<iq type='set' id='p' to='push.example.net'><pubsub xmlns='{NS_PUBSUB}'>"
    f"<publish node='{{{{node}}}}'><item><notification xmlns='{NS_PUSH}'/></item></publish>"
    f"<publish-options><x xmlns='{NS_FORMS}' type='submit'>"
    "<field var='secret'><value>{{secret}}</value></field></x></publish-options></pubsub></iq>"
)
ENABLE = (
    f"<iq type='set' id='e'><enable xmlns='{NS_PUSH}' jid='push.example.net' node='{{{{node}}}}'>"
    f"<x xmlns='{NS_FORMS}' type='submit'>"
    "<field var='secret'><value>{{secret}}</value></field></x></enable></iq>"
)
WORDS = (
    *(
        REGISTER,
        PUBLISH,
        ENABLE,
        "{{answer 200}}",
        "{{answer 410}}",
        "{{answer 503}}",
        "{{wait 61}}",
    ),
    *(
        "{{client}}{{bound juliet balcony}}",
        "{{to 0}}",
        "{{to 1}}",
        "{{wait 0}}{{cut}}",
        "{{cut}}",
        "{{node}}",
        "{{secret}}",
    ),
    *("<message to='romeo@example.net' type='chat'><body>hi</body></message>", "<presence/>"),
    "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
)
TOKENS = (*(word.encode() for word in WORDS), *grammar.TOKENS)


def write(random: Random) -> bytes:
    parts = ["{{client}}{{bound romeo phone}}"]
    if random.random() < 0.6:
        parts.append(REGISTER)
    while random.random() < 0.8:
        way = random.random()
        if way < 0.35:
            parts.append(grammar.iq(random, _command(random)).replace("to=", "to='example.net' x="))
        elif way < 0.7:
            parts.append(_addressed(random, _publish(random)))
        else:
            parts.append(random.choice(WORDS))
    return "".join(parts).encode(errors="replace")


def _addressed(random: Random, payload: str) -> str:
    to = "push.example.net" if random.random() < 0.9 else random.choice(grammar.ADDRESSES)
    return grammar.stanza(random, "iq", payload, ("set",) * 5 + ("get",), to)


def _command(random: Random) -> str:
    names = (
        "token",
        "application-id",
        "device-id",
        "device-name",
        "app",
        "nodes",
        "all",
        "FORM_TYPE",
    )
    form = grammar.form(random, names) if random.random() < 0.8 else ""
    if random.random() < 0.3:
        form = form.replace("</field>", "</field>" + _field("FORM_TYPE", FORM_PUSH_OPTIONS), 1)
    given = {"node": random.choice(COMMANDS)} if random.random() < 0.95 else {}
    if random.random() < 0.3:
        given["action"] = random.choice(("execute", "complete", "cancel", "next", "prev", "", "x"))
    if random.random() < 0.2:
        given["sessionid"] = random.choice(grammar.TEXTS)
    return element(random, "command", form, xmlns=NS_COMMANDS, **given)


def _publish(random: Random) -> str:
    names = (
        *("message-count", "pending-subscription-count", "last-message-sender"),
        *("last-message-body", "last-subscription-sender"),
    )
    fields = _field("FORM_TYPE", FORM_PUSH_SUMMARY) if random.random() < 0.9 else ""
    while random.random() < 0.7:
        values = (*grammar.NUMBERS, *grammar.ADDRESSES, *grammar.TEXTS)
        fields += _field(random.choice(names), grammar.escaped(random.choice(values), random))
    inner = element(random, "x", fields, xmlns=NS_FORMS, type="submit")
    if random.random() < 0.2:
        inner += element(random, "priority", random.choice(("high", "low")), xmlns=NS_PRIORITY)
    notification = element(random, "notification", inner, xmlns=NS_PUSH)
    items = element(
        random, "item", notification if random.random() < 0.9 else grammar.content(random)
    )
    if random.random() < 0.1:
        items = random.choice(("", items + items))
    node = "{{node}}" if random.random() < 0.8 else random.choice(grammar.TEXTS)
    publish = element(random, random.choice(("publish",) * 9 + ("retract",)), items, node=node)
    secret = "{{secret}}" if random.random() < 0.8 else random.choice(("", "x"))
    options = _field("FORM_TYPE", FORM_PUBLISH_OPTIONS) + _field("secret", secret)
    form = element(random, "x", options, xmlns=NS_FORMS, type="submit")
    given = element(random, "publish-options", form) if random.random() < 0.9 else ""
    return element(random, "pubsub", publish + given, xmlns=NS_PUBSUB)


def _field(name: str, value: str) -> str:
    return f"<field var='{name}'><value>{value}</value></field>"


one = house.play
renew = house.renew
