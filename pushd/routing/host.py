"""The hall's face for modules and the app server: everything that floor 2 offers, in one place."""

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from pushd.net.turn import Turn
from pushd.routing.accounts import Accounts
from pushd.routing.blocklists import BlockLists
from pushd.routing.commands import Commands
from pushd.routing.decisions import Decisions
from pushd.routing.delivery import Delivery, QueueLimits
from pushd.routing.disco import Disco
from pushd.routing.events import Events
from pushd.routing.ledger import Ledger
from pushd.routing.lifecycle import Lifecycle
from pushd.routing.misses import Misses
from pushd.routing.offline import OfflineMessages
from pushd.routing.presence import Presence
from pushd.routing.pushing import Pushing
from pushd.routing.requests import IQ, Handler, Requests
from pushd.routing.rosters import Rosters
from pushd.routing.router import Router
from pushd.routing.sessions import Sessions
from pushd.storage.sqlite import Database
from pushd.wire.element import Element
from pushd.wire.errors import ServiceUnavailable


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
    offline: OfflineMessages
    rosters: Rosters
    blocks: BlockLists
    presence: Presence
    requests: Requests
    disco: Disco
    commands: Commands
    push: Pushing
    decisions: Decisions
    ledger: Ledger
    stream_features: list[Element] = field(default_factory=list)  # offered to who has logged in


def assemble(
    clock: IReactorTime,
    database: Database,
    turn: Turn,
    domains: frozenset[str],
    resume_timeout: float,
    limits: QueueLimits,
    events: Events | None = None,
) -> Host:
    """Make the parts of this floor, and hand each what it needs of the others."""
    heard = events or Events()
    accounts = Accounts(clock, database, heard)
    sessions = Sessions()
    delivery = Delivery(clock, heard, database, turn, limits)
    requests = Requests(clock)
    blocks = BlockLists(database, heard)
    router = Router(domains, accounts, sessions, delivery, requests, blocks, Misses(clock, domains))
    rosters = Rosters(clock, heard, database, sessions, delivery)
    requests.absent = _absent(rosters)
    disco = Disco(requests, domains)
    known = _known(domains, accounts)
    return Host(
        clock=clock,
        domains=domains,
        database=database,
        events=heard,
        accounts=accounts,
        sessions=sessions,
        delivery=delivery,
        lifecycle=Lifecycle(clock, heard, database, sessions, delivery, router, resume_timeout),
        router=router,
        offline=OfflineMessages(clock, database, heard),
        rosters=rosters,
        blocks=blocks,
        presence=Presence(router, sessions),
        requests=requests,
        disco=disco,
        commands=Commands(requests, disco),
        push=Pushing(clock, heard),
        decisions=Decisions(clock, heard, known),
        ledger=Ledger(clock, database, heard, known),
    )


def _known(domains: frozenset[str], accounts: Accounts) -> Callable[[str], bool]:
    """Whether there is such an account; of other servers' accounts, always."""
    return lambda bare: accounts.exists(bare) or bare.rpartition("@")[2] not in domains


def _absent(rosters: Rosters) -> Handler:
    """What answers for an account that is not there, as one does that is: to strangers.

    That is service-unavailable (RFC 6121 §8.5.1), after a look at who is a stranger.
    """

    async def answer(request: IQ) -> None:
        await rosters.may_see(request.recipient.bare, request.sender.bare)
        raise ServiceUnavailable

    return answer
