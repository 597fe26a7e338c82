# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles do with a journal, a lock, a file or a container that is not to be trusted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT, import_plugin
from databases import make as make_database

ROLES = CHECKOUT / "roles"


def tasks_of(path: str) -> list[dict[str, Any]]:
    return yaml.safe_load((ROLES / path).read_text())


Keep = Callable[[str, Path], dict[str, Any]]

# Writes what the watch's folder says of the run that this task is part of.
NAME_THE_RUN = """
import json
from pathlib import Path
from ansible.plugins.action import ActionBase
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.processes import playbook_run

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        path = Path(self._task.args["dest"])
        path.touch(0o600)
        path.write_text(json.dumps({"run": dict(playbook_run().as_dict()), **self._task.args["more"]}))
        return {"changed": False}
"""


@pytest.fixture
def play(tmp_path: Path, ansible_playbook: str, keep: Keep) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs tasks on hosts of this machine, with variables of their own."""
    (tmp_path / "action_plugins/name_the_run.py").write_text(NAME_THE_RUN)

    def run(
        tasks: list[dict[str, Any]], hosts: dict[str, dict[str, Any]], wrapper: tuple[str, ...] = (), **more: Any
    ) -> subprocess.CompletedProcess[str]:
        common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **more}
        inventory = {"all": {"children": {"k3s_cluster": {"hosts": hosts, "vars": common}}}}
        (tmp_path / "hosts.json").write_text(json.dumps(inventory))
        playbook = [{"hosts": "all", "gather_facts": False, "any_errors_fatal": True, "tasks": tasks}]
        (tmp_path / "play.json").write_text(json.dumps(playbook))
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [*wrapper, ansible_playbook, "-i", "hosts.json", "play.json"]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
            umask=0o022,
        )

    return run


def journal(state: str, facts: dict[str, Any] | None = None) -> dict[str, Any]:
    entry = {"state": state, "started": None, "finished": None, "facts": facts or {}}
    whole = {"format": 1, "migration_id": "m1", "phases": {"cutover": entry}, "events": []}
    return {"journal": whole, "phase_states": {"cutover": state}}


@pytest.mark.parametrize("claimed", ["what the units hold", "something else", "nothing"])
def test_l1_an_opening_in_one_journal_is_proven_by_the_units(
    tmp_path: Path, play: Any, keep: Keep, claimed: str
) -> None:
    digests = import_plugin("module_utils._sqlite.proof")
    databases = {name: tmp_path / name / "pi-controller.db" for name in ("pi-1", "pi-2", "pi-3")}
    for path in databases.values():
        path.parent.mkdir()
        make_database(path)
    held = digests.digest_of(databases["pi-2"], [])
    facts = {"opening": True, "content_digest": {"what the units hold": held, "something else": "cafe"}.get(claimed)}
    if claimed == "nothing":
        del facts["content_digest"]
    hosts = {
        name: {"pi_controller_data_dir": str(path.parent), "raft_migration_journal_read": journal("started")}
        for name, path in databases.items()
    }
    hosts["pi-3"]["raft_migration_journal_read"] = journal("started", facts)
    opened = {
        "name": "Prove",
        "ansible.builtin.include_role": {"name": "pi_controller.raft_migration.run", "tasks_from": "opened"},
    }
    opened["when"] = "raft_migration_recorded.opening_unproven"
    variables = [
        {"name": "Know", "ansible.builtin.include_vars": str(ROLES / f"{role}/vars/main.yml")}
        for role in ("cluster", "run")
    ]
    reached = keep("", tmp_path / "opened")
    done = play(
        [*variables, opened, reached], hosts, raft_migration_hosts="k3s_cluster", raft_migration={"backup_path": "/b"}
    )
    assert (done.returncode == 0) == (claimed == "what the units hold"), done.stdout + done.stderr
    assert (tmp_path / "opened").exists() == (claimed == "what the units hold")
    if claimed != "what the units hold":
        assert "The journal of pi-3 says that the pods were opened" in done.stdout.replace("\n", " ")
        assert held in done.stdout


def test_a_rollback_that_failed_on_one_pi_is_not_reported_as_done(play: Any) -> None:
    outcomes = {"pi-1": "done", "pi-2": "Finish | Stop the pods: refused"}
    failure = {"phase": "cutover", "host": "pi-1", "task": "Flip", "message": "no answer"}
    read = journal("failed", {"opening": True})
    hosts = {
        name: {
            "raft_migration_rollback_outcome": outcome,
            "raft_migration_failure": failure,
            "raft_migration_journal_read": read,
        }
        for name, outcome in outcomes.items()
    }
    verdict = {"name": "pi_controller.raft_migration.run", "tasks_from": "verdict"}
    known = {"raft_migration_hosts": "k3s_cluster", "raft_migration": {"backup_path": "/b"}}
    done = play([{"ansible.builtin.include_role": verdict}], hosts, **known)
    assert "Rollback: Finish | Stop the pods: refused" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("written", [True, False])
def test_l1_a_journal_that_cannot_be_written_leaves_what_is_known(
    tmp_path: Path, play: Any, keep: Keep, written: bool
) -> None:
    (tmp_path / "file").write_text("in which there can be no folder")
    include = {"name": "pi_controller.raft_migration.cluster", "tasks_from": "record"}
    record: dict[str, Any] = {"ansible.builtin.include_role": include}
    record["vars"] = {"raft_migration_record": {"phase": "cutover", "state": "done", "facts": {"opening": True}}}
    know = {"ansible.builtin.include_vars": str(ROLES / "cluster/vars/main.yml")}
    state = keep("{{ raft_migration_recorded | to_json }}", tmp_path / "state")
    block = {"block": [know, record], "rescue": [{"ansible.builtin.meta": "clear_host_errors"}]}
    known = {"raft_migration_journal_read": journal("started", {"fence": "network", "opening": True})}
    backups = {"raft_migration": {"backup_path": f"{tmp_path}/{'backups' if written else 'file/backups'}"}}
    done = play([block, state], {"pi-1": known}, raft_migration_hosts="k3s_cluster", **backups)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("rescued=1" in done.stdout) != written, done.stdout
    found = json.loads((tmp_path / "state").read_text())
    assert found["cutover"] == ({"opening": True} if written else {"fence": "network", "opening": True})


def test_l1_an_alert_between_a_step_and_its_record_stops_nothing(tmp_path: Path, play: Any) -> None:
    """It would have an opened cutover undone: the rescue goes by what is known, the next run by what is written down."""
    written = f"lookup('ansible.builtin.fileglob', '{tmp_path}/backups/journal.json') | length > 0"
    alert = f"{{{{ raised_as_soon_as_it_is_written if raft_migration_stoppable and {written} else {{}} }}}}"
    include = {"name": "pi_controller.raft_migration.cluster", "tasks_from": "record"}
    record: dict[str, Any] = {"ansible.builtin.include_role": include}
    record["vars"] = {"raft_migration_record": {"phase": "cutover", "state": "started", "facts": {"opening": True}}}
    know = {"ansible.builtin.include_vars": str(ROLES / "cluster/vars/main.yml")}
    late = {"name": "The next task", "ansible.builtin.debug": {"msg": "late"}}
    block = {"block": [know, record, late], "environment": alert, "vars": {"raft_migration_stoppable": True}}
    undo = {"msg": "undone at {{ ansible_failed_task.name }}, opening {{ raft_migration_recorded.opening }}"}
    block["rescue"] = [{"ansible.builtin.debug": undo, "vars": {"raft_migration_stoppable": False}}]
    read: dict[str, Any] = {"raft_migration_journal_read": {"journal": None, "phase_states": {}}}
    done = play(
        [block],
        {"pi-1": read},
        raft_migration_hosts="k3s_cluster",
        raft_migration={"backup_path": f"{tmp_path}/backups"},
    )
    assert "undone at The next task, opening True" in done.stdout, done.stdout + done.stderr


def test_l1_the_proof_comes_before_anything_is_opened_or_taken(tmp_path: Path, play: Any, keep: Keep) -> None:
    opened = {"phase_states": dict.fromkeys(("prepare", "transfer", "validate"), "done"), "current": "cutover"}
    opened["journal"] = {"phases": {"cutover": {"state": "started", "facts": {"opening": True}}}}
    variables = {
        "raft_migration_journal_read": opened,
        "raft_migration_peers": ["pi-1"],
        "raft_migration_resumes": True,
        "raft_migration": {"strategy": "parallel", "safety": {"require_confirmation": True}},
    }
    know = {"ansible.builtin.include_vars": str(ROLES / "run/vars/main.yml")}
    cases = {"proven": ("cutover", True), "refused": ("cleanup", True), "unconfirmed": ("cutover", False)}
    tasks = [
        {
            **keep("{{ raft_migration_phase_files | to_json }}", tmp_path / name),
            "vars": {"raft_migration_phase": phase, "confirm": confirmed},
        }
        for name, (phase, confirmed) in cases.items()
    ]
    done = play([know, *tasks], {"pi-1": variables})
    assert done.returncode == 0, done.stdout + done.stderr
    found = {name: json.loads((tmp_path / name).read_text()) for name in cases}
    assert found["proven"] == ["opened.yml", "phase_begun.yml"]
    assert (found["refused"], found["unconfirmed"]) == (["phase_refused.yml"], ["phase_unconfirmed.yml"])
    (include,) = tasks_of("run/tasks/phase.yml")
    assert include["loop"].startswith("{{ raft_migration_phase_files |")
    (back,) = tasks_of("run/tasks/rollback.yml")
    (inner,) = back["block"]
    steps = [task["name"] for task in inner["block"]]
    assert steps.index("Prove what the journal says of the opening") < steps.index("Run the rollback")


CHECK = "cluster/lock_held"


def steps_of(path: str) -> list[str]:
    """What each task of a file takes in, or its name."""
    found = []
    for task in tasks_of(path):
        role = task.get("ansible.builtin.import_role", {"name": ""})
        taken_in = task.get("ansible.builtin.include_tasks") or task.get("ansible.builtin.import_tasks")
        imported = f"{role['name'].rpartition('.')[2]}/{role['tasks_from']}" if "tasks_from" in role else task["name"]
        found.append(CHECK if imported == CHECK else taken_in or task["name"])
    return found


def test_l4_a_rollback_looks_at_the_lock_where_it_may_stop() -> None:
    found = {}
    for name in ("steps", "after_opening", "finish"):
        steps = steps_of(f"rollback/tasks/{name}.yml")
        found[name] = steps[steps.index(CHECK) + 1 :]
    assert "Rollback | Record that the rollback has begun" in found["steps"], "no phase of another run begins after it"
    assert "before_opening.yml" in found["steps"]
    assert "after_opening.yml" in found["steps"]
    assert found["after_opening"][0] == "Carry back | Save the pods' state, or reopen the pods", (
        "writes wait from the taking on"
    )
    assert found["finish"][0] == "pods_aside.yml", "the units serve before it"
    assert steps_of("rollback/tasks/reopen.yml")[0] == CHECK


@pytest.mark.parametrize(
    ("rescue", "before"),
    [
        ("cutover/tasks/undo.yml", ["Undo | Keep every Pi from going on"]),
        ("rolling_cutover/tasks/undo_handover.yml", []),
    ],
)
def test_an_undo_looks_at_the_lock_before_it_changes_a_pi(rescue: str, before: list[str]) -> None:
    """No alert stops it, and a run that was suspended goes on before its watch knows anything."""
    steps = steps_of(rescue)
    assert steps[: steps.index(CHECK)] == before
    (check,) = tasks_of("cluster/tasks/lock_held.yml")
    assert check["pi_controller.raft_migration.quorum_watch"]["state"] == "held"
    assert check["any_errors_fatal"] is True, "a turn's block says that its failure is no other Pi's"


@pytest.mark.parametrize(
    ("owner", "removes"),
    [
        (None, True),
        ({"holder": "bert@laptop", "renewed_seconds_ago": 2.0, "expired": False}, False),
        ({"holder": "bert@laptop", "renewed_seconds_ago": 600.0, "expired": True}, True),
    ],
)
def test_a_run_that_has_just_taken_the_lock_keeps_its_folders(
    tmp_path: Path, play: Any, keep: Keep, owner: dict[str, Any] | None, removes: bool
) -> None:
    """It has no journal yet, by which migration_leftovers would know of it."""
    tasks = tasks_of("run/tasks/clean.yml")
    removed = {**keep("", tmp_path / "removed"), "when": tasks[-1]["when"]}
    # The answers of the modules are known.
    left = [task for task in tasks[:-1] if not {"register", "ansible.builtin.debug"} & task.keys()]
    known = {"raft_migration_kube": {"status": {"owner": owner}}}
    done = play([*left, removed], {"pi-1": known}, confirm=True, raft_migration_lock_name="pi-controller-lock")
    assert (tmp_path / "removed").exists() is removes, done.stdout + done.stderr
    assert removes or "bert@laptop holds the lock pi-controller-lock" in " ".join(done.stdout.split())


def watched(folder: Path, **more: Any) -> dict[str, Any]:
    """A task that makes the watch's folder one of the run it is in, with more that the watch has written about itself."""
    return {"name": "Name the run", "name_the_run": {"dest": f"{folder}/watch.json", "more": more}}


