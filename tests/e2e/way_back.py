# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback as an owner runs it, and the state it has to leave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.e2e import hosts as on
from tests.e2e import rehearsal

STANDARD = {9091, 9090, 8080}
TEMPORARY = {9092, 9093, 8082}
# Seconds without an acknowledged write while members are replaced one by one, to be scaled by `pace.here`. Handing leadership over takes
# some hundredths, an election more than this; without that call writes wait from the closing of the leader's gate until its pod has
# stopped, the others have missed it for up to 2 s, and, where two start an election at once, for a second round.
HANDED_OVER = rehearsal.Limits(write_pause=2, read_gap=3, recovery=3)
ELECTED = rehearsal.Limits(write_pause=10, read_gap=3, recovery=10)
PODS_PUT_ASIDE, ARCHIVE_PUT_ASIDE = "pi-controller-pods", "pi-controller.systemd.backup"


def back(
    names: list[str], log: Path, installed: Path | None = None, put_aside: str = PODS_PUT_ASIDE
) -> rehearsal.PlaybookRun:
    before = {name: data_folders(name) for name in names}
    run = rehearsal.run_playbook("playbooks/rollback.yml", log=log, show=True, installed=installed)
    assert run.returncode == 0, run.output[-4000:]
    print(f"rolled back in {run.seconds:.1f} s")
    assert_old_world(names, put_aside, before)
    return run


def data_folders(name: str) -> set[str]:
    """What is in /var/lib of this Pi."""
    return set(rehearsal.on_host(name, "ls", "/var/lib").splitlines())


def assert_old_world(names: list[str], put_aside: str, before: Mapping[str, set[str]] | None = None) -> None:
    """Every Pi as it was before the migration, but for the older one of its two data folders.

    `before` is what was in /var/lib before the rollback: an earlier one may have put folders aside, too.
    """
    for name in names:
        pi = on.host(name)
        listening = on.listening(pi)
        assert listening.issuperset(STANDARD), f"{name}: {listening}"
        assert listening.isdisjoint(TEMPORARY), f"{name}: {listening}"
        assert on.unit_state(pi) == ("enabled", "active")
        assert not on.gate_rules(pi)
        assert not pi.file("/var/lib/pi-controller-pods").exists
        assert not pi.file("/var/lib/pi-controller.systemd.backup").exists
        new = data_folders(name) - (before or {}).get(name, set())
        assert any(re.match(rf"{re.escape(put_aside)}\.rolled-back\.\d", folder) for folder in new), f"{name}: {new}"
        unit_file = pi.file("/etc/systemd/system/pi-controller.service")
        assert (unit_file.mode, unit_file.user, unit_file.group) == (0o644, "root", "root")
