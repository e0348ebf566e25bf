"""Webhook: notifications as signed JSON, posted to an address of the operator's own.

For private app servers, for bridges to other push networks, and for test harnesses. A device
registers with a `token`, which says nothing to us: whoever runs the receiver gave it out.

What is posted (Standard Webhooks, version 1)::

    POST /push HTTP/1.1
    content-type: application/json
    webhook-id: msg_6c3f7a0e00004000800000000000000a
    webhook-timestamp: 1795000000
    webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=

    {"type": "push.message",
     "timestamp": "2026-11-18T11:06:40Z",
     "token": "what the device registered with",
     "node": "names the registration; the device knows it",
     "app": "messenger",
     "urgent": false,
     "expires-at": "2026-11-19T11:06:40Z",
     "summary": {"message-count": 3, "last-message-sender": "romeo@example.net"}}

- `webhook-id` is the same for each attempt at one content, as is the body, whose `timestamp` is
  that of the first: whoever has taken it once has the notification. `webhook-timestamp` is when
  this attempt was made, in seconds since the epoch.
- `webhook-signature` has one signature for each configured secret, separated by spaces: base64 of
  HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`, the key being what the secret says
  in base64 behind `whsec_`. To exchange a secret: add the new one to the list, give it to the
  receiver, take the old one out.
- `type` is `push.call`, `push.message`, `push.contact` (a contact request), or `push.update` where
  there is nothing to show: counts became nought, or the user's server tells no more. An operator's
  `pushdctl push probe` sends `push.probe`, of the token `probe`, which is no device's: to be taken
  like a notification, or called unregistered.
- `summary` has those of XEP-0357 §10.2 that are told, and `last-subscription-sender`; counts are
  whole numbers. Of a call it has `call-sid`, `call-media` and `call-sender`; what the user's server
  encrypted for the app is `encrypted`, `iv` and `encrypted-type`. Where it all would be longer than
  20,000 bytes the body goes first, then the senders, what is encrypted, the counts, the node.
- What a device registered with besides is repeated, where it did: `application-id`, and `silent`
  (`silent-push`; the receiver decides what that means).

What answers mean:

====================  ===========================================================================
2xx                   taken, whatever the body says but for the next line
2xx, 400, 404, 410    with the JSON object `{"unregistered": true}`: the token is dead, and the
or 422                device's registration is removed
410                   the same, without a word in the body
401, 403              the signature is not taken: an alarm, and nothing is sent before the operator
                      has acted; nothing is removed
404, 405, 3xx         is that the right address? An alarm, unless others are served; nothing is
                      removed, and no redirect is followed
413                   too big: it is sent once more with the counts alone
408, 425, 429, 5xx    later, after as long as `Retry-After` says, if it does
else                  refused: this notification is not sent again
====================  ===========================================================================
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hmac import digest
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pushd.config.document import Node
from pushd.config.files import Hidden
from pushd.config.kinds import Duration, Reading, Url, WebAddress
from pushd.config.proxies import ProxyAddress
from pushd.providers import contract
from pushd.providers.contract import Accepted, Busy, Refused, Scope, Unregistered

BODY_LIMIT = 20_000  # bytes; Standard Webhooks asks for less than 20 kB
NOBODY = "probe"  # no device's token
LONGEST_TOKEN = 1024  # characters
LONGEST_APP = 255  # characters
PREFIX = "whsec_"
LEAST_SECRET, LONGEST_SECRET = 24, 64  # bytes


@dataclass(frozen=True)
class SigningSecret(Hidden):
    """A secret of Standard Webhooks, or where it is kept."""

    expected = (
        f"a secret: {PREFIX} and {LEAST_SECRET} to {LONGEST_SECRET} random bytes in base64 (openssl"
        " rand -base64 32 makes them), {file: path} or {env: NAME}"
    )

    def read(self, node: Node, reading: Reading) -> Any:
        secret = super().read(node, reading)
        try:
            key(secret)
        except ValueError as error:
            reading.refuse(node, str(error), self.expected)
        return secret


OneSecret = Annotated[contract.Secret, SigningSecret()]


@dataclass(frozen=True, slots=True)
class Options:
    # Where to post. http is for an address of this machine alone.
    url: Annotated[str, WebAddress(is_base=False)] = field(repr=False)
    # What notifications are signed with: whsec_ and base64, as Standard Webhooks has it. While it
    # is exchanged, a list of the new one and the old one; each makes a signature.
    secret: OneSecret | tuple[OneSecret, ...]
    # How long a notification is worth showing.
    lifetime: Duration = 86_400.0
    # In place of the host in url: a stand-in for tests.
    base_url: Url | None = None
    # The authorities (PEM) that may have signed the certificate there, if not the usual ones.
    ca_file: Path | None = None
    # The way there.
    proxy: ProxyAddress | None = None

    def __post_init__(self) -> None:
        """Raises BadOption."""
        if not self.secrets:
            raise contract.BadOption("secret: one at least", "secret")
        for secret in self.secrets:
            try:
                key(secret)
            except ValueError as error:
                raise contract.BadOption(f"secret: another one than {error}", "secret") from None

    @property
    def secrets(self) -> tuple[contract.Secret, ...]:
        """As a list, whether one was given or several."""
        return self.secret if isinstance(self.secret, tuple) else (self.secret,)


class Webhook(contract.Provider):
    type = "webhook"
    register_fields = frozenset({"token"})
    optional_fields = frozenset({"application-id", "silent-push"})

    def __init__(self, options: Options) -> None:
        self.options = options
        self._keys = [key(secret) for secret in options.secrets]
        self._url = _placed(options.url, options.base_url)
        # Plain http does not leave this machine, and no proxy leads back to it.
        proxy = None if self._url.startswith("http:") else options.proxy
        self._link = contract.Link(contract.trusted(options.ca_file), proxy=proxy)

    @property
    def links(self) -> frozenset[contract.Link]:
        return frozenset({self._link})

    def check(self, fields: Mapping[str, str]) -> None:
        super().check(fields)
        for name, longest in (("token", LONGEST_TOKEN), ("application-id", LONGEST_APP)):
            text = fields.get(name, "")
            if len(text) > longest or not text.isprintable():
                raise contract.BadField(
                    name, f"has {longest} characters at most, none of them a control character"
                )
        contract.silent(fields)

    def request(
        self,
        note: contract.Notification,
        device: contract.Device,
        now: float,
        sending: contract.Sending,
    ) -> contract.Request:
        head = self._head(note, device, sending.since or now)
        body = _fitting(head, note, sending.shrink)
        name = message_id(sending.id) + ("_short" if sending.shrink else "")
        return self._signed(body, name, now)

    def _signed(self, body: bytes, name: str, now: float) -> contract.Request:
        signed = [signature(one, name, int(now), body) for one in self._keys]
        return contract.Request(
            self._url,
            headers={
                "content-type": "application/json",
                "webhook-id": name,
                "webhook-timestamp": str(int(now)),
                "webhook-signature": " ".join(signed),
            },
            body=body,
            link=self._link,
        )

    def outcome(self, response: contract.Response, now: float) -> contract.Outcome:
        return read(response, now)

    def probe(self, now: float, sending: contract.Sending) -> contract.Request:
        """A signed one that is for no device."""
        asked = {"type": "push.probe", "timestamp": _written(now), "token": NOBODY}
        return self._signed(contract.as_json(asked), message_id(sending.id), now)

    def probed(self, response: contract.Response, now: float) -> contract.Finding:
        outcome = self.outcome(response, now)
        if isinstance(outcome, Unregistered) and outcome.guarded:  # all of the address, rather
            return contract.Finding(outcome.reason, False, REMEDIES[404])
        return super().probed(response, now)

    def remedy(self, response: contract.Response) -> str:
        return REMEDIES.get(response.status, REMEDIES[400])

    def _head(
        self, note: contract.Notification, device: contract.Device, since: float
    ) -> dict[str, object]:
        """All but the summary; the same at each attempt."""
        head: dict[str, object] = {
            "type": f"push.{note.occasion or 'update'}",
            "timestamp": _written(since),
            "token": device.token.reveal(),
            "node": note.node,
            "app": device.app,
        }
        if device.fields.get("application-id"):
            head["application-id"] = device.fields["application-id"]
        silent = contract.silent(device.fields)
        if silent is not None:
            head["silent"] = silent
        ends_at = since + self.options.lifetime
        if note.expires_at is not None:
            ends_at = min(ends_at, note.expires_at)
        return {**head, "urgent": note.urgent, "expires-at": _written(max(ends_at, since))}


# By the status of an answer to a probe.
REMEDIES: Mapping[int, str] = {
    400: "have the receiver take the type push.probe, or call its token unregistered",
    401: "give the receiver the secret that stands here; is its clock right?",
    403: "give the receiver the secret that stands here, and let this machine's address in",
    404: "is url the address that the receiver listens at?",
    405: "is url the address that the receiver listens at? It has to take POST",
}


def key(secret: contract.Secret) -> bytes:
    """What is signed with. Raises ValueError, whose text says what the secret is instead."""
    text = secret.reveal().removeprefix(PREFIX)
    try:
        found = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a text that is no base64") from None
    if not LEAST_SECRET <= len(found) <= LONGEST_SECRET:
        raise ValueError(f"a secret of {len(found)} bytes")
    return found


def message_id(text: str) -> str:
    """A name without a dot, which the signed text is divided by."""
    return f"msg_{re.sub(r'[^0-9A-Za-z]', '', text)}"


def signature(secret: bytes, name: str, timestamp: int, body: bytes) -> str:
    """One signature (Standard Webhooks, "Signature scheme")."""
    made = digest(secret, f"{name}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{b64encode(made).decode()}"


def _placed(url: str, base_url: str | None) -> str:
    """The URL; at the stand-in, where there is one."""
    if base_url is None:
        return url
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{base_url.rstrip('/')}{parts.path}{query}"


def _fitting(head: Mapping[str, object], note: contract.Notification, shrink: bool) -> bytes:
    """Less and less, until it is short enough."""
    made = b""
    for content in _contents(head, note, shrink):
        made = contract.as_json(content)
        if len(made) <= BODY_LIMIT:
            break
    return made


def _contents(
    head: Mapping[str, object], note: contract.Notification, shrink: bool
) -> Iterator[dict[str, object]]:
    for summary in note.summaries(shrink):
        yield {**head, "summary": summary}
    yield {name: value for name, value in head.items() if name != "node"} | {"summary": {}}


def _written(instant: float) -> str:
    """RFC 3339."""
    return f"{datetime.fromtimestamp(int(instant), UTC):%Y-%m-%dT%H:%M:%SZ}"


# The answer.


def read(response: contract.Response, now: float) -> contract.Outcome:
    """The outcome of a response; see the table above."""
    status = response.status
    reason = f"HTTP {status}"
    is_taken = 200 <= status <= 299
    may_unregister = is_taken or status in (400, 404, 410, 422)
    if may_unregister and response.json().get("unregistered") is True:
        return Unregistered(reason=f"{reason}: the receiver calls it unregistered")
    if is_taken:
        return Accepted()
    match status:
        case 410:  # an address that is no more says the same
            return Unregistered(guarded=True, reason=reason)
        case 401 | 403:
            return Refused(f"{reason}: the signature is not taken: other secret?", alarm=True)
        case 404 | 405:
            return Refused(f"{reason}: is url the receiver's?", alarm=True, guarded=True)
        case 429:  # there is one receiver for all
            return Busy(response.retry_after(now), Scope.BACKEND, reason)
    return contract.by_status(response, now)
