"""What a running server can take over of a changed configuration, and what waits for a restart."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from pushd.config.backends import Backend
from pushd.config.reader import DERIVED
from pushd.config.sections import (
    AppServer,
    Attached,
    Component,
    Config,
    ServerToServer,
    Sessions,
    VirtualHost,
)


def taken_over(running: Config, wanted: Config) -> Config:
    """The running configuration with as much of the wanted one as needs no restart.

    That is certificates, what components and providers sign in with, limits, queues, holds,
    who may register, what other servers have to prove, and the level of the log.
    """
    return replace(
        running,
        domains={
            domain: _host(host, wanted.domains.get(domain))
            for domain, host in running.domains.items()
        },
        components=_components(running.components, wanted.components),
        component=_component(running.component, wanted.component),
        sessions=_sessions(running.sessions, wanted.sessions),
        limits=wanted.limits,
        s2s=_s2s(running.s2s, wanted.s2s),
        app_server=_app_server(running.app_server, wanted.app_server),
        log=replace(running.log, level=wanted.log.level),
        path=wanted.path,
        warnings=wanted.warnings,
    )


def differences(one: object, other: object, key: str = "") -> Iterator[str]:
    """The dotted names of the options that differ; never their values."""
    if is_dataclass(one) and is_dataclass(other) and type(one) is type(other):
        for field in fields(one):
            if field.metadata != DERIVED:
                a, b = getattr(one, field.name), getattr(other, field.name)
                yield from differences(a, b, f"{key}.{field.name}" if key else field.name)
    elif isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted({*one, *other}):
            yield from differences(one.get(name), other.get(name), f"{key}.{name}")
    elif one != other:
        yield key


def app_of(backend: Backend) -> tuple[str, ...]:
    """What tells one app from another: with this, devices are registered and servers publish."""
    return (backend.type, backend.register_host, backend.app_name, backend.pubsub_host)


def _host(running: VirtualHost, wanted: VirtualHost | None) -> VirtualHost:
    """Other files, but not TLS where there was none, nor none where there was."""
    if wanted is None or not running.certificate or not wanted.certificate:
        return running
    return wanted


def _components(
    running: Mapping[str, Component], wanted: Mapping[str, Component]
) -> dict[str, Component]:
    return {domain: wanted.get(domain, one) for domain, one in running.items()}


def _component(running: Attached | None, wanted: Attached | None) -> Attached | None:
    """Another secret is said at the next handshake; another place needs a restart."""
    if running is None or wanted is None:
        return running
    return replace(running, secret=wanted.secret)


def _sessions(running: Sessions, wanted: Sessions) -> Sessions:
    """Whether sessions can be resumed at all is announced, and does not change."""
    same = bool(running.resume_timeout) == bool(wanted.resume_timeout)
    return replace(wanted, resume_timeout=(wanted if same else running).resume_timeout)


def _s2s(running: ServerToServer | None, wanted: ServerToServer | None) -> ServerToServer | None:
    """Whether there is any, where it listens and which name servers it asks stays."""
    if running is None or wanted is None:
        return running
    return replace(
        wanted,
        listen=running.listen,
        listen_tls=running.listen_tls,
        name_servers=running.name_servers,
    )


def _app_server(running: AppServer, wanted: AppServer) -> AppServer:
    known: dict[Any, Backend] = {app_of(backend): backend for backend in wanted.backends}
    backends = (_backend(one, known.get(app_of(one), one)) for one in running.backends)
    return replace(wanted, backends=tuple(backends))


def _backend(running: Backend, wanted: Backend) -> Backend:
    """Another credential or place, but by the names that are announced."""
    return replace(
        wanted, tigase_providers=running.tigase_providers, push_modules=running.push_modules
    )
