# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes before and after the role `rollback` in a real run with three Pis, each of which has a journal of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT

Keep = Callable[[str, Path], dict[str, Any]]
HOSTS = {f"pi-{number}": f"192.0.2.{number}" for number in (1, 2, 3)}
# In the place of a module that would ask a daemon or the watch.
ANSWER = """
import json
from pathlib import Path
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        known = json.loads(Path({path!r}).read_text())
        return {{"changed": False, **known.get({name!r}, {{}}).get(task_vars["inventory_hostname"], {{}})}}
"""
# In the place of the role `rollback`.
STEPS: list[dict[str, Any]] = [
    {"name": "Rollback | Start", "ansible.builtin.debug": {"msg": "the rollback has begun"}},
    {
        "name": "Rollback | Fail on one Pi",
        "ansible.builtin.fail": {"msg": "no room for the journal"},
        "when": "inventory_hostname == fails",
    },
]
OPENING = {"opening": True, "content_digest": "cafe", "old_term": 5}


def journal(facts: dict[str, Any]) -> dict[str, Any]:
    entry = {"state": "failed", "started": None, "finished": None, "facts": facts}
    return {"format": 1, "migration_id": "m-20260101T000000Z", "phases": {"cutover": entry}, "events": []}


@pytest.fixture
def rollback(tmp_path: Path, ansible_playbook: str, keep: Keep) -> Callable[..., dict[str, dict[str, Any]]]:
    """Runs rollback.yml with the journals of `later`, after the run has read others; returns what it has left on each Pi."""
    copy = tmp_path / "ansible_collections/pi_controller/raft_migration"
    for folder in ("plugins/action", "roles/rollback/tasks"):
        (copy / folder).mkdir(parents=True)
    for path in [
        *(CHECKOUT / name for name in ("meta", "galaxy.yml")),
        *(path for path in (CHECKOUT / "roles").iterdir() if path.name != "rollback"),
        *(path for path in (CHECKOUT / "plugins").iterdir() if path.name != "action"),
        *(CHECKOUT / f"plugins/action/{name}.py" for name in ("migration_journal", "migration_journal_info")),
    ]:
        (copy / path.relative_to(CHECKOUT)).symlink_to(path)
    for name in ("quorum_watch", "sqlite_info", "raft_info"):
        text = ANSWER.format(path=str(tmp_path / "answers.json"), name=name)
        (copy / f"plugins/action/{name}.py").write_text(text)
    (copy / "roles/rollback/tasks/main.yml").write_text(json.dumps(STEPS))

    def run(
        later: dict[str, dict[str, Any]] | None = None, answers: dict[str, Any] | None = None, fails: str = ""
    ) -> dict[str, dict[str, Any]]:
        (tmp_path / "answers.json").write_text(json.dumps(answers or {}))
        for host in HOSTS:
            (tmp_path / f"before-{host}.json").write_text(json.dumps(journal({})))
            (tmp_path / f"journal-{host}.json").write_text(json.dumps(journal((later or {}).get(host, {}))))
        role = {"name": "pi_controller.raft_migration.run", "tasks_from": "rollback", "public": True}
        known = "pi_controller.raft_migration.migration_journal_info"
        left = "{{ {'outcome': raft_migration_rollback_outcome | default(none), 'failures': raft_migration_failures} | to_json }}"
        tasks: list[dict[str, Any]] = [
            {
                known: {"path": f"{tmp_path}/before-{{{{ inventory_hostname }}}}.json"},
                "register": "raft_migration_journal_read",
            },
            {"ansible.builtin.include_role": role},
            keep(left, tmp_path / "left-{{ inventory_hostname }}"),
        ]
        play = [{"hosts": "k3s_cluster", "gather_facts": False, "any_errors_fatal": True, "tasks": tasks}]
        (tmp_path / "play.json").write_text(json.dumps(play))
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "fails": fails,
            "raft_migration_hosts": "k3s_cluster",
            "raft_migration": f"{{{{ {{'backup_path': '{tmp_path}'}} | pi_controller.raft_migration.migration_config }}}}",
            "raft_migration_control_dir": str(tmp_path / "control"),
            "raft_migration_journal_path": f"{tmp_path}/journal-{{{{ inventory_hostname }}}}.json",
        }
        hosts = {name: {"raft_migration_address": address} for name, address in HOSTS.items()}
        inventory = {"k3s_cluster": {"hosts": hosts}}
        (tmp_path / "hosts.json").write_text(json.dumps(inventory))
        (tmp_path / "variables.json").write_text(json.dumps(variables))
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
            "ANSIBLE_FORKS": "1",
            "ANSIBLE_NOCOLOR": "1",
        }
        done = subprocess.run(
            [ansible_playbook, "-i", "hosts.json", "play.json", "-e", "@variables.json"],
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )
        found = {host: tmp_path / f"left-{host}" for host in HOSTS if (tmp_path / f"left-{host}").exists()}
        assert found.keys() == HOSTS.keys(), done.stdout + done.stderr
        return {
            host: {**json.loads(path.read_text()), "begun": "the rollback has begun" in done.stdout}
            for host, path in found.items()
        }

    return run


@pytest.mark.parametrize("written", [True, False])
def test_an_opening_learned_of_in_the_rollback_is_proven(rollback: Any, written: bool) -> None:
    """The old leader's Pi was lost in the commit, and the others have elected a leader and taken writes since."""
    digests = {"pi-1": "cafe", "pi-2": "beef", "pi-3": "beef"} if written else dict.fromkeys(HOSTS, "cafe")
    answers = {
        "sqlite_info": {host: {"digest": digest} for host, digest in digests.items()},
        "raft_info": {"pi-1": {"failed": True, "msg": "no answer"}, **dict.fromkeys(("pi-2", "pi-3"), {"term": 6})},
    }
    found = rollback({"pi-1": OPENING}, answers)
    assert {left["begun"] for left in found.values()} == {not written}
    outcome = found["pi-1"]["outcome"]
    if not written:
        assert outcome == "done"
    else:
        assert (
            "The journal of pi-1 says that the pods were opened to writes, but the unit on pi-2 is in term 6" in outcome
        )


def test_a_failed_rollback_has_its_reason_on_every_pi(rollback: Any) -> None:
    """Also of the last Pi, where the first one is through the rescue before that Pi is asked."""
    found = rollback(fails="pi-3")
    assert {host: left["outcome"] for host, left in found.items()} == {
        "pi-1": ": ",
        "pi-2": ": ",
        "pi-3": "Rollback | Fail on one Pi: no room for the journal",
    }
    (failure,) = [failure for failure in found["pi-1"]["failures"] if failure["message"]]
    assert (failure["host"], failure["phase"]) == ("pi-3", "rollback")
