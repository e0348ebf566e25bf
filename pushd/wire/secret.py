"""Values that must never be printed: tokens, passwords, message bodies."""

import hashlib
import hmac
from pathlib import Path


class Secret:
    """A string that prints as a short digest; `reveal()` is the only way to its text.

    Two secrets are compared in constant time. The digest identifies a value in a log
    without giving it away: six hexadecimal digits of its SHA-256, none for an empty one.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    @property
    def digest(self) -> str:
        return hashlib.sha256(self._bytes).hexdigest()[:6] if self._value else ""

    @property
    def _bytes(self) -> bytes:
        return self._value.encode("utf-8", "surrogatepass")

    def __repr__(self) -> str:
        return f"Secret({self.digest})" if self._value else "Secret(empty)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


class Kept(Secret):
    """One that was read from a file of the operator's, which may hold another one later."""

    __slots__ = ("path",)

    def __init__(self, value: str, path: Path) -> None:
        super().__init__(value)
        self.path = path
