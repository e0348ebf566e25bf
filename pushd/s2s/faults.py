"""Why another server is not reached: the step at which it failed, and words for people."""

from pushd.wire.errors import (
    NotAllowed,
    RemoteServerNotFound,
    RemoteServerTimeout,
    StanzaError,
)

ABSENT, DENIED = "absent", "denied"
# Another try in a moment would come to the same; and after an error of dialback, what waits goes
# back (XEP-0220 §2.1.1).
SETTLED = frozenset((ABSENT, DENIED, "tls", "certificate", "authentication", "refused", "dialback"))
PASSING = "dialback"  # of these, though, it may be otherwise later on
# What of RFC 6120 §4.9.3 a server says that does not want us; all else may pass.
REFUSALS = frozenset(
    (
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "invalid-from",
        "not-authorized",
        "policy-violation",
        "unsupported-version",
    )
)

# What strangers are told, who may have chosen where the domain leads: it is not for them to learn
# what answers in our network. Operators have the rest in the log.
WORDS = {
    ABSENT: "there is no such domain, or it has no server",
    "dns": "the name servers give no answer",
    "tls": "the server has no TLS",
    "certificate": "the server's certificate is not valid for the domain",
    "authentication": "the server does not take us for who we are",
    "refused": "the server does not want to talk with us",
    "dialback": "the server cannot find out whether we are who we are",
}


class Unreachable(RemoteServerTimeout):
    """There is a server, and it will not come to a stream with it (RFC 6120 §8.3.3.17)."""

    type = "cancel"


class Fault(Exception):
    """`step` is one of a small closed set: it tells operators where to look.

    "absent": there is no such domain, or it has no server; "denied": our own policy; "dns",
    "connect", "tls", "certificate", "authentication", "refused" (the peer does not want us),
    "stream-error" (any other), "dialback", "protocol", "timeout", "closed".
    """

    def __init__(self, step: str, text: str) -> None:
        super().__init__(text)
        self.step = step
        self.text = text

    @property
    def is_final(self) -> bool:
        """Whether nothing is gained by another try soon."""
        return self.step in SETTLED

    def error(self) -> StanzaError:
        """What who wrote to the domain is told (RFC 6120 §8.3.3.16 and .17)."""
        if self.step == DENIED:
            return NotAllowed(self.text)
        words = WORDS.get(self.step, "there is no stream to the server")
        if self.step == ABSENT:
            return RemoteServerNotFound(words)
        if self.is_final and self.step != PASSING:
            return Unreachable(words)
        return RemoteServerTimeout(words)
