"""Who may not publish: domains, and accounts, with the reason and the end of it.

A block that ends is a matter of waiting, and is said so (`service-unavailable` of type `wait`):
the publisher's server keeps what its users have enabled, whichever server it is. One without an
end is a `policy-violation` of type `modify` (RFC 6120 §8.3.3.12), which servers count as a
failure, so that in time they ask no more.
"""

from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from pushd.storage.sqlite import Database
from pushd.storage.table import Table
from pushd.wire.errors import PolicyViolation, ServiceUnavailable, StanzaError
from pushd.wire.instant import written
from pushd.wire.jid import parse

LONGEST_REASON = 1_000  # characters


@dataclass(frozen=True, slots=True)
class Block:
    """Instants are seconds since the epoch; `until` is None for a block without an end."""

    publisher: str  # a domain, or the bare JID of an account: all its nodes, whoever publishes
    reason: str
    blocked_at: float
    until: float | None


ROWS = Table(Block, key=("publisher",), name="publisher_blocks")


class Blocked(ServiceUnavailable):
    """The publisher is blocked, for now."""

    type = "wait"


class Banned(PolicyViolation):
    """The publisher is blocked, without an end."""


class Publishers:
    """The block list. All of it is in memory; what changes is durable with the next commit."""

    def __init__(self, clock: IReactorTime, database: Database) -> None:
        self._clock = clock
        self._rows = ROWS.bind(database)
        self._blocks: dict[str, Block] = {}

    async def load(self) -> None:
        """Read the list. Raises StorageError."""
        self._blocks = {block.publisher: block for block in await self._rows.select()}
        self.blocked()

    def block(self, publisher: str, reason: str, until: float | None = None) -> Block:
        """Take no publish of this domain, or for this account, until then; in place of a
        block that there is.

        Raises ValueError for what is neither a domain nor a bare JID, for an end that is past,
        and for a reason that is too long.
        """
        now = self._clock.seconds()
        if until is not None and until <= now:
            raise ValueError("until: the end of a block is in the future")
        if len(reason) > LONGEST_REASON:
            raise ValueError(f"reason: it has {LONGEST_REASON} characters at most")
        block = Block(_name(publisher), reason, now, until)
        self._blocks[block.publisher] = block
        self._rows.put(block)
        return block

    def unblock(self, publisher: str) -> bool:
        """Take publishes again; tells whether there was a block. Raises ValueError as `block`."""
        name = _name(publisher)
        found = self._holding(name) is not None
        self._drop(name)
        return found

    def blocked(self) -> list[Block]:
        """The blocks that hold, by their publishers."""
        return [block for name in sorted(self._blocks) if (block := self._holding(name))]

    def check(self, publisher: str) -> None:
        """Raise Blocked or Banned if this domain or account is blocked."""
        if self._blocks and (block := self._holding(publisher)) is not None:
            raise _refusal(block)

    def _holding(self, publisher: str) -> Block | None:
        """The block of this publisher; one that has ended is forgotten."""
        block = self._blocks.get(publisher)
        if block is None or block.until is None or block.until > self._clock.seconds():
            return block
        self._drop(publisher)
        return None

    def _drop(self, publisher: str) -> None:
        if self._blocks.pop(publisher, None) is not None:
            self._rows.delete(publisher)


def _name(publisher: str) -> str:
    try:
        jid = parse(publisher)
    except StanzaError:
        raise ValueError("publisher: a domain or a bare address is expected") from None
    if jid.resource:
        raise ValueError("publisher: the address has a resource, and all of them are meant")
    return jid.bare


def _refusal(block: Block) -> StanzaError:
    said = f": {block.reason}" if block.reason else ""
    if block.until is None:
        return Banned(f"{block.publisher} may not publish here{said}")
    end = written(block.until)
    return Blocked(f"{block.publisher} may not publish here until {end}{said}")
