"""RFC 6120 §6, RFC 5802, RFC 4616: the conversations of SASL, without any transport.

Whatever a stranger sends wrong ends in `SASLFailure`. An authorization identity is checked
where it is read, against the user's own bare JID, so that no caller can forget it.
"""

import hmac
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final, Literal

from pushd.wire.element import Element, element
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import parse, prepare_local
from pushd.wire.namespaces import NS_SASL
from pushd.wire.scram import Hash, ScramKeys, derive, digest, fake_keys, salted, sign, verify
from pushd.wire.secret import Secret

__all__ = [
    "SCRAM",
    "Hash",
    "SASLFailure",
    "ScramClient",
    "ScramKeys",
    "ScramServer",
    "decode",
    "derive",
    "encode",
    "fake_keys",
    "plain",
    "verify",
]

# The SCRAM mechanisms, the one to prefer first: its hash, and whether it binds the channel.
SCRAM: Final[dict[str, tuple[Hash, bool]]] = {
    "SCRAM-SHA-512-PLUS": ("SHA-512", True),
    "SCRAM-SHA-256-PLUS": ("SHA-256", True),
    "SCRAM-SHA-1-PLUS": ("SHA-1", True),
    "SCRAM-SHA-512": ("SHA-512", False),
    "SCRAM-SHA-256": ("SHA-256", False),
    "SCRAM-SHA-1": ("SHA-1", False),
}
FEWEST_ITERATIONS: Final = 4_096  # that a client accepts (RFC 7677 §4)
MOST_ITERATIONS: Final = 10_000_000  # else a server could keep it busy for minutes

Condition = Literal[
    "aborted",
    "account-disabled",
    "credentials-expired",
    "encryption-required",
    "incorrect-encoding",
    "invalid-authzid",
    "invalid-mechanism",
    "malformed-request",
    "mechanism-too-weak",
    "not-authorized",
    "temporary-auth-failure",
]

_nonce = re.compile(r"[!-+\--~]+").fullmatch
_attribute = re.compile(r"([A-Za-z])=([^\0,]+)").fullmatch
_name = re.compile(r"(?:[^\0,=]|=2C|=3D)+").fullmatch
_iterations = re.compile(r"[1-9][0-9]{0,8}").fullmatch


class SASLFailure(Exception):
    """A login that fails, with a condition of RFC 6120 §6.5."""

    def __init__(self, condition: Condition, text: str = "") -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text

    def element(self) -> Element:
        """The `<failure/>` element (RFC 6120 §6.4.5)."""
        failure = element(NS_SASL, "failure", element(NS_SASL, self.condition))
        if self.text:
            failure.addChild(element(NS_SASL, "text", self.text))
        return failure


def decode(text: str) -> bytes:
    """Decode what an element of SASL carries; `=` and nothing at all are no bytes.

    An `<auth/>` without text has no initial response, one with `=` an empty one
    (RFC 6120 §6.4.2): only the caller sees which. Raises SASLFailure.
    """
    if text in ("", "="):
        return b""
    data = _unbase64(text)
    if data is None:
        raise SASLFailure("incorrect-encoding")
    return data


def encode(data: bytes) -> str:
    """The text of an element of SASL that carries these bytes."""
    return _base64(data) or "="


def plain(message: bytes, domain: str) -> tuple[str, Secret]:
    """Read the one message of PLAIN (RFC 4616 §2): the user's local part, and the password.

    Raises SASLFailure, for an authorization identity too that is not the user's own.
    """
    parts = _utf8(message).split("\0")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise _malformed("not a message of PLAIN")
    user = _user(parts[1], parts[0], domain)
    return user, Secret(parts[2])


