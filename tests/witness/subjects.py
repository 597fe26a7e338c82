# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects under test and the order of their versions: what may be seen, and what may no longer be.

Every object has one writer that does one thing at a time, so its versions are ordered by their start. A version is
*known* from the moment it was acknowledged, or was seen by any read. Being known, it has landed and cannot land
again; one of unknown outcome that no read has shown may still land at any time. So a version is overwritten for
certain if it was known before a newer one, known itself, was even begun. An unknown write is thus never held against
the cluster, whether it landed, did not, or lands late; but once seen it must not vanish.

Before its create an object is absent, and after its delete. An absent row is the state before the create as long as
no version is known, and the delete from the moment that began; in between it is a lost row.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field

Key = tuple[str, str]  # table, object name


@dataclass
class Version:
    """A value an object was given (None: deleted), over all attempts at it."""

    value: str | None
    start: float  # of the first attempt that may have landed
    acknowledged: float = math.inf
    seen: float = math.inf
    possible: bool = False  # some attempt was not refused
    refusal: str = ""
    line: int = 0  # in the history, of the attempt that was acknowledged, or of the first
    # Set by Subject.index: when it was known, and from when on it was known to be overwritten and what by.
    known: float = math.inf
    overwritten: float = math.inf
    overwritten_by: Version | None = None


@dataclass
class Subject:
    """An object under test, with its versions in order."""

    key: Key
    versions: dict[str | None, Version] = field(default_factory=dict)
    id: int | None = None
    # What it was before its create: absent, and known to be from the beginning.
    unborn: Version = field(default_factory=lambda: Version(None, -math.inf, possible=True, known=-math.inf))

    @property
    def delete(self) -> Version | None:
        """Its delete, if one may have landed."""
        version = self.versions.get(None)
        return version if version is not None and version.possible else None

    @property
    def gone(self) -> float:
        """From when on its absence needs no other reason."""
        delete = self.delete
        return delete.start if delete is not None and delete.overwritten == math.inf else math.inf

    def index(self) -> None:
        """Find out from when on each version was known to be overwritten, by the earliest known of those that began
        after it was known.
        """
        for version in self.versions.values():
            version.known = min(version.acknowledged, version.seen)
        known = sorted(
            (version for version in self.versions.values() if version.possible and version.known < math.inf),
            key=lambda version: version.start,
        )
        starts = [version.start for version in known]
        earliest: list[Version] = []  # of known[i:]
        for version in reversed(known):
            earliest.append(version if not earliest or version.known <= earliest[-1].known else earliest[-1])
        earliest.reverse()
        for version in (self.unborn, *self.versions.values()):
            position = bisect.bisect_right(starts, version.known)
            version.overwritten_by = earliest[position] if position < len(earliest) else None
            version.overwritten = version.overwritten_by.known if version.overwritten_by else math.inf

    def absent(self, end: float, horizon: float) -> Version:
        """What an absent row shows in a read that ended at `end` and must know all that was known before `horizon`."""
        delete = self.delete
        return self.unborn if delete is None or delete.start > end or self.unborn.overwritten >= horizon else delete

    def newest(self, horizon: float) -> Version | None:
        """The newest version that was known before a moment."""
        known = [version for version in self.versions.values() if version.possible and version.known < horizon]
        return max(known, key=lambda version: version.start, default=None)
