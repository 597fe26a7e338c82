# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cutover in a real ansible-playbook with three Pis, each module replaced by an action that only writes down what it was asked for."""

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

Run = Callable[..., "tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]"]
CLOCK = {"boot": "this one", "seconds": 100.5}
HOSTS = {f"pi-{number}": f"192.0.2.{number}" for number in (1, 2, 3)}
FULL = ["snapshot", "restore", "transfer", "read-only"]
# By the clock of the control node. The fence was set a second after zero, as `opened` has it.
TIMES = {"asked_at": 1.0, "answered_at": 3.5}


def cluster(leads: str, port: int, rest: int, capabilities: list[str]) -> dict[str, Any]:
    """What `raft_info` says of one side."""
    leader = {"id": leads, "host": leads, "address": f"{HOSTS[leads]}:{port}", "url": f"http://{HOSTS[leads]}:{rest}"}
    return {"changed": False, "leader": leader, "term": 5, "voters": 3, "members": [], "capabilities": capabilities}


def opened(fence: str) -> dict[str, Any]:
    facts = {"opening": True, "fence": fence, "fenced_at": 1.0, "content_digest": "cafe", "old_term": 5}
    return journal({"state": "started", "facts": facts})


def journal(entry: dict[str, Any]) -> dict[str, Any]:
    whole = {"format": 1, "migration_id": "m-20260101T000000Z", "phases": {"cutover": entry}, "events": []}
    return {"changed": True, "journal": whole, "phase_states": {"cutover": "started"}, "current": "cutover"}


def answers(capabilities: list[str], fence: str) -> dict[str, Any]:
    """By module, or by module and state or host."""
    looks = {"old": cluster("pi-1", 9091, 8080, capabilities), "new": cluster("pi-2", 9092, 8082, capabilities)}
    return {
        "traffic_gate": {"clock": CLOCK, **TIMES},
        "raft_fence": TIMES,
        "raft_info": {"changed": False, "clusters": looks, "looked_at": 1.0},
        "k8s_object_info": {"resources": [{"spec": {"clusterIP": "10.43.0.9"}}]},
        "cutover_lease committed": {"ansible_facts": {"raft_migration_journal": opened(fence)}},
        **dict.fromkeys(
            ("sqlite_info", "sqlite_backup", "raft_carry"), {"digest": "cafe", "sha256": "ab", "path": "/x", **TIMES}
        ),
    }


# An action plugin in the place of each module: it runs in the worker that Ansible forks for the task. A module would be packed, sent and
# compiled for each of more than a hundred tasks.
RECORDER = """
import json
import time
from pathlib import Path
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.pi_controller.raft_migration.plugins.plugin_utils import preload  # as the collection's own actions do

NAME, FOLDER = {name!r}, Path({folder!r})

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        check, asked = self._task.check_mode, json.loads(json.dumps(self._task.args))
        with (FOLDER / "asked.jsonl").open("a") as log:
            log.write(json.dumps({{"module": NAME, "check": check, "host": task_vars["inventory_hostname"], **asked}}) + "\\n")
        known = json.loads((FOLDER / "answers.json").read_text())
        keys = [NAME + " " + what for what in (str(asked.get("state")), task_vars["inventory_hostname"])] + [NAME]
        if set(known["fails"].split(", ")) & set(keys):
            return {{"failed": True, "msg": "refused"}}
        if known["hangs"] in keys:
            time.sleep(3600)
        if known["lost"] in keys:
            raise AnsibleConnectionFailure("no route to host")
        return {{"changed": not check, **next((known[key] for key in keys if key in known), {{}})}}
"""


