# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback of all Pis at once after the opening, in a real ansible-playbook with actions that only write down how they were called.

The journals are real files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, import_plugin
from flaky_runs import CONNECTION, REACH, calls_in, run_play
from test_rolling_cutover import ADDRESSES, HERE, PIS

journals = import_plugin("module_utils._core.journal")
REAL = ("migration_journal", "migration_journal_info")
FULL = ["snapshot", "restore", "transfer", "read-only"]
EARLIER = ("prepare", "transfer", "validate")
TEMPORARY, STANDARD = "8082", "8080"

RECORDER = """
import json
from pathlib import Path
from ansible.plugins.action import ActionBase
from ansible_collections.pi_controller.raft_migration.plugins.plugin_utils import preload  # as the collection's own actions do

NAME, WORLD, ADDRESSES = {name!r}, Path({world!r}), {addresses!r}

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        reach(self._play_context.remote_addr)
        host, check = self._task.delegate_to or task_vars["inventory_hostname"], self._task.check_mode
        asked = json.loads(json.dumps(self._task.args))
        state = json.loads((WORLD / "state.json").read_text())
        if asked.get("state") == "held" and state["lock_lost_after"] in (WORLD / "calls.jsonl").read_text().split('"'):
            return {{"failed": True, "msg": "lock lost"}}
        with (WORLD / "calls.jsonl").open("a") as log:
            log.write(json.dumps({{"module": NAME, "host": host, "check": check, "args": asked}}) + "\\n")
        call = NAME + (" --check" if check else "")
        if state["away_after"] == [call, host]:
            (WORLD / "away" / host).touch()
        if state["fails"] == [call, host]:
            return {{"failed": True, "msg": "refused"}}
        log = map(json.loads, (WORLD / "calls.jsonl").read_text().splitlines())
        closed = any(call["module"] == "traffic_gate" and call["host"] == host and not call["check"] for call in log)
        wrote = state["wrote"] == host and closed
        if NAME == "raft_info":
            answers = [url for url in asked["urls"] if url.rpartition(":")[2] in state["answers"][host]]
            leads = host == "pi-1"
            leader = {{"id": "pi-1", "address": ADDRESSES["pi-1"] + ":9091", "url": answers[0] if leads and answers else None}}
            return {{
                "changed": False,
                "failed": not answers,
                "term": 6 if wrote else 5,
                "leader": leader if answers else None,
                "members": [{{"id": "pi-1", "role": "leader", "lag": 0}}],
                "capabilities": state["capabilities"] if answers else [],
                "unanswered": [{{"url": url, "error": "no answer"}} for url in asked["urls"] if url not in answers],
            }}
        if NAME == "unit_state" and check:
            return {{"changed": state["unit_runs"], "unit": {{}}}}
        held = {{"digest": "beef" if wrote else "cafe", "sha256": "ab", "path": "/x"}}
        resources = state["daemonsets"]
        known = {{"previous_stays": host in state["stays"]}} if NAME == "traffic_gate" else {{}}
        if NAME == "raft_fence":
            known = {{"after": dict.fromkeys(asked["urls"], asked["enabled"])}}
        return {{"changed": not check, "resources": resources, **known, **(held if NAME.startswith(("sqlite", "raft_snapshot")) else {{}})}}
"""
# Of the role `finish` and what comes with it nothing is looked at here.
FINISH = "- name: Finish\n  pi_controller.raft_migration.unit_state: {state: finished}\n"


