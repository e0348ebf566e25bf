"""A stand-in for WNS, the Windows Push Notification Services, and for the login that it needs.

Read from Microsoft's "Push notification service request and response headers", "WNS overview"
and "Quickstart: Push notifications in the Windows App SDK". A channel is any path below
`/channel/`; a test may say that one has expired, or is another app's.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from pushd.simulators.answers import Answer, ScriptError
from pushd.simulators.base import LIMIT, Act, Endpoint, Received, Simulator
from pushd.simulators.control import Control
from pushd.simulators.http2_web import Door
from pushd.simulators.web import (
    QuietSite,
    Replies,
    Reply,
    content_of,
    has_header,
    header_of,
    is_of_type,
    length_of,
)

MOST = 5_000  # bytes of a payload
SCOPES = ("notify.windows.com", "https://wns.windows.com/.default")
TYPES = {
    "wns/raw": "application/octet-stream",
    "wns/toast": "text/xml",
    "wns/tile": "text/xml",
    "wns/badge": "text/xml",
}

_DIGITS = re.compile(r"[0-9]{1,12}")

# By the names that a script may use: status, X-WNS-Status, X-WNS-Error-Description.
FAULTS: dict[str, tuple[int, str, str]] = {
    "dropped": (200, "dropped", ""),
    "channelthrottled": (200, "channelthrottled", ""),
    "bad-header": (400, "", "One or more headers were specified incorrectly or conflict"),
    "unauthorized": (401, "", "The cloud service did not present a valid authentication ticket"),
    "forbidden": (403, "", "The cloud service is not authorized to send to this URI"),
    "not-found": (404, "", "The channel URI is not valid or is not recognized by WNS"),
    "method": (405, "", "Invalid method; only POST or DELETE is allowed"),
    "throttled": (406, "", "The cloud service exceeded its throttle limit"),
    "expired": (410, "", "The channel expired"),
    "blocked": (410, "", "The domain of the cloud service has been blocked"),
    "no-length": (411, "", "A Content-Length must be provided"),
    "too-large": (413, "", "The notification payload exceeds the 5000 byte size limit"),
    "internal": (500, "", "An internal failure caused notification delivery to fail"),
    "unavailable": (503, "", "The server is currently unavailable"),
}
LOGIN_FAULTS = ("invalid_client", "invalid_request", "invalid_scope", "unavailable")


class Refused(Exception):
    """By the name of a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedNotification(Received):
    """A post to a channel, whose address is the `token`. `message` is text where it is no JSON."""

    kind: str = ""  # as "wns/raw"
    priority: str = ""
    cache_policy: str = ""
    ttl: int | None = None


