"""A configuration file becomes a `Config`, or the list of everything that is wrong with it."""

import os
from collections.abc import Mapping
from pathlib import Path

from pushd.config import mod_push, rules
from pushd.config.document import MAX_CHARACTERS, parse
from pushd.config.files import unreadable
from pushd.config.kinds import Reading, quoted
from pushd.config.problems import WHOLE_FILE, ConfigErrors, Problem, Report
from pushd.config.reader import option_fields, read_options, refuse_unknown
from pushd.config.sections import Config


def load(
    path: str | Path,
    providers: Mapping[str, type] | None = None,
    modules: Mapping[str, type | None] | None = None,
    *,
    now: float,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Read and check the configuration at `path`, and every file that it names.

    `providers` maps the provider types there are to their `Options` dataclasses, `modules` the
    modules there are to theirs, or to None. `now`, in seconds since the epoch, is what
    certificates are judged by, and `environment` where `{env: NAME}` looks.

    Raises ConfigErrors, with every mistake there is.
    """
    data = b""
    fault = unreadable(Path(path))
    try:
        if not fault:
            with Path(path).open("rb") as file:
                data = file.read(4 * MAX_CHARACTERS + 1)
    except OSError as error:
        fault = f"which cannot be read ({error.strerror})"
    if fault:
        problem = Problem(*WHOLE_FILE, "", f"{quoted(str(path))}, {fault}", "a configuration file")
        raise ConfigErrors(str(path), [problem])
    return read(data, path, providers, modules, now=now, environment=environment)


def read(
    data: bytes | str,
    path: str | Path,
    providers: Mapping[str, type] | None = None,
    modules: Mapping[str, type | None] | None = None,
    *,
    now: float,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Like `load`, with the content at hand; `path` is where relative paths start from."""
    report = Report()
    reading = Reading(
        report,
        Path(path).absolute().parent,
        os.environ if environment is None else environment,
        {} if providers is None else providers,
        {} if modules is None else modules,
        now,
    )
    root = mod_push.understand(parse(data, str(path), report), reading)
    refuse_unknown(root, (*option_fields(Config), *mod_push.SECTIONS), reading)
    values = read_options(Config, root, reading)
    rules.apply(values, root, reading, now)
    if report.problems:
        raise ConfigErrors(str(path), set(report.problems), values)
    return Config(
        **values, path=Path(path).absolute(), warnings=tuple(sorted(set(report.cautions)))
    )
