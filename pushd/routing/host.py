"""The hall's face for modules and the app server: everything that floor 2 offers, in one place."""

from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from pushd.routing.accounts import Accounts
from pushd.routing.commands import Commands
from pushd.routing.delivery import Delivery
from pushd.routing.disco import Disco
from pushd.routing.events import Events
from pushd.routing.lifecycle import Lifecycle
from pushd.routing.presence import Presence
from pushd.routing.requests import Requests
from pushd.routing.rosters import Rosters
from pushd.routing.router import Router
from pushd.routing.sessions import Sessions
from pushd.storage.sqlite import Database
from pushd.wire.element import Element


@dataclass(frozen=True, slots=True)
class Host:
    clock: IReactorTime
    domains: frozenset[str]  # the virtual hosts served
    database: Database
    events: Events
    accounts: Accounts
    sessions: Sessions
    delivery: Delivery
    lifecycle: Lifecycle
    router: Router
    rosters: Rosters
    presence: Presence
    requests: Requests
    disco: Disco
    commands: Commands
    stream_features: list[Element] = field(default_factory=list)  # offered to who has logged in