LEASE = {"raft_migration_lock_namespace": "default", "raft_migration_lock_name": "raft-migration"}
# No process that lives has it.
DEAD = {"pid": 1, "started": "another process of this number"}


def test_a_dead_watch_stops_a_rollback_at_its_check_of_the_lock(tmp_path: Path, play: Any) -> None:
    tasks = [watched(tmp_path, process=DEAD), *tasks_of("cluster/tasks/lock_held.yml")]
    done = play(tasks, {"pi-1": {}}, raft_migration_watch_dir=str(tmp_path), **LEASE)
    assert done.returncode != 0
    assert "the quorum watch ended unexpectedly: no reason is known" in done.stdout


@pytest.mark.parametrize("wrapper", [("timeout", "300"), ("flock", "lock")])
def test_under_a_wrapper_a_lock_that_was_not_renewed_stops_the_commit(
    tmp_path: Path, play: Any, wrapper: tuple[str, ...]
) -> None:
    """The process that has `ansible-playbook` in its command line, and counts as the run, is the wrapper's."""
    (tmp_path / "watch").mkdir()
    (commit,) = tasks_of("cutover/tasks/commit.yml")
    *_leader, lock = commit["when"]
    commits = {"name": "Commit", "ansible.builtin.debug": {"msg": "it commits"}, "when": lock}
    tasks = [watched(tmp_path / "watch", lock={"renewed": -3600.0, "good_for": 30.0}), commits]
    done = play(tasks, {"pi-1": {}}, wrapper, raft_migration_watch_dir=str(tmp_path / "watch"))
    assert done.returncode != 0, done.stdout + done.stderr
    assert "it is unknown whether this run still holds the migration lock" in " ".join(done.stdout.split())
    assert '"msg": "it commits"' not in done.stdout


