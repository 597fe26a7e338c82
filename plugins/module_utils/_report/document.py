# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of a migration's report, put together from what was written down while it ran. Pure.

The result is what migration-report.json holds; its shape is published in docs/report.schema.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from .._core.journal import PARALLEL, ROLLBACK
from .._core.text import visible_in
from .._core.words import PHASE_TITLES
from . import series
from .checks import checks
from .outcome import state_of
from .secrets import harmless_config, without_passwords, without_secrets
from .status import moment
from .status import phases as phases_of
from .verdict import verdict

FORMAT = 1
OUTCOMES = ("migrated", "rolled_back", "failed", "paused")
# A little of what was before the first phase belongs to the picture.
LEAD = 5.0


@dataclass(frozen=True)
class Inputs:
    """What a report is made from."""

    outcome: str
    status: Mapping[str, Any]
    hosts: Mapping[str, Mapping[str, Any]]
    config: Mapping[str, Any]
    now: float
    samples: Sequence[Mapping[str, Any]] = ()
    alerts: Sequence[Mapping[str, Any]] = ()
    contents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    contents_again: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    failure: Mapping[str, Any] | None = None
    # What the run's own rollback failed with; the journal does not have it.
    rollback: str | None = None
    witness: Mapping[str, Any] | None = None
    witness_history: Any = None


def gather(inputs: Inputs) -> dict[str, Any]:
    """The whole report."""
    inputs = replace(inputs, hosts=_of_this_migration(inputs))
    phases = _phases(inputs)
    began, ended = _span(phases, inputs.now)
    window = (began - LEAD, ended + LEAD)
    samples = series.within(inputs.samples, *window)
    watch = {
        cluster: series.watched([sample for sample in samples if sample["cluster"] == cluster], *window)
        for cluster in series.CLUSTERS
    }
    alerts = series.alerts(
        [alert for alert in inputs.alerts if window[0] <= float(alert.get("began") or alert["at"]) <= window[1]]
    )
    report: dict[str, Any] = {
        "format": FORMAT,
        "generated": _iso(inputs.now),
        "migration_id": _migration_id(inputs.hosts),
        "outcome": inputs.outcome,
        "began": _iso(began),
        "ended": _iso(ended),
        "window": {"from": round(window[0], 3), "to": round(window[1], 3)},
        "state": state_of(inputs.status),
        "failure": dict(inputs.failure) if inputs.failure else _recorded_failure(phases),
        "phases": phases,
        "write_pause": _write_pause(inputs.hosts),
        "hardware": _hardware(inputs.hosts),
        "watch": watch,
        "witness": None,
        "content": _content(inputs),
        "content_at_rest": _at_rest(inputs),
        "members": _members(inputs),
        "pods": [
            {name: pod.get(name) for name in ("node", "pod", "ready", "restarts", "images")}
            for pod in inputs.status["pods"]
        ],
        "alerts": alerts,
        "versions": without_secrets(dict(inputs.versions)),
        "configuration": harmless_config(inputs.config),
        "next": dict(inputs.status["next"]),
        "not_seen": [*inputs.status["faults"], *_content_faults(inputs)],
    }
    if inputs.witness:
        report["witness"] = series.witness_summary(inputs.witness)
        if inputs.witness_history is not None:
            report["witness"]["series"] = series.witness_series(inputs.witness_history, *window)
    report["figures"] = _figures(report, round(ended - began, 1))
    report["checks"] = checks(report)
    report["verdict"] = verdict(report)
    # Once for all that is made of it: the page, the JSON, JUnit and the figures.
    whole: dict[str, Any] = without_passwords(visible_in(report))
    return whole


def looks_back_to(inputs: Inputs) -> float:
    """What was written down before this moment is not in the report."""
    began, _ended = _span(_phases(replace(inputs, hosts=_of_this_migration(inputs))), inputs.now)
    return began - LEAD


