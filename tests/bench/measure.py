# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times on the lab that is up. Each function leaves the lab in the state that the next one in __main__ starts from."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e import rehearsal
from tests.lab import cluster, machines, settings
from tests.lab import state as states
from tests.lab.shell import wait_for

RESTARTS = 2
POD_CONFIG = "/var/lib/pi-controller-pods.config/standard.yaml"
# So wide that they convict nothing but a lost write or a wrong read: what a pause may be is what the table says.
LIMITS = rehearsal.Limits(write_pause=120, read_gap=120, recovery=120)


class Times(dict[str, float]):
    """Seconds by name, printed as they come."""

    def __setitem__(self, name: str, seconds: float) -> None:
        super().__setitem__(name, round(seconds, 3))
        print(f"bench: {name:<24} {seconds:8.2f} s", flush=True)


def _kubectl(*words: str, stdin: str | None = None) -> str:
    return rehearsal.kubectl("-n", settings.NAMESPACE, *words, stdin=stdin)


def _pods() -> dict[str, dict[str, Any]]:
    """By node."""
    return {
        pod["spec"]["nodeName"]: pod
        for pod in json.loads(_kubectl("get", "pods", "-o", "json"))["items"]
        if pod["spec"].get("nodeName")
    }


def _wait_for_pod(node: str, after: str) -> None:
    wait_for(
        f"a Ready pod on {node}",
        lambda: _not_ready(node, after),
        timeout=120,
        interval=0.1,
        advice="python3 -m tests.lab kubectl -- -n pi-controller describe pods",
    )


def _not_ready(node: str, gone: str) -> str | None:
    pod = _pods().get(node)
    if pod is None or pod["metadata"]["uid"] == gone:
        return "the new pod is not there"
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
    return None if ready else f"{pod['metadata']['name']} is not Ready"


def restarts() -> tuple[float, float]:
    """(floor, one): two bare rolling restarts of the DaemonSet, pod by pod, and the median of one pod's."""
    seconds = []
    began = time.monotonic()
    for _ in range(RESTARTS):
        for node, pod in sorted(_pods().items()):
            started = time.monotonic()
            _kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
            _wait_for_pod(node, pod["metadata"]["uid"])
            seconds.append(time.monotonic() - started)
    return time.monotonic() - began, statistics.median(seconds)


@contextlib.contextmanager
def under_witness(name: str, folder: Path, times: Times, counts: dict[str, int], *arguments: str) -> Iterator[None]:
    """What clients see of the body: its write pause, and what may not be."""
    (folder / name).mkdir()
    with rehearsal.witnessed(folder / name) as witness:
        yield
    verdict, _summary = witness.judge(LIMITS, *arguments)
    kinds = [finding["kind"] for finding in verdict["findings"]]
    times[f"{name}.pause"] = verdict["figures"]["write_pause"]["seconds"]
    counts[f"{name}: acknowledged writes lost"] = sum(kind.startswith("lost") for kind in kinds)
    counts[f"{name}: failed reads"] = kinds.count("failed_read")
    counts[f"{name}: stale reads"] = kinds.count("stale_read")


# Bytes of a row that fills the database, in the table that the witness does not list: an entry of Raft's log has up to 256 KiB.
ROW, TABLE = 240_000, "clusters"
# How often a database is on a Pi at the most: data, Raft's log, snapshots, backups, what is carried. The Pis' disks are memory.
COPIES = 12
PIS = 3


def has_room(megabytes: int) -> bool:
    """Whether a database of this size fits on the lab's Pis; says so where it does not."""
    available = next(
        int(line.split()[1]) // 1000
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable:")
    )
    needed = COPIES * megabytes
    for what, there, wanted in (
        ("PI_LAB_DISK_MIB", settings.HOST_DISK_MIB, needed),
        ("free memory, MB", available, needed * PIS // 2),
    ):
        if there < wanted:
            print(f"bench: a database of {megabytes} MB is left out: {what} is {there}, wanted {wanted}", flush=True)
            return False
    return True


def fill(megabytes: int, times: Times) -> None:
    """As many megabytes of rows as this, written through the leader as clients write."""
    lab = states.require()
    leader = cluster.leading_node(lab)
    began = time.monotonic()
    for number in range(megabytes * 1_000_000 // ROW):
        row = {"name": f"{TABLE}-of-the-bench-{number}", "note": f"{number:06}" * (ROW // 6)}
        cluster.request(leader, "POST", f"/api/v1/{TABLE}", row)
    cluster.wait_caught_up(lab)
    times[f"fill.{megabytes}MB"] = time.monotonic() - began


def migration(
    name: str, strategy: str, folder: Path, times: Times, counts: dict[str, int], tasks: dict[str, int], *judged: str
) -> list[str]:
    """There; returns the Pis."""
    names = [node["name"] for node in rehearsal.lab_state()["nodes"]]
    with under_witness(name, folder, times, counts, *judged):
        chosen = ["-e", "confirm=true", *rehearsal.strategy_arguments(strategy)]
        run = rehearsal.run_playbook("playbooks/migrate.yml", *chosen, log=folder / f"{name}.log")
        if run.returncode:
            raise rehearsal.LabError(f"{name}: migrate ended with {run.returncode}; see {folder}/{name}.log")
    times[f"{name}.run"] = run.seconds
    tasks[name] = run.tasks
    if strategy == "rolling":
        times[f"{name}.away"] = max(
            rehearsal.journal(host)["phases"]["cutover"]["facts"]["away_seconds"] for host in names
        )
    return names


def rollback(name: str, folder: Path, times: Times, counts: dict[str, int]) -> None:
    """And back again."""
    with under_witness(f"{name}.back", folder, times, counts):
        run = rehearsal.run_playbook("playbooks/rollback.yml", log=folder / f"{name}-back.log")
        if run.returncode:
            raise rehearsal.LabError(f"{name}: rollback ended with {run.returncode}; see {folder}/{name}-back.log")
    times[f"{name}.back.run"] = run.seconds


def daemonset() -> str:
    """The DaemonSet as a finished migration leaves it, to be applied by hand."""
    found = json.loads(_kubectl("get", "daemonset", settings.NAMESPACE, "-o", "json"))
    metadata = {key: found["metadata"][key] for key in ("name", "namespace", "labels") if key in found["metadata"]}
    spec = {**found["spec"], "updateStrategy": {"type": "RollingUpdate"}}
    return json.dumps({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec})


def naive(manifest: str, folder: Path, times: Times, counts: dict[str, int]) -> None:
    """The procedure by hand: stop all units, copy their data, start pods on it."""
    nodes = states.require().nodes
    with under_witness("naive", folder, times, counts):
        began = time.monotonic()
        for node in nodes:
            machines.execute(node, ["systemctl", "disable", "--now", "pi-controller"])
        for node in nodes:
            machines.execute(node, ["cp", "-a", "/var/lib/pi-controller", "/var/lib/pi-controller-pods"])
            # Where the collection's DaemonSet has the pod's configuration; the unit's own does on the standard ports.
            machines.execute(node, ["install", "-D", "-m", "0600", "/etc/pi-controller/config.yaml", POD_CONFIG])
        _kubectl("apply", "-f", "-", stdin=manifest)
        wait_for(
            "a Ready pod on every Pi",
            lambda: next(filter(None, (_not_ready(node.name, "") for node in nodes)), None),
            timeout=180,
            advice="python3 -m tests.lab kubectl -- -n pi-controller describe pods",
            interval=0.2,
        )
        times["naive.run"] = time.monotonic() - began
