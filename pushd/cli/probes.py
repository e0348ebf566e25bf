"""`pushdctl push probe`: are credentials and ways of the backends as they should be?

Of a server that runs it is asked what it has loaded; of one that does not, what the
configuration says is tried from here.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from pushd.cli.commands import REFUSED, Argument, Command, asked, located, say
from pushd.cli.places import DEFAULT_CONFIG
from pushd.cli.pushtables import plain
from pushd.cli.reaching import Unreachable
from pushd.wire.printable import printable

PATIENCE = 120.0  # seconds: more than all steps may take

Row = dict[str, Any]


def _probe(options: argparse.Namespace) -> int:
    place = located(options)
    if place.runs:
        result = asked(options, "push-probe", {"backend": options.backend}, PATIENCE)
    else:
        result = from_here(options.config or DEFAULT_CONFIG, options.backend)
    say(options, result, shown(result))
    return 0 if result["ok"] else REFUSED


def from_here(config: Path, backend: str) -> Row:
    """Try the backends of a configuration. Raises Unreachable."""
    from pushd import measures
    from pushd.admin.operations import Refused
    from pushd.admin.probes import meant
    from pushd.config.load import load
    from pushd.config.problems import ConfigErrors
    from pushd.modules.catalogue import available
    from pushd.providers import catalogue
    from pushd.providers.contract import BadOption

    try:
        read = load(config, catalogue.all_options(), available(), now=time.time())
        backends = {one.name: one for one in read.app_server.backends}
        providers = {
            name: measures.provider(backends[name], read.app_server.proxy)
            for name in meant(backend, backends)
        }
    except ConfigErrors as errors:
        raise Unreachable(f"the configuration cannot be used\n{errors}") from None
    except (BadOption, Refused) as error:
        raise Unreachable(str(error)) from None
    return _run(providers)


def _run(providers: Any) -> Row:
    """With a reactor for this alone."""
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from pushd.admin.probes import probed
    from pushd.net.names import Names
    from pushd.providers.probing import Prober
    from pushd.providers.transport import Scout

    running: Any = reactor
    running.installNameResolver(Names(running))
    came: list[Any] = []

    def begin() -> None:
        prober = Prober(running, lambda: Scout(running))
        probing = Deferred.fromCoroutine(probed(providers, prober))
        probing.addBoth(came.append).addBoth(lambda _: running.stop())

    running.callWhenRunning(begin)
    running.run()
    if not came:
        raise KeyboardInterrupt
    if isinstance(came[0], Failure):
        came[0].raiseException()
    result: Row = came[0]
    return result


# As text for people.


def shown(result: Row) -> str:
    """A backend a paragraph, a step a line."""
    return "\n\n".join(_shown(one) for one in result["probes"])


def _shown(probe: Row) -> str:
    steps = probe["steps"]
    lines = [plain(probe["backend"])]
    place = ""
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if step["place"] and step["place"] != place:
            place = step["place"]
            lines.append(f"        {place}")
        lines.append(_step(step))
        remedy = step["remedy"]
        if remedy and (following is None or following["remedy"] != remedy):  # else it is below
            lines.append(f"        {'':11} -> {remedy}")
    lines.append(f"  {_verdict(probe)}")
    return "\n".join(lines)


def _step(step: Row) -> str:
    mark = "ok  " if step["ok"] else "FAIL"
    if step["ok"] and step["remedy"]:
        mark = "look"
    milliseconds = round(1000 * (step["seconds"] or 0.0))
    took = f" ({milliseconds} ms)" if milliseconds else ""
    return f"  {mark}  {step['step']:11} {printable(step['text'])}{took}"


def _verdict(probe: Row) -> str:
    if not probe["ok"]:
        return f"pushes would not get through; see docs/providers/{probe['type']}.rst"
    if not any(step["step"] in ("answer", "token") for step in probe["steps"]):
        said = "all that can be tried without waking a device is well"
    elif not any(step["step"] == "answer" for step in probe["steps"]):
        said = "the credential is taken; more cannot be tried without waking a device"
    else:
        said = "pushes would get through"
    if probe["trouble"]:
        said += f", but the backend is {probe['trouble']}: pushdctl push resume"
    return said


BACKEND = Argument(
    "backend",
    {
        "metavar": "BACKEND",
        "nargs": "?",
        "default": "",
        "help": "its name, as `status` calls it, or its type; all if not given",
    },
)
COMMANDS = (
    Command(
        "push probe",
        "try credentials and ways of backends, waking nobody; exit code 1 if one fails",
        _probe,
        (BACKEND,),
    ),
)
