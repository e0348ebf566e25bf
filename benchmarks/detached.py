"""Messages for those who are away, and what SIGKILL leaves of them.

A thousand sessions lose their connections by RST. Ten senders, each with at most 50
messages unacknowledged, write ten messages of 400 bytes to each of them, by the bare JID,
until every message is acknowledged to its sender (XEP-0198). Then the server is killed and
started again on the same data: sessions are resumed where they can be, other users log in
anew, and what arrives unasked is counted.
"""

import contextlib
from array import array
from collections.abc import Sequence

from benchmarks.accounts import DOMAIN, ONLINE, PEOPLE
from benchmarks.clients import Client, Faults, LoadError
from benchmarks.load import PATIENCE, Loop
from benchmarks.login import Login, LoginError, Session, Way, cut, together
from benchmarks.processes import Server
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario, sessions

SENDERS = 10
EACH = 10  # messages to each session
SIZE = 400
WINDOW = 50  # messages that a sender has unacknowledged
LULL = 2.0  # seconds in which nothing comes: then nothing more will
TRIED = 20  # sessions that are resumed at a server which is not known to keep them


class Sender(Client):
    """Writes ten messages to each of its receivers, in rounds."""

    def __init__(self, session: Session, receivers: Sequence[Client]) -> None:
        super().__init__(session, managed=True)
        self._turns = [receiver for _ in range(EACH) for receiver in receivers]
        self._next = 0

    @property
    def is_done(self) -> bool:
        return self._next == len(self._turns) and self.handled == self.stanzas_sent

    def go_on(self) -> None:
        """Write what the window has room for."""
        while self._next < len(self._turns) and self.stanzas_sent - self.handled < WINDOW:
            receiver = self._turns[self._next]
            self._next += 1
            number = len(receiver.hears)
            head = f"<message to='{receiver.user}@{DOMAIN}' type='chat'><body>{number:08} "
            tail = "</body></message>"
            self.write(f"{head}{'x' * (SIZE - len(head) - len(tail))}{tail}".encode(), 0.0)
            receiver.hears.append(0.0)
        if self._next == len(self._turns) and self.handled < self.stanzas_sent:
            self.ask()


def measure(bench: Bench, kind: type[Server]) -> Result:
    """What the lines of the scenario say."""
    count = bench.some(ONLINE)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bench.server(kind))
        names = PEOPLE.names()
        server.settle()
        fresh = server.memory()
        senders = sessions(stack, server, names[ONLINE : ONLINE + SENDERS], Way())
        server.settle()
        memory = [server.memory()]
        receivers = _detached(sessions(stack, server, names[:count], Way()))
        server.settle()
        memory.append(server.memory())
        with bench.measuring(server) as span:
            _send(stack, senders, receivers)
        memory.append(server.memory())
        server.kill()
        server.start()
        server.settle()
        memory.append(server.memory())
        resumable = _return(server, receivers)
        loop = Loop(receivers)
        stack.callback(loop.close)
        while loop.turn(LULL):
            pass
        faults = Faults.of(receivers)
        lost, faults.lost, faults.unacknowledged = faults.lost, 0, 0
        before = [memory[0], memory[0], fresh]
        growth: list[float | None] = [
            (held - base) / count / 1e3 for held, base in zip(memory[1:], before, strict=True)
        ]
        if not resumable:
            growth[-1] = None  # there is nothing in it
        cost = span.cost / (count * EACH) * 1e6
        rate = count * EACH / span.seconds
        return Result((cost, rate, *growth, lost, 100 - 100 * resumable), str(faults))


def _detached(found: Sequence[Session]) -> list[Client]:
    """Clients of these sessions, whose connections are cut once they have read all."""
    clients = [Client(session, managed=True) for session in found]
    for client in clients:
        client.hears = array("d")
    loop = Loop(clients)
    loop.turn(1.0)
    for client in clients:
        loop.remove(client)
        cut(client.socket)
    loop.close()
    return clients


def _send(
    stack: contextlib.ExitStack, found: Sequence[Session], receivers: Sequence[Client]
) -> None:
    """Send all, until all is acknowledged. Raises LoadError when that does not come."""
    share = len(receivers) // len(found) + 1
    senders = [
        Sender(session, receivers[place * share : (place + 1) * share])
        for place, session in enumerate(found)
    ]
    loop = Loop(senders)
    stack.callback(loop.close)

    def all_are_done() -> bool:
        for sender in senders:
            handled = sender.handled
            if handled != acknowledged.get(sender):
                acknowledged[sender] = handled
                sender.go_on()
                loop.flush(sender)
        return all(sender.is_done for sender in senders)

    acknowledged: dict[Client, int] = {}
    loop.turn(3 * PATIENCE, done=all_are_done)
    if not all_are_done():
        raise LoadError("messages to detached sessions are not acknowledged")


def _return(server: Server, clients: Sequence[Client]) -> float:
    """Resume the sessions, or log in anew; the share of those tried that could be resumed."""
    tried = [_resume(server, client) for client in clients[:TRIED]]
    rest = list(clients[TRIED:])
    if any(tried):
        tried += together(lambda client: _resume(server, client), rest)
        rest = []
    back = dict(zip(clients, tried, strict=False))
    anew = [client for client in clients if not back.get(client)]
    together(lambda client: _log_in(server, client), anew)
    return sum(tried) / len(tried)


def _resume(server: Server, client: Client) -> bool:
    try:
        session, handled = Login(server.port, client.user).resume(
            client.token, client.stanzas_received
        )
    except LoginError:
        return False
    client.rejoin(session, handled)
    return True


def _log_in(server: Server, client: Client) -> None:
    client.managed = False
    client.rejoin(Login(server.port, client.user).session(Way(managed=False)), 0)


SCENARIOS = (
    Scenario(
        "detached",
        (
            Line("message to a detached session", "CPU µs", Budget(ratio=0.4)),
            Line("message to a detached session: rate", "1/s"),
            Line("detached session, nothing queued", "KB", digits=1),
            Line("detached session, ten queued", "KB", Budget(most=12), 1),
            Line("the same, after a restart", "KB", Budget(most=12), 1),
            Line("lost by SIGKILL, of 10 acknowledged to each", "count", Budget(most=0)),
            Line("sessions not resumable after it", "%", Budget(most=0)),
        ),
        measure,
    ),
)
