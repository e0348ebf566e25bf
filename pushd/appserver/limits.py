"""How much may be asked of the app server: by an account, by a domain, for a device.

A bucket is one number, and only those that are not full are kept, so that a flood of names
costs little memory.
"""

from dataclasses import dataclass

from twisted.logger import Logger

from pushd.wire.errors import PolicyViolation
from pushd.wire.jid import JID

log = Logger()

SECOND, MINUTE = 1.0, 60.0
MOST_TOLD = 1_000  # domains that the log names a minute
REMEMBERED = 100_000  # buckets of a kind that are kept at most
SECONDS_AT_ONCE = 10  # seconds' worth of its rate that an account or a domain may ask at once


@dataclass(frozen=True, slots=True)
class Rate:
    """One in `interval` seconds on the long run, and `burst` at once after a pause."""

    interval: float  # 0: as many as one likes
    burst: int = 1

    @classmethod
    def per_second(cls, count: int) -> "Rate":
        """So many a second, and those of some seconds at once; 0 is without a limit."""
        return cls(1 / count, count * SECONDS_AT_ONCE) if count else UNLIMITED


UNLIMITED = Rate(0.0)


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may register, how much, and how often a device is pushed."""

    access: str | tuple[str, ...] = "all"  # or "local", or domains
    dialects: frozenset[str] = frozenset({"mod_push"})  # the ways to register
    registrations_per_account: int = 20  # besides those for rooms
    rooms_per_account: int = 200
    registrations_per_domain: int = 100_000  # of one that is not served here; 0: any number
    shared_tokens: bool = True  # may several accounts register one token?
    forget_after: float = 365 * 86_400.0  # seconds without a push or a renewal; 0: never
    account_requests: Rate = Rate.per_second(5)  # commands  # noqa: RUF009
    domain_requests: Rate = Rate.per_second(1000)  # publishes and commands  # noqa: RUF009
    pushes: Rate = Rate(20.0, 10)  # to a device
    urgent_pushes: Rate = Rate(5.0, 10)


class TooMany(PolicyViolation):
    """A limit was passed. Whoever comes again later is welcome (RFC 6120 §8.3.3.12)."""

    type = "wait"


class Buckets:
    """Who has taken how much of a rate, by name. The rate is handed in, and is always the same."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._full_at: dict[str, float] = {}  # when all is there again; the last taker last
        self._taken_at = 0.0  # the last one

    def __len__(self) -> int:
        return len(self._full_at)

    def ready_at(self, name: str, rate: Rate, now: float) -> float:
        """When one may be taken; not after `now` where that is at once."""
        full_at = self._full_at.get(name)
        if full_at is None or not rate.interval:
            return now
        if now < self._taken_at - SECOND:  # the machine's clock was wrong when it was counted
            self._full_at.clear()
            return now
        return full_at - (rate.burst - 1) * rate.interval

    def take(self, name: str, rate: Rate, now: float) -> None:
        """One goes, whether it should or not."""
        if rate.interval:
            self._taken_at = now
            full_at = self._full_at.pop(name, now)
            self._full_at[name] = max(full_at, now) + rate.interval
            self._forget(now)

    def try_to_take(self, name: str, rate: Rate, now: float) -> bool:
        """Take one if that may be."""
        if self.ready_at(name, rate, now) > now:
            return False
        self.take(name, rate, now)
        return True

    def _forget(self, now: float) -> None:
        """Two at most for each that comes: those that are full, or too many."""
        for _ in range(2):
            name = next(iter(self._full_at))
            if self._full_at[name] > now and len(self._full_at) <= self._remembered:
                break
            del self._full_at[name]


class Limiter:
    """The limits of a whole app server. `domains` are served here, and have none for domains."""

    def __init__(self, rules: Rules, domains: frozenset[str]) -> None:
        self._domains = domains
        self._told: dict[str, float] = {}  # when the log last named a domain
        self.rule(rules)

    def rule(self, rules: Rules) -> None:
        """Have these limits hold; what was taken by the ones before is forgotten."""
        self.rules = rules
        self._accounts = Buckets()
        self._foreign = Buckets()
        self._pushes = Buckets()
        self._urgent = Buckets()

    def check_domain(self, sender: JID, now: float) -> None:
        """Something is asked from this domain. Raises TooMany."""
        rate = self.rules.domain_requests
        if sender.domain not in self._domains and not self._foreign.try_to_take(
            sender.domain, rate, now
        ):
            self._complain(sender.domain, now)
            raise TooMany(f"too many requests from {sender.domain}, of which {_each(rate)}")

    def _complain(self, domain: str, now: float) -> None:
        """Say so to the operator, once a minute."""
        if now - self._told.get(domain, -MINUTE) >= MINUTE:
            if len(self._told) >= MOST_TOLD:
                self._told.clear()
            self._told[domain] = now
            log.warn(
                "{domain} asks more of the app server than it may, and is told to wait "
                "(app_server.requests_per_domain)",
                domain=domain,
            )

    def check_account(self, sender: JID, now: float) -> None:
        """This account executes a command. Raises TooMany."""
        rate = self.rules.account_requests
        if not self._accounts.try_to_take(sender.bare, rate, now):
            raise TooMany(f"too many requests of {sender.bare}, of which {_each(rate)}")

    def check_room(self, sender: JID, registered: int) -> None:
        """One more device is to be registered from this domain. Raises TooMany."""
        most = self.rules.registrations_per_domain
        if most and registered >= most and sender.domain not in self._domains:
            raise TooMany(f"{sender.domain} has as many registrations as it may: {most}")

    def push_at(self, node: str, urgent: bool, now: float) -> float:
        """When the next push of a node may go; not after `now` where that is at once."""
        ready_at = self._pushes.ready_at(node, self.rules.pushes, now)
        if urgent:  # which may do what others may, and more
            return min(ready_at, self._urgent.ready_at(node, self.rules.urgent_pushes, now))
        return ready_at

    def push(self, node: str, urgent: bool, now: float) -> None:
        """A push of a node goes."""
        if not (urgent and self._urgent.try_to_take(node, self.rules.urgent_pushes, now)):
            self._pushes.take(node, self.rules.pushes, now)


def _each(rate: Rate) -> str:
    return f"{1 / rate.interval:g} are answered a second"
