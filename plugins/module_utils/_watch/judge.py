# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From samples to alerts. Pure: times come with the samples, and nothing is asked or written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .._raft.cluster import host_of
from .plan import MOVING, Expectation
from .sample import Sample

QUORUM_LOST = "quorum_lost"
LEADER_LOST = "leader_lost"
PHASE_TIMEOUT = "phase_timeout"
LOCK_LOST = "lock_lost"

# While a pod is replaced, an election is part of the plan where a release cannot hand leadership over, and two voters that
# that are candidates at the same time need a second and a third round of one to two seconds.
ELECTION_PATIENCE = 3.0
# Members are known from the first answer on.
_NEVER_HEARD = (
    "none of its daemons has answered this control node so far, so it may be healthy; open their REST ports to the control node, or set "
    "migration.safety.watch to false"
)


@dataclass(frozen=True)
class AlertLimits:
    """Seconds that a trouble may last before it is an alert."""

    quorum: float = 2.0
    leader: float = 3.0
    # How far apart two samples are when all is well.
    interval: float = 0.4


@dataclass(frozen=True)
class Alert:
    """What lasted too long. It is reported when that is known, and once more when it is over."""

    kind: str
    cluster: str | None
    message: str
    at: float
    began: float
    ended: float | None = None
    phase: str | None = None

    def record(self) -> dict[str, Any]:
        return {
            "at": round(self.at, 3),
            "kind": self.kind,
            "cluster": self.cluster,
            "phase": self.phase,
            "message": self.message,
            "began": round(self.began, 3),
            "ended": None if self.ended is None else round(self.ended, 3),
        }


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong now, since when, and how long that may last."""

    since: float
    patience: float
    text: Callable[[float], str]

    def over(self, at: float) -> bool:
        return at - self.since > self.patience


class _Alarm:
    """Raised once when any trouble has lasted too long, over when there is none left."""

    def __init__(self, kind: str, cluster: str | None) -> None:
        self.kind = kind
        self.cluster = cluster
        self.raised: Alert | None = None

    def hear(self, at: float, troubles: list[Trouble]) -> list[Alert]:
        if self.raised is None:
            grave = sorted((trouble for trouble in troubles if trouble.over(at)), key=lambda trouble: trouble.since)
            if not grave:
                return []
            self.raised = Alert(self.kind, self.cluster, grave[0].text(at - grave[0].since), at, grave[0].since)
            return [self.raised]
        return [] if troubles else self.close(at)

    def close(self, at: float) -> list[Alert]:
        ended, self.raised = self.raised, None
        return [replace(ended, at=at, ended=at)] if ended else []


class ClusterJudge:
    """Follows one cluster from sample to sample."""

    def __init__(self, cluster: str, limits: AlertLimits) -> None:
        self.cluster = cluster
        self.limits = limits
        self._quorum = _Alarm(QUORUM_LOST, cluster)
        self._leader = _Alarm(LEADER_LOST, cluster)
        self._last_at: float | None = None
        self._forget()

    def _forget(self) -> None:
        """What comes next is judged as if nothing had been seen before."""
        self._quorate_at: float | None = None
        self._led_at: float | None = None
        # The last leader that was known to be at work: its host, how people call it, and when that was.
        self._leadership: tuple[str, str, float] | None = None
        # Whether that one has not answered since.
        self._silent = False
        # The index it had committed when it was last seen to commit, and when that was.
        self._progress: tuple[int, float] | None = None

    def stop(self, at: float) -> list[Alert]:
        """The cluster is not watched any more."""
        self._last_at = None
        self._forget()
        return [*self._quorum.close(at), *self._leader.close(at)]

    def renew(self, at: float) -> list[Alert]:
        """Other members are expected from here on, and get the full patience.

        A leader that had fallen silent before that was not part of any plan, so it stays accused.
        """
        alerts = [*self._quorum.close(at), *([] if self._silent else self._leader.close(at))]
        leadership, silent = self._leadership, self._silent
        self._forget()
        if silent:
            self._leadership, self._silent = leadership, True
        return alerts

    def hear(self, sample: Sample, expectation: Expectation) -> list[Alert]:
        if not sample.watched:
            return self.stop(sample.at)
        at = sample.at
        self._skip_what_was_not_seen(at)
        if self._quorate_at is None or sample.quorum:
            self._quorate_at = at
        if self._led_at is None:
            self._led_at = at
        patience = ELECTION_PATIENCE if expectation.mode == MOVING else 1.0
        alerts = self._quorum.hear(at, self._quorum_troubles(sample, patience))
        return alerts + self._leader.hear(at, self._leader_troubles(sample, expectation, patience))

    def _skip_what_was_not_seen(self, at: float) -> None:
        """A machine that had no time for us, or slept, has seen nothing meanwhile: that time counts as silence of no member."""
        gap = at - self._last_at - 2 * self.limits.interval if self._last_at is not None else 0.0
        self._last_at = at
        if gap <= 0:
            return
        if self._quorate_at is not None:
            self._quorate_at += gap
        if self._led_at is not None:
            self._led_at += gap
        if self._leadership is not None:
            host, name, seen = self._leadership
            self._leadership = (host, name, seen + gap)
        if self._progress is not None:
            self._progress = (self._progress[0], self._progress[1] + gap)

    def _quorum_troubles(self, sample: Sample, patience: float) -> list[Trouble]:
        if sample.quorum or self._quorate_at is None:
            return []

        most_answer = sample.answering * 2 > sample.voters > 0

        def text(seconds: float) -> str:
            if not sample.voters and not sample.heard:
                seen = _NEVER_HEARD
            elif not most_answer:
                seen = f"{sample.answering} of {sample.voters} voters answer"
            else:
                seen = f"{sample.answering} of {sample.voters} voters answer, but no majority agrees on a leader"
            return f"the {self.cluster} cluster has had no quorum for {seconds:.1f} s: {seen}"

        # Where most of them answer, an election is under way: that is allowed to take as long as a leader may be missing.
        grace = max(self.limits.quorum, self.limits.leader) if most_answer else self.limits.quorum
        return [Trouble(self._quorate_at, grace * patience, text)]

    def _leader_troubles(self, sample: Sample, expectation: Expectation, patience: float) -> list[Trouble]:
        silent = self._silent_leader(sample)
        if (
            self._leadership is not None
            and expectation.replaced == self._leadership[0]
            and not (silent and self._silent)
        ):
            # Its going is the plan, if it was there until then.
            self._leadership, silent = None, []
        self._silent = bool(silent)
        if sample.leader_at is not None and sample.leader_address is not None:
            self._led_at = max(self._led_at or 0.0, sample.leader_at)
            host = host_of(sample.leader_address)
            if not silent and host != expectation.replaced:
                self._leadership = (host, _name(sample), sample.leader_at)
        troubles = silent + self._stuck_leader(sample)
        if sample.leader_at is None and self._led_at is not None:
            troubles.append(Trouble(self._led_at, self.limits.leader * patience, self._leaderless(sample)))
        return troubles

    def _silent_leader(self, sample: Sample) -> list[Trouble]:
        """The one that led last does not answer, whoever leads by now: a leader does not fall silent by itself."""
        if self._leadership is None:
            return []
        host, name, seen = self._leadership
        if sample.answers_of(host) or (sample.leader_at is not None and host_of(sample.leader_address or "") == host):
            return []

        def text(seconds: float) -> str:
            leads = "no member leads" if sample.leader_at is None else f"{_name(sample)} leads"
            return (
                f"the leader of the {self.cluster} cluster, {name}, has not answered for {seconds:.1f} s; {leads} now"
            )

        return [Trouble(seen, self.limits.leader, text)]

    def _stuck_leader(self, sample: Sample) -> list[Trouble]:
        """It answers and claims to lead, but entries wait in its log and none is committed."""
        if sample.commit_index is None or sample.last_index is None:
            return []
        idle = sample.last_index <= sample.commit_index
        if idle or self._progress is None or self._progress[0] != sample.commit_index:
            self._progress = (sample.commit_index, sample.at)
        if idle:
            return []

        def text(seconds: float) -> str:
            return (
                f"the leader of the {self.cluster} cluster, {_name(sample)}, has committed nothing for {seconds:.1f} s: it is at "
                f"{sample.commit_index}, and its log ends at {sample.last_index}"
            )

        return [Trouble(self._progress[1], self.limits.leader, text)]

    def _leaderless(self, sample: Sample) -> Callable[[float], str]:
        def text(seconds: float) -> str:
            known = ""
            if sample.leader_address is not None:
                known = f"; the others still name {_name(sample)}, which does not answer"
            seen = f"{sample.answering} of {sample.voters} voters answer, in term {sample.term}{known}"
            if not sample.voters and not sample.heard:
                seen = _NEVER_HEARD
            return f"the {self.cluster} cluster has had no leader for {seconds:.1f} s: {seen}"

        return text


class PhaseJudge:
    """One alert for a phase that takes longer than it may; it is over when the next phase begins."""

    def __init__(self) -> None:
        self._alarm = _Alarm(PHASE_TIMEOUT, None)

    def hear(self, at: float, phase: str | None, began: float, timeout: float | None) -> list[Alert]:
        troubles = []
        if phase is not None and timeout is not None and at - began > timeout:
            troubles = [
                Trouble(
                    began,
                    timeout,
                    lambda seconds: f"phase {phase} has run for {seconds:.0f} s, its limit is {timeout:.0f} s",
                )
            ]
        return self._alarm.hear(at, troubles)


def _name(sample: Sample) -> str:
    return f"{sample.leader or 'unknown'} ({sample.leader_address})"
