# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `evaluate` finds is what a run of ansible-playbook finds."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import role_variables
from conftest import CHECKOUT

# Of the role, of its task, of a case, of a case as a template, of Ansible, through a filter of the collection, and of what is undefined.
EXPRESSION = {
    "role": "{{ raft_migration_lease }}",
    "task": "{{ of_the_task }}",
    "type": "{{ given | type_debug }}",
    "template": "{{ made_of_it }}",
    "host": "{{ inventory_hostname }} of {{ groups['all'] }}",
    "others": "{{ hostvars['localhost'].raft_migration_lease is defined }}",
    "filter": "{{ {'backup_path': '/b'} | pi_controller.raft_migration.migration_config }}",
    "undefined": "{{ absent | default('undefined') }}",
    "number": "{{ 0.5 }}",
    "option": "{{ ansible_check_mode }}",
    "environment": "{{ lookup('ansible.builtin.env', 'OF_THE_TEST') }}, {{ '~' | expanduser }}",
}
CASES: list[dict[str, Any]] = [
    {
        "raft_migration": {"timeouts_seconds": {"cutover_timeout": 30}},
        "given": given,
        "made_of_it": "{{ inventory_hostname }} or another",
        **absent,
    }
    for given, absent in (([1, "2"], {"absent": True}), (None, {}))
]
TASK = {"vars": {"of_the_task": "{{ given is none }}"}}


def test_an_expression_comes_to_what_a_run_finds(
    tmp_path: Path,
    ansible_playbook: str,
    monkeypatch: pytest.MonkeyPatch,
    evaluate: Callable[..., list[Any]],
    keep: Callable[[str, Path], dict[str, Any]],
) -> None:
    evaluate("cutover", "the process is there", [{}])
    monkeypatch.setenv("OF_THE_TEST", "set later")
    monkeypatch.setenv("HOME", str(tmp_path))
    each = {name: f"{{{{ item.{name} }}}}" for case in CASES for name in case}
    tasks = [
        {"ansible.builtin.include_vars": str(CHECKOUT / "roles/cutover/vars/main.yml")},
        {
            "ansible.builtin.set_fact": {"found": "{{ found | default([]) + [came_to] }}"},
            "vars": {"came_to": EXPRESSION, **TASK["vars"], **each},
            "loop": CASES,
        },
        keep("{{ found | to_json }}", tmp_path / "found.json"),
    ]
    (tmp_path / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    command = [ansible_playbook, "play.json", "-i", "localhost,", "-c", "local"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, **role_variables.COLLECTIONS},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = evaluate("cutover", EXPRESSION, CASES, TASK)
    assert found == json.loads((tmp_path / "found.json").read_text())
    assert found[0]["environment"] == f"set later, {tmp_path}"
    assert [case["undefined"] for case in found] == [True, "undefined"]


def test_what_is_undefined_is_an_error(evaluate: Callable[..., list[Any]]) -> None:
    with pytest.raises(AssertionError, match="'absent' is undefined"):
        evaluate("cutover", "{{ absent }}", [{}])
    assert evaluate("cutover", "{{ absent }}", [{"absent": 1}]) == [1]