@pytest.fixture
def cutover(tmp_path: Path, ansible_playbook: str) -> Run:
    """Runs the role; returns what came of it and what the modules were asked for, in order."""
    copy = tmp_path / "ansible_collections/pi_controller/raft_migration"
    (copy / "plugins/action").mkdir(parents=True)
    for part in (
        "roles",
        "meta",
        "galaxy.yml",
        *(f"plugins/{kind}" for kind in ("filter", "lookup", "module_utils", "plugin_utils")),
    ):
        (copy / part).symlink_to(CHECKOUT / part)
    for module in (CHECKOUT / "plugins/modules").glob("*.py"):
        (copy / "plugins/action" / module.name).write_text(RECORDER.format(name=module.stem, folder=str(tmp_path)))
    (tmp_path / "control/cutover").mkdir(parents=True)
    (tmp_path / "control/cutover/pi-controller.db").write_text("a database")
    (tmp_path / "backups").mkdir()

    def run(
        capabilities: list[str],
        fence: str,
        before: dict[str, Any] | None = None,
        fails: str = "",
        resumes: bool = True,
        lost: str = "",
        phase: bool = False,
        hangs: str = "",
        known: dict[str, Any] | None = None,
    ) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
        (tmp_path / "answers.json").write_text(
            json.dumps({**answers(capabilities, fence), **(known or {}), "fails": fails, "lost": lost, "hangs": hangs})
        )
        facts = {
            "raft_migration": f"{{{{ {{'backup_path': '{tmp_path}/backups'}} | pi_controller.raft_migration.migration_config }}}}",
            "raft_migration_endpoint": {"ip": "{{ raft_migration_address }}"},
            "raft_migration_journal_read": "{{ journal_of_this_pi }}",
            "raft_migration_control_dir": f"{tmp_path}/control",
            "raft_migration_resumes": resumes,
            "raft_migration_id": "m-20260101T000000Z",
            **({"raft_migration_pause_limit": 2} if hangs else {}),
        }
        entry = "resumed" if resumes else "main"
        role = {"name": "pi_controller.raft_migration.cutover", "tasks_from": entry, "rolespec_validate": False}
        if phase:
            role.update(name="pi_controller.raft_migration.run", tasks_from="phase_begun")
        step = {"raft_migration_phase": "cutover", "raft_migration_phase_step": ["phase_begun.yml", "cutover", entry]}
        tasks = [{"ansible.builtin.set_fact": facts}, {"ansible.builtin.include_role": role, "vars": step}]
        play = [{"hosts": "all", "gather_facts": False, "any_errors_fatal": True, "tasks": tasks}]
        (tmp_path / "play.json").write_text(json.dumps(play))
        known = {name: journal({"state": "started", "facts": {}}) for name in HOSTS} | (
            {"pi-1": before} if before else {}
        )
        hosts = {
            name: {"raft_migration_address": address, "journal_of_this_pi": known[name]}
            for name, address in HOSTS.items()
        }
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"k3s_cluster": {"hosts": hosts, "vars": {**local, "raft_migration_hosts": "k3s_cluster"}}}
        (tmp_path / "hosts.json").write_text(json.dumps(inventory))
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [ansible_playbook, "-i", "hosts.json", "play.json"],
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )
        asked = [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text().splitlines()]
        return done, asked

    return run


