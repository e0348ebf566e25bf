"""The backends of the app server, and the modules: options that others declare.

Which providers and modules there are is not known here; their `Options` dataclasses are
handed in with the reading.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pushd.config.checks import SOON, AuthoritiesFile, others_may_read_a_key
from pushd.config.document import ListNode, MapNode, Node, Scalar, shape
from pushd.config.kinds import (
    DomainName,
    Faulty,
    Kind,
    Pattern,
    Reading,
    Truth,
    Url,
    quoted,
    suggestion,
)
from pushd.config.proxies import ProxyOrNone
from pushd.config.reader import (
    DERIVED,
    Section,
    construct,
    entries_of,
    option_fields,
    pairs,
    refuse_unknown,
)

PLANNED = ("apns", "fcm", "ubuntu", "unifiedpush", "webhook", "webpush", "wns")
ALIASES = {  # to what is meant, and why
    "gcm": ("fcm", "GCM ended in 2019, FCM HTTP v1 took its place"),
    "mozilla": ("webpush", "SimplePush ended with Firefox OS, Web Push took its place"),
}
KEY_FILES = (
    "service_account",
    "key_file",
    "certfile",
    "keyfile",
    "vapid_key",
)  # options that may name a key


class Retired(NamedTuple):
    """An option that a provider's own end has made useless."""

    found: str
    remedy: str
    instead: str  # the option that took its place


RETIRED = {
    ("fcm", "auth_key"): Retired(
        "an API key of GCM or of the legacy FCM API, both shut down by Google",
        "service_account: the path of the service account file (JSON) for FCM HTTP v1, from the"
        " Firebase console under Project settings, Service accounts",
        "service_account",
    ),
}


ProviderName = Annotated[
    str, Pattern(r"[!-~]{1,128}", "a name without spaces such as tigase:messenger:apns:1")
]
ModuleName = Annotated[str, Pattern(r"[!-~]{1,128}", "a name without spaces such as monalProdiOS")]
TIGASE_PROVIDERS = {
    "apns": ("tigase:messenger:apns:1",),
    "fcm": ("tigase:messenger:fcm:1", "fcm-xmpp-api"),
}


@dataclass(frozen=True, slots=True)
class Backend:
    """An app at a push provider: where clients register for it, where servers publish to it.

    Besides these options a backend takes those of its provider.
    """

    # The push provider, one of those below.
    type: str
    # The host whose commands register devices; usually a domain of this server.
    register_host: DomainName
    # The host that servers publish to. It may be the register_host.
    pubsub_host: DomainName
    # The app, as service discovery on the register_host tells it.
    app_name: str = "any"
    # Where the provider is, if not at its usual place: a stand-in for tests.
    base_url: Url | None = None
    # The authorities (PEM) that may have signed the provider's certificate, if not the usual ones.
    ca_file: AuthoritiesFile | None = None
    # The proxy to the provider, if not that of all backends (``app_server.proxy``); ``direct`` is
    # for a provider that is reached without one.
    proxy: ProxyOrNone | None = None
    # What the provider is called in Tigase's commands (``app_server.dialects.tigase``), where its
    # apps look for it; of its own if the list is empty: ``tigase:messenger:apns:1`` for apns,
    # ``tigase:messenger:fcm:1`` and ``fcm-xmpp-api`` for fcm.
    tigase_providers: tuple[ProviderName, ...] = ()
    # The modules that apps without registrations name as ``pushModule``
    # (``app_server.dialects.fpush``); with ``-sandbox`` behind it, for the sandbox of apns.
    push_modules: tuple[ModuleName, ...] = ()
    options: Any = field(default=None, metadata=DERIVED)  # the provider's Options

    @property
    def name(self) -> str:
        """What it is called wherever it is told of.

        Registrations keep this name: it is the same whatever stands beside the backend.
        """
        return f"{self.type}/{self.register_host}/{self.app_name}"

    @property
    def tigase_names(self) -> tuple[str, ...]:
        """What the provider is called in Tigase's commands."""
        return self.tigase_providers or TIGASE_PROVIDERS.get(self.type, ())


@dataclass(frozen=True)
class Backends(Kind):
    """A list of backends; those whose provider this release lacks are left out with a warning."""

    title = "list of backends"
    expected = "a list of backends, each with type, register_host and pubsub_host"

    def read(self, node: Node, reading: Reading) -> tuple[Backend, ...]:
        if not isinstance(node, ListNode):
            reading.refuse(node, shape(node), self.expected)
        good: list[Backend] = []
        is_faulty = False
        for item in node.items:
            try:
                backend = self._backend(item, reading)
            except Faulty:
                is_faulty = True
            else:
                good += [backend] if backend else []
        if is_faulty:
            raise Faulty
        return tuple(good)

    def takes(self, node: Node) -> bool:
        return isinstance(node, ListNode)

    def show(self, value: Any) -> str:
        return f"[{', '.join(backend.type for backend in value)}]"

    def _backend(self, node: Node, reading: Reading) -> Backend | None:
        entries = entries_of(node, reading, "a mapping with type, register_host and pubsub_host")
        provider = _provider(entries, reading)
        excused = _judge_retired(provider, entries, reading)
        entries = _with_contact(entries, reading)
        if provider and provider not in reading.providers:
            reading.warn(
                entries.at("type"),
                f"the provider {provider!r} is not part of this release: this backend is skipped",
            )
        options = reading.providers.get(provider)
        parts: list[Any] = []
        for cls in filter(None, (Backend, options)):
            try:
                parts.append(construct(cls, entries.without(_common(cls)), reading, excused))
            except Faulty:
                continue
        if options:
            known = (*option_fields(Backend), *option_fields(options))
            retired = {name for kind, name in RETIRED if kind == provider}
            refuse_unknown(entries.without(retired), known, reading)
        if len(parts) < 1 + (options is not None) or not provider:
            raise Faulty
        _judge_expiry(parts[-1], entries, reading)
        _judge_secrecy(parts[-1], entries, reading)
        return _joined(provider, *parts) if options else None


