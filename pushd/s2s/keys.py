"""Keys that another server shows on a stream that it opened to us (XEP-0220 §2.2 and §2.3).

By a key it says that it speaks for a domain, or asks whether one is ours. Whether it does speak for
the domain, the domain's own server says.
"""

from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.net.xmlprotocol import XMLStream
from pushd.s2s.faults import Fault
from pushd.s2s.pairs import Pair
from pushd.wire import dialback
from pushd.wire.errors import (
    ItemNotFound,
    NotAllowed,
    NotAuthorized,
    PolicyViolation,
    RemoteServerTimeout,
    ResourceConstraint,
    StanzaError,
    StreamError,
)
from pushd.wire.stanza import Stanza
from pushd.wire.stream import CLOSING

if TYPE_CHECKING:
    from pushd.s2s.incoming import Incoming
    from pushd.s2s.peers import Peers

log = Logger()

VERIFIED_AT_ONCE = 10  # pairs of domains whose keys are being verified for one stream
MOST_PAIRS = 100  # of one stream
MOST_FAILURES = 100  # in a row to prove one, until the stream is closed


class Keys:
    """What dialback has to prove on one stream, which comes from `origin`.

    The side of the stream that it proves it to is told each time: nothing here holds on to it.
    """

    def __init__(self, peers: "Peers", stream: XMLStream, origin: str) -> None:
        self.verifying: set[Pair] = set()
        self.failures = 0  # in a row
        self._peers = peers
        self._stream = stream
        self._origin = origin

    def said(self, owner: "Incoming", stanza: Stanza) -> None:
        """An element of dialback came."""
        said = dialback.read(stanza)
        if not said.is_question:
            return  # an answer to nothing that we have asked here
        if said.name == "verify":
            self._stream.send(self._peers.vouch(said))  # a key that is said to be ours
        else:
            self._result(owner, said)

    def _result(self, owner: "Incoming", said: dialback.Said) -> None:
        """The peer would speak for a domain: ask that domain's server about its key."""
        pair = (said.recipient, said.sender)
        if pair in owner.pairs:
            self._stream.send(dialback.answer("result", *pair, dialback.VALID))
            return
        refusal = self._unfit(owner, pair)
        if refusal is not None:
            owner.turn_away(pair, refusal.text)
            self._refuse(owner, pair, refusal)
            return
        self.verifying.add(pair)
        asked = self._peers.verify(pair, owner.id, said.key, self._origin)
        asked.addCallbacks(
            self._verified, self._unverified, callbackArgs=(owner, pair), errbackArgs=(owner, pair)
        )
        asked.addErrback(self._broke, owner)

    def _unfit(self, owner: "Incoming", pair: Pair) -> StanzaError | None:
        """Why a pair cannot be proved by dialback, whatever the key."""
        local, remote = pair
        if not self._peers.host.router.is_served(local):
            return ItemNotFound(f"{local} is not here")
        if self._peers.host.router.is_served(remote):
            return NotAllowed(f"{remote} is here")
        if not self._peers.reaches(remote):
            return PolicyViolation(f"this server does not talk with {remote}")
        fault = owner.fault_of(remote) if owner.needs_certificate(remote) else ""
        if fault:
            return NotAuthorized(f"the certificate: {fault}")
        too_many = len(self.verifying) >= VERIFIED_AT_ONCE or len(owner.pairs) >= MOST_PAIRS
        if pair in self.verifying or too_many or self._peers.is_crowded(pair):
            return ResourceConstraint("too many streams, or domains on one")
        return None

    def _verified(self, said: dialback.Said, owner: "Incoming", pair: Pair) -> None:
        self.verifying.discard(pair)
        if owner.is_over:
            return
        if said.type == dialback.VALID:
            self._stream.send(dialback.answer("result", *pair, dialback.VALID))
            self._stream.limit(self._peers.options.limits)
            owner.proved(pair, "dialback")
            owner.turn_around()
        elif said.type == dialback.INVALID:
            owner.turn_away(pair, "the domain's own server does not know its key")
            self._stream.send(dialback.answer("result", *pair, dialback.INVALID))
            if not owner.pairs:
                owner.leave("its dialback key is not the domain's")
                self._stream.close(CLOSING)
            else:
                self._count_failure(owner)
        else:
            owner.turn_away(pair, "the domain's own server does not say whether its key is good")
            self._refuse(owner, pair, RemoteServerTimeout("its server has no answer"))

    def _unverified(self, failure: Failure, owner: "Incoming", pair: Pair) -> None:
        self.verifying.discard(pair)
        failure.trap(Fault)
        fault = failure.value
        assert isinstance(fault, Fault)
        owner.turn_away(pair, f"its key cannot be verified: {fault}")
        if not owner.is_over:
            self._refuse(owner, pair, fault.error())

    def _refuse(self, owner: "Incoming", pair: Pair, error: StanzaError) -> None:
        self._stream.send(dialback.refusal("result", *pair, error))
        self._count_failure(owner)

    def _count_failure(self, owner: "Incoming") -> None:
        """Each has cost us something, and maybe others, who were asked."""
        self.failures += 1
        if self.failures >= MOST_FAILURES:
            owner.end(StreamError("policy-violation", "too many domains were not proved"))

    def _broke(self, failure: Failure, owner: "Incoming") -> None:
        log.failure("dialback failed", failure)
        if not owner.is_over:
            owner.end(StreamError("internal-server-error"))
