# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While writes wait no task may take forever: a limit on each as the backstop of the modules' own deadlines."""

from __future__ import annotations

import pytest
import yaml
from conftest import CHECKOUT

CUTOVER = CHECKOUT / "roles/cutover/tasks"


@pytest.mark.parametrize("fence", ["network", "read-only"])
def test_h2_what_runs_while_writes_wait_has_a_time_limit(fence: str):
    tasks = yaml.safe_load((CUTOVER / f"pause_{fence}.yml").read_text())
    limited = {
        task["ansible.builtin.import_tasks"]: task.get("timeout")
        for task in tasks
        if "ansible.builtin.import_tasks" in task
    }
    limit = "{{ raft_migration_pause_limit }}"
    # commit.yml writes down that there is no rollback, and must not be given up once it has.
    assert limited == {f"fence_{fence}.yml": limit, f"flip_{fence}.yml": limit, "commit.yml": None}


def test_h2_the_limit_is_longer_than_the_modules_own(evaluate):
    cluster = yaml.safe_load((CHECKOUT / "roles/cluster/vars/main.yml").read_text())
    cases = [{"raft_migration": {"timeouts_seconds": {"cutover_timeout": 30}}}]
    assert evaluate("cutover", cluster["raft_migration_pause_limit"], cases) == [150]
