"""The stand-in for Web Push on a bench: no sockets, and a sender written from the RFCs."""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pushd.simulators.webpush import ReceivedPush, WebPushSimulator
from tests.unit.simulators.bench import NOW, Response, Wire, result_of

URL = "https://push.test"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, for at most one block."""
    pseudorandom = hmac.digest(salt, secret, "sha256")
    return hmac.digest(pseudorandom, info + b"\x01", "sha256")[:length]


def encrypt(
    text: bytes,
    subscription: Mapping[str, Any],
    *,
    sender: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes = b"",
    record_size: int = 4096,
    end: bytes = b"\x02",
) -> bytes:
    """RFC 8291 §3.4 and RFC 8188 §2; `end` is the delimiter with its padding."""
    sender = sender or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    receiver = unb64(subscription["p256dh"])
    known = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), receiver)
    info = b"WebPush: info\0" + receiver + point(sender)
    secret = sender.exchange(ec.ECDH(), known)
    key = hkdf(unb64(subscription["auth"]), secret, info, 32)
    content_key = hkdf(salt, key, b"Content-Encoding: aes128gcm\0", 16)
    nonce = hkdf(salt, key, b"Content-Encoding: nonce\0", 12)
    header = salt + record_size.to_bytes(4, "big") + bytes([65]) + point(sender)
    return header + AESGCM(content_key).encrypt(nonce, text + end, None)


class Bench:
    """The stand-in with everything that belongs to it, and a VAPID key."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.simulator = WebPushSimulator(self.clock, URL, **options)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.wire = Wire(self.simulator.site.resource)

    @property
    def vapid(self) -> str:
        """The public key, as clients are told it."""
        return b64(point(self.key))

    def subscribe(self, service: str = "mozilla", name: str = "phone") -> dict[str, Any]:
        return dict(self.simulator.subscribe(service, name, self.vapid))

    def authorization(
        self, key: ec.EllipticCurvePrivateKey | None = None, k: str = "", **changes: Any
    ) -> str:
        """A VAPID header; None as a change leaves a claim out."""
        claims = {
            "aud": URL,
            "exp": int(self.clock.seconds()) + 43_200,
            "sub": "mailto:operator@example.net",
        } | changes
        said = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode(said, key or self.key, algorithm="ES256")
        return f"vapid t={token},k={k or self.vapid}"

    def push(
        self,
        subscription: Mapping[str, Any],
        text: bytes = b'{"message-count":1}',
        *,
        body: bytes | None = None,
        method: str = "POST",
        **headers: Any,
    ) -> Response:
        """A push as a well-behaved sender makes it, but for what is given; None leaves out."""
        return result_of(self.ask(subscription, text, body=body, method=method, **headers))

    def ask(
        self,
        subscription: Mapping[str, Any],
        text: bytes = b'{"message-count":1}',
        *,
        body: bytes | None = None,
        method: str = "POST",
        **headers: Any,
    ) -> "Deferred[Response]":
        usual: dict[str, Any] = {
            "TTL": "86400",
            "Urgency": "high",
            "Topic": b64(hashlib.sha256(b"node").digest())[:32],
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "Authorization": self.authorization(),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in usual.items() if value is not None}
        data = encrypt(text, subscription) if body is None else body
        return self.wire.ask(method, subscription["endpoint"], data=data, headers=given)

    def control(self, method: str, room: str, order: Any = None) -> Any:
        body = b"" if order is None else json.dumps(order).encode()
        return result_of(self.wire.ask(method, f"{URL}/control/{room}", data=body)).json

    @property
    def last(self) -> ReceivedPush:
        return self.simulator.requests[-1]
