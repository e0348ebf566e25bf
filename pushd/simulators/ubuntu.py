"""A stand-in for Ubuntu Push, the notification service of UBports.

Read from UBports' push guide and ubuntu-push's "Low Level Developer Guide" and server. Nobody
signs in: a token is a secret between an app, the service and whoever was told of it. A phone
that was called offline keeps what is pushed, a hundred notifications at most.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from pushd.simulators.answers import Answer, ScriptError
from pushd.simulators.base import LIMIT, Act, Endpoint, Received, Simulator
from pushd.simulators.control import Control
from pushd.simulators.http2_web import Door
from pushd.simulators.ubuntu_data import oddities
from pushd.simulators.web import (
    QuietSite,
    Replies,
    Reply,
    content_of,
    has_header,
    is_of_type,
    length_of,
)

MOST = 4_096  # bytes of a request
MOST_DATA = 2_048  # bytes of its data
MOST_PENDING = 100  # notifications that wait for one phone

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


class Fault(NamedTuple):
    """An error of the service's own."""

    status: int
    word: str
    message: str


FAULTS = {
    "bad-json": Fault(400, "invalid-request", "Malformed JSON Object"),
    "empty": Fault(400, "invalid-request", "Request body empty"),
    "missing-id": Fault(400, "invalid-request", "Missing id field"),
    "missing-data": Fault(400, "invalid-request", "Missing data field"),
    "bad-expiry": Fault(400, "invalid-request", "Invalid expiration date"),
    "past-expiry": Fault(400, "invalid-request", "Past expiration date"),
    "data-too-large": Fault(400, "invalid-request", "Data too large"),
    "unknown-token": Fault(400, "unknown-token", "Unknown token"),
    "unknown-channel": Fault(400, "unknown-channel", "Unknown channel"),
    "io-error": Fault(400, "io-error", "Could not read request body"),
    "unauthorized": Fault(401, "unauthorized", "Unauthorized"),
    "method": Fault(405, "invalid-request", "Wrong request method, should be POST"),
    "no-length": Fault(411, "invalid-request", "A Content-Length must be provided"),
    "too-large": Fault(413, "invalid-request", "Request body too large"),
    "too-many-pending": Fault(413, "too-many-pending", "Too many pending notifications"),
    "content-type": Fault(415, "invalid-request", "Wrong content type, should be application/json"),
    "too-many": Fault(429, "too-many-requests", "Too many requests"),
    "internal": Fault(500, "internal", "Unknown error"),
    "unavailable": Fault(503, "unavailable", "Message store unavailable"),
}


class Refused(Exception):
    """By the name of a fault."""

    def __init__(self, name: str, extra: Any = None) -> None:
        super().__init__(name)
        self.name = name
        self.extra = extra


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedNotification(Received):
    """A request to /notify. `remarks` are what the service takes, and nobody will have meant."""

    app: str = ""
    replace_tag: str = ""
    clear_pending: bool = False
    data: Any = field(default=None, repr=False)
    remarks: tuple[str, ...] = ()


