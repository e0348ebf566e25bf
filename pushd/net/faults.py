"""What Twisted and OpenSSL say when there is no answer, in our words."""

from collections.abc import Iterator

from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    TimeoutError,
)

from pushd.net.http import CONNECT_TIMEOUT, Fault, HTTPError


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
                return HTTPError(Fault.UNREACHABLE, f"no connection: {type(cause).__name__}")
            case ConnectionClosed():
                return HTTPError(Fault.BROKEN, "the connection ended before the answer did")
    return HTTPError(Fault.BROKEN, f"an exchange that makes no sense: {type(error).__name__}")


def _words_of(error: TLSError) -> str:
    """OpenSSL's own, such as "certificate verify failed"."""
    try:
        return str(error.args[0][-1][-1])
    except (IndexError, TypeError):
        return type(error).__name__
