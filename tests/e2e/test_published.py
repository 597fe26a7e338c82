# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The published daemon on the lab: `parallel` is refused before anything is changed, with a reason and the way that works."""

from __future__ import annotations

from pathlib import Path

from . import rehearsal


def test_d2_parallel_is_refused_on_the_published_daemon(tmp_path: Path) -> None:
    names = rehearsal.old_world("published")
    run = rehearsal.run_playbook("playbooks/migrate.yml", "-e", "confirm=true", log=tmp_path / "migrate.log", show=True)
    assert run.returncode != 0
    text = " ".join(run.output.split())
    assert "has rows that" in text
    assert "migration.strategy" in text
    assert "rolling" in text
    for name in names:
        assert not rehearsal.on_host(name, "find", "/var/backups", "/var/lib", "-maxdepth", "1", "-name", "pi-controller-*")
