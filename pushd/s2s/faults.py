"""Why another server is not reached: the step at which it failed, and words for people."""

from pushd.wire.errors import (
    NotAllowed,
    RemoteServerNotFound,
    RemoteServerTimeout,
    StanzaError,
)

ABSENT, DENIED = "absent", "denied"


class Fault(Exception):
    """`step` is one of a small closed set: it tells operators where to look.

    "absent": there is no such domain, or it has no server; "denied": our own policy; "dns",
    "connect", "tls", "certificate", "authentication", "dialback", "protocol", "timeout",
    "closed", "stream-error".
    """

    def __init__(self, step: str, text: str) -> None:
        super().__init__(text)
        self.step = step
        self.text = text

    @property
    def is_final(self) -> bool:
        """Whether nothing is gained by another try, here or at another address."""
        return self.step in (ABSENT, DENIED)

    def error(self) -> StanzaError:
        """What who wrote to the domain is told (RFC 6120 §8.3.3.16 and .17)."""
        if self.step == DENIED:
            return NotAllowed(self.text)
        if self.step in (ABSENT, "certificate", "authentication"):
            return RemoteServerNotFound(self.text)
        return RemoteServerTimeout(self.text)
