# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file that is carried between a Pi and the control node in pieces, so that no module needs memory for all of it.

A piece is compressed: what a database leaves empty takes no time then, and a piece has more of it. No link is followed on the Pi, and what
arrives has the SHA-256 of what was sent, or is not kept.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import safe_open
from .durable import fsync, sha256_of_rest
from .failures import MigrationError
from .room import check_room

# Bytes. A module has a piece, and the same as text, in memory.
# Of what goes in one round trip, and of the file that is in it: the first bounds memory, the second the time of a module.
PIECE = 4 << 20
LONGEST = 64 << 20
CHUNK = 1 << 20
# Faster than any network that a Pi has.
LEVEL = 1


@dataclass(frozen=True)
class Piece:
    """`size` and `sha256` are of the whole file; the first piece alone has the sum. `length` bytes of it are `packed`.

    Nothing is packed where the receiver has the file.
    """

    size: int
    sha256: str = ""
    length: int = 0
    packed: bytes | None = None


def pack(content: Iterable[bytes]) -> tuple[int, bytes]:
    """How many bytes of this are packed until they are a piece, and these."""
    compressor, length, packed = zlib.compressobj(LEVEL), 0, bytearray()
    for part in content:
        packed += compressor.compress(part)
        length += len(part)
        if len(packed) >= PIECE or length >= LONGEST:
            break
    return length, bytes(packed + compressor.flush())


def unpack(packed: bytes, length: int) -> Iterator[bytes]:
    """What was packed, in parts that bound memory. Raises MigrationError where it is not of this length."""
    decompressor, left, rest = zlib.decompressobj(), length, packed
    while left > 0:
        try:
            part = decompressor.decompress(rest, min(CHUNK, left))
        except zlib.error as error:
            raise _damaged(length - left, length) from error
        if not part:
            raise _damaged(length - left, length)
        left, rest = left - len(part), decompressor.unconsumed_tail
        yield part


def _damaged(seen: int, wanted: int) -> MigrationError:
    return MigrationError(
        f"of a piece of {wanted} bytes {seen} could be unpacked", seen=seen, wanted=wanted, next_step="run this again"
    )


def read(path: Path, offset: int, known: str = "", summed: bool = True) -> Piece:
    """The piece of this file that begins at `offset`; nothing of a file whose SHA-256 is `known`. Raises OSError, UnsafePath.

    Without `summed` the file is not read for its sum.
    """
    with os.fdopen(safe_open.open_file(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        sha256 = sha256_of_rest(file) if summed and offset == 0 else ""
        if sha256 and sha256 == known:
            return Piece(size, sha256)
        file.seek(offset)
        length, packed = pack(iter(lambda: file.read(CHUNK), b""))
        return Piece(size, sha256, length, packed)


class Arrival:
    """A file that arrives at `dest`: 0600, whole or not at all."""

    def __init__(self, dest: Path, size: int, sha256: str) -> None:
        self.dest, self.size, self.sha256 = dest, size, sha256
        self.part = f".{dest.name}.part"

    def present(self) -> bool:
        """Whether the file is there already, for its owner alone. Raises UnsafePath where something else is."""
        try:
            with os.fdopen(safe_open.open_file(self.dest), "rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != 0o600:
                    return False
                return sha256_of_rest(file) == self.sha256
        except FileNotFoundError:
            return False

    def take(self, content: Iterable[bytes], offset: int) -> bool:
        """Add a piece; returns whether the file is complete and in its place. Raises OSError, MigrationError."""
        end = offset
        with safe_open.folder(self.dest.parent) as folder, self._part(folder, offset) as part:
            os.lseek(part, offset, os.SEEK_SET)
            for some in content:
                left = memoryview(some)
                while left:
                    left = left[os.write(part, left) :]
                end += len(some)
            if end < self.size:
                return False
            os.fsync(part)
            with os.fdopen(part, "rb", closefd=False) as file:
                file.seek(0)
                seen = sha256_of_rest(file)
            if seen != self.sha256:
                raise MigrationError(
                    f"what arrived for {self.dest} has SHA-256 {seen}",
                    seen=seen,
                    wanted=self.sha256,
                    next_step="check the storage on both sides, then run this again",
                )
            os.rename(self.part, self.dest.name, src_dir_fd=folder, dst_dir_fd=folder)
        fsync(self.dest.parent)
        return True

    @contextlib.contextmanager
    def _part(self, folder: int, offset: int) -> Iterator[int]:
        """A descriptor of what has arrived by now; what an earlier attempt has left is none of it."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        if offset == 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.part, dir_fd=folder)
            check_room(self.dest.parent, self.size, str(self.dest))
            flags |= os.O_CREAT | os.O_EXCL
        part = os.open(self.part, flags, 0o600, dir_fd=folder)
        try:
            os.fchmod(part, 0o600)
            if os.fstat(part).st_size != offset:
                raise MigrationError(
                    f"{self.dest} arrives twice at the same time",
                    seen=os.fstat(part).st_size,
                    wanted=offset,
                    next_step="see whether another run copies it, then run this again",
                )
            yield part
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(self.part, dir_fd=folder)
            raise
        finally:
            os.close(part)
