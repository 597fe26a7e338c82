# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CRC-64/ECMA as Go's `hash/crc64` computes it: reflected, inverted before and after."""

from __future__ import annotations

import sys
from array import array

_POLYNOMIAL = 0xC96C5795D7870F42
_MASK = 0xFFFFFFFFFFFFFFFF


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


_TABLES = _tables()


class Crc64:
    """A checksum that is fed chunk by chunk, like those of `hashlib`."""

    def __init__(self) -> None:
        self._crc = _MASK
        self._rest = b""

    def update(self, chunk: bytes) -> None:
        t0, t1, t2, t3, t4, t5, t6, t7 = _TABLES
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
            crc = _TABLES[0][(crc ^ value) & 0xFF] ^ (crc >> 8)
        return (crc ^ _MASK).to_bytes(8, "big")
