"""The sections of the configuration: one frozen dataclass each.

The comment above an option is its help in the reference page, its default what holds when
it is not given. Durations are seconds, sizes bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pushd.config.backends import Backend, Backends, Modules
from pushd.config.checks import AuthoritiesFile
from pushd.config.files import Folder, Socket
from pushd.config.kinds import (
    Bytes,
    DomainName,
    Duration,
    Endpoint,
    Network,
    Positive,
    Span,
    Whole,
)
from pushd.config.problems import Caution
from pushd.config.proxies import ProxyAddress
from pushd.config.reader import DERIVED, Given
from pushd.wire.secret import Secret

MINUTE = 60.0
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """A domain that the server serves, and its certificate.

    Only a server that listens on loopback addresses alone may do without certificates.
    """

    # The certificate (PEM), followed by its intermediate ones.
    certificate: Path | None = None
    # Its private key (PEM, without a passphrase), if not in the same file.
    key: Path | None = None

    @property
    def key_file(self) -> Path | None:
        return self.key or self.certificate


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the server listens."""

    # For clients, who go over to TLS by STARTTLS.
    client: tuple[Endpoint, ...] = (Endpoint("", 5222),)
    # For clients that begin with TLS (XEP-0368).
    client_tls: tuple[Endpoint, ...] = (Endpoint("", 5223),)
    # For external components (XEP-0114). It has no TLS, so loopback is the place for it.
    component: tuple[Endpoint, ...] = ()
    # For who watches the server, by HTTP: ``/metrics``, ``/healthz``, ``/readyz``. Nobody logs in
    # there, so loopback is the place for it; no other address is taken without
    # ``metrics_for_all``.
    metrics: tuple[Endpoint, ...] = ()
    # Let ``metrics`` have addresses that others can reach, as where a firewall stands before it.
    metrics_for_all: bool = False
    # The socket for ``pushdctl``; ``pushd.sock`` in the data folder if not given.
    admin: Annotated[Path, Socket()] | None = None


def watched_at(address: str) -> str:
    """Where a server for development that listens at this address has its metrics."""
    return address if Endpoint(address, 0).is_loopback else "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Component:
    """An external component (XEP-0114), such as a push service of another make."""

    # What the component and the server share for the handshake.
    secret: Secret


@dataclass(frozen=True, slots=True)
class Attached:
    """Another server, such as ejabberd or Prosody, whose push service pushd is.

    pushd connects to it as an external component (XEP-0114), and again whenever the connection
    ends. The name that the component has there is the ``register_host`` and the ``pubsub_host`` of
    the backends.
    """

    # The name of the component.
    domain: DomainName
    # What the component and the server share for the handshake.
    secret: Secret
    # The name or the address of the server. The stream has no TLS, so loopback is the place for it.
    host: str = "127.0.0.1"
    # Where it waits for components: 5347 is Prosody's usual port.
    port: Annotated[int, Whole(1, 65_535)] = 5347


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions that outlive their connection (XEP-0198)."""

    # How long a session without push is kept for its client to come back; 0 switches
    # resumption off, and push with it.
    resume_timeout: Duration = 5 * MINUTE
    # How long a client may say nothing before it is asked whether it is still there. If it does
    # not answer within a minute, its session is kept for its return, and push takes over. 0
    # switches this off.
    silence: Duration = 10 * MINUTE
    # How many stanzas are kept for a session without a connection; with one more it ends,
    # and its messages go to offline storage.
    queue_stanzas: Positive = 5000
    # How many bytes they may have.
    queue_bytes: Annotated[int, Bytes(least=65_536)] = 10_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask of the server."""

    # The largest stanza. RFC 6120 §13.12 asks for 10,000 bytes at least.
    stanza_bytes: Annotated[int, Bytes(least=10_000)] = 262_144
    # The largest stanza before a client has logged in.
    unauthenticated_bytes: Annotated[int, Bytes(least=4_000)] = 10_000
    # How long a connection may take to log in.
    authentication_timeout: Annotated[float, Span(least=1.0)] = 30.0
    # How long a TLS handshake may take.
    tls_handshake_timeout: Annotated[float, Span(least=1.0)] = 10.0
    # How many connections may be open that have not logged in; more are closed at once.
    unauthenticated_connections: Positive = 1000
    # How many of them may come from one address, or one IPv6 network of 64 bits.
    unauthenticated_per_address: Positive = 100
    # How many connections may be open, logged in or not; more are closed at once. There are
    # fewer where the system allows fewer files to be open (``ulimit -n``, ``LimitNOFILE=``).
    connections: Positive = 50_000
    # How many of them may come from one address, or one IPv6 network of 64 bits.
    connections_per_address: Positive = 1000
    # Where one address may speak for many, as those of a proxy do: limits for an address do
    # not hold for these, those in all do.
    exempt_networks: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    # How much the clients of an account may send a second, all together, and ten times as much
    # at once; what they ask for counts as if they had sent it. Faster ones are read more
    # slowly, and nothing is lost. 0 switches this off; addresses in ``exempt_networks`` have
    # no such limit.
    bytes_per_second: Annotated[int, Bytes()] = 1_048_576
    # The same for stanzas.
    stanzas_per_second: Annotated[int, Whole()] = 1000
    # How many logins may fail from one address, or one IPv6 network of 64 bits, before it has
    # to pause, for ten seconds at first and twice as long with each further failure. Who has
    # logged in from there before is counted apart from the others.
    login_failures_per_address: Positive = 20
    # How many logins to one account may fail before its logins are slowed, by up to five seconds.
    login_failures_per_account: Positive = 10
    # How long after the last one failures are forgotten; the longest pause is a quarter of it.
    login_failures_window: Annotated[float, Span(least=60.0)] = HOUR
    # How many sessions an account may have; with one more, the one that has waited the
    # longest for its client goes, and if none waits, the new one is refused.
    sessions_per_account: Positive = 20


