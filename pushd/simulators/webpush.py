"""A stand-in for the push services of browsers, and for a UnifiedPush server.

It plays the user agents, too: it makes their subscriptions, has their private keys, and so sees
what they would see. Read from RFC 8030, 8188, 8291 and 8292, and what `webpush_services` names.
It is stricter than the services, which cannot look inside: a body that its user agent could not
decrypt is refused, and so is one whose key served another body before, or is the VAPID key.
"""

import hashlib
import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pushd.simulators import webpush_vapid
from pushd.simulators.answers import Answer, ScriptError
from pushd.simulators.base import LIMIT, Act, Endpoint, Received, Simulator
from pushd.simulators.control import Control, Root
from pushd.simulators.http2_web import Door
from pushd.simulators.web import (
    QuietSite,
    Replies,
    Reply,
    content_of,
    has_header,
    header_of,
    headers_of,
)
from pushd.simulators.webpush_crypto import (
    Opened,
    Undecryptable,
    from_base64url,
    public_key,
)
from pushd.simulators.webpush_services import FAULTS, SERVICES, Service, refusal
from pushd.simulators.webpush_subscriptions import Subscription, Subscriptions
from pushd.simulators.webpush_vapid import Signer

MOST = 4_096  # bytes of a body (RFC 8030 §7.2)
URGENCIES = ("very-low", "low", "normal", "high")
MAX_SENDERS = 10_000  # ephemeral keys that are remembered

_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_DIGITS = re.compile(r"[0-9]{1,18}")


class Refused(Exception):
    """By the name of a fault, with words for whoever reads the answer."""

    def __init__(self, name: str, words: str = "") -> None:
        super().__init__(words or name)
        self.name = name
        self.words = words


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedPush(Received):
    """A post to an endpoint, whose URL is the `token`.

    `message` is what the user agent gets, decrypted: decoded where it is JSON, else text; None
    when there was no body or it could not be opened. `authorized_by` is the VAPID public key
    (base64url), `claims` what it has signed. `ttl` is in seconds, None where absent or wrong;
    `size` is that of the body and `padding` that within it, in bytes.
    """

    service: str = ""
    ttl: int | None = None
    urgency: str = ""
    topic: str = ""
    size: int = 0
    padding: int = 0
    claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Push:
    """What is known of a request so far."""

    body: bytes = field(repr=False)
    signer: Signer | None = None
    opened: Opened | None = None
    ttl: int | None = None

    def as_known(self) -> dict[str, Any]:
        """The fields of a record that say it."""
        opened, signer = self.opened, self.signer
        return {
            "message": None if opened is None else _content(opened.plaintext),
            "authorized_by": "" if signer is None else signer.key,
            "ttl": self.ttl,
            "size": len(self.body),
            "padding": 0 if opened is None else opened.padding,
            "claims": {} if signer is None else signer.claims,
        }


