"""What can go wrong for a client, each as an exception that says it in words."""

from pushd.wire.element import Element, children, text
from pushd.wire.namespaces import NS_STANZA_ERRORS, NS_STREAM_ERRORS


class ClientError(Exception):
    """Anything that a client may meet."""


class ConnectFailed(ClientError):
    """There is no connection, or no TLS on it that the client may trust."""


class LoginFailed(ClientError):
    """SASL failed, with a condition of RFC 6120 §6.5."""

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text


class Disconnected(ClientError):
    """The stream is over. `condition` is that of its error (RFC 6120 §4.9.3), if it had one."""

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(": ".join(filter(None, (condition, text))) or "the stream was closed")
        self.condition = condition
        self.text = text

    @classmethod
    def read(cls, error: Element) -> "Disconnected":
        """From a `<stream:error/>`."""
        return cls(*_read(error, NS_STREAM_ERRORS))


class Refused(ClientError):
    """A request was answered with an error; `error` is the `<error/>` element."""

    def __init__(self, condition: str, type: str, text: str, error: Element) -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.type = type
        self.text = text
        self.error = error

    @classmethod
    def read(cls, error: Element) -> "Refused":
        """From the `<error/>` of a stanza (RFC 6120 §8.3)."""
        condition, words = _read(error, NS_STANZA_ERRORS)
        return cls(condition, error.getAttribute("type", ""), words, error)


class NotResumed(ClientError):
    """The server does not resume the session.

    `h` is the count it had handled, if it says so; `unacked` are the stanzas, as bytes,
    of which nobody knows whether they were.
    """

    def __init__(self, condition: str, h: str | None, unacked: list[bytes]) -> None:
        super().__init__(condition)
        self.condition = condition
        self.h = int(h) if h is not None else None
        self.unacked = unacked


class TimedOut(ClientError):
    """What was waited for did not come."""


def _read(error: Element, namespace: str) -> tuple[str, str]:
    """The condition and the text of an error."""
    condition = words = ""
    for node in children(error):
        if node.uri == namespace:
            if node.name == "text":
                words = text(node)
            else:
                condition = node.name
    return condition or "undefined-condition", words
