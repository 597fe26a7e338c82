# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports that runs leave on the control node, and what must hold of each."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import jsonschema

from tests.e2e import control, rehearsal

FOLDER = control.FOLDER / "reports"
SCHEMA = rehearsal.REPOSITORY / "docs/report.schema.json"


def newest() -> Path:
    """The folder of the last report."""
    return max(FOLDER.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def checked(folder: Path) -> dict[str, Any]:
    """The report in this folder, private, as published, and with a page of the same numbers."""
    files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert files == {"migration-report.html": 0o600, "migration-report.json": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    report = json.loads((folder / "migration-report.json").read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(report)
    page = (folder / "migration-report.html").read_text()
    numbers = re.findall(r'<data value="([^"]*)" data-key="([^"]+)">([^<]+)</data>', page)
    assert len(numbers) > 30
    for value, key, shown in numbers:
        wanted: Any = report
        for part in key.split("."):
            wanted = wanted[int(part)] if isinstance(wanted, list) else wanted[part]
        assert unescape(value) == ("" if wanted is None else str(wanted)), f"{key} is shown as {shown}"
    return report


def with_witness(witness: rehearsal.Witness, verdict: dict[str, Any]) -> dict[str, Any]:
    """The report once more, with what a witness saw: its figures are the witness's own."""
    given = {
        "raft_migration_witness_verdict": str(witness.folder / "verdict.json"),
        "raft_migration_witness_history": str(witness.history),
    }
    run = rehearsal.run_playbook("playbooks/report.yml", "-e", json.dumps(given))
    assert run.returncode == 0, run.output[-3000:]
    report = checked(newest())
    reported, figures = report["witness"], verdict["figures"]
    assert reported["ok"] == verdict["ok"]
    found = sum(finding["kind"] == "failed_read" for finding in verdict["findings"])
    assert reported["failed_reads"] == max(figures["reads"]["outcomes"].get("fail", 0), found)
    assert reported["acknowledged_writes"] == figures["writes"]["outcomes"]["ok"]
    assert reported["write_pause_seconds"] == figures["write_pause"]["seconds"]
    assert [route["count"] for route in reported["routes"]] == [
        figures["reads"]["count"], *(route["count"] for route in figures["reads"]["routes"].values()), figures["writes"]["count"]
    ]  # fmt: skip
    assert reported["series"]["reads"]
    return report
