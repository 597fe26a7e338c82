# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `rolling_cutover`, run by Ansible on this machine with actions in the modules' places that only write down how they were called.

The journals are real files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, import_plugin
from flaky_runs import CONNECTION, REACH, calls_in, run_play

journals = import_plugin("module_utils._core.journal")
PIS = ("pi-1", "pi-2", "pi-3")
ADDRESSES = {pi: f"10.77.0.1{pi[-1]}" for pi in PIS}
REAL = ("migration_journal", "migration_journal_info")
REPLACED = (
    "raft_info",
    "raft_membership",
    "member_traffic",
    "traffic_gate",
    "k8s_daemonset_nodes",
    "k8s_object",
    "pod_config",
    "unit_state",
    "k8s_daemonset_pod",
    "k8s_daemonset_pod_aside",
    "k8s_daemonset_pod_info",
    "k8s_port_swap",
    "kube_proxy_info",
    "unit_handover",
    "unit_takeover",
    "quorum_watch",
    "folder_remove",
)
# Action plugins in the places of the modules: they run in the worker that Ansible forks for a task. Three hosts with dozens of tasks would
# start hundreds of processes otherwise. Each looks first whether the Pi answers, as a module's connection does. What one module
# does one after the other is written down as calls of the modules that do one of it each.
RECORDER = """
import json
from pathlib import Path
from ansible.plugins.action import ActionBase

NAME, WORLD, ADDRESSES = {name!r}, Path({world!r}), {addresses!r}

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        reach(self._play_context.remote_addr)
        host, check = self._task.delegate_to or task_vars["inventory_hostname"], self._task.check_mode
        given = json.loads(json.dumps(self._task.args))
        known = (WORLD / "state.json").read_text()
        state, known = json.loads(known), json.loads(known)
        fails = state["fails"].get(NAME + (" --check" if check else ""), {{}}).get(host)
        if state.get("away_after") == [NAME, host] and not check:
            (WORLD / "away" / host).touch()
        ports = state.get("ports", {{}})
        # Where each pod is, and where the list of members has it, if that is another port.
        listed = {{**ports, **state.get("listed", {{}})}}
        members = [
            {{
                "id": pi,
                "address": f"{{ADDRESSES[pi]}}:{{listed.get(pi, 9091)}}",
                "in_contact": True,
                "url": f"http://{{ADDRESSES[pi]}}:{{8080 if ports.get(pi, 9091) == 9091 else 8082}}",
            }}
            for pi in ADDRESSES
        ]
        (leader,) = [{{**member, "host": member["id"]}} for member in members if member["id"] == state["leader"]]
        can = state.get("capabilities", ["transfer"])
        answers = {{
            "raft_info": {{"leader": leader, "members": members, "capabilities": can, "unanswered": []}},
            "member_traffic": {{"leader": leader, "members": members, "capabilities": can, "unanswered": [], "gate": None}},
            "unit_handover": {{"changed": True, "away": {{"from": 1767225600.5, "seconds": 1.25}}, "gate": None}},
            "k8s_daemonset_pod_aside": {{"changed": True, "pod": "p", "current": False, "ready": True}},
        }}
        answer, calls = answers.get(NAME, {{"changed": True}}), [(NAME, given)]
        # It may be one state of a module that fails, and a list has what becomes of each call.
        fails = fails or state["fails"].get(f"{{NAME}} {{given.get('state')}}", {{}}).get(host)
        if isinstance(fails, list):
            fails = fails.pop(0) if fails else None
        handed = state.get("handed", [])
        if NAME == "unit_handover":
            answer["steps"] = [] if host in handed else [{{"step": "rename"}}]
            if not check and not fails:
                state["handed"] = [*handed, host]
        if fails:
            answer = {{**answer, "failed": True, "msg": fails}}
        elif NAME in ("member_traffic", "unit_handover") and given and not check:
            stays = False
            if leader["host"] == host and given.get("successor"):
                stays = "transfer" not in can
                if not stays:
                    (state["leader"],) = [pi for pi in ADDRESSES if ADDRESSES[pi] == given["successor"]]
                    calls.append(("raft_membership", {{"state": "leader", "node_id": state["leader"]}}))
            gate, gates = given.get("gate"), state.setdefault("gates", {{}})
            if gate and not (stays and given.get("keep_leaders_gate")):
                answer["gate"] = {{"began": 1767225600.25, "ended": 1767225602.75}}
                if gates.get(host) != gate["state"]:
                    calls.insert(0 if NAME == "unit_handover" else len(calls), ("traffic_gate", gate))
                gates[host] = gate["state"]
        # Never by several Pis at once: all of them only look.
        if state != known:
            (WORLD / "state.json").write_text(json.dumps(state))
        with (WORLD / "calls.jsonl").open("a") as log:
            for module, args in calls:
                log.write(json.dumps({{"module": module, "host": host, "check": check, "args": args}}) + "\\n")
        return answer
"""
# The module itself, in this process.
HERE = """
import contextlib, io, json
from ansible.module_utils.testing import patch_module_args
from ansible.plugins.action import ActionBase
from ansible_collections.pi_controller.raft_migration.plugins.modules import {name}
from ansible_collections.pi_controller.raft_migration.plugins.plugin_utils import preload  # as the collection's own actions do

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        reach(self._play_context.remote_addr)
        internal = {{
            "_ansible_check_mode": self._task.check_mode,
            "_ansible_diff": self._task.diff,
            "_ansible_remote_tmp": {tmp!r},
        }}
        arguments, printed = {{**json.loads(json.dumps(self._task.args)), **internal}}, io.StringIO()
        with patch_module_args(arguments), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            {name}.main()
        return json.loads(printed.getvalue())
"""


