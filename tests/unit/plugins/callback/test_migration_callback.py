# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback in a real run of ansible-playbook on this machine: into a pipe, and on a pseudo-terminal."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pty
import re
import struct
import subprocess
from pathlib import Path

import pytest
import report_inputs as given
from conftest import CHECKOUT

PLAY = """
- name: "(1/6) PREPARE"
  hosts: all
  gather_facts: false
  tasks:
    - name: Read the journal
      pi_controller.raft_migration.migration_journal_info: &where {path: "%(folder)s/{{ inventory_hostname }}/journal.json"}
    - name: Learn where the quorum watch writes
      pi_controller.raft_migration.quorum_watch: {state: stopped, path: "%(folder)s/watch"}
      delegate_to: localhost
      run_once: true
      changed_when: false
    - name: Record that the phase has started
      pi_controller.raft_migration.migration_journal: {<<: *where, phase: prepare, state: started}
    - name: Say something
      ansible.builtin.debug: {msg: "Write pause: 0.8 s"}
      run_once: true
    - name: A task that is not of interest
      ansible.builtin.set_fact: {nothing: 1}
    - name: Break
      ansible.builtin.fail: {msg: "iptables-restore failed"}
      when: inventory_hostname == 'pi-2' and broken | default(false) | bool
    - name: Be attacked
      ansible.builtin.fail: {msg: "{{ hostile | b64decode }}"}
      when: inventory_hostname == 'pi-2' and hostile is defined
    - name: Record that the phase is done
      pi_controller.raft_migration.migration_journal: {<<: *where, phase: prepare, state: done}
"""
LOOK = """
- name: END
  hosts: all
  gather_facts: false
  tasks:
    - name: Read Kubernetes
      pi_controller.raft_migration.migration_cluster_info:
        {host: "http://127.0.0.1:1", api_key: t, namespace: a, service: a, daemonset: a, assemble: "{{ lookup('file', looked) | from_json }}"}
      delegate_to: localhost
      run_once: true
      register: found
      failed_when: false
    - name: Report the outcome
      ansible.builtin.fail: {msg: "The migration is paused"}
      run_once: true
"""
TABLE = """
- name: STATUS
  hosts: all
  gather_facts: false
  vars: {raft_migration_progress: false}
  tasks:
    - name: Show it
      ansible.builtin.debug: {msg: ["Migration: not started", "  Prepare"]}
      run_once: true
"""


@pytest.fixture
def command(tmp_path: Path, ansible_playbook: str) -> list[str]:
    hosts = "[all]\npi-1\npi-2\n[all:vars]\nansible_connection=local\nansible_python_interpreter={{ ansible_playbook_python }}\n"
    (tmp_path / "hosts").write_text(hosts)
    (tmp_path / "play.yml").write_text(PLAY % {"folder": tmp_path})
    (tmp_path / "status.yml").write_text(TABLE)
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/samples.jsonl").write_text(json.dumps(given.sample(1, "old", "pi-1", 2)) + "\n")
    (tmp_path / "watch/alerts.jsonl").write_text(json.dumps(given.alert()[0]) + "\n")
    return [ansible_playbook, "-i", str(tmp_path / "hosts"), str(tmp_path / "play.yml")]


ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in ("CI", "ANSIBLE_STDOUT_CALLBACK")},
    "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
    "ANSIBLE_NOCOLOR": "1",
    "TERM": "xterm",
}


def piped(command: list[str], *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [*command, *more], cwd=CHECKOUT, env=ENVIRONMENT, text=True, capture_output=True, timeout=300, check=False
    )
    return done.returncode, done.stdout


def on_a_terminal(command: list[str]) -> str:
    """All that is written to a terminal of 100 columns and 30 rows."""
    import fcntl
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=ENVIRONMENT, stdin=follower, stdout=follower, stderr=follower
    ) as process:
        os.close(follower)
        written = b""
        # Reading from a terminal whose other end is closed is an error.
        with contextlib.suppress(OSError):
            while chunk := os.read(leader, 65536):
                written += chunk
        assert process.wait(60) == 0
    os.close(leader)
    return written.decode()


def test_a_pipe_gets_one_line_for_each_event(command: list[str]) -> None:
    code, out = piped(command)
    assert code == 0, out
    lines = out.splitlines()
    reported = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in lines]
    watched = ["systemd: quorum, 3 of 3 answer, leader pi-1, term 2", "ALERT: the cluster of pods has no leader"]
    assert [line for line in reported if line in watched] == watched
    # A task that takes seconds on a busy machine is named meanwhile.
    reported = [line for line in reported if line not in watched and not line.startswith("now: ")]
    assert reported[:3] == ["(1/6) PREPARE", "Prepare begins", "Write pause: 0.8 s"]
    assert re.fullmatch(r"Prepare done after .+", reported[3])
    assert re.fullmatch(r"Finished in [\d.]+ m?s, 4 changes\.", reported[4])
    assert len(reported) == 5
    assert "\x1b" not in out


