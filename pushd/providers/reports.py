"""What the dispatcher tells of its work. Nothing here holds a secret."""

from collections.abc import Callable
from dataclasses import dataclass

from pushd.providers.contract import Failed, Outcome


@dataclass(frozen=True, slots=True)
class Attempt:
    """One exchange with a service."""

    backend: str
    type: str
    node: str  # a digest, as `Secret` prints it; "" where a credential was asked for
    number: int  # of this push, from 1; 0 where a credential was asked for
    status: int | None  # of HTTP; None without a response
    outcome: Outcome | Failed
    seconds: float

    @property
    def verdict(self) -> str:
        """The outcome in one word: "accepted", "busy", ..."""
        return type(self.outcome).__name__.lower()


@dataclass(frozen=True, slots=True)
class Alarm:
    """The operator should look. Said once per reason until something is accepted again."""

    backend: str
    type: str
    reason: str
    until: float | None  # when the backend is tried again; None where it goes on
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A backend that gave an alarm has accepted something."""

    backend: str
    type: str
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How a backend is at the moment."""

    pending: int  # pushes without a final answer
    active: int  # of these, how many have their turn
    is_paused: bool  # by the operator
    opens_at: float | None  # nothing is sent until then: breaker, or the service's wish
    alarms: tuple[str, ...]  # reasons
    expires_at: float | None = None  # when the operator's credential does, if it does at all


Report = Callable[[Attempt | Alarm | Recovered], None]
