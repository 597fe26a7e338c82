# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast this machine is, as limits in seconds need to know it."""

from __future__ import annotations

import functools
import itertools
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.e2e import rehearsal
from tests.witness.evidence import Limits

PING = "    - ansible.builtin.ping:\n"
PINGS = 7
# Seconds of a no-op task on the machine of two cores that the limits were set on.
REFERENCE = 0.32


def no_op(folder: Path) -> float:
    """Seconds of one ping task on all Pis, from the beginning of the first one to that of the last: Ansible's own start is left out."""
    playbook = folder / "pings.yml"
    playbook.write_text("- hosts: k3s_cluster\n  gather_facts: false\n  tasks:\n" + PING * PINGS)
    began = [moment.seconds for moment in rehearsal.run_playbook(playbook).moments if moment.kind == "TASK"]
    # The first one opens the connections.
    return statistics.median(after - before for before, after in itertools.pairwise(began[1:]))


def allowance(seconds: float) -> float:
    """How many times as long as on the machine of the limits everything may take here, where a no-op task takes `seconds`."""
    return max(1.0, seconds / REFERENCE)


@functools.cache
def factor() -> float:
    """The `allowance` of this machine, measured once: the lab is up, and no playbook runs."""
    with tempfile.TemporaryDirectory(prefix="pi-migration-pace-") as folder:
        seconds = no_op(Path(folder))
    print(
        f"a task that does nothing takes {seconds:.2f} s on all Pis, so limits are {allowance(seconds):.2f} times theirs",
        flush=True,
    )
    return allowance(seconds)


def here(limits: Limits) -> Limits:
    """These limits as they are on this machine."""
    return scaled(limits, factor())


def scaled(limits: Limits, factor: float) -> Limits:
    return replace(limits, **{name: limit * factor for name, limit in vars(limits).items()})
