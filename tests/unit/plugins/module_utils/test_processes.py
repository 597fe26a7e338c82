# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real processes: which run a module works for, and whether that still lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import import_plugin

processes = import_plugin("module_utils._core.processes")
failures = import_plugin("module_utils._core.failures")

ASK = """
import sys
sys.path.insert(0, {collections!r})
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core import processes
print(processes.playbook_run().pid)
"""


@pytest.fixture
def tree(tmp_path: Path):
    """Runs the question below processes of the given names; returns their numbers, outermost first, and the answer's."""
    ask = tmp_path / "ask.py"
    ask.write_text(ASK.format(collections=str(Path(processes.__file__).parents[6])))

    def run(*names: str) -> tuple[list[int], int]:
        inner = f"{sys.executable} {ask}"
        for number, name in reversed(list(enumerate(names))):
            folder = tmp_path / str(number)
            folder.mkdir()
            script = folder / name
            # The last command is not exec'ed, since another one follows it.
            script.write_text(f"#!/bin/sh\necho $$\n{inner}\ntrue\n")
            script.chmod(0o755)
            inner = f"/bin/sh {script} some-playbook.yml"
        done = subprocess.run(inner.split(), capture_output=True, text=True, check=True)
        *seen, answer = map(int, done.stdout.split())
        return seen, answer

    return run


def test_the_run_is_the_ansible_playbook_above(tree):
    (_shell, run, _worker), answer = tree("cron", "ansible-playbook", "module")
    assert answer == run


def test_its_workers_carry_its_name_and_are_not_the_run(tree):
    (run, _worker, _module), answer = tree("ansible-playbook", "ansible-playbook", "module")
    assert answer == run


def test_a_run_started_by_another_run_is_its_own(tree):
    (_outer, _shell, inner), answer = tree("ansible-playbook", "deploy.sh", "ansible-playbook")
    assert answer == inner


def test_no_run_at_all():
    with pytest.raises(failures.MigrationError, match="no ansible-playbook process is above"):
        processes.playbook_run(1)


def test_a_run_that_is_the_first_process_of_a_container(monkeypatch):
    """`docker run IMAGE ansible-playbook …`: its workers must not count as runs of their own."""
    words = ("/usr/bin/python3", "/usr/bin/ansible-playbook", "site.yml")
    tree = {7: processes._Seen(1, "70", "S", words), 1: processes._Seen(0, "10", "S", words)}
    monkeypatch.setattr(processes, "_look", tree.get)
    assert processes.playbook_run(7) == processes.playbook_run(1) == processes.Process(1, "10")


def test_a_process_is_known_by_its_start_as_well():
    here = processes.identify(os.getpid())
    assert here.alive
    assert not processes.Process(here.pid, "another start").alive
    assert processes.Process.from_dict(here.as_dict()) == here
    assert processes.Process.from_dict({"pid": "x"}) is None


def test_a_zombie_process_is_dead():
    child = subprocess.Popen(["sleep", "60"])
    process = processes.identify(child.pid)
    assert process.alive
    child.kill()
    # Waited for without being reaped.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive
    child.wait()
    assert processes.identify(child.pid) is None


def test_without_proc_ps_reports_the_same(monkeypatch, tmp_path):
    here = os.getpid()
    parent = os.getppid()
    by_proc = processes._look(here)
    monkeypatch.setattr(processes, "PROC", tmp_path)
    by_ps = processes._look(here)
    assert by_ps.parent == by_proc.parent == parent
    assert processes.identify(here).alive
    assert processes.machine() == ""


@pytest.mark.parametrize(
    "words", [("-m", "ansible", "playbook"), ("-B", "-m", "ansible", "playbook"), ("-mansible", "playbook")]
)
def test_a6_python_m_ansible_playbook_is_a_run(words):
    # What such a process shows as its command line, without running it: the words after `-c …` are only arguments.
    assert processes._is_playbook(("/usr/bin/python3", *words, "site.yml"))
    assert not processes._is_playbook(("/usr/bin/python3", "-m", "ansible", "inventory"))
    assert not processes._is_playbook(("vi", "ansible", "playbook"))


@pytest.mark.slow
def test_a6_a_module_finds_the_run_that_python_m_ansible_started(tmp_path: Path):
    pytest.importorskip("ansible.cli.playbook")
    ask = tmp_path / "ask.py"
    ask.write_text(ASK.format(collections=str(Path(processes.__file__).parents[6])))
    ask_task = {"ansible.builtin.command": f"{sys.executable} {ask}", "changed_when": False, "register": "asked"}
    show_task = {
        "ansible.builtin.copy": {"content": "{{ asked.stdout }}", "dest": str(tmp_path / "answer"), "mode": "0600"}
    }
    (tmp_path / "play.json").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [ask_task, show_task]}])
    )
    command = [sys.executable, "-m", "ansible", "playbook", "play.json", "-i", "localhost,", "-c", "local"]
    environment = {**os.environ, "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        output, _none = run.communicate(timeout=60)
    assert run.returncode == 0, output
    assert int((tmp_path / "answer").read_text()) == run.pid