Policy = Literal["require", "dialback", "deny"]


@dataclass(frozen=True, slots=True)
class RemoteDomain:
    """What is special about a domain of others, and the domains below it."""

    # What it has to prove, if not what all have to; ``require`` where all others are denied.
    policy: Policy | None = None
    # Where its server is, if DNS does not tell: an address and a port. The certificate is still
    # that of the domain.
    address: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class ServerToServer:
    """Other servers. Without this section there are none: nobody outside can be written to.

    All streams have TLS, and each domain needs its certificate.
    """

    # Where other servers connect, who go over to TLS by STARTTLS. With an empty list none can,
    # but we still connect to them.
    listen: tuple[Endpoint, ...] = (Endpoint("", 5269),)
    # The same for servers that begin with TLS (XEP-0368), as ``_xmpps-server`` records tell them.
    listen_tls: tuple[Endpoint, ...] = ()
    # What another server has to prove: ``require`` a certificate that is valid for its domain;
    # ``dialback`` that, or that its domain's records lead to it; ``deny`` has none talk with us.
    policy: Policy = "require"
    # Domains for which that is different. With ``policy: deny`` above, only they are talked with.
    domains: Mapping[DomainName, RemoteDomain] = field(default_factory=dict)
    # The authorities (PEM) that may have signed a certificate, besides the system's.
    ca_file: AuthoritiesFile | None = None
    # The name servers to ask, if not the system's.
    name_servers: tuple[Endpoint, ...] = ()
    # Connect to addresses that are not of the public internet, too, as where the servers of a
    # private network talk with each other. Anybody can have the records of a domain lead there.
    # It does not matter for an ``address`` in ``domains``.
    allow_private: bool = False
    # How long a stanza waits for a stream to its server before it is sent back.
    patience: Annotated[float, Span(least=1.0)] = MINUTE
    # How many stanzas may wait for a domain.
    queue_stanzas: Positive = 1000
    # How many bytes they may have.
    queue_bytes: Annotated[int, Bytes(least=65_536)] = 2_000_000
    # How long a stream lives that nothing is sent on.
    idle: Annotated[float, Span(least=10.0)] = 10 * MINUTE
    # How many streams a domain may open to one of ours.
    streams_per_domain: Positive = 10
    # How much a domain, together with all that have its last two labels, may send a second, and
    # ten times as much at once. Faster ones are read more slowly, and nothing is lost. 0 switches
    # this off; addresses in ``limits.exempt_networks`` have no such limit.
    bytes_per_second: Annotated[int, Bytes()] = 2_097_152
    # The same for stanzas.
    stanzas_per_second: Annotated[int, Whole()] = 2000

    def policy_of(self, domain: str) -> Policy | None:
        """What is special about a domain that is named: where all are denied, it is let in."""
        return self.domains[domain].policy or ("require" if self.policy == "deny" else None)


