"""What the answer of a push network means: one of four outcomes; and what a probe finds.

They are values: `dispatch` acts on an outcome, by what its fields say, whichever provider read it.
"""

from dataclasses import dataclass
from enum import Enum

from pushd.providers.exchange import Response


@dataclass(frozen=True, slots=True)
class Accepted:
    """The service took it, which says nothing about the device."""

    id: str = ""  # the service's name for it, for the log


@dataclass(frozen=True, slots=True)
class Unregistered:
    """This registration is dead: forget it.

    Where the request named a field of the device (`Request.field`), that alone is dead.
    """

    since: float | None = None  # only if the device has not registered again since
    guarded: bool = False  # a fault of ours (wrong project, key, environment) looks the same
    reason: str = ""


class Scope(Enum):
    """Whom it concerns that a service is busy."""

    DEVICE = "device"
    BACKEND = "backend"


@dataclass(frozen=True, slots=True)
class Busy:
    """The same request may succeed later: after so many seconds, where the service says so."""

    after: float | None = None
    scope: Scope = Scope.BACKEND
    reason: str = ""
    fresh: bool = False  # at once over a new connection; later, if that is no better


@dataclass(frozen=True, slots=True)
class Refused:
    """To say the same again cannot help, and it is not the device's fault.

    What may help is said by the other fields; all but `alarm` and `guarded` ask for one more
    attempt, and no more than one.
    """

    reason: str  # for the ledger and the operator: no token, no text of the notification
    renew_credential: bool = False  # ours is stale; if a new one does not help, an alarm
    alarm: bool = False  # the operator must act; until then nothing can be sent
    shrink: bool = False  # too big: counts alone
    remedy: str = ""  # a change that the provider itself knows; see `Sending.remedies`
    fresh: bool = False  # it may be taken over a new connection
    guarded: bool = False  # the alarm is for nothing while others are served: see `Unregistered`


Outcome = Accepted | Unregistered | Busy | Refused


def by_status(response: Response, now: float) -> Outcome:
    """For what a service's documents leave out. Never `Unregistered`: that must be certain."""
    status, after = response.status, response.retry_after(now)
    reason = f"HTTP {status}"
    if status in (408, 425, 429):
        return Busy(after, Scope.DEVICE, reason)
    if 500 <= status <= 599:
        return Busy(after, Scope.BACKEND, reason)
    if 300 <= status <= 399:
        return Refused(f"{reason}, a redirect, which is not followed", alarm=True)
    return Refused(reason, shrink=status == 413)


# What a probe finds, which is a question that wakes nobody.


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in words for the operator; no secret is in them."""

    text: str
    is_good: bool = True
    remedy: str = ""  # what to do where it is not good, or soon will not be


def found(outcome: Outcome) -> Finding:
    """What an answer to a probe means: that a made-up device is called dead is all one wants."""
    match outcome:
        case Accepted():
            return Finding("the question was taken")
        case Unregistered():
            return Finding(f"the service knows us, and not the made-up device ({outcome.reason})")
        case Busy():
            return Finding(outcome.reason, False, "wait: the service is reached, but it is busy")
        case Refused():
            return Finding(outcome.reason, False)