class UbuntuSimulator(Simulator[ReceivedNotification]):
    """The stand-in; `door` is to be put on a port, and `base_url` to say where that is."""

    type = "ubuntu"
    vendor = "Ubuntu Push (UBports)"
    states_known = ("unknown-token", "unauthorized")

    def __init__(self, clock: IReactorTime, base_url: str = "", limit: int = LIMIT) -> None:
        messages: Endpoint[ReceivedNotification] = Endpoint(clock, FAULTS, limit)
        super().__init__(clock, base_url, messages)
        self.pending: dict[str, list[Mapping[str, Any]]] = {}  # by the tokens of phones offline
        self._replies = Replies(clock)
        self.site = QuietSite(_Root(self, self._replies), clock)

    def door(self) -> Door:
        """What to put on a port."""
        return Door(self.site)

    def about(self) -> Mapping[str, Any]:
        return {
            "notify": f"{self.base_url}/notify",
            "offline": (
                "GET /control/offline: what waits for phones that are offline; "
                'POST takes {"token": ..., "offline": true or false}'
            ),
        }

    def rooms(self) -> Mapping[str, Mapping[str, Act]]:
        return {"offline": {"GET": lambda order: {"pending": self.pending}, "POST": self._offline}}

    def _offline(self, order: Mapping[str, Any]) -> Any:
        token, is_offline = order.get("token"), order.get("offline")
        if not isinstance(token, str) or not isinstance(is_offline, bool) or len(order) != 2:
            raise ScriptError("this takes a token as text, and offline as true or false")
        if is_offline:
            self.pending.setdefault(token, [])
        else:
            self.pending.pop(token, None)
        return {"pending": self.pending}

    def forget(self) -> None:
        super().forget()
        self.pending.clear()

    def close(self) -> None:
        super().close()
        self._replies.close()

    def take_in(self, request: Request) -> None:
        """Answer a request to notify a phone."""
        now = self.clock.seconds()
        content: Any = None
        answer: Answer | None = None
        refused: Refused | None = None
        try:
            content = _read(request)
            _check(content, now)
            answer, fault = self.due(content["token"])
            if fault:
                raise Refused(fault)
            self._deliver(content, now)
        except Refused as wrong:
            refused = wrong
        reply = _reply(refused, answer).as_scripted(answer)
        said: Mapping[str, Any] = content if isinstance(content, dict) else {}
        # The answer goes out first: whoever waits for the request finds it under way.
        sent = self._replies.send(request, reply, answer)
        self.received(
            self.messages,
            ReceivedNotification(
                at=now,
                token=str(said.get("token", "")),
                message=content,
                status=reply.status_seen(answer),
                error=refused.name if refused else "",
                app=str(said.get("appid", "")),
                replace_tag=str(said.get("replace_tag", "")),
                clear_pending=said.get("clear_pending") is True,
                data=said.get("data"),
                remarks=tuple(oddities(str(said.get("appid", "")), said.get("data"))),
            ),
            sent,
        )

    def _deliver(self, content: Mapping[str, Any], now: float) -> None:
        """To a phone that is online at once; for another it is kept. Raises Refused."""
        waiting = self.pending.get(content["token"])
        if waiting is None:
            return
        waiting[:] = [one for one in waiting if _instant(one["expire_on"]) > now]
        if content.get("clear_pending"):
            waiting.clear()
        tag = content.get("replace_tag")
        if tag:
            waiting[:] = [one for one in waiting if one.get("replace_tag") != tag]
        if len(waiting) >= MOST_PENDING:
            raise Refused("too-many-pending", waiting[-1]["data"])
        waiting.append(content)


def _read(request: Request) -> Any:
    if request.method != b"POST":
        raise Refused("method")
    if not has_header(request, "content-length") and request.clientproto != b"HTTP/2":
        raise Refused("no-length")
    if not length_of(request):
        raise Refused("empty")
    if length_of(request) > MOST:
        raise Refused("too-large")
    if not is_of_type(request, "application/json"):
        raise Refused("content-type")
    try:
        return json.loads(content_of(request))
    except (ValueError, RecursionError):
        raise Refused("bad-json") from None


def _check(content: Any, now: float) -> None:
    """Raises Refused for what the service would refuse."""
    if not isinstance(content, dict):
        raise Refused("bad-json")
    for name, kind in (("clear_pending", bool), ("replace_tag", str), ("appid", str)):
        if not isinstance(content.get(name, kind()), kind):
            raise Refused("bad-json")
    token = content.get("token")
    if not isinstance(token, str) or not token or not content.get("appid"):
        raise Refused("missing-id")
    if content.get("data") is None:
        raise Refused("missing-data")
    data = json.dumps(content["data"], ensure_ascii=False, separators=(",", ":"))
    if len(data.encode("utf-8", "replace")) > MOST_DATA:
        raise Refused("data-too-large")
    if _instant(content.get("expire_on")) <= now:
        raise Refused("past-expiry")
    owner = _app_in(token)
    if owner and owner != content["appid"]:
        raise Refused("unauthorized")


def _instant(text: object) -> float:
    if isinstance(text, str) and _INSTANT.fullmatch(text):
        try:
            return datetime.fromisoformat(text).timestamp()
        except ValueError:
            pass
    raise Refused("bad-expiry")


def _app_in(token: str) -> str:
    """The app that today's server writes into the tokens it gives; "" where there is none."""
    try:
        app, colon, _ = base64.b64decode(token, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return app if colon else ""


def _reply(refused: Refused | None, answer: Answer | None) -> Reply:
    if refused is None:
        return Reply.json(200, {"ok": True})
    fault = FAULTS[refused.name]
    content = {"error": fault.word, "message": fault.message}
    if refused.extra is not None:
        content["extra"] = refused.extra
    status = fault.status if answer is None or answer.status is None else answer.status
    return Reply.json(status, content)


class _Root(Resource):
    """The service's only path, and /control."""

    def __init__(self, simulator: UbuntuSimulator, replies: Replies) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.putChild(b"control", Control(simulator, replies))
        self._notify = _Notify(simulator)
        self._replies = replies

    def getChild(self, path: bytes, request: Request) -> IResource:
        return self._notify if path == b"notify" else self

    def render(self, request: Request) -> int:
        self._replies.send(request, Reply.page(404, "There is only /notify."))
        return NOT_DONE_YET


class _Notify(Resource):
    isLeaf = True

    def __init__(self, simulator: UbuntuSimulator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._simulator = simulator

    def render(self, request: Request) -> int:
        self._simulator.take_in(request)
        return NOT_DONE_YET