class World:
    """Three Pis, the calls that were made, and what fails."""

    strategy = "rolling"
    phase = "cutover"
    # Tasks between the reading of the journals and the phase.
    between: Sequence[dict[str, Any]] = ()

    def __init__(self, folder: Path, ansible_playbook: str) -> None:
        self.folder, self.tool = folder, ansible_playbook
        self.write(leader="pi-1", fails={})
        for name in ("away", "connection_plugins"):
            (folder / name).mkdir()
        (folder / "connection_plugins/flaky.py").write_text(CONNECTION)
        ours = folder / "collections/ansible_collections/pi_controller/raft_migration"
        for name in ("modules", "action"):
            (ours / "plugins" / name).mkdir(parents=True)
        for name in ("roles", "meta", "galaxy.yml"):
            (ours / name).symlink_to(CHECKOUT / name)
        for name in ("filter", "lookup", "module_utils", "plugin_utils", "doc_fragments"):
            (ours / "plugins" / name).symlink_to(CHECKOUT / "plugins" / name)
        for name in REAL:
            (ours / f"plugins/modules/{name}.py").symlink_to(CHECKOUT / f"plugins/modules/{name}.py")
            (ours / f"plugins/action/{name}.py").write_text(REACH + HERE.format(name=name, tmp=str(folder / "tmp")))
        for name in REPLACED:
            text = RECORDER.format(world=str(folder), name=name, addresses=ADDRESSES)
            (ours / f"plugins/action/{name}.py").write_text(REACH + text)

    def write(self, leader: str, fails: dict[str, dict[str, str]]) -> None:
        (self.folder / "state.json").write_text(json.dumps({"leader": leader, "fails": fails}))

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found

    def note(self, **more: Any) -> None:
        (self.folder / "state.json").write_text(json.dumps({**self.state, **more}))

    def fails(self, module: str, host: str, message: str | list[str | None]) -> None:
        """This module fails on this host with this message; with a list, the first call with its first one, and so on."""
        fails = self.state["fails"]
        fails.setdefault(module, {})[host] = message
        self.note(fails=fails)

    def away_after(self, module: str, host: str) -> None:
        """This Pi does not answer for one task after this module has run there."""
        self.note(away_after=[module, host])

    def journal(self, pi: str) -> Path:
        return self.folder / pi / "journal.json"

    def begin(self, turns: dict[str, str]) -> None:
        """All before the cutover is done, and these Pis have this turn in their journals."""
        for pi in PIS:
            known = None
            for phase in ("prepare", "transfer", "validate"):
                known = journals.marked(known, phase, "done", {}, "m-1", journals.now(), "rolling")
            if pi in turns:
                known = journals.marked(known, "cutover", "started", {"turn": turns[pi]}, "m-1", journals.now())
            journals.save(self.journal(pi), known)

    @property
    def tasks(self) -> list[dict[str, Any]]:
        return [
            {
                "pi_controller.raft_migration.migration_journal_info": {
                    "path": "{{ raft_migration.backup_path }}/journal.json"
                },
                "register": "raft_migration_journal_read",
            },
            *self.between,
            {
                "ansible.builtin.import_role": {"name": "pi_controller.raft_migration.run", "tasks_from": "phase"},
                "vars": {"raft_migration_phase": self.phase},
            },
            {
                "ansible.builtin.fail": {
                    "msg": "STOPPED {{ raft_migration_failures | map(attribute='message') | select | first }}"
                },
                "when": "raft_migration_failures | length > 0",
            },
        ]

    def run(self, peers: Sequence[str] = PIS, **more: Any) -> subprocess.CompletedProcess[str]:
        hosts = {
            pi: {
                "raft_migration_address": ADDRESSES[pi],
                "raft_migration_node": f"node-{pi}",
                "raft_migration": {
                    "backup_path": str(self.folder / pi),
                    "archive_path": "/archive",
                    "strategy": self.strategy,
                    "standard_env": {},
                    "temporary_env": {},
                    "standard_ports": {"rest": 8080, "grpc": 9090, "raft": 9091},
                    "temporary_ports": {"rest": 8082, "grpc": 9093, "raft": 9092},
                    "timeouts_seconds": {"health_timeout": 1, "phase_timeout": 600},
                    "safety": {"watch": True, "require_confirmation": False},
                },
                "raft_migration_endpoint": {"ip": ADDRESSES[pi]},
            }
            for pi in peers
        }
        common = {
            "ansible_connection": "flaky",
            "ansible_python_interpreter": sys.executable,
            "raft_migration_hosts": "k3s_cluster",
            "raft_migration_id": "m-1",
            "raft_migration_control_dir": str(self.folder / "control"),
            **more,
        }
        inventory = {"all": {"children": {"k3s_cluster": {"hosts": hosts, "vars": common}}}}
        (self.folder / "hosts.json").write_text(json.dumps(inventory))
        (self.folder / "play.json").write_text(
            json.dumps([{"hosts": "all", "gather_facts": False, "any_errors_fatal": True, "tasks": self.tasks}])
        )
        return run_play(self.tool, self.folder)

    @property
    def calls(self) -> list[dict[str, Any]]:
        return calls_in(self.folder)

    def called(self, *modules: str) -> list[tuple[str, str]]:
        """Module and host of each call that may change something, in order."""
        return [
            (call["module"], call["host"]) for call in self.calls if call["module"] in modules and not call["check"]
        ]

    def turns(self, peers: Sequence[str] = PIS) -> dict[str, Any]:
        return {
            pi: journals.load(self.journal(pi))["phases"]["cutover"]["facts"].get("turn", "waiting") for pi in peers
        }


