# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`playbooks/status.yml` at twelve points of a migration, four of them after a kill, against what the hosts and the API say themselves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import hosts as on
from tests.e2e import rehearsal

STANDARD, TEMPORARY = 8080, 8082
JOURNAL = "/var/backups/pi-controller-migration/journal.json"


def holders(pi: Any) -> dict[int, str | None]:
    """Who listens on the two REST ports, by the main process of the unit."""
    main = pi.run("systemctl show pi-controller.service -p MainPID --value").stdout.strip()
    held: dict[int, str | None] = {STANDARD: None, TEMPORARY: None}
    for line in pi.run_expect([0], "ss -Hltnp").stdout.splitlines():
        port = int(line.split()[3].rpartition(":")[2])
        if port in held and (pid := re.search(r"pid=(\d+)", line)):
            held[port] = "unit" if pid[1] == main else "pod"
    return held


def gate(pi: Any) -> str:
    saved = pi.run_expect([0], "iptables-save").stdout
    states = set(re.findall(r'"pi-controller migration: (\w+)"', saved))
    return "open" if not states else states.pop() if len(states) == 1 else "mixed"


def truth(names: list[str]) -> dict[str, Any]:
    """What hosts and API say, read with other means than the playbook's."""
    found: dict[str, Any] = {"phases": {}, "gates": {}, "ports": {}, "raft": {}, "unit": {}}
    for name in names:
        pi = on.host(name)
        journal = pi.run(f"cat {JOURNAL}")
        phases = json.loads(journal.stdout)["phases"] if journal.rc == 0 else {}
        found["phases"][name] = {phase: entry["state"] for phase, entry in phases.items()}
        found["gates"][name] = gate(pi)
        found["unit"][name] = ", ".join(reversed(on.unit_state(pi)))
        found["ports"][name] = held = holders(pi)
        for port, holder in held.items():
            if holder:
                raft = on.raft_status(pi, port)
                stats = raft["raft_stats"]
                found["raft"][f"{name}:{port}"] = {
                    "role": str(raft["state"]).lower(), "term": int(stats["term"]), "applied": int(stats["applied_index"]),
                    "members": sorted((one["ID"], one["Address"], one["Voter"]) for one in raft["members"] or []),
                }  # fmt: skip
    slices = rehearsal.kubectl_json("-n", "pi-controller", "get", "endpointslices", "-l", "kubernetes.io/service-name=pi-controller")
    found["service"] = sorted(
        f"{address}:{port['port']}"
        for one in slices["items"]
        for endpoint in one.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready") is not False
        for address in endpoint["addresses"]
        for port in one["ports"]
        if port["name"] == "rest"
    )
    return found


def settled(names: list[str]) -> dict[str, Any]:
    """The truth once nothing moves any more: two looks in a row that say the same."""
    deadline = time.monotonic() + 60
    last = None
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError, KeyError):
            seen = truth(names)
            if seen == last:
                return seen
            last = seen
    raise AssertionError(f"the lab did not come to rest in 60 s: {last}")


def status(folder: Path, names: list[str]) -> dict[str, Any]:
    file = folder / "status.json"
    file.unlink(missing_ok=True)
    run = rehearsal.run_playbook("playbooks/status.yml", "-e", f"status_file={file}")
    assert run.returncode == 0, run.output[-3000:]
    assert run.changed == dict.fromkeys(names, 0), run.output[-3000:]
    return json.loads(file.read_text())