def _span(phases: Sequence[Mapping[str, Any]], now: float) -> tuple[float, float]:
    """When the migration began and ended."""
    begun = [phase["started_at"] for phase in phases if phase["started_at"] is not None]
    ended_at = [phase["finished_at"] for phase in phases if phase["finished_at"] is not None]
    # A report made again later ends where the migration ended.
    open_end = any(phase["state"] == "started" for phase in phases) or not ended_at
    return min(begun, default=now), now if open_end else max(ended_at)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")


def _of_this_migration(inputs: Inputs) -> dict[str, dict[str, Any]]:
    """The Pis with the journal the report is about: a rollback puts it aside when it is done."""
    back = inputs.outcome == "rolled_back"
    return {
        name: {**info, "journal": info.get("journal") or (info.get("last_journal") if back else None)}
        for name, info in inputs.hosts.items()
    }


def _migration_id(hosts: Mapping[str, Mapping[str, Any]]) -> str | None:
    named = [(info.get("journal") or {}).get("migration_id") for info in hosts.values()]
    return next((value for value in named if value), None)


def _phases(inputs: Inputs) -> list[dict[str, Any]]:
    limit = (inputs.config.get("timeouts_seconds") or {}).get("phase_timeout")
    found = []
    for name, phase in phases_of(inputs.hosts, inputs.config.get("strategy", PARALLEL)).items():
        began, ended = moment(phase["started"]), moment(phase["finished"])
        lasted = None if began is None else (ended if ended is not None else inputs.now) - began
        found.append(
            {
                "name": name,
                "title": PHASE_TITLES[name],
                "state": phase["state"],
                "started": phase["started"],
                "finished": phase["finished"],
                "started_at": began,
                "finished_at": ended,
                "seconds": None if lasted is None else round(lasted, 1),
                "timeout_seconds": limit,
                "hosts": dict(phase["hosts"]),
                "task": phase["task"],
                "message": phase["message"]
                or (inputs.rollback if name == ROLLBACK and phase["state"] != "done" else None),
            }
        )
    return found


