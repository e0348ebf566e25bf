"""Reading the configuration again, as an operator asks for it."""

from collections.abc import Callable, Mapping
from typing import Any

from pushd.admin.operations import Operation, Refused

# Reads it and has the server take it over; what came of it. Raises Refused.
Reread = Callable[[], dict[str, Any]]


class Reloads:
    """`find` gives what reads the configuration, where there is one."""

    def __init__(self, find: Callable[[], Reread | None]) -> None:
        self._find = find

    def operations(self) -> Mapping[str, Operation]:
        return {"reload": self.reload}

    async def reload(self) -> dict[str, Any]:
        """Take over what needs no restart. Raises Refused, and then nothing changes."""
        reread = self._find()
        if reread is None:
            raise Refused("this server has no configuration file to read again")
        return reread()