@pytest.fixture
def world(tmp_path: Path, ansible_playbook: str) -> World:
    return World(tmp_path, ansible_playbook)


def test_followers_first_the_leader_last_after_handing_over(world: World) -> None:
    world.begin({})
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert world.called("unit_handover", "raft_membership") == [
        ("unit_handover", "pi-2"),
        ("unit_handover", "pi-3"),
        ("raft_membership", "pi-1"),
        ("unit_handover", "pi-1"),
    ]
    assert world.turns() == dict.fromkeys(PIS, "done")
    facts = journals.load(world.journal("pi-2"))["phases"]["cutover"]["facts"]
    assert (float(facts["away_from"]), float(facts["away_seconds"])) == (1767225600.5, 1.25)


@pytest.mark.parametrize(("takes_writes", "wanted"), [(True, (1767225600.25, 1767225602.75)), ("false", None)])
def test_d2_how_long_a_pis_clients_were_refused_is_recorded(world: World, takes_writes: Any, wanted: Any) -> None:
    """Where every Pi keeps its data to itself, its clients are routed to no other one."""
    world.begin({"pi-1": "done", "pi-3": "done"})
    done = world.run(pi_controller_followers_write=takes_writes)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    facts = journals.load(world.journal("pi-2"))["phases"]["cutover"]["facts"]
    assert (
        tuple(float(facts[name]) for name in ("refused_from", "refused_to")) if "refused_to" in facts else None
    ) == wanted


def test_the_run_that_begins_goes_by_what_validate_has_seen(world: World) -> None:
    world.begin({})
    seen = {"leader": {"address": f"{ADDRESSES['pi-2']}:9091"}}
    known = {"raft_migration_resumes": False, "raft_migration_looked_old": seen}
    world.between = [{"ansible.builtin.set_fact": known}]
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert [pi for _module, pi in world.called("unit_handover")] == ["pi-1", "pi-3", "pi-2"]
    assert world.called("raft_info") == []


