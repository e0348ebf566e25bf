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
        answering.addCallback(self._say)
        answering.addErrback(lambda failure: log.failure("an operation broke", failure))

    def _say(self, answer: dict[str, Any]) -> None:
        if self.transport is not None:
            self.transport.write(json.dumps(answer).encode() + self.delimiter)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            name, arguments = asked["operation"], asked.get("arguments", {})
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"error": "one JSON object with an operation is expected"}
        try:
            return {"result": await self._operations.call(str(name), arguments)}
        except Refused as error:
            return {"error": str(error)}
        except StorageError as error:
            return {"error": f"storage: {error}"}


class OperatorFactory(Factory):
    noisy = False

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def buildProtocol(self, addr: IAddress | None) -> OperatorProtocol:
        return OperatorProtocol(self._operations)