@pytest.mark.parametrize("kind", ["lock_lost", "leader_lost"])
def test_a_run_that_lost_its_lock_leaves_the_journals_alone(tmp_path: Path, play: Any, kind: str) -> None:
    watch, backups = tmp_path / "watch", tmp_path / "backups"
    watch.mkdir()
    alert = {"at": 2.0, "kind": kind, "cluster": None, "phase": None, "message": "taken", "began": 1.0, "ended": None}
    (watch / "order.json").write_text('{"watch": {}}')
    (watch / "alerts.jsonl").write_text(json.dumps(alert) + "\n")
    failing = {"name": "A task of a phase", "ansible.builtin.fail": {"msg": "it failed"}}
    variables = {
        "raft_migration_phase": "transfer",
        "raft_migration_watch_dir": str(watch),
        "raft_migration_journal_path": f"{backups}/journal.json",
        "raft_migration_peers": ["pi-1"],
    }
    phase = {"block": [failing], "rescue": tasks_of("run/tasks/failed.yml"), "vars": variables}
    shown = {
        "ansible.builtin.debug": {"msg": "{{ raft_migration_failure.task }}: {{ raft_migration_failure.message }}"}
    }
    done = play([watched(watch), phase, shown], {"pi-1": {}})
    assert "A task of a phase: it failed" in done.stdout, done.stdout + done.stderr
    assert (backups / "journal.json").exists() == (kind != "lock_lost")