def test_each_turn_is_in_its_order_on_its_pi(world: World) -> None:
    """Clients leave before the unit stops, the pod waits for it, and clients return once the member has caught up."""
    world.begin({"pi-1": "done", "pi-3": "done"})
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    turn = [
        (call["module"], call["args"].get("state") or call["args"].get("wait_for"))
        for call in world.calls
        if not call["check"]
    ]
    wanted = [
        ("k8s_port_swap", None),
        ("kube_proxy_info", None),
        ("member_traffic", "away"),
        ("traffic_gate", "forwarded"),
        ("k8s_daemonset_nodes", "accepted"),
        ("unit_handover", None),
        ("member_traffic", "back"),
        ("traffic_gate", "open"),
    ]
    places = [turn.index(step) for step in wanted]
    assert places == sorted(places), turn
    away, back = (call["args"]["wait_for"] for call in world.calls if call["module"] == "member_traffic")
    assert away == {"leader": True, "caught_up_at": ["10.77.0.11", "10.77.0.13"], "learners": True}
    assert back == {"leader": True, "learners": True, "voters": 3, "caught_up": True}
    # Its own member is what its clients wait for.
    (own,) = [call["args"]["address"] for call in world.calls if call["args"].get("state") == "back"]
    assert own == ADDRESSES["pi-2"]
    (nodes,) = [call["args"]["nodes"] for call in world.calls if call["module"] == "k8s_daemonset_nodes"]
    assert nodes == ["node-pi-1", "node-pi-2", "node-pi-3"]
    # Its clients were with its neighbour meanwhile, which took their writes.
    assert "refused_to" not in journals.load(world.journal("pi-2"))["phases"]["cutover"]["facts"]


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        ({}, [[], ["node-pi-2"], ["node-pi-2", "node-pi-3"]]),
        # Also what an earlier run has handed over: it may have stopped because that was not Ready.
        ({"pi-2": "done"}, [["node-pi-2"], ["node-pi-2", "node-pi-3"]]),
        # Of two members none is Ready while the other one is away, which has to have its turn.
        ({"pi-2": "done", "pi-3": "started"}, [[], ["node-pi-2", "node-pi-3"]]),
    ],
)
def test_the_service_leads_back_to_pods_that_are_ready(
    world: World, turns: dict[str, str], wanted: list[list[str]]
) -> None:
    world.begin(turns)
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    asked = [call["args"].get("ready_before") for call in world.calls if call["module"] == "k8s_port_swap"]
    assert [first["nodes"] for first in asked if first] == wanted


def test_without_a_ready_pod_no_next_turn_begins(world: World) -> None:
    world.begin({})
    world.fails("k8s_port_swap", "localhost", [None, "not every pod is Ready: p-2 is not ready"])
    done = world.run()
    assert done.returncode != 0
    assert "STOPPED not every pod is Ready: p-2 is not ready" in " ".join(done.stdout.split())
    # It serves, and the run that goes on has its turn again.
    assert world.turns() == {"pi-1": "waiting", "pi-2": "started", "pi-3": "waiting"}
    assert world.state["gates"] == {"pi-2": "open"}
    assert world.called("unit_handover", "unit_takeover") == [("unit_handover", "pi-2")]


def test_a_turn_is_recorded_on_the_pis_that_it_concerns(world: World) -> None:
    """Another run may have handed over the others since, should this one have lost the lock."""
    world.begin({})
    world.fails("member_traffic away", "pi-2", ["refused"])
    done = world.run()
    assert done.returncode != 0
    for pi in ("pi-1", "pi-3"):
        assert "turn" not in journals.load(world.journal(pi))["phases"]["cutover"]["facts"]


@pytest.mark.parametrize("last", ["pi-2", "pi-1"])
def test_a_turn_that_failed_and_was_not_undone_is_not_over(world: World, last: str) -> None:
    """The pod's gate had been opened, or not: no other Pi has a turn, and the failure is the one that is reported."""
    world.begin({} if last == "pi-2" else {"pi-2": "done", "pi-3": "done"})
    world.fails("member_traffic back", last, ["the pod does not catch up"])
    world.fails("unit_takeover", last, "the pod's daemon is not gone")
    done = world.run()
    assert done.returncode != 0
    assert f"{last}: Handover | Wait until the pod has caught up, then route this Pi's clients to it" in " ".join(
        done.stdout.split()
    )
    assert world.turns()[last] == "started"
    assert world.called("unit_handover") == [("unit_handover", last)]
    assert ("k8s_port_swap", "pods") not in [(call["module"], call["args"].get("point_to")) for call in world.calls]


