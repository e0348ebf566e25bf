import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from pushd.modules.base import Module, ModuleError, iq, on
from pushd.routing.events import AccountRemoved
from pushd.routing.requests import IQ
from pushd.storage.table import Table
from pushd.wire.element import Element, element
from tests.hall import Hall

NS = "urn:example:last"


@dataclass(frozen=True, slots=True)
class Version:
    account: str
    version: int


@dataclass(frozen=True, slots=True)
class Options:
    limit: int = 3
    name: str = "last"


class Last(Module):
    features = frozenset({NS})
    account_features = frozenset({"urn:example:account"})
    roster_versions = Table(Version)
    options: Options

    async def start(self) -> None:
        self.heard: list[str] = []

    @iq("get", NS, "query", to="account")
    async def tell(self, request: IQ) -> Element:
        row = await self.roster_versions.get(request.recipient.bare)
        return element(NS, "query", version=str(row.version if row else 0))

    @iq("set", NS, "query", to="server")
    def keep(self, request: IQ) -> None:
        self.roster_versions.put(Version(request.sender.bare, self.options.limit))

    @on(AccountRemoved)
    def gone(self, event: AccountRemoved) -> None:
        self.heard.append(event.account)

    @on(AccountRemoved)
    async def gone_later(self, event: AccountRemoved) -> None:
        await self.host.database.committed()
        self.heard.append(f"later {event.account}")


class Rival(Module):
    @iq("get", NS, "query", to="account")
    def tell(self, request: IQ) -> None:
        """Never called."""


class Presumptuous(Module):
    @iq("get", "http://jabber.org/protocol/disco#info", "query", to="server")
    def tell(self, request: IQ) -> None:
        """Never called."""


@pytest.fixture(autouse=True)
def module_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes above, each as the file of a module."""
    for kind in (Last, Rival, Presumptuous):
        name = f"pushd.modules.{kind.__name__.lower()}"
        file = ModuleType(name)
        setattr(file, kind.__name__, kind)
        monkeypatch.setattr(kind, "__module__", name)
        monkeypatch.setitem(sys.modules, name, file)
    # Annotations of the class are read where it says that it lives.
    sys.modules["pushd.modules.last"].__dict__["Options"] = Options


def test_what_a_module_declares_is_bound_and_announced() -> None:
    hall = Hall(modules={"last": {"limit": 7}})
    romeo = hall.login("romeo@example.net/orchard")

    romeo.ask(f"<iq type='set' id='1' to='example.net'><query xmlns='{NS}'/></iq>")
    answer = romeo.ask(f"<iq type='get' id='2'><query xmlns='{NS}'/></iq>")

    assert answer.query["version"] == "7"
    assert NS in features(romeo, "example.net")
    assert NS not in features(romeo, "romeo@example.net")
    assert "urn:example:account" in features(romeo, "romeo@example.net")


def features(client: Any, to: str) -> list[str]:
    answer = client.ask(
        f"<iq type='get' id='f' to='{to}'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    return [node["var"] for node in answer.query.elements() if node.name == "feature"]


def test_listeners_hear_events_at_once_or_as_coroutines() -> None:
    hall = Hall(modules={"last": None})
    [module] = hall.modules
    hall.add_account("romeo@example.net")

    hall.wait(hall.host.accounts.remove("romeo@example.net"))

    assert module.heard == ["romeo@example.net", "later romeo@example.net"]


def test_options_have_the_defaults_of_their_dataclass() -> None:
    [plain] = Hall(modules={"last": None}).modules
    [given] = Hall(modules={"last": Options(limit=1)}).modules

    assert plain.options == Options()
    assert given.options == Options(limit=1)


@pytest.mark.parametrize(
    ("modules", "complaint"),
    [
        ({"nonsense": None}, "there is no module nonsense"),
        ({"base": None}, "there is no module base"),
        ({"../ping": None}, "there is no module ../ping"),
        ({"last": {"limits": 1}}, "the module last has no option limits"),
        ({"ping": {"limit": 1}}, "the module ping has no options"),
        ({"last": None, "rival": None}, "the modules last and rival both answer get query"),
        ({"presumptuous": None}, "answered already, without the module presumptuous"),
    ],
)
def test_what_cannot_be_loaded_is_named(modules: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ModuleError, match=complaint):
        Hall(modules=modules)
