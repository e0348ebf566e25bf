"""The operator's socket: one JSON object a line asks, one answers.

`{"operation": "user-list", "arguments": {}}` is answered by `{"result": …}` or by
`{"error": "words"}`. Who may open the socket may do everything: it has mode 0600.
"""

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from pushd.admin.operations import Operations, Refused
from pushd.storage.errors import StorageError

log = Logger()

LONGEST_LINE = 65_536


class OperatorProtocol(LineOnlyReceiver):
    """One operator's connection."""

    delimiter = b"\n"
    MAX_LENGTH = LONGEST_LINE

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._waits: set[Deferred[Any]] = set()  # which end when nobody listens any more

    def lineReceived(self, line: bytes) -> None:
        try:
            asked = json.loads(line)
            name, arguments = str(asked["operation"]), dict(asked.get("arguments", {}))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            words = "one JSON object with an operation and its arguments is expected"
            self._say({"error": words})
            return
        answering = Deferred.fromCoroutine(self._answer(name, arguments))
        if self._operations.only_waits(name):
            self._waits.add(answering)
            answering.addBoth(self._waited, answering)
        answering.addCallbacks(self._say, self._failed)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for waiting in list(self._waits):
            waiting.cancel()

    def _waited(self, result: Any, waiting: "Deferred[Any]") -> Any:
        self._waits.discard(waiting)
        return result

    def _say(self, answer: dict[str, Any]) -> None:
        if self.transport is not None:
            self.transport.write(json.dumps(answer).encode() + self.delimiter)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            log.failure("an operation broke", failure)
            self._say({"error": "the operation broke; the log has more"})

    async def _answer(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": await self._operations.call(name, arguments)}
        except Refused as error:
            return {"error": str(error)}
        except StorageError as error:
            return {"error": f"storage: {error}"}


class OperatorFactory(Factory):
    """Makes an `OperatorProtocol` of each connection."""

    noisy = False

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def buildProtocol(self, addr: IAddress | None) -> OperatorProtocol:
        return OperatorProtocol(self._operations)