def _recorded_failure(phases: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    for phase in phases:
        if phase["state"] == "failed":
            return {"phase": phase["name"], "task": phase["task"], "message": phase["message"], "host": None}
    return None


def _facts(hosts: Mapping[str, Mapping[str, Any]], phase: str) -> list[Mapping[str, Any]]:
    journals = [(info.get("journal") or {}).get("phases") or {} for info in hosts.values()]
    return [journal[phase].get("facts") or {} for journal in journals if phase in journal]


def _write_pause(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The write pause of the cutover, as the playbook measured it."""
    cutover: dict[str, Any] = {}
    for facts in _facts(hosts, "cutover"):
        cutover.update(facts)
    if cutover.get("write_pause_seconds") in (None, "") or cutover.get("fenced_at") in (None, ""):
        return None
    began, lasted = float(cutover["fenced_at"]), float(cutover["write_pause_seconds"])
    return {
        "from": round(began, 3),
        "to": round(began + lasted, 3),
        "seconds": round(lasted, 3),
        "fence": cutover.get("fence"),
        "carried_by": cutover.get("carried_by"),
        "content_digest": cutover.get("content_digest"),
    }


def _hardware(hosts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How long each Pi's hardware had no owner: from the beginning of the unit's stop until its pod has taken its place.

    Pi by Pi each handover has measured it. Else the journal has whole seconds and the phases' ends, so the truth is a little shorter.
    """
    found = []
    for name, info in hosts.items():
        phases = (info.get("journal") or {}).get("phases") or {}
        turn = (phases.get("cutover") or {}).get("facts") or {}
        if turn.get("away_from") not in (None, "") and turn.get("away_seconds") not in (None, ""):
            away_from, seconds = float(turn["away_from"]), float(turn["away_seconds"])
            found.append(
                {"host": name, "from": away_from, "to": round(away_from + seconds, 3), "seconds": round(seconds, 1)}
            )
            continue
        began = moment((phases.get("systemd_shutdown") or {}).get("started"))
        ended = moment((phases.get("port_migration") or {}).get("finished"))
        if began is not None and ended is not None and ended >= began:
            found.append({"host": name, "from": began, "to": ended, "seconds": round(ended - began, 1)})
    return found


def _content(inputs: Inputs) -> list[dict[str, Any]]:
    """Checksums and digests of every Pi: what was backed up before, and what is there now."""
    rows = []
    for name, info in inputs.hosts.items():
        before = (info.get("manifest") or {}).get("database") or {}
        snapshot = (info.get("manifest") or {}).get("snapshot") or {}
        after = inputs.contents.get(name) or {}
        rows.append(
            {
                "host": name,
                "backup_sha256": before.get("sha256"),
                "digest_before": before.get("digest"),
                "rows_before": _rows(before.get("tables")),
                "snapshot_sha256": snapshot.get("sha256") or None,
                "snapshot_index": snapshot.get("index") or None,
                "digest_after": after.get("digest"),
                "rows_after": _rows(after.get("tables")),
            }
        )
    return rows


def _content_faults(inputs: Inputs) -> list[str]:
    """Why a content was not read. Of a Pi that was not seen at all, the status says so."""
    errors = {
        name: content.get("error") or content.get("msg")
        for name, content in inputs.contents.items()
        if not content.get("digest") and "gate" in inputs.hosts.get(name, {})
    }
    return [f"{name}: content not read: {error}" for name, error in errors.items() if error]


def _at_rest(inputs: Inputs) -> bool | None:
    """Whether no Pi's content changed between two looks; None where there was one look only."""
    twice = [
        (content["digest"], again["digest"])
        for name, content in inputs.contents.items()
        for again in [inputs.contents_again.get(name) or {}]
        if content.get("digest") and again.get("digest")
    ]
    return all(first == second for first, second in twice) if twice else None


def _rows(tables: Any) -> int | None:
    """How many rows a manifest or sqlite_info counts in all tables together."""
    if not isinstance(tables, Mapping):
        return None
    counts = [table.get("rows") if isinstance(table, Mapping) else table for table in tables.values()]
    return sum(int(count) for count in counts if count is not None)


def _members(inputs: Inputs) -> dict[str, list[dict[str, Any]]]:
    recorded = [(info.get("manifest") or {}).get("members") for info in inputs.hosts.values()]
    before: list[dict[str, Any]] = next((members for members in recorded if members), [])
    clusters = inputs.status["clusters"]
    after = (
        clusters["new"]["members"] if inputs.status["traffic"]["served_by"] == "pods" else clusters["old"]["members"]
    )
    after = after or clusters["new"]["members"] or clusters["old"]["members"]
    keep = ("id", "address", "voter", "role", "term", "last_index", "applied_index", "lag")
    return {
        "before": sorted(
            ({key: member.get(key) for key in keep} for member in before), key=lambda member: str(member["id"])
        ),
        "after": [{key: member.get(key) for key in keep} for member in after],
    }


def _pod_restarts(pods: Sequence[Mapping[str, Any]]) -> int | None:
    """None where no pod was seen, as when Kubernetes does not answer."""
    return sum(pod["restarts"] or 0 for pod in pods) if pods else None


def _figures(report: Mapping[str, Any], lasted: float) -> dict[str, Any]:
    """The key figures, flat."""
    watch, witness, pause = report["watch"], report["witness"], report["write_pause"]
    forward = [phase for phase in report["phases"] if phase["name"] != ROLLBACK]
    return {
        "duration_seconds": lasted,
        "phases_done": sum(phase["state"] == "done" for phase in forward),
        "phases": len(forward),
        "write_pause_seconds": pause["seconds"] if pause else None,
        "quorum_samples": sum(figures["samples"] for figures in watch.values()),
        "without_quorum_seconds": round(sum(figures["without_quorum_seconds"] for figures in watch.values()), 3),
        "leader_changes": sum(figures["leader_changes"] for figures in watch.values()),
        "unanswered": sum(figures["unanswered"] for figures in watch.values()),
        "alerts": len(report["alerts"]),
        "pod_restarts": _pod_restarts(report["pods"]),
        "lost_writes": witness["lost_writes"] if witness else None,
        "failed_reads": witness["failed_reads"] if witness else None,
        "client_write_pause_seconds": witness["write_pause_seconds"] if witness else None,
    }
