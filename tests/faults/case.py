# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A case of the suite: one fault in one phase; and a chain: one migration to which several of them happen."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PHASES = ("prepare", "transfer", "validate", "cutover", "systemd_shutdown", "port_migration", "cleanup")
ROLLBACK = "rollback"  # instead of a phase: the rollback of a finished migration, Pi by Pi
ORDER = (*PHASES, ROLLBACK)
START = "start"  # instead of a phase's task: before the play begins

MIGRATED, SAFE = "migrated", "safe"


@dataclass(frozen=True)
class Case:
    """One line of the table.

    `at` is part of the name of the task during which the fault strikes, the `nth` time the phase comes to it; without one
    it strikes `after` seconds of the phase. `on` says whom: the leader of the cluster that serves, a follower of it, the
    server that also carries Kubernetes' control plane, or in a rollback the Pi whose turn it is. What does not pass by
    itself is taken back after `heal` seconds.
    Without `rollback` a run that fails stops where it is, and the case must end migrated by going on from there.
    `safe_within` and `pause_within` are the limits of what it may cost, in seconds.
    """

    phase: str
    fault: str
    at: str = ""
    on: str = "follower"
    after: float = 0.0
    nth: int = 1
    heal: float = 0.0
    ends: str = MIGRATED
    profile: str = "full"
    rollback: bool = False  # with auto_rollback_on_error
    safe_within: float = 180.0  # from the strike until writes are acknowledged again and the play is where it should be
    pause_within: float = 60.0  # between two acknowledged writes

    @property
    def name(self) -> str:
        return f"{self.phase}/{self.fault}" + (f"@{self.profile}" if self.profile != "full" else "")


@dataclass(frozen=True)
class Chain:
    """Cases that befall one migration, all of one profile and one setting of auto_rollback_on_error."""

    name: str
    cases: tuple[Case, ...]

    @property
    def profile(self) -> str:
        return self.cases[0].profile

    @property
    def rollback(self) -> bool:
        return self.cases[0].rollback

    @property
    def goes_back(self) -> bool:
        """Whether the faults befall the rollback of a migration that is finished by then."""
        return self.cases[0].phase == ROLLBACK


def chained(cases: Sequence[Case], together: bool = False) -> list[Chain]:
    """The fewest migrations for these cases: one for each fault that strikes every phase and one for the others, or all `together`."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        everywhere = {
            other.phase for other in cases if other.fault == case.fault and _setting(other) == _setting(case)
        } == set(PHASES)
        groups.setdefault(
            "-".join(filter(None, (case.fault if everywhere and not together else "mixed", _setting(case)))), []
        ).append(case)
    # The order of the phases; what must be there before the play comes first.
    chains = [
        Chain(name, tuple(sorted(members, key=lambda case: (case.at != START, ORDER.index(case.phase)))))
        for name, members in groups.items()
    ]
    for chain in chains:
        refuse_collisions(chain)
    return chains


def refuse_collisions(chain: Chain) -> None:
    """Raise ValueError if two cases of a migration wait for the same task: the second would strike what the first has done, if at all."""
    cases = [case for case in chain.cases if case.at not in ("", START)]
    for case, other in itertools.combinations(cases, 2):
        if (case.phase, case.nth) == (other.phase, other.nth):
            both = [task for task in task_names() if case.at in task and other.at in task]
            if both or case.at == other.at:
                raise ValueError(
                    f"migration {chain.name}: {case.name} and {other.name} both strike the task {(both or [case.at])[0]!r}; "
                    "give one of them another task or another nth, or run them in two migrations"
                )


@functools.cache
def task_names() -> tuple[str, ...]:
    """The names of all tasks of the roles."""
    files = sorted(Path(__file__).parents[2].glob("roles/*/tasks/*.yml"))
    lines = [line for path in files for line in path.read_text().splitlines() if "- name:" in line]
    return tuple(line.split("name:", 1)[1].strip().strip("\"'") for line in lines)


def _setting(case: Case) -> str:
    words = (
        case.profile if case.profile != "full" else "",
        "rollback" if case.rollback else "",
        "turns" if case.phase == ROLLBACK else "",
    )
    return "-".join(filter(None, words))