class WebPushSimulator(Simulator[ReceivedPush]):
    """The stand-in; `door` is to be put on a port, and `base_url` to say where that is.

    With the `seed` of an earlier one it knows the subscriptions of that, too.
    """

    type = "webpush"
    vendor = "the push services of browsers and a UnifiedPush server"
    states_known = ("gone", "not-found", "no-subscriber", "key-mismatch")

    def __init__(
        self, clock: IReactorTime, base_url: str = "", seed: bytes = b"", limit: int = LIMIT
    ) -> None:
        messages: Endpoint[ReceivedPush] = Endpoint(clock, FAULTS, limit)
        super().__init__(clock, base_url, messages)
        paths = {
            (service.name, is_bound): service.around(is_bound)
            for service in SERVICES.values()
            for is_bound in (True, False)
        }
        self.subscriptions = Subscriptions(paths, seed or secrets.token_bytes(32))
        self._senders: OrderedDict[bytes, bytes] = OrderedDict()  # digests of bodies, by their key
        self._replies = Replies(clock)
        self.site = QuietSite(
            Root(Control(self, self._replies), _Vendor(self, self._replies)), clock
        )

    def door(self) -> Door:
        """What to put on a port."""
        return Door(self.site)

    def subscribe(
        self, service: str = "mozilla", name: str = "", vapid: str = ""
    ) -> Mapping[str, str]:
        """A subscription: `endpoint`, `p256dh` and `auth`, beside its name and service.

        `vapid` binds it to this public key, base64url of the uncompressed point. The same
        name gives the same one again. Raises ScriptError.
        """
        if service not in SERVICES:
            raise ScriptError(f"service must be one of {', '.join(SERVICES)}, not {service!r}")
        key: bytes | None = None
        if vapid:
            try:
                key = from_base64url(vapid)
                public_key(key)
            except (ValueError, Undecryptable):
                raise ScriptError("vapid must be a point of P-256 in base64url") from None
        elif SERVICES[service].wants_vapid:
            raise ScriptError(f"{service} gives no subscription without a VAPID key")
        return self.subscriptions.make(service, name, key).as_json(self.base_url)

    @property
    def origin(self) -> str:
        """What a VAPID token must be meant for (RFC 6454 §6.1)."""
        parts = urlsplit(self.base_url)
        usual = {"https": 443, "http": 80}.get(parts.scheme)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = "" if parts.port in (None, usual) else f":{parts.port}"
        return f"{parts.scheme}://{host}{port}"

    def about(self) -> Mapping[str, Any]:
        return {
            "origin": self.origin,
            "subscriptions": (
                "GET /control/subscriptions: those made; POST makes one, for "
                '{"service": "' + '", "'.join(SERVICES) + '", "name", "vapid": public key that '
                "it is bound to}, each of which may be absent"
            ),
        }

    def rooms(self) -> Mapping[str, Mapping[str, Act]]:
        return {
            "subscriptions": {"GET": self._list, "POST": self._make},
        }

    def _list(self, order: Mapping[str, Any]) -> Any:
        made = [one.as_json(self.base_url) for one in self.subscriptions.all()]
        return {"subscriptions": made}

    def _make(self, order: Mapping[str, Any]) -> Any:
        for name, value in order.items():
            if name not in ("service", "name", "vapid") or not isinstance(value, str):
                raise ScriptError(f"this takes service, name and vapid as texts; what is {name!r}?")
        return self.subscribe(**order)

    def forget(self) -> None:
        super().forget()
        self.subscriptions.clear()

    def close(self) -> None:
        super().close()
        self._replies.close()

    def take_in(
        self, request: Request, service: Service, subscription: Subscription | None
    ) -> None:
        """Answer a request to an endpoint of this service; None: nobody was given it."""
        now = self.clock.seconds()
        endpoint = self.base_url + request.uri.decode("ascii", "replace")
        push = _Push(content_of(request))
        answer: Answer | None = None
        refused: Refused | None = None
        try:
            self._check(push, request, service, subscription, now)
            answer, fault = self.due(endpoint)
            refused = Refused(fault) if fault else None
        except Refused as wrong:
            refused = wrong
        reply = self._reply(service, endpoint, push, refused).as_scripted(answer)
        # The answer goes out first: whoever waits for the request finds it under way.
        sent = self._replies.send(request, reply, answer)
        self.received(
            self.messages,
            ReceivedPush(
                at=now,
                token=endpoint,
                status=reply.status_seen(answer),
                error=refused.name if refused else "",
                service=service.name,
                urgency=header_of(request, "urgency"),
                topic=header_of(request, "topic"),
                **push.as_known(),
            ),
            sent,
        )

    def _reply(
        self, service: Service, endpoint: str, push: _Push, refused: Refused | None
    ) -> Reply:
        if refused is not None:
            return refusal(service, refused.name, refused.words, endpoint + "-moved")
        message = f"{self.base_url}/m/{secrets.token_urlsafe(24)}"
        return service.accepted(message, min(push.ttl or 0, service.most_ttl))

    def _check(
        self,
        push: _Push,
        request: Request,
        service: Service,
        subscription: Subscription | None,
        now: float,
    ) -> None:
        """All that there is to check, in autopush's order. Raises Refused."""
        if request.method != b"POST":
            raise Refused("method")
        if subscription is None:
            raise Refused("not-found")
        push.signer = self._authorize(request, service, subscription, now)
        if len(push.body) > MOST:
            raise Refused("too-large")
        push.ttl = _ttl(request, service)
        _check_headers(request, service)
        self._open(push, request, service, subscription)

    def _authorize(
        self, request: Request, service: Service, subscription: Subscription, now: float
    ) -> Signer | None:
        authorization = _one(request, "authorization", "unauthorized")
        if authorization is None:
            if subscription.vapid is not None or service.wants_vapid:
                raise Refused("unauthorized", "Missing VAPID public key")
            return None
        try:
            signer = webpush_vapid.check(authorization, self.origin, now)
        except webpush_vapid.Refused as wrong:
            raise Refused(wrong.fault, str(wrong)) from None
        if service.wants_reachable_contact and not signer.is_reachable:
            raise Refused("unauthorized", "the contact in sub is nowhere")
        bound = subscription.vapid
        if bound is not None and hashlib.sha256(signer.point).digest() != bound:
            raise Refused("key-mismatch")
        return signer

    def _open(
        self, push: _Push, request: Request, service: Service, subscription: Subscription
    ) -> None:
        encoding = _one(request, "content-encoding", "bad-crypto")
        body = push.body
        if not body:
            if service.wants_body:
                raise Refused("empty")
            return
        if encoding is None:
            raise Refused("bad-crypto", "Missing Content-Encoding header")
        if encoding.lower() != "aes128gcm":
            raise Refused("bad-crypto", "Unknown Content-Encoding header")
        for name in ("encryption", "crypto-key"):  # of the drafts before RFC 8291
            if has_header(request, name):
                raise Refused("bad-crypto", f"{name.title()} is not for aes128gcm")
        try:
            opened = subscription.receiver.open(body)
        except Undecryptable as wrong:
            raise Refused("bad-crypto", str(wrong)) from None
        self._check_sender(opened.sender, body, push.signer)
        push.opened = opened

    def _check_sender(self, sender: bytes, body: bytes, signer: Signer | None) -> None:
        """A key pair is for one message, and for nothing else (RFC 8291 §3.1, §4)."""
        if signer is not None and sender == signer.point:
            raise Refused("bad-crypto", "the VAPID key must not encrypt")
        digest = hashlib.sha256(body).digest()
        if self._senders.setdefault(sender, digest) != digest:
            raise Refused("bad-crypto", "this key has encrypted another message before")
        if len(self._senders) > MAX_SENDERS:
            self._senders.popitem(last=False)


