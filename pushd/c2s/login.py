"""Logins: SASL between a client's stream and the accounts (RFC 6120 §6).

The conversations themselves are pure and live in `wire/sasl.py`; here they meet the
stored keys, the channel that they are bound to, and the threads that do the heavy sums.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from pushd.c2s.guard import Guard
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
from pushd.wire.secret import Secret

log = Logger()

NS_CHANNEL_BINDING = "urn:xmpp:sasl-cb:0"
PLAIN_HASH: Hash = "SHA-256"
TOO_MANY = "too many logins have failed; try again later"

InThread = Callable[..., "Deferred[Any]"]

# The channel binding types of a connection, with their data; None is one without TLS.
Channel = Mapping[str, bytes] | None


@dataclass(slots=True)
class Logins:
    """What all logins share. `secret` makes the keys of users who do not exist."""

    accounts: Accounts
    secret: bytes = field(repr=False)
    in_thread: InThread
    guard: Guard
    outcomes: Counter[str] = field(default_factory=Counter)  # "success", or what was wrong

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
    """One attempt. `begin` and `respond` fire with the element to say.

    `origin` is where it comes from (`net/origins`).
    """

    def __init__(self, logins: Logins, domain: str, channel: Channel, origin: str = "") -> None:
        self.account: JID | None = None  # set once the login has succeeded
        self.is_over = False
        self._logins = logins
        self._domain = domain
        self._channel = channel
        self._origin = origin
        self._waiting: Deferred[None] | None = None
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
        if self._waiting is not None:
            self._waiting.cancel()

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
        self._logins.outcomes[failure.condition] += 1
        return serialize(failure.element())

    async def _begin(self, initial: str) -> bytes:
        if self._mechanism not in self._logins.mechanisms(self._channel):
            if self._mechanism == "PLAIN":
                raise SASLFailure("encryption-required")
            raise SASLFailure("invalid-mechanism")
        if self._logins.guard.turns_away(self._origin):
            raise SASLFailure("temporary-auth-failure", TOO_MANY)
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
        return await self._judged(self._user, self._proven(message))

    async def _plain(self, message: bytes) -> bytes:
        name, password = plain(message, self._domain)
        user = self._jid(name)
        return await self._judged(user, self._fits(user, password))

    async def _proven(self, message: bytes) -> bytes:
        """The answer to a SCRAM client's final message."""
        assert self._scram is not None
        return self._scram.finish(message)

    async def _fits(self, user: JID, password: Secret) -> bytes:
        """PLAIN has no answer but success."""
        keys = await self._logins.keys(user.bare, PLAIN_HASH)
        if not await self._logins.in_thread(verify, keys, PLAIN_HASH, password):
            raise SASLFailure("not-authorized")
        return b""

    async def _judged(self, user: JID, checking: Coroutine[Any, Any, bytes]) -> bytes:
        """Check a password, but neither too often nor too early.

        The work is the same, and so is the answer, whether there is an account or not.
        """
        guard = self._logins.guard
        attempt = guard.attempt(self._origin, user.bare)
        try:
            await self._delay(attempt.delay)
            proof = await checking
        except SASLFailure:
            guard.failed(attempt)
            if attempt.is_vague:
                raise SASLFailure("temporary-auth-failure", TOO_MANY) from None
            raise
        except StorageError:
            guard.take_back(attempt)
            raise
        finally:
            checking.close()
        if attempt.is_put_off:
            raise SASLFailure("temporary-auth-failure", TOO_MANY)
        guard.succeeded(attempt)
        return self._succeed(user, proof)

    async def _delay(self, seconds: float) -> None:
        if not seconds:
            return
        self._waiting = deferLater(self._logins.guard.clock, seconds)
        try:
            await self._waiting
        except CancelledError:
            raise SASLFailure("aborted") from None
        finally:
            self._waiting = None

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
        self._logins.outcomes["success"] += 1
        return _say("success", proof)


def _say(name: str, data: bytes) -> bytes:
    content = encode(data) if data else ""
    return f"<{name} xmlns='{NS_SASL}'>{content}</{name}>".encode()
