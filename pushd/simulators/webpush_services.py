"""How the push services of browsers, and a UnifiedPush server, say no, and yes.

Read from autopush's documents and source ("Error Codes", "HTTP Endpoints for Notifications"),
Apple's "Sending web push notifications in web apps and browsers", ntfy's source, and what
people report of Google's answers and of Microsoft's, who serves Edge by WNS. A fault has one name
for all; each service says it its own way.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple
from uuid import uuid4

from pushd.simulators.web import Reply

MORE_INFO = "http://autopush.readthedocs.io/en/latest/http.html#error-codes"
DAY = 86_400
MISMATCH = (
    "the VAPID credentials in the authorization header do not correspond to the credentials "
    "used to create the subscriptions."
)


class Fault(NamedTuple):
    """One thing that may be wrong.

    `errno` is autopush's, `reason` Apple's, `code` ntfy's. `apple`, `google` and `microsoft` are
    their statuses where those are others. Where a service has no word of its own for it, the
    status alone tells.
    """

    status: int
    words: str
    errno: int | None = None
    reason: str = ""
    code: int | None = None
    apple: int | None = None
    google: int | None = None
    microsoft: int | None = None


FAULTS = {
    "missing-crypto": Fault(400, "Missing necessary crypto keys", 101, "BadWebPushRequest"),
    "bad-crypto": Fault(400, "Invalid crypto keys specified", 110, "BadWebPushRequest", 40000),
    "bad-router": Fault(400, "Invalid router type", 108, "BadPath"),
    "missing-ttl": Fault(400, "Missing TTL value", 111, "BadTtl"),
    "unreadable-ttl": Fault(400, "Invalid TTL header value", 112, "BadTtl"),
    "bad-ttl": Fault(400, "TTL must be greater than 0", 114, "BadTtl"),
    "bad-topic": Fault(400, "Invalid Topic header value", 113, "BadWebPushTopic"),
    "bad-urgency": Fault(400, "Invalid Urgency header value", None, "BadUrgency"),
    "empty": Fault(400, "The message has no body", None, "PayloadEmpty", 40000),
    "unauthorized": Fault(401, "Invalid Authentication", 109, "BadJwtToken", 40101, 403, 403),
    "bad-vapid-key": Fault(
        401, "Invalid VAPID public key", 109, "BadVapidPublicKey", 40101, 403, 403
    ),
    "key-mismatch": Fault(
        401, "VAPID public key mismatch", 109, "VapidPkHashMismatch", 40101, 400, 403
    ),
    "forbidden": Fault(403, "Forbidden", None, "Forbidden", 40301),
    "not-found": Fault(404, "Invalid token", 102, "BadPath", 40401),
    "method": Fault(405, "Only POST is for this", None, "MethodNotAllowed"),
    "user-gone": Fault(410, "UAID not found", 103, "Unregistered"),
    "vanished": Fault(410, "User was deleted during routing", 105, "Unregistered"),
    "gone": Fault(410, "No such subscription", 106, "Unregistered"),
    "too-large": Fault(413, "Request body too large", 104, "PayloadTooLarge", 41301),
    "too-many": Fault(429, "Too many requests", None, "TooManyRequests", 42901, microsoft=406),
    "unknown": Fault(500, "Unknown error", 999, "InternalServerError", 50001),
    "bridge": Fault(502, "Internal Bridge misconfiguration", 900),
    "bridge-login": Fault(502, "Bridge authentication error", 901),
    "bridge-connect": Fault(502, "Error while connecting to bridge service", 902),
    "bridge-timeout": Fault(502, "Bridge request timeout", 903),
    "back-off": Fault(503, "Service unavailable", 201, "ServiceUnavailable"),
    "retry": Fault(503, "Service unavailable for a moment", 202, "ServiceUnavailable"),
    "timeout": Fault(504, "Gateway timeout"),
    "no-subscriber": Fault(
        507,
        "cannot publish to UnifiedPush topic without previously active subscriber",
        None,
        "",
        50701,
    ),
    # Where a sender must not follow.
    "moved": Fault(301, "The endpoint has moved", None),
    "redirect": Fault(307, "Temporary redirect", None),
    "redirect-for-ever": Fault(308, "Permanent redirect", None),
}
HEADERS = {  # that autopush sends with a status; the others are given them, too
    410: {"Cache-Control": f"max-age={DAY}"},
    503: {"Retry-After": "120"},
}


@dataclass(frozen=True, slots=True)
class Service:
    """One push service: what is around the telling part of its endpoints, and how it answers.

    `path_unbound` is the same for subscriptions that are bound to no VAPID key. `least_ttl` and
    `most_ttl` are in seconds; a longer TTL is cut, or an error where `cuts_ttl` is false.
    """

    name: str
    path: tuple[str, str]
    refusal: Callable[[Fault, str], Reply]  # with words of its own, "" for the fault's
    accepted: Callable[[str, int], Reply]  # with the message resource and the granted TTL
    path_unbound: tuple[str, str] | None = None
    least_ttl: int = 0
    most_ttl: int = 30 * DAY
    cuts_ttl: bool = True
    wants_vapid: bool = False
    wants_reachable_contact: bool = False
    wants_body: bool = False
    topic_is_decoded: bool = False  # so that a length of 1 mod 4 is no topic

    def around(self, is_bound: bool) -> tuple[str, str]:
        """What stands before and behind the part that tells endpoints apart."""
        return self.path if is_bound else self.path_unbound or self.path

    def has(self, path: str) -> bool:
        """Whether an endpoint with this path would be one of its own."""
        return any(
            path.startswith(before) and path.endswith(behind)
            for before, behind in (self.around(True), self.around(False))
        )


def _mozilla(fault: Fault, words: str) -> Reply:
    content = {
        "code": fault.status,
        "errno": fault.errno,
        "error": HTTPStatus(fault.status).phrase,
        "message": words or fault.words,
        "more_info": MORE_INFO,
    }
    return Reply.json(fault.status, content)


def _apple(fault: Fault, words: str) -> Reply:
    status = fault.apple or fault.status
    if not fault.reason:
        return Reply(status)
    return Reply.json(status, {"reason": fault.reason}, apns_id=str(uuid4()))


def _google(fault: Fault, words: str) -> Reply:
    status = fault.google or fault.status
    said = MISMATCH if fault.reason == "VapidPkHashMismatch" else words or fault.words
    return Reply(status, said.encode(), {"Content-Type": "text/plain; charset=utf-8"})


def _ntfy(fault: Fault, words: str) -> Reply:
    content: dict[str, object] = {"http": fault.status, "error": words or fault.words}
    if fault.code is not None:
        content = {"code": fault.code, **content}
    return Reply.json(fault.status, content)


def _microsoft(fault: Fault, words: str) -> Reply:
    """In headers. Too many is 406, and of all that a sender sends."""
    status = fault.microsoft or fault.status
    said = {"X-WNS-Error-Description": words or fault.words, "X-WNS-Msg-ID": secrets.token_hex(8)}
    if status == 406:
        return Reply(status, b"", {**said, "X-WNS-Status": "appthrottled", "Retry-After": "900"})
    return Reply(status, b"", {**said, "X-WNS-Status": "dropped"})


def _microsoft_accepted(location: str, ttl: int) -> Reply:
    said = {"Location": location, "TTL": str(ttl), "X-WNS-Status": "received"}
    return Reply(201, b"", said)


def _accepted(location: str, ttl: int) -> Reply:
    return Reply(201, b"", {"Location": location, "TTL": str(ttl)})


def _apple_accepted(location: str, ttl: int) -> Reply:
    return Reply(201, b"", {"apns-id": str(uuid4()).upper(), "TTL": str(ttl)})


def _ntfy_accepted(location: str, ttl: int) -> Reply:
    content = {"id": secrets.token_urlsafe(9), "event": "message", "encoding": "base64"}
    return Reply.json(200, content)


SERVICES = {
    service.name: service
    for service in (
        Service("mozilla", ("/wpush/v2/", ""), _mozilla, _accepted, ("/wpush/v1/", "")),
        Service(
            "google",
            ("/fcm/send/", ""),
            _google,
            _accepted,
            most_ttl=28 * DAY,
            cuts_ttl=False,
        ),
        Service(
            "apple",
            ("/apple/Q", ""),
            _apple,
            _apple_accepted,
            wants_vapid=True,
            wants_reachable_contact=True,
            topic_is_decoded=True,
        ),
        Service("microsoft", ("/w/?token=", ""), _microsoft, _microsoft_accepted, least_ttl=1),
        Service("ntfy", ("/up", "?up=1"), _ntfy, _ntfy_accepted, wants_body=True),
    )
}


def refusal(service: Service, name: str, words: str = "", elsewhere: str = "") -> Reply:
    """How a service says that a fault is there; `elsewhere` is where redirects point."""
    fault = FAULTS[name]
    reply = service.refusal(fault, words)
    headers = dict(reply.headers) | HEADERS.get(reply.status, {})
    if reply.status in (301, 307, 308):
        headers["Location"] = elsewhere
    return Reply(reply.status, reply.body, headers)
