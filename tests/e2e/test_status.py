# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`playbooks/status.yml` at twelve points of a migration, four of them after a kill, against what the hosts and the API say themselves."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import rehearsal

pytestmark = pytest.mark.longer

STANDARD, TEMPORARY = 8080, 8082
JOURNAL = "/var/backups/pi-controller-migration/journal.json"


# Everything of one Pi in one connection: twelve points are looked at twice or more.
LOOK = f"""
cat {JOURNAL} 2>/dev/null; echo; echo ==; nft list ruleset; echo ==; ss -Hltnp; echo ==
systemctl show pi-controller.service -p MainPID --value; systemctl is-active pi-controller.service; systemctl is-enabled pi-controller.service
for port in {STANDARD} {TEMPORARY}; do
    echo; echo ==; curl -s --max-time 5 --interface 127.0.9.91 http://127.0.0.1:$port/api/v1/raft/status || true
done
"""


def gate(saved: str) -> str:
    states = set(re.findall(r'"pi-controller migration: (\w+) ', saved))
    return "open" if not states else states.pop() if len(states) == 1 else "mixed"


def look(name: str) -> dict[str, Any]:
    """What one Pi says, read with other means than the playbook's: `pi-controller` is the unit's where its pid is the unit's main one."""
    journal, rules, sockets, unit, *statuses = rehearsal.on_host(name, LOOK).split("\n==\n")
    main, active, enabled = (unit.split() + ["not-found"])[:3]
    held: dict[int, str | None] = {STANDARD: None, TEMPORARY: None}
    for line in sockets.splitlines():
        port = int(line.split()[3].rpartition(":")[2])
        if port in held and (pid := re.search(r"pid=(\d+)", line)):
            held[port] = "unit" if pid[1] == main else "pod"
    raft = {}
    for port, answer in zip(held, statuses, strict=True):
        if held[port]:
            reported = json.loads(answer)
            stats = reported["raft_stats"]
            raft[port] = {
                "role": str(reported["state"]).lower(),
                # One that gets no votes, at an address its cluster does not know yet, tries again in a new term every second.
                "term": int(stats["term"]) if reported["state"] != "Candidate" else None,
                "applied": int(stats["applied_index"]),
                "members": sorted(
                    (member["ID"], member["Address"], member["Voter"]) for member in reported["members"] or []
                ),
            }
    phases = json.loads(journal)["phases"] if journal.strip() else {}
    return {
        "phases": {phase: entry["state"] for phase, entry in phases.items()},
        "gate": gate(rules),
        "ports": held,
        "unit": f"{active}, {enabled}",
        "raft": raft,
    }


def truth(names: list[str]) -> dict[str, Any]:
    """What hosts and API say."""
    slices = rehearsal.kubectl_json(
        "-n", "pi-controller", "get", "endpointslices", "-l", "kubernetes.io/service-name=pi-controller"
    )
    service = {
        f"{address}:{port['port']}"
        for piece in slices["items"]
        for endpoint in piece.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready") is not False
        for address in endpoint["addresses"]
        for port in piece["ports"]
        if port["name"] == "rest"
    }
    with ThreadPoolExecutor() as pool:
        return {"service": sorted(service), "hosts": dict(zip(names, pool.map(look, names), strict=True))}


def settled(names: list[str]) -> dict[str, Any]:
    """The truth once nothing moves any more: two looks in a row that say the same."""
    deadline = time.monotonic() + 60
    last = None
    while time.monotonic() < deadline:
        # A daemon that starts or stops answers with nothing for a moment.
        with contextlib.suppress(ValueError, KeyError):
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


