"""Logins: SASL between a client's stream and the accounts (RFC 6120 §6).

The conversations themselves are pure and live in `wire/sasl.py`; here they meet the
stored keys, the channel that they are bound to, and the threads that do the heavy sums.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pushd.routing.accounts import Accounts
from pushd.storage.errors import StorageError
from pushd.wire.element import Element, element, serialize
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import JID
from pushd.wire.namespaces import NS_SASL
from pushd.wire.sasl import (
    SCRAM,
    Hash,
    SASLFailure,
    ScramKeys,
    ScramServer,
    decode,
    encode,
    fake_keys,
    plain,
    verify,
)

log = Logger()

NS_CHANNEL_BINDING = "urn:xmpp:sasl-cb:0"
PLAIN_HASH: Hash = "SHA-256"

InThread = Callable[..., "Deferred[Any]"]

# The channel binding types of a connection, with their data; None is one without TLS.
Channel = Mapping[str, bytes] | None


@dataclass(slots=True)
class Logins:
    """What all logins share. `secret` makes the keys of users who do not exist."""

    accounts: Accounts
    secret: bytes
    in_thread: InThread

    def mechanisms(self, channel: Channel) -> list[str]:
        """What is offered on this connection; PLAIN and -PLUS only under TLS."""
        names = [name for name, (_, plus) in SCRAM.items() if channel or not plus]
        return names if channel is None else [*names, "PLAIN"]

    def features(self, channel: Channel) -> list[Element]:
        """The stream features of a stream that is to log in (RFC 6120 §6.3.3, XEP-0440)."""
        names = (element(NS_SASL, "mechanism", name) for name in self.mechanisms(channel))
        features = [element(NS_SASL, "mechanisms", *names)]
        if channel:
            types = (element(NS_CHANNEL_BINDING, "channel-binding", type=kind) for kind in channel)
            features.append(element(NS_CHANNEL_BINDING, "sasl-channel-binding", *types))
        return features

    async def keys(self, bare: str, hash_name: Hash) -> ScramKeys:
        """The keys of an account, or such that no password fits: nobody can tell which."""
        keys = await self.accounts.keys(bare, hash_name)
        return keys or fake_keys(self.secret, hash_name, bare)


class Login:
    """One attempt. `begin` and `respond` fire with the element to say."""

    def __init__(self, logins: Logins, domain: str, channel: Channel) -> None:
        self.account: JID | None = None  # set once the login has succeeded
        self.is_over = False
        self._logins = logins
        self._domain = domain
        self._channel = channel
        self._mechanism = ""
        self._scram: ScramServer | None = None
        self._user: JID | None = None

    def begin(self, mechanism: str, initial: str) -> "Deferred[bytes]":
        """`<auth/>` came. `initial` is its text, empty when there is no initial response."""
        self._mechanism = mechanism
        return Deferred.fromCoroutine(self._guarded(self._begin(initial)))

    def respond(self, text: str) -> "Deferred[bytes]":
        """`<response/>` came."""
        return Deferred.fromCoroutine(self._guarded(self._continue(text)))

    def abort(self) -> bytes:
        """`<abort/>` came (RFC 6120 §6.4.4)."""
        return self._fail(SASLFailure("aborted"))

    def abandon(self) -> None:
        """The stream is gone; whatever is still worked out counts no more."""
        self.is_over = True
        self.account = None

    async def _guarded(self, working: Any) -> bytes:
        try:
            reply: bytes = await working
        except SASLFailure as failure:
            return self._fail(failure)
        except StorageError:
            return self._fail(SASLFailure("temporary-auth-failure"))
        return reply

    def _fail(self, failure: SASLFailure) -> bytes:
        self.is_over = True
        return serialize(failure.element())

    async def _begin(self, initial: str) -> bytes:
        if self._mechanism not in self._logins.mechanisms(self._channel):
            if self._mechanism == "PLAIN":
                raise SASLFailure("encryption-required")
            raise SASLFailure("invalid-mechanism")
        if self._mechanism != "PLAIN":
            hash_name, plus = SCRAM[self._mechanism]
            bindings = self._channel or {}
            self._scram = ScramServer(hash_name, plus, bindings, bool(bindings), self._domain)
        if not initial:
            return f"<challenge xmlns='{NS_SASL}'/>".encode()
        return await self._continue(initial)

    async def _continue(self, text: str) -> bytes:
        message = decode(text)
        if self._scram is None:
            return await self._plain(message)
        if self._user is None:
            self._user = self._jid(self._scram.first(message))
            keys = await self._logins.keys(self._user.bare, SCRAM[self._mechanism][0])
            return _say("challenge", self._scram.challenge(keys))
        proof = self._scram.finish(message)
        return self._succeed(self._user, proof)

    async def _plain(self, message: bytes) -> bytes:
        name, password = plain(message, self._domain)
        user = self._jid(name)
        keys = await self._logins.keys(user.bare, PLAIN_HASH)
        if not await self._logins.in_thread(verify, keys, PLAIN_HASH, password):
            raise SASLFailure("not-authorized")
        return self._succeed(user, b"")

    def _jid(self, local: str) -> JID:
        try:
            return JID.of(local, self._domain)
        except JIDMalformed:
            raise SASLFailure("not-authorized") from None

    def _succeed(self, user: JID, proof: bytes) -> bytes:
        account = self._logins.accounts.get(user.bare)
        if self.is_over or account is None:
            raise SASLFailure("not-authorized")
        if account.disabled:  # said to nobody but who knows the password (RFC 6120 §6.5.1)
            raise SASLFailure("account-disabled", account.reason)
        self.is_over = True
        self.account = user
        return _say("success", proof)


def _say(name: str, data: bytes) -> bytes:
    content = encode(data) if data else ""
    return f"<{name} xmlns='{NS_SASL}'>{content}</{name}>".encode()