def test_a_pi_that_was_left_in_its_turn_goes_first_though_it_leads(world: World) -> None:
    world.begin({"pi-1": "started", "pi-2": "done"})
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert world.called("unit_handover") == [("unit_handover", "pi-1"), ("unit_handover", "pi-3")]


def test_a_phase_out_of_order_on_one_pi_begins_on_none(world: World) -> None:
    world.begin({})
    behind = journals.marked(None, "prepare", "done", {}, "m-1", journals.now(), "rolling")
    journals.save(world.journal("pi-3"), behind)
    before = [world.journal(pi).read_bytes() for pi in PIS]
    done = world.run()
    assert done.returncode != 0
    text = done.stdout.replace("\n", " ")
    assert "pi-3: phase cutover comes after transfer, which is pending; run that first. Nothing was changed." in text
    assert not (world.folder / "calls.jsonl").exists(), "not even the cluster was looked at"
    assert [world.journal(pi).read_bytes() for pi in PIS] == before


def test_a_failed_pod_gives_its_data_back_and_ends_the_turns(world: World) -> None:
    world.begin({})
    world.fails("unit_handover", "pi-2", "the pod does not listen on 8080")
    done = world.run()
    assert done.returncode != 0
    assert (
        "STOPPED pi-2: Handover | Hand the unit's data over to the pod: the pod does not listen on 8080."
        in done.stdout.replace("\n", " ")
    )
    assert "Its unit was started again and has caught up" in done.stdout
    assert world.called("unit_handover", "unit_takeover") == [("unit_handover", "pi-2"), ("unit_takeover", "pi-2")]
    assert world.turns() == {"pi-1": "waiting", "pi-2": "waiting", "pi-3": "waiting"}
    # Before the unit takes its data back its pod is gone.
    order = [
        (call["module"], call["args"].get("nodes"))
        for call in world.calls
        if call["module"] in ("k8s_daemonset_nodes", "unit_takeover")
    ]
    assert order == [("k8s_daemonset_nodes", ["node-pi-2"]), ("k8s_daemonset_nodes", []), ("unit_takeover", None)]


def test_a_pod_that_serves_is_stopped_as_any_daemon_is(world: World) -> None:
    """It had caught up, and its clients were back: they go to the neighbour again, and the others have to have a quorum."""
    world.begin({})
    world.fails("member_traffic back", "pi-2", ["caught_up: pi-3 is behind"])
    done = world.run()
    assert done.returncode != 0
    assert "caught_up: pi-3 is behind" in done.stdout
    undone = [
        (call["module"], call["args"].get("state"))
        for call in world.calls
        if call["module"] in ("member_traffic", "k8s_daemonset_nodes", "unit_takeover")
    ][3:]
    assert undone == [
        ("member_traffic", "away"),
        ("k8s_daemonset_nodes", None),
        ("unit_takeover", None),
        ("member_traffic", "back"),
    ]
    away = [call["args"] for call in world.calls if call["module"] == "member_traffic"][2]
    assert away["wait_for"]["caught_up_at"] == ["10.77.0.11", "10.77.0.13"]
    assert away["gate"]["state"] == "forwarded"


NO_QUORUM = "caught_up_at: n3 (10.77.0.13:9091): http://10.77.0.13:8080 does not answer"


def test_a_pod_keeps_its_clients_when_another_pi_dies_in_its_turn(world: World) -> None:
    """The neighbour that they were routed to may be the one that died. The pod is not stopped, as the others need its vote."""
    world.begin({})
    world.fails("member_traffic back", "pi-2", ["voters: 2, wanted 3"])
    world.fails("member_traffic away", "pi-2", [None, NO_QUORUM])
    done = world.run()
    assert done.returncode != 0
    text = done.stdout.replace("\n", " ")
    assert (
        "STOPPED pi-2: Handover | Wait until the pod has caught up, then route this Pi's clients to it: voters: 2"
        in text
    )
    assert f"Its pod was not stopped, since the others may need its vote: {NO_QUORUM}" in text
    assert world.turns() == {"pi-1": "waiting", "pi-2": "started", "pi-3": "waiting"}
    assert world.state["gates"] == {"pi-2": "open"}
    assert world.called("k8s_daemonset_nodes", "unit_takeover") == [("k8s_daemonset_nodes", "localhost")]
    (members,) = {
        json.dumps(call["args"]["same_members"]["members"])
        for call in world.calls
        if call["args"].get("state") == "back"
    }
    assert json.loads(members) == {pi: f"{address}:9091" for pi, address in ADDRESSES.items()}


