"""What is in the way of a start, in words."""

import errno
import os
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.error import CannotListenError

from pushd.cli.words import Terminal, explain
from pushd.modules.base import ModuleError
from pushd.net.certificates import CertificateError
from pushd.providers.contract import BadOption
from pushd.storage.errors import InUse


def system(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path)


def cannot_listen(host: Any, port: Any, cause: Exception) -> CannotListenError:
    return CannotListenError(host, port, cause)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            cannot_listen("127.0.0.1", 5222, system(errno.EADDRINUSE)),
            "cannot listen on 127.0.0.1:5222: Address already in use; does another server run?",
        ),
        (
            cannot_listen("", 80, system(errno.EACCES)),
            "cannot listen on [::]:80: Permission denied",
        ),
        (
            cannot_listen("::1", 5222, system(errno.EADDRNOTAVAIL)),
            "cannot listen on [::1]:5222: Cannot assign requested address",
        ),
        (
            cannot_listen(None, b"/run/pushd/pushd.sock", system(errno.ENOENT)),
            "cannot open the socket /run/pushd/pushd.sock: No such file or directory",
        ),
        (
            cannot_listen(None, "/long", OSError("AF_UNIX path too long")),
            "cannot open the socket /long: AF_UNIX path too long",
        ),
        (system(errno.EACCES, "/var/lib/pushd"), "/var/lib/pushd: Permission denied"),
        (system(errno.ENOSPC), "No space left on device"),
        (InUse("/var/lib/pushd/pushd.db is in use"), "/var/lib/pushd/pushd.db is in use"),
        (CertificateError("ca.pem has lost its key"), "ca.pem has lost its key"),
        (BadOption("service_account: not JSON"), "service_account: not JSON"),
        (ModuleError("there is no module telepathy"), "there is no module telepathy"),
        (
            SSL.Error([("x509", "X509_check_private_key", "key values mismatch")]),
            "a certificate or its key cannot be used: key values mismatch",
        ),
        (SSL.Error(), "a certificate or its key cannot be used: OpenSSL gives no reason"),
        (
            ZeroDivisionError("division by zero"),
            "the start failed: ZeroDivisionError: division by zero; the log has more",
        ),
    ],
)
def test_each_hindrance_is_told_in_words(error: Exception, words: str) -> None:
    assert explain(error) == words


def test_words_reach_the_standard_error_of_before(capfd: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # as a daemon does
    try:
        terminal.say("the port is taken")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)

    assert capfd.readouterr().err == "pushd: the port is taken\n"


def test_a_closed_terminal_hears_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.close()
    terminal.close()

    terminal.say("the port is taken")

    assert capfd.readouterr().err == ""