def assert_true(reported: dict[str, Any], seen: dict[str, Any], names: list[str]) -> None:
    pis = seen["hosts"]
    for phase, entry in reported["phases"].items():
        assert entry["hosts"] == {name: pis[name]["phases"].get(phase, "pending") for name in names}, phase
    for name in names:
        mine, its = reported["traffic"]["hosts"][name], pis[name]
        assert (mine["gate"], mine["unit"]) == (its["gate"], its["unit"]), name
        assert (mine["standard_port"], mine["temporary_port"]) == (its["ports"][STANDARD], its["ports"][TEMPORARY]), (
            name
        )
    assert sorted(target["endpoint"] for target in reported["traffic"]["service"]["routes_to"]) == seen["service"]
    for which, holder in (("old", "unit"), ("new", "pod")):
        daemons = {
            name: pis[name]["raft"][port]
            for name in names
            for port, held in pis[name]["ports"].items()
            if held == holder
        }
        cluster = reported["clusters"][which]
        assert cluster["answering"] == len(daemons), which
        leaders = [daemon for daemon in daemons.values() if daemon["role"] == "leader"]
        if not leaders:
            continue
        leader = max(leaders, key=lambda status: status["term"])
        assert cluster["term"] == leader["term"], which
        assert (
            sorted((member["id"], member["address"], member["voter"]) for member in cluster["members"])
            == leader["members"]
        ), which
        for member in cluster["members"]:
            if member["host"] in daemons:
                own = daemons[member["host"]]
                term = own["term"] or member["term"]
                assert (member["role"], member["term"], member["applied_index"]) == (
                    own["role"],
                    term,
                    own["applied"],
                ), member


def killed_at(task: str, nth: int = 1, tag: str = "complete") -> None:
    """Run the playbook and kill it, with all it has started, when the task has begun for the nth time."""
    begun = threading.Semaphore(0)

    def reported(line: str) -> None:
        if line.startswith("TASK [") and task in line:
            begun.release()

    play = rehearsal.Play("playbooks/migrate.yml", "--tags", tag, "-e", "confirm=true", on_line=reported)
    try:
        for _ in range(nth):
            while not begun.acquire(timeout=0.2):
                if play.process.poll() is not None:
                    pytest.fail(f"the run ended before {task!r}: {play.wait().output[-3000:]}")
    finally:
        play.kill()
        play.wait()


def test_status_says_what_is_true_at_twelve_points(old_world: Callable[[str], list[str]], tmp_path: Path) -> None:
    names = old_world("full")
    points: list[str] = []

    def point(title: str) -> dict[str, Any]:
        # What moves while the status is read (a pod becomes Ready) can be in one and not in the other: then it is read again.
        for _ in range(5):
            seen = settled(names)
            reported = status(tmp_path, names)
            if truth(names) == seen:
                break
        else:
            pytest.fail(f"{title}: the lab did not come to rest: {seen} became {truth(names)}")
        (tmp_path / f"{len(points) + 1:02d}-{title.replace(' ', '-')}.json").write_text(json.dumps(reported, indent=1))
        assert_true(reported, seen, names)
        points.append(title)
        served = reported["traffic"]["served_by"]
        print(
            f"{len(points):2d} {title}: {reported['state']} at {reported['phase']}, served by {served}; next: {reported['next']['command']}"
        )
        return reported

    def run(tag: str) -> None:
        done = rehearsal.run_playbook(
            "playbooks/migrate.yml", "--tags", tag, "-e", "confirm=true", log=tmp_path / f"{tag}.log"
        )
        assert done.returncode == 0, done.output[-3000:]

    reported = point("untouched")
    assert (reported["state"], reported["traffic"]["served_by"]) == ("not_started", "systemd")
    run("prepare")
    reported = point("prepared")
    assert reported["backups"]["oldest_age_seconds"] is not None
    assert reported["next"]["command"].endswith("--tags transfer")
    killed_at("Join | Add the other pods", tag="transfer")
    reported = point("killed in transfer")
    assert reported["phase"] == "transfer"
    run("transfer")
    reported = point("transferred")
    assert reported["clusters"]["new"]["quorate"]
    run("validate")
    point("validated")
    killed_at("Flip | Redirect each Pi to its pod", tag="cutover")
    reported = point("killed in the write pause")
    assert reported["phase"] == "cutover"
    run("cutover")
    reported = point("cut over")
    assert reported["traffic"]["served_by"] == "pods"
    assert set(reported["traffic"]["hosts"][name]["gate"] for name in names) == {"redirected"}
    killed_at("Shutdown | Stop and mask")
    point("killed in shutdown")
    killed_at("Ports | Replace the pod")
    reported = point("one Pi stands aside")
    aside = [host for host in reported["traffic"]["hosts"].values() if host["gate"] == "forwarded"]
    assert len(aside) == 1
    assert aside[0]["reaches"].startswith("pod on")
    killed_at("Journal | Record port_migration as done")
    point("one Pi has moved")
    killed_at("Ports | Update the member's address", nth=2)
    point("killed at the second or third Pi")
    run("complete")
    reported = point("migrated")
    assert (reported["state"], reported["next"]["command"]) == ("migrated", None)
    assert len(points) == 12
