"""A stand-in for Firebase Cloud Messaging: HTTP v1, and the token endpoint it needs.

Read from Google's documents: the REST reference of `projects.messages:send`, "FCM error
codes", "Using OAuth 2.0 for Server to Server Applications". It makes up a service account,
so that a provider can be set up against it with nothing from the vendor; the `token_uri`
of that account is the stand-in's own.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pushd.simulators import fcm_errors, fcm_message
from pushd.simulators.answers import Answer
from pushd.simulators.base import LIMIT, Endpoint, Received, Simulator
from pushd.simulators.control import Control, Root
from pushd.simulators.fcm_errors import Refusal
from pushd.simulators.fcm_tokens import ReceivedAssertion, ServiceAccount, TokenEndpoint
from pushd.simulators.http2_web import Door
from pushd.simulators.web import (
    QuietSite,
    Replies,
    Reply,
    content_of,
    header_of,
    is_of_type,
    length_of,
)

SCOPES = frozenset(
    f"https://www.googleapis.com/auth/{name}" for name in ("firebase.messaging", "cloud-platform")
)
MAX_BODY = 1_048_576  # bytes; beyond it nobody reads what they say

_SEND = re.compile(r"/v1/projects/([^/]+)/messages:send")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMessage(Received):
    """A request to messages:send."""

    project: str
    validate_only: bool = False


class FCMSimulator(Simulator[ReceivedMessage]):
    """The stand-in; `site` is to be put on a port, and `base_url` to say where that is.

    `project` is the one it serves; the account may not send for `foreign_projects` (403),
    and no others exist (404). `token_lifetime` is in seconds. An `account` is made up unless
    one is given, which then decides the project: see `ServiceAccount.taken_up`.
    """

    type = "fcm"
    vendor = "Firebase Cloud Messaging (HTTP v1)"
    states_known = ("UNREGISTERED", "SENDER_ID_MISMATCH", "INVALID_ARGUMENT")

    def __init__(
        self,
        clock: IReactorTime,
        base_url: str = "",
        *,
        project: str = "pushd-simulator",
        foreign_projects: Iterable[str] = ("someone-elses-project",),
        token_lifetime: int = 3599,
        account: ServiceAccount | None = None,
        limit: int = LIMIT,
    ) -> None:
        messages: Endpoint[ReceivedMessage] = Endpoint(clock, fcm_errors.FAILURES, limit)
        super().__init__(clock, base_url, messages)
        self._account = account or ServiceAccount.made_up(project)
        self.tokens = TokenEndpoint(clock, self._account, token_lifetime, limit)
        self.endpoints["tokens"] = self.tokens
        self.foreign_projects = frozenset(foreign_projects)
        self._replies = Replies(clock)
        self.site = QuietSite(
            Root(Control(self, self._replies), _Vendor(self, self._replies)), clock
        )

    def door(self) -> Door:
        """What to put on a port that speaks HTTP/2, too; `site` speaks HTTP/1.1 alone."""
        return Door(self.site)

    @property
    def project(self) -> str:
        return self._account.project

    @property
    def token_uri(self) -> str:
        return f"{self.base_url}/token"

    @property
    def token_requests(self) -> list[ReceivedAssertion]:
        """The requests for an access token, oldest first."""
        return self.tokens.record.since()

    def service_account(self) -> dict[str, str]:
        """The account's JSON, with the fields of the file that Google's console gives."""
        return self._account.as_file(self.base_url)

    def credentials(self) -> Mapping[str, str]:
        return self.service_account()

    def about(self) -> Mapping[str, Any]:
        return {
            "project": self.project,
            "send": f"{self.base_url}/v1/projects/{self.project}/messages:send",
            "token": self.token_uri,
        }

    def script_tokens(self, *answers: Answer) -> None:
        """Have the next valid requests for an access token answered so, in order."""
        self.tokens.script.add(None, answers)

    def revoke(self) -> None:
        """Let no access token hold any longer that was handed out so far."""
        self.tokens.revoke()

    def close(self) -> None:
        """Send away whoever waits, and break off every connection without an answer."""
        super().close()
        self._replies.close()

    def hand_out(self, request: Request) -> None:
        """Answer a request for an access token."""
        reply, answer, received = self.tokens.decide(request, self.token_uri, self.clock.seconds())
        sent = self._replies.send(request, reply, answer)
        self.received(self.tokens, received, sent)

    def take_in(self, request: Request, project: str) -> None:
        """Answer a request to send a message."""
        now = self.clock.seconds()
        issuer, refusal = self._authorize(request, now)
        body, unreadable = _json_in(request)
        refusal = refusal or self._refuse_project(project) or unreadable
        message: fcm_message.Message | None = None
        answer: Answer | None = None
        if refusal is None:
            try:
                message = fcm_message.check(body)
                answer, error = self.due(message.token)
                if error:
                    refusal = fcm_errors.scripted(error, answer.status if answer else None)
            except fcm_message.Unreadable as wrong:
                refusal = fcm_errors.unreadable(wrong)
            except fcm_message.Invalid as wrong:
                refusal = fcm_errors.invalid(wrong)
        validate_only = fcm_message.is_dry_run(body)
        reply = refusal.reply if refusal else self._accepted(validate_only, now)
        reply = reply.as_scripted(answer)
        token, content = fcm_message.target_of(body)
        # The answer goes out first: whoever waits for the request finds it under way.
        sent = self._replies.send(request, reply, answer)
        self.received(
            self.messages,
            ReceivedMessage(
                at=now,
                token=token,
                project=project,
                message=content,
                validate_only=validate_only,
                authorized_by=issuer,
                status=reply.status_seen(answer),
                error=refusal.name if refusal else "",
            ),
            sent,
        )

    def _authorize(self, request: Request, now: float) -> tuple[str, Refusal | None]:
        """Whose access token a request carries ("" for nobody's), and why it is not let in."""
        header = header_of(request, "authorization")
        if not header:
            return "", fcm_errors.no_credentials()
        scheme, _, value = header.partition(" ")
        access = self.tokens.find(value.strip()) if scheme.lower() == "bearer" else None
        if access is None:
            return "", fcm_errors.bad_credentials()
        if now >= access.expires_at:
            return "", fcm_errors.bad_credentials(expired=True)
        if not access.scopes & SCOPES:
            return access.issuer, fcm_errors.wrong_scope()
        return access.issuer, None

    def _refuse_project(self, project: str) -> Refusal | None:
        if project == self.project:
            return None
        if project in self.foreign_projects:
            return fcm_errors.foreign_project(project)
        return fcm_errors.scripted("NOT_FOUND")

    def _accepted(self, validate_only: bool, now: float) -> Reply:
        number = self.messages.record.last + 1
        made_up = "fake_message_id" if validate_only else f"0:{int(now * 1e6)}%{number:016x}"
        return Reply.json(200, {"name": f"projects/{self.project}/messages/{made_up}"})


def _json_in(request: Request) -> tuple[Any, Refusal | None]:
    try:
        if not is_of_type(request, "application/json"):
            words = "Invalid JSON payload received. The body must be of type application/json."
            raise fcm_message.Unreadable([fcm_message.Violation("", words)])
        return fcm_message.read(content_of(request)), None
    except fcm_message.Unreadable as wrong:
        return None, fcm_errors.unreadable(wrong)


class _Vendor(Resource):
    """Google's paths."""

    isLeaf = True

    def __init__(self, simulator: FCMSimulator, replies: Replies) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._simulator = simulator
        self._replies = replies

    def render(self, request: Request) -> int:
        send = _SEND.fullmatch(unquote(request.path.decode("ascii", "replace")))
        if send is None and request.path != b"/token":
            reply = Reply.page(404, "The requested URL was not found on this server.")
        elif request.method != b"POST":
            reply = Reply.page(405, "The request method is inappropriate here.", Allow="POST")
        elif length_of(request) > MAX_BODY:
            reply = Reply.page(413, "Your client issued a request that was too large.")
        elif send is None:
            self._simulator.hand_out(request)
            return NOT_DONE_YET
        else:
            self._simulator.take_in(request, send[1])
            return NOT_DONE_YET
        self._replies.send(request, reply)
        return NOT_DONE_YET