def _common(options: type) -> set[str]:
    """What a provider declares though every backend has it; it is read once, as the backend's."""
    shared = option_fields(Backend).keys() & option_fields(options).keys()
    return set() if options is Backend else {*shared}


def _joined(provider: str, backend: Backend, options: Any) -> Backend:
    """The backend with its provider's options, which get what both declare."""
    given = {name: getattr(backend, name) for name in _common(type(options))}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(backend, type=provider, options=replace(options, **changes))


def _provider(entries: MapNode, reading: Reading) -> str:
    """The backend's provider type by its own name, or "" where there is none of that name."""
    node = entries.entries.get("type")
    if not isinstance(node, Scalar) or node.is_null:
        return ""
    if node.text in ALIASES:
        own, why = ALIASES[node.text]
        reading.warn(node, f"{node.text!r} is read as {own!r}: {why}")
        return own
    if node.text not in PLANNED and node.text not in reading.providers:
        known = tuple(sorted({*PLANNED, *reading.providers}))
        reading.report.refuse(node.mark, node.key, quoted(node.text), suggestion(node.text, known))
        return ""
    return node.text


def _with_contact(entries: MapNode, reading: Reading) -> MapNode:
    """COMPAT: mod_push's backends of the type mozilla know of no `sub`: that is made up."""
    node, host = entries.entries.get("type"), entries.entries.get("register_host")
    is_old = isinstance(node, Scalar) and node.text == "mozilla" and "sub" not in entries.entries
    if not is_old or not isinstance(host, Scalar) or "webpush" not in reading.providers:
        return entries
    made_up = f"https://{host.text}"
    reading.warn(entries.at("sub"), f"push services are told to turn to {made_up}: name a contact")
    key = entries.at("sub").key
    return entries.having({"sub": Scalar(host.mark, host.mark, key, made_up, is_plain=False)})


def _judge_expiry(options: Any, entries: MapNode, reading: Reading) -> None:
    """A provider's options may know when the credential among them ends (`expires_at`)."""
    expires_at: float | None = getattr(options, "expires_at", None)
    if expires_at is None:
        return
    day = f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d}"
    node = entries.entries.get("certfile", entries)
    if expires_at <= reading.now:
        reading.refuse(node, f"a certificate that expired on {day}", "one that is valid now")
    if expires_at <= reading.now + SOON.total_seconds():
        reading.warn(node, f"the certificate for the provider expires on {day}")


def _judge_secrecy(options: Any, entries: MapNode, reading: Reading) -> None:
    for name in KEY_FILES:
        path = getattr(options, name, None)
        if isinstance(path, Path) and others_may_read_a_key(path):
            reading.warn(entries.at(name), "every user of this machine may read the key")


def _judge_retired(provider: str, entries: MapNode, reading: Reading) -> tuple[str, ...]:
    """Report options whose time is over; return those that need not be missed besides."""
    excused = []
    for (kind, name), retired in RETIRED.items():
        if kind != provider or name not in entries.entries:
            continue
        node = entries.entries[name]
        if retired.instead in entries.entries:
            reading.report.warn(node.named_at, node.key, "no longer used: it can be removed")
        else:
            reading.report.refuse(node.named_at, node.key, retired.found, retired.remedy)
            excused.append(retired.instead)
    return tuple(excused)


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Of a module that takes none."""


@dataclass(frozen=True)
class Modules(Kind):
    """Modules by name, each with its options, or None where it takes none; `no` reads as False.

    A module that has a section of its own, `elsewhere`, can only be switched off here.
    """

    elsewhere: tuple[str, ...] = ()
    title = "mapping (module to its options, or ``no``), or list of modules"
    expected = "a mapping from modules to their options, or a list of modules"

    def read(self, node: Node, reading: Reading) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        is_faulty = False
        for name, options in pairs(node, reading, self.expected):
            try:
                value = self._options(name, options, reading)
            except Faulty:
                is_faulty = True
            else:
                if value is False or name.text not in self.elsewhere:
                    chosen[name.text] = value
        if is_faulty:
            raise Faulty
        return chosen

    def _options(self, name: Scalar, node: Node, reading: Reading) -> Any:
        if name.text not in reading.modules:
            remedy = suggestion(name.text, tuple(sorted(reading.modules)))
            reading.refuse(name, f"the unknown module {quoted(name.text)}", remedy)
        if isinstance(node, Scalar) and not node.is_null:
            if not Truth().read(node, reading):
                return False
            node = MapNode(node.mark, node.named_at, node.key, {})
        if name.text in self.elsewhere:
            if isinstance(node, MapNode) and node.entries:
                reading.refuse(node, "options", f"these in the section `{name.text}`")
            return None
        declared = reading.modules[name.text]
        value = Section(declared or NoOptions).read(node, reading)
        return value if declared else None

    def takes(self, node: Node) -> bool:
        return isinstance(node, ListNode | MapNode)

    def show(self, value: Any) -> str:
        return f"[{', '.join(value)}]"
