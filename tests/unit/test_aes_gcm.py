"""The tests' own AES-GCM against the vectors of its specifications."""

import pytest

from tests.aes_gcm import block, opened, tag

KEY = bytes.fromhex("feffe9928665731c6d6a8f9467308308")
IV = bytes.fromhex("cafebabefacedbaddecaf888")
PLAIN = bytes.fromhex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
SEALED = bytes.fromhex(
    "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
    "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
    "4d5c2af327cd64a62cf35abd2ba6fab4"
)


def test_a_block() -> None:
    """FIPS 197, appendix B."""
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    plain = bytes.fromhex("3243f6a8885a308d313198a2e0370734")
    assert block(key, plain).hex() == "3925841d02dc09fbdc118597196a0b32"


def test_nothing() -> None:
    """Test case 1 of the specification of GCM."""
    assert tag(bytes(16), bytes(12), b"").hex() == "58e2fccefa7e3061367f1d57a4e7455a"


def test_several_blocks() -> None:
    """Test case 3."""
    assert opened(KEY, IV, SEALED) == PLAIN


def test_a_tag_of_zeros_is_wrong() -> None:
    with pytest.raises(ValueError, match="the tag is wrong"):
        opened(KEY, IV, SEALED[:-16] + bytes(16))
