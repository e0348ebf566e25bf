"""What an operator may do and ask: plain operations that answer with data.

The command line and the socket are faces of these. An operation that cannot be done
raises `Refused` with words for the operator.
"""

from collections.abc import Callable, Coroutine, Mapping
from inspect import signature
from typing import Any, Protocol

from pushd.wire.secret import Secret

Operation = Callable[..., Coroutine[Any, Any, dict[str, Any]]]

LONGEST_REASON = 500  # characters


class Refused(Exception):
    """The operation cannot be done, and why; said to the operator as it is."""


class Group(Protocol):
    """Operations that belong together, in a file of their own.

    A group whose operations may take long because they only wait names these in `waits`.
    """

    def operations(self) -> Mapping[str, Operation]:
        """Each by its name; their arguments are texts."""


class Operations:
    """The operations there are; without a running server these are fewer."""

    def __init__(self, *groups: Group) -> None:
        self._by_name: dict[str, Operation] = {}
        self._waits: set[str] = set()
        for group in groups:
            self._by_name.update(group.operations())
            self._waits.update(getattr(group, "waits", ()))

    def knows(self, name: str) -> bool:
        """Whether there is an operation of this name."""
        return name in self._by_name

    def only_waits(self, name: str) -> bool:
        """Whether an operation does nothing but wait, and may be left when nobody listens."""
        return name in self._waits

    async def call(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Do an operation by its name, with texts as its arguments.

        Raises Refused for an operation or for arguments that there are not.
        """
        operation = self._by_name.get(name)
        if operation is None:
            raise Refused(f"there is no operation {name}")
        given = {key: _argument(key, value) for key, value in arguments.items()}
        try:
            signature(operation).bind(**given)
        except TypeError as error:
            raise Refused(f"the operation {name}: {error}") from None
        return await operation(**given)


def spoken(reason: str) -> str:
    """A reason that is told to a user, who reads it in a client. Raises Refused."""
    if not reason.isprintable() or len(reason) > LONGEST_REASON:
        raise Refused(f"the reason: one line of at most {LONGEST_REASON} characters is expected")
    return reason


def _argument(name: str, value: object) -> str | Secret:
    if not isinstance(value, str):
        raise Refused(f"{name}: a text is expected")
    return Secret(value) if name == "password" else value
