"""WNS: the Windows Push Notification Services.

A device registers with the address of its channel, which is at Microsoft's and nowhere else: what
is posted there carries the app's credential. An app gets the summary raw, in its background
task; one that has none may ask for toasts, by registering with `silent-push` set to false.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

from pushd.config.kinds import Duration, Pattern, Url
from pushd.config.proxies import ProxyAddress
from pushd.providers import contract
from pushd.providers.contract import Accepted, Busy, Refused, Scope, Secret, Unregistered
from pushd.providers.credentials import ClientCredentials

DOMAIN = "notify.windows.com"  # and what is below it
PAYLOAD_LIMIT = 5000  # bytes
LONGEST_CHANNEL = 1024  # characters

LIVE = "https://login.live.com/accesstoken.srf"
ENTRA = "https://login.microsoftonline.com/{}/oauth2/v2.0/token"

Sid = Annotated[str, Pattern(r"ms-app://[Ss]-1-15-2(-[0-9]+)+/?", "as ms-app://s-1-15-2-1-2-3")]
Guid = Annotated[str, Pattern(r"[0-9A-Za-z.-]{1,100}", "an id such as those of Microsoft Entra")]


@dataclass(frozen=True, slots=True)
class Options:
    # The client secret that goes with package_sid or application_id.
    auth_key: Secret
    # The package's security identifier, of an app that the Microsoft Store knows (UWP).
    package_sid: Sid | None = None
    # The application's id in Microsoft Entra, of an app made with the Windows App SDK. Takes
    # tenant.
    application_id: Guid | None = None
    # The directory that has the application.
    tenant: Guid | None = None
    # What a toast says for a message.
    alert: str = "New message"
    # The same for a contact request.
    contact_alert: str = "New contact request"
    # The same for a call.
    call_alert: str = "Incoming call"
    # How long a notification is kept for a device that cannot be reached.
    lifetime: Duration = 86_400.0
    # A stand-in for tests, whose channels are taken as well.
    base_url: Url | None = None
    # Where access tokens are fetched, in place of Microsoft's addresses.
    token_uri: Url | None = None
    # The authorities (PEM) that may have signed the certificates there, if not the usual ones.
    ca_file: Path | None = None
    # The way to Microsoft.
    proxy: ProxyAddress | None = None

    def __post_init__(self) -> None:
        """Raises BadOption for options that do not fit together."""
        if (self.package_sid is None) == (self.application_id is None):
            raise contract.BadOption(
                "either package_sid, or application_id with tenant", "package_sid"
            )
        if (self.application_id is None) != (self.tenant is None):
            raise contract.BadOption("tenant beside application_id, and only there", "tenant")


_OF_TOASTS = {"content-type": "text/xml", "x-wns-type": "wns/toast"}
_OF_RAW = {
    "content-type": "application/octet-stream",
    "x-wns-type": "wns/raw",
    "x-wns-cache-policy": "cache",  # they are not kept otherwise
}


class WNS(contract.Provider):
    type = "wns"
    register_fields = frozenset({"token"})
    optional_fields = frozenset({"silent-push"})

    def __init__(self, options: Options) -> None:
        self.options = options
        self._link = contract.Link(contract.trusted(options.ca_file), proxy=options.proxy)
        self._texts = {
            "message": options.alert,
            "contact": options.contact_alert,
            "call": options.call_alert,
        }
        if options.package_sid is not None:
            usual, client, scope = LIVE, options.package_sid, DOMAIN
        else:
            usual, scope = ENTRA.format(options.tenant), "https://wns.windows.com/.default"
            client = options.application_id or ""
        self._credential = ClientCredentials(
            options.token_uri or usual, client, options.auth_key, scope, self._link
        )

    @property
    def links(self) -> frozenset[contract.Link]:
        return frozenset({self._link})

    def check(self, fields: Mapping[str, str]) -> None:
        super().check(fields)
        self._checked(fields["token"])
        contract.silent(fields)

    def stored(self, fields: Mapping[str, str]) -> dict[str, str]:
        return dict(fields) | {"token": channel(fields["token"])}

    def credential(self, lane: str) -> contract.Credential:
        return self._credential

    def request(
        self,
        note: contract.Notification,
        device: contract.Device,
        now: float,
        sending: contract.Sending,
    ) -> contract.Request:
        url = self._checked(device.token.reveal())
        bearer = sending.credential.reveal() if sending.credential is not None else ""
        wants_toast = contract.silent(device.fields) is False
        is_toast = wants_toast and bool(note.occasion)
        body = toast(self._texts[note.occasion]) if is_toast else payload(note, sending.shrink)
        headers = {"authorization": f"Bearer {bearer}"} | (_OF_TOASTS if is_toast else _OF_RAW)
        headers["x-wns-priority"] = "1" if note.occasion else "2"
        headers["x-wns-ttl"] = str(self._ttl(note, now))
        return contract.Request(url, headers=headers, body=body, link=self._link)

    def outcome(self, response: contract.Response, now: float) -> contract.Outcome:
        return read(response, now)

    def _checked(self, token: str) -> str:
        """The address of the channel. Raises BadField."""
        url = channel(token)
        if not self._is_channel(url):
            raise contract.BadField("token", f"is no address of a channel below {DOMAIN}")
        return url

    def _is_channel(self, url: str) -> bool:
        """At Microsoft's, or at the stand-in that the operator named."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        stand_in = self.options.base_url
        if stand_in is not None and url.startswith(f"{stand_in.rstrip('/')}/"):
            return True
        is_there = host == DOMAIN or host.endswith(f".{DOMAIN}")
        return (
            is_there
            and parts.scheme == "https"
            and port in (None, 443)
            and "@" not in parts.netloc
            and parts.path.startswith("/")
            and not parts.fragment
        )

    def _ttl(self, note: contract.Notification, now: float) -> int:
        """Whole seconds; one is the least."""
        left = self.options.lifetime
        if note.expires_at is not None:
            left = min(left, note.expires_at - now)
        return max(1, round(left))


