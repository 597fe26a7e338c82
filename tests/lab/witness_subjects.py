# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects under test and the order of their versions: what may be seen, and what may no longer be.

Every object has one writer that does one thing at a time, so its versions are ordered by their start. A version is *known* from
the moment it was acknowledged, or was seen by any read. Being known, it has landed and cannot land again; one of unknown outcome
that nobody saw may still land at any time. So a version is overwritten for certain if it was known before a newer one, known
itself, was even begun. An unknown write is thus never held against the cluster, whether it landed, did not, or lands late; but
once seen it must not vanish.
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
    start: float
    acknowledged: float = math.inf
    seen: float = math.inf
    possible: bool = False  # some attempt was not refused
    refusal: str = ""

    @property
    def known(self) -> float:
        return min(self.acknowledged, self.seen)


@dataclass
class Subject:
    """An object under test, with its versions in order."""

    key: Key
    versions: dict[str | None, Version] = field(default_factory=dict)
    ids: set[int] = field(default_factory=set)
    # For times ascending: the newest version known by then.
    floor_times: list[float] = field(default_factory=list)
    floor_versions: list[Version] = field(default_factory=list)

    @property
    def born(self) -> float:
        """When its first write began."""
        return next(iter(self.versions.values())).start

    @property
    def gone(self) -> float:
        """When its delete was acknowledged; nothing is written to it after that."""
        return self.versions[None].acknowledged if None in self.versions else math.inf

    def index(self) -> None:
        known = sorted((version for version in self.versions.values() if version.possible and version.known < math.inf),
                       key=lambda version: version.known)
        self.floor_times, self.floor_versions = [], []
        for version in known:
            if not self.floor_versions or version.start > self.floor_versions[-1].start:
                self.floor_times.append(version.known)
                self.floor_versions.append(version)

    def floor(self, moment: float) -> Version | None:
        """The newest version known before a moment."""
        position = bisect.bisect_left(self.floor_times, moment)
        return self.floor_versions[position - 1] if position else None

    def overwritten(self, observed: str | None, floor: Version) -> bool:
        """Whether what was observed must have been replaced by `floor`, or by something after it."""
        version = self.versions.get(observed)
        if version is None or not version.possible:
            return True  # absent, and nobody deleted it: from before the row was made
        return version.known < floor.start
