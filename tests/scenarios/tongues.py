"""How clients of other dialects register for FCM; their accounts may be at any server.

Each takes the client, the register_host, the pubsub_host and a token, and gives the node and the
publish-options with which the client enables push at the pubsub_host.
"""

from collections.abc import Callable

from pushd.wire import forms
from pushd.wire.namespaces import NS_PUBSUB, NS_PUSH
from tests.scenarios.peers import Phone
from tests.scenarios.reading import fields_of, info, succeeded

MODULE = "someAndroidApp"  # of a backend's `push_modules`

Tongue = Callable[[Phone, str, str, str], tuple[str, dict[str, str]]]


def conversations(
    phone: Phone, register_host: str, _: str, token: str
) -> tuple[str, dict[str, str]]:
    given = forms.submit(None, {"token": token, "android-id": f"id-of-{token}"})
    found = fields_of(phone.command("register-push-fcm", given, to=register_host))
    return found["node"], {"secret": found["secret"]}


def monal(phone: Phone, register_host: str, _: str, token: str) -> tuple[str, dict[str, str]]:
    """There is nothing to register."""
    return token, {"pushModule": MODULE}


def siskin(phone: Phone, _: str, pubsub_host: str, token: str) -> tuple[str, dict[str, str]]:
    """As Tigase has it: a service is known by what it says of itself."""
    about = info(phone.disco("info", pubsub_host))
    assert ("pubsub", "push") in about.identities
    assert NS_PUSH in about.features
    given = forms.submit(None, {"provider": "fcm-xmpp-api", "device-token": token})
    answer = succeeded(phone.command("register-device", given, to=pubsub_host))
    return fields_of(answer)["node"], {}


def yaxim(phone: Phone, register_host: str, _: str, token: str) -> tuple[str, dict[str, str]]:
    given = forms.submit(None, {"type": "fcm", "node": f"id-of-{token}", "token": token})
    found = fields_of(phone.command("v1-register-push", given, to=register_host))
    return found["node"], {"secret": found["secret"]}


def mongooseim(phone: Phone, _: str, pubsub_host: str, token: str) -> tuple[str, dict[str, str]]:
    node = f"node-of-{token}"
    made = f"<create node='{node}' type='push'/><configure/>"
    succeeded(phone.ask(f"<pubsub xmlns='{NS_PUBSUB}'>{made}</pubsub>", pubsub_host))
    return node, {"service": "fcm", "device_id": token, "silent": "true"}


TONGUES: list[Tongue] = [conversations, monal, siskin, yaxim, mongooseim]
