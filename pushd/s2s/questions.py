"""What we ask by dialback on a stream that we opened (XEP-0220 §2.1 and §2.3)."""

from twisted.internet.defer import Deferred

from pushd.net.xmlprotocol import XMLStream
from pushd.s2s.faults import Fault
from pushd.wire import dialback


class Questions:
    """The questions of one stream to `remote`, each until its answer or the end of the stream.

    Only what was asked here counts: every other answer is somebody's invention.
    """

    def __init__(self, stream: XMLStream, remote: str) -> None:
        self._stream = stream
        self._remote = remote
        self._asked: dict[tuple[str, str, str, str], Deferred[dialback.Said]] = {}
        self._is_over = False

    def __len__(self) -> int:
        """How many wait for their answer."""
        return len(self._asked)

    def ask(self, name: str, key: str, local: str, id: str = "") -> "Deferred[dialback.Said]":
        """Ask one: "result" for a domain of ours, "verify" about their stream `id` to us.

        What answers it names the same domains, and the same id. Fails with a Fault when the stream
        ends, or the same is being asked; who cancels it hears no answer.
        """
        place = (name, local, self._remote, id)

        def forget(given_up: object) -> None:
            self._asked.pop(place, None)

        asked: Deferred[dialback.Said] = Deferred(forget)
        if self._is_over or place in self._asked:
            asked.errback(Fault("dialback", "this is being asked already"))
            return asked
        self._asked[place] = asked
        self._stream.send(dialback.question(name, local, self._remote, key, id))
        return asked

    def answered(self, said: dialback.Said) -> None:
        """The peer has answered, or says so."""
        # COMPAT: Prosody 0.12 gives the answer about our stream an id, which has none to have.
        id = said.id if said.name == "verify" else ""
        asked = self._asked.pop((said.name, said.recipient, said.sender, id), None)
        if asked is not None:
            asked.callback(said)

    def end(self, fault: Fault) -> None:
        """The stream is over: no question is answered any more."""
        self._is_over = True
        asked, self._asked = self._asked, {}
        for one in asked.values():
            one.errback(fault)
