"""All other servers: a route to each domain that is written to, and the streams there are."""

import random
import secrets
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.net.mutual import Authorities
from pushd.net.pace import Budget, Budgets
from pushd.net.sluice import Sluice
from pushd.net.tls import CertificateStore
from pushd.net.turn import Turn
from pushd.routing.events import PeerConnected, PeerLost, PeerUnreachable
from pushd.routing.host import Host
from pushd.s2s import options as policies
from pushd.s2s.calling import Caller
from pushd.s2s.faults import DENIED, Fault
from pushd.s2s.kept import Kept
from pushd.s2s.lines import Lines
from pushd.s2s.options import Options
from pushd.s2s.outgoing import Outgoing
from pushd.s2s.pairs import Pair, Waiting
from pushd.s2s.route import FULL, Link, Route
from pushd.s2s.shares import OTHERS, Asker, Shares, asker, asker_of
from pushd.s2s.stream import Stream
from pushd.s2s.turned_away import TurnedAway
from pushd.s2s.turns import Turns
from pushd.wire import dialback
from pushd.wire.dialback import Said
from pushd.wire.errors import ItemNotFound, JIDMalformed, StanzaError, StreamError
from pushd.wire.jid import JID, neighbourhood, parse
from pushd.wire.stanza import Stanza

log = Logger()

CALLS = 100  # streams that are being opened at a time
CALLS_OF_ONE = 20  # of these, for one who asks
ROUTES = 20_000  # domains that are written to, or were a moment ago
ROUTES_OF_ONE = 2_000  # of these, that one asker was the first to write to
ALL_QUEUES = 64 << 20  # bytes that wait for streams, or for peers, all together
QUEUES_OF_ONE = 8 << 20  # of these, those of one asker
WEIGHT = 1_000  # bytes that a stanza takes besides its own
LOOK = 30.0  # seconds between two looks at the streams
JOINING = 5.0  # seconds for a peer to take another domain of ours on a stream that stands
APART = 86_400.0  # seconds for which we remember that one does not
MANY = 1_000  # of those
LINES = 1_000  # in the log about streams that do not come to stand, in each hour