def test_a_pod_of_an_earlier_run_is_not_stopped_either(world: World) -> None:
    """As in the run after that one, with the Pi still dead and the gate left shut."""
    world.begin({"pi-2": "started"})
    world.note(handed=["pi-2"], gates={"pi-2": "forwarded"})
    world.fails("member_traffic away", "pi-2", NO_QUORUM)
    done = world.run()
    assert done.returncode != 0
    assert f"Its pod was not stopped, since the others may need its vote: {NO_QUORUM}" in done.stdout.replace("\n", " ")
    assert world.turns() == {"pi-1": "waiting", "pi-2": "started", "pi-3": "waiting"}
    assert world.state["gates"] == {"pi-2": "open"}
    assert world.called("k8s_daemonset_nodes", "unit_takeover") == []


def test_clients_that_cannot_come_back_are_reported(world: World) -> None:
    world.begin({"pi-2": "started"})
    world.note(handed=["pi-2"], gates={"pi-2": "forwarded"})
    world.fails("member_traffic away", "pi-2", NO_QUORUM)
    world.fails("member_traffic back", "pi-2", "leader: no leader")
    done = world.run()
    assert done.returncode != 0
    text = done.stdout.replace("\n", " ")
    assert f"{NO_QUORUM}. Its clients are not routed to it: leader: no leader" in text
    assert world.state["gates"] == {"pi-2": "forwarded"}


@pytest.mark.parametrize(
    ("module", "host", "calls"),
    [("k8s_daemonset_nodes", "localhost", [None, "refused"]), ("member_traffic away", "pi-3", ["refused"])],
)
def test_a_unit_that_was_not_stopped_needs_no_one_to_stop_it(
    world: World, module: str, host: str, calls: list[str | None]
) -> None:
    """Another Pi has had its turn in this run. Nothing has changed on this one, whatever the others are like."""
    world.begin({})
    world.fails(module, host, calls)
    done = world.run()
    assert done.returncode != 0
    assert "Its unit was started again and has caught up" in done.stdout
    assert world.turns() == {"pi-1": "waiting", "pi-2": "done", "pi-3": "waiting"}
    assert world.state["gates"]["pi-3"] == "open"
    asked = [
        call["args"]["state"] for call in world.calls if (call["module"], call["host"]) == ("member_traffic", "pi-3")
    ]
    assert asked == ["away", "back"]


def test_a_failed_undo_leaves_the_turn_started_and_names_both(world: World) -> None:
    world.begin({})
    world.fails("unit_handover", "pi-2", "the pod does not listen on 8080")
    world.fails("unit_takeover", "pi-2", "the pod's daemon is not gone")
    done = world.run()
    assert done.returncode != 0
    assert world.turns()["pi-2"] == "started"
    assert "the pod does not listen on 8080" in done.stdout
    assert "the pod's daemon is not gone" in done.stdout
    assert world.called("unit_handover") == [("unit_handover", "pi-2")]


def test_a_run_whose_lock_is_lost_leaves_the_turn_as_it_is(world: World) -> None:
    """The nodes that it knows would take away the pods that another run has started since."""
    world.begin({})
    world.fails("unit_handover", "pi-2", "the pod does not listen on 8080")
    world.fails("quorum_watch", "localhost", "the migration lock belongs to bert")
    done = world.run()
    assert done.returncode != 0
    assert "the migration lock belongs to bert" in done.stdout
    assert world.called("unit_handover", "unit_takeover", "k8s_daemonset_nodes") == [
        ("k8s_daemonset_nodes", "localhost"),
        ("unit_handover", "pi-2"),
    ]
    assert world.turns() == {"pi-1": "waiting", "pi-2": "started", "pi-3": "waiting"}


