# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as one HTML page: no script, no request, nothing but what is in the file.

Every number stands in a `data` element with its place in the JSON, so that a reader (or a test) can find it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._core import words
from . import charts
from .availability import availability
from .blocks import SECTIONS, code, data, figure, listing, section, state, table, unbroken
from .markup import Child, Markup, joined, raw, tag
from .style import CSS

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
ICONS = {
    "good": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm-4-9 3 3 5-6",
    "wait": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm-2.5-12v6m5-6v6",
    "back": "M9 14 4 9l5-5M4 9h10.500a5.500 5.500 0 0 1 0 11H11",
    "bad": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-13.500v5m0 3.500v.01",
}


def page(report: Mapping[str, Any]) -> str:
    """The whole document."""
    told = report["verdict"]
    calm = {"migrated": "good", "rolled_back": "back", "paused": "wait"}
    mood = calm.get(report["outcome"], "bad") if told["good"] else "bad"
    body = tag(
        "body",
        tag("a", "Skip to the report", href="#timeline", class_="skip"),
        tag(
            "div",
            _header(report, mood),
            _navigation(),
            tag(
                "main",
                _timeline(report),
                availability(report),
                _content(report),
                _members(report),
                _alerts(report),
                _checks(report),
                _versions(report),
                _configuration(report),
            ),
            _footer(report),
            class_="wrap",
        ),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{told['headline']} · pi-controller migration report"),
        tag("style", raw(CSS)),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _header(report: Mapping[str, Any], mood: str) -> Markup:
    told = report["verdict"]
    icon = tag("svg", tag("path", d=ICONS[mood]), viewBox="0 0 24 24", fill="none", stroke="currentColor", stroke_width="1.8",
               stroke_linecap="round", stroke_linejoin="round", aria_hidden="true")  # fmt: skip
    named = f" {report['migration_id']}" if report["migration_id"] else ""
    lines = [tag("li", unbroken(line)) for line in told["now"]] + [tag("li", unbroken(doubt), class_="doubt") for doubt in told["doubts"]]
    commands = []
    if told["command"]:
        commands += [tag("dt", f"{'To start over' if mood == 'back' else 'To go on'} ({told['why']})"), tag("dd", tag("code", told["command"]))]
    if told["back"]:
        commands += [tag("dt", "To go back to systemd"), tag("dd", tag("code", told["back"]))]
    return tag(
        "header",
        tag(
            "p",
            f"pi-controller migration{named} · {report['began'][:10]}, {report['began'][11:16]} to {report['ended'][11:16]} UTC",
            class_="eyebrow",
        ),
        tag("h1", icon, tag("span", told["headline"])),
        tag("p", unbroken(told["happened"]), class_="happened"),
        tag(
            "div",
            tag("h2", "State of the cluster now"),
            tag("ul", *lines),
            tag("dl", *commands, class_="commands") if commands else None,
            class_="now",
        ),
        _figures(report),
        class_=mood,
    )


def _figures(report: Mapping[str, Any]) -> Markup:
    figures = report["figures"]
    measured: list[tuple[str, str, Callable[[Any], str], str]] = [
        ("from beginning to end", "duration_seconds", words.seconds, ""),
        ("writes waited at the cutover", "write_pause_seconds", words.seconds, "no cutover"),
        ("without a quorum", "without_quorum_seconds", words.seconds, ""),
        ("alerts", "alerts", str, ""),
        ("acknowledged writes lost", "lost_writes", str, "not measured"),
        ("failed reads", "failed_reads", str, "not measured"),
        ("pod restarts", "pod_restarts", str, ""),
        ("phases done", "phases_done", lambda value: f"{value} of {figures['phases']}", ""),
    ]
    if not figures["quorum_samples"]:
        measured[2] = ("quorum watch", "quorum_samples", lambda value: "not run", "")
    cells = []
    for title, key, shown, none in measured:
        missing = figures[key] is None or (key == "quorum_samples")
        cells.append(tag("div", tag("dt", title), tag("dd", data(report, f"figures.{key}", shown, none or "–"), class_="none" if missing else None)))
    return tag("dl", *cells, class_="figures")


def _navigation() -> Markup:
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title in SECTIONS]
    return tag("nav", tag("ul", *links), aria_label="Parts of the report")


