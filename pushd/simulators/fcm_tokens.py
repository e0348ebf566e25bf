"""The service account that the stand-in for FCM makes up, and its token endpoint.

Read from Google's "Using OAuth 2.0 for Server to Server Applications" and RFC 7523.
"""

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from pushd.simulators.answers import Answer
from pushd.simulators.assertions import AssertionRefused, Grant, Keys, check
from pushd.simulators.base import Endpoint, Received
from pushd.simulators.web import Reply, content_of, is_of_type

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # RFC 7523 §2.1
MAX_TOKENS = 1_000  # access tokens remembered, expired ones among them

# What a script can ask for (RFC 6749 §5.2, and Google's own): HTTP status and words.
TOKEN_FAILURES = {
    "invalid_grant": (400, "Invalid JWT Signature."),
    "invalid_scope": (400, "Invalid OAuth scope or ID token audience provided."),
    "invalid_request": (400, "Invalid request"),
    "unsupported_grant_type": (400, "Invalid grant_type"),
    "unauthorized_client": (401, "Unauthorized client or scope in request."),
    "disabled_client": (403, "The OAuth client was disabled."),
    "internal_failure": (500, "Internal error encountered."),
    "backend_error": (503, "The service is currently unavailable."),
}


class ServiceAccount:
    """An account that signs in with a key: made up, or taken up from an earlier stand-in."""

    def __init__(self, project: str, address: str, key_id: str, key: rsa.RSAPrivateKey) -> None:
        self.project = project
        self._address = address
        self._key_id = key_id
        self._key = key
        self.keys: Keys = {address: {key_id: key.public_key()}}

    @classmethod
    def made_up(cls, project: str) -> "ServiceAccount":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        address = f"stand-in@{project}.iam.gserviceaccount.com"
        return cls(project, address, secrets.token_hex(20), key)

    @classmethod
    def taken_up(cls, account: Mapping[str, str]) -> "ServiceAccount":
        """Read what `as_file` gave; raises ValueError when it is something else."""
        try:
            key = serialization.load_pem_private_key(account["private_key"].encode(), None)
            project, address = account["project_id"], account["client_email"]
            key_id = account["private_key_id"]
        except (AttributeError, KeyError, TypeError, ValueError):
            key, project, address, key_id = None, "", "", ""
        texts = all(isinstance(text, str) for text in (project, address, key_id))
        if not isinstance(key, rsa.RSAPrivateKey) or not texts:
            raise ValueError("this is not a service account that a stand-in has made up")
        return cls(project, address, key_id, key)

    def as_file(self, base_url: str) -> dict[str, str]:
        """The fields of the file that Google's console gives, all of them pointing here."""
        private_key = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": self._key_id,
            "private_key": private_key.decode(),
            "client_email": self._address,
            "client_id": str(int.from_bytes(self._address.encode()[:8], "big")),
            "auth_uri": f"{base_url}/auth",
            "token_uri": f"{base_url}/token",
            "auth_provider_x509_cert_url": f"{base_url}/certs",
            "client_x509_cert_url": f"{base_url}/certs/{quote(self._address)}",
            "universe_domain": "googleapis.com",
        }


@dataclass(frozen=True, slots=True)
class AccessToken:
    """To whom an access token was handed out, for which scopes, until when."""

    issuer: str
    scopes: frozenset[str]
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedAssertion(Received):
    """A request for an access token. `token` and `message` are empty: it is all secret."""

    token: str = ""
    message: None = None


class TokenEndpoint(Endpoint[ReceivedAssertion]):
    """Hands out access tokens, each for `lifetime` seconds unless the script has another."""

    def __init__(
        self, clock: IReactorTime, account: ServiceAccount, lifetime: int, limit: int
    ) -> None:
        super().__init__(clock, TOKEN_FAILURES, limit)
        self._keys = account.keys
        self.lifetime = lifetime
        self._handed_out: OrderedDict[str, AccessToken] = OrderedDict()

    def decide(
        self, request: Request, audience: str, now: float
    ) -> tuple[Reply, Answer | None, ReceivedAssertion]:
        """What to answer, how the script wants it sent, and what to keep on record."""
        answer = None
        issuer = error = ""
        try:
            grant = check(_assertion_in(request), self._keys, audience, now)
            issuer = grant.issuer
            answer = self.script.take(None)
            if answer is not None and answer.error:
                status, words = TOKEN_FAILURES[answer.error]
                raise AssertionRefused(answer.error, words, status)
            reply = self._granted(grant, answer, now)
        except AssertionRefused as refused:
            error = refused.error
            body = {"error": error, "error_description": refused.description}
            reply = Reply.json(refused.status, body, Cache_Control="no-store")
        reply = reply.as_scripted(answer)
        status_seen = reply.status_seen(answer)
        received = ReceivedAssertion(at=now, authorized_by=issuer, status=status_seen, error=error)
        return reply, answer, received

    def _granted(self, grant: Grant, answer: Answer | None, now: float) -> Reply:
        scripted = None if answer is None else answer.lifetime
        lifetime = self.lifetime if scripted is None else scripted
        token = f"ya29.{secrets.token_urlsafe(48)}"
        self._handed_out[token] = AccessToken(grant.issuer, grant.scopes, now + lifetime)
        if len(self._handed_out) > MAX_TOKENS:
            self._handed_out.popitem(last=False)
        body = {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"}
        return Reply.json(200, body, Cache_Control="no-store")

    def find(self, token: str) -> AccessToken | None:
        """An access token that was handed out, its time over or not."""
        return self._handed_out.get(token)

    def revoke(self) -> None:
        """Know no longer what was handed out so far."""
        self._handed_out.clear()


def _assertion_in(request: Request) -> str:
    """The assertion of a token request; raises AssertionRefused when the form is not right."""
    if not is_of_type(request, "application/x-www-form-urlencoded"):
        raise AssertionRefused("invalid_request", "The body is not a form.")
    try:
        text = content_of(request).decode("ascii")
        form = parse_qs(text, strict_parsing=True, keep_blank_values=True)
    except ValueError:
        raise AssertionRefused("invalid_request", "The form is malformed.") from None
    for name, values in form.items():
        if len(values) > 1:  # RFC 6749 §3.2
            raise AssertionRefused("invalid_request", f"{name} is there {len(values)} times.")
    grant_type = form.get("grant_type", [""])[0]
    if grant_type != GRANT_TYPE:
        raise AssertionRefused("unsupported_grant_type", f"Invalid grant_type: {grant_type}")
    assertion = form.get("assertion", [""])[0]
    if not assertion:
        raise AssertionRefused("invalid_request", "Required parameter is missing: assertion")
    return assertion