class ScramServer:
    """One login by SCRAM, as the server sees it (RFC 5802 §5).

    `plus` says that the client chose the -PLUS mechanism, `offered_plus` that it could
    have; `channel_bindings` has the data of each type usable on this connection, and
    `domain` is the virtual host. Call `first`, then `challenge` with the keys of the user
    whom `first` names (`fake_keys` when there is none), then `finish`; once each, as all
    else is a failure of the login: a client in a hurry might send two messages at once.
    """

    def __init__(
        self,
        hash: Hash,
        plus: bool,
        channel_bindings: Mapping[str, bytes],
        offered_plus: bool,
        domain: str,
    ) -> None:
        self._hash = hash
        self._plus = plus
        self._bindings = channel_bindings
        self._offered_plus = offered_plus
        self._domain = domain
        self._binding = b""  # the header of GS2 and the channel's data
        self._nonce = ""
        self._transcript = ""  # the messages that both sides sign
        self._keys: ScramKeys | None = None
        self.username = ""

    def first(self, message: bytes) -> str:
        """Read the client's first message; returns the local part it names.

        Raises SASLFailure, for an authorization identity too that is not the user's own.
        """
        text = _utf8(message)
        flag, comma, rest = text.partition(",")
        identity, second_comma, bare = rest.partition(",")
        if not comma or not second_comma:
            raise _malformed("not a first message of SCRAM")
        data = self._channel_data(flag)
        if identity and not identity.startswith("a="):
            raise _malformed("not an authorization identity")
        attributes = _attributes(bare)
        if list(attributes)[:2] != ["n", "r"] or not _nonce(attributes["r"]):
            raise _malformed("a user name and a nonce are expected")
        authzid = _unescaped(identity[2:]) if identity else ""
        self.username = _user(_unescaped(attributes["n"]), authzid, self._domain)
        self._binding = f"{flag},{identity},".encode() + data
        self._nonce = attributes["r"]
        self._transcript = bare
        return self.username

    def _channel_data(self, flag: str) -> bytes:
        """Judge the client's word on channel binding (RFC 5802 §6)."""
        if flag.startswith("p="):
            if not self._plus:
                raise _malformed("channel binding needs a mechanism that ends in -PLUS")
            data = self._bindings.get(flag[2:])
            if data is None:
                raise SASLFailure("not-authorized", "unsupported type of channel binding")
            return data
        if flag not in ("n", "y"):
            raise _malformed("not a flag of channel binding")
        if self._plus:
            raise _malformed("a mechanism that ends in -PLUS needs channel binding")
        if flag == "y" and self._offered_plus:
            # The client did not see what we offered: someone between us took it away.
            raise SASLFailure("not-authorized", "channel binding was offered")
        return b""

    def challenge(self, keys: ScramKeys, nonce: str | None = None) -> bytes:
        """The server's first message. Raises SASLFailure when it is not its turn.

        `nonce` is the server's part of the nonce; a fresh one if None.
        """
        if not self._nonce or self._keys is not None:
            raise _malformed("out of order")
        self._nonce += secrets.token_urlsafe(18) if nonce is None else nonce
        self._keys = keys
        message = f"r={self._nonce},s={_base64(keys.salt)},i={keys.iterations}"
        self._transcript += f",{message}"
        return message.encode()

    def finish(self, message: bytes) -> bytes:
        """Check the client's final message; returns ours, which proves that we know the keys.

        Raises SASLFailure.
        """
        keys, nonce = self._keys, self._nonce
        self._keys, self._nonce = None, ""
        if keys is None:
            raise _malformed("out of order")
        text = _utf8(message)
        attributes = _attributes(text)
        letters = list(attributes)
        if letters[:2] != ["c", "r"] or letters[2:][-1:] != ["p"]:
            raise _malformed("channel binding, nonce and proof are expected")
        if not _equal(attributes["c"], _base64(self._binding)):
            raise SASLFailure("not-authorized", "channel binding does not match")
        if not _equal(attributes["r"], nonce):
            raise SASLFailure("not-authorized", "the nonce is not ours")
        proof = _unbase64(attributes["p"])
        if proof is None or len(proof) != len(keys.stored_key):
            raise _malformed("the proof is not base64 of the right length")
        self._transcript += f",{text.rpartition(',')[0]}"
        signed = self._transcript.encode()
        client_key = _xor(proof, sign(self._hash, keys.stored_key, signed))
        if not hmac.compare_digest(digest(self._hash, client_key), keys.stored_key):
            raise SASLFailure("not-authorized")
        return f"v={_base64(sign(self._hash, keys.server_key, signed))}".encode()