def gates(asked: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What was asked of gates and leases in order, the same of several Pis once."""
    seen: list[tuple[Any, ...]] = []
    for call in asked:
        lease = call.get("lease") or {}
        until = (lease.get("seconds"), "since" in lease, lease.get("held", False), call.get("persist", False))
        if call["module"] == "traffic_gate" and not call["check"]:
            seen.append((call["state"], *until))
        elif call["module"] == "cutover_lease":
            seen.append((call["state"], call.get("seconds")))
        elif call["module"] == "raft_fence":
            seen.append(("fence", call["enabled"]))
    return sorted(set(seen), key=seen.index)


def left_behind(asked: list[dict[str, Any]]) -> list[str]:
    """The modules that were asked for what an earlier run may have left, each once."""
    looks = [call["module"] for call in asked if call.get("state") in ("started", "caught_up")]
    return sorted(set(looks), key=looks.index)


def test_a_cutover_with_read_only_daemons(cutover: Run) -> None:
    done, asked = cutover(FULL, "read-only")
    assert done.returncode == 0, done.stdout + done.stderr
    assert gates(asked) == [
        ("fence", True),
        ("armed", 30),
        ("redirected", 27.0, True, False, False),
        ("committed", 24.0),
        ("redirected", None, False, True, True),
        ("fence", False),
        ("redirected", None, False, False, True),
    ]
    assert left_behind(asked) == ["unit_state", "raft_snapshot"]
    (carry,) = [call for call in asked if call["module"] == "raft_carry"]
    assert carry["lease"] == {"seconds": 27.0, "since": CLOCK}
    (commit,) = [call for call in asked if call.get("state") == "committed"]
    assert (commit["url"], commit["read_only"], commit["since"]) == ("http://192.0.2.1:8080", True, CLOCK)
    assert (commit["facts"]["old_term"], commit["facts"]["content_digest"]) == (5, "cafe")
    assert float(commit["facts"]["fenced_at"]) == TIMES["asked_at"]
    assert "Write pause: 2.5 s" in done.stdout


def test_a_cutover_with_the_network_as_the_fence(cutover: Run) -> None:
    """In the run that has begun the migration."""
    done, asked = cutover([], "network", resumes=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert left_behind(asked) == []
    found = gates(asked)
    assert found[:2] == [("armed", 30), ("forwarded", 30, False, False, False)]
    # What has held on the old leader's Pi ends when it would have; the new leader's is routed to a neighbour; the third Pi goes to its pod.
    assert set(found[2:5]) == {
        ("redirected", 30, True, True, False),
        ("forwarded", 27.0, True, False, False),
        ("redirected", 27.0, True, False, False),
    }
    assert found[5] == ("committed", 24.0)
    assert set(found[6:8]) == {("redirected", None, False, True, True), ("forwarded", None, False, True, True)}
    assert found[8:] == [("redirected", None, False, False, True)]
    (commit,) = [call for call in asked if call.get("state") == "committed"]
    assert commit["gate"]["state"] == "redirected"
    assert commit["gate"]["services"] == [{"cluster_ip": "10.43.0.9", "address": "192.0.2.1"}]
    assert commit["read_only"] is False
    assert float(commit["facts"]["fenced_at"]) == TIMES["asked_at"]
    assert "Write pause: 2.5 s" in done.stdout


def test_a_commit_that_is_refused_is_undone_and_the_lease_goes_last(cutover: Run) -> None:
    done, asked = cutover(FULL, "read-only", fails="cutover_lease committed")
    assert done.returncode != 0
    assert "was undone" in done.stdout
    found = gates(asked)
    assert found[found.index(("committed", 24.0)) + 1 :] == [
        ("open", None, False, False, False),
        ("fence", False),
        ("absent", None),
    ]


# What changes a Pi or Kubernetes, and what only asks.
LOOKS = {"migration_journal_info", "quorum_watch"}


@pytest.mark.parametrize("phase", [True, False])
def test_a_run_whose_lock_is_lost_undoes_nothing(cutover: Run, phase: bool) -> None:
    """Another run may have committed the cutover since, and clients write to the pods."""
    done, asked = cutover(FULL, "read-only", fails="cutover_lease committed, quorum_watch held", phase=phase)
    states = [call.get("state") for call in asked]
    assert "held" in states, done.stdout + done.stderr
    after = asked[states.index("committed") + 1 :]
    assert {call["module"] for call in after} - LOOKS == ({"migration_journal"} if phase else set()), after
    assert "was undone" not in done.stdout
    assert (done.returncode != 0) == (not phase)


@pytest.mark.parametrize("lost", [True, False])
def test_a_commit_that_has_recorded_the_opening_is_not_undone(cutover: Run, lost: bool) -> None:
    """Its result was lost, or it failed behind that."""
    wrong = {"lost" if lost else "fails": "cutover_lease committed"}
    found = {"migration_journal_info": {"ansible_facts": {"raft_migration_journal": opened("read-only")}}}
    done, asked = cutover(FULL, "read-only", known=found, phase=True, **wrong)
    after = asked[[call.get("state") for call in asked].index("committed") + 1 :]
    assert {call["module"] for call in after} == LOOKS | {"migration_journal"}, done.stdout + done.stderr
    assert "after it had recorded that the pods may accept writes, so it was not undone" in done.stdout
    assert len([call for call in after if call["module"] == "migration_journal_info"]) == 1


@pytest.mark.timed
def test_h2_a_module_that_hangs_is_ended_and_undone(cutover: Run) -> None:
    """The backstop of the modules' own deadlines."""
    done, asked = cutover(FULL, "read-only", hangs="raft_carry")
    assert done.returncode != 0
    assert "was undone" in done.stdout
    found = gates(asked)
    assert found[-3:] == [("open", None, False, False, False), ("fence", False), ("absent", None)]


@pytest.mark.parametrize(("capabilities", "fence"), [(FULL, "read-only"), ([], "network")])
def test_a_pi_lost_in_the_commit_keeps_its_lease(cutover: Run, capabilities: list[str], fence: str) -> None:
    """Without one its gate would stay closed, and no run would know of an opening. It is back once the others have undone the cutover."""
    done, asked = cutover(capabilities, fence, lost="cutover_lease committed", phase=True)
    commit = [call.get("state") for call in asked].index("committed")
    after = asked[commit + 1 :]
    opened = [call["host"] for call in after if (call["module"], call.get("state")) == ("traffic_gate", "open")]
    assert sorted(opened) == ["pi-2", "pi-3"], done.stdout + done.stderr
    assert [call for call in after if call.get("persist")] == []
    assert [call for call in after if call["module"] == "k8s_port_swap" and call["point_to"] == "pods"] == []
    recorded = [call["state"] for call in after if call["module"] == "migration_journal"]
    assert set(recorded) == {"failed"}
    assert done.stdout.count("was undone") > 0
    assert "is undefined" not in done.stdout


# What a run finds that comes after one that died past its commit: the old leader's gate stays, the others' leases have ended.
DIED = {"traffic_gate pi-1": {"previous_stays": True}, "raft_fence": {**TIMES, "after": dict.fromkeys(HOSTS, True)}}


def gates_of(asked: list[dict[str, Any]], pi: str) -> list[tuple[str, str]]:
    """What this Pi's gate was set to, in order, and for how long."""
    return [
        (call["state"], "for good" if call.get("persist") else "a lease" if "lease" in call else "")
        for call in asked
        if call["module"] == "traffic_gate" and call["host"] == pi and not call["check"]
    ]


@pytest.mark.parametrize(("fence", "first"), [("network", "fenced"), ("read-only", "redirected")])
def test_a_later_run_closes_every_pi_before_one_is_opened(cutover: Run, fence: str, first: str) -> None:
    done, asked = cutover([], fence, before=opened(fence), known=DIED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(call["module"] in ("cutover_lease", "raft_carry") for call in asked)
    assert "Write pause: 2.5 s" in done.stdout
    assert gates_of(asked, "pi-1")[0] == (first, "for good")
    assert gates_of(asked, "pi-2")[:2] == gates_of(asked, "pi-3")[:2] == [(first, "a lease"), (first, "for good")]
    stay = [call for call in asked if call["module"] == "traffic_gate" and call.get("persist")]
    assert [(call["state"], call["lease"]) for call in stay[:3]] == [(first, {"held": True})] * 3
    # The look is between the lease and what stays.
    looks = [number for number, call in enumerate(asked) if call["module"] in ("sqlite_info", "raft_info")]
    assert asked.index(stay[0]) > max(looks)
    assert min(looks) > max(number for number, call in enumerate(asked) if "seconds" in (call.get("lease") or {}))


@pytest.mark.parametrize("fence", ["network", "read-only"])
def test_a_unit_that_wrote_before_the_gates_closed_stops_the_run(cutover: Run, fence: str) -> None:
    wrote = {"sqlite_info pi-2": {"digest": "beef"}, "raft_info pi-2": {"term": 6}}
    done, asked = cutover([], fence, before=opened(fence), known={**DIED, **wrote}, phase=True)
    (failed,) = [call for call in asked if call.get("state") == "failed" and call["facts"]["message"]]
    text = failed["facts"]["message"]
    assert "The journal of pi-1 says that the pods were opened to writes, but the unit on pi-2 is in term 6" in text
    assert "remove the entry" in text, done.stdout
    first = "fenced" if fence == "network" else "redirected"
    assert [gates_of(asked, pi) for pi in HOSTS] == [[], *[[(first, "a lease"), ("open", "")]] * 2]
    fences = [call for call in asked if call["module"] == "raft_fence"]
    assert [(call["enabled"], call["validate_certs"]) for call in fences] == [(True, True)] * (fence == "read-only")
    assert not any(call["module"] == "k8s_port_swap" for call in asked)


def test_a_pi_lost_in_the_proof_does_not_go_on_alone(cutover: Run) -> None:
    """It is back once the others have stopped. Its gate opens by itself."""
    done, asked = cutover([], "read-only", before=opened("read-only"), known=DIED, lost="sqlite_info pi-3", phase=True)
    assert "no route to host" in done.stdout, done.stdout + done.stderr
    closed = ("redirected", "a lease")
    assert [gates_of(asked, pi) for pi in HOSTS] == [[], [closed, ("open", "")], [closed]]
    assert ("fence", False) not in gates(asked)
    assert not any(call["module"] == "k8s_port_swap" for call in asked)


def test_pods_that_take_writes_get_no_client_before_the_proof(cutover: Run) -> None:
    shut = {**TIMES, "after": {"pi-1": True, "pi-2": False}, "failed": True, "msg": "no answer"}
    _done, asked = cutover([], "read-only", before=opened("read-only"), known={**DIED, "raft_fence": shut})
    assert gates_of(asked, "pi-2")[:2] == [("fenced", "a lease"), ("redirected", "for good")]


def test_gates_that_stay_are_not_closed_once_more(cutover: Run) -> None:
    """An earlier run may have opened the pods: none of their clients waits again."""
    stay = {"traffic_gate": {"previous_stays": True, "clock": CLOCK, **TIMES}}
    done, asked = cutover([], "read-only", before=opened("read-only"), known=stay)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(gates_of(asked, "pi-2")) == {("redirected", "for good")}
    assert ("fence", True) not in gates(asked)