@dataclass(frozen=True, slots=True)
class Push:
    """Which sleeping phones are woken, and what they are told (XEP-0357, user side).

    The four ``include_`` options are where each account starts from; its owner can change them.
    """

    # How long a session with push is kept without its connection.
    hold: Duration = 72 * HOUR
    # How many push services an account may have enabled; one more replaces the least used.
    max_enablements: Positive = 10
    # Tell who sent the last message or asked for a subscription.
    include_senders: bool = False
    # Tell how many messages wait.
    include_message_count: bool = True
    # Tell how many subscription requests wait.
    include_subscription_count: bool = True
    # Tell what the last message says.
    include_message_bodies: bool = False
    # What wakes a phone: messages, calls, invitations and subscription requests, or any stanza.
    notify_on: Literal["messages", "all"] = "messages"
    # What follows a notification within this time goes out as one; 0 switches that off.
    coalesce: Duration = 1.0
    # How long the answer of a push service is awaited.
    publish_timeout: Annotated[float, Span(least=1.0)] = 30.0


@dataclass(frozen=True, slots=True)
class Dialects:
    """The ways in which devices may register, each by its own commands.

    What is switched off is neither announced nor taken; devices that registered with it are
    pushed all the same. Where a provider has several apps at one host, the field ``app`` of a form
    names one of them; apps whose clients know no such field need a ``register_host`` of their own.
    """

    # The commands of mod_push: ``register-push-TYPE``, ``list-push-registrations`` and
    # ``unregister-push``.
    mod_push: bool = True
    # The commands of Conversations and p2: ``register-push-fcm``, ``-gcm`` and ``-apns`` with
    # ``android-id``, for rooms too, and ``unregister-push-TYPE``; at the ``pubsub_host``, too.
    conversations: bool = False
    # Those of Tigase's push component, ``register-device`` and ``unregister-device``, for Siskin,
    # Snikket on iOS and Stork; at the ``pubsub_host``, which these find if it is a host of its own.
    tigase: bool = False
    # The commands of mod_push_appserver, of yaxim and former Monals: ``v1-register-push`` and
    # ``v1-unregister-push``; at the ``pubsub_host``, too.
    v1: bool = False
    # Monal and whoever uses fpush: nobody registers, servers publish to the token of a device,
    # with a ``pushModule`` that a backend lists (``push_modules``).
    fpush: bool = False
    # Clients of MongooseIM: they make a node of type ``push`` at the ``pubsub_host``, and servers
    # publish with the options ``service`` and ``device_id``.
    mongooseim: bool = False

    @classmethod
    def every(cls) -> "Dialects":
        """All of them."""
        return cls(**{option.name: True for option in fields(cls)})

    def names(self) -> frozenset[str]:
        """Those that are switched on."""
        return frozenset(option.name for option in fields(self) if getattr(self, option.name))