@pytest.mark.parametrize("known", ["m-1", "m-2"])
def test_a_migration_of_another_run_is_no_failure_of_this_one(world: World, known: str) -> None:
    """It has recorded itself while this run was in pre-flight. What this run records of a failure, it would roll back."""
    world.begin({})
    world.fails("raft_info", "pi-1", "no leader")
    before = [world.journal(pi).read_bytes() for pi in PIS]
    done = world.run(raft_migration_id=known)
    assert done.returncode != 0
    assert ("STOPPED no leader" in done.stdout) == (known == "m-1"), done.stdout[-3000:]
    if known != "m-1":
        text = " ".join(done.stdout.split())
        assert "the journal belongs to migration m-1, not to m-2" in text
        assert "Another run has written them since this one read the journals" in text
        assert [world.journal(pi).read_bytes() for pi in PIS] == before


def test_a_phase_that_another_run_has_finished_is_not_run_again(world: World) -> None:
    """A cutover would carry the units' content into pods that have taken writes since."""
    world.begin({})
    finished = journals.load(world.journal("pi-2"))
    for state in ("started", "done"):
        finished = journals.marked(finished, "cutover", state, {"turn": "done"}, "m-1", journals.now())
    journals.save(world.folder / "finished.json", finished)
    copied = {"src": str(world.folder / "finished.json"), "dest": "{{ raft_migration.backup_path }}/journal.json"}
    world.between = [{"ansible.builtin.copy": {**copied, "mode": "0600"}, "when": "inventory_hostname == 'pi-2'"}]
    done = world.run()
    text = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "the journal has 5 events, and had 3 when this run read it" in text
    assert "Another run has written them since this one read the journals" in text
    assert not (world.folder / "calls.jsonl").exists(), "nothing was done or looked at"
    assert journals.load(world.journal("pi-2")) == finished


def test_data_that_cannot_be_moved_is_found_before_the_first_turn(world: World) -> None:
    world.begin({})
    world.fails("unit_handover --check", "pi-3", "is a mount point and cannot be renamed")
    done = world.run()
    assert done.returncode != 0
    assert "is a mount point" in done.stdout
    assert world.called("unit_handover", "traffic_gate", "k8s_daemonset_nodes") == []
    assert world.turns() == dict.fromkeys(PIS, "waiting")


@pytest.mark.parametrize("peers", [PIS[:1], PIS[:2]])
def test_one_and_two_members(world: World, peers: Sequence[str]) -> None:
    """A single Pi has no neighbour: its clients wait for one restart."""
    world.begin({})
    done = world.run(peers)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert [host for _module, host in world.called("unit_handover")] == list(reversed(peers))
    forwarded = [
        call["host"]
        for call in world.calls
        if call["module"] == "traffic_gate" and call["args"]["state"] == "forwarded"
    ]
    assert forwarded == (list(reversed(peers)) if len(peers) > 1 else [])


def test_a_second_time_no_pi_has_a_turn(world: World) -> None:
    world.begin(dict.fromkeys(PIS, "done"))
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert world.called("unit_handover", "traffic_gate", "k8s_daemonset_nodes", "raft_membership") == []


def test_a_pi_that_stops_answering_in_its_turn_stops_the_run(world: World) -> None:
    """It may come back at once: its turn is not gone on with, and no other Pi has one."""
    world.begin({})
    world.away_after("unit_handover", "pi-2")
    done = world.run()
    assert done.returncode != 0
    assert "pi-2: it stopped answering in its turn" in done.stdout.replace("\n", " ")
    assert world.called("unit_handover", "unit_takeover") == [("unit_handover", "pi-2")]
    assert world.turns() == {"pi-1": "waiting", "pi-2": "started", "pi-3": "waiting"}
    opened = [
        call["host"] for call in world.calls if call["module"] == "traffic_gate" and call["args"]["state"] == "open"
    ]
    assert opened == [], "its clients stay with the neighbour"


def test_without_handover_the_leaders_pod_waits_before_rerouting(world: World) -> None:
    """Writes wait from the closing of its gate until the others have elected another leader."""
    world.begin({"pi-2": "done", "pi-3": "done"})
    world.note(capabilities=[])
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    order = world.called("k8s_daemonset_nodes", "traffic_gate", "unit_handover", "raft_membership")
    assert [module for module, _host in order] == [
        "k8s_daemonset_nodes",
        "traffic_gate",
        "unit_handover",
        "traffic_gate",
    ]
