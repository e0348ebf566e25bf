"""What is printed gives nothing away: fields that may hold a secret are no part of a repr.

A traceback, a log line or an assertion prints values by their repr. Read from the classes:
a field that is called like a token, a body or what may carry one is a `Secret`, or is not
shown. A node counts too: at some push services it is the very token of a device.
"""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator

import pushd

NAMES = re.compile(r"(.*_)?(node|token|secret|password|body|bodies|options|stanza|fields|headers)")
BEARERS = re.compile(r"\b(str|bytes|Mapping|dict)\b")
OURS = "a name that our own push service makes up, of no use without its secret"
DIGEST = "a digest already"
COMMAND = "the name of a command or of a node of disco"
MAY_SHOW = {
    "cli.demopushes.Registration.node": OURS,
    "providers.reports.Attempt.node": DIGEST,
    "routing.decisions.Record.node": DIGEST,
    "routing.ledger.Line.node": DIGEST,
    "routing.commands.Invocation.node": COMMAND,
    "routing.disco.Item.node": COMMAND,
    "config.kinds.Choice.options": "what a configuration may say",
    "wire.forms.Field.options": "the choices that a form offers",
}


def fields() -> Iterator[tuple[str, dataclasses.Field[object]]]:
    """Each field of each dataclass, with its name; stand-ins have no secrets."""
    for module in pkgutil.walk_packages(pushd.__path__, "pushd."):
        if module.name.endswith("__main__") or ".simulators" in module.name:
            continue
        for name, found in vars(importlib.import_module(module.name)).items():
            if (
                isinstance(found, type)
                and found.__module__ == module.name
                and dataclasses.is_dataclass(found)
            ):
                for field in dataclasses.fields(found):
                    yield f"{module.name.removeprefix('pushd.')}.{name}.{field.name}", field


def test_what_may_hold_a_secret_is_not_printed() -> None:
    shown = {
        name
        for name, field in fields()
        if field.repr
        and NAMES.fullmatch(field.name)
        and BEARERS.search(str(field.type))
        and "Secret" not in str(field.type)
    }
    assert not shown - set(MAY_SHOW)
