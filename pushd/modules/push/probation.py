"""Probation: what becomes of an enablement whose service refuses one push after another.

Sixteen in a row, and it is tried once a day; when that has come to nothing for a week, it is
removed. The numbers are kept with the enablement, through restarts.
"""

from pushd.modules.push.enablements import Enablement

PATIENCE = 16  # pushes in a row that come to nothing
DAY = 86_400.0  # seconds between the attempts of one on probation
WEEK = 7 * DAY  # seconds for which it is tried


def failed(one: Enablement, now: float) -> bool:
    """One more push came to nothing; tells whether the enablement is on probation for that."""
    one.failures += 1
    one.tried_at = now
    if one.probed_at or one.failures < PATIENCE:
        return False
    one.probed_at = now
    return True


def passed(one: Enablement) -> None:
    """A push was accepted, or the device has enabled anew: all is forgiven."""
    one.failures = 0
    one.probed_at = one.tried_at = 0.0


def is_over(one: Enablement, now: float) -> bool:
    """Whether it was tried for long enough."""
    return bool(one.probed_at) and now >= one.probed_at + WEEK


def next_attempt(one: Enablement) -> float:
    """When an enablement on probation is tried again; seconds since the epoch."""
    return one.tried_at + DAY
