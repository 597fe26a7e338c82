# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the quorum watch and the witness wrote down, as series and figures for the report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._core.tail import records

CLUSTERS = ("old", "new")
# So many points a line: more cannot be distinguished on paper or on a screen.
POINTS = 240
# Two samples further apart than this have a hole between them, about which nothing is known.
HOLE = 10.0
READS, WRITES = ("read-one", "read-list"), ("create", "update", "delete")


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file. A half-written last line is what a kill leaves; it and a missing file say nothing."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return records(text.splitlines())


def within(lines: Iterable[Mapping[str, Any]], began: float, ended: float) -> list[dict[str, Any]]:
    return sorted(
        (dict(line) for line in lines if began <= float(line["at"]) <= ended), key=lambda line: float(line["at"])
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest rank; None where there is nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def latencies(sample: Mapping[str, Any]) -> list[float]:
    members = (sample.get("members") or {}).values()
    return [
        float(member["latency_ms"])
        for member in members
        if member.get("answers") and member.get("latency_ms") is not None
    ]


def leaderships(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Who led a cluster from when to when, in which term; a stretch without a leader has none."""
    found: list[dict[str, Any]] = []
    for sample in samples:
        at, leader, term = float(sample["at"]), sample.get("leader") or sample.get("leader_address"), sample.get("term")
        last = found[-1] if found else None
        near = last is not None and at - last["to"] <= HOLE
        if last is not None and near:
            last["to"] = at
            if (last["leader"], last["term"]) == (leader, term):
                continue
        found.append({"from": at, "to": at, "leader": leader, "term": term})
    return found


def without_quorum(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Stretches in which the watch saw no quorum, from the first such sample to the next good one.

    Of a time without samples, or with samples that could not see the cluster, nothing is known: a stretch ends before it.
    """
    found: list[dict[str, float]] = []
    open_since = None
    last = 0.0
    for sample in samples:
        at, quorum = float(sample["at"]), sample["quorum"]
        hole = quorum is None or at - last > HOLE
        if open_since is not None and (hole or quorum):
            found.append({"from": open_since, "to": last if hole else at})
            open_since = None
        if quorum is False and open_since is None:
            open_since = at
        last = at
    if open_since is not None:
        found.append({"from": open_since, "to": last})
    return found


def buckets(
    values: Iterable[tuple[float, float]], began: float, ended: float, points: int = POINTS
) -> list[dict[str, float]]:
    """Values over time, the median and the largest of each stretch."""
    width = max((ended - began) / points, 1e-9)
    sorted_in: dict[int, list[float]] = {}
    for at, value in values:
        sorted_in.setdefault(min(points - 1, int((at - began) / width)), []).append(value)
    return [
        {
            "at": round(began + (index + 0.5) * width, 3),
            "median": round(percentile(found, 0.5) or 0.0, 2),
            "max": round(max(found), 2),
        }
        for index, found in sorted(sorted_in.items())
    ]


def watched(samples: Sequence[Mapping[str, Any]], began: float, ended: float) -> dict[str, Any]:
    """Figures of one cluster from the watch's samples. Only stretches without a quorum need those that could not see it."""
    lost = without_quorum(samples)
    samples = [sample for sample in samples if sample["quorum"] is not None]
    times = [(float(sample["at"]), value) for sample in samples for value in latencies(sample)]
    asked = sum(len(sample.get("members") or {}) for sample in samples)
    led = leaderships(samples)
    values = [value for _at, value in times]
    silent = [
        {"at": round(float(sample["at"]), 3), "address": address}
        for sample in samples
        for address, member in (sample.get("members") or {}).items()
        if not member.get("answers")
    ]
    named = [(sample["leader"], sample["term"]) for sample in led if sample["leader"]]
    return {
        "samples": len(samples),
        "from": round(float(samples[0]["at"]), 3) if samples else None,
        "to": round(float(samples[-1]["at"]), 3) if samples else None,
        "asked": asked,
        "unanswered": len(silent),
        "unanswered_at": silent,
        "latency_ms": {
            "p50": _rounded(percentile(values, 0.5)),
            "p99": _rounded(percentile(values, 0.99)),
            "max": _rounded(max(values, default=None)),
        },
        "leaderships": led,
        "leader_changes": sum(leader != other for leader, other in zip(named, named[1:])),
        "without_quorum": lost,
        "without_quorum_seconds": round(sum(period["to"] - period["from"] for period in lost), 3),
        "latency": buckets(times, began, ended),
    }


def alerts(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every alert once: a second line of the same kind and beginning says when it ended."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
        key = (line.get("kind"), line.get("cluster"), line.get("began"))
        known = found.setdefault(
            key, {name: line.get(name) for name in ("kind", "cluster", "phase", "message", "began", "ended")}
        )
        known["ended"] = line.get("ended") or known["ended"]
    return sorted(found.values(), key=lambda alert: alert["began"] or 0.0)


def witness_series(path: Path, began: float, ended: float) -> dict[str, Any]:
    """Reads and writes over time from a witness's history, and every attempt that failed."""
    series: dict[str, list[tuple[float, float]]] = {"reads": [], "writes": []}
    failed: list[dict[str, Any]] = []
    offset = None
    for line in lines_of(path):
        if line.get("kind") == "header" and offset is None:
            offset = float(line["wall"]) - float(line["monotonic"])
        if line.get("kind") != "operation" or offset is None:
            continue
        kind = "reads" if line["op"] in READS else "writes"
        at = offset + float(line["start"])
        if not began <= at <= ended:
            continue
        if line["outcome"] == "ok":
            series[kind].append((at, (float(line["end"]) - float(line["start"])) * 1000))
        elif line["outcome"] != "redirected":
            failed.append(
                {
                    "at": round(at, 3),
                    "kind": kind,
                    "route": line["route"],
                    "error": line.get("error") or line["outcome"],
                }
            )
    return {
        "reads": buckets(series["reads"], began, ended),
        "writes": buckets(series["writes"], began, ended),
        "failed": failed,
    }


def witness_summary(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What of a witness's verdict the report shows."""
    figures = verdict["figures"]
    kinds = Counter(finding["kind"] for finding in verdict["findings"])
    rows = [_route("all reads", figures["reads"])]
    rows += [_route(f"reads at {route}", gaps) for route, gaps in figures["reads"].get("routes", {}).items()]
    rows.append(_route("all writes", figures["writes"]))
    pause = figures["write_pause"]
    return {
        "ok": verdict["ok"],
        "findings": [
            {"kind": finding["kind"], "text": finding["text"], "at": finding.get("at"), "route": finding.get("route")}
            for finding in verdict["findings"]
        ],
        "lost_writes": sum(number for kind, number in kinds.items() if kind.startswith("lost")),
        # The figures have the reads that were allowed to fail, the findings those of the last look at all rows.
        "failed_reads": max(figures["reads"]["outcomes"].get("fail", 0), kinds["failed_read"]),
        "refused_writes": pause.get("attempts_refused_within", 0),
        "acknowledged_writes": figures["writes"]["outcomes"].get("ok", 0),
        "write_pause_seconds": pause["seconds"],
        "write_pause_from": pause["from"],
        "write_pause_to": pause["to"],
        "routes": rows,
    }


def _route(title: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "route": title,
        "count": summary["count"],
        "ok": summary["outcomes"].get("ok", 0),
        "failed": summary["outcomes"].get("fail", 0),
        "latency_ms": summary["latency_ms"],
        "longest_gap_seconds": summary["longest_gap"]["seconds"],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
