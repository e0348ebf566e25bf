"""A house with stand-ins for other push networks than FCM, and servers elsewhere that publish."""

import itertools
import json
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from pushd.wire import forms
from pushd.wire.element import Element, element
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_SUMMARY,
    NS_COMMANDS,
    NS_PUBSUB,
    NS_PUSH,
)
from pushd.wire.secret import Secret
from tests.patience import PATIENCE
from tests.scenarios.house import DOMAIN, FOREIGN, PUSH_HOST, House
from tests.scenarios.peers import until
from tests.scenarios.reading import fields_of
from tests.scenarios.test_starting import PYTHON_M, WITH_US

_numbers = itertools.count(1)


class Node(NamedTuple):
    """A device of a user of another server, where publishes need no session."""

    token: str
    node: str
    secret: str
    owner: str


class HouseOfNetworks(House):
    """Each of `networks` has its stand-in; `backends` are those of the configuration."""

    networks: ClassVar[tuple[str, ...]]

    def configure(self, **sections: Any) -> None:
        self.standins: dict[str, dict[str, Any]] = {}
        for name in self.networks:
            said = self.folder / f"{name}.json"
            folder = ("--folder", self.folder / name, "--ready-file", said, WITH_US)
            run = self.operator.run(*PYTHON_M[:2], "pushd.simulators", name, *folder)
            self.standins[name] = self.operator.wait(run, said)
        super().configure(app_server={"backends": self.backends()}, **sections)

    def backends(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def backend(self, network: str, **options: Any) -> dict[str, Any]:
        """What every backend for a stand-in has."""
        standin = self.standins[network]
        return {
            "type": network,
            "base_url": standin["url"],
            "ca_file": standin["ca"],
            "service_account": None,
            **options,
        }

    # The stand-ins.

    def tell(self, network: str, path: str, body: object = None) -> Any:
        standin = self.standins[network]
        data = None if body is None else json.dumps(body).encode()
        trusted = ssl.create_default_context(cafile=standin["ca"])
        url = standin["control_url"] + path
        with urllib.request.urlopen(url, data, 2 * PATIENCE, context=trusted) as answer:
            return json.load(answer)

    def arrived(self, network: str, token: str, count: int = 1) -> list[dict[str, Any]]:
        """What came for a token, once there is so much of it."""
        query = urllib.parse.urlencode({"token": token, "since": 0, "wait": 0})

        def look() -> list[dict[str, Any]] | None:
            found: list[dict[str, Any]] = self.tell(network, f"/requests?{query}")["requests"]
            return found if len(found) >= count else None

        came: list[dict[str, Any]] = until(look, f"{count} pushes for {token}")
        return came

    def attempts(self, to: Node) -> list[int]:
        """The numbers of those that there were so far for the device."""
        node = Secret(to.node).digest
        return [one["number"] for one in self.events("provider-answered", node=node)]

    def answer_with(self, network: str, token: str, *answers: Mapping[str, Any]) -> None:
        self.tell(network, "/script", {"token": token, "answers": answers})

    # Servers elsewhere.

    def node(self, network: str, token: str, **fields: str) -> Node:
        """A new device there."""
        owner = f"ann-{next(_numbers)}@{FOREIGN}"
        asked = element(
            NS_COMMANDS, "command", form(token, **fields), node=f"register-push-{network}"
        )
        made = fields_of(self.service().ask_as(f"{owner}/phone", DOMAIN, asked))
        return Node(token, made["node"], made["secret"], owner)

    def publish(self, to: Node, count: int = 1) -> Element:
        """Publish that so many messages wait; gives the answer."""
        summary = forms.submit(FORM_PUSH_SUMMARY, {"message-count": str(count)})
        item = element(NS_PUBSUB, "item", element(NS_PUSH, "notification", summary))
        secret = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": to.secret})
        payload = element(
            NS_PUBSUB,
            "pubsub",
            element(NS_PUBSUB, "publish", item, node=to.node),
            element(NS_PUBSUB, "publish-options", secret),
        )
        return self.service().ask_as(FOREIGN, PUSH_HOST, payload)


def form(token: str, **fields: str) -> Element:
    """The form of a register command."""
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    return forms.submit(None, {"token": token, **given})


def started(house: HouseOfNetworks) -> Iterator[Any]:
    """For a module's fixture."""
    try:
        house.start()
        yield house
        house.check()
    finally:
        house.close()
