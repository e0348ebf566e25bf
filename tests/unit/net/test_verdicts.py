"""A certificate is refused in words, whatever it looks like."""

import pytest
from cryptography import x509

from pushd.net.verdicts import EXPIRED, verdict


class Odd:
    """A certificate that cannot be read."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def to_cryptography(self) -> x509.Certificate:
        raise self._error


@pytest.mark.parametrize(
    "error", [x509.InvalidVersion("5", 4), ValueError("an impossible date")], ids=repr
)
def test_one_that_cannot_be_read_has_no_plain_fault(error: Exception) -> None:
    assert verdict(EXPIRED, Odd(error)) == ""  # type: ignore[arg-type]
