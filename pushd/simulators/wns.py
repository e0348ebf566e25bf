"""A stand-in for WNS, the Windows Push Notification Services, and for the logins that it needs.

Read from Microsoft's "Push notification service request and response headers", "WNS overview",
"Quickstart: Push notifications in the Windows App SDK" and "Raw notification overview". Any address
below `/channel/` is a channel of an app of the Store, any below `/sdk/` one of the Windows App SDK.
What WNS takes and drops in silence is on record with `remarks`; a toast that is no XML is dropped.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from pushd.simulators.answers import Answer
from pushd.simulators.base import LIMIT, Endpoint, Received, Simulator
from pushd.simulators.control import Control
from pushd.simulators.http2_web import Door
from pushd.simulators.web import (
    QuietSite,
    Replies,
    Reply,
    content_of,
    has_header,
    header_of,
    headers_of,
    is_of_type,
)
from pushd.simulators.wns_tokens import SDK, UWP, Client, Logins

MOST = 5_000  # bytes of a payload
TYPES = {
    "wns/raw": "application/octet-stream",
    "wns/toast": "text/xml",
    "wns/tile": "text/xml",
    "wns/badge": "text/xml",
}

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
# What a header may say, where it is there (RFC 9110 leaves out what is about the connection).
GRAMMAR = {
    "x-wns-cache-policy": re.compile(r"cache|no-cache"),
    "x-wns-priority": re.compile(r"[1-4]"),
    "x-wns-ttl": re.compile(r"[1-9][0-9]{0,11}"),
    "x-wns-requestforstatus": re.compile(r"true|false"),
    "x-wns-tag": re.compile(r"[A-Za-z0-9]{1,16}"),
}
NOT_HERE = ("x-wns-suppresspopup", "x-wns-group")  # of phones, which are no more
SINGLE = (*GRAMMAR, "authorization", "content-type", "x-wns-type")


class Refused(Exception):
    """By the name of a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedNotification(Received):
    """A post to a channel, whose address is the `token`. `message` is text where it is no JSON.

    `ttl` is in seconds. `remarks` are what WNS takes, and nobody will have meant.
    """

    kind: str = ""  # as "wns/raw"
    priority: str = ""
    cache_policy: str = ""
    ttl: int | None = None
    remarks: tuple[str, ...] = ()


class WNSSimulator(Simulator[ReceivedNotification]):
    """The stand-in; `door` is to be put on a port, and `base_url` to say where that is.

    One app is known by `client_id`, as those of the Store are; the other by `application_id` in
    the directory `tenant`. They have the same secret.
    """

    type = "wns"
    vendor = "the Windows Push Notification Services"
    states_known = ("expired", "forbidden", "not-found", "blocked")

    def __init__(
        self,
        clock: IReactorTime,
        base_url: str = "",
        *,
        client_id: str = "ms-app://s-1-15-2-1-2-3",
        client_secret: str = "",
        application_id: str = "6c0e9a3a-3b1c-4f0e-8a53-5f6c0f2f3f11",
        tenant: str = "pushd-simulator",
        expires_in: int | str = 86_400,
        limit: int = LIMIT,
    ) -> None:
        messages: Endpoint[ReceivedNotification] = Endpoint(clock, FAULTS, limit)
        super().__init__(clock, base_url, messages)
        self.client_id = client_id
        self.client_secret = client_secret or secrets.token_urlsafe(24)
        self.application_id = application_id
        self.tenant = tenant
        self.endpoints["tokens"] = self.logins = Logins(clock, expires_in, limit)
        self.logins.clients = [
            Client(UWP, client_id, self.client_secret),
            Client(SDK, application_id, self.client_secret),
        ]
        self._replies = Replies(clock)
        self.site = QuietSite(_Root(self, self._replies), clock)

    def door(self) -> Door:
        """What to put on a port."""
        return Door(self.site)

    def channel(self, name: str, kind: str = UWP) -> str:
        """The address of a channel, of an app of this kind."""
        return f"{self.base_url}/{'sdk' if kind == SDK else 'channel'}/?token={name}"

    @property
    def live_uri(self) -> str:
        """Where apps of the Store sign in."""
        return f"{self.base_url}/accesstoken.srf"

    @property
    def entra_uri(self) -> str:
        """Where the others do."""
        return f"{self.base_url}/{self.tenant}/oauth2/v2.0/token"

    def credentials(self) -> Mapping[str, str]:
        return {"package_sid": self.client_id, "auth_key": self.client_secret}

    def about(self) -> Mapping[str, Any]:
        return {
            "token": f"{self.base_url}/token",
            "accesstoken": self.live_uri,
            "entra": self.entra_uri,
            "application_id": self.application_id,
            "tenant": self.tenant,
            "channel": self.channel("NAME"),
            "channel_of_sdk": self.channel("NAME", SDK),
        }

    def revoke(self) -> None:
        """Let no access token hold any longer."""
        self.logins.revoke()

    def close(self) -> None:
        super().close()
        self._replies.close()

    def log_in(self, request: Request, kind: str = "") -> None:
        """Answer a request for an access token, at the address of this kind, or of either."""
        reply, answer, said = self.logins.decide(request, kind, self.clock.seconds())
        sent = self._replies.send(request, reply, answer)
        self.received(self.logins, said, sent)

    def take_in(self, request: Request, kind: str = UWP) -> None:
        """Answer a post to a channel of an app of this kind."""
        now = self.clock.seconds()
        address = self.base_url + request.uri.decode("ascii", "replace")
        body = content_of(request)
        client = self._client(request, now)
        answer: Answer | None = None
        try:
            _check(request, client, kind, body)
            answer, fault = self.due(address)
        except Refused as wrong:
            fault = str(wrong)
        reply = _reply(request, fault, answer).as_scripted(answer)
        # The answer goes out first: whoever waits for the request finds it under way.
        remarks = tuple(_oddities(request))
        said = {name: header_of(request, f"x-wns-{name}") for name in ("type", "priority", "ttl")}
        policy = header_of(request, "x-wns-cache-policy")
        sent = self._replies.send(request, reply, answer)
        self.received(
            self.messages,
            ReceivedNotification(
                at=now,
                token=address,
                message=_content(body),
                authorized_by="" if client is None else client.id,
                status=reply.status_seen(answer),
                error=fault,
                kind=said["type"],
                priority=said["priority"],
                cache_policy=policy,
                ttl=int(said["ttl"]) if GRAMMAR["x-wns-ttl"].fullmatch(said["ttl"]) else None,
                remarks=remarks,
            ),
            sent,
        )

    def _client(self, request: Request, now: float) -> Client | None:
        scheme, _, token = header_of(request, "authorization").partition(" ")
        return self.logins.find(token, now) if scheme.lower() == "bearer" else None


