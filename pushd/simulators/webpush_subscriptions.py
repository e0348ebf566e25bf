"""The subscriptions that the stand-in for Web Push gives out.

An endpoint says all that there is to know of its subscription, as Mozilla's do: whose name, and
the VAPID key that it is bound to. The rest is derived from a seed, so that a stand-in which is
started again with the same seed knows what it gave out before.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from pushd.simulators.webpush_crypto import (
    Receiver,
    derive,
    from_base64url,
    to_base64url,
)

MAX_KEPT = 1_000  # subscriptions that are listed

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a user agent gets, and what it keeps to itself.

    `path` is that of the endpoint, from the slash on and with its query. `vapid` is the SHA-256
    of the public key that pushes must be signed with, None when any key and none will do.
    """

    service: str
    path: str = field(repr=False)
    receiver: Receiver
    vapid: bytes | None = None
    name: str = field(default="", compare=False)

    def as_json(self, base_url: str) -> dict[str, Any]:
        """The fields of a registration, by pushd's names for them."""
        return {
            "name": self.name,
            "service": self.service,
            "endpoint": base_url + self.path,
            "p256dh": to_base64url(self.receiver.point),
            "auth": to_base64url(self.receiver.auth),
        }


class Subscriptions:
    """Makes subscriptions and finds them again. `paths` has the form of endpoints, by service and
    by whether they are bound to a key: what stands before and behind the part that tells them
    apart."""

    def __init__(self, paths: Mapping[tuple[str, bool], tuple[str, str]], seed: bytes) -> None:
        self._paths = paths
        self.seed = seed
        self._kept: OrderedDict[str, Subscription] = OrderedDict()  # by path

    def make(self, service: str, name: str = "", vapid: bytes | None = None) -> Subscription:
        """A subscription, bound to a VAPID public key (65 bytes) if there is one.

        The same service, name and key give the same one again; without a name it is new.
        """
        hashed = b"" if vapid is None else hashlib.sha256(vapid).digest()
        named = f"{service}\0{name}".encode("utf-8", "replace")
        salt = self._digest(b"name", named, hashed)[:16] if name else secrets.token_bytes(16)
        before, behind = self._paths[service, bool(hashed)]
        inside = salt + hashed
        tag = self._digest(b"tag", service.encode(), inside)[:8]
        path = before + to_base64url(inside + tag) + behind
        return self.adopt(self._derived(service, path, inside, hashed or None, name))

    def adopt(self, subscription: Subscription) -> Subscription:
        """Know a subscription, wherever its keys come from."""
        self._kept[subscription.path] = subscription
        self._kept.move_to_end(subscription.path)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return subscription

    def find(self, path: str) -> Subscription | None:
        """The subscription with this path, and None when nobody was given it."""
        known = self._kept.get(path)
        if known is not None:
            return known
        for (service, is_bound), (before, behind) in self._paths.items():
            if path.startswith(before) and path.endswith(behind):
                found = self._read(service, path, path[len(before) : len(path) - len(behind)])
                if found is not None and (found.vapid is not None) == is_bound:
                    return found
        return None

    def all(self) -> list[Subscription]:
        """The newest that were made in this run, oldest first."""
        return list(self._kept.values())

    def clear(self) -> None:
        """List none any longer. What was given out still works."""
        self._kept.clear()

    def _read(self, service: str, path: str, part: str) -> Subscription | None:
        try:
            inside, tag = from_base64url(part)[:-8], from_base64url(part)[-8:]
        except ValueError:
            return None
        if len(inside) not in (16, 48) or to_base64url(inside + tag) != part:
            return None
        if not hmac.compare_digest(tag, self._digest(b"tag", service.encode(), inside)[:8]):
            return None
        return self._derived(service, path, inside, inside[16:] or None)

    def _derived(
        self, service: str, path: str, inside: bytes, vapid: bytes | None, name: str = ""
    ) -> Subscription:
        material = derive(self.seed, inside, b"subscription " + service.encode(), 64)
        scalar = int.from_bytes(material[:48], "big") % (_ORDER - 1) + 1
        private = ec.derive_private_key(scalar, ec.SECP256R1())
        return Subscription(service, path, Receiver(private, material[48:]), vapid, name)

    def _digest(self, *parts: bytes) -> bytes:
        said = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self.seed, said, "sha256")
