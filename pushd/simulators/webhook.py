"""A receiver of webhooks: what an operator's own app server would be.

Read from the specification of Standard Webhooks. It checks signatures, takes a notification's
content as the sender's documents have it, and remembers which ones came again.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from pushd.simulators import webhook_signatures
from pushd.simulators.answers import Answer, ScriptError
from pushd.simulators.base import LIMIT, Act, Endpoint, Received, Simulator
from pushd.simulators.control import Control
from pushd.simulators.http2_web import Door
from pushd.simulators.web import (
    QuietSite,
    Replies,
    Reply,
    content_of,
    header_of,
    headers_of,
    is_of_type,
)
from pushd.simulators.webhook_signatures import Refused, Signed
from pushd.wire.secret import Secret

MOST = 20_000  # bytes of a body
MAX_IDS = 10_000  # that are remembered

_TYPE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


class Fault(NamedTuple):
    """A status, and the JSON beside the words."""

    status: int
    words: str
    more: Mapping[str, Any] = {}


DEAD = {"unregistered": True}
FAULTS = {
    "missing-header": Fault(400, "a header of the signature is missing"),
    "bad-id": Fault(400, "webhook-id is wrong"),
    "bad-json": Fault(400, "the body is no JSON object"),
    "bad-content": Fault(400, "the body has not what it should have"),
    "bad-signature": Fault(401, "the signature is wrong"),
    "bad-timestamp": Fault(401, "webhook-timestamp is wrong"),
    "forbidden": Fault(403, "not from you"),
    "not-found": Fault(404, "no such address"),
    "unregistered": Fault(404, "no device has this token", DEAD),
    "method": Fault(405, "only POST is for this"),
    "timeout": Fault(408, "that took too long"),
    "gone": Fault(410, "the device is gone"),
    "too-large": Fault(413, "the body is too large"),
    "content-type": Fault(415, "the body must be application/json"),
    "refused": Fault(422, "it makes no sense"),
    "too-early": Fault(425, "too early"),
    "too-many": Fault(429, "too many requests"),
    "internal": Fault(500, "an error of the receiver's own"),
    "bad-gateway": Fault(502, "the receiver is not there"),
    "unavailable": Fault(503, "not now"),
    "gateway-timeout": Fault(504, "the receiver does not answer"),
    # Where a sender must not follow.
    "moved": Fault(301, "elsewhere"),
    "redirect": Fault(307, "elsewhere"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedWebhook(Received):
    """A post to the receiver's address.

    `authorized_by` is the digest of the first secret that has signed, `signed_by` has those of
    all; `signatures` is how many there were in the header. `attempt` counts the posts of this
    `id`, from 1. `timestamp` is in seconds since the epoch, None without a signature that holds.
    """

    id: str = ""
    timestamp: int | None = None
    signatures: int = 0
    signed_by: tuple[str, ...] = ()
    attempt: int = 0
    kind: str = ""  # the `type` in the body


class WebhookSimulator(Simulator[ReceivedWebhook]):
    """The stand-in; `door` is to be put on a port, and `base_url` to say where that is.

    `secrets` are those it takes signatures of; one is made up if there is none.
    """

    type = "webhook"
    vendor = "a receiver of webhooks"
    states_known = ("unregistered", "gone")

    def __init__(
        self,
        clock: IReactorTime,
        base_url: str = "",
        secrets: Iterable[str] = (),
        limit: int = LIMIT,
    ) -> None:
        messages: Endpoint[ReceivedWebhook] = Endpoint(clock, FAULTS, limit)
        super().__init__(clock, base_url, messages)
        self.secrets = list(secrets) or [webhook_signatures.made_up()]
        self._seen: OrderedDict[str, tuple[bytes, int]] = OrderedDict()  # digest and count, by id
        self._replies = Replies(clock)
        self.site = QuietSite(_Root(self, self._replies), clock)

    def door(self) -> Door:
        """What to put on a port."""
        return Door(self.site)

    @property
    def url(self) -> str:
        """Where to post."""
        return f"{self.base_url}/push"

    def credentials(self) -> Mapping[str, str]:
        return {"url": self.url, "secret": self.secrets[0]}

    def about(self) -> Mapping[str, Any]:
        return {
            "push": self.url,
            "secrets": 'POST /control/secrets: {"secrets": [whsec_..., ...]}, for the next posts',
        }

    def rooms(self) -> Mapping[str, Mapping[str, Act]]:
        return {
            "secrets": {"GET": self._list, "POST": self._exchange},
        }

    def _list(self, order: Mapping[str, Any]) -> Any:
        return {"secrets": self.secrets}

    def _exchange(self, order: Mapping[str, Any]) -> Any:
        given = order.get("secrets")
        if not isinstance(given, list) or not given or len(order) != 1:
            raise ScriptError("this takes secrets, a list with one at least")
        for secret in given:
            try:
                webhook_signatures.key(secret)
            except (AttributeError, TypeError, ValueError):
                words = "a secret is whsec_ and 24 to 64 bytes in base64"
                raise ScriptError(words) from None
        self.secrets = given
        return {"secrets": self.secrets}

    def forget(self) -> None:
        super().forget()
        self._seen.clear()

    def close(self) -> None:
        super().close()
        self._replies.close()

    def take_in(self, request: Request) -> None:
        """Answer a post."""
        now = self.clock.seconds()
        body = content_of(request)
        content: Any = None
        signed: Signed | None = None
        answer: Answer | None = None
        fault, words = "", ""
        try:
            signed = self._check(request, body, now)
            content = _read(body)
            token = _check_content(content)
            self._count(signed, body)
            answer, fault = self.due(token)
        except Refused as wrong:
            fault, words = wrong.name, str(wrong)
        reply = _reply(fault, words, self.url).as_scripted(answer)
        # The answer goes out first: whoever waits for the request finds it under way.
        sent = self._replies.send(request, reply, answer)
        said: Mapping[str, Any] = content if isinstance(content, dict) else {}
        by = [Secret(self.secrets[place]).digest for place in signed.by] if signed else []
        self.received(
            self.messages,
            ReceivedWebhook(
                at=now,
                token=str(said.get("token", "")),
                message=content,
                authorized_by=by[0] if by else "",
                status=reply.status_seen(answer),
                error=fault,
                id=header_of(request, "webhook-id"),
                timestamp=signed.timestamp if signed else None,
                signatures=len(header_of(request, "webhook-signature").split()),
                signed_by=tuple(by),
                attempt=self._seen.get(signed.id, (b"", 0))[1] if signed else 0,
                kind=str(said.get("type", "")),
            ),
            sent,
        )

    def _check(self, request: Request, body: bytes, now: float) -> Signed:
        if request.method != b"POST":
            raise Refused("method", "")
        if not is_of_type(request, "application/json"):
            raise Refused("content-type", "")
        if len(body) > MOST:
            raise Refused("too-large", "")
        keys = [webhook_signatures.key(secret) for secret in self.secrets]
        headers = [_one(request, f"webhook-{name}") for name in ("id", "timestamp", "signature")]
        return webhook_signatures.check(headers[0], headers[1], headers[2], body, keys, now)

    def _count(self, signed: Signed, body: bytes) -> None:
        """An id is for one content, however often that is sent. Raises Refused."""
        digest = sha256(body).digest()
        before, count = self._seen.get(signed.id, (digest, 0))
        if before != digest:
            raise Refused("bad-id", "webhook-id was another notification's")
        self._seen[signed.id] = digest, count + 1
        if len(self._seen) > MAX_IDS:
            self._seen.popitem(last=False)


def _one(request: Request, name: str) -> str:
    """A header that must not be there twice, "" where it is absent. Raises Refused."""
    values = headers_of(request, name)
    if len(values) > 1:
        raise Refused("missing-header", f"{name} is there {len(values)} times")
    return values[0] if values else ""


def _read(body: bytes) -> Any:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Refused("bad-json", "")
    return content


def _check_content(content: Mapping[str, Any]) -> str:
    """What Standard Webhooks wants of a payload, and a token, which is given. Raises Refused."""
    kind, timestamp, token = (content.get(name) for name in ("type", "timestamp", "token"))
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise Refused("bad-content", "type must be words with full stops between")
    if not isinstance(timestamp, str) or not _is_instant(timestamp):
        raise Refused("bad-content", "timestamp must be a date and time (RFC 3339)")
    if not isinstance(token, str) or not token:
        raise Refused("bad-content", "token must be text")
    return token


def _is_instant(text: str) -> bool:
    if not _INSTANT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _reply(fault: str, words: str, url: str) -> Reply:
    if not fault:
        return Reply(204)
    known = FAULTS[fault]
    reply = Reply.json(
        known.status, {"error": fault, "message": words or known.words, **known.more}
    )
    if known.status in (301, 307):
        return Reply(reply.status, reply.body, {**reply.headers, "Location": f"{url}-moved"})
    return reply


class _Root(Resource):
    """The receiver's only path, and /control."""

    def __init__(self, simulator: WebhookSimulator, replies: Replies) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.putChild(b"control", Control(simulator, replies))
        self.putChild(b"push", _Push(simulator))
        self._replies = replies

    def getChild(self, path: bytes, request: Request) -> IResource:
        return self

    def render(self, request: Request) -> int:
        self._replies.send(request, Reply.page(404, "There is only /push."))
        return NOT_DONE_YET


class _Push(Resource):
    isLeaf = True

    def __init__(self, simulator: WebhookSimulator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._simulator = simulator

    def render(self, request: Request) -> int:
        self._simulator.take_in(request)
        return NOT_DONE_YET
