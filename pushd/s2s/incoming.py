"""A stream that another server opens to us (RFC 6120 §4 to §6, XEP-0220, XEP-0178, XEP-0288)."""

from functools import lru_cache
from typing import TYPE_CHECKING

from twisted.logger import Logger

from pushd.net.admission import Guest
from pushd.net.probation import Probation
from pushd.net.xmlprotocol import XMLStream
from pushd.s2s import options as policies
from pushd.s2s.bidi import NS_BIDI, NS_BIDI_FEATURE, WayBack
from pushd.s2s.counting import ENABLED, Received
from pushd.s2s.keys import Keys
from pushd.s2s.limits import announced, announcement
from pushd.s2s.pairs import Pair, is_stanza
from pushd.s2s.stream import Stream
from pushd.wire import dialback
from pushd.wire.element import element, serialize, text
from pushd.wire.errors import JIDMalformed, StreamError
from pushd.wire.framer import StreamOpened
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_DIALBACK, NS_SASL, NS_SERVER, NS_SM, NS_STREAMS, NS_TLS
from pushd.wire.sasl import SASLFailure, decode
from pushd.wire.stanza import Stanza
from pushd.wire.stream import CLOSING, failed, header, is_supported, new_id

if TYPE_CHECKING:
    from pushd.s2s.peers import Peers

log = Logger()

PROCEED = f"<proceed xmlns='{NS_TLS}'/>".encode()
NEEDS_TLS = serialize(
    element(NS_STREAMS, "features", element(NS_TLS, "starttls", element(NS_TLS, "required")))
)
SUCCESS = f"<success xmlns='{NS_SASL}'/>".encode()
STRANGER_BYTES = 100_000  # that a server may say before it has proved who it is
RETRIES = 3  # of SASL, which come to the same (RFC 6120 §6.4.5)


