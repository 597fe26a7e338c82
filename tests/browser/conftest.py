# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of every outcome, as files for the browser."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / ".collections"), str(CHECKOUT / "tests/unit")]

import report_inputs as given  # noqa: E402

from tests.browser import chromium  # noqa: E402

PLUGINS = "ansible_collections.pi_controller.raft_migration.plugins"


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """{outcome: page}, each with its JSON beside it."""
    report_of, page_of, status_of = (
        importlib.import_module(f"{PLUGINS}.{name}")
        for name in ("module_utils._report.document", "plugin_utils.report_page.page", "module_utils._report.status")
    )
    folder = tmp_path_factory.mktemp("reports")
    history = folder / "history.jsonl"
    history.write_text("".join(json.dumps(line) + "\n" for line in given.witness_lines()))
    long_name = "a-host-name-as-long-as-dns-allows-" * 2
    back = {
        name: given.host(name, written=given.journal("cutover", failed="cutover", rolled_back=True))
        for name in given.NAMES
    }
    stuck = {long_name if name == "pi-1" else name: given.host(name, temporary="pod", written=given.journal("cutover", failed="cutover"))
             for name in given.NAMES}  # fmt: skip
    failure = {
        "phase": "cutover",
        "task": "Flip | Redirect each Pi to its pod",
        "message": "x" * 300,
        "host": long_name,
    }
    witness = {"witness": given.verdict(), "witness_history": history}
    kinds: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
        "migrated": ("migrated", given.migrated(), given.kube(mode="pods"), {"samples": given.samples(), **witness}),
        "findings": (
            "migrated",
            given.migrated(),
            given.kube(mode="pods"),
            {"samples": given.samples(3.0), "alerts": given.alert(), **witness},
        ),
        "rolled_back": ("rolled_back", back, given.kube(), {"samples": given.samples()[:130], "failure": failure}),
        "failed": ("failed", stuck, given.kube(), {"failure": failure, "alerts": given.alert(65, None)}),
    }
    pages = {}
    for name, (outcome, hosts, kube, more) in kinds.items():
        now = given.BEGAN + 140
        contents = {host: {"digest": "9a" * 32, "tables": {"nodes": 140}} for host in hosts}
        status = status_of.assemble_status(hosts, kube, given.CONFIG, now)
        inputs = report_of.Inputs(
            outcome=outcome, status=status, hosts=hosts, config=given.CONFIG, now=now, contents=contents, **more
        )
        report = report_of.gather(inputs)
        pages[name] = folder / f"{name}.html"
        pages[name].write_text(page_of.render(report))
        pages[name].with_suffix(".json").write_text(json.dumps(report))
    return pages


@pytest.fixture(scope="session")
def browser() -> Iterator[chromium.Page]:
    if not chromium.BINARY:
        pytest.skip("Chromium is not installed: python3 -m tests.lab packages")
    with chromium.page() as page:
        yield page