class WNSSimulator(Simulator[ReceivedNotification]):
    """The stand-in; `door` is to be put on a port, and `base_url` to say where that is.

    `expires_in` of an access token is a number, or a string as Microsoft Entra writes it.
    """

    type = "wns"
    vendor = "the Windows Push Notification Services"

    def __init__(
        self,
        clock: IReactorTime,
        base_url: str = "",
        *,
        client_id: str = "ms-app://s-1-15-2-1-2-3",
        client_secret: str = "",
        expires_in: int | str = 86_400,
        limit: int = LIMIT,
    ) -> None:
        messages: Endpoint[ReceivedNotification] = Endpoint(clock, FAULTS, limit)
        super().__init__(clock, base_url, messages)
        self.endpoints["tokens"] = self.logins = Endpoint[Received](clock, LOGIN_FAULTS, limit)
        self.client_id = client_id
        self.client_secret = client_secret or secrets.token_urlsafe(24)
        self.expires_in = expires_in
        self.channels: dict[str, str] = {}  # the name of a fault, by address
        self._tokens: dict[str, float] = {}  # until when they hold
        self._replies = Replies(clock)
        self.site = QuietSite(_Root(self, self._replies), clock)

    def door(self) -> Door:
        """What to put on a port."""
        return Door(self.site)

    def channel(self, name: str) -> str:
        """The address of a channel."""
        return f"{self.base_url}/channel/?token={name}"

    def credentials(self) -> Mapping[str, str]:
        return {"package_sid": self.client_id, "auth_key": self.client_secret}

    def about(self) -> Mapping[str, Any]:
        return {
            "token": f"{self.base_url}/token",
            "channel": self.channel("NAME"),
            "channels": (
                'POST /control/channels: {"channel": address, "is": "expired", "forbidden", '
                '"not-found" or ""}'
            ),
        }

    def rooms(self) -> Mapping[str, Mapping[str, Act]]:
        return {"channels": {"GET": lambda order: self.channels, "POST": self._set_channel}}

    def _set_channel(self, order: Mapping[str, Any]) -> Any:
        address, fault = order.get("channel"), order.get("is")
        if not isinstance(address, str) or fault not in ("", "expired", "forbidden", "not-found"):
            raise ScriptError("this takes a channel, and what it is")
        if fault:
            self.channels[address] = fault
        else:
            self.channels.pop(address, None)
        return self.channels

    def revoke(self) -> None:
        """Let no access token hold any longer."""
        self._tokens.clear()

    def forget(self) -> None:
        super().forget()
        self.channels.clear()

    def close(self) -> None:
        super().close()
        self._replies.close()

    def log_in(self, request: Request) -> None:
        """Answer a request for an access token."""
        now = self.clock.seconds()
        answer: Answer | None = None
        error = ""
        try:
            self._check_login(request)
            answer = self.logins.script.take(None)
            if answer is not None and answer.error:
                raise Refused(answer.error)
            reply = self._granted(answer, now)
        except Refused as wrong:
            error = str(wrong)
            status = 503 if error == "unavailable" else 400
            reply = Reply.json(status, {"error": error})
        reply = reply.as_scripted(answer)
        self._replies.send(request, reply, answer)
        seen = reply.status_seen(answer)
        said = Received(at=now, token="", message=None, status=seen, error=error)
        self.received(self.logins, said)

    def _check_login(self, request: Request) -> None:
        if not is_of_type(request, "application/x-www-form-urlencoded"):
            raise Refused("invalid_request")
        form = parse_qs(content_of(request).decode("ascii", "replace"))
        given = {name: values[0] for name, values in form.items() if len(values) == 1}
        if given.get("grant_type") != "client_credentials":
            raise Refused("invalid_request")
        if given.get("scope") not in SCOPES:
            raise Refused("invalid_scope")
        secret = given.get("client_secret", "")
        if given.get("client_id") != self.client_id or secret != self.client_secret:
            raise Refused("invalid_client")

    def _granted(self, answer: Answer | None, now: float) -> Reply:
        token = secrets.token_urlsafe(32)
        scripted = None if answer is None else answer.lifetime
        expires_in = self.expires_in if scripted is None else scripted
        self._tokens[token] = now + float(expires_in)
        content = {"access_token": token, "token_type": "bearer", "expires_in": expires_in}
        return Reply.json(200, content)

    def take_in(self, request: Request) -> None:
        """Answer a post to a channel."""
        now = self.clock.seconds()
        address = self.base_url + request.uri.decode("ascii", "replace")
        body = content_of(request)
        answer: Answer | None = None
        fault = ""
        try:
            self._check(request, address, now)
            answer = self.messages.script.take(address)
            fault = answer.error if answer is not None else ""
        except Refused as wrong:
            fault = str(wrong)
        reply = _reply(fault, answer).as_scripted(answer)
        self._replies.send(request, reply, answer)
        self.received(
            self.messages,
            ReceivedNotification(
                at=now,
                token=address,
                message=_content(body),
                authorized_by="" if fault == "unauthorized" else self.client_id,
                status=reply.status_seen(answer),
                error=fault,
                kind=header_of(request, "x-wns-type"),
                priority=header_of(request, "x-wns-priority"),
                cache_policy=header_of(request, "x-wns-cache-policy"),
                ttl=_ttl(request),
            ),
        )

    def _check(self, request: Request, address: str, now: float) -> None:
        """Raises Refused for what the service would refuse."""
        if request.method != b"POST":
            raise Refused("method")
        scheme, _, token = header_of(request, "authorization").partition(" ")
        if scheme.lower() != "bearer" or self._tokens.get(token, 0.0) <= now:
            raise Refused("unauthorized")
        if address in self.channels:
            raise Refused(self.channels[address])
        if not has_header(request, "content-length") and request.clientproto != b"HTTP/2":
            raise Refused("no-length")
        wanted = TYPES.get(header_of(request, "x-wns-type"))
        if wanted is None or not is_of_type(request, wanted):
            raise Refused("bad-header")
        for name, known in (
            ("x-wns-cache-policy", ("cache", "no-cache")),
            ("x-wns-priority", ("1", "2", "3", "4")),
        ):
            if (header_of(request, name) or known[0]) not in known:
                raise Refused("bad-header")
        if has_header(request, "x-wns-ttl") and not _ttl(request):
            raise Refused("bad-header")
        if has_header(request, "x-wns-suppresspopup"):
            raise Refused("bad-header")
        if not length_of(request):
            raise Refused("bad-header")
        if length_of(request) > MOST:
            raise Refused("too-large")


def _ttl(request: Request) -> int | None:
    """In seconds; None where it is absent, or is no number."""
    text = header_of(request, "x-wns-ttl")
    return int(text) if _DIGITS.fullmatch(text) else None


def _content(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _reply(fault: str, answer: Answer | None) -> Reply:
    status, said, words = FAULTS.get(fault, (200, "received", ""))
    headers = {"X-WNS-Msg-ID": secrets.token_hex(8), "X-WNS-Debug-Trace": "stand-in"}
    if said:
        headers |= {"X-WNS-Status": said, "X-WNS-DeviceConnectionStatus": "connected"}
    if words:
        headers["X-WNS-Error-Description"] = words
    if answer is not None and answer.status is not None and fault:
        status = answer.status
    return Reply(status, b"", headers)


class _Root(Resource):
    """The login, the channels, and /control."""

    def __init__(self, simulator: WNSSimulator, replies: Replies) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.putChild(b"control", Control(simulator, replies))
        self.putChild(b"token", _Leaf(simulator.log_in))
        self.putChild(b"channel", _Leaf(simulator.take_in))
        self._replies = replies

    def getChild(self, path: bytes, request: Request) -> IResource:
        return self

    def render(self, request: Request) -> int:
        self._replies.send(request, Reply.page(404, "No such address."))
        return NOT_DONE_YET


class _Leaf(Resource):
    isLeaf = True

    def __init__(self, act: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._act = act

    def render(self, request: Request) -> int:
        self._act(request)
        return NOT_DONE_YET