def channel(text: str) -> str:
    """A channel's address; some clients escape it for a form. "" for what can be none.

    Its own escapes are kept byte for byte.
    """
    if re.match(r"https?%3a", text, re.IGNORECASE):
        text = unquote(text)
    is_plain = re.fullmatch(rf"[!-~]{{1,{LONGEST_CHANNEL}}}", text) and "\\" not in text
    return text if is_plain else ""


def payload(note: contract.Notification, shrink: bool = False) -> bytes:
    """The summary and the node; less of it until it fits."""
    for summary in note.summaries(shrink):
        made = contract.as_json({"node": note.node, **summary})
        if len(made) <= PAYLOAD_LIMIT:
            return made
    return b"{}"


def toast(text: str) -> bytes:
    """What the system shows by itself."""
    return (
        '<toast><visual><binding template="ToastGeneric">'
        f"<text>{escape(text)}</text></binding></visual></toast>"
    ).encode("utf-8", "replace")


# The answer.


def read(response: contract.Response, now: float) -> contract.Outcome:
    """The outcome of a response to a post to a channel."""
    status, after = response.status, response.retry_after(now)
    said = (response.header("x-wns-status") or response.header("x-wns-notificationstatus")).lower()
    reason = f"HTTP {status}"
    match status:
        case 200:
            return _taken(said, after, response)
        case 401:
            return Refused(f"{reason}: the access token is not taken", renew_credential=True)
        case 403:  # the channel is another app's; or this credential is
            text = "the credential is not that of the channel's app"
            return Refused(f"{reason}: {text}", alarm=True, guarded=True)
        case 404:
            return Unregistered(reason=f"{reason}: no such channel")
        case 406 | 429 if status == 406 or "throttled" in said:  # "appthrottled", mostly
            scope = Scope.DEVICE if "channel" in said else Scope.BACKEND
            return Busy(after, scope, f"{reason}: throttled")
        case 410 if "block" in response.header("x-wns-error-description").lower():
            return Refused(f"{reason}: this server's domain is blocked", alarm=True)
        case 410:
            return Unregistered(reason=f"{reason}: the channel has expired")
    return contract.by_status(response, now)


def _taken(said: str, after: float | None, response: contract.Response) -> contract.Outcome:
    if said == "channelthrottled":
        return Busy(after, Scope.DEVICE, "200 channelthrottled")
    if said == "dropped":
        return Refused("200 dropped")
    if said not in ("received", ""):
        return Refused("HTTP 200 with a status that WNS does not have")
    name = response.header("x-wns-msg-id")
    return Accepted(name if re.fullmatch(r"[0-9A-Za-z-]{1,60}", name) else "")