class ScramClient:
    """One login by SCRAM, as the client sees it (RFC 5802 §5): `first`, `final`, `verify`.

    `channel_binding` is the type and data of the binding this connection can do, or None.
    It is used when the server offers a -PLUS mechanism; else the client says that it would
    have, by which a server notices that its offer was taken away.
    """

    def __init__(
        self,
        hash: Hash,
        username: str,
        password: Secret,
        channel_binding: tuple[str, bytes] | None = None,
        server_offers_plus: bool = False,
    ) -> None:
        self.plus = channel_binding is not None and server_offers_plus
        self.mechanism = f"SCRAM-{hash}-PLUS" if self.plus else f"SCRAM-{hash}"
        self._hash = hash
        self._username = username
        self._password = password
        if channel_binding is None:
            self._header, self._data = "n,,", b""
        elif server_offers_plus:
            self._header, self._data = f"p={channel_binding[0]},,", channel_binding[1]
        else:
            self._header, self._data = "y,,", b""
        self._nonce = ""
        self._bare = ""
        self._signature = b""

    def first(self, nonce: str | None = None) -> bytes:
        """The client's first message. `nonce` is the client's part of it; a fresh one if None."""
        self._nonce = secrets.token_urlsafe(18) if nonce is None else nonce
        name = self._username.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}"
        return f"{self._header}{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """Answer the challenge. Raises SASLFailure.

        Blocks for milliseconds of CPU; for seconds, if the server asks for millions of
        iterations.
        """
        text = _utf8(challenge)
        attributes = _attributes(text)
        if list(attributes)[:3] != ["r", "s", "i"]:
            raise _malformed("nonce, salt and iterations are expected")
        nonce, salt = attributes["r"], _unbase64(attributes["s"])
        if not _nonce(nonce) or not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise SASLFailure("not-authorized", "the nonce does not continue ours")
        if not salt:
            raise _malformed("the salt is not base64")
        count = int(attributes["i"]) if _iterations(attributes["i"]) else 0
        if not FEWEST_ITERATIONS <= count <= MOST_ITERATIONS:
            raise SASLFailure("not-authorized", "an unreasonable number of iterations")
        final = f"c={_base64(self._header.encode() + self._data)},r={nonce}"
        signed = f"{self._bare},{text},{final}".encode()
        key = salted(self._hash, self._password, salt, count)
        client_key = sign(self._hash, key, b"Client Key")
        proof = _xor(client_key, sign(self._hash, digest(self._hash, client_key), signed))
        self._signature = sign(self._hash, sign(self._hash, key, b"Server Key"), signed)
        return f"{final},p={_base64(proof)}".encode()

    def verify(self, success: bytes) -> None:
        """Check the server's final message: that it knows the keys. Raises SASLFailure."""
        if not self._signature:
            raise SASLFailure("not-authorized", "success without a challenge")
        attributes = _attributes(_utf8(success))
        signature = _unbase64(attributes.get("v", ""))
        if signature is None or not hmac.compare_digest(signature, self._signature):
            raise SASLFailure("not-authorized", "the server does not know the password")


def _malformed(text: str) -> SASLFailure:
    return SASLFailure("malformed-request", text)


def _utf8(message: bytes) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise _malformed("not UTF-8") from None


def _user(name: str, authzid: str, domain: str) -> str:
    """The local part of the user, who may act for no one else (RFC 6120 §6.3.8)."""
    try:
        user = prepare_local(name)
    except JIDMalformed:
        text = "the user name is not the local part of an address"
        raise SASLFailure("not-authorized", text) from None
    if authzid:
        try:
            own = parse(authzid).full == f"{user}@{domain}"
        except JIDMalformed:
            own = False
        if not own:
            raise SASLFailure("invalid-authzid", "only the user's own bare JID is allowed")
    return user


def _attributes(text: str) -> dict[str, str]:
    """The attributes of a message of SCRAM, in order; optional extensions are among them."""
    attributes: dict[str, str] = {}
    for part in text.split(","):
        match = _attribute(part)
        if match is None or match[1] in attributes:
            raise _malformed("not a list of attributes")
        attributes[match[1]] = match[2]
    if "m" in attributes:
        raise _malformed("a mandatory extension is not supported")
    return attributes


def _unescaped(name: str) -> str:
    if not _name(name):
        raise _malformed("not a name")
    return name.replace("=2C", ",").replace("=3D", "=")


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _unbase64(text: str) -> bytes | None:
    """The bytes of canonical base64, or None: no white space, nothing left out or over."""
    try:
        data = b64decode(text)
    except ValueError:
        return None
    return data if _base64(data) == text else None


def _xor(one: bytes, other: bytes) -> bytes:
    """Of two that have the same length."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).to_bytes(len(one))


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
