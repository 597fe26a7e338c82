# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished migration is never rolled back for its archive; and what becomes of the archive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import report_inputs as given
import yaml
from conftest import CHECKOUT, import_plugin
from fake_kube import NAME, NAMESPACE, FakeKube
from kube_server import served

status_of = import_plugin("module_utils._report.status")
PIS = ("pi-1", "pi-2")


def playbook(
    tmp_path: Path,
    tool: str,
    tasks: list[dict[str, Any]],
    roles: dict[str, dict[str, str]],
    cases: list[dict[str, Any]],
    **variables: Any,
) -> list[str]:
    """The output of these tasks for each case, a play on two hosts of its own, with roles of the test's own beside them."""
    for role, files in roles.items():
        (tmp_path / "roles" / role / "tasks").mkdir(parents=True)
        for name, content in files.items():
            (tmp_path / "roles" / role / "tasks" / name).write_text(content)
    everywhere = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **variables}
    groups = {
        f"case_{number}": {"hosts": {f"case-{number}-{pi}": case for pi in PIS}} for number, case in enumerate(cases)
    }
    hosts = {"all": {"children": groups, "vars": everywhere}}
    (tmp_path / "hosts.json").write_text(json.dumps(hosts))
    play = {"gather_facts": False, "tasks": tasks}
    (tmp_path / "play.json").write_text(json.dumps([{**play, "hosts": group} for group in groups]))
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
    command = [tool, "-i", "hosts.json", "play.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _before, *outputs = done.stdout.partition("\nPLAY RECAP ")[0].split("\nPLAY [")
    assert len(outputs) == len(cases), done.stdout
    return outputs


def test_p6_a_finished_migration_is_not_rolled_back_for_its_archive(
    tmp_path: Path, ansible_playbook: str, monkeypatch: pytest.MonkeyPatch
):
    after = (CHECKOUT / "roles/run/tasks/after_failure.yml").read_text()
    back = yaml.safe_dump([{"name": "Back", "ansible.builtin.debug": {"msg": "GOES BACK"}}])
    failures = [
        {"phase": phase, "host": "pi-1", "task": "t", "message": "m"}
        for phase in ("transfer", "port_migration", "cleanup")
    ]
    with served(FakeKube(lag=0)) as port:
        # A rollback begins only where Kubernetes answers.
        monkeypatch.setenv("K8S_AUTH_HOST", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("K8S_AUTH_API_KEY", "key")
        outputs = playbook(
            tmp_path,
            ansible_playbook,
            [{"name": "After", "ansible.builtin.include_role": {"name": "after", "tasks_from": "after_failure"}}],
            {"after": {"after_failure.yml": after, "rollback.yml": back}},
            [{"raft_migration_failures": [failure], "raft_migration_failure": failure} for failure in failures],
            raft_migration={"safety": {"auto_rollback_on_error": True}},
            pi_controller_kubeconfig="",
            pi_controller_namespace=NAMESPACE,
            pi_controller_daemonset=NAME,
        )
    assert ["GOES BACK" in output for output in outputs] == [True, True, False], outputs


def test_a7_without_an_archive_rollback_is_pi_by_pi_only(evaluate: Any):
    variables = yaml.safe_load((CHECKOUT / "roles/rollback/vars/main.yml").read_text())
    given: list[
        tuple[bool, bool, list[str], bool]
    ] = [  # whether it is removed, the Pis looked at, obstacles, and what it comes to
        (True, True, [], False),
        (True, True, ["pi-2 is missing"], True),
        (True, False, [], True),
        (False, True, ["pi-2 is missing"], False),
        (False, False, [], False),
    ]
    cases = [
        {
            "raft_migration_recorded": {"archive_removed": removed},
            "raft_migration_not_by_turns": obstacles,
            **({"raft_migration_standing": {"members": []}} if looked else {}),
        }
        for removed, looked, obstacles, _refused in given
    ]
    found = evaluate("preflight", variables["raft_migration_needs_removed_archive"], cases)
    assert found == [refused for *_case, refused in given]


@pytest.mark.parametrize(
    ("preserve", "removed", "recorded"),
    [(True, False, "made"), (False, False, "removed"), (True, True, "removed"), (False, True, "removed")],
)
def test_a7_an_archive_that_was_removed_is_never_recorded_as_made(
    evaluate: Any, preserve: bool, removed: bool, recorded: str
):
    """A cleanup that was killed behind the removal is run again, maybe without what asked for the removal."""
    variables = yaml.safe_load((CHECKOUT / "roles/cluster/vars/main.yml").read_text())
    case = {
        "raft_migration": {"safety": {"preserve_systemd_backup": preserve}},
        "raft_migration_recorded": {"archive_removed": removed},
    }
    assert evaluate("preflight", variables["raft_migration_archive_is"], [case]) == [recorded]


def test_a7_the_archive_goes_last_and_only_where_its_owner_says_so():
    """Copied and checked, one caught-up cluster, recorded, removed, reported: in this order."""
    main = yaml.safe_load((CHECKOUT / "roles/cleanup/tasks/main.yml").read_text())
    (include,) = (task for task in main if task.get("ansible.builtin.include_tasks") == "remove.yml")
    assert include["when"] == "not raft_migration.safety.preserve_systemd_backup"
    remove = yaml.safe_load((CHECKOUT / "roles/cleanup/tasks/remove.yml").read_text())
    done = [
        str(task.get("ansible.builtin.import_role", {}).get("tasks_from") or next(key for key in task if "." in key))
        for task in remove
    ]
    assert [name.rpartition(".")[2] for name in done] == [
        "sqlite_backup",
        "look_new",
        "record",
        "folder_remove",
        "debug",
    ]
    assert not any(task.get("failed_when") is False or task.get("ignore_errors") for task in remove)


def test_p6_cleanup_leaves_a_mounted_folder_where_it_is():
    main = yaml.safe_load((CHECKOUT / "roles/cleanup/tasks/main.yml").read_text())
    (move,) = (task for task in main if "pi_controller.raft_migration.folder_move" in task)
    assert move["pi_controller.raft_migration.folder_move"]["keep_mounted"] is True


def test_p6_a_run_ends_with_the_archive_that_was_not_made(tmp_path: Path, ansible_playbook: str):
    verdict = yaml.safe_load((CHECKOUT / "roles/run/tasks/verdict.yml").read_text())
    kept = ["/var/lib/pi-controller is a mount point"]
    outputs = playbook(
        tmp_path,
        ansible_playbook,
        [verdict[-1]],
        {},
        [
            {
                "raft_migration_failures": failures,
                "raft_migration_recorded": {"rollback_begun": False, "archive_kept": archive_kept},
            }
            for archive_kept, failures in ((kept, []), (kept, [{"phase": "cleanup"}]), ([], []))
        ],
        raft_migration={"archive_path": "/var/lib/pi-controller.systemd.backup"},
        pi_controller_data_dir="/var/lib/pi-controller",
    )
    text = "Migrated; the archive was not made because /var/lib/pi-controller is a mount point. "
    assert [text in output for output in outputs] == [True, False, False], outputs


def test_a_stopped_run_says_whether_the_state_was_looked_at(tmp_path: Path, ansible_playbook: str):
    verdict = yaml.safe_load((CHECKOUT / "roles/run/tasks/verdict.yml").read_text())
    hosts = {name: {"error": "unreachable", "address": name} for name in given.NAMES}
    status = status_of.assemble_status(hosts, {}, given.CONFIG, given.BEGAN)
    message = {"ansible.builtin.debug": {"msg": verdict[0]["ansible.builtin.fail"]["msg"]}}
    known = yaml.safe_load((CHECKOUT / "roles/run/vars/main.yml").read_text())
    outputs = playbook(
        tmp_path,
        ansible_playbook,
        [message],
        {},
        [{}, {"raft_migration_kube": {"status": status}}],
        raft_migration_peers=["pi-1"],
        raft_migration_strategy="parallel",
        raft_migration_failures=[{"phase": "transfer", "host": "pi-1", "task": "Join", "message": "no leader"}],
        raft_migration_recorded={"opening": False},
        raft_migration_rollback_result=known["raft_migration_rollback_result"],
    )
    assert ["Which daemons serve the clients is unknown." in output for output in outputs] == [False, True], outputs
    assert ["not looked at" in output for output in outputs] == [True, False], outputs
