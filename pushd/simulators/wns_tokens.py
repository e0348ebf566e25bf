"""The access tokens of the stand-in for WNS, of both services that give them out.

Read from Microsoft's "WNS overview" (apps of the Store, UWP) and "Quickstart: Push notifications
in the Windows App SDK" (apps that Microsoft Entra knows).
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from pushd.simulators.answers import Answer
from pushd.simulators.base import Endpoint, Received
from pushd.simulators.web import Reply, content_of, is_of_type

UWP, SDK = "uwp", "sdk"
SCOPES = {UWP: "notify.windows.com", SDK: "https://wns.windows.com/.default"}
LOGIN_FAULTS = ("invalid_client", "invalid_request", "invalid_scope", "unavailable")
MAX_TOKENS = 1_000  # remembered, expired ones among them


class LoginRefused(Exception):
    """By the name of a fault."""


@dataclass(frozen=True, slots=True)
class Client:
    """An app, as one of the two services knows it."""

    kind: str
    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Whose it is, and until when it holds."""

    client: Client
    until: float


class Logins(Endpoint[Received]):
    """Gives out access tokens. `expires_in` is a number, or a string as Entra writes it."""

    def __init__(self, clock: IReactorTime, expires_in: int | str, limit: int) -> None:
        super().__init__(clock, LOGIN_FAULTS, limit)
        self.clients: list[Client] = []
        self.expires_in = expires_in
        self._given: OrderedDict[str, AccessToken] = OrderedDict()

    def decide(
        self, request: Request, kind: str, now: float
    ) -> tuple[Reply, Answer | None, Received]:
        """What to answer at the address of this kind ("" for either), how to, and the record."""
        answer: Answer | None = None
        error = who = ""
        try:
            client = self._check(request, kind)
            who = client.id
            answer = self.script.take(None)
            if answer is not None and answer.error:
                raise LoginRefused(answer.error)
            reply = self._granted(client, answer, now)
        except LoginRefused as refused:
            error = str(refused)
            status = 503 if error == "unavailable" else 400
            reply = Reply.json(status, {"error": error})
        reply = reply.as_scripted(answer)
        said = Received(
            at=now,
            token="",
            message=None,
            authorized_by=who,
            status=reply.status_seen(answer),
            error=error,
        )
        return reply, answer, said

    def find(self, token: str, now: float) -> Client | None:
        """Whose token this is, while it holds."""
        known = self._given.get(token)
        return known.client if known is not None and known.until > now else None

    def revoke(self) -> None:
        """Let no access token hold any longer."""
        self._given.clear()

    def _check(self, request: Request, kind: str) -> Client:
        if request.method != b"POST" or not is_of_type(
            request, "application/x-www-form-urlencoded"
        ):
            raise LoginRefused("invalid_request")
        form = parse_qs(content_of(request).decode("ascii", "replace"))
        given = {name: values[0] for name, values in form.items() if len(values) == 1}
        if given.get("grant_type") != "client_credentials":
            raise LoginRefused("invalid_request")
        kinds = [each for each in SCOPES if SCOPES[each] == given.get("scope")]
        if not kinds or kind not in ("", kinds[0]):
            raise LoginRefused("invalid_scope")
        for client in self.clients:
            asked = given.get("client_id"), given.get("client_secret")
            if client.kind == kinds[0] and (client.id, client.secret) == asked:
                return client
        raise LoginRefused("invalid_client")

    def _granted(self, client: Client, answer: Answer | None, now: float) -> Reply:
        token = secrets.token_urlsafe(32)
        scripted = None if answer is None else answer.lifetime
        expires_in = self.expires_in if scripted is None else scripted
        self._given[token] = AccessToken(client, now + float(expires_in))
        if len(self._given) > MAX_TOKENS:
            self._given.popitem(last=False)
        shown = str(expires_in) if client.kind == SDK else expires_in
        content = {"access_token": token, "token_type": "bearer", "expires_in": shown}
        return Reply.json(200, content)
