"""What Twisted and OpenSSL say when there is no answer, in our words."""

import os
from collections.abc import Iterator
from errno import ECONNREFUSED, EHOSTUNREACH, ENETUNREACH

from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
)

from pushd.net.http import CONNECT_TIMEOUT, Fault, HTTPError

NOBODY, NO_ROUTE = "nothing listens there", "there is no route to it"
# What OpenSSL says of a server, where its words would tell an operator little.
PLAINLY = {
    "wrong version number": "what answers there does not speak it",
    "packet length too long": "what answers there does not speak it",
    "http request": "what answers there does not speak it",
    "unexpected eof while reading": "it hung up",
}


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and, where it wraps others (Twisted's web client does), those."""
    yield error
    for reason in getattr(error, "reasons", None) or ():
        yield from causes(reason.value)


def fault(error: Exception) -> Exception:
    """What went wrong. That the caller cancelled the exchange stays as it is."""
    for cause in causes(error):
        match cause:
            case HTTPError() | CancelledError():
                return cause
            case TLSError():
                return HTTPError(Fault.TLS, f"TLS: {_words_of(cause)}")
            case VerificationError():
                return HTTPError(Fault.TLS, "TLS: the certificate is for another host")
            case TimeoutError():
                return HTTPError(Fault.TIMEOUT, f"no connection within {CONNECT_TIMEOUT:g} s")
            case UnicodeError():  # idna's
                return HTTPError(Fault.UNREACHABLE, "the host has no name that could be")
            case DNSLookupError():
                return HTTPError(Fault.UNREACHABLE, "the host has no address")
            case ConnectError():
                return HTTPError(Fault.UNREACHABLE, f"no connection{unconnected(cause)}")
            case ConnectionClosed():
                return HTTPError(Fault.BROKEN, "the connection ended before the answer did")
    return HTTPError(Fault.BROKEN, f"an exchange that makes no sense: {type(error).__name__}")


def unconnected(error: ConnectError) -> str:
    """Why there is no connection, behind a colon; "" where the system does not say."""
    number = error.osError
    if isinstance(error, ConnectionRefusedError) or number == ECONNREFUSED:
        return f": {NOBODY}"
    if isinstance(error, NoRouteError) or number in (EHOSTUNREACH, ENETUNREACH):
        return f": {NO_ROUTE}"
    return f": {os.strerror(number).lower()}" if isinstance(number, int) else ""


def _words_of(error: TLSError) -> str:
    """Such as "certificate verify failed"."""
    try:
        words = str(error.args[0][-1][-1])
    except (IndexError, TypeError):
        return type(error).__name__
    return PLAINLY.get(words, words)
