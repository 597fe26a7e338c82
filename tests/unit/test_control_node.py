# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays and tasks say what they need themselves, whatever the owner's ansible.cfg and inventory say."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

# What a setting of ansible.cfg or the environment would decide otherwise.
NEEDED = {"strategy": "linear", "gather_facts": False, "timeout": 0, "debugger": "never"}
PLAYBOOKS = sorted((CHECKOUT / "playbooks").rglob("*.yml"))
TASK_FILES = sorted((CHECKOUT / "roles").glob("*/tasks/*.yml"))
HOSTILE = {
    "defaults": {
        "strategy": "free",
        "forks": "1",
        "gathering": "smart",
        "stdout_callback": "ansible.builtin.oneline",
        "task_timeout": "1",
        "any_errors_fatal": "true",
        "enable_task_debugger": "true",
    },
    "privilege_escalation": {"become": "true"},
    "connection": {"pipelining": "false"},
}


def tasks_in(content: Any) -> Iterator[dict[str, Any]]:
    """Every task, those of plays and of blocks, too."""
    for entry in content or []:
        for part in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from tasks_in(entry.get(part))
        if "hosts" not in entry:
            yield entry


def wrong_tasks(content: Any) -> list[str]:
    """The tasks that run on the control node and do not say that they need no other user there."""
    return [
        str(task.get("name"))
        for task in tasks_in(content)
        if (
            "local_action" in task
            or task.get("delegate_to") in ("localhost", "127.0.0.1")
            or task.get("connection") == "local"
        )
        and task.get("become") is not False
    ]


def wrong_plays(content: Any) -> list[str]:
    plays = [play for play in content if "hosts" in play]
    return [
        f"{play['name']}: {key}"
        for play in plays
        for key in (*NEEDED, "any_errors_fatal")
        if (key not in play if key == "any_errors_fatal" else play.get(key, "nothing") != NEEDED[key])
    ]


@pytest.mark.parametrize("path", [*PLAYBOOKS, *TASK_FILES], ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a2_what_runs_on_the_control_node_needs_no_become(path: Path):
    assert wrong_tasks(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a1_each_play_says_what_it_needs(path: Path):
    assert wrong_plays(yaml.safe_load(path.read_text())) == []


def test_a1_a2_the_checks_find_what_they_are_for():
    task = {"name": "x", "delegate_to": "localhost", "run_once": True}
    assert wrong_tasks([{"block": [task], "rescue": [{**task, "become": False}]}]) == ["x"]
    assert wrong_tasks([{"name": "p", "hosts": "all", "tasks": [{"name": "y", "local_action": "z"}]}]) == ["y"]
    good = {"name": "p", "hosts": "all", "any_errors_fatal": True, **NEEDED}
    assert wrong_plays([good]) == []
    assert wrong_plays([{**good, "strategy": "free"}]) == ["p: strategy"]
    assert wrong_plays([{key: value for key, value in good.items() if key != "timeout"}]) == ["p: timeout"]


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, str]:
    """The environment of a run whose ansible.cfg is as unkind as one can be."""
    settings = configparser.ConfigParser()
    settings.read_dict(HOSTILE)
    with (tmp_path / "ansible.cfg").open("w") as file:
        settings.write(file)
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
    }


