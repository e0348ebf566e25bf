"""The targets by name, each with its share of the inputs of `--all`: those that cost little, more.

A target is a module with `one(data)`, which raises for nothing but a fault of the server's,
`write(random)`, which makes an input of its own grammar, and `TOKENS`, which a mutator puts in
anywhere. One that keeps a server between inputs has `renew()`.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "corpus"
SHARES = {
    "acks": 200,
    "simulators": 10,
    "jid": 350,
    "sasl": 140,
    "forms": 90,
    "element": 60,
    "framer": 60,
    "admin": 60,
    "config": 15,
    "client": 6,
    "management": 6,
    "component": 6,
    "servers": 6,
    "appserver": 6,
}


def load(name: str) -> Any:
    """The module of a target."""
    return import_module(f"tests.fuzz.{name}")


def corpus(name: str) -> list[Path]:
    """The files of a target's corpus."""
    return sorted(path for path in (CORPUS / name).iterdir() if path.is_file())