class Incoming(Stream):
    """One connection of another server, and the pairs of domains that it has proved."""

    is_ours = False

    def __init__(
        self,
        peers: "Peers",
        stream: XMLStream,
        guest: Guest,
    ) -> None:
        super().__init__(peers, stream)
        self.remote = ""  # whom the header says that it speaks for
        self.id = ""
        self.is_over = False
        self._guest = guest
        self._local = ""
        self._is_open = False
        self._is_external = False
        self._way_back = WayBack(peers, self)
        self._attempts = 0  # at SASL, that failed
        self._noted: tuple[Pair, str] | None = None  # who was turned away, and why
        self._keys = Keys(peers, stream, guest.origin)
        self._probation: Probation | None = None
        peers.streams.add(self)

    # What the connection tells.

    def connected(self) -> None:
        self._probation = Probation(
            self._peers.clock,
            self._stream,
            self.end,
            "authentication",
            self._peers.options.authentication_timeout,
            STRANGER_BYTES,
        )
        self._watch()

    def opened(self, opening: StreamOpened) -> None:
        local = _domain(opening.attributes.get("to", ""))
        remote = _domain(opening.attributes.get("from", ""))
        known = self._peers.host.router.is_served(local)
        self._greet(local if known else min(self._peers.host.domains), remote)
        if opening.content != NS_SERVER:
            raise StreamError("invalid-namespace", f"the content of a stream here is {NS_SERVER}")
        if not is_supported(opening.attributes.get("version", "")):
            raise StreamError("unsupported-version", "TLS needs a stream of version 1.0")
        if not known:
            raise StreamError("host-unknown" if local else "improper-addressing")
        if self._local and local != self._local:
            raise StreamError("host-unknown", "the stream was for another domain before")
        if self.remote and remote and remote != self.remote:
            raise StreamError("invalid-from", "the stream was from another domain before")
        if self._peers.host.router.is_served(remote):
            raise StreamError("invalid-from", f"{remote} is here")
        if remote and not self._peers.reaches(remote):
            self.turn_away((local, remote), f"this server does not talk with {remote}")
            raise StreamError("policy-violation", f"this server does not talk with {remote}")
        self._local, self.remote = local, remote or self.remote
        if self._stream.is_secure:
            self._judge()
        self._stream.send(self._features())
        if self._is_external:
            self.turn_around()

    def received(self, stanza: Stanza) -> None:
        if is_stanza(stanza):
            if not self.pairs:
                raise StreamError("not-authorized", "nobody has proved to be anybody")
            self._take(stanza)
            if self._way_back.is_waiting:
                self._way_back.open()
        elif stanza.namespace == NS_TLS and stanza.name == "starttls":
            self._start_tls()
        elif stanza.namespace == NS_STREAMS and stanza.name == "error":
            self.leave("the peer says that something is wrong")
            self._stream.close(CLOSING)
        elif not self._stream.is_secure:
            raise StreamError("policy-violation", "TLS comes first")
        elif self._sent.is_unread:
            self.drop("the peer does not read")
        elif stanza.namespace == NS_DIALBACK:
            self._keys.said(self, stanza)
        elif stanza.namespace == NS_SM:
            self._manage(stanza)
        elif stanza.namespace == NS_SASL:
            self._authenticate(stanza)
        elif stanza.namespace == NS_BIDI and stanza.name == "bidi":
            self._way_back.is_wanted = not self.pairs or self._way_back.is_wanted
            self._most = announced(stanza.tree)
        else:
            raise StreamError("unsupported-stanza-type", f"no <{stanza.name}/> is expected here")

    def closed(self) -> None:
        self.leave("the peer closed the stream")
        self._stream.close(CLOSING)

    def offended(self, error: StreamError) -> None:
        self.end(error)

    def lost(self, reason: str) -> None:
        self.leave(reason)

    # What others ask of it.

    def is_allowed(self) -> bool:
        """Whether all its domains have proved what is demanded of them now."""
        remotes = {remote for _, remote in (*self.pairs, *self._keys.verifying)}
        policies_now = {remote: self._peers.options.policy_for(remote) for remote in remotes}
        return not any(
            policy == policies.DENY or (policy == policies.REQUIRE and self.fault_of(remote))
            for remote, policy in policies_now.items()
        )

    def end(self, error: StreamError) -> None:
        """Say why, and close."""
        if not self._is_open:
            self._greet(self._local or min(self._peers.host.domains), "")
        self.leave(error.condition)
        self._stream.close(serialize(error.element()) + CLOSING)

    def drop(self, reason: str) -> None:
        """Cut the connection: the peer hears nothing."""
        self.leave(reason)
        self._stream.abort()

    def retire(self) -> None:
        """Close it, unless it is about to be used.

        What the peer says meanwhile is heard, if it would not say it again. One that counts would:
        it has no acknowledgement.
        """
        if not self.pairs or self._keys.verifying:
            return
        reason = "it was idle"
        if self._received is None:
            self._turn_back(reason)
            self._stream.part(CLOSING)
        else:
            self.leave(reason)
            self._stream.close(CLOSING)

    # Headers and features.

    def _greet(self, local: str, remote: str) -> None:
        self._is_open = True
        self.id = new_id()
        self._stream.send(header(local, self.id, NS_SERVER, remote))

    def _judge(self) -> None:
        """What is the peer's certificate worth, if it has one?"""
        facts = self.facts
        if facts.tls and (facts.certificate != "unknown" or not self.remote):
            return
        self._note_tls()
        if self.remote:
            facts.certificate = self.fault_of(self.remote)
            if facts.certificate and self.needs_certificate(self.remote):
                self.turn_away((self._local, self.remote), f"the certificate: {facts.certificate}")

    def needs_certificate(self, remote: str) -> bool:
        """Whether a domain has to have a valid one, whatever else it proves itself by."""
        return self._peers.options.policy_for(remote) == policies.REQUIRE

    def fault_of(self, remote: str) -> str:
        """Why the peer's certificate is not valid for a domain; empty if it is."""
        connection = self._stream.connection()
        now = self._peers.clock.seconds()
        return self._peers.authorities.fault(connection, remote, now)

    def _features(self) -> bytes:
        if not self._stream.is_secure:
            return NEEDS_TLS
        size = self._peers.options.limits.stanza_bytes
        return _features(size, self._is_external, not self.facts.certificate)

    # TLS and SASL.

    def _start_tls(self) -> None:
        if self._stream.is_secure:
            raise StreamError("unsupported-stanza-type", "the stream has TLS")
        self._stream.start_tls(self._peers.certificates.options_for(self._front), PROCEED)
        self._is_open = False

    @property
    def _front(self) -> str:
        return self._peers.certificates.covering(self._local)

    def _authenticate(self, stanza: Stanza) -> None:
        """SASL EXTERNAL, for the domain of the header (XEP-0178 §3).

        Dialback does instead of it, and both at a time would leave two answers for one stream.
        """
        if stanza.name != "auth" or self.pairs or self._keys.verifying:
            raise StreamError("not-authorized", f"<{stanza.name}/> is not for now")
        condition = self._refusal(stanza)
        if condition:
            self._attempts += 1
            if self._attempts > RETRIES:
                raise StreamError("policy-violation", "too many attempts")
            failure = element(NS_SASL, "failure", element(NS_SASL, condition))
            self._stream.send(serialize(failure))
            return
        self._is_external = True
        self._stream.send(SUCCESS)
        self._is_open = False
        self._stream.restart(self._peers.options.limits)
        self.proved((self._local, self.remote), "EXTERNAL")

    def _refusal(self, stanza: Stanza) -> str:
        """Why the peer's certificate does not do; a condition of RFC 6120 §6.5."""
        if stanza.attributes.get("mechanism") != "EXTERNAL":
            return "invalid-mechanism"
        if self.facts.certificate or not self.remote:
            return "not-authorized"
        if self._peers.is_crowded((self._local, self.remote)):
            return "temporary-auth-failure"
        try:
            given = decode(text(stanza.tree).strip()).decode()
        except (SASLFailure, UnicodeDecodeError):
            return "incorrect-encoding"
        if given and _domain(given) != self.remote:
            return "invalid-authzid"
        return ""

    def turn_away(self, pair: Pair, reason: str) -> None:
        """Tell the operator why a pair is not taken; the same again, as by dialback, but once."""
        if (pair, reason) != self._noted:
            self._noted = (pair, reason)
            self._peers.turned_away.note(pair, reason)

    def proved(self, pair: Pair, method: str) -> None:
        """From now on the peer speaks for the pair's second domain to its first."""
        is_first = not self.pairs
        self.pairs[pair] = method
        self._keys.failures = 0
        self.used_at = self._peers.clock.seconds()
        if is_first:
            self._settle()
            self._guest.settle()
            self._admit(pair[1])
        self._peers.arrived(pair, method)

    def turn_around(self) -> None:
        """The stream stands: say on it what we have to say, if the peer wants that (XEP-0288)."""
        if self._way_back.stands(next(iter(self.pairs))):
            self._stream.bound(self._peers.options.backlog)

    def _manage(self, stanza: Stanza) -> None:
        """XEP-0198, for both ways. Nothing is resumed: what is lacking comes by another stream."""
        match stanza.name:
            case "enable" if self.pairs and self._received is None:
                self._received = Received(self._stream, self._peers.host.database)
                self._sent.count()
                self._stream.send(ENABLED)
                if self._way_back.is_waiting:
                    self._way_back.open()
            case "enable" | "resume":
                self._stream.send(failed("unexpected-request"))
            case _:
                self._count(stanza)

    # The end.

    def _turn_back(self, reason: str) -> None:
        """What we have to say goes by other streams from now on."""
        self._way_back.close(self._sent.rest(), reason)

    def leave(self, reason: str) -> None:
        """It is over: nothing of it counts any more, though it may still say something."""
        if self.is_over:
            return
        self.is_over = True
        self._settle()
        self._peers.streams.discard(self)
        self._turn_back(reason)
        for pair in self.pairs:
            self._peers.lost(pair, False, reason)

    def _settle(self) -> None:
        if self._probation is not None:
            self._probation.over()
            self._probation = None


@lru_cache(16)
def _features(size: int, is_external: bool, has_certificate: bool) -> bytes:
    """What is offered under TLS."""
    offers = [
        element(dialback.NS_FEATURE, "dialback", element(dialback.NS_FEATURE, "errors")),
        element(NS_SM, "sm"),
        announcement(size),
    ]
    if not is_external:
        offers.append(element(NS_BIDI_FEATURE, "bidi"))
        if has_certificate:
            external = element(NS_SASL, "mechanism", "EXTERNAL")
            offers.insert(0, element(NS_SASL, "mechanisms", external))
    return serialize(element(NS_STREAMS, "features", *offers))


def _domain(address: str) -> str:
    """The domain that an address is; empty for none, and for what is more than a domain."""
    try:
        jid = parse(address)
    except JIDMalformed:
        return ""
    return jid.domain if jid.full == jid.domain else ""