@pytest.mark.parametrize(
    ("opening", "ended", "goes_on", "shown"),
    [
        (True, 12.7, True, "it goes on"),
        (False, 12.7, False, "no leader (it was over after 11.7 s)"),
        (True, None, False, "no leader. Waiting up to 1 s for it to be over ..."),
    ],
)
def test_k11_past_the_opening_a_lost_leader_is_waited_out(
    tmp_path: Path, play: Any, opening: bool, ended: float | None, goes_on: bool, shown: str
) -> None:
    watch = tmp_path / "watch"
    watch.mkdir()
    (watch / "order.json").write_text('{"watch": {"new": {}}}')
    alert = {
        "at": 2.0,
        "kind": "leader_lost",
        "cluster": "new",
        "phase": "port_migration",
        "message": "no leader",
        "began": 1.0,
        "ended": ended,
    }
    (watch / "alerts.jsonl").write_text(json.dumps(alert) + "\n")
    phase = {
        "name": "A task of a phase",
        "ansible.builtin.debug": {"msg": "it goes on"},
        "environment": "{{ raft_migration_alerts }}",
        "vars": {"raft_migration_stoppable": True},
    }
    known = {"ansible.builtin.include_vars": {"file": str(ROLES / "run/vars/main.yml")}}
    facts = {
        "raft_migration_watch_dir": str(watch),
        "raft_migration_recorded": {"opening": opening},
        "raft_migration_outage_limit": 1,
    }
    done = play([watched(watch), known, {"ansible.builtin.set_fact": facts}, phase], {"pi-1": {}, "pi-2": {}})
    assert (done.returncode == 0) == goes_on, done.stdout + done.stderr
    assert shown in done.stdout
    assert ("it goes on" in done.stdout) == goes_on
    # Both hosts wait, and one of them says so.
    assert done.stdout.count("Waiting up to") == (1 if ended is None else 0)


