"""XEP-0288 on a stream that a peer has opened: from when on we say there what we have to say."""

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from pushd.s2s.pairs import Pair, Waiting
from pushd.s2s.route import Link

if TYPE_CHECKING:
    from pushd.s2s.peers import Peers

NS_BIDI = "urn:xmpp:bidi"
NS_BIDI_FEATURE = "urn:xmpp:features:bidi"
SILENCE = 2.0  # seconds after which a peer has nothing to say


class WayBack:
    """Our side of such a stream, if the peer wants us to have one.

    The peer has the first word, so that it can begin to count (XEP-0198): of what it does not
    count nobody can tell whether it has arrived.
    """

    def __init__(self, peers: "Peers", link: Link) -> None:
        self.is_wanted = False
        self.is_waiting = False  # for the peer to say something
        self._peers = peers
        self._link: Link | None = link
        self._pair: Pair | None = None
        self._silence: IDelayedCall | None = None

    def stands(self, pair: Pair) -> bool:
        """The peer has proved who it is; tells whether this opens the way, once it has spoken."""
        if not self.is_wanted or self._pair is not None:
            return False
        self._pair = pair
        self.is_waiting = True
        self._silence = self._peers.clock.callLater(SILENCE, self.open)
        return True

    def open(self) -> None:
        """It has said something, or nothing for long enough."""
        self._stop_waiting()
        if self._pair is not None and self._link is not None:
            self._peers.adopt(self._pair, self._link)

    def close(self, left: list[Waiting], reason: str) -> None:
        """What we have to say goes by other streams from now on, and first what is `left`."""
        self._stop_waiting()
        pair, self._pair = self._pair, None
        link, self._link = self._link, None  # nothing refers in a circle
        self.is_wanted = False
        if pair is not None and link is not None:
            self._peers.left(pair, link, left, reason)

    def _stop_waiting(self) -> None:
        self.is_waiting = False
        silence, self._silence = self._silence, None
        if silence is not None and silence.active():
            silence.cancel()
