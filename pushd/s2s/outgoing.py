"""A stream that we open to another server (RFC 6120 §4 to §6, XEP-0220, XEP-0178, XEP-0288)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pushd.net.mutual import Calling
from pushd.net.srv import Target
from pushd.net.xmlprotocol import XMLStream
from pushd.s2s import options as policies
from pushd.s2s.bidi import NS_BIDI, NS_BIDI_FEATURE
from pushd.s2s.counting import ENABLE, Received
from pushd.s2s.faults import REFUSALS, Fault
from pushd.s2s.limits import announced, announcement
from pushd.s2s.pairs import Pair, Waiting, is_stanza
from pushd.s2s.questions import Questions
from pushd.s2s.stream import Stream
from pushd.wire import dialback
from pushd.wire.element import Element, child, children, element, serialize, text
from pushd.wire.errors import FeatureNotImplemented, StreamError
from pushd.wire.framer import StreamOpened
from pushd.wire.namespaces import (
    NS_DIALBACK,
    NS_SASL,
    NS_SERVER,
    NS_SM,
    NS_STREAM_ERRORS,
    NS_STREAMS,
    NS_TLS,
)
from pushd.wire.stanza import Stanza
from pushd.wire.stream import CLOSING, header, is_supported

if TYPE_CHECKING:
    from pushd.s2s.peers import Peers

log = Logger()

START_TLS = f"<starttls xmlns='{NS_TLS}'/>".encode()
EXTERNAL = f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'>=</auth>".encode()
FEATURE = f"{dialback.NS_FEATURE} dialback"
Lost = Callable[[list[Waiting], str], None]
MOST = 200_000  # bytes that a peer may say before its stream stands


class Outgoing(Stream):
    """One stream from `pair[0]`, ours, to `pair[1]`, theirs.

    `ready` fires once the peer has taken us for who we are, and fails with a `Fault`. With
    `to_verify`, it fires as soon as keys may be verified. Other domains of ours may join (`add`,
    XEP-0220 §2.1). When it is gone, each that `listen`s for a pair is called once,
    with what the peer has not acknowledged and why the stream ended.
    """

    is_ours = True

    def __init__(
        self, peers: "Peers", pair: Pair, target: Target, stream: XMLStream, to_verify: bool = False
    ) -> None:
        super().__init__(peers, stream)
        self.ready: Deferred[None] = Deferred()
        self.facts.target = str(target)
        self.pair = pair
        self._local, self._remote = pair
        self._to_verify = to_verify
        self._is_over = False
        self._is_ready = False
        self._id = ""
        self._expected = ""  # the one element that may come next, if it is one
        self._has_bidi = False
        self._asked_for_bidi = False
        self._offered: frozenset[str] = frozenset()
        self._listeners: dict[Pair, Lost] = {}
        self._questions = Questions(stream, self._remote)
        self._timer: IDelayedCall | None = None

    # What the connection tells.

    def connected(self) -> None:
        self._timer = self._peers.clock.callLater(
            self._peers.options.authentication_timeout, self._late
        )
        self.facts.address = self._stream.peer()
        self._watch()
        self._stream.meter(MOST, self._flooded)
        self._open()

    def opened(self, opening: StreamOpened) -> None:
        self._id = opening.attributes.get("id", "")
        if opening.content != NS_SERVER:
            raise StreamError("invalid-namespace", f"the content of a stream here is {NS_SERVER}")
        if not is_supported(opening.attributes.get("version", "")):
            raise StreamError("unsupported-version", "TLS needs a stream of version 1.0")
        if not self._id:
            raise StreamError("bad-format", "a stream has an id")
        if not self._stream.is_secure or self._is_fit():
            self._expected = f"{NS_STREAMS} features"

    def received(self, stanza: Stanza) -> None:
        name = f"{stanza.namespace} {stanza.name}"
        if name == f"{NS_STREAMS} error":
            self._fail(_said(stanza.tree))
        elif self._is_ready:
            self._next(stanza, name)
        elif stanza.namespace == NS_DIALBACK:
            self._answered(stanza)
        elif name in (self._expected, self._expected.replace("success", "failure")):
            self._negotiate(stanza)
        elif name == f"{NS_TLS} failure":
            self._fail(Fault("tls", "the peer cannot begin TLS"))
        else:
            raise StreamError("unsupported-stanza-type", f"no <{stanza.name}/> is expected here")

    def closed(self) -> None:
        self._fail(Fault("closed", "the peer closed the stream"))

    def offended(self, error: StreamError) -> None:
        """The peer breaks the rules: say so."""
        self._finish(Fault("protocol", str(error)), serialize(error.element()) + CLOSING)

    def lost(self, reason: str) -> None:
        self._end(Fault("closed", reason))

    # What others ask of it.

    def listen(self, pair: Pair, lost: Lost) -> None:
        """Have `lost` called when the stream is gone, for a pair that it carries."""
        self._listeners[pair] = lost

    @property
    def may_carry(self) -> bool:
        """Whether other domains of ours may prove themselves on it, too."""
        return self._is_ready and not self._is_over and FEATURE in self._offered

    def add(self, local: str) -> "Deferred[dialback.Said]":
        """Prove another domain of ours; fires when that is done, and fails with a `Fault`."""
        return self._questions.ask("result", self._key(local), local).addCallback(
            self._added, local
        )

    def _added(self, said: dialback.Said, local: str) -> dialback.Said:
        if said.type != dialback.VALID:
            raise Fault("authentication", f"the peer's dialback: {said.type}")
        self.pairs[local, self._remote] = "dialback"
        return said

    def verify(self, local: str, id: str, key: str) -> "Deferred[dialback.Said]":
        """Ask whether this key is theirs, of their stream `id` to us; fails with a `Fault`."""
        return self._questions.ask("verify", key, local, id)

    def is_allowed(self) -> bool:
        """Whether the peer has proved what is demanded of its domain now."""
        policy = self._peers.options.policy_for(self._remote)
        if policy == policies.REQUIRE:
            return not (self.facts.tls and self.facts.certificate)
        return policy != policies.DENY

    def close(self, reason: str = "") -> None:
        """It is needed no more; what a peer that does not count says meanwhile is heard."""
        fault = Fault("closed", reason or "it is needed no more")
        if self._has_bidi and not self._sent.counts:
            self._stream.part(CLOSING)
            self._end(fault)
        else:
            self._finish(fault, CLOSING)

    def end(self, error: StreamError) -> None:
        """Say why, and close."""
        self._finish(Fault("closed", error.condition), serialize(error.element()) + CLOSING)

    def drop(self, reason: str) -> None:
        """Cut the connection: the peer hears nothing."""
        self._fail(Fault("closed", reason))
        self._stream.abort()

    def retire(self) -> None:
        """Close it, once it stands; until then there is a timer."""
        if self._is_ready:
            self.close("it was idle")

    # Negotiation.

    def _open(self) -> None:
        self._expected = self._id = ""
        self._stream.send(header(self._local, "", NS_SERVER, self._remote))

    def _is_fit(self) -> bool:
        """TLS stands: is the certificate good enough? If not, the stream is over."""
        if self.facts.tls:
            return True  # judged when TLS began; a restart changes nothing
        connection, now = self._note_tls(), self._peers.clock.seconds()
        self.facts.certificate = self._peers.authorities.fault(connection, self._remote, now)
        policy = self._peers.options.policy_for(self._remote)
        if self.facts.certificate and policy == policies.REQUIRE:
            self._fail(Fault("certificate", f"the certificate: {self.facts.certificate}"))
            return False
        return True

    def _negotiate(self, stanza: Stanza) -> None:
        match stanza.name:
            case "features":
                self._featured(stanza)
            case "proceed":
                self._stream.start_tls(Calling(self._peers.certificates, *self.pair))
                self._open()
            case "success":
                self.facts.method = "EXTERNAL"
                self._stream.restart(self._peers.options.limits)
                self._open()
            case "failure":
                self._refused(stanza)

    def _featured(self, stanza: Stanza) -> None:
        self._offered = frozenset(stanza.children)
        self.facts.features = sorted(self._offered)
        self._most = announced(stanza.tree)
        if not self._stream.is_secure:
            if f"{NS_TLS} starttls" not in self._offered:
                self._fail(Fault("tls", "the peer offers no TLS"))
            else:
                self._expected = f"{NS_TLS} proceed"
                self._stream.send(START_TLS)
        elif self._to_verify or self.facts.method:
            self._established()
        else:
            self._offer_bidi()
            mechanisms = child(stanza.tree, NS_SASL, "mechanisms")
            names = [] if mechanisms is None else [text(one) for one in children(mechanisms)]
            if "EXTERNAL" in names:
                self._expected = f"{NS_SASL} success"
                self._stream.send(EXTERNAL)
            else:
                self._dial_back()

    def _offer_bidi(self) -> None:
        """The peer may speak here, too, if its certificate says that it is itself (XEP-0288)."""
        if f"{NS_BIDI_FEATURE} bidi" in self._offered and not self.facts.certificate:
            self._asked_for_bidi = True
            ours = announcement(self._peers.options.limits.stanza_bytes)
            self._stream.send(serialize(element(NS_BIDI, "bidi", ours)))

    def _refused(self, stanza: Stanza) -> None:
        """EXTERNAL came to nothing; dialback may do (XEP-0178 §3)."""
        if FEATURE in self._offered:
            self._dial_back()
        else:
            self._fail(Fault("authentication", "the peer does not take our certificate"))

    def _dial_back(self) -> None:
        self._expected = ""
        asked = self._questions.ask("result", self._key(self._local), self._local)
        asked.addCallbacks(self._dialled, _swallowed)

    def _key(self, local: str) -> str:
        return dialback.key(self._peers.secret, self._remote, local, self._id)

    def _dialled(self, said: dialback.Said) -> None:
        if said.type == dialback.VALID:
            self.facts.method = "dialback"
            self._stream.limit(self._peers.options.limits)
            self._established()
        elif said.type == dialback.INVALID:
            self._fail(Fault("authentication", "the peer's dialback found our key invalid"))
        else:
            self._fail(Fault("dialback", "the peer's dialback came to an error"))

    def _established(self) -> None:
        self._is_ready = True
        self._expected = ""
        self._stop_timer()
        self._admit(self._remote)
        if not self._to_verify:
            self.pairs[self.pair] = self.facts.method
            self._has_bidi = self._asked_for_bidi
            if f"{NS_SM} sm" in self._offered:
                self._sent.count()
                self._stream.send(ENABLE)
        self.ready.callback(None)

    # Once it stands.

    def _next(self, stanza: Stanza, name: str) -> None:
        if is_stanza(stanza):
            if not self._has_bidi:
                raise StreamError("not-authorized", "this stream goes one way")
            self._take(stanza)
        elif self._sent.is_unread:
            self.drop("the peer does not read")
        elif stanza.namespace == NS_DIALBACK:
            self._answered(stanza)
        elif stanza.namespace == NS_SM:
            self._manage(stanza)
        else:
            raise StreamError("unsupported-stanza-type", f"no <{stanza.name}/> is expected here")

    def _manage(self, stanza: Stanza) -> None:
        """XEP-0198: both sides count once we have asked for it and the peer agrees."""
        match stanza.name:
            case "failed" if self._sent.counts:
                self._sent.discount()
            case "enabled" if self._received is None and self._sent.counts:
                self._received = Received(self._stream, self._peers.host.database)
            case _:
                self._count(stanza)

    # Dialback.

    def _answered(self, stanza: Stanza) -> None:
        said = dialback.read(stanza)
        if said.is_question:
            self._asked(said)
        else:
            self._questions.answered(said)

    def _asked(self, said: dialback.Said) -> None:
        """The peer asks on our stream, which it may where that goes both ways (XEP-0288 §2.2).

        Other domains of its speak on streams of their own.
        """
        if not self._asked_for_bidi:
            raise StreamError("unsupported-stanza-type", "this stream goes one way")
        if said.name == "verify":
            self._stream.send(self._peers.vouch(said))
        else:
            error = FeatureNotImplemented("on a stream of its own")
            between = (said.recipient, said.sender)
            self._stream.send(dialback.refusal("result", *between, error))

    # The end.

    def _flooded(self) -> None:
        self.offended(StreamError("policy-violation", "too much came before the stream stood"))

    def _fail(self, fault: Fault) -> None:
        self._finish(fault, CLOSING)

    def _late(self) -> None:
        """Say what the peer owes, for who is to find out why."""
        owed = "header of a stream" if not self._id else self._expected.rpartition(" ")[2]
        where = ", in TLS" if self._stream.is_secure else ""
        why = ""
        if not owed:
            owed = "answer to our key"
            why = ": it asks back whether the key is ours, and may not find the way to us"
        seconds = self._peers.options.authentication_timeout
        self._fail(Fault("timeout", f"no {owed} within {seconds:g} s{where}{why}"))

    def _finish(self, fault: Fault, farewell: bytes) -> None:
        self._sent.look()  # before there is more that is unconfirmed
        self._stream.close(farewell)
        self._end(fault)

    def _end(self, fault: Fault) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._stop_timer()
        self._questions.end(fault)
        left = self._sent.rest()
        self._peers.streams.discard(self)
        if self._is_ready:
            for pair, lost in self._listeners.items():
                self._peers.lost(pair, True, str(fault))
                lost([one for one in left if one.local == pair[0]], str(fault))
        else:
            self.ready.errback(fault)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _said(error: Element) -> Fault:
    """The peer's stream error, in its words."""
    conditions = [one for one in children(error) if one.uri == NS_STREAM_ERRORS]
    names = [one.name for one in conditions if one.name != "text"]
    words = text(child(error, NS_STREAM_ERRORS, "text"))[:200]
    condition = names[0] if names else "undefined-condition"
    step = "refused" if condition in REFUSALS else "stream-error"
    return Fault(step, f"the peer says {condition}" + (f" ({words})" if words else ""))


def _swallowed(failure: object) -> None:
    """The stream has ended, which is told elsewhere."""
