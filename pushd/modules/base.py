"""What a module is: one file per XEP, which declares what it offers; `load` does the rest.

class LastActivity(Module):
    xep = 12
    features = frozenset({NS_LAST})
    departures = Table(Departure)

    @on(AccountLeft)
    def remember(self, event: AccountLeft) -> None: ...

    @iq("get", NS_LAST, "query", to="account")
    async def tell(self, request: IQ) -> Element: ...
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any, ClassVar, TypeVar, get_type_hints

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pushd.routing.host import Host
from pushd.routing.requests import IQ
from pushd.routing.sessions import Session
from pushd.storage.table import Table
from pushd.wire.errors import Forbidden, ServiceUnavailable, StanzaError

log = Logger()

__all__ = ["Module", "ModuleError", "iq", "load", "on"]

_F = TypeVar("_F", bound=Callable[..., Any])
_CLAIMS = "pushd_claims"  # the attribute of a method that holds what its decorators said


class ModuleError(Exception):
    """A module cannot be loaded; the text says which, and why."""


class Module:
    """One XEP, or one chapter of an RFC. Made by `load`, which binds what is declared.

    `features` are announced by the served domains, `account_features` by the accounts. A
    `Table` in the class is bound to the database. A class that annotates `options` with a
    dataclass gets an instance of it.
    """

    xep: ClassVar[int | None] = None
    features: ClassVar[frozenset[str]] = frozenset()
    account_features: ClassVar[frozenset[str]] = frozenset()

    options: Any

    def __init__(self, host: Host, options: Any = None) -> None:
        self.host = host
        self.options = options

    async def start(self) -> None:
        """Called once, when all modules are loaded, before anything is routed."""

    async def owner(self, request: IQ, refusal: type[StanzaError] = Forbidden) -> Session:
        """The session that asks about its own account. Raises `refusal` for any other.

        Who may not even know that there is such an account is told as if there were none.
        """
        account, sender = request.recipient.bare, request.sender.bare
        if request.session is not None and account == sender:
            return request.session
        await self.visible(request)
        raise refusal

    async def visible(self, request: IQ) -> None:
        """Raises what is said of no account, but to who may know that there is this one."""
        account, sender = request.recipient.bare, request.sender.bare
        if not await self.host.rosters.may_see(account, sender):
            raise ServiceUnavailable


@dataclass(frozen=True, slots=True)
class _Request:
    type: str
    namespace: str
    name: str
    to: str


@dataclass(frozen=True, slots=True)
class _Event:
    kind: type[Any]


def iq(type: str, namespace: str, name: str, *, to: str = "account") -> Callable[[_F], _F]:
    """Let the method answer requests of this type and payload; `to` as in `Requests.add`.

    Given several times, the method answers each of them.
    """
    return partial(_claim, _Request(type, namespace, name, to))


def on(kind: type[Any]) -> Callable[[_F], _F]:
    """Have the method called with each event of this type; it may be a coroutine."""
    return partial(_claim, _Event(kind))


def _claim(claim: _Request | _Event, method: _F) -> _F:
    method.__dict__.setdefault(_CLAIMS, []).append(claim)
    return method


async def load(host: Host, wanted: Mapping[str, Any]) -> list[Module]:
    """Load the modules of these names with their options, and start them in this order.

    Options are an instance of the dataclass that the module asks for, or a mapping of its
    fields, or None.
    Raises ModuleError for a name without a module, for options that it does not know, and
    when two claim the same request.
    """
    claimed: dict[_Request, str] = {}
    loaded = []
    for name, options in wanted.items():
        kind = _find(name)
        module = kind(host, _options(name, kind, options))
        _bind(host, name, module, claimed)
        loaded.append(module)
    for module in loaded:
        await module.start()
    return loaded


def options_of(name: str) -> type[Any] | None:
    """The dataclass of a module's options; None without. Imports its file."""
    wanted: Any = get_type_hints(_find(name))["options"]
    return wanted if hasattr(wanted, "__dataclass_fields__") else None


def _find(name: str) -> type[Module]:
    """The module class of `pushd.modules.<name>`, or of `pushd.modules.<name>.module`."""
    if not name.isidentifier() or name == "base":
        raise ModuleError(f"there is no module {name}")
    path = f"{__package__}.{name}"
    try:
        found = import_module(path)
        if hasattr(found, "__path__"):
            path = f"{path}.module"
            found = import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        raise ModuleError(f"there is no module {name}") from None
    kinds = [
        kind
        for kind in vars(found).values()
        if isinstance(kind, type) and issubclass(kind, Module) and kind.__module__ == path
    ]
    if len(kinds) != 1:
        raise ModuleError(f"the file of module {name} has {len(kinds)} module classes")
    return kinds[0]


def _options(name: str, kind: type[Module], given: Any) -> Any:
    wanted: Callable[..., Any] = get_type_hints(kind)["options"]
    known = frozenset(getattr(wanted, "__dataclass_fields__", ()))
    if given is not None and not isinstance(given, Mapping):
        return given
    fields = dict(given or {})
    if not known:
        if fields:
            raise ModuleError(f"the module {name} has no options")
        return None
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise ModuleError(f"the module {name} has no option {', '.join(unknown)}")
    return wanted(**fields)


def _bind(host: Host, name: str, module: Module, claimed: dict[_Request, str]) -> None:
    for feature in module.features:
        host.disco.add_feature("server", feature)
    for feature in module.account_features:
        host.disco.add_feature("account", feature)
    for attribute, value in _declared(type(module)):
        if isinstance(value, Table):
            setattr(module, attribute, value.bind(host.database))
        for claim in getattr(value, _CLAIMS, ()):
            method = getattr(module, attribute)
            if isinstance(claim, _Event):
                is_plain = not iscoroutinefunction(method)
                host.events.listen(claim.kind, method if is_plain else partial(_hear, method))
                continue
            other = claimed.setdefault(claim, name)
            what = f"{claim.type} {claim.name} of {claim.namespace} to {claim.to}"
            if other != name:
                raise ModuleError(f"the modules {other} and {name} both answer {what}")
            try:
                host.requests.add(claim.type, claim.namespace, claim.name, claim.to, method)
            except ValueError:
                raise ModuleError(
                    f"{what} is answered already, without the module {name}"
                ) from None


def _declared(kind: type[Module]) -> Iterator[tuple[str, Any]]:
    """What the class and its bases hold, each name once and as the class has it, in order."""
    names: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        names.update(dict.fromkeys(vars(base)))
    for attribute in names:
        yield attribute, getattr(kind, attribute)


def _hear(method: Callable[[Any], Any], event: Any) -> None:
    Deferred.fromCoroutine(method(event)).addErrback(_failed, event)


def _failed(failure: Any, event: Any) -> None:
    log.failure("a listener of {kind} failed", failure, kind=type(event).__name__)
