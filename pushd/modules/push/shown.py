"""Enablements as the hall shows them to operators and to users (`routing/pushing`)."""

from collections.abc import Iterator

from pushd.modules.push.enablements import Enablement, Enablements
from pushd.routing.pushing import Enabled, Totals


class Stored:
    """What the storage of a server holds that does not run.

    Implements `routing/pushing.KnownEnablements`.
    """

    def __init__(self, known: Enablements) -> None:
        self._known = known

    def enabled(self, account: str = "") -> Iterator[Enabled]:
        found = self._known.of(account) if account else self._known.everyone()
        return map(shown, found)

    def totals(self) -> Totals:
        return Totals(enablements=sum(1 for _ in self._known.everyone()))


def shown(one: Enablement) -> Enabled:
    """An enablement, but for what is secret."""
    return Enabled(
        account=one.account,
        service=one.service,
        node=one.node,
        session=one.session,
        created_at=one.created_at,
        used_at=one.used_at,
        waiting=sum(one.queued.counts),
        failures=one.failures,
    )
