# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease as a real ansible-playbook arms it: its program is made of what Ansible has sent, and runs when Ansible is gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import CHECKOUT

UNIT = "pi-controller.service"
SYSTEMCTL = """#!/bin/sh
[ "$1" != show ] || printf 'Id=pi-controller.service\\nNames=pi-controller.service\\nLoadState=loaded\\nActiveState=active\\n'
"""
# With folders of its own in the place of this machine's.
SCRIPT = """
mount --make-rprivate /
mount --bind "$1/systemd" /etc/systemd/system
mount --bind "$1/lib" /var/lib
"$2" -i localhost, -c local -e ansible_python_interpreter=/usr/bin/python3 "$1/play.json"
test ! -e "/etc/systemd/system/multi-user.target.wants/$3"
timeout 60 $(sed -n "s/^ExecStart=//p" /etc/systemd/system/pi-controller-migration-lease.service) &
until test -L "/etc/systemd/system/multi-user.target.wants/$3"; do kill -0 $!; sleep 0.1; done
kill $!
"""


def test_what_ansible_has_armed_opens_the_old_side_without_it(tmp_path: Path, ansible_playbook: str) -> None:
    if os.geteuid() or not shutil.which("unshare") or not Path("/etc/systemd/system").is_dir():
        pytest.skip("needs root, unshare and /etc/systemd/system")
    wants = tmp_path / "systemd/multi-user.target.wants"
    for folder in (wants, tmp_path / "lib", tmp_path / "bin"):
        folder.mkdir(parents=True)
    (tmp_path / "systemd" / UNIT).write_text("[Service]\nExecStart=/bin/true\n")
    (wants / UNIT).symlink_to(f"/etc/systemd/system/{UNIT}")
    (tmp_path / "bin/systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin/systemctl").chmod(0o755)
    armed = {"state": "armed", "seconds": 2, "unit": UNIT, "saved": str(tmp_path / "saved" / UNIT)}
    play = [{"hosts": "all", "gather_facts": False, "tasks": [{"pi_controller.raft_migration.cutover_lease": armed}]}]
    (tmp_path / "play.json").write_text(json.dumps(play))
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
    }
    command = ["unshare", "--mount", "sh", "-ec", SCRIPT, "sh", str(tmp_path), ansible_playbook, UNIT]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=300, check=False)

    assert "opened again by itself" in done.stdout, done.stdout + done.stderr
    assert (wants / UNIT).readlink() == Path(f"/etc/systemd/system/{UNIT}"), done.stdout + done.stderr