def _time(text: str | None) -> str:
    return text[11:19] if text else ""


def _timeline(report: Mapping[str, Any]) -> Markup:
    phases = [
        (
            phase["title"],
            state(phase["state"]),
            _time(phase["started"]),
            data(report, f"phases.{index}.seconds", words.seconds) if phase["seconds"] is not None else "",
            words.seconds(phase["timeout_seconds"]) if phase["timeout_seconds"] else "",
            _differing(phase),
        )
        for index, phase in enumerate(report["phases"])
    ]
    began = report["window"]["from"]
    led = [
        (
            charts.CLUSTER_TITLES[cluster],
            one["leader"] or "no leader",
            data(report, f"watch.{cluster}.leaderships.{index}.term"),
            charts.offset(one["from"] - began),
            charts.offset(one["to"] - began),
        )
        for cluster in charts.CLUSTER_TITLES
        for index, one in enumerate(report["watch"][cluster]["leaderships"])
    ]
    pause = report["write_pause"]
    waited = None
    if pause:
        fence = {"read-only": "the daemons refused them", "network": "the network kept them away"}.get(pause["fence"], "they were fenced off")
        carried = {"api": "as a Raft snapshot", "sqlite": "as an SQLite backup"}.get(pause["carried_by"], "to the pods")
        told = f" from {words.clock(pause['from'])} UTC: {fence}, while the last difference was carried over {carried}."
        waited = joined("Writes waited ", data(report, "write_pause.seconds", words.seconds), told)
    return section(
        "timeline",
        tag("p", "Times are UTC; the axis counts from a few seconds before the first phase."),
        figure("Phases, the write pause, and who led each cluster.", lambda narrow: charts.timeline(report, narrow)),
        table("Phases", ["Phase", "State", "Begun", "Took", "Time limit", "Differing"], phases, numeric=(3, 4)),
        tag("p", waited, class_="empty") if waited else None,
        _hardware(report),
        table("Leaders", ["Cluster", "Leader", "Term", "From", "To"], led, numeric=(2, 3, 4))
        if led
        else tag("p", "No quorum watch ran, so leaders and terms over time are not known.", class_="empty"),
    )


def _hardware(report: Mapping[str, Any]) -> Markup | None:
    rows = [
        (one["host"], words.clock(one["from"]), words.clock(one["to"]), data(report, f"hardware.{index}.seconds", words.seconds))
        for index, one in enumerate(report["hardware"])
    ]
    return table("GPIO and other hardware without an owner, at most", ["Pi", "From", "To", "Took"], rows, numeric=(3,)) if rows else None


def _differing(phase: Mapping[str, Any]) -> str:
    return ", ".join(f"{host} {state}" for host, state in phase["hosts"].items() if state != phase["state"])


def _content(report: Mapping[str, Any]) -> Markup:
    before = [
        (row["host"], data(report, f"content.{index}.rows_before"), code(row["backup_sha256"]), code(row["digest_before"]))
        for index, row in enumerate(report["content"])
    ]
    after = [(row["host"], data(report, f"content.{index}.rows_after"), code(row["digest_after"])) for index, row in enumerate(report["content"])]
    snapshots = [
        (row["host"], data(report, f"content.{index}.snapshot_index"), code(row["snapshot_sha256"]))
        for index, row in enumerate(report["content"])
        if row["snapshot_sha256"]
    ]
    pause = report["write_pause"]
    both = (
        joined("At the cutover both sides held the content ", tag("code", pause["content_digest"]), ".")
        if pause and pause["content_digest"]
        else None
    )
    return section(
        "content",
        tag(
            "p",
            "The SHA-256 is that of the backup file; the digest is that of the rows, equal wherever the rows are equal."
            " Clients go on writing, so the digests before and after differ by what they wrote.",
        ),
        table("Before: backups of each Pi", ["Pi", "Rows", "SHA-256 of the backup", "Digest of the content"], before, numeric=(1,)),
        table("Raft snapshot", ["Pi", "Index", "SHA-256"], snapshots, numeric=(1,)) if snapshots else None,
        tag("p", both, class_="empty") if both else None,
        table("After", ["Pi", "Rows", "Digest of the content"], after, numeric=(1,)),
    )


