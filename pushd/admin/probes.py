"""Backends tried by an operator, without waking anybody."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from pushd.admin.operations import Operation, Refused
from pushd.providers.contract import Provider
from pushd.providers.dispatch import Dispatcher
from pushd.providers.probing import Probe, Prober, Step

log = Logger()

RELOAD = "what is tried is what was read: pushdctl reload"


class Probes:
    """Of a server that runs, with what it has loaded."""

    waits = frozenset({"push-probe"})

    def __init__(self, dispatcher: Dispatcher, prober: Prober) -> None:
        self._dispatcher = dispatcher
        self._prober = prober

    def operations(self) -> Mapping[str, Operation]:
        return {"push-probe": self.probe}

    async def probe(self, backend: str = "") -> dict[str, Any]:
        """Try one backend, those of a type, or all at the same time."""
        names = meant(backend, self._dispatcher.backends)
        providers = {name: self._dispatcher.provider(name) for name in names}
        told = await probed(providers, self._prober)
        for one in told["probes"]:
            one["trouble"] = self._trouble(one["backend"])
            one["steps"] = [*self._changed(one["backend"]), *one["steps"]]
            verdict = "well" if one["ok"] else "not well"
            log.info("probed {backend}: {verdict}", backend=one["backend"], verdict=verdict)
        return told

    def _changed(self, name: str) -> list[dict[str, Any]]:
        """A step for each file that is another now than what is tried."""
        return [
            _row(Step("credential", f"{path} has changed since it was read", remedy=RELOAD))
            for path in self._dispatcher.changed(name)
        ]

    def _trouble(self, name: str) -> str:
        """Why nothing is sent at the moment though it could be; "" where it is."""
        health = self._dispatcher.health(name)
        if health.is_paused:
            return "paused by the operator"
        if health.opens_at is not None:
            return "resting after failures"
        return ""


async def probed(providers: Mapping[str, Provider], prober: Prober) -> dict[str, Any]:
    """Try these backends, all at the same time."""
    tries = [Deferred.fromCoroutine(prober.probe(one)) for one in providers.values()]
    found = await gatherResults(tries)
    rows = [
        _told(name, one.type, probe)
        for (name, one), probe in zip(providers.items(), found, strict=True)
    ]
    return {"probes": rows, "ok": all(row["ok"] for row in rows)}


def meant(text: str, known: Iterable[str]) -> list[str]:
    """The backends of this name or type; all for "". Raises Refused where there is none."""
    names = sorted(known)
    if not names:
        raise Refused("no backends are configured: see app_server.backends")
    found = [name for name in names if text in ("", name, name.partition("/")[0])]
    if not found:
        raise Refused(f"there is no backend {text}; backends: {', '.join(names)}")
    return found


def _told(name: str, kind: str, probe: Probe) -> dict[str, Any]:
    steps = [_row(step) for step in probe.steps]
    return {"backend": name, "type": kind, "ok": probe.is_good, "steps": steps, "trouble": ""}


def _row(step: Step) -> dict[str, Any]:
    row = asdict(step)
    return {"ok": row.pop("is_good"), **row}
