# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conditions that a cluster has to meet, and what one look at it says about them."""

from __future__ import annotations

from typing import Any

from .._core.failures import MigrationError
from .._core.waiting import Waited, wait_until
from .._daemon.interface import Daemon
from .cluster import LEADER_UNSEEN, ClusterView, MemberView, look_at

POLL = 0.1
# What has just committed is applied within milliseconds, and after a wait "caught up" takes a third look. Only the first looks are close
# together: the published daemon answers ten requests at once from one address, then one a second.
FIRST_POLLS = (0.02, 0.03, 0.05)


class Conditions:
    """Looks until the conditions hold, and remembers which index "caught up" means."""

    def __init__(self, clients: list[Daemon], conditions: dict[str, Any]) -> None:
        self.clients = clients
        self.conditions = conditions
        self._asked: tuple[Any, int] | None = None
        self._waited = self._renewed = False
        self._learners = bool(conditions.get("learners"))

    def target(self, view: ClusterView) -> int:
        """The leader's commit index when it was first seen to lead; a new leader or term asks anew, and so does `_hold` once."""
        if view.leader is None:
            return 0
        term = (view.leader.id, view.leader.term)
        if self._asked is None or self._asked[0] != term:
            self._asked = (term, view.leader.commit_index or 0)
        return self._asked[1]

    def behind(self, view: ClusterView) -> list[str]:
        reasons = view.why_behind(self.target(view), learners=self._learners)
        if not reasons and view.leader and view.leader.client is None:
            return [LEADER_UNSEEN]
        return reasons

    def reason_behind(self, view: ClusterView, member: MemberView) -> str | None:
        """Why this member has not caught up. Without a leader this is unknown, and a learner need not, unless it is asked for."""
        if view.leader is None or member not in view.counted(self._learners):
            return None
        return member.reason_behind(view.leader, self.target(view))

    def wait(self, timeout: float) -> Waited[ClusterView]:
        """Look until all conditions hold, for at most so many seconds."""
        return wait_until(lambda: look_at(self.clients), self._hold, timeout, POLL, FIRST_POLLS)

    def _hold(self, view: ClusterView) -> bool:
        """Whether all conditions hold, with what the leader has committed by then.

        A daemon that takes seconds to start has caught up with an index that is seconds old. From then on it follows, so one more
        index, of that very moment, is reached at once. A third would never end while clients write.
        """
        if self.unmet(view):
            self._waited = True
            return False
        if self._waited and not self._renewed:
            self._renewed, self._asked = True, None
            return not self.unmet(view)
        return True

    def not_met(self, waited: Waited[ClusterView]) -> MigrationError:
        reasons = self.unmet(waited.value)
        return MigrationError(
            f"the cluster did not reach the wanted state within {waited.elapsed:.1f} s: {'; '.join(reasons)}",
            url=",".join(client.url for client in self.clients),
            seen=reasons,
            wanted={name: value for name, value in self.conditions.items() if value},
            next_step="bring the named members back, or give it more `wait_timeout`",
        )

    def unmet(self, view: ClusterView) -> list[str]:
        """One line for every condition that does not hold."""
        wanted = self.conditions
        reasons: list[str] = []
        if wanted.get("answered"):
            reasons.extend(f"answered: {found['url']}: {found['error']}" for found in view.unanswered)
        if wanted.get("leader") and not view.quorate:
            reasons.append(f"leader: {view.describe()}")
        if wanted.get("voters") is not None and len(view.counted(self._learners)) != wanted["voters"]:
            who = "voters and learners" if self._learners else "voters"
            reasons.append(f"{who}: {len(view.counted(self._learners))}, wanted {wanted['voters']}")
        if wanted.get("caught_up"):
            # Remember the index at the first look, whatever else holds by then.
            reasons.extend(f"caught_up: {reason}" for reason in self.behind(view))
        for host in wanted.get("caught_up_at") or ():
            reasons.extend(
                f"caught_up_at: {reason}"
                for reason in view.why_behind_at(host, self.target(view), learners=self._learners)
            )
        if wanted.get("leader_id_not") and (view.leader is None or view.leader.id in (None, wanted["leader_id_not"])):
            reasons.append(f"leader_id_not: {view.describe()}")
        return reasons

    def capabilities(self, view: ClusterView) -> list[str]:
        """Of the leader; else of the first node that answers. An error is raised and never taken for "none"."""
        if view.leader and view.leader.client:
            return sorted(view.leader.client.capabilities())
        answering = [answer.client for answer in view.answers if answer.status]
        return sorted(answering[0].capabilities()) if answering else []

    def result(self, view: ClusterView, elapsed: float) -> dict[str, Any]:
        behind = self.behind(view)
        return {
            "leader": view.leader.as_dict() if view.leader else None,
            "term": view.term,
            "quorate": view.quorate,
            "rivals": list(view.rivals),
            "members": [
                {**member.as_dict(view.leader), "behind": self.reason_behind(view, member)} for member in view.members
            ],
            "voters": len(view.voters),
            "caught_up": not behind,
            "behind": behind,
            # Not `unreachable`: Ansible would take the host itself for unreachable and drop it from the play.
            "unanswered": view.unanswered,
            "elapsed": round(elapsed, 3),
        }