def _check(request: Request, client: Client | None, kind: str, body: bytes) -> None:
    """Raises Refused for what the service would refuse."""
    if request.method != b"POST":
        raise Refused("method")
    if client is None:
        raise Refused("unauthorized")
    if client.kind != kind:
        raise Refused("forbidden")
    if not has_header(request, "content-length") and request.clientproto != b"HTTP/2":
        raise Refused("no-length")
    _check_headers(request)
    if not body:
        raise Refused("bad-header")
    if len(body) > MOST:
        raise Refused("too-large")
    root = header_of(request, "x-wns-type").removeprefix("wns/")
    if root != "raw" and not _is_xml(body, root):
        raise Refused("dropped")


def _check_headers(request: Request) -> None:
    said = header_of(request, "x-wns-type")
    if said not in TYPES or not is_of_type(request, TYPES[said]):
        raise Refused("bad-header")
    for name in SINGLE:
        values = headers_of(request, name)
        grammar = GRAMMAR.get(name)
        if len(values) > 1 or (values and grammar and not grammar.fullmatch(values[0])):
            raise Refused("bad-header")
    if any(has_header(request, name) for name in (*NOT_HERE, "expect", "transfer-encoding")):
        raise Refused("bad-header")
    if has_header(request, "x-wns-tag") and said != "wns/tile":
        raise Refused("bad-header")


def _is_xml(body: bytes, root: str) -> bool:
    """Whether it is XML with this root, and no entities of its own."""
    if b"<!DOCTYPE" in body:
        return False
    try:
        return ElementTree.fromstring(body).tag == root  # noqa: S314 - 5,000 bytes without entities
    except (ElementTree.ParseError, LookupError, ValueError):
        return False


def _oddities(request: Request) -> list[str]:
    found = []
    said, policy = header_of(request, "x-wns-type"), header_of(request, "x-wns-cache-policy")
    if said == "wns/raw":
        if policy != "cache":
            found.append("x-wns-cache-policy: a device that is offline will miss it")
        if header_of(request, "x-wns-priority") not in ("1", "2"):
            found.append("x-wns-priority: raw notifications have a low one unless they say more")
    elif said == "wns/toast" and policy:
        found.append("x-wns-cache-policy: it is for tiles, badges and raw notifications")
    return found


def _content(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _reply(request: Request, fault: str, answer: Answer | None) -> Reply:
    status, said, words = FAULTS.get(fault, (200, "received", ""))
    headers = {"X-WNS-Msg-ID": secrets.token_hex(8), "X-WNS-Debug-Trace": "stand-in"}
    headers["MS-CV"] = f"{secrets.token_urlsafe(12)}.0"
    if said:
        headers["X-WNS-Status"] = said
        if header_of(request, "x-wns-requestforstatus") == "true":
            headers["X-WNS-DeviceConnectionStatus"] = "connected"
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
        self.putChild(b"accesstoken.srf", _Leaf(lambda request: simulator.log_in(request, UWP)))
        self.putChild(b"channel", _Leaf(simulator.take_in))
        self.putChild(b"sdk", _Leaf(lambda request: simulator.take_in(request, SDK)))
        self._simulator = simulator
        self._replies = replies

    def getChild(self, path: bytes, request: Request) -> IResource:
        if request.path == f"/{self._simulator.tenant}/oauth2/v2.0/token".encode():
            return _Leaf(lambda request: self._simulator.log_in(request, SDK))
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
