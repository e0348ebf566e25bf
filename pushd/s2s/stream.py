"""What a stream between two servers is, whoever opened it: stanzas, their counts, its end."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pushd.net.mutual import expiry
from pushd.net.xmlprotocol import XMLStream
from pushd.s2s.counting import Received, Sent
from pushd.s2s.limits import ANY, too_large
from pushd.s2s.pairs import Pair, Waiting, admitted
from pushd.wire.errors import StreamError
from pushd.wire.stanza import Stanza
from pushd.wire.stream import count_of

if TYPE_CHECKING:
    from pushd.s2s.peers import Peers

UNSAFE = 512 * 1024  # bytes that are read from a peer before a commit is awaited
EXPIRED = StreamError("reset", "the time of your certificate is over")
KEEP_ALIVE = 60  # seconds of silence after which the system looks whether it is still there
UNCONFIRMED = 60.0  # seconds for a peer to confirm what it is sent


@dataclass(slots=True)
class Facts:
    """What became of a stream, for who looks at it."""

    target: str = ""  # whom we have called
    address: str = ""
    tls: str = ""  # the version
    certificate: str = "unknown"  # why it is not valid for the domain; empty if it is
    expires_at: float | None = None  # the certificate, seconds since the epoch
    method: str = ""  # "EXTERNAL" or "dialback": how we proved ourselves
    features: list[str] = field(default_factory=list)


class Stream:
    """Carries stanzas of the pairs that are proved, each way as far as it is open.

    What we have to say is `deliver`ed, which makes it a `Link` for a route.
    """

    is_ours: bool  # we have opened it

    def __init__(self, peers: "Peers", stream: XMLStream) -> None:
        self.pairs: dict[Pair, str] = {}  # and how each was proved
        self.facts = Facts()
        self.used_at = peers.clock.seconds()
        self._peers = peers
        self._stream = stream
        self._most = ANY  # bytes of a stanza that the peer takes
        self._sent = Sent(stream, peers.kept)
        self._received: Received | None = None

    # How it ends.

    def is_allowed(self) -> bool:
        """Whether the domains at the other end have proved what is demanded of them now."""
        raise NotImplementedError

    def end(self, error: StreamError) -> None:
        """Say why, and close."""
        raise NotImplementedError

    def drop(self, reason: str) -> None:
        """Cut the connection: the peer hears nothing."""
        raise NotImplementedError

    def retire(self) -> None:
        """Close it, if nobody needs it; it was idle for long."""
        raise NotImplementedError

    def look(self, now: float) -> None:
        """Now and then: is it idle, does the peer owe an acknowledgement for long?

        Or has the certificate ended that it was believed for (RFC 6120 §13.7.2.3)?
        """
        self._stream.rest_if_quiet()
        asked_at, facts = self._sent.asked_at, self.facts
        if asked_at is not None and now - asked_at > UNCONFIRMED:
            self.drop("the peer acknowledges nothing")
        elif not facts.certificate and facts.expires_at is not None and now > facts.expires_at:
            self.end(EXPIRED)
        elif now - self.used_at > self._peers.options.idle:
            self.retire()

    # What we say.

    @property
    def waiting(self) -> int:
        """Bytes of stanzas that the peer does not read, or does not acknowledge."""
        return self._sent.size

    def catch_up(self) -> None:
        """Look what the peer has taken meanwhile."""
        self._sent.look()

    def deliver(self, one: Waiting) -> None:
        """Say a stanza; one that is too large for the peer goes back (XEP-0478)."""
        if one.size > self._most:
            self._peers.give_back(one, too_large(self._most))
            return
        self.used_at = self._peers.clock.seconds()
        self._sent.say(one, self.used_at)

    # What the peer says.

    def _watch(self) -> None:
        """The connection stands: notice when the other side is gone."""
        self._stream.give_up_after(UNCONFIRMED)
        self._stream.keep_alive(KEEP_ALIVE)

    def _note_tls(self) -> Any:
        """TLS stands; gives the connection, whose certificate is to be judged."""
        connection = self._stream.connection()
        self.facts.tls = str(connection.get_protocol_version_name())
        self.facts.expires_at = expiry(connection)
        return connection

    def _admit(self, remote: str) -> None:
        """The peer is who it says: from now on it is read at a pace."""
        budget = self._peers.budget_of(remote, self._stream.peer())
        self._stream.pace(UNSAFE, self._peers.host.database.committed, budget)

    def _take(self, stanza: Stanza) -> None:
        """Hand on a stanza. Raises StreamError for one that the peer may not say."""
        passed = admitted(stanza, self.pairs, self._peers.host)
        self.used_at = self._peers.clock.seconds()
        self._peers.host.router.route(passed)
        if self._received is not None:
            self._received.received += 1

    def _count(self, stanza: Stanza) -> None:
        """Acknowledgements, and who asks for one (XEP-0198 §4)."""
        sent, received = self._sent, self._received
        match stanza.name:
            case "a" if sent.counts:
                sent.acknowledged(count_of(stanza), self._peers.clock.seconds())
            case "r" if received is not None:
                received.say()
            case _:
                raise StreamError("unsupported-stanza-type", f"no <{stanza.name}/> here")