def test_a_failure_is_shown_and_v_shows_ansibles_output(command: list[str]) -> None:
    code, out = piped(command, "-e", "broken=true")
    assert code != 0
    assert "FAILED pi-2: Break: iptables-restore failed" in out
    assert "-v shows Ansible's own output" in out
    # No play came any more that would have looked.
    assert (
        "To see the current state (and the commands to continue or to roll back)\n  ansible-playbook pi_controller.raft_migration.status "
        in out
    )
    _code, out = piped(command, "-v")
    assert "TASK [Record that the phase has started]" in out
    assert "PLAY RECAP" in out


def test_a_failure_ends_with_the_status_that_was_read(command: list[str], tmp_path: Path) -> None:
    hosts = {name: given.host(name, written=given.journal("validate", "validate")) for name in given.NAMES}
    (tmp_path / "looked.json").write_text(json.dumps({"hosts": hosts, "config": given.CONFIG}))
    (tmp_path / "play.yml").write_text(LOOK)
    code, out = piped(command, "-e", f"looked={tmp_path / 'looked.json'}")
    assert code != 0
    assert "Current state\n  The daemons under systemd serve" in out
    assert "systemd: quorum, leader pi-1" in out
    assert "To see the current state" not in out


def test_a_table_is_printed_as_it_is(command: list[str]) -> None:
    code, out = piped([*command[:-1], command[-1].replace("play.yml", "status.yml")])
    assert (code, out) == (0, "Migration: not started\n  Prepare\n")


def test_a_terminal_shows_the_phases_and_keeps_messages(command: list[str]) -> None:
    written = on_a_terminal(command)
    assert re.search(r"\x1b\[\d+F", written), "nothing was drawn over"
    last = re.split(r"\x1b\[\d*[FJ]", written)
    assert "✓ Prepare" in written
    assert "Write pause: 0.8 s" in written
    assert "Finished in" in last[-1]
    assert "TASK [" not in written


def test_m4_a_structure_stays_json_whatever_is_in_it(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "status.yml").write_text(
        TABLE.replace('["Migration: not started", "  Prepare"]', '{leader: "a\\x9bb\\u202ec"}')
    )
    code, out = piped([*command[:-1], command[-1].replace("play.yml", "status.yml")])
    assert (code, json.loads(out)) == (0, {"leader": "a\\x9bb\\u202ec"})


def test_m4_a_daemons_text_cannot_control_the_terminal(command: list[str]) -> None:
    words = "refused: \x1b[2J\x1b]52;c;cm0=\x07\n10:00:00  Clean up done after 3 s\nFinished in 3 s"
    hostile = ["-e", f"hostile={base64.b64encode(words.encode()).decode()}"]
    code, out = piped(command, *hostile)
    assert code != 0
    assert "FAILED pi-2: Be attacked: refused: \\x1b[2J" in out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert not [line for line in out.splitlines() if line.startswith(("10:00:00", "Finished"))]


def test_a_play_without_hosts_is_reported(command: list[str], tmp_path: Path) -> None:
    """With its title alone it would look like one that was done."""
    plays = '- {name: FIRST, hosts: absent, tasks: []}\n- {name: "(1/6) PREPARE", hosts: absent, tasks: []}\n'
    (tmp_path / "empty.yml").write_text(plays)
    code, output = piped([*command[:-1], str(tmp_path / "empty.yml")])
    assert code == 0
    assert "Left out, as it has no host: (1/6) PREPARE" in output
    assert "Finished" not in output
    assert "Nothing was done: no play had a host." in output


def test_a_run_that_no_play_of_has_begun_was_not_interrupted(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "refused.yml").write_text("- {name: FIRST, hosts: \"{{ undef(hint='refused') }}\", tasks: []}\n")
    code, output = piped([*command[:-1], str(tmp_path / "refused.yml")])
    assert code != 0
    assert "Interrupted" not in output


def test_a_second_playbook_of_a_command_is_shown_as_the_first(command: list[str], tmp_path: Path) -> None:
    """Its messages may be those of the first, and it may be interrupted."""
    code, output = piped([*command, str(tmp_path / "play.yml")])
    assert code == 0
    assert output.count("Write pause: 0.8 s") == 2
    assert output.count("Finished in") == 2

    (tmp_path / "killed.yml").write_text(
        "- {name: LAST, hosts: all, gather_facts: false, tasks: [{shell: 'kill -INT {{ playbook }}; sleep 20', run_once: true}]}\n"
    )
    process = "{{ lookup('ansible.builtin.pipe', 'ps -o ppid= $PPID') | trim }}"
    _code, output = piped([*command, str(tmp_path / "killed.yml"), "-e", json.dumps({"playbook": process})])
    assert "Interrupted. Migration status:" in output


def test_a_second_playbook_has_a_panel_of_its_own(command: list[str], tmp_path: Path) -> None:
    alone, twice = (on_a_terminal([*command, *more]) for more in ([], [str(tmp_path / "play.yml")]))
    assert twice.count("\x1b[J") > alone.count("\x1b[J")