@dataclass(frozen=True, slots=True)
class AppServer:
    """The push service: it takes what servers publish and passes it on to the providers."""

    # Who may register devices: anyone, accounts of this server, or accounts of these domains.
    access_backends: Literal["all", "local"] | tuple[DomainName, ...] = "all"
    # How many registrations an account may have; one more replaces the least recently used.
    max_registrations: Positive = 20
    # The same for the rooms that its devices registered for, which are counted apart.
    max_room_registrations: Positive = 200
    # The HTTP proxy that leads to the providers, where there is no other way: a URL such as
    # ``http://proxy.example.net:3128``, with ``USER:PASSWORD@`` before the host where it asks for
    # them. It opens a tunnel for each connection (CONNECT), and looks the providers' names up.
    # What is in the tunnel is encrypted for the provider. ``{env: https_proxy}`` takes it from the
    # environment.
    proxy: ProxyAddress | None = None
    # How many registrations the accounts of another domain may have, all together; 0 switches
    # this off.
    max_registrations_per_domain: Annotated[int, Whole()] = 100_000
    # Whether accounts may share a token, as those of an app with several accounts do. If not,
    # the account that registers it last has it alone.
    shared_tokens: bool = True
    # How long a registration is kept that is neither renewed nor pushed, as after its account on
    # another server was removed; 0 keeps it for ever.
    forget_after: Duration = 365 * 24 * HOUR
    # How many commands an account may execute a second, and ten times as many at once; 0
    # switches this off.
    requests_per_account: Annotated[int, Whole()] = 5
    # How much another domain may publish and execute a second, and ten times as much at once;
    # its server is asked to wait. 0 switches this off.
    requests_per_domain: Annotated[int, Whole()] = 1000
    # A device is pushed so many times at once, and then once in ``push_interval``. What is
    # published faster is taken, and goes as one when its time comes.
    push_burst: Positive = 10
    # How long a device is left alone then; 0 switches this off.
    push_interval: Duration = 20.0
    # The same for what is urgent, as calls are.
    urgent_burst: Positive = 10
    # How long a device is left alone after them; 0 switches this off.
    urgent_interval: Duration = 5.0
    dialects: Dialects = field(default_factory=Dialects)
    # The apps that are served, and how their provider is reached.
    backends: Annotated[tuple[Backend, ...], Backends()] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged. Passwords, tokens and message bodies never are."""

    # The least grave events that are logged.
    level: Literal["debug", "info", "warning", "error"] = "info"
    # Lines for people, or an object a line.
    format: Literal["text", "json"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration, checked."""

    # The domains that are served, as a list, or as a mapping to their certificates. None are
    # needed where pushd is the component of another server.
    domains: Mapping[DomainName, VirtualHost] = field(default_factory=dict)
    # The folder of the database.
    data: Annotated[Path, Folder()]
    listen: Listen = field(default_factory=Listen)
    # External components that may connect, by their domain.
    components: Mapping[DomainName, Component] = field(default_factory=dict)
    # The server whose component pushd is, if it is one: see below.
    component: Attached | None = None
    sessions: Sessions = field(default_factory=Sessions)
    limits: Limits = field(default_factory=Limits)
    s2s: Annotated[ServerToServer | None, Given(ServerToServer)] = None
    push: Push = field(default_factory=Push)
    app_server: AppServer = field(default_factory=AppServer)
    # Modules with options of their own, or switched off. ``push`` has its section above.
    modules: Annotated[Mapping[str, Any], Modules(elsewhere=("push",))] = field(
        default_factory=dict
    )
    log: Log = field(default_factory=Log)
    path: Path | None = field(default=None, metadata=DERIVED)  # the file it was read from
    warnings: tuple[Caution, ...] = field(default=(), metadata=DERIVED)

    @property
    def names(self) -> tuple[str, ...]:
        """The domains that are served, that of the component among them."""
        return (*self.domains, *([self.component.domain] if self.component is not None else ()))

    @property
    def doors(self) -> Listen:
        """Where it listens in truth: without a domain of ours, no client can log in."""
        return self.listen if self.domains else replace(self.listen, client=(), client_tls=())

    @property
    def is_open(self) -> bool:
        """Whether anybody may connect, but who watches or operates it."""
        doors = self.doors
        s2s = (*self.s2s.listen, *self.s2s.listen_tls) if self.s2s is not None else ()
        return bool(doors.client or doors.client_tls or doors.component or s2s)

    @property
    def admin_socket(self) -> Path:
        """Where `pushdctl` reaches the server."""
        return self.listen.admin or self.data / "pushd.sock"

    @classmethod
    def for_development(
        cls,
        data: Path,
        domain: str = "localhost",
        *,
        address: str = "127.0.0.1",
        client: int = 0,
        client_tls: int = 0,
        component: int = 0,
        metrics: int = 0,
        certificate: Path | None = None,
        key: Path | None = None,
        components: Mapping[str, Component] | None = None,
        backends: tuple[Backend, ...] = (),
    ) -> "Config":
        """A configuration without a file: one domain, every listener on one address,
        and the metrics on loopback.

        Ports are free ones unless given; devices may register in every way. Nothing is
        checked; `dataclasses.replace` changes any other section.
        """
        return cls(
            domains={domain: VirtualHost(certificate, key)},
            data=data,
            listen=Listen(
                client=(Endpoint(address, client),),
                client_tls=(Endpoint(address, client_tls),),
                component=(Endpoint(address, component),),
                metrics=(Endpoint(watched_at(address), metrics),),
            ),
            components=components or {},
            app_server=AppServer(backends=backends, dialects=Dialects.every()),
        )