def assert_true(told: dict[str, Any], seen: dict[str, Any], names: list[str]) -> None:
    for phase, entry in told["phases"].items():
        assert entry["hosts"] == {name: seen["phases"][name].get(phase, "pending") for name in names}, phase
    for name in names:
        mine = told["traffic"]["hosts"][name]
        assert mine["gate"] == seen["gates"][name], name
        assert mine["standard_port"] == seen["ports"][name][STANDARD], name
        assert mine["temporary_port"] == seen["ports"][name][TEMPORARY], name
        assert mine["unit"] == seen["unit"][name], name
    assert sorted(one["endpoint"] for one in told["traffic"]["service"]["leads_to"]) == seen["service"]
    for which, holder in (("old", "unit"), ("new", "pod")):
        daemons = {
            name: seen["raft"][f"{name}:{port}"] for name in names for port, held in seen["ports"][name].items() if held == holder
        }
        cluster = told["clusters"][which]
        assert cluster["answering"] == len(daemons), which
        leaders = [one for one in daemons.values() if one["role"] == "leader"]
        if not leaders:
            continue
        leader = max(leaders, key=lambda one: one["term"])
        assert cluster["term"] == leader["term"], which
        assert sorted((one["id"], one["address"], one["voter"]) for one in cluster["members"]) == leader["members"], which
        for member in cluster["members"]:
            if member["host"] in daemons:
                own = daemons[member["host"]]
                assert (member["role"], member["term"], member["applied_index"]) == (own["role"], own["term"], own["applied"]), member


def killed_at(task: str, nth: int = 1, tag: str = "complete") -> None:
    """Run the playbook and kill it, with all it has started, when the task has begun for the nth time."""
    tool = Path(sys.executable).with_name("ansible-playbook")
    command = [str(tool), "playbooks/migrate.yml", "-i", "inventories/lab", "--tags", tag, "-e", "confirm=true"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(rehearsal.REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
                   "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}  # fmt: skip
    with subprocess.Popen(
        command, cwd=rehearsal.REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith("TASK [") and task in line:
                nth -= 1
                if nth == 0:
                    os.killpg(process.pid, signal.SIGKILL)
                    return
    pytest.fail(f"the run ended before {task!r}: {''.join(seen)[-3000:]}")


def test_status_says_what_is_true_at_twelve_points(old_world: Callable[[str], list[str]], tmp_path: Path) -> None:
    names = old_world("full")
    points = []

    def point(title: str) -> dict[str, Any]:
        seen = settled(names)
        told = status(tmp_path, names)
        (tmp_path / f"{len(points) + 1:02d}-{title.replace(' ', '-')}.json").write_text(json.dumps(told, indent=1))
        assert_true(told, seen, names)
        points.append(title)
        served = told["traffic"]["served_by"]
        print(f"{len(points):2d} {title}: {told['state']} at {told['phase']}, served by {served}; next: {told['next']['command']}")
        return told

    def run(tag: str) -> None:
        done = rehearsal.run_playbook("playbooks/migrate.yml", "--tags", tag, "-e", "confirm=true", log=tmp_path / f"{tag}.log")
        assert done.returncode == 0, done.output[-3000:]

    told = point("untouched")
    assert (told["state"], told["traffic"]["served_by"]) == ("not_started", "systemd")
    run("prepare")
    told = point("prepared")
    assert told["backups"]["oldest_age_seconds"] is not None
    assert told["next"]["command"].endswith("--tags transfer")
    killed_at("Join | Add the other pods", tag="transfer")
    told = point("killed in transfer")
    assert told["phase"] == "transfer"
    run("transfer")
    told = point("transferred")
    assert told["clusters"]["new"]["quorate"]
    run("validate")
    point("validated")
    killed_at("Equal | Read the pods' content", tag="cutover")
    told = point("killed in the write pause")
    assert told["phase"] == "cutover"
    run("cutover")
    told = point("cut over")
    assert told["traffic"]["served_by"] == "pods"
    assert set(told["traffic"]["hosts"][name]["gate"] for name in names) == {"redirected"}
    killed_at("Shutdown | Mask the unit")
    point("killed in shutdown")
    killed_at("Ports | Replace the pod")
    told = point("one Pi stands aside")
    aside = [one for one in told["traffic"]["hosts"].values() if one["gate"] == "forwarded"]
    assert len(aside) == 1
    assert aside[0]["reaches"].startswith("pod on")
    killed_at("Ports | The pod is Ready")
    point("one Pi has moved")
    killed_at("Ports | Its member stands", nth=2)
    point("killed at the second or third Pi")
    run("complete")
    told = point("migrated")
    assert (told["state"], told["next"]["command"]) == ("migrated", None)
    assert len(points) == 12
