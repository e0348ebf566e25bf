"""What a configuration means for each part: its options, limits and files, in the part's words.

All of it is asked for at the start, and again when the configuration has changed.
"""

from dataclasses import replace
from typing import Any

from pushd.appserver.limits import Rate as PushRate
from pushd.appserver.limits import Rules
from pushd.c2s.guard import Patience
from pushd.c2s.options import DoorOptions
from pushd.config.backends import Backend
from pushd.config.proxies import DIRECT, Proxy
from pushd.config.sections import Config, Push
from pushd.net.admission import Quota
from pushd.net.origins import Origins
from pushd.net.pace import Rate
from pushd.net.tls import CertificateFiles
from pushd.providers import catalogue
from pushd.providers.contract import Provider
from pushd.routing.delivery import QueueLimits
from pushd.s2s.options import Options as S2SOptions
from pushd.wire.framer import Limits

MODULES = (
    "ping",
    "roster",
    "subscriptions",
    "presence",
    "offline",
    "offline_retrieval",
    "carbons",
    "client_state",
    "blocking",
    "version",
    "time",
    "last_activity",
    "push",
    "devices",
)
OF_SERVICES = ("ping", "version", "time")  # of these, what is of use where there are no accounts
BACKLOG_BYTES = 8 << 20  # what may wait for a client that does not read, besides its queue


def module_options(config: Config) -> dict[str, Any]:
    """The modules to load, in order, with their options."""
    names = MODULES if config.domains else OF_SERVICES
    options: dict[str, Any] = dict.fromkeys(names)
    options.update(config.modules)
    if "push" in options and options["push"] is not False:
        options["push"] = _push_options(config.push)
    return {name: given for name, given in options.items() if given is not False}


def _push_options(push: Push) -> Any:
    from pushd.modules.push.module import PushOptions
    from pushd.modules.push.options import NAMES, Told

    return PushOptions(
        hold=push.hold,
        max_enablements=push.max_enablements,
        coalesce=push.coalesce,
        publish_timeout=push.publish_timeout,
        notify_on=push.notify_on,
        told=Told(**{name: getattr(push, name) for name in NAMES}),
    )


def queue_limits(config: Config) -> QueueLimits:
    """What a session may hold."""
    return QueueLimits(config.sessions.queue_stanzas, config.sessions.queue_bytes)


def door_options(config: Config) -> DoorOptions:
    """How clients are treated."""
    limits, sessions = config.limits, config.sessions
    return DoorOptions(
        unauthenticated=Limits(limits.unauthenticated_bytes, depth=10),
        authenticated=Limits(limits.stanza_bytes),
        authentication_timeout=limits.authentication_timeout,
        sessions_per_account=limits.sessions_per_account,
        silence=sessions.silence,
        # All that a session may have queued is said at once when it is resumed.
        backlog=sessions.queue_bytes + BACKLOG_BYTES,
    )


def s2s_options(config: Config) -> S2SOptions:
    """What other servers have to prove, and what they may take; where there are any."""
    given, limits = config.s2s, config.limits
    assert given is not None
    named = {name: given.policy_of(name) for name in given.domains}
    rules: dict[str, str] = {name: policy for name, policy in named.items() if policy is not None}
    places = {
        name: (one.address.host or "localhost", one.address.port)
        for name, one in given.domains.items()
        if one.address is not None
    }
    return S2SOptions(
        policy=given.policy,
        rules=rules,
        places=places,
        unauthenticated=Limits(limits.unauthenticated_bytes, depth=10),
        limits=Limits(limits.stanza_bytes),
        authentication_timeout=limits.authentication_timeout,
        patience=given.patience,
        idle=given.idle,
        queue_stanzas=given.queue_stanzas,
        queue_bytes=given.queue_bytes,
        streams_per_domain=given.streams_per_domain,
        rate=Rate(given.bytes_per_second, given.stanzas_per_second),
        origins=Origins(limits.exempt_networks),
    )


def quotas(config: Config, room: int) -> tuple[Quota, Quota]:
    """For strangers, and for all connections, of which the system allows `room`."""
    limits = config.limits
    return (
        Quota(limits.unauthenticated_connections, limits.unauthenticated_per_address),
        Quota(room, limits.connections_per_address),
    )


def rate(config: Config) -> Rate:
    """How much an account may send."""
    return Rate(config.limits.bytes_per_second, config.limits.stanzas_per_second)


def patience(config: Config) -> Patience:
    """How many logins may fail."""
    limits = config.limits
    return Patience(
        limits.login_failures_per_address,
        limits.login_failures_per_account,
        limits.login_failures_window,
    )


def certificate_files(config: Config) -> dict[str, CertificateFiles]:
    """The files of the domains that have TLS."""
    return {
        domain: CertificateFiles(host.certificate, host.key_file)
        for domain, host in config.domains.items()
        if host.certificate is not None and host.key_file is not None
    }


def rules(config: Config) -> Rules:
    """Who may register devices, and how much may be asked of the app server."""
    given = config.app_server
    return Rules(
        access=given.access_backends,
        dialects=given.dialects.names(),
        registrations_per_account=given.max_registrations,
        rooms_per_account=given.max_room_registrations,
        registrations_per_domain=given.max_registrations_per_domain,
        shared_tokens=given.shared_tokens,
        forget_after=given.forget_after,
        account_requests=PushRate.per_second(given.requests_per_account),
        domain_requests=PushRate.per_second(given.requests_per_domain),
        pushes=PushRate(given.push_interval, given.push_burst),
        urgent_pushes=PushRate(given.urgent_interval, given.urgent_burst),
    )


def provider(backend: Backend, proxy: Proxy | None = None) -> Provider:
    """The translator of a backend. Raises BadOption, which names what is wrong.

    `proxy` is that of the backends that name none.
    """
    kind = catalogue.find(backend.type)
    if kind is None:
        raise ValueError(f"there is no provider {backend.type}")
    way = backend.proxy or proxy
    common: dict[str, Any] = {
        "base_url": backend.base_url,
        "ca_file": backend.ca_file,
        "proxy": None if way == DIRECT else way,
    }
    given = {name: value for name, value in common.items() if value is not None}
    return kind(replace(backend.options, **given))