class World:
    """Three Pis past the opening; pods are on the temporary ports unless `moved` says otherwise."""

    def __init__(self, folder: Path, ansible_playbook: str) -> None:
        self.folder, self.tool = folder, ansible_playbook
        for name in ("away", "connection_plugins"):
            (folder / name).mkdir()
        (folder / "connection_plugins/flaky.py").write_text(CONNECTION)
        ours = folder / "collections/ansible_collections/pi_controller/raft_migration"
        for name in ("modules", "action"):
            (ours / "plugins" / name).mkdir(parents=True)
        for name in ("meta", "galaxy.yml"):
            (ours / name).symlink_to(CHECKOUT / name)
        for name in ("filter", "lookup", "module_utils", "plugin_utils", "doc_fragments"):
            (ours / "plugins" / name).symlink_to(CHECKOUT / "plugins" / name)
        for role in (CHECKOUT / "roles").iterdir():
            (ours / "roles" / role.name).parent.mkdir(exist_ok=True)
            if role.name != "rollback":
                (ours / "roles" / role.name).symlink_to(role)
        for part in (CHECKOUT / "roles/rollback").iterdir():
            (ours / "roles/rollback").mkdir(exist_ok=True)
            if part.name != "tasks":
                (ours / "roles/rollback" / part.name).symlink_to(part)
        tasks = ours / "roles/rollback/tasks"
        tasks.mkdir()
        for file in (CHECKOUT / "roles/rollback/tasks").iterdir():
            if file.name != "finish.yml":
                (tasks / file.name).symlink_to(file)
        (tasks / "finish.yml").write_text(FINISH)
        for path in (CHECKOUT / "plugins/modules").glob("*.py"):
            name = path.stem
            (ours / f"plugins/modules/{path.name}").symlink_to(path)
            text = (
                HERE.format(name=name, tmp=str(folder / "tmp"))
                if name in REAL
                else RECORDER.format(name=name, world=str(folder), addresses=ADDRESSES)
            )
            (ours / f"plugins/action/{path.name}").write_text(REACH + text)
        self.state: dict[str, Any] = {
            "fails": [],
            "away_after": [],
            "lock_lost_after": None,
            "capabilities": FULL,
            "unit_runs": False,
            "daemonsets": [{"metadata": {"name": "pi-controller"}}],
            "answers": dict.fromkeys(PIS, [TEMPORARY, STANDARD]),
            # The Pis whose gate an earlier run has closed for good; whose unit took a write just before its gate was closed.
            "stays": list(PIS),
            "wrote": "",
        }
        self.begin()

    def journal(self, pi: str) -> Path:
        return self.folder / pi / "journal.json"

    def begin(self, *done: str, facts: Mapping[str, Any] | None = None, on: Sequence[str] = PIS) -> None:
        """The opening is recorded by these Pis, and these phases are done after it."""
        committed = {"opening": True, "fence": "read-only", "content_digest": "cafe", "old_term": 5, **(facts or {})}
        for pi in PIS:
            opened = committed if pi in on else {}
            known = None
            for phase in EARLIER:
                known = journals.marked(known, phase, "done", {}, "m-1", journals.now(), "parallel")
            known = journals.marked(known, "cutover", "done" if done else "started", opened, "m-1", journals.now())
            for phase in done:
                known = journals.marked(known, phase, "done", {}, "m-1", journals.now())
            journals.save(self.journal(pi), known)

    def half_moved(self) -> None:
        """A port migration that was killed: the pods of pi-1 and pi-2 are on the standard ports, the units are masked."""
        self.begin("cutover", "systemd_shutdown")
        for pi in PIS:
            state = "started" if pi == "pi-3" else "done"
            known = journals.load(self.journal(pi))
            journals.save(self.journal(pi), journals.marked(known, "port_migration", state, {}, "m-1", journals.now()))
        self.state["answers"] = {"pi-1": [STANDARD], "pi-2": [STANDARD], "pi-3": [TEMPORARY]}

    def run(self, phase: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
        """The rollback; with a phase, what comes after that one has failed."""
        (self.folder / "state.json").write_text(json.dumps(self.state))
        (self.folder / "calls.jsonl").write_text("")
        local = f"{{{{ {{'backup_path': '{self.folder}/' ~ inventory_hostname}} | pi_controller.raft_migration.migration_config }}}}"
        facts = {
            "raft_migration": local,
            "raft_migration_node": "node-{{ inventory_hostname }}",
            "raft_migration_endpoint": {"ip": "{{ raft_migration_address }}"},
            "raft_migration_id": "m-1",
            "raft_migration_run_at": "20260102T030405Z",
        }
        read = {
            "pi_controller.raft_migration.migration_journal_info": {
                "path": f"{self.folder}/{{{{ inventory_hostname }}}}/journal.json"
            },
            "register": "raft_migration_journal_read",
        }
        role = {"name": "pi_controller.raft_migration.run", "tasks_from": "rollback"}
        stopped = {"msg": "OUTCOME {{ raft_migration_rollback_outcome | default('none') }}"}
        tasks = [
            {"ansible.builtin.set_fact": facts},
            read,
            *(
                [
                    {
                        "ansible.builtin.import_role": {**role, "tasks_from": "phase"},
                        "vars": {"raft_migration_phase": phase},
                    }
                ]
                if phase
                else []
            ),
            {"ansible.builtin.import_role": role},
            {"ansible.builtin.debug": stopped},
        ]
        play = [{"hosts": "all", "gather_facts": False, "any_errors_fatal": True, "tasks": tasks}]
        (self.folder / "play.json").write_text(json.dumps(play))
        common = {
            "ansible_connection": "flaky",
            "ansible_python_interpreter": sys.executable,
            "raft_migration_hosts": "k3s_cluster",
            "raft_migration_control_dir": str(self.folder / "control"),
            **more,
        }
        hosts = {pi: {"raft_migration_address": ADDRESSES[pi]} for pi in PIS}
        inventory = {"all": {"children": {"k3s_cluster": {"hosts": hosts, "vars": common}}}}
        (self.folder / "hosts.json").write_text(json.dumps(inventory))
        return run_play(self.tool, self.folder)

    @property
    def calls(self) -> list[dict[str, Any]]:
        return calls_in(self.folder)

    def gates(self, pi: str) -> list[str]:
        """What this Pi's gate was set to, in order; a pod that was made read-only or writable counts as well."""
        found = []
        for call in self.calls:
            if call["host"] == pi and call["module"] == "traffic_gate" and not call["check"]:
                lasts = " for good" if call["args"].get("persist") else " for now" if "lease" in call["args"] else ""
                found.append(call["args"]["state"] + lasts)
            elif call["host"] == pi and call["module"] == "raft_fence" and ADDRESSES[pi] in str(call["args"]["urls"]):
                found.append("read-only" if call["args"]["enabled"] else "writable")
        return found

    def called(self, module: str, **asked: Any) -> list[str]:
        """The hosts of the calls that may change something."""
        return [
            call["host"]
            for call in self.calls
            if call["module"] == module and not call["check"] and asked.items() <= call["args"].items()
        ]

    def recorded(self, pi: str) -> dict[str, Any]:
        rollback: dict[str, Any] = journals.load(self.journal(pi))["phases"].get("rollback", {"facts": {}})["facts"]
        return rollback


@pytest.fixture
def world(tmp_path: Path, ansible_playbook: str) -> World:
    return World(tmp_path, ansible_playbook)


SHUT = {"full": "read-only", "upstream": "fenced for good"}


def test_a_rollback_beside_the_pods_reopens_none(world: World) -> None:
    done = world.run()
    assert "OUTCOME done" in done.stdout, done.stdout[-4000:] + done.stderr
    assert [world.gates(pi) for pi in PIS] == [["redirected for good", "read-only"]] * 3
    assert all(world.recorded(pi)["opening"] for pi in PIS)
    assert sorted(world.called("unit_state", state="finished")) == list(PIS)
    # What is restored is what was checked.
    moves = [(call["check"], call["args"]["src"]) for call in world.calls if call["module"] == "folder_move"]
    archive = "/var/lib/pi-controller.systemd.backup"
    assert moves == [(True, archive)] * 3 + [(False, archive)] * 3


@pytest.mark.parametrize("phase", ["", "systemd_shutdown"])
def test_p5_a_unit_that_took_a_write_without_its_gate_is_named(world: World, phase: str) -> None:
    """A firewall that was loaded again. The gate is closed by the time that the rollback of the failed phase looks."""
    world.begin("cutover")
    world.state.update(stays=["pi-1", "pi-3"], wrote="pi-2")
    done = world.run(phase)
    text = " ".join(done.stdout.split())
    assert "The gate that keeps clients from the unit was gone on pi-2" in text, done.stdout[-4000:] + done.stderr
    assert "the unit on pi-2 is in term 6 and holds content beef" in text
    assert "OUTCOME Gate | Check that no unit has taken a write since the cutover" in text
    # For good with the verdict: a run that dies before leaves a gate that the next one finds gone.
    closed = ["redirected for now", "redirected for good"]
    assert [world.gates(pi)[:2] for pi in PIS] == [[], closed, []]
    assert world.called("unit_state") == world.called("sqlite_backup") == world.called("raft_fence") == []
    assert all("rollback" not in journals.load(world.journal(pi))["phases"] for pi in PIS)


def test_p5_without_a_verdict_a_gate_is_closed_for_now_only(world: World) -> None:
    """A Pi that drops out meanwhile: the rollback that follows, or the next run, looks once more."""
    world.begin("cutover")
    world.state.update(stays=["pi-1", "pi-3"], away_after=["traffic_gate", "pi-2"])
    done = world.run()
    assert "OUTCOME done" not in done.stdout
    assert world.gates("pi-2") == ["redirected for now"], done.stdout[-4000:]
    assert world.called("sqlite_backup") == world.called("raft_fence") == []


@pytest.mark.parametrize("phase", ["", "systemd_shutdown"])
def test_p5_a_gate_that_was_gone_without_a_write_is_closed_again(world: World, phase: str) -> None:
    world.begin("cutover")
    world.state.update(stays=["pi-1", "pi-3"], fails=["unit_state", "pi-1"] if phase else [])
    done = world.run(phase)
    assert "was gone" not in done.stdout
    assert world.gates("pi-2")[:2] == ["redirected for now", "redirected for good"], done.stdout[-4000:]
    assert world.gates("pi-1")[:1] == ["redirected for good"], "by the rollback"
    if phase:
        assert world.called("unit_state", state="masked") != []
    else:
        assert "OUTCOME done" in done.stdout


@pytest.mark.parametrize(
    ("profile", "fails"), [("full", ["raft_snapshot", "pi-1"]), ("upstream", ["private_put", "pi-2"])]
)
def test_a_failure_beside_the_pods_reopens_them(world: World, profile: str, fails: list[str]) -> None:
    """No snapshot or no restore of it, and no room for what was saved."""
    world.state.update(fails=fails, capabilities=FULL if profile == "full" else [])
    done = world.run()
    assert "refused" in done.stdout, done.stdout[-4000:] + done.stderr
    after = ["redirected for good"] + ["writable"] * 2 * (profile == "full")
    for pi in PIS:
        assert world.gates(pi) == ["redirected for good", SHUT[profile], *after], done.stdout[-6000:]
        assert "opening" not in world.recorded(pi)
    assert "before any unit took a write. The pods serve reads and writes again" in done.stdout.replace("\n", " ")
    assert world.called("unit_state", state="finished") == []


def test_a_restore_into_the_units_that_fails_reopens_the_pods(world: World) -> None:
    world.state.update(fails=["sqlite_backup", "pi-3"], capabilities=[])
    done = world.run()
    assert "Restore the pods' content into every unit's database" in done.stdout.replace("\n", " "), done.stdout[-4000:]
    assert [world.gates(pi)[-1] for pi in PIS] == ["redirected for good"] * 3
    assert not any("opening" in world.recorded(pi) for pi in PIS)


@pytest.mark.parametrize("profile", ["full", "upstream"])
def test_a_failure_before_the_pods_stop_reopens_each_where_it_is(world: World, profile: str) -> None:
    """With pods on either port."""
    world.half_moved()
    world.state["capabilities"] = FULL if profile == "full" else []
    world.state["fails"] = ["private_put", "pi-2"]
    done = world.run()
    assert "refused" in done.stdout, done.stdout[-4000:] + done.stderr
    writable = ["writable"] * 2 * (profile == "full")
    assert world.gates("pi-1") == world.gates("pi-2") == [SHUT[profile], "open", *writable], done.stdout[-6000:]
    assert world.gates("pi-3") == [SHUT[profile], "redirected for good", *writable]
    assert world.called("k8s_object", state="absent") == []


def test_pods_that_were_never_fenced_stay_as_they_are(world: World) -> None:
    """No majority of them follows a leader: only a pod that has one gets its clients back."""
    world.half_moved()
    world.state["answers"] = {"pi-1": [STANDARD], "pi-2": [], "pi-3": []}
    done = world.run()
    assert "a majority of 3 is wanted" in done.stdout.replace("\n", " "), done.stdout[-4000:] + done.stderr
    assert [world.gates(pi) for pi in PIS] == [["open", "writable", "writable"], [], []]


def test_a_unit_in_the_pods_place_is_not_opened(world: World) -> None:
    """An earlier run had stopped the pods, and the DaemonSet was applied again."""
    world.half_moved()
    world.state.update(unit_runs=True, fails=["private_put", "pi-2"], capabilities=[])
    world.run()
    assert world.gates("pi-1") == world.gates("pi-2") == ["fenced for good"]


@pytest.mark.parametrize("daemonsets", [[], [{"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}]])
def test_without_pods_nothing_is_reopened(world: World, daemonsets: list[Any]) -> None:
    world.half_moved()
    world.state.update(daemonsets=daemonsets, fails=["private_put", "pi-2"])
    done = world.run()
    assert "No pod is left that could serve" in done.stdout.replace("\n", " "), done.stdout[-4000:] + done.stderr
    assert not {"open", "writable", "redirected for good"} & {gate for pi in PIS for gate in world.gates(pi)}


def test_a_lost_lock_reopens_nothing(world: World) -> None:
    """Another run may have made the pods read-only by then."""
    world.state.update(fails=["private_put", "pi-2"], lock_lost_after="private_put")
    done = world.run()
    assert "lock lost" in done.stdout, done.stdout[-4000:] + done.stderr
    assert [world.gates(pi) for pi in PIS] == [["redirected for good", "read-only"]] * 3


def test_a_pi_that_does_not_answer_keeps_no_other_shut(world: World) -> None:
    world.state["away_after"] = ["private_put", "pi-3"]
    done = world.run()
    assert "no route to host" in done.stdout, done.stdout[-4000:] + done.stderr
    for pi in ("pi-1", "pi-2"):
        assert world.gates(pi) == ["redirected for good", "read-only", "redirected for good", "writable", "writable"]
    everywhere = [call["args"]["urls"] for call in world.calls if call["module"] == "raft_fence"][-1]
    assert f"http://{ADDRESSES['pi-3']}:8082" in everywhere, "its pod is asked from the others"


def test_a_pi_that_is_back_after_the_last_step_does_not_go_on(world: World) -> None:
    """The next thing it would do is to record that the units may accept writes."""
    world.state.update(away_after=["sqlite_backup", "pi-3"], capabilities=[])
    done = world.run()
    assert "no route to host" in done.stdout, done.stdout[-4000:] + done.stderr
    assert [world.gates(pi)[-1] for pi in PIS] == ["redirected for good", "redirected for good", "fenced for good"]
    assert not any("opening" in world.recorded(pi) for pi in PIS)
    assert world.called("unit_state", state="finished") == []


@pytest.mark.parametrize("reopened", [True, False])
def test_a_saved_state_is_old_once_the_pods_took_writes(world: World, reopened: bool) -> None:
    """A DaemonSet that was deleted after a rollback had reopened its pods, and one that a rollback itself has stopped."""
    world.half_moved()
    # It fails after the state is saved: at the fence of pods and units, or when the pods stop.
    world.state["fails"] = ["traffic_gate" if reopened else "k8s_object", "pi-2" if reopened else "localhost"]
    first = world.run()
    if not reopened:
        assert "Pods | Stop all: refused" in first.stdout, first.stdout[-4000:] + first.stderr
        assert world.gates("pi-1") == ["read-only", "fenced for good"]
    assert all(world.recorded(pi)["taken"]["run"] == "20260102T030405Z" for pi in PIS), first.stdout[-4000:]
    world.state.update(fails=[], daemonsets=[], answers=dict.fromkeys(PIS, [STANDARD]))
    done = world.run()
    refused = "no rollback has saved its last state" in done.stdout.replace("\n", " ")
    assert refused == reopened, done.stdout[-4000:] + done.stderr
    assert bool(world.called("folder_move")) == (not reopened)


@pytest.mark.parametrize(
    ("fence", "done", "gates"),
    [
        ("network", (), ["fenced for good"] * 3 + ["redirected for good"] * 3),
        ("network", ("cutover",), ["redirected for good"] * 3),
        ("read-only", (), ["redirected for good"] * 3),
    ],
)
def test_every_pi_is_closed_before_one_is_opened(
    world: World, fence: str, done: tuple[str, ...], gates: list[str]
) -> None:
    """The leases of a run that died after its commit have ended, and with the network as the fence its pods take writes."""
    world.begin(*done, facts={"fence": fence})
    world.state["fails"] = ["folder_move", "pi-1"]
    run = world.run()
    assert "refused" in run.stdout, run.stdout[-4000:] + run.stderr
    found = [call["args"] for call in world.calls if call["module"] == "traffic_gate" and not call["check"]]
    assert [gate["state"] + (" for good" if gate.get("persist") else "") for gate in found] == gates


@pytest.mark.parametrize("fence", ["network", "read-only"])
def test_a_unit_that_wrote_before_its_gate_closed_is_not_overwritten(world: World, fence: str) -> None:
    """The run has died after its commit on pi-1, and the unit of pi-2 was elected between the proof and the closed gates."""
    world.begin(facts={"fence": fence}, on=["pi-1"])
    world.state.update(stays=["pi-1"], wrote="pi-2")
    done = world.run()
    text = " ".join(done.stdout.split())
    assert "the pods were opened to writes, but the unit on pi-2 is in term 6" in text, (
        done.stdout[-6000:] + done.stderr
    )
    closed = "fenced for now" if fence == "network" else "redirected for now"
    assert world.gates("pi-1") == ([] if fence == "network" else ["read-only"])
    assert world.gates("pi-2") == world.gates("pi-3") == [closed, "open"]
    assert world.called("folder_move") == world.called("unit_state") == world.called("private_put") == []


@pytest.mark.parametrize("fence", ["network", "read-only"])
def test_gates_stay_only_where_they_held_since_the_proof(world: World, fence: str) -> None:
    world.begin(facts={"fence": fence}, on=["pi-1"])
    world.state.update(stays=["pi-1"], fails=["folder_move", "pi-1"])
    done = world.run()
    closed = ["fenced for now", "fenced for good"] if fence == "network" else ["redirected for now"]
    assert world.gates("pi-2") == [*closed, "redirected for good"], done.stdout[-6000:] + done.stderr
    stay = [call["args"] for call in world.calls if call["module"] == "traffic_gate" and call["args"].get("persist")]
    assert [gate["lease"] for gate in stay] == [{"held": True}] * 3 * len(closed)


@pytest.mark.parametrize("moved", [False, True])
def test_units_data_that_cannot_be_restored_is_refused_first(world: World, moved: bool) -> None:
    """A mistyped restore_from or an archive that the owner has moved, with pods on either ports."""
    if moved:
        world.half_moved()
    world.state["fails"] = ["folder_move --check", "pi-2"]
    done = world.run(restore_from="/mnt/usb/archive")
    assert "each unit's data can be restored: refused" in done.stdout.replace("\n", " "), (
        done.stdout[-4000:] + done.stderr
    )
    (looked,) = {json.dumps(call["args"], sort_keys=True) for call in world.calls if call["module"] == "folder_move"}
    assert json.loads(looked) == {"src": "/mnt/usb/archive", "dest": "/var/lib/pi-controller"}
    assert [world.gates(pi) for pi in PIS] == [[], [], []]
    assert not any(world.recorded(pi) for pi in PIS)
    assert world.called("unit_state") == world.called("k8s_object") == []
