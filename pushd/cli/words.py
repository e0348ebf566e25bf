"""What is in the way of a start, in words for whoever started it, and how these reach them.

Twisted puts its log in the place of standard error, and a daemon has none: so the real one
is kept from before either happens until the server stands.
"""

import errno
import os

from OpenSSL import SSL
from twisted.internet.error import CannotListenError

from pushd.modules.base import ModuleError
from pushd.net.certificates import CertificateError
from pushd.providers.contract import BadOption
from pushd.storage.errors import StorageError

KNOWN = (
    BadOption,
    CannotListenError,
    CertificateError,
    ModuleError,
    OSError,
    SSL.Error,
    StorageError,
)


class Terminal:
    """The standard error that the process was started with, until `close`."""

    def __init__(self) -> None:
        try:
            self._descriptor = os.dup(2)
        except OSError:  # it was closed
            self._descriptor = -1

    def say(self, words: str) -> None:
        if self._descriptor >= 0:
            try:
                os.write(self._descriptor, f"pushd: {words}\n".encode("utf-8", "replace"))
            except OSError:
                self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def explain(error: BaseException) -> str:
    """Say what is in the way; for an error that nobody expected, what it is called, too."""
    if isinstance(error, CannotListenError):
        return _cannot_listen(error)
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, SSL.Error):
        return f"a certificate or its key cannot be used: {_tls(error)}"
    if isinstance(error, KNOWN):
        return str(error)
    return f"the start failed: {type(error).__name__}: {error}; the log has more"


def _system(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _cannot_listen(error: CannotListenError) -> str:
    cause = error.socketError
    reason = getattr(cause, "strerror", None) or str(cause)
    if isinstance(error.port, (str, bytes)):
        return f"cannot open the socket {os.fsdecode(error.port)}: {reason}"
    host = error.interface or "::"
    where = f"[{host}]:{error.port}" if ":" in host else f"{host}:{error.port}"
    taken = getattr(cause, "errno", None) == errno.EADDRINUSE
    return f"cannot listen on {where}: {reason}" + ("; does another server run?" if taken else "")


def _tls(error: SSL.Error) -> str:
    reasons = [str(part[-1]) for part in (error.args[0] if error.args else ()) if part]
    return ", ".join(reasons) or "OpenSSL gives no reason"
