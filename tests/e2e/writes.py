# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the witness's clients could write, and when."""

from __future__ import annotations

from tests.witness import history


def first_write_after(record: history.History, moment: float) -> dict[str, float]:
    """Seconds from this moment (epoch) to the end of the first acknowledged write that began after it, by where its client writes."""
    began = record.monotonic(moment)
    found: dict[str, float] = {}
    for operation in record.operations:
        if operation.op in history.WRITES and operation.outcome == history.OK and operation.start >= began:
            label = record.label(operation)
            found[label] = min(found.get(label, operation.end - began), operation.end - began)
    return found
