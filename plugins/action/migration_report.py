# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report is written on the control node, where the watch has left its samples and Jinja2 is at hand."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils._core.durable import private_folder, replacing
from ..module_utils._core.failures import MigrationError
from ..module_utils._core.modules import failure_result
from ..module_utils._report.checks import junit
from ..module_utils._report.document import OUTCOMES, Inputs, gather, looks_back_to
from ..module_utils._report.metrics import prometheus
from ..module_utils._report.series import lines_of
from ..module_utils._watch.files import ended_before
from ..plugin_utils.report_page.page import render

OPTIONS: dict[str, dict[str, Any]] = {
    "outcome": {"type": "str", "choices": ["auto", *OUTCOMES], "default": "auto"},
    "status": {"type": "dict", "required": True},
    "hosts": {"type": "dict", "required": True},
    "contents": {"type": "dict", "default": {}},
    "contents_again": {"type": "dict", "default": {}},
    "config": {"type": "dict", "required": True},
    "versions": {"type": "dict", "default": {}},
    "failure": {"type": "dict"},
    "rollback": {"type": "str", "default": "none"},
    "watch_dir": {"type": "path"},
    "witness_verdict": {"type": "path"},
    "witness_history": {"type": "path"},
    "dest": {"type": "path", "required": True},
    "junit": {"type": "path"},
    "prometheus": {"type": "path"},
}
# The collector of node_exporter runs as another user; the figures are no secret.
PUBLIC = 0o644
PRIVATE = 0o600
ENDED = {
    "migrated": "migrated",
    "rolled_back": "rolled_back",
    "failed": "failed",
    "interrupted": "failed",
    "started": "failed",
    "rollback_unfinished": "failed",
    "unknown": "failed",
}


def outcome_of(asked: str, state: str) -> str:
    return ENDED.get(state, "paused") if asked == "auto" else asked


def read_json(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MigrationError(
            f"{path} cannot be read: {error}",
            seen=str(error),
            next_step="name the file with the verdict of the witness",
        ) from error
    if not isinstance(found, dict) or "figures" not in found:
        raise MigrationError(
            f"{path} is not a verdict of the witness", wanted="a JSON object with findings and figures"
        )
    return found


def watched(folder: str | None, name: str, since: float) -> list[dict[str, Any]]:
    """Of all runs of the watch that may have seen something since then; the report keeps what falls into its time."""
    if not folder:
        return []
    files = [path for path in sorted(Path(folder).glob(f"{name}*.jsonl")) if not ended_before(path, since)]
    return [line for path in files for line in lines_of(path) if "at" in line]


def inputs_of(params: dict[str, Any], now: float) -> Inputs:
    inputs = Inputs(
        outcome=outcome_of(params["outcome"], params["status"]["state"]),
        status=params["status"],
        hosts=params["hosts"],
        config=params["config"],
        now=now,
        contents=params["contents"],
        contents_again=params["contents_again"],
        versions=params["versions"],
        failure=params["failure"] or None,
        rollback=None if params["rollback"] in ("none", "done") else params["rollback"],
        witness=read_json(params["witness_verdict"]) if params["witness_verdict"] else None,
        witness_history=Path(params["witness_history"]) if params["witness_history"] else None,
    )
    found = {name: watched(params["watch_dir"], name, looks_back_to(inputs)) for name in ("samples", "alerts")}
    return replace(inputs, samples=found["samples"], alerts=found["alerts"])


def write(path: Path, text: str, mode: int) -> None:
    with replacing(path, mode) as new:
        new.write_text(text, encoding="utf-8")


def make(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    now = time.time()
    report = gather(inputs_of(params, now))
    stem = f"{datetime.fromtimestamp(now, timezone.utc):%Y%m%dT%H%M%SZ}-{report['outcome']}"
    folder, number = Path(params["dest"]) / stem, 1
    while folder.exists():
        number += 1
        folder = Path(params["dest"]) / f"{stem}-{number}"
    files = [
        (folder / "migration-report.json", json.dumps(report, indent=1) + "\n", PRIVATE),
        (folder / "migration-report.html", render(report), PRIVATE),
    ]
    if params["junit"]:
        files.append((Path(params["junit"]), junit(report), PRIVATE))
    if params["prometheus"]:
        files.append((Path(params["prometheus"]), prometheus(report), PUBLIC))
    if not check_mode:
        private_folder(folder)
        for path, text, mode in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, text, mode)
    return {
        "changed": True,
        "path": str(folder),
        "html": str(folder / "migration-report.html"),
        "outcome": report["outcome"],
        "verdict": report["verdict"],
        "figures": report["figures"],
    }


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, params = self.validate_argument_spec(argument_spec=OPTIONS)
        try:
            result.update(make(params, self._task.check_mode))
        except (MigrationError, OSError) as error:
            return {**result, **failure_result(error, "writing the report")}
        return result
