"""AES-128-GCM as FIPS 197 and NIST SP 800-38D write it down, for tests that decrypt.

Slow, and nothing but arithmetic, so that what is encrypted by a library is read by another hand:

    opened(key, iv, ciphertext_and_tag)   # raises ValueError where the tag is wrong
"""

from itertools import pairwise


def _double(byte: int) -> int:
    return (byte << 1) ^ (0x11B if byte & 0x80 else 0)


def _times(one: int, other: int) -> int:
    """The product in GF(2^8) (FIPS 197 §4.2)."""
    product = 0
    while other:
        if other & 1:
            product ^= one
        one, other = _double(one), other >> 1
    return product


def _substitute(byte: int) -> int:
    """FIPS 197 §5.1.1: the inverse, and an affine map of it."""
    inverse = next((one for one in range(256) if _times(byte, one) == 1), 0)
    turned = (inverse << 8 | inverse) * 0x10001
    found = 0x63
    for by in range(5):
        found ^= turned >> (8 - by) & 0xFF
    return found


SBOX = bytes(_substitute(byte) for byte in range(256))


def _round_keys(key: bytes) -> list[bytes]:
    """FIPS 197 §5.2, for 128 bits."""
    words = [key[start : start + 4] for start in range(0, 16, 4)]
    constant = 1
    for number in range(4, 44):
        word = words[-1]
        if number % 4 == 0:
            turned = bytes(SBOX[byte] for byte in word[1:] + word[:1])
            word = bytes([turned[0] ^ constant]) + turned[1:]
            constant = _double(constant)
        words.append(bytes(a ^ b for a, b in zip(words[number - 4], word, strict=True)))
    return [b"".join(words[start : start + 4]) for start in range(0, 44, 4)]


def _mixed(column: bytes) -> bytes:
    """FIPS 197 §5.1.3."""
    return bytes(
        _times(column[row], 2)
        ^ _times(column[(row + 1) % 4], 3)
        ^ column[(row + 2) % 4]
        ^ column[(row + 3) % 4]
        for row in range(4)
    )


def block(key: bytes, plain: bytes) -> bytes:
    """One block of 16 bytes, encrypted (FIPS 197 §5.1)."""
    first, *keys = _round_keys(key)
    state = bytes(a ^ b for a, b in zip(plain, first, strict=True))
    for number, round_key in enumerate(keys):
        replaced = bytes(SBOX[byte] for byte in state)
        shifted = bytes(replaced[(place + 4 * (place % 4)) % 16] for place in range(16))
        if number < 9:
            columns = (shifted[start : start + 4] for start in range(0, 16, 4))
            shifted = b"".join(map(_mixed, columns))
        state = bytes(a ^ b for a, b in zip(shifted, round_key, strict=True))
    return state


def _product(one: int, other: int) -> int:
    """SP 800-38D §6.3, where the first bit is the lowest power."""
    product, shifted = 0, other
    for place in range(127, -1, -1):
        if one >> place & 1:
            product ^= shifted
        shifted = shifted >> 1 ^ (0xE1 << 120 if shifted & 1 else 0)
    return product


def _counted(key: bytes, iv: bytes, data: bytes) -> bytes:
    """GCTR from the second counter on (§6.5)."""
    said = bytearray()
    for number, start in enumerate(range(0, len(data), 16)):
        stream = block(key, iv + (number + 2).to_bytes(4, "big"))
        said += bytes(a ^ b for a, b in zip(data[start : start + 16], stream, strict=False))
    return bytes(said)


def tag(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """§7.1 steps 5 and 6, without additional data."""
    subkey = int.from_bytes(block(key, bytes(16)), "big")
    padded = ciphertext + bytes(-len(ciphertext) % 16) + (8 * len(ciphertext)).to_bytes(16, "big")
    found = 0
    for start, end in pairwise(range(0, len(padded) + 16, 16)):
        found = _product(found ^ int.from_bytes(padded[start:end], "big"), subkey)
    mask = int.from_bytes(block(key, iv + b"\0\0\0\1"), "big")
    return (found ^ mask).to_bytes(16, "big")


def opened(key: bytes, iv: bytes, sealed: bytes) -> bytes:
    """The plaintext (§7.2). Raises ValueError where it is not what was sealed."""
    if len(iv) != 12:
        raise ValueError("an IV of 12 bytes is expected")
    ciphertext, given = sealed[:-16], sealed[-16:]
    if tag(key, iv, ciphertext) != given:
        raise ValueError("the tag is wrong")
    return _counted(key, iv, ciphertext)
