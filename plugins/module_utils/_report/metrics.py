# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's key figures for Prometheus: a file for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

PREFIX = "pi_controller_migration"
Sample = tuple[dict[str, str], Any]


def prometheus(report: Mapping[str, Any]) -> str:
    """The text exposition format; figures that were not measured are left out."""
    figures, watch = report["figures"], report["watch"]
    ended = datetime.fromisoformat(report["ended"]).timestamp()
    watched = {name: figures for name, figures in watch.items() if figures["samples"]}
    metrics: list[tuple[str, str, list[Sample]]] = [
        (
            "info",
            "Outcome of the last migration run.",
            [({"outcome": report["outcome"], "migration_id": report["migration_id"] or ""}, 1)],
        ),
        ("good", "1 where every check of the report holds.", [({}, int(report["verdict"]["good"]))]),
        ("ended_timestamp_seconds", "When the migration ended.", [({}, ended)]),
        (
            "duration_seconds",
            "From the first phase's beginning to the last one's end.",
            [({}, figures["duration_seconds"])],
        ),
        (
            "phase_duration_seconds",
            "How long each phase took.",
            [({"phase": phase["name"], "state": phase["state"]}, phase["seconds"]) for phase in report["phases"]],
        ),
        (
            "write_pause_seconds",
            "How long the fence held writes at the cutover.",
            [({}, figures["write_pause_seconds"])],
        ),
        (
            "client_write_pause_seconds",
            "The longest write pause that the clients of a witness saw.",
            [({}, figures["client_write_pause_seconds"])],
        ),
        (
            "hardware_unowned_seconds",
            "How long each Pi's hardware had no owner, at most.",
            [({"host": gap["host"]}, gap["seconds"]) for gap in report["hardware"]],
        ),
        (
            "without_quorum_seconds",
            "How long each cluster was seen without a quorum.",
            [({"cluster": name}, figures["without_quorum_seconds"]) for name, figures in watched.items()],
        ),
        (
            "leader_changes",
            "Changes of leader seen in each cluster.",
            [({"cluster": name}, figures["leader_changes"]) for name, figures in watched.items()],
        ),
        ("alerts", "Alerts raised.", [({}, figures["alerts"])]),
        ("pod_restarts", "Restarts of the pods' containers.", [({}, figures["pod_restarts"])]),
        ("checks_failed", "Checks that do not hold.", [({}, sum(check["ok"] is False for check in report["checks"]))]),
        ("lost_writes", "Acknowledged writes that a witness found missing.", [({}, figures["lost_writes"])]),
        ("failed_reads", "Reads of a witness that failed.", [({}, figures["failed_reads"])]),
    ]
    return "".join(line + "\n" for name, help_text, samples in metrics for line in _metric(name, help_text, samples))


def _metric(name: str, help_text: str, samples: Iterable[Sample]) -> list[str]:
    lines = [f"{PREFIX}_{name}{_labels(labels)} {float(value):.10g}" for labels, value in samples if value is not None]
    return [f"# HELP {PREFIX}_{name} {help_text}", f"# TYPE {PREFIX}_{name} gauge", *lines] if lines else []


def _labels(labels: Mapping[str, str]) -> str:
    written = [f'{key}="{_escaped(value)}"' for key, value in labels.items()]
    return "{" + ",".join(written) + "}" if written else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
