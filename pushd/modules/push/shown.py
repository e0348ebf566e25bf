"""Enablements as the hall shows them to operators and to users (`routing/pushing`)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from pushd.modules.push.enablements import Enablement, Enablements
from pushd.routing.pushing import Enabled, Totals
from pushd.routing.requests import Answer, Refusal, Silence

if TYPE_CHECKING:
    from pushd.modules.push.module import Push


class Stored:
    """What the storage of a server holds that does not run.

    Implements `routing/pushing.KnownEnablements`.
    """

    def __init__(
        self, known: Enablements, paused: Mapping[str, float | None] | None = None
    ) -> None:
        """`paused` are the accounts that are, with the end of it."""
        self._known = known
        self._paused = paused or {}

    def enabled(self, account: str = "") -> Iterator[Enabled]:
        return map(self._shown, self._known.of(account) if account else self._known.everyone())

    def totals(self) -> Totals:
        enablements = on_probation = 0
        for one in self._known.everyone():
            enablements += 1
            on_probation += bool(one.probed_at)
        return Totals(enablements=enablements, on_probation=on_probation)

    def _shown(self, one: Enablement) -> Enabled:
        """An enablement, but for what is secret."""
        return Enabled(
            account=one.account,
            service=one.service,
            node=one.node,
            session=one.session,
            created_at=one.created_at,
            used_at=one.used_at,
            extensions=() if one.wishes is None else one.wishes.names,
            waiting=sum(one.queued.counts),
            failures=one.failures,
            probation_since=one.probed_at or None,
            is_paused=one.account in self._paused,
            paused_until=self._paused.get(one.account),
        )


class Shown(Stored):
    """What push offers to others while the server runs.

    Implements `routing/pushing.Enablements`.
    """

    def __init__(self, push: "Push") -> None:
        super().__init__(push.enablements)
        self._push = push

    def disable(self, one: Enabled, reason: str, by: str) -> None:
        found = self._known.get(*one.key)
        if found is not None:
            self._push.disable(found, reason, by)

    def test(self, one: Enabled) -> Deferred[str]:
        return Deferred.fromCoroutine(self._test(one))

    async def _test(self, one: Enabled) -> str:
        found = self._known.get(*one.key)
        return "disabled" if found is None else _said(await self._push.test(found))

    def pause(self, account: str, until: float | None, by: str) -> None:
        self._push.pause(account, until, by)

    def unpause(self, account: str, by: str) -> None:
        self._push.unpause(account, by)

    def paused_until(self, account: str) -> float | None:
        until = self._push.paused_until(account)
        return 0.0 if until is None else _finite(until)

    def _shown(self, one: Enablement) -> Enabled:
        shown, until = super()._shown(one), self._push.paused_until(one.account)
        shown = replace(shown, device_is=self._whereabouts(one))
        return (
            shown if until is None else replace(shown, is_paused=True, paused_until=_finite(until))
        )

    def _whereabouts(self, one: Enablement) -> str:
        session = self._push.decider.session_of(one)
        if session is None:
            return "away"
        return "detached" if session.is_detached else "connected"


def _said(answer: Answer) -> str:
    """ "accepted", or why not."""
    if isinstance(answer, Refusal):
        return answer.condition
    return "no answer" if isinstance(answer, Silence) else "accepted"


def _finite(until: float) -> float | None:
    return None if until == float("inf") else until
