# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole playbook, run by Ansible on this machine with modules that only answer: it comes to its end, in so many tasks.

What the roles ask their modules for, and whether every variable is known by then, needs no Pi. Pre-flight judges real answers, so its
role is left out, and its tasks are counted in its files.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT, import_plugin

journals = import_plugin("module_utils._core.journal")
PIS = ("pi-1", "pi-2", "pi-3")
ADDRESSES = {pi: f"10.77.0.1{pi[-1]}" for pi in PIS}
REAL = ("migration_journal", "migration_journal_info")
CAN = {"full": ["read-only", "restore", "snapshot", "transfer"], "upstream": []}
ANSWERS: dict[str, dict[str, Any]] = {
    "raft_carry": {"changed": True, "digest": "d"},
    "raft_snapshot": {"changed": True, "found": True, "path": "/snapshot"},
    "sqlite_backup": {"changed": True, "sha256": "s", "digest": "d", "tables": {}, "size": 3},
    "sqlite_info": {"digest": "d", "schema_digest": "c", "comparison": {"rows": 0, "equal": True}},
    "k8s_object_info": {"resources": [{"spec": {"clusterIPs": ["10.96.0.9"]}}]},
    "k8s_node_names": {"names": {}},
    "folder_move": {"changed": True, "kept": ""},
    "unit_handover": {"changed": True, "away": {"from": 1.5, "seconds": 1.25}, "gate": None},
    "k8s_daemonset_pod_aside": {"changed": True, "pod": "p", "current": False, "ready": True},
    "traffic_gate": {"changed": True, "began": 1.5, "ended": 2.5, "clock": {"boot": "b", "seconds": 1.5}},
    "migration_cluster_info": {"status": {"traffic": {"served_by": "pods"}}},
    "migration_report": {"verdict": {"headline": "Migrated"}, "html": "/report.html"},
}
# Not a Python module to Ansible, so it is given its arguments in a file.
ANSWERING = """#!{python}
# WANT_JSON
import json, sys
from pathlib import Path

given = json.loads(Path(sys.argv[1]).read_text())
answer, urls = {answer!r}, given.get("urls") or []
temporary, both = any(":8082" in url for url in urls), len(urls) > {size}
if {name!r} in ("raft_info", "member_traffic"):
    # On either port only while the ports move, and none of them has moved by the answers.
    port, rest = (9092, 8082) if temporary else (9091, 8080)
    members = [
        {{"id": pi, "address": f"{{ip}}:{{port}}", "url": f"http://{{ip}}:{{rest}}", "in_contact": True, "voter": True}}
        for pi, ip in {addresses!r}.items()
    ]
    answer = {{"leader": {{**members[0], "host": "pi-1"}}, "term": 3, "voters": 3, "members": members, "unanswered": []}}
    answer |= {{"capabilities": {can!r}, "gate": None}}
    # Pods that have just been started have no cluster yet.
    if temporary and not given.get("wait_for"):
        answer["members"] = []
if {name!r} == "cutover_lease" and given["state"] == "committed":
    path = Path(given["journal"])
    journal = json.loads(path.read_text())
    journal["phases"]["cutover"]["facts"] = {{"opening": True, **given["facts"]}}
    path.write_text(json.dumps(journal))
    states = {{phase: entry["state"] for phase, entry in journal["phases"].items()}}
    answer["ansible_facts"] = {{"raft_migration_journal": {{"journal": journal, "phase_states": states, "current": "cutover"}}}}
if {name!r} == "private_fetch":
    Path(given["dest"]).parent.mkdir(parents=True, exist_ok=True)
    Path(given["dest"]).write_text("x")
print(json.dumps(answer))
"""


def collection(folder: Path, profile: str) -> Path:
    """The checkout as a collection whose modules answer, but for the journal's."""
    ours = folder / "collections/ansible_collections/pi_controller/raft_migration"
    for part in ("plugins/modules", "plugins/action", "plugins/filter", "roles/preflight/tasks"):
        (ours / part).mkdir(parents=True)
    kept = [CHECKOUT / "plugins/action/migration_journal.py", *(CHECKOUT / "roles").iterdir()]
    kept += [CHECKOUT / part for part in ("meta", "galaxy.yml", "playbooks")]
    kept += [CHECKOUT / "plugins" / part for part in ("lookup", "module_utils", "doc_fragments", "plugin_utils")]
    kept += (CHECKOUT / "plugins/filter").glob("*.py")
    kept += [CHECKOUT / f"plugins/modules/{name}.py" for name in REAL]
    for path in kept:
        if path.name != "preflight":
            (ours / path.relative_to(CHECKOUT)).symlink_to(path)
    (ours / "roles/preflight/tasks/main.yml").write_text("---\n[]\n")
    for module in {path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py")} - {*REAL}:
        text = ANSWERING.format(
            python=sys.executable,
            name=module,
            answer=ANSWERS.get(module, {"changed": True}),
            addresses=ADDRESSES,
            size=len(PIS),
            can=CAN[profile],
        )
        (ours / f"plugins/modules/{module}.py").write_text(text)
    return folder / "collections"


def bars() -> dict[str, int]:
    """The bars of `make bench`, read and not imported: they are no part of what `ansible-test units` knows."""
    found = re.search(r"^TASKS = (\{.+\})$", (CHECKOUT / "tests/bench/figures.py").read_text(), re.MULTILINE)
    assert found
    known: dict[str, int] = json.loads(found[1])
    return known


def tasks_of_preflight() -> int:
    files = (yaml.safe_load((CHECKOUT / f"roles/preflight/tasks/{name}.yml").read_text()) for name in ("look", "judge"))
    return sum(map(len, files))


@pytest.mark.parametrize(("strategy", "profile"), [("parallel", "full"), ("rolling", "full"), ("parallel", "upstream")])
def test_a_migration_comes_to_its_end_within_its_tasks(
    tmp_path: Path, ansible_playbook: str, strategy: str, profile: str
) -> None:
    hosts = {}
    for pi in PIS:
        # What rolling cleanup looks for, and what pods would have made.
        (tmp_path / pi / "prepare").mkdir(parents=True)
        (tmp_path / pi / "pi-controller.service").touch()
        hosts[pi] = {
            "pi_controller_address": ADDRESSES[pi],
            "pi_controller_pod_data_dir": str(tmp_path / f"{pi}-pods"),
            "migration": {"strategy": strategy, "backup_path": str(tmp_path / pi)},
        }
    (tmp_path / "config.yaml").write_text("api: {port: 8080}\n")
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "pi_controller_image": "pi-controller:1.4.0",
        "pi_controller_config_file": str(tmp_path / "config.yaml"),
        "raft_migration_control_dir": str(tmp_path / "control"),
        "confirm": True,
    }
    inventory = {"all": {"children": {"k3s_cluster": {"hosts": hosts, "vars": common}}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": f"{collection(tmp_path, profile)}:{CHECKOUT / '.collections'}",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [ansible_playbook, "pi_controller.raft_migration.migrate", "-i", "hosts.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    for pi in PIS:
        states = journals.phase_states(journals.load(tmp_path / pi / "journal.json"))
        assert set(states.values()) == {"done"}
    counted = len(re.findall(r"^TASK \[", done.stdout, re.MULTILINE)) + tasks_of_preflight()
    # Another way of the fence has tasks of its own.
    assert counted == bars()[strategy] or profile == "upstream"
