# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge finds, by kind, and what a verdict comes to."""

from __future__ import annotations

from dataclasses import dataclass

LOST_WRITE = "lost_write"
LOST_DELETE = "lost_delete"
LOST_UPDATE = "lost_update"  # a later write is shown and this one is not
DUPLICATE_ID = "duplicate_id"
PHANTOM = "phantom"
STALE_READ = "stale_read"
FAILED_READ = "failed_read"
OVER_LIMIT = "over_limit"
# These say nothing against the cluster: the witness has not seen enough to say anything.
NO_EVIDENCE = "no_evidence"
WITNESS_BROKE = "witness_broke"
EVIDENCE_KINDS = frozenset({NO_EVIDENCE, WITNESS_BROKE})

ACQUITTED, CONVICTED, REFUSED = "acquitted", "convicted", "refused"


@dataclass(frozen=True)
class Finding:
    """One fault, in words and with what it takes to look it up in the history."""

    kind: str
    text: str
    route: str = ""
    client: str = ""
    at: str = ""
    about: str = ""  # the version that is missing, where reads that miss the same one are one finding
    times: int = 1  # how often it was seen
