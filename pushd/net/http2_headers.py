"""HPACK (RFC 7541) for a client that says mostly the same again.

What is said twice goes into the table and then costs a byte; what differs each time stays
out of it, so that it drives nothing out. What must not be indexed anywhere is marked so
(RFC 7541 §7.1.3). Nothing is packed by Huffman's code: in Python that costs more than it saves.
"""

from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache

from hpack import HeaderTuple, NeverIndexedHeaderTuple
from hpack.table import HeaderTable

TABLE_SIZE = 4096  # bytes, as RFC 7541 §4.1 counts them: what a peer grants unless it says so
SEEN_ONCE = 256  # pairs that are remembered as said once

_FIRST = 62  # the index of the newest entry
_STATIC: dict[tuple[bytes, bytes], int] = {}  # a pair's index
_NAMES: dict[bytes, int] = {}  # a name's lowest index
for _index, (_name, _value) in enumerate(HeaderTable.STATIC_TABLE, 1):
    _STATIC.setdefault((_name, _value), _index)
    _NAMES.setdefault(_name, _index)


class HeaderEncoder:
    """One direction of one connection; stands in for `hpack.Encoder` where h2 wants one."""

    def __init__(self) -> None:
        self._limit = TABLE_SIZE
        self._announce: list[int] = []  # sizes to tell the peer of, before the next block
        self._size = 0
        self._added = 0  # entries so far
        self._table: OrderedDict[tuple[bytes, bytes], int] = OrderedDict()  # pair -> its number
        self._once: dict[tuple[bytes, bytes], None] = {}

    @property
    def header_table_size(self) -> int:
        return self._limit

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        """What the peer grants has changed (RFC 7541 §4.2); more than TABLE_SIZE is not used."""
        size = min(size, TABLE_SIZE)
        if size == self._limit:
            return
        self._limit = size
        # The smallest size meanwhile is to be told too, as what it drove out is gone.
        self._announce = [min([size, *self._announce]), size]
        self._make_room(0)

    def encode(self, headers: Iterable[HeaderTuple | tuple[bytes, bytes]]) -> bytes:
        """A header block. Names are in lower case; a NeverIndexedHeaderTuple never is indexed."""
        parts = []
        if self._announce:
            parts = [_number(size, 5, 0x20) for size in dict.fromkeys(self._announce)]
            self._announce = []
        for header in headers:
            name, value = header
            if header.__class__ is NeverIndexedHeaderTuple:
                parts.append(_literal_name(name, 4, 0x10) + _number(len(value), 7, 0) + value)
            else:
                parts.append(self._pair((name, value)))
        return b"".join(parts)

    def _pair(self, pair: tuple[bytes, bytes]) -> bytes:
        number = self._table.get(pair)
        if number is not None:
            return _number(_FIRST - 1 + self._added - number, 7, 0x80)
        index = _STATIC.get(pair)
        if index is not None:
            return _number(index, 7, 0x80)
        name, value = pair
        if pair not in self._once:
            if len(self._once) >= SEEN_ONCE:
                self._once.clear()
            self._once[pair] = None
            return _literal_name(name, 4, 0) + _number(len(value), 7, 0) + value
        del self._once[pair]
        head = _literal_name(name, 6, 0x40)
        self._add(pair)
        return head + _number(len(value), 7, 0) + value

    def _add(self, pair: tuple[bytes, bytes]) -> None:
        """One that is larger than the table empties it (RFC 7541 §4.4)."""
        size = _size(pair)
        self._make_room(size)
        if size <= self._limit:
            self._table[pair] = self._added
            self._added += 1
            self._size += size

    def _make_room(self, size: int) -> None:
        while self._table and self._size + size > self._limit:
            pair, _ = self._table.popitem(last=False)
            self._size -= _size(pair)


def _size(pair: tuple[bytes, bytes]) -> int:
    return len(pair[0]) + len(pair[1]) + 32


@lru_cache(1024)
def _literal_name(name: bytes, bits: int, pattern: int) -> bytes:
    index = _NAMES.get(name)
    if index is not None:
        return _number(index, bits, pattern)
    return bytes([pattern]) + _number(len(name), 7, 0) + name


@lru_cache(4096)
def _number(value: int, bits: int, pattern: int) -> bytes:
    """An integer with a prefix of so many bits (RFC 7541 §5.1), below the bits of `pattern`."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([pattern | value])
    encoded = bytearray([pattern | most])
    value -= most
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