def _one(request: Request, name: str, fault: str) -> str | None:
    """A header that may be there once. Raises Refused."""
    values = headers_of(request, name)
    if len(values) > 1:
        raise Refused(fault, f"{name} is there {len(values)} times")
    return values[0] if values else None


def _ttl(request: Request, service: Service) -> int:
    """RFC 8030 §5.2. Raises Refused."""
    text = _one(request, "ttl", "unreadable-ttl")
    if text is None:
        raise Refused("missing-ttl")
    if not _DIGITS.fullmatch(text):
        raise Refused("bad-ttl" if text.startswith("-") else "unreadable-ttl")
    ttl = int(text)
    if ttl < service.least_ttl:
        raise Refused("bad-ttl", "Ttl value conflicts with X-WNS-Cache-Policy.")
    if ttl > service.most_ttl and not service.cuts_ttl:
        raise Refused("bad-ttl", f"TTL must be {service.most_ttl} at most")
    return ttl


def _check_headers(request: Request, service: Service) -> None:
    """RFC 8030 §5.3 and §5.4. Raises Refused."""
    urgency = _one(request, "urgency", "bad-urgency")
    if urgency is not None and urgency not in URGENCIES:
        raise Refused("bad-urgency")
    topic = _one(request, "topic", "bad-topic")
    if topic is None:
        return
    if not _TOPIC.fullmatch(topic) or (service.topic_is_decoded and len(topic) % 4 == 1):
        raise Refused("bad-topic")


def _content(plaintext: bytes) -> Any:
    text = plaintext.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class _Vendor(Resource):
    """All services' paths."""

    isLeaf = True

    def __init__(self, simulator: WebPushSimulator, replies: Replies) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._simulator = simulator
        self._replies = replies

    def render(self, request: Request) -> int:
        uri = request.uri.decode("ascii", "replace")
        service = _service_of(uri)
        if service is None:
            self._replies.send(request, Reply.page(404, "No such address."))
        elif service.name == "ntfy" and request.method == b"GET":
            self._replies.send(request, Reply.json(200, {"unifiedpush": {"version": 1}}))
        else:
            self._simulator.take_in(request, service, self._simulator.subscriptions.find(uri))
        return NOT_DONE_YET


def _service_of(uri: str) -> Service | None:
    return next((service for service in SERVICES.values() if service.has(uri)), None)
