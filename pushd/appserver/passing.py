"""Devices that never registered: the node of a publish is the token of one.

Nothing is known of them but what the publish says, and that is kept only as long as a push
waits. Of a token that its provider calls dead it is remembered for a day that it is. All of
this is bounded, as strangers choose the tokens.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from twisted.internet.interfaces import IReactorTime

from pushd.appserver.limits import TooMany
from pushd.appserver.registrations import Registration
from pushd.storage.sqlite import Database
from pushd.storage.table import Table
from pushd.wire.secret import Secret

NAME = "fpush"
MOST = 100_000  # tokens for which pushes wait
MOST_OF_DOMAIN = 10_000  # of them, those that one domain published to
DEAD_FOR = 86_400.0  # seconds for which a dead token is remembered
MOST_DEAD = 100_000


@dataclass(frozen=True, slots=True)
class Passer:
    """A device for which something waits."""

    node: str = field(repr=False)  # its token
    publisher: str  # a domain
    backend: str
    type: str
    app: str
    fields: Secret  # what else the provider is told: a JSON object
    token: Secret  # as the provider stores it

    def registration(self) -> Registration:
        """It in the shape of those that registered. It never did: all its instants are nought."""
        return Registration(
            node=self.node,
            account="",
            device="",
            device_name=None,
            backend=self.backend,
            type=self.type,
            app=self.app,
            dialect=NAME,
            room=self.publisher,
            token=self.token,
            fields=self.fields,
            secret_hash=b"",
            previous_secret_hash=None,
            registered_at=0.0,
            renewed_at=0.0,
            last_push_at=None,
        )


@dataclass(frozen=True, slots=True)
class Dead:
    """A token that its provider calls dead; `name` is a digest of it and of the backend."""

    name: bytes
    until: float  # seconds since the epoch


PASSERS = Table(Passer, key=("node",), name="passers")
DEAD = Table(Dead, key=("name",), name="dead_tokens")


class Passing:
    """Those for whom something waits, and those who are dead."""

    def __init__(self, clock: IReactorTime, database: Database) -> None:
        self._clock = clock
        self._rows = PASSERS.bind(database)
        self._dead_rows = DEAD.bind(database)
        self._known: dict[str, Registration] = {}
        self._domains: Counter[str] = Counter()
        self._dead: OrderedDict[bytes, float] = OrderedDict()  # those that end first, first

    async def load(self, waiting: Iterable[str]) -> None:
        """Take up what the last run left; `waiting` are the nodes for which pushes wait."""
        expected = set(waiting)
        for passer in await self._rows.select():
            if passer.node in expected:
                self._add(passer.registration())
            else:
                self._rows.delete(passer.node)
        dead = sorted(await self._dead_rows.select(), key=lambda one: one.until)
        self._dead.update((one.name, one.until) for one in dead)
        self._forget_dead()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, node: str) -> Registration | None:
        """Who is published to by this node, while something waits."""
        return self._known.get(node)

    def check_room(self, node: str, publisher: str) -> None:
        """Something is to wait for this node. Raises TooMany."""
        if node in self._known:
            return
        if len(self._known) >= MOST or self._domains[publisher] >= MOST_OF_DOMAIN:
            raise TooMany("too many pushes wait for devices that never registered")

    def keep(self, registration: Registration) -> None:
        """Something waits for it; durable with the next commit."""
        if self._known.get(registration.node) == registration:
            return
        self.drop(registration.node)
        self._add(registration)
        self._rows.put(
            Passer(
                registration.node,
                registration.room,
                registration.backend,
                registration.type,
                registration.app,
                registration.fields,
                registration.token,
            )
        )

    def drop(self, node: str) -> None:
        """Nothing waits for it any more."""
        registration = self._known.pop(node, None)
        if registration is not None:
            self._domains[registration.room] -= 1
            if not self._domains[registration.room]:
                del self._domains[registration.room]
            self._rows.delete(node)

    def _add(self, registration: Registration) -> None:
        self._known[registration.node] = registration
        self._domains[registration.room] += 1

    # Those who are dead.

    def bury(self, registration: Registration) -> None:
        """Its provider knows the token no more."""
        name = _name(registration)
        until = self._clock.seconds() + DEAD_FOR
        self._dead.pop(name, None)
        self._dead[name] = until
        self._dead_rows.put(Dead(name, until))
        self._forget_dead()

    def is_dead(self, registration: Registration) -> bool:
        """Whether a provider said so, less than a day ago."""
        until = self._dead.get(_name(registration))
        return until is not None and until > self._clock.seconds()

    def _forget_dead(self) -> None:
        """Those whose day is over; and if there are too many, the first of the others."""
        now = self._clock.seconds()
        while self._dead:
            name, until = next(iter(self._dead.items()))
            if until > now and len(self._dead) <= MOST_DEAD:
                break
            del self._dead[name]
            self._dead_rows.delete(name)


def _name(registration: Registration) -> bytes:
    """A digest, so that what is remembered is of no use to anybody."""
    told = (registration.backend, registration.fields.reveal(), registration.token.reveal())
    return sha256("\0".join(told).encode("utf-8", "surrogatepass")).digest()