class Peers:
    """The hall's way to other servers. `certificates` are what we show, and what we take TLS up
    with; `authorities` say whom we believe."""

    def __init__(
        self,
        host: Host,
        turn: Turn,
        options: Options,
        certificates: CertificateStore,
        authorities: Authorities,
        caller: Caller,
    ) -> None:
        self.host = host
        self.clock = host.clock
        self.turn = turn
        self.options = options
        self.certificates = certificates
        self.authorities = authorities
        self.secret = secrets.token_bytes(32)  # of this run: no key outlives its stream anyway
        self.streams: set[Stream] = set()
        self.routes: dict[Pair, Route] = {}
        self.turned_away = TurnedAway(self.clock)
        self.kept = Kept(self.clock, host.database, self._give)
        self.chance = random.SystemRandom().random
        self.is_starting = True  # what comes now was accepted before: there is room for it
        self.sluice = Sluice(self.clock, turn)
        self.is_stopping = False
        self.caller = caller
        self._carriers: dict[str, Outgoing] = {}  # by their domains: others of ours may join them
        self._apart: dict[str, float] = {}  # until when each of ours has its own stream to these
        self._started = Shares(ROUTES, ROUTES_OF_ONE)  # routes, by who was the first to write there
        self._room = Shares(ALL_QUEUES, QUEUES_OF_ONE)
        self._incoming: Counter[Pair] = Counter()  # streams, by what was proved on them
        self._calls = Turns(CALLS, CALLS_OF_ONE)  # of users
        self._answers = Turns(CALLS, CALLS_OF_ONE)  # and whatever else others bring about
        self._checks = Turns(CALLS, CALLS_OF_ONE)  # of keys: strangers keep no user waiting
        self._budgets = Budgets(options.rate)  # of domains, with those beside them
        self._lines = Lines(self.clock, LINES, _tell_of_more)
        self._timer: IDelayedCall | None = None
        host.router.remote = self.send
        host.router.reaches = self.reaches

    def start(self) -> None:
        """From now on stanzas come; streams and routes are looked after, until `stop`."""
        self.is_starting = False
        self._timer = self.clock.callLater(LOOK, self._look)

    def stop(self) -> None:
        """The server stops, and says so. What has not arrived goes on at the next start."""
        self.is_stopping = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for stream in list(self.streams):
            stream.end(StreamError("system-shutdown"))
        for route in list(self.routes.values()):  # what a stream has left is there by now
            route.stop()
        self.kept.stop()

    def rule(self, options: Options) -> None:
        """From now on these hold; whoever has not proved what they demand is left."""
        self.options = options
        words = "this server does not talk with you any more, or wants a certificate"
        for stream in [one for one in self.streams if not one.is_allowed()]:
            stream.end(StreamError("policy-violation", words))

    # Stanzas on their way out.

    def reaches(self, domain: str) -> bool:
        """Whether we would talk with this domain, should there be one."""
        return self.options.policy_for(domain) != policies.DENY

    def send(self, stanza: Stanza, to: JID) -> None:
        """Say a stanza to another server, or give it back."""
        try:
            sender = parse(stanza.attributes["from"])
        except (KeyError, JIDMalformed):
            return  # nobody could be answered
        local = sender.domain
        if not self.host.router.is_served(local):
            return
        if self.is_stopping:
            now = self.clock.seconds()
            self.keep(Waiting(stanza, now, now, len(stanza.raw)))
            return
        if not self.reaches(to.domain):
            fault = Fault(DENIED, f"this server does not talk with {to.domain}")
            self.refuse(stanza, fault.error())
            return
        pair = (local, to.domain)
        route = self.routes.get(pair)
        if route is None:
            who = asker(sender, to, stanza.type)
            if not (self.is_starting or self._started.has_room(who, 1)):
                self.refuse(stanza, FULL)
                return
            route = self.routes[pair] = Route(self, pair, who)
            self._started.take(who, 1)
        route.send(stanza)
        if not route.link:
            self.forget_if_idle(route)  # it may have had no room there

    def keep(self, one: Waiting) -> None:
        """It is accepted. A question of our own is not kept: nobody will wait for the answer."""
        stanza = one.stanza
        if stanza.name != "iq" or not self.host.requests.is_ours(stanza):
            self.kept.add(one)

    def give_back(self, one: Waiting, error: StanzaError) -> None:
        """What was accepted does not arrive."""
        self.kept.drop(one)
        self.refuse(one.stanza, error)

    def refuse(self, stanza: Stanza, error: StanzaError) -> None:
        """Give a stanza back that was not accepted."""
        self.host.router.refuse(stanza, error)

    @property
    def waiting(self) -> int:
        """Bytes of memory for what waits for a stream, or for a peer that is behind."""
        return self._room.taken

    def has_room(self, one: Waiting) -> bool:
        """Whether that may wait, too: there is room, and who has written it has his share."""
        return self._room.has_room(asker_of(one.stanza), one.size + WEIGHT)

    def take(self, one: Waiting) -> None:
        """It waits from now on, until it has arrived or has gone back."""
        one.stanza.fold()
        if one.who is None:
            one.who = asker_of(one.stanza)
            self._room.take(one.who, one.size + WEIGHT)

    def _give(self, one: Waiting) -> None:
        if one.who is not None:
            self._room.give(one.who, one.size + WEIGHT)
            one.who = None

    def forget_if_idle(self, route: Route) -> None:
        """Forget a route of which nothing is known that somebody could need."""
        if route.is_idle and self.routes.get(route.pair) is route:
            del self.routes[route.pair]
            if route.who is not None:
                self._started.give(route.who, 1)

    def forget_later(self, route: Route) -> None:
        """Keep in mind for a while that there is no way."""
        delay = max(0.0, route.rests_until - self.clock.seconds())
        self.clock.callLater(delay, self.forget_if_idle, route)

    # Streams.

    def call(self, pair: Pair, who: Asker) -> "Deferred[Outgoing]":
        """A stream for two domains, over one that stands or a new one; fires once it stands.

        It is opened in the turn of who has asked. Fails with a Fault.
        """
        carrier = self._carriers.get(pair[1])
        if carrier is None or carrier.pair == pair or not carrier.may_carry:
            return self._open(pair, who)
        if self._apart.get(pair[1], 0.0) > self.clock.seconds():
            return self._open(pair, who)
        added: Deferred[Any] = self._in_time(carrier.add(pair[0]), JOINING)
        return added.addCallbacks(
            lambda ignored: self._joined(carrier, pair),
            lambda failure: self._stays_apart(failure, pair, who),
        )

    def _joined(self, carrier: Outgoing, pair: Pair) -> Outgoing:
        self.host.events.emit(PeerConnected(*pair, True, "dialback"))
        return carrier

    def _stays_apart(self, failure: Failure, pair: Pair, who: Asker) -> "Deferred[Outgoing]":
        """The peer does not take another domain on that stream; a new one may do.

        One that has not even an answer is not asked again soon.
        """
        failure.trap(Fault)
        if getattr(failure.value, "step", "") not in ("authentication", "closed"):
            self._apart.pop(pair[1], None)
            if len(self._apart) >= MANY:
                del self._apart[next(iter(self._apart))]
            self._apart[pair[1]] = self.clock.seconds() + APART
        return self._open(pair, who)

    def _open(self, pair: Pair, who: Asker) -> "Deferred[Outgoing]":
        turns = self._answers if who.group == OTHERS else self._calls
        called: Deferred[Outgoing] = turns.run(
            who.name, lambda: Deferred.fromCoroutine(self.caller.call(self, pair))
        )
        return called.addCallback(self._connected)

    def vouch(self, said: Said) -> bytes:
        """The answer to who asks whether a key is that of a domain of ours (XEP-0220 §2.2.2)."""
        between = (said.recipient, said.sender)
        if not self.host.router.is_served(said.recipient):
            error = ItemNotFound(f"{said.recipient} is not here")
            return dialback.refusal("verify", *between, error, said.id)
        is_ours = dialback.is_key(said.key, self.secret, said.sender, said.recipient, said.id)
        type = dialback.VALID if is_ours else dialback.INVALID
        return dialback.answer("verify", *between, type, said.id)

    def verify(self, pair: Pair, id: str, key: str, who: str) -> "Deferred[Said]":
        """Ask the server of `pair[1]` whether that key of a stream to us is its own.

        It is the turn of `who`, the origin of that stream.
        Over the stream that stands, or one for this question. Fails with a Fault.
        """
        route = self.routes.get(pair)
        if route is not None and isinstance(route.link, Outgoing):
            return self._in_time(route.link.verify(pair[0], id, key), self._patience)
        asked: Deferred[Said] = self._checks.run(
            who, lambda: Deferred.fromCoroutine(self.caller.call(self, pair, to_verify=True))
        ).addCallback(self._verify, pair[0], id, key)
        return asked

    def _verify(self, outgoing: Outgoing, local: str, id: str, key: str) -> "Deferred[Said]":
        """Ask one question, and hang up."""

        def done(answer: Any) -> Any:
            outgoing.close()
            return answer

        return self._in_time(outgoing.verify(local, id, key), self._patience).addBoth(done)

    @property
    def _patience(self) -> float:
        return self.options.authentication_timeout

    def _in_time(self, asked: "Deferred[Said]", seconds: float) -> "Deferred[Said]":
        def late(failure: Failure) -> Said:
            failure.trap(TookTooLong)
            raise Fault("timeout", "the key is not verified in time")

        asked.addTimeout(seconds, self.clock)
        return asked.addErrback(late)

    def adopt(self, pair: Pair, link: Link) -> None:
        """The peer lets us speak on the stream that it opened (XEP-0288)."""
        route = self.routes.get(pair)
        if route is None:
            route = self.routes[pair] = Route(self, pair)
        if route.link is None:
            route.adopt(link)

    def left(self, pair: Pair, link: Link, left: list[Waiting], reason: str) -> None:
        """Such a stream is gone."""
        route = self.routes.get(pair)
        if route is not None:
            route.lost(link, left, reason)

    def failed(self, pair: Pair, fault: Fault) -> None:
        """A stream does not come to stand."""
        if self._lines.allow():
            log.info(
                "no stream from {local} to {remote}: {fault}",
                local=pair[0],
                remote=pair[1],
                fault=str(fault),
            )
        self.host.events.emit(PeerUnreachable(*pair, fault.step))

    def _connected(self, outgoing: Outgoing) -> Outgoing:
        if outgoing.may_carry:
            self._carriers.setdefault(outgoing.pair[1], outgoing)
        route = self.routes.get(outgoing.pair)
        if route is not None and route.fault is not None:  # which the log has
            local, remote = outgoing.pair
            log.info("{remote} is reached again from {local}", local=local, remote=remote)
        self.host.events.emit(PeerConnected(*outgoing.pair, True, outgoing.facts.method))
        return outgoing

    def budget_of(self, remote: str, address: str) -> Budget | None:
        """How much a domain may send from this address."""
        return self._budgets.of(neighbourhood(remote), self.options.origins.of(address))

    def is_crowded(self, pair: Pair) -> bool:
        """Whether a domain has as many streams to us as it may."""
        return self._incoming[pair] >= self.options.streams_per_domain

    def arrived(self, pair: Pair, method: str) -> None:
        """A peer has proved on its stream that it is `pair[1]`."""
        self._incoming[pair] += 1
        self.host.events.emit(PeerConnected(*pair, False, method))

    def lost(self, pair: Pair, is_outgoing: bool, reason: str) -> None:
        """A stream that stood is gone."""
        if is_outgoing:
            carrier = self._carriers.get(pair[1])
            if carrier is not None and not carrier.may_carry:
                del self._carriers[pair[1]]
        else:
            self._incoming[pair] -= 1
            if self._incoming[pair] <= 0:
                del self._incoming[pair]
        self.host.events.emit(PeerLost(*pair, is_outgoing, reason))

    def _look(self) -> None:
        self._timer = self.clock.callLater(LOOK, self._look)
        now = self.clock.seconds()
        for stream in list(self.streams):
            stream.look(now)


def _tell_of_more() -> None:
    log.warn("many servers are not reached: `pushdctl s2s list` has those that are written to")
