"""The operator's socket: one JSON object a line asks, one answers.

`{"operation": "user-list", "arguments": {}}` is answered by `{"result": …}` or by
`{"error": "words"}`. Who may open the socket may do everything: it has mode 0600.
"""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
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

    def lineReceived(self, line: bytes) -> None:
        answering = Deferred.fromCoroutine(self._answer(line))
        answering.addErrback(_broke)
        answering.addCallback(self._say)

    def _say(self, answer: dict[str, Any]) -> None:
        if self.transport is not None:
            self.transport.write(json.dumps(answer).encode() + self.delimiter)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            name, arguments = asked["operation"], dict(asked.get("arguments", {}))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {"error": "one JSON object with an operation and its arguments is expected"}
        try:
            return {"result": await self._operations.call(str(name), arguments)}
        except Refused as error:
            return {"error": str(error)}
        except StorageError as error:
            return {"error": f"storage: {error}"}


def _broke(failure: Failure) -> dict[str, Any]:
    log.failure("an operation broke", failure)
    return {"error": "the operation broke; the log has more"}


class OperatorFactory(Factory):
    """Makes an `OperatorProtocol` of each connection."""

    noisy = False

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def buildProtocol(self, addr: IAddress | None) -> OperatorProtocol:
        return OperatorProtocol(self._operations)
