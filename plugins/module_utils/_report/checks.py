# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of a report: each holds or does not, with what was seen. Also as JUnit for CI systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from .._core import words
from .._core.text import visible_in
from .outcome import clients_served

CLUSTER_NAMES = {"old": "the systemd cluster", "new": "the cluster of pods"}


def checks(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`ok` is null where nothing was there to judge by."""
    state, figures, watch = report["state"], report["figures"], report["watch"]
    found: list[dict[str, Any]] = []

    def check(group: str, title: str, ok: bool | None, seen: str, fault: str | None = None) -> None:
        """`fault` says in one sentence what it means when this does not hold."""
        found.append({"group": group, "title": title, "ok": ok, "seen": seen, "fault": fault if ok is False else None})

    for phase in report["phases"]:
        if phase["state"] == "pending" and report["outcome"] != "migrated":
            continue
        took = words.seconds(phase["seconds"])
        summary = f"{phase['state'].replace('_', ' ')} after {took}" if phase["seconds"] is not None else phase["state"]
        check("phases", phase["title"], phase["state"] in ("done", "rolled_back"), phase["message"] or summary)

    serving = {"systemd": "old", "pods": "new"}.get(state["served_by"])
    served = clients_served(state)
    check(
        "state", "One kind of daemon serves all clients", _served(state, state["served_by"]), served.rstrip("."), served
    )
    if serving:
        cluster = state["clusters"][serving]
        seen = f"leader {cluster['leader']}, term {cluster['term']}"
        check(
            "state",
            f"Quorum in {CLUSTER_NAMES[serving]}",
            cluster["quorate"],
            seen,
            "The cluster that serves has no quorum.",
        )
        answering = f"{cluster['answering']} of {words.plural(cluster['voters'], 'voter')}"
        check(
            "state",
            "All voters answer",
            cluster["answering"] == cluster["voters"] > 0,
            answering,
            f"Only {answering} answer.",
        )
    if report["outcome"] in ("migrated", "rolled_back"):
        wanted = "pods" if report["outcome"] == "migrated" else "systemd"
        fault = f"Not all clients reach {wanted}."
        check("state", f"Clients reach {wanted}", _served(state, wanted), served.rstrip("."), fault)
        gates = {name: host["gate"] for name, host in state["hosts"].items()}
        listed = ", ".join(f"{name} {gate}" for name, gate in gates.items() if gate not in ("open", "unknown"))
        unread = ", ".join(name for name, gate in gates.items() if gate == "unknown")
        opened: bool | None = False if listed else None if unread else True
        seen = listed or (f"not seen: {unread}" if unread else "every gate is open")
        check("state", "No client is redirected any more", opened, seen, f"Gates are still set: {listed}.")

    before = [member["id"] for member in report["members"]["before"]]
    after = [member["id"] for member in report["members"]["after"]]
    same = sorted(before) == sorted(after) if before and after else None
    check(
        "data", "The same members as before", same, _listed(after), f"The members differ from before: {_listed(after)}."
    )
    equal, seen = _same_content(report)
    check("data", "Every Pi holds the same content", equal, seen, "The Pis do not hold the same content.")
    if report["write_pause"]:
        digest = report["write_pause"]["content_digest"]
        check("data", "Both sides held the same content at the cutover", bool(digest), digest or "not written down")

    grace = float((report["configuration"].get("timeouts_seconds") or {}).get("quorum_lost_after") or 0)
    for name, watched in watch.items():
        if watched["samples"]:
            # An election that was to be expected is no loss; the watch's own limit tells the two apart.
            longest = max((lost["to"] - lost["from"] for lost in watched["without_quorum"]), default=0.0)
            kept = longest == 0 or longest < grace
            seen = (
                f"in {watched['samples']} samples"
                if longest == 0
                else f"an election of {words.seconds(longest)}"
                if kept
                else ""
            )
            duration = words.seconds(watched["without_quorum_seconds"])
            fault = f"{CLUSTER_NAMES[name].capitalize()} was without a quorum for {duration}."
            check(
                "availability",
                f"Quorum all the time in {CLUSTER_NAMES[name]}",
                kept,
                seen or f"without it for {duration}",
                fault,
            )
    if not figures["quorum_samples"]:
        check("availability", "Quorum all the time", None, "not watched")
    alerts = words.plural(len(report["alerts"]), "alert")
    check(
        "availability",
        "No alert",
        not report["alerts"],
        alerts,
        f"There was {alerts}." if len(report["alerts"]) == 1 else f"There were {alerts}.",
    )
    if figures["pod_restarts"] is None:
        check("availability", "No pod was restarted", None, "no pod was seen")
    else:
        restarts = words.plural(figures["pod_restarts"], "restart")
        fault = f"Kubernetes counts {restarts} of pods."
        check("availability", "No pod was restarted", figures["pod_restarts"] == 0, restarts, fault)
    witness = report["witness"]
    if witness:
        lost = words.plural(witness["lost_writes"], "acknowledged write")
        check(
            "availability",
            "No acknowledged write was lost",
            not witness["lost_writes"],
            f"of {witness['acknowledged_writes']}",
            f"Lost: {lost}.",
        )
        failed = words.plural(witness["failed_reads"], "read") + " failed"
        check("availability", "No read failed", not witness["failed_reads"], failed, f"{failed.capitalize()}.")
        others = [
            finding["text"]
            for finding in witness["findings"]
            if finding["kind"] != "failed_read" and not finding["kind"].startswith("lost")
        ]
        seen = words.plural(len(others), "other finding")
        check("availability", "The witness found nothing else", not others, seen, f"The witness has {seen}.")
        seen = words.plural(len(witness["findings"]), "finding")
        check("availability", "The witness acquits", witness["ok"], seen, f"The witness does not acquit: {seen}.")
    return found


def _served(state: Mapping[str, Any], wanted: str) -> bool | None:
    """Whether `wanted` serves all clients; None where all that were seen reach it and others were not seen."""
    clients = state["clients"]
    if state["served_by"] != wanted or wanted not in ("systemd", "pods") or clients["nothing"] or clients["other"]:
        return False
    return None if clients["unknown"] else True


def _same_content(report: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether all digests are the same, and what was read. A Pi without a digest leaves it open."""
    found = [row["digest_after"] for row in report["content"] if row["digest_after"]]
    unread = [row["host"] for row in report["content"] if not row["digest_after"]]
    different = len(set(found))
    seen = f"{words.plural(different, 'digest')} on {words.plural(len(found), 'Pi')}"
    if unread:
        seen += f"; not read: {', '.join(unread)}"
    if different > 1 and report["content_at_rest"]:
        return False, seen
    if different > 1:
        # Read one after the other while clients write, equal databases differ.
        return None, f"{seen}, while clients were writing"
    return (True if found and not unread else None), seen


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(str(name) for name in names) or "none seen"


def junit(report: Mapping[str, Any]) -> str:
    """The checks as JUnit XML, which has no way to write a control character."""
    report = visible_in(report)
    root = ElementTree.Element("testsuites", name="pi-controller migration")
    groups = dict.fromkeys(check["group"] for check in report["checks"])
    for group in groups:
        own = [check for check in report["checks"] if check["group"] == group]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=group,
            tests=str(len(own)),
            failures=str(sum(check["ok"] is False for check in own)),
            skipped=str(sum(check["ok"] is None for check in own)),
            errors="0",
            timestamp=report["ended"][:19],
        )
        taken = {phase["title"]: phase["seconds"] for phase in report["phases"]} if group == "phases" else {}
        for check in own:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"migration.{group}",
                name=check["title"],
                time=str(taken.get(check["title"]) or 0),
            )
            if check["ok"] is False:
                ElementTree.SubElement(case, "failure", message=check["seen"]).text = check["seen"]
            elif check["ok"] is None:
                ElementTree.SubElement(case, "skipped", message=check["seen"])
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"
