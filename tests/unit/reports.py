# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports of every outcome, made from the inputs of report_inputs."""

from __future__ import annotations

from typing import Any

import report_inputs as given
from conftest import import_plugin

report_of = import_plugin("module_utils._report.document")
status_of = import_plugin("module_utils._report.status")


def report(
    outcome: str = "migrated", hosts: dict[str, Any] | None = None, kube: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    hosts = hosts or given.migrated()
    now = given.BEGAN + 140
    status = status_of.assemble_status(hosts, kube or given.kube(mode="pods"), given.CONFIG, now)
    more = {
        "samples": given.samples(),
        "contents": {name: {"digest": "9a" * 32, "tables": {"nodes": 140}} for name in given.NAMES},
        **more,
    }
    return report_of.gather(
        report_of.Inputs(outcome=outcome, status=status, hosts=hosts, config=given.CONFIG, now=now, **more)
    )


def stuck(**more: Any) -> dict[str, Any]:
    """Stopped in the cutover, with one Pi routed to its pod already."""
    hosts = {
        name: given.host(
            name,
            temporary="pod",
            written=given.journal("cutover", failed="cutover"),
            gate="redirected" if name == "pi-1" else "open",
        )
        for name in given.NAMES
    }
    return report("failed", hosts, given.kube(), **more)


def back(**more: Any) -> dict[str, Any]:
    hosts = {
        name: given.host(name, written=given.journal("cutover", failed="cutover", rolled_back=True))
        for name in given.NAMES
    }
    failure = {"phase": "cutover", "task": "Flip", "message": "iptables-restore failed", "host": "pi-2"}
    return report("rolled_back", hosts, given.kube(), failure=failure, **more)


VARIANTS = {
    "migrated": report,
    "with findings": lambda: report(samples=given.samples(3.0), alerts=given.alert(), witness=given.verdict()),
    "stuck": stuck,
    "back": back,
    "nothing known": lambda: report(
        "failed", {name: {"error": "unreachable", "address": name} for name in given.NAMES}, {}, samples=(), contents={}
    ),
}
