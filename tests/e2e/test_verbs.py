# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs of the old command line, each a playbook of its own with the old options as variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import pace, rehearsal

pytestmark = pytest.mark.longer

BACKUPS = "/var/backups/pi-controller-migration"


def verb(name: str, *options: str, log: Path | None = None) -> rehearsal.PlaybookRun:
    variables = [word for option in options for word in ("-e", option)]
    return rehearsal.run_playbook(f"playbooks/{name}.yml", *variables, log=log, show=True)


def states(host: str) -> dict[str, str]:
    return {phase: entry["state"] for phase, entry in rehearsal.journal(host)["phases"].items()}


def test_verb_by_verb(old_world: Callable[[str], list[str]], tmp_path: Path) -> None:
    names = old_world("full")
    with rehearsal.witnessed(tmp_path) as witness:
        run = verb("prepare", "cluster_id=attic", log=tmp_path / "prepare.log")
        assert run.returncode == 0, run.output[-4000:]
        assert states(names[0]) == {"prepare": "done"}
        assert rehearsal.journal(names[0])["migration_id"].startswith("attic-")

        refused = verb("transfer", "cluster_id=cellar")
        assert refused.returncode != 0
        assert "attic-" in refused.output
        assert 'cluster_id is "cellar"' in refused.output
        assert sum(refused.changed.values()) == 0
        assert states(names[0]) == {"prepare": "done"}

        snapshots = [
            name for name in names if rehearsal.on_host(name, "find", BACKUPS, "-path", "*/prepare/snapshot/state.bin")
        ]
        assert len(snapshots) == 1, "the leader's snapshot lies on its own Pi"
        run = verb("transfer", f"snapshot_path={BACKUPS}/prepare/snapshot/state.bin", log=tmp_path / "transfer.log")
        assert run.returncode == 0, run.output[-4000:]
        # Nothing newer was taken.
        assert not rehearsal.on_host(snapshots[0], "find", BACKUPS, "-path", "*/transfer/snapshot/*")

        for name in ("validate", "cutover"):
            run = verb(name, "confirm=true", log=tmp_path / f"{name}.log")
            assert run.returncode == 0, run.output[-4000:]
        run = verb("complete", "cleanup=false", log=tmp_path / "complete.log")
        assert run.returncode == 0, run.output[-4000:]
        assert states(names[0]).get("port_migration") == "done"
        assert "cleanup" not in states(names[0])
        assert rehearsal.on_host(names[0], "ls", "-d", "/var/lib/pi-controller")
        run = verb("complete", log=tmp_path / "cleanup.log")
        assert run.returncode == 0, run.output[-4000:]
        assert states(names[0])["cleanup"] == "done"
    verdict, summary = witness.judge(pace.here(rehearsal.CALM))
    print(summary)
    assert verdict["ok"], summary


def test_a_path_that_climbs_is_refused(old_world: Callable[[str], list[str]], tmp_path: Path) -> None:
    names = old_world("full")
    run = verb("prepare", log=tmp_path / "prepare.log")
    assert run.returncode == 0, run.output[-4000:]
    for name, variable in (("transfer", "snapshot_path"), ("rollback", "restore_from")):
        refused = verb(name, f"{variable}=/var/backups/../../etc/shadow")
        assert refused.returncode != 0
        assert f'{variable} must not contain ".."' in refused.output
        assert sum(refused.changed.values()) == 0
        assert states(names[0]) == {"prepare": "done"}