def _members(report: Mapping[str, Any]) -> Markup:
    head = ["ID", "Address", "Role", "Term", "Index", "Applied", "Lag"]

    def rows(when: str) -> list[Sequence[Child]]:
        return [
            (
                one["id"],
                one["address"],
                (one["role"] or "no answer") + ("" if one["voter"] else " (learner)"),
                *(data(report, f"members.{when}.{index}.{key}") for key in ("term", "last_index", "applied_index", "lag")),
            )
            for index, one in enumerate(report["members"][when])
        ]

    pods = [
        (pod["node"], pod["pod"], "yes" if pod["ready"] else "no", data(report, f"pods.{index}.restarts"), ", ".join(pod["images"] or []))
        for index, pod in enumerate(report["pods"])
    ]
    return section(
        "members",
        table("Before", head, rows("before"), numeric=(3, 4, 5, 6)),
        table("After", head, rows("after"), numeric=(3, 4, 5, 6)),
        table("Pods", ["Node", "Pod", "Ready", "Restarts", "Image"], pods, numeric=(3,)) if pods else None,
    )


def _alerts(report: Mapping[str, Any]) -> Markup:
    if not report["alerts"]:
        return section("alerts", tag("p", "There was none."))
    rows = []
    for one in report["alerts"]:
        lasted = words.seconds(one["ended"] - one["began"]) if one["ended"] and one["began"] else "not over"
        where = f" ({charts.CLUSTER_TITLES.get(one['cluster'], one['cluster'])})" if one["cluster"] else ""
        rows.append(
            (
                f"{str(one['kind']).replace('_', ' ')}{where}",
                one["message"],
                words.PHASE_TITLES.get(one["phase"], one["phase"]),
                words.clock(one["began"]),
                lasted,
            )
        )
    return section("alerts", table(None, ["Alert", "What", "Phase", "Raised", "Lasted"], rows))


def _checks(report: Mapping[str, Any]) -> Markup:
    words_of = {True: ("✓", "holds", "ok"), False: ("✗", "does not hold", "no"), None: ("·", "not judged", "dim")}
    rows = []
    for check in report["checks"]:
        mark, word, class_ = words_of[check["ok"]]
        rows.append((check["title"], tag("span", tag("span", mark, aria_hidden="true"), f" {word}", class_=f"state {class_}"), check["seen"]))
    return section("checks", table(None, ["Check", "Result", "Seen"], rows))


def _versions(report: Mapping[str, Any]) -> Markup:
    return section("versions", listing(report["versions"]) if report["versions"] else tag("p", "None were read."))


def _configuration(report: Mapping[str, Any]) -> Markup:
    return section("configuration", tag("p", "As it was in force; values of secret keys are left out."), listing(report["configuration"]))


def _footer(report: Mapping[str, Any]) -> Markup:
    unseen = tag("p", "Could not be seen: " + "; ".join(report["not_seen"]) + ".") if report["not_seen"] else None
    return tag(
        "footer",
        unseen,
        tag("p", f"Made {report['generated'].replace('T', ' ')[:19]} UTC by pi_controller.raft_migration. The same facts for machines: ",
            tag("a", "migration-report.json", href="migration-report.json"), "."),
    )  # fmt: skip
