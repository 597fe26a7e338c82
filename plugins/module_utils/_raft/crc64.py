# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CRC-64/ECMA as Go's `hash/crc64` computes it: reflected, inverted before and after.

It is that of the .xz format as well, and liblzma has it in C. Python has no function for it there, but its decoder refuses a block
whose checksum is another: a state that is put into a block as it is, without compression, is checked a hundred times faster than in
Python, where 137 MB took eight seconds of the write pause.
"""

from __future__ import annotations

import functools
import struct
import sys
import zlib
from array import array
from typing import Protocol

try:
    import lzma
except ImportError:
    # A Python that was built without it.
    lzma = None  # type: ignore[assignment]

_POLYNOMIAL = 0xC96C5795D7870F42
_MASK = 0xFFFFFFFFFFFFFFFF


@functools.cache
def _tables() -> list[list[int]]:
    """Slicing-by-8: table k is the effect of a byte that k more bytes follow, so one step takes eight bytes."""
    first = []
    for value in range(256):
        for _bit in range(8):
            value = (value >> 1) ^ _POLYNOMIAL if value & 1 else value >> 1
        first.append(value)
    tables = [first]
    for _step in range(7):
        tables.append([first[value & 0xFF] ^ (value >> 8) for value in tables[-1]])
    return tables


# A chunk of the block is at most this long. The first one begins a dictionary, which no chunk uses and the decoder wants.
_CHUNK, _FIRST, _FURTHER, _END = 1 << 16, 1, 2, b"\0"
_CRC64_CHECK = b"\0\x04"
# One filter, LZMA2 with a dictionary of 1 MiB; no sizes.
_BLOCK = bytes([2, 0, 0x21, 1, 16, 0, 0, 0])


class Check(Protocol):
    """Is fed chunk by chunk, and says whether all of it has the checksum that was asked for."""

    def update(self, chunk: bytes) -> None: ...

    def holds(self) -> bool: ...


class Crc64:
    """The checksum of what is fed chunk by chunk, like those of `hashlib`. 17 MB a second on a fast machine."""

    def __init__(self) -> None:
        self._crc = _MASK
        self._rest = b""

    def update(self, chunk: bytes) -> None:
        t0, t1, t2, t3, t4, t5, t6, t7 = _tables()
        chunk = self._rest + chunk
        whole = len(chunk) - len(chunk) % 8
        self._rest = chunk[whole:]
        words = array("Q", chunk[:whole])
        if sys.byteorder == "big":
            words.byteswap()
        crc = self._crc
        for word in words:
            b0, b1, b2, b3, b4, b5, b6, b7 = (crc ^ word).to_bytes(8, "little")
            crc = t7[b0] ^ t6[b1] ^ t5[b2] ^ t4[b3] ^ t3[b4] ^ t2[b5] ^ t1[b6] ^ t0[b7]
        self._crc = crc

    def digest(self) -> bytes:
        """Eight bytes, big endian, as Go's `Sum` appends them."""
        crc = self._crc
        for value in self._rest:
            crc = _tables()[0][(crc ^ value) & 0xFF] ^ (crc >> 8)
        return (crc ^ _MASK).to_bytes(8, "big")


class _InPython:
    def __init__(self, wanted: bytes) -> None:
        self._wanted, self._crc = wanted, Crc64()
        self.update = self._crc.update

    def holds(self) -> bool:
        return self._crc.digest() == self._wanted


class _InLiblzma:
    def __init__(self, wanted: bytes) -> None:
        self._wanted, self._control, self._length = wanted, _FIRST, 0
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        for part, checked in ((b"\xfd7zXZ\0" + _CRC64_CHECK, _CRC64_CHECK), (_BLOCK, _BLOCK)):
            self._decoder.decompress(part + struct.pack("<I", zlib.crc32(checked)))

    def update(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        for start in range(0, len(view), _CHUNK):
            part = view[start : start + _CHUNK]
            self._decoder.decompress(struct.pack(">BH", self._control, len(part) - 1))
            self._decoder.decompress(part)
            self._control, self._length = _FURTHER, self._length + 3 + len(part)

    def holds(self) -> bool:
        padding = bytes(-(self._length + len(_END)) % 4)
        try:
            self._decoder.decompress(_END + padding + self._wanted[::-1])
        except lzma.LZMAError:
            return False
        return True


@functools.cache
def _has_liblzma() -> bool:
    """Whether it accepts the catalogue's value and refuses another one: a decoder without this check would accept all."""
    if lzma is None or not lzma.is_check_supported(lzma.CHECK_CRC64):
        return False
    found = []
    for wanted in ("995dc9bbdf1939fa", "995dc9bbdf1939fb"):
        check = _InLiblzma(bytes.fromhex(wanted))
        check.update(b"123456789")
        found.append(check.holds())
    return found == [True, False]


def check_of(wanted: bytes) -> Check:
    """The check for a checksum of eight bytes, big endian, as Go's `Sum` appends them."""
    return _InLiblzma(wanted) if _has_liblzma() else _InPython(wanted)
