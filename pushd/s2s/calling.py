"""The way to another server: its places in turn, until a stream stands at one of them."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as TookTooLong
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory

from pushd.net.calling import words_of
from pushd.net.mutual import Calling, CallingFactory
from pushd.net.racing import Racing
from pushd.net.srv import Lookup, LookupFailed, NoService, Resolver, Target, targets
from pushd.net.xmlprotocol import Trace, XMLStream
from pushd.s2s import options as policies
from pushd.s2s.faults import ABSENT, DENIED, Fault
from pushd.s2s.outgoing import Outgoing
from pushd.s2s.pairs import Pair

if TYPE_CHECKING:
    from pushd.s2s.peers import Peers

CONNECT_TIME = 10.0  # seconds for each address
# With these, a server has spoken for its domain: another of its places would say the same.
SPOKEN = frozenset(("refused", "authentication", "dialback"))
LONGEST = 60.0  # seconds, after which no other place is tried

PRIVATE = "not of the public internet: s2s.allow_private has such addresses connected to"

Told = Callable[[str, str], None]  # a step, and what came of it


class Caller:
    """Opens streams. `lookup` asks name servers; `resolver` looks up hosts, if not the system."""

    trace: Trace | None = None

    def __init__(
        self,
        reactor: Any,
        lookup: Lookup,
        resolver: Resolver | None = None,
        allow_private: bool = False,
    ) -> None:
        self._reactor = reactor
        self._resolver = resolver
        self.only_public = not allow_private  # but for places that the operator has named
        self._lookup = lookup
        self._chance = random.SystemRandom()

    async def call(
        self, peers: "Peers", pair: Pair, to_verify: bool = False, tell: Told | None = None
    ) -> Outgoing:
        """A stream that stands. Raises Fault: that of the place that was tried last."""
        remote = pair[1]
        if peers.options.policy_for(remote) == policies.DENY:
            raise Fault(DENIED, f"this server does not talk with {remote}")
        fault = Fault(ABSENT, f"{remote} has no server")
        until = peers.clock.seconds() + LONGEST
        for target in await self._targets(peers, remote, tell):
            try:
                return await self._try(peers, pair, target, to_verify)
            except Fault as found:
                fault = Fault(found.step, found.text)  # without the frames that it has passed
                if tell is not None:
                    tell(str(target), f"{found}")
                if found.step in SPOKEN or peers.is_stopping:
                    break
                if peers.clock.seconds() > until:
                    break  # others wait, and it may be that nobody means us to get through
        raise fault

    async def _targets(self, peers: "Peers", remote: str, tell: Told | None) -> list[Target]:
        place = peers.options.place_of(remote)
        if place is not None:
            return [Target(*place)]
        try:
            found = await targets(remote, self._lookup, self._chance)
        except NoService as error:
            raise Fault(ABSENT, str(error)) from None
        except LookupFailed as error:
            raise Fault("dns", str(error)) from None
        if tell is not None:
            none = "" if found[0].is_recorded else "none, so that the domain itself is tried: "
            tell("records", none + ", ".join(map(str, found)))
        return found

    async def _try(self, peers: "Peers", pair: Pair, target: Target, to_verify: bool) -> Outgoing:
        made = _Made(peers, pair, target, to_verify, self.trace)
        factory: IProtocolFactory = made
        if target.direct:
            factory = CallingFactory(Calling(peers.certificates, *pair), True, made)
        is_given = peers.options.place_of(pair[1]) is not None
        reactor = Racing(self._reactor, self._resolver, self.only_public and not is_given)
        endpoint = HostnameEndpoint(reactor, target.host, target.port, CONNECT_TIME)
        try:
            connected: Any = await endpoint.connect(factory)
        except DNSLookupError:
            if reactor.is_unanswered:
                words = f"the name servers have no answer for {target.host}"
                raise Fault("dns", words) from None
            words = f"{target.host} has no address"
            if reactor.left_out:
                words = f"{target.host} leads to {', '.join(reactor.left_out)}, {PRIVATE}"
            raise Fault(ABSENT, words) from None
        except TookTooLong:
            raise Fault("connect", f"no connection to {target} in time") from None
        except (ConnectError, OSError, ValueError, UnicodeError) as error:
            raise Fault("connect", f"no connection to {target}: {words_of(error)}") from None
        outgoing = made.settle(connected.wrappedProtocol if target.direct else connected)
        await outgoing.ready
        return outgoing


class _Made(Factory):
    """The streams of the connections that race; one of them wins.

    None is there before its connection: most domains that are nowhere cost no more than a question.
    """

    noisy = False

    def __init__(
        self, peers: "Peers", pair: Pair, target: Target, to_verify: bool, trace: Trace | None
    ) -> None:
        self._peers = peers
        self._given = (pair, target, to_verify)
        self._trace = trace
        self._made: list[tuple[XMLStream, Outgoing]] = []

    def buildProtocol(self, addr: IAddress | None) -> XMLStream:
        peers = self._peers
        options = peers.options
        stream = XMLStream(peers.clock, peers.turn, options.unauthenticated, options.backlog)
        stream.trace = self._trace
        stream.sluice = peers.sluice
        pair, target, to_verify = self._given
        outgoing = Outgoing(peers, pair, target, stream, to_verify)
        stream.receiver = outgoing
        self._made.append((stream, outgoing))
        return stream

    def settle(self, winner: XMLStream) -> Outgoing:
        """The stream of this connection, which the others have lost to."""
        made, self._made = self._made, []
        for stream, outgoing in made:
            if stream is not winner:
                outgoing.ready.addErrback(lambda failure: None)
        found = next(outgoing for stream, outgoing in made if stream is winner)
        self._peers.streams.add(found)
        return found
