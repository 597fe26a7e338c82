# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's part on availability: what the quorum watch and the witness saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._core import words
from . import charts
from .blocks import data, figure, section, table
from .markup import Child, Markup, joined, tag

INTRODUCTION = (
    "The quorum watch asks every member several times a second. The witness, where one ran, is a set of clients that read and write all the time."
)
REPLACED = "A member whose pod is being replaced, one Pi at a time, cannot answer; the others keep the quorum meanwhile."
WATCH_HEAD = ("Cluster", "Looks", "No answer", "Median", "99 of 100", "Slowest", "No quorum", "Leader changes")
WITNESS_HEAD = ("Clients", "Attempts", "Failed", "Median", "99 of 100", "Slowest", "Longest gap")


def availability(report: Mapping[str, Any]) -> Markup:
    return section("availability", tag("p", INTRODUCTION), *_watch(report), *_witness(report))


def _milliseconds(value: float) -> str:
    return words.seconds(value / 1000)


def _latency(report: Mapping[str, Any], at: str) -> list[Markup]:
    return [data(report, f"{at}.latency_ms.{which}", _milliseconds) for which in ("p50", "p99", "max")]


def _watch(report: Mapping[str, Any]) -> list[Child]:
    watch = report["watch"]
    names = [name for name in charts.CLUSTER_TITLES if watch[name]["samples"]]
    if not names:
        return [tag("p", "The quorum watch left no samples of this run.", class_="empty")]
    lines = [charts.Line(charts.CLUSTER_TITLES[name], "a" if name == "old" else "b", watch[name]["latency"]) for name in names]
    silent = [one["at"] for name in names for one in watch[name]["unanswered_at"]]

    def draw(narrow: bool) -> Markup:
        return charts.latency("watch", lines, silent, report["write_pause"], report["window"], narrow)

    rows = [
        (
            charts.CLUSTER_TITLES[name],
            data(report, f"watch.{name}.samples"),
            data(report, f"watch.{name}.unanswered"),
            *_latency(report, f"watch.{name}"),
            data(report, f"watch.{name}.without_quorum_seconds", words.seconds),
            data(report, f"watch.{name}.leader_changes"),
        )
        for name in names
    ]
    return [
        tag("h3", "Seen by the quorum watch"),
        figure("How long members took to answer. The shaded stretch is the write pause.", draw),
        table(None, WATCH_HEAD, rows, numeric=range(1, 8)),
        tag("p", REPLACED, class_="empty") if silent else None,
    ]


def _witness(report: Mapping[str, Any]) -> list[Child]:
    witness = report["witness"]
    if not witness:
        return [tag("p", "No witness ran, so lost writes and failed reads of clients were not measured.", class_="empty")]
    parts: list[Child] = [tag("h3", "Seen by the witness")]
    if witness.get("series"):
        found = witness["series"]
        kinds = [charts.Line("reads", "b", found["reads"]), charts.Line("writes", "a", found["writes"])]
        failed = [one["at"] for one in found["failed"]]

        def draw(narrow: bool) -> Markup:
            return charts.latency("witness", kinds, failed, report["write_pause"], report["window"], narrow)

        caption = "How long clients waited for an answer, and where they got none. The shaded stretch is the write pause."
        parts.append(figure(caption, draw))
    rows = [
        (
            one["route"],
            data(report, f"witness.routes.{index}.count"),
            data(report, f"witness.routes.{index}.failed"),
            *_latency(report, f"witness.routes.{index}"),
            data(report, f"witness.routes.{index}.longest_gap_seconds", words.seconds),
        )
        for index, one in enumerate(witness["routes"])
    ]
    parts.append(table(None, WITNESS_HEAD, rows, numeric=range(1, 7)))
    told = joined(
        "Of ",
        data(report, "witness.acknowledged_writes"),
        " acknowledged writes ",
        data(report, "witness.lost_writes"),
        " were lost. Longest write pause as clients saw it: ",
        data(report, "witness.write_pause_seconds", words.seconds),
        *((", the fence alone: ", data(report, "write_pause.seconds", words.seconds)) if report["write_pause"] else ()),
        ".",
    )
    parts.append(tag("p", told, class_="empty"))
    if witness["findings"]:
        found = [(one["kind"].replace("_", " "), one["text"], one["route"], (one["at"] or "")[11:23]) for one in witness["findings"]]
        parts.append(table("What the witness found", ["Kind", "What", "Route", "At"], found))
    return parts
