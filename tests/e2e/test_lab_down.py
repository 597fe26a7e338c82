# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs last: the lab goes down and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e import rehearsal

pytestmark = pytest.mark.by_name


def left_behind() -> list[str]:
    """Everything of a lab that can be seen on the machine."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split(":")[1].strip() for line in links if "pilab" in line]
    found += [str(path) for path in Path("/run/netns").glob("pi-*")]
    found += [
        line.split()[1]
        for line in Path("/proc/mounts").read_text().splitlines()
        if line.split()[1].startswith(f"{rehearsal.STATE}/")
    ]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob("*/pi-lab")] + [
        str(path) for path in Path("/sys/fs/cgroup").glob("pi-lab")
    ]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"systemd-nspawn"):
            found.append(f"process {process.parent.name}")
    return found + ([str(rehearsal.STATE)] if rehearsal.STATE.exists() else [])


def test_down_leaves_nothing_and_puts_the_kernel_settings_back() -> None:
    changed = json.loads((rehearsal.STATE / "state.json").read_text())["kernel_settings"]
    assert left_behind(), "the check sees nothing of a lab that is up, so it would see nothing of its rest"
    rehearsal.lab("down")
    assert left_behind() == []
    for name, before in changed.items():
        assert (Path("/proc/sys") / name).read_text().strip() == before, name
