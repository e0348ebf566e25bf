"""A factory for a connection that is made once."""

from typing import Any

from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory


class Once(Factory):
    """For one connection, of this protocol. It says nothing of it in the log."""

    noisy = False

    def __init__(self, only: IProtocol) -> None:
        self._only = only

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._only
