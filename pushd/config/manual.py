"""The reference page of the configuration, made from the dataclasses that read it."""

import ast
import inspect
import io
import textwrap
import tokenize
from collections.abc import Container, Iterator, Mapping
from dataclasses import Field
from typing import Any

from pushd.config.backends import Backend, Backends
from pushd.config.kinds import Kind
from pushd.config.reader import (
    Named,
    Optional,
    Section,
    Several,
    default_of,
    is_required,
    option_fields,
    option_kinds,
)
from pushd.config.sections import Config

INTRODUCTION = """\
Configuration
=============

The configuration is one YAML file. ``twistd pushd --config FILE --check-config`` reads it with
every file that it names and tells all mistakes at once, each with its line, its key, what was
found and what would be right. Only ``domains`` and ``data`` are required; every other option has
a default. An unknown key is a mistake, and so is a key given twice.

Values are taken as they are written, and read as the type of their option asks:

boolean
    ``true`` or ``false``; ``yes``, ``no``, ``on`` and ``off`` are taken, too.
whole number
    Decimal digits, without leading zeros.
duration
    A number with a unit: ``ms``, ``s``, ``m`` or ``min``, ``h``, ``d``, ``w``. A bare number is
    seconds.
size
    A number with a unit: ``B``; ``KB``, ``MB``, ``GB`` (powers of 1,000); ``KiB``, ``MiB``,
    ``GiB`` (powers of 1,024). A bare number is bytes.
domain
    A domain name, as it stands in an address.
endpoint
    An address and a port: ``127.0.0.1:5222``, ``[::1]:5222``, or ``:5222`` for every address of
    the machine. Port 0 is any free port.
file, folder
    A path. One that is relative starts at the folder of the configuration file.
secret
    The text itself, ``{file: PATH}`` for the content of a file, or ``{env: NAME}`` for a variable
    of the environment. Secrets are never printed.
"""

MOD_PUSH = """\
The sections of mod_push
------------------------

The sections ``mod_push`` and ``mod_pubsub`` of ejabberd's mod_push are understood, at the top level
or under ``modules``, also beside pushd's own sections:

- ``include_senders``, ``include_message_count``, ``include_subscription_count`` and
  ``include_message_bodies`` stand for those of ``push``;
- ``access_backends`` and ``backends`` stand for those of ``app_server``; ``certfile`` is the one of
  every apns backend without a credential of its own;
- the ``host`` of ``mod_pubsub`` has to be the ``pubsub_host`` of the backends;
- a backend of type ``gcm`` is one of type ``fcm``. An ``auth_key`` is of no use any more: FCM wants
  a service account;
- a backend of type ``mozilla`` is one of type ``webpush``, whose ``sub`` is ``https://`` and the
  ``register_host`` unless it is given.

What is given in both places is a mistake. ``etc/mod_push-corrected.yml`` is the example of
mod_push's README as it works today.
"""


def page(providers: Mapping[str, type], modules: Mapping[str, type | None]) -> str:
    """The page, as reStructuredText, with the options of these providers and modules."""
    parts = [INTRODUCTION, *_section("Top level", Config)]
    for key, cls in _nested(Section(Config), ""):
        parts += _section(key, cls)
        if cls is Backend:
            for provider, options in sorted(providers.items()):
                parts += _section(f"{key}, type: {provider}", options, skip=option_fields(Backend))
    for module, declared in sorted(modules.items()):
        if declared is not None and module not in option_fields(Config):
            parts += _section(f"modules.{module}", declared)
    return "\n".join([*parts, MOD_PUSH])


def _nested(kind: Kind, key: str) -> Iterator[tuple[str, type]]:
    """Every section within a kind, with its dotted key."""
    match kind:
        case Optional(inner):
            yield from _nested(inner, key)
        case Named(_, value):
            yield from _nested(value, f"{key}.NAME")
        case Several(item):
            yield from _nested(item, f"{key}[]")
        case Backends():
            yield f"{key}[]", Backend
        case Section(cls):
            if key:
                yield key, cls
            for name, inner in option_kinds(cls).items():
                yield from _nested(inner, f"{key}.{name}" if key else name)


def _section(title: str, cls: type, skip: Container[str] = ()) -> Iterator[str]:
    yield f"{title}\n{'-' * len(title)}\n"
    text = inspect.getdoc(cls) or ""
    if not text.startswith(f"{cls.__name__}("):  # which a dataclass says where nobody else did
        yield f"{text}\n"
    texts, kinds = helps(cls), option_kinds(cls)
    for name, field in option_fields(cls).items():
        if name not in skip and not isinstance(kinds[name], Section):  # which has its own heading
            yield f"``{name}`` : {kinds[name].title}, {_default(field, kinds[name])}"
            yield textwrap.indent(texts.get(name, ""), "    ") + "\n"


def _default(field: "Field[Any]", kind: Kind) -> str:
    if is_required(field):
        return "required"
    shown = kind.show(default_of(field))
    return "optional" if shown in ("", "{}", "[]") else f"default ``{shown}``"


def helps(cls: type) -> dict[str, str]:
    """What the comments say about the fields of a class: those above, else the one beside."""
    source = textwrap.dedent(inspect.getsource(cls))
    comments = {
        token.start[0]: token.string.removeprefix("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    lines = source.splitlines()
    (definition,) = ast.parse(source).body
    texts = {}
    for statement in getattr(definition, "body", ()):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            first = statement.lineno
            while lines[first - 2].lstrip().startswith("#"):
                first -= 1
            above = [comments[line] for line in range(first, statement.lineno)]
            beside = comments.get(statement.end_lineno or 0, "")
            texts[statement.target.id] = "\n".join(above) or beside
    return texts
