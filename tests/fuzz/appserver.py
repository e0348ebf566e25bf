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
    NS_PUSH_ENCRYPT,
    NS_PUSH_JINGLE,
)
from tests.fuzz import grammar, house
from tests.fuzz.grammar import element

COMMANDS = (
    *("register-push-post", "register-push-pigeon", "register-push-mail", "unregister-push"),
    *("list-push-registrations", "", "x", NS_COMMANDS),
    *("register-device", "unregister-device", "register-push-fcm", "unregister-push-fcm"),
    *("v1-register-push", "v1-unregister-push"),
)
NS_OWNER = f"{NS_PUBSUB}#owner"
CREATE = (
    f"<iq type='set' id='n' to='push.example.net'><pubsub xmlns='{NS_PUBSUB}'>"
    "<create node='made' type='push'/></pubsub></iq>"
)
OPTIONS = (
    *(("secret", "{{secret}}"), ("pushModule", "module"), ("pushModule", "module-sandbox")),
    *(("service", "post"), ("device_id", "tok"), ("mode", "dev"), ("silent", "true")),
    *(("topic", "x"), ("service", ""), ("secret", ""), ("pushModule", "x")),
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
        CREATE,
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
        elif way < 0.8:
            parts.append(_addressed(random, _managed(random)))
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
        *("provider", "device-token", "device-second-token", "android-id", "muc", "node", "type"),
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
    if random.random() < 0.2:
        inner += _extras(random)
    notification = element(random, "notification", inner, xmlns=NS_PUSH)
    items = element(
        random, "item", notification if random.random() < 0.9 else grammar.content(random)
    )
    if random.random() < 0.1:
        items = random.choice(("", items + items))
    node = random.choice(("{{node}}",) * 5 + ("made", "tok", random.choice(grammar.TEXTS)))
    publish = element(random, random.choice(("publish",) * 9 + ("retract",)), items, node=node)
    options = _field("FORM_TYPE", FORM_PUBLISH_OPTIONS)
    for _ in range(random.choice((1, 1, 2, 3, 4))):
        options += _field(*random.choice(OPTIONS))
    form = element(random, "x", options, xmlns=NS_FORMS, type="submit")
    given = element(random, "publish-options", form) if random.random() < 0.9 else ""
    return element(random, "pubsub", publish + given, xmlns=NS_PUBSUB)


def _extras(random: Random) -> str:
    """What Tigase's server says besides."""
    data = random.choice(("c2VhbGVk", "c2VhbGVk\n", "odd", "", random.choice(grammar.TEXTS)))
    if random.random() < 0.5:
        more = {"type": random.choice(("voip", "x"))} if random.random() < 0.5 else {}
        escaped = grammar.escaped(data, random)
        return element(random, "encrypted", escaped, xmlns=NS_PUSH_ENCRYPT, iv="aXY=", **more)
    media = element(random, "media", random.choice(("audio", "video", "x y", "")))
    action = random.choice(("propose", "propose", "accept", "retract", ""))
    sid = random.choice(("s", "", *grammar.TEXTS))
    return element(random, "jingle", media, xmlns=NS_PUSH_JINGLE, action=action, sid=sid)


def _managed(random: Random) -> str:
    """Nodes that are made, deleted, and whose publishers change."""
    node = random.choice(("made", "made", "{{node}}", random.choice(grammar.TEXTS)))
    way = random.random()
    if way < 0.4:
        made = element(random, "create", "", node=node, type=random.choice(("push", "push", "x")))
        form = grammar.form(random, ("pubsub#access_model", "pubsub#publish_model", "FORM_TYPE"))
        given = element(random, "configure", form) if random.random() < 0.4 else ""
        return element(random, "pubsub", made + given, xmlns=NS_PUBSUB)
    if way < 0.6:
        gone = element(random, "delete", "", node=node)
        return element(random, "pubsub", gone, xmlns=NS_OWNER)
    listed = "".join(
        element(
            random,
            "affiliation",
            "",
            jid=random.choice(grammar.ADDRESSES),
            affiliation=random.choice(("publish-only", "publisher", "none", "owner", "")),
        )
        for _ in range(random.randrange(3))
    )
    changed = element(random, "affiliations", listed, node=node)
    return element(random, "pubsub", changed, xmlns=NS_OWNER)


def _field(name: str, value: str) -> str:
    return f"<field var='{name}'><value>{value}</value></field>"


one = house.play
renew = house.renew
