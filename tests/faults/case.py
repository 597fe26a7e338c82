# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A case of the suite: one fault in one phase; and a chain: one migration to which several of them happen."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.rehearsal import PHASES, STRATEGIES

PARALLEL, ROLLING = STRATEGIES
ROLLBACK = "rollback"  # instead of a phase: the rollback of a finished migration, Pi by Pi
ORDER = (*PHASES, ROLLBACK)
START = "start"  # instead of a phase's task: before the play begins

MIGRATED, SAFE = "migrated", "safe"
# What a fault may cost at most, in seconds: an election, on a busy machine, and a task that waits for a Pi to boot, or for kube-proxy to
# find an API server that was away.
ELECTED, SAFE_WITHIN = 15.0, 120.0


@dataclass(frozen=True)
class Case:
    """One line of the table.

    `at` is part of the name of the task during which the fault strikes, the `nth` time the phase comes to it; without one
    it strikes `after` seconds of the phase. `moment` is a word for when in the phase that is, where one fault strikes it
    more than once; some lie within a task, see `MOMENTS` in moments.py. `on` says whom: the leader of the cluster that
    serves, the old-leader among the units, a follower, the server that also carries Kubernetes' control plane, or, Pi by
    Pi, the Pi whose turn it is, its neighbour, or a follower other than that one. What does not pass by itself is taken back after `heal`
    seconds. `chain` names the migration that it shares, where that is another than its fault's.
    Without `rollback` a run that fails stops where it is, and the case must end migrated by going on from there.
    `safe_within` and `pause_within` are the limits of what it may cost, in seconds: from the strike until writes are acknowledged again and
    the play is where it should be, and between two acknowledged writes. `refused` is a pattern of what the run has to say
    that meets it, where that is one that must stop.
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
    strategy: str = PARALLEL
    moment: str = ""
    chain: str = ""
    rollback: bool = False  # with auto_rollback_on_error
    refused: str = ""
    safe_within: float = SAFE_WITHIN
    pause_within: float = ELECTED

    @property
    def label(self) -> str:
        """The fault, and when in the phase where that is not clear without."""
        return "-".join(filter(None, (self.fault, self.moment)))

    @property
    def name(self) -> str:
        way = f"{self.strategy}/" if self.strategy != PARALLEL else ""
        return f"{way}{self.phase}/{self.label}" + (f"@{self.profile}" if self.profile != "full" else "")


@dataclass(frozen=True)
class Chain:
    """Cases that befall one migration, all of one strategy, one profile and one setting of auto_rollback_on_error.

    `later` names pairs: the first case waits until the second has struck an earlier run, so that two of a phase do not meet.
    """

    name: str
    cases: tuple[Case, ...]
    later: tuple[tuple[str, str], ...] = ()

    @property
    def profile(self) -> str:
        return self.cases[0].profile

    @property
    def strategy(self) -> str:
        return self.cases[0].strategy

    @property
    def rollback(self) -> bool:
        return self.cases[0].rollback

    @property
    def goes_back(self) -> bool:
        """Whether the faults befall the rollback of a migration that is finished by then."""
        return self.cases[0].phase == ROLLBACK


def chained(cases: Sequence[Case], together: bool = False) -> list[Chain]:
    """The fewest migrations for these cases: one for each that they name, one for each other fault that strikes every phase, and
    one for all the rest; or all `together`, as far as the settings of a migration allow it.
    """
    groups: dict[str, list[Case]] = {}
    for case in cases:
        name = "mixed" if together else case.chain or (case.fault if _everywhere(case, cases) else "mixed")
        groups.setdefault("-".join(filter(None, (name, _setting(case)))), []).append(case)
    # The order of the phases; what must be there before the play comes first.
    chains = [
        Chain(name, tuple(sorted(members, key=lambda case: (case.at != START, ORDER.index(case.phase)))))
        for name, members in groups.items()
    ]
    for chain in chains:
        refuse_collisions(chain)
    return chains


def _everywhere(case: Case, cases: Sequence[Case]) -> bool:
    """Whether its fault strikes every phase of the strategy."""
    phases = {other.phase for other in cases if other.fault == case.fault and _setting(other) == _setting(case)}
    return phases == set(STRATEGIES[case.strategy])


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
        case.strategy if case.strategy != PARALLEL else "",
        case.profile if case.profile != "full" else "",
        "rollback" if case.rollback else "",
        "turns" if case.phase == ROLLBACK else "",
    )
    return "-".join(filter(None, words))
