"""What a configuration comes to, in lines for people: `--check-config` prints them."""

from collections.abc import Iterator

from pushd.config.proxies import DIRECT, Proxy
from pushd.config.reader import option_fields, option_kinds
from pushd.config.sections import Config, Listen, ServerToServer


def summary(config: Config) -> list[str]:
    """Lines of what is served, where, and to whom pushes go; the warnings come last."""
    return [
        *_served(config),
        *_listening(config),
        *_federating(config.s2s),
        *_pushing(config),
        *_warnings(config),
    ]


def _served(config: Config) -> Iterator[str]:
    for domain, host in config.domains.items():
        yield f"domain {domain}: " + (
            f"certificate {host.certificate}" if host.certificate else "no TLS"
        )
    for domain in config.components:
        yield f"component {domain}"
    if config.component is not None:
        one = config.component
        yield f"this is the component {one.domain} of the server at {one.host} port {one.port}"
    yield f"data in {config.data}, admin socket {config.admin_socket}"


def _listening(config: Config) -> Iterator[str]:
    """A line for each kind of door."""
    for name, kind in option_kinds(Listen).items():
        endpoints = getattr(config.doors, name)
        if name not in ("admin", "metrics_for_all"):
            yield f"listen.{name}: {kind.show(endpoints) if endpoints else 'nowhere'}"


def _federating(s2s: ServerToServer | None) -> Iterator[str]:
    if s2s is None:
        yield "s2s: off, other servers are not talked with"
        return
    places = [str(one) for one in (*s2s.listen, *s2s.listen_tls)]
    yield f"s2s: policy {s2s.policy}, listening at {', '.join(places) or 'nowhere'}"
    for domain, rule in s2s.domains.items():
        at = f", at {rule.address}" if rule.address else ""
        yield f"s2s with {domain}: policy {s2s.policy_of(domain) or s2s.policy}{at}"


def _pushing(config: Config) -> Iterator[str]:
    kinds, fields = option_kinds(type(config.push)), option_fields(type(config.push))
    shown = ", ".join(f"{name} {kinds[name].show(getattr(config.push, name))}" for name in fields)
    yield f"push: {shown}"
    for backend in config.app_server.backends:
        yield (
            f"backend {backend.type} for the app {backend.app_name!r}: register at"
            f" {backend.register_host}, publish to {backend.pubsub_host}"
            + (f", provider at {backend.base_url}" if backend.base_url else "")
            + _way(backend.proxy or config.app_server.proxy)
        )
    if config.app_server.backends:
        spoken = ", ".join(sorted(config.app_server.dialects.names()))
        yield f"devices register by {spoken or 'no dialect: none can (app_server.dialects)'}"
    else:
        yield "no backend: users can use push services of others"


def _way(proxy: Proxy | None) -> str:
    return f", through the proxy {proxy}" if proxy is not None and proxy != DIRECT else ""


def _warnings(config: Config) -> Iterator[str]:
    for caution in config.warnings:
        yield f"{config.path}:{caution}" if caution.line else f"{config.path}: {caution}"
