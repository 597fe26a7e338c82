# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast this machine is, as limits in seconds need to know it."""

from __future__ import annotations

import functools
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.e2e import rehearsal
from tests.witness.evidence import Limits

PING = "- hosts: k3s_cluster\n  gather_facts: false\n  tasks:\n" + "    - ansible.builtin.ping:\n"
PINGS = 6
# Seconds of a no-op task on the machine of two cores that the limits were set on.
REFERENCE = 0.32


def no_op(folder: Path, times: int = 3) -> float:
    """Seconds of one ping task on all Pis: what several of them take longer than one, which leaves out the start of Ansible."""
    one, many = folder / "ping.yml", folder / "pings.yml"
    one.write_text(PING)
    many.write_text(PING + "    - ansible.builtin.ping:\n" * PINGS)
    differences = [rehearsal.run_playbook(many).seconds - rehearsal.run_playbook(one).seconds for _ in range(times)]
    return statistics.median(differences) / PINGS


def allowance(seconds: float) -> float:
    """How many times as long as on the machine of the limits everything may take here, where a no-op task takes `seconds`."""
    return max(1.0, seconds / REFERENCE)


@functools.cache
def factor() -> float:
    """The `allowance` of this machine, measured once: the lab is up, and no playbook runs."""
    with tempfile.TemporaryDirectory(prefix="pi-migration-pace-") as folder:
        seconds = no_op(Path(folder), times=1)
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
