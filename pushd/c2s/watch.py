"""Notices clients that have vanished without a word, so that push takes over for their sessions.

Who owes an acknowledgement for half a minute keeps its session, and push wakes its device.

A client that says nothing for a while is asked whether it is still there: by XEP-0198's <r/>
(§4), or by a ping where that is not enabled. What it is sent and its machine does not confirm is
TCP's own business (`XMLStream.give_up_after`). Long before that, a quiet stream takes less memory,
and what a crowd needed that is quiet now, or gone, goes back to the system.
"""

from twisted.internet.interfaces import IDelayedCall

from pushd.c2s.options import Door
from pushd.c2s.stream import ClientStream
from pushd.net.memory import give_back

LOOK = 5.0  # seconds between two looks at all streams
ANSWER = 60.0  # seconds for an answer
OVERDUE = 30.0  # seconds for an acknowledgement
CROWD = 64  # streams


class Watch:
    """Looks at all streams of a door now and then, from `start` to `stop`."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._timer: IDelayedCall | None = None
        self._open = 0  # streams, at the last look

    def start(self) -> None:
        self._timer = self._door.host.clock.callLater(LOOK, self._look)

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _look(self) -> None:
        self.start()
        silence = self._door.options.silence
        ask = max(1.0, silence // LOOK) if silence else float("inf")
        streams = list(self._door.streams)
        less = max(0, self._open - len(streams))  # so many need less than before, or nothing
        self._open = len(streams)
        for stream in streams:
            if isinstance(stream, ClientStream):
                if stream.late() > OVERDUE / LOOK:
                    stream.wake()
                quiet = stream.quiet()
                if quiet == 1:
                    stream.rest()
                    less += 1
                if quiet == ask:
                    stream.ask()
                elif quiet >= ask + ANSWER / LOOK:
                    stream.give_up("it does not answer")
        if less >= CROWD:
            give_back()