RESTRICTED = {
    "privileged": False,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def test_l7_an_unprivileged_container_has_no_capabilities(evaluate: Callable[..., list[Any]]) -> None:
    known = yaml.safe_load((ROLES / "cluster/vars/main.yml").read_text())
    restricted = {"vars": {name: known[name] for name in ("raft_migration_restricted_container",)}}
    given = [
        {},
        {"privileged": False},
        {"runAsUser": 7},
        {"capabilities": {"add": ["SYS_RAWIO"]}},
        {"privileged": True},
    ]
    cases = [{"raft_migration_security_context": context, "raft_migration_run_as": {}} for context in given]
    found = evaluate("cutover", known["raft_migration_container_security"], cases, restricted)
    assert found[:2] == [RESTRICTED, RESTRICTED]
    assert found[2] == {**RESTRICTED, "runAsUser": 7}
    assert found[3] == {**RESTRICTED, "capabilities": {"drop": ["ALL"], "add": ["SYS_RAWIO"]}}
    assert found[4] == {"privileged": True}
    assert "raft_migration_container_security" in (ROLES / "cluster/templates/daemonset.yml.j2").read_text()


@pytest.mark.parametrize("behaviour", ["replace", "merge"])
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"privileged": True}),
        ({"pi_controller_security_context": None}, {"privileged": True}),
        ({"pi_controller_security_context": {}}, RESTRICTED),
        ({"pi_controller_security_context": {"runAsUser": 7}}, {**RESTRICTED, "runAsUser": 7}),
    ],
)
def test_a_mapping_of_the_owner_replaces_the_default_as_it_is(
    tmp_path: Path,
    play: Any,
    keep: Keep,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    given: dict[str, Any],
    wanted: dict[str, Any],
) -> None:
    monkeypatch.setenv("ANSIBLE_HASH_BEHAVIOUR", behaviour)
    found = keep("{{ raft_migration_container_security | to_json }}", tmp_path / "found.json")
    (tmp_path / "roles/cluster/tasks").mkdir(parents=True)
    for part in ("defaults", "vars"):
        (tmp_path / "roles/cluster" / part).symlink_to(ROLES / "cluster" / part)
    (tmp_path / "roles/cluster/tasks/main.yml").write_text(json.dumps([found]))
    done = play([{"ansible.builtin.include_role": {"name": "cluster"}}], {"pi-1": given}, raft_migration_run_as={})
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "found.json").read_text()) == wanted


# What the collection asks of the API, by reading its calls: KubeApi.items is `list`, read `get`, replace `update`. k8s_object looks with
# `get` first, then makes `create` or `update` of it; `state: absent` is `get` and `delete`. A dry run needs the right of the real call.
CALLS = {
    ("", "nodes"): {"list"},
    ("", "pods"): {"list", "get", "create", "update", "delete"},
    ("", "namespaces"): {"get"},
    ("", "events"): {"list"},
    ("", "services"): {"list", "get", "create", "update"},
    ("", "endpoints"): {"get", "create", "update"},
    ("apps", "daemonsets"): {"get", "create", "update", "delete"},
    ("apps", "controllerrevisions"): {"list"},
    ("discovery.k8s.io", "endpointslices"): {"list", "create", "update", "delete"},
    ("networking.k8s.io", "ingresses"): {"list"},
    ("coordination.k8s.io", "leases"): {"get", "create", "update", "delete"},
}


def test_l6_no_right_is_granted_that_no_call_needs() -> None:
    granted: dict[tuple[str, str], set[str]] = {}
    for item in yaml.safe_load((CHECKOUT / "docs/rbac.yml").read_text())["items"]:
        for rule in item.get("rules", []):
            assert not {"*", "escalate", "bind", "impersonate"} & {
                *rule["verbs"],
                *rule["resources"],
                *rule["apiGroups"],
            }
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    granted.setdefault((group, resource), set()).update(rule["verbs"])
            if item["kind"] == "ClusterRole" and not set(rule["verbs"]) <= {"get", "list"}:
                assert rule["resourceNames"] == ["pi-controller"], "outside of its namespace nothing is changed"
    assert granted == CALLS


def test_k8_the_kubelet_does_not_evict_the_pods() -> None:
    template = (ROLES / "cluster/templates/daemonset.yml.j2").read_text()
    assert "priorityClassName: {{ pi_controller_priority_class }}" in template
    assert (
        yaml.safe_load((ROLES / "cluster/defaults/main.yml").read_text())["pi_controller_priority_class"]
        == "system-node-critical"
    )