def run(
    tmp_path: Path,
    tool: str,
    environment: dict[str, str],
    plays: list[Any],
    others: Sequence[str] = (),
    **everywhere: Any,
) -> subprocess.CompletedProcess[str]:
    hosts = {name: {"ansible_connection": "local"} for name in ("pi-1", "pi-2", "pi-3")}
    variables = {"ansible_python_interpreter": sys.executable, **everywhere}
    beside = {name: {"ansible_connection": "local"} for name in others}
    inventory = {"all": {"vars": variables, "hosts": beside, "children": {"k3s_cluster": {"hosts": hosts}}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    (tmp_path / "play.json").write_text(json.dumps(plays))
    command = [tool, "play.json", "-i", "hosts.json"]
    return subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a1_plays_resist_a_hostile_ansible_cfg(tmp_path: Path, ansible_playbook: str, hostile: dict[str, str]):
    (begin,) = yaml.safe_load((CHECKOUT / "playbooks/parts/begin.yml").read_text())
    keywords = {key: begin[key] for key in (*NEEDED, "any_errors_fatal")}
    once = {
        "name": "Once",
        "ansible.builtin.shell": "echo once >> once; read -t 2 line < <(sleep 2) || true",
        "args": {"executable": "/bin/bash", "chdir": str(tmp_path)},
        "run_once": True,
        "become": False,
    }
    done = run(
        tmp_path, ansible_playbook, hostile, [{"name": "p", "hosts": "k3s_cluster", **keywords, "tasks": [once]}]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "once").read_text() == "once\n"


@pytest.mark.parametrize("tasks_file", ["discover.yml", "status.yml"])
@pytest.mark.parametrize("name", ["", "localhost", "127.0.0.1", "::1"])
def test_a2_become_for_all_does_not_reach_the_control_node(
    tmp_path: Path, ansible_playbook: str, hostile: dict[str, str], tasks_file: str, name: str
):
    """`become: false` of a task loses against a variable of the group `all`, so that is set for the control node as well.

    The inventory may have it, under any of its names.
    """
    (tmp_path / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    (tmp_path / "sudo").chmod(0o755)
    tasks = yaml.safe_load((CHECKOUT / "roles/run/tasks" / tasks_file).read_text())
    (without,) = (task for task in tasks if "control node" in task["name"])
    local = {
        "name": "Here",
        "ansible.builtin.command": "true",
        "delegate_to": "localhost",
        "become": False,
        "run_once": True,
    }
    plays = [
        {"name": "first", "hosts": "k3s_cluster", **NEEDED, "tasks": [without]},
        {"name": "second", "hosts": "k3s_cluster", **NEEDED, "tasks": [local]},
    ]
    become = {"ansible_become": True, "ansible_become_user": "nobody", "ansible_become_exe": str(tmp_path / "sudo")}
    done = run(tmp_path, ansible_playbook, hostile, plays, [name] if name else [], **become)
    assert done.returncode == 0, done.stdout + done.stderr


ENTRIES = (
    "clean",
    "complete",
    "cutover",
    "migrate",
    "preflight",
    "prepare",
    "report",
    "rollback",
    "status",
    "transfer",
    "validate",
)


def played(tmp_path: Path, tool: str, entry: str, *options: str, **groups: list[str]) -> tuple[int, str]:
    """A playbook as a user runs it; every Pi has an address where no ssh server answers."""
    lines = [line for name, hosts in groups.items() for line in (f"[{name}]", *hosts)]
    (tmp_path / "hosts").write_text(
        "\n".join([*lines, "[all:vars]", "ansible_host=127.0.0.1", "ansible_port=1"]) + "\n"
    )
    playbook = entry if "/" in entry else f"pi_controller.raft_migration.{entry}"
    command = [tool, playbook, "-i", str(tmp_path / "hosts"), *options]
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_each_playbook_begins_with_a_play_that_needs_hosts():
    """The others have none then either, and Ansible would end as if all had been done."""
    refusing = {name: yaml.safe_load((CHECKOUT / f"playbooks/{name}.yml").read_text())[0] for name in ENTRIES}
    assert {path.stem for path in (CHECKOUT / "playbooks").glob("*.yml")} == set(ENTRIES)
    begin = yaml.safe_load((CHECKOUT / "playbooks/parts/begin.yml").read_text())[0]
    for name, first in refusing.items():
        if "hosts" not in first:
            assert first["ansible.builtin.import_playbook"] == "parts/begin.yml", name
            continue
        assert first["hosts"] == begin["hosts"], name
        assert begin["vars"].items() <= first["vars"].items(), name


@pytest.mark.parametrize("entry", ["rollback", "status", "report"])
def test_a_limit_that_leaves_no_pi_is_refused(tmp_path: Path, ansible_playbook: str, entry: str):
    pis = {"k3s_cluster": ["pi-1", "pi-2"], "others": ["bastion"]}
    code, output = played(tmp_path, ansible_playbook, entry, "--limit", "bastion", **pis)
    assert code != 0, output
    assert "--limit bastion leaves no host of the group k3s_cluster" in output
    assert "TASK" not in output


def test_a_limit_in_a_file_is_read_by_ansible_alone(tmp_path: Path, ansible_playbook: str):
    (tmp_path / "limit").write_text("pi-1\n")
    limit = ("--limit", f"@{tmp_path}/limit")
    _code, output = played(tmp_path, ansible_playbook, "rollback", *limit, k3s_cluster=["pi-1", "pi-2"])
    assert "leaves no host" not in output
    assert "This run leaves out pi-2" in output


@pytest.mark.parametrize("entry", ["rollback", "status", "report"])
def test_a_group_that_is_missing_is_refused(tmp_path: Path, ansible_playbook: str, entry: str):
    code, output = played(tmp_path, ansible_playbook, entry, pis=["pi-1", "pi-2"])
    assert code != 0, output
    assert "The group k3s_cluster is not in the inventory" in output


@pytest.mark.parametrize("entry", ["rollback", "status"])
@pytest.mark.parametrize("cluster", [[], ["nas", "pi-1", "pi-2"]])
def test_a_group_that_is_named_in_the_inventory_alone_is_refused(
    tmp_path: Path, ansible_playbook: str, entry: str, cluster: list[str]
):
    """A play chooses its hosts before it sees variables of the inventory: it would be for others, or for none."""
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text("raft_migration_hosts: pis\n")
    groups = {"pis": ["pi-1", "pi-2"], **({"k3s_cluster": cluster} if cluster else {})}
    code, output = played(tmp_path, ansible_playbook, entry, **groups)
    assert code != 0, output
    assert "-e raft_migration_hosts=pis" in output


@pytest.mark.parametrize("entry", ["rollback", "migrate"])
def test_a_playbook_after_a_rollback_in_one_command_is_refused(tmp_path: Path, ansible_playbook: str, entry: str):
    """The outcome of the rollback would be taken for that of this run."""
    rolled_back = {"raft_migration_rollback_outcome": "done"}
    plays = [
        {"name": "p", "hosts": "all", **NEEDED, "tasks": [{"name": "s", "ansible.builtin.set_fact": rolled_back}]},
        {"name": "next", "ansible.builtin.import_playbook": f"pi_controller.raft_migration.{entry}"},
    ]
    (tmp_path / "site.json").write_text(json.dumps(plays))
    code, output = played(tmp_path, ansible_playbook, str(tmp_path / "site.json"), k3s_cluster=["pi-1", "pi-2"])
    assert code != 0, output
    assert "An earlier playbook of this command has rolled the cluster back" in output
    (tmp_path / "site.json").write_text(json.dumps(plays[1:]))
    _code, output = played(tmp_path, ansible_playbook, str(tmp_path / "site.json"), k3s_cluster=["pi-1", "pi-2"])
    assert "An earlier playbook" not in output
    assert "have the same address" in output


FAKE_SSH = """#!/usr/bin/env python3
import os, sys
if "-V" not in sys.argv:
    print("ARGS", sys.argv[1:])
"""
ALIVE = "ServerAliveInterval=10"
# What an owner has set for one Pi, and which options ssh then has to have in this order.
SSH_OPTIONS: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing": ({}, [ALIVE, "ServerAliveCountMax=3"]),
    "common": ({"ansible_ssh_common_args": "-o User={{ account }}", "account": "pi"}, ["User=pi", ALIVE]),
    "args": ({"ansible_ssh_args": "{{ own }}", "own": "-o ServerAliveInterval=77"}, ["ServerAliveInterval=77"]),
    "extra": ({"ansible_ssh_extra_args": "-o serveraliveinterval=78"}, ["serveraliveinterval=78"]),
}


def test_a8_ssh_asks_each_pi_whether_it_is_there(tmp_path: Path, ansible_playbook: str):
    """Without it, a task waits for a Pi that has died until TCP gives up. What the owner has set is kept, and wins."""
    first = [
        yaml.safe_load((CHECKOUT / f"roles/run/tasks/{name}.yml").read_text())[0] for name in ("discover", "status")
    ]
    values = {task["ansible.builtin.set_fact"]["ansible_ssh_common_args"] for task in first}
    (value,) = values
    fake = tmp_path / "ssh"
    fake.write_text(FAKE_SSH)
    fake.chmod(0o755)
    text = "{{ inventory_hostname }} {{ _asked.stdout }}"
    tasks = [
        {"name": "Set", "ansible.builtin.set_fact": {"ansible_ssh_common_args": value}},
        # As a second playbook of the same command does.
        {"name": "Set again", "ansible.builtin.set_fact": {"ansible_ssh_common_args": value}},
        {"name": "Ask", "ansible.builtin.raw": "true", "register": "_asked"},
        {"name": "Show", "ansible.builtin.debug": {"msg": text}},
    ]
    role = str(CHECKOUT / "roles/run/vars/main.yml")
    play = {"name": "p", "hosts": "all", **NEEDED, "vars_files": [role], "tasks": tasks}
    hosts = {name: variables for name, (variables, _options) in SSH_OPTIONS.items()}
    inventory = {"all": {"vars": {"ansible_ssh_executable": str(fake)}, "hosts": hosts}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    (tmp_path / "play.json").write_text(json.dumps([play]))
    done = subprocess.run(
        [ansible_playbook, "play.json", "-i", "hosts.json"],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections")},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {name: line for name in hosts for line in done.stdout.splitlines() if f'"{name} ARGS' in line}
    for name, (_variables, wanted) in SSH_OPTIONS.items():
        found = re.findall(r"'((?:User|serveralive)[^']*)'", lines[name], re.IGNORECASE)
        assert [option for option in found if option in wanted] == wanted, lines[name]
        assert sum("interval" in option.lower() for option in found) == 1, lines[name]
