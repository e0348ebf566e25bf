"""Web Push: browsers, and whatever else has a subscription (RFC 8030, RFC 8291, RFC 8292).

A device registers with its subscription: an endpoint, which may be anywhere, and the keys
that seal what is sent there, so that the push service reads none of it. The subscription is
made for a key of ours, which the form of the command shows as `vapid`.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pushd.config.checks import VapidKeyFile, read_file, vapid_keys
from pushd.config.kinds import Duration, Pattern, Url
from pushd.config.proxies import ProxyAddress
from pushd.providers import contract
from pushd.providers.vapid import Keys, Signature, authorization, own_key
from pushd.providers.webpush_answers import read
from pushd.providers.webpush_encryption import (
    AUTH_BYTES,
    LONGEST,
    USUAL,
    Recipient,
    decoded,
    encoded,
    padded_size,
    public_key,
    seal,
)
from pushd.providers.webpush_endpoints import Place, Rules

LONGEST_LIFE = 2_419_200  # seconds; four weeks, the most that Google takes

BROWSERS = (
    "https://fcm.googleapis.com/",  # Chrome and others
    "https://updates.push.services.mozilla.com/",
    "https://web.push.apple.com/",
)

# Apple refuses whoever names a host that cannot be anywhere else, such as localhost.
_HOST = r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z][A-Za-z0-9-]*"
Contact = Annotated[
    str,
    Pattern(
        rf"mailto:[A-Za-z0-9._%+-]+@{_HOST}|https://{_HOST}(/[A-Za-z0-9._~/-]*)?",
        "an address such as mailto:admin@example.net or https://example.net/contact",
    ),
]
HostName = Annotated[
    str, Pattern(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", "a host such as push.example.net")
]


@dataclass(frozen=True, slots=True)
class Options:
    # Whom a push service may turn to where our pushes trouble it: ``mailto:`` or ``https:``. It is
    # said to every service.
    sub: Contact
    # A file of keys (P-256, PEM) that sign pushes. The first is for new subscriptions, the others
    # for those that were made for them. Without it, and for subscriptions made before there was
    # one, it is a key that the server made at its first start and keeps in its storage.
    vapid_key: VapidKeyFile | None = None
    # The only hosts that endpoints may be at: these and those below them. None: at all.
    allow_hosts: tuple[HostName, ...] = ()
    # Hosts that endpoints may not be at, with those below them.
    deny_hosts: tuple[HostName, ...] = ()
    # Whether endpoints may be in private networks and on this machine, there by http, too. That is
    # for tests: whoever may register has this server post to any place that it can reach.
    allow_private: bool = False
    # How many requests a second go to one host, and as many at once after a pause; many devices
    # share that of their browser's maker. 0 switches this off. A change takes a restart.
    requests_per_host: int = 20
    # Whether contents are padded to a few sizes, so that their length tells nothing.
    padding: bool = True
    # How long a push service keeps a notification for a device that it cannot reach.
    lifetime: Duration = 86_400.0
    # A stand-in for tests, whose endpoints are taken wherever it is.
    base_url: Url | None = None
    # The authorities (PEM) that may have signed certificates, if not the usual ones: those of the
    # stand-in, if there is one, else those of all hosts.
    ca_file: Path | None = None
    # The way to push services. The proxy looks their names up: that they lead to no private
    # network is then up to the proxy.
    proxy: ProxyAddress | None = None

    def __post_init__(self) -> None:
        """Raises BadCredential for a file without keys."""
        if self.vapid_key is not None:
            _keys_in(self.vapid_key)


def _keys_in(path: Path) -> list[Any]:
    try:
        return vapid_keys(read_file(path))
    except OSError:
        raise contract.BadCredential(f"a file that can be read, not {path}", "vapid_key") from None
    except ValueError as error:
        raise contract.BadCredential(f"another file than {path}, {error}", "vapid_key") from None


def _limits(rate: int) -> contract.Limits:
    """Of each host: that many requests a second, and at a time those of a fifth of a second."""
    if not rate:
        return contract.Limits()
    return contract.Limits(max(1, rate // 5), float(rate), rate)


class WebPush(contract.Provider):
    type = "webpush"
    aliases = frozenset({"mozilla"})
    register_fields = frozenset({"endpoint", "p256dh", "auth"})
    optional_fields = frozenset({"vapid"})
    leads_anywhere = True
    own_secret = "vapid"  # noqa: S105  its name

    def __init__(self, options: Options) -> None:
        self.options = options
        self._given = [] if options.vapid_key is None else _keys_in(options.vapid_key)
        self._keys = Keys(self._given)
        self._rules = Rules(
            options.allow_hosts,
            options.deny_hosts,
            options.allow_private,
            options.base_url or "",
        )
        self._placed: tuple[contract.Device, Place] | None = None
        self.limits = _limits(options.requests_per_host)
        ca_file = contract.trusted(options.ca_file)
        # A stand-in has authorities of its own; beside it there may be real browsers.
        usual = ca_file if options.base_url is None else None
        self._stand_in = contract.Link(ca_file, proxy=options.proxy)
        self._link = contract.Link(usual, proxy=options.proxy, is_public=not options.allow_private)

    def keep(self, secret: bytes) -> None:
        self._keys = Keys([*self._given, own_key(secret)])

    def shown(self) -> dict[str, str]:
        return {"vapid": self._keys.current}

    @property
    def links(self) -> frozenset[contract.Link]:
        return frozenset((self._stand_in, self._link))

    def check(self, fields: Mapping[str, str]) -> None:
        for name in ("endpoint", "p256dh", "auth"):
            if not fields.get(name):
                raise contract.BadField(name, "is missing or empty")
        self._rules.place(fields["endpoint"])
        recipient(fields)
        if fields.get("vapid") and fields["vapid"] not in self._keys:
            raise contract.BadField("vapid", "is no key of this server's: subscribe for its key")

    def stored(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The endpoint as a token, which is what it is: whoever has it may push there."""
        keys = recipient(fields)
        return {
            "token": fields["endpoint"],
            "p256dh": encoded(keys.public),
            "auth": encoded(keys.auth),
            "vapid": fields.get("vapid", ""),
        }

    def completed(self, fields: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
        """A subscription is for the key that there was when it was made, unless it says which."""
        key = fields["vapid"] or before.get("vapid") or self._keys.current
        return {**fields, "vapid": key}

    def lane(self, device: contract.Device) -> str:
        """Its origin, which is also what a signature is for."""
        try:
            return self._place(device).origin
        except contract.BadField:
            return ""

    def credential(self, lane: str) -> contract.Credential:
        return Signature(lane, self.options.sub, self._keys)

    def request(
        self,
        note: contract.Notification,
        device: contract.Device,
        now: float,
        sending: contract.Sending,
    ) -> contract.Request:
        place, to = self._place(device), recipient(device.fields)
        content = payload(note, sending.shrink)
        size = padded_size(len(content)) if self.options.padding else 0
        headers = {
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(self._ttl(note, now)),
            "urgency": "high" if note.urgent or note.is_visible else "normal",
            "topic": topic(note.node),
        }
        if sending.credential is not None:
            public = device.fields.get("vapid", "")
            headers["authorization"] = authorization(sending.credential, public)
        return contract.Request(
            device.token.reveal(),
            headers=headers,
            body=seal(content, to, size),
            link=self._link_to(place),
        )

    def outcome(self, response: contract.Response, now: float) -> contract.Outcome:
        return read(response, now)

    probe_lane = None  # nobody in particular could be asked, and nobody without waking a device

    def examined(self, now: float) -> Iterator[contract.Finding]:
        source = f"from {self.options.vapid_key}" if self.options.vapid_key else "the server's own"
        current = self._keys.current or "that it makes at its first start"
        yield contract.Finding(f"new subscriptions are made for the key {current}")
        older = max(0, len(self._keys) - 1)
        beside = f"; subscriptions for {older} older are served, too" if older else ""
        yield contract.Finding(f"it is {source}{beside}")
        yield contract.Finding(f"push services are told to turn to {self.options.sub}")
        if self.options.allow_private:
            yield contract.Finding(
                "endpoints may be in private networks and on this machine",
                remedy="leave out allow_private, unless this is a test",
            )

    @property
    def usual(self) -> tuple[str, ...]:
        """Services that devices are likely to name."""
        return BROWSERS

    def places(self) -> Iterator[contract.Request]:
        """Those of the browsers, as far as they are let in; or the stand-in."""
        stand_in = self.options.base_url
        for url in (f"{stand_in.rstrip('/')}/",) if stand_in else self.usual:
            try:
                place = self._rules.place(url)
            except contract.BadField:
                continue
            yield contract.Request(url, link=self._link_to(place))

    def _place(self, device: contract.Device) -> Place:
        """It is asked for several times in a row. Raises BadField."""
        if self._placed is None or self._placed[0] is not device:
            self._placed = (device, self._rules.place(device.token.reveal()))
        return self._placed[1]

    def _link_to(self, place: Place) -> contract.Link:
        return self._stand_in if place.is_stand_in else self._link

    def _ttl(self, note: contract.Notification, now: float) -> int:
        """Whole seconds. Nought would be "now or never", which Edge's service refuses."""
        left = min(self.options.lifetime, LONGEST_LIFE)
        if note.expires_at is not None:
            left = min(left, note.expires_at - now)
        return max(1, round(left))


def payload(note: contract.Notification, shrink: bool = False) -> bytes:
    """The summary and the node; less of it until it fits.

    What is encrypted for the device already cannot be made smaller: it may be as long as any
    service must take, though not each goes on with that.
    """
    for summary in note.summaries(shrink):
        limit = LONGEST if "encrypted" in summary else USUAL
        made = contract.as_json({"node": note.node, **summary})
        if len(made) <= limit:
            return made
    return b"{}"


def topic(node: str) -> str:
    """One per registration, so that the newest count replaces the one before.

    32 characters, the most that there may be (RFC 8030 §5.4): Apple takes those alone that
    could be base64.
    """
    return urlsafe_b64encode(sha256(node.encode()).digest())[:32].decode()


def recipient(fields: Mapping[str, str]) -> Recipient:
    """The subscription's keys. Raises BadField."""
    try:
        public = decoded(fields.get("p256dh", ""))
        public_key(public)
    except ValueError:
        text = "is no public key on P-256 (65 bytes in base64url, uncompressed)"
        raise contract.BadField("p256dh", text) from None
    try:
        auth = decoded(fields.get("auth", ""))
    except ValueError:
        auth = b""
    if len(auth) != AUTH_BYTES:
        raise contract.BadField("auth", f"is no secret of {AUTH_BYTES} bytes in base64url")
    return Recipient(public, auth)
