# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured on the lab that is up. Clients of the witness read and write all the time, in what the ratios are of as well."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e import pace, rehearsal
from tests.lab import cluster, machines, settings
from tests.lab import state as states
from tests.lab.shell import LabError, wait_for

from . import peaks, profile
from .results import Results

RESTARTS = 2
POD_CONFIG = "/var/lib/pi-controller-pods.config/standard.yaml"
DATABASE = "var/lib/pi-controller/pi-controller.db"
# So wide that they convict nothing but a lost write or a wrong read: what a pause may be is what the table says.
LIMITS = rehearsal.Limits(write_pause=120, read_gap=120, recovery=120)


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


@contextlib.contextmanager
def _clients(name: str, results: Results, apart: bool = False) -> Iterator[rehearsal.Witness]:
    folder = results.folder / name
    folder.mkdir()
    with rehearsal.witnessed(folder, apart=apart) as witness:
        yield witness


def no_op(results: Results, name: str = "noop") -> None:
    """One ping task on all Pis."""
    with _clients(name, results):
        seconds = pace.no_op(results.folder / name)
    results.values[name] = seconds


def floor(results: Results) -> None:
    """Two bare rolling restarts of the DaemonSet, pod by pod, and the median of one pod's."""
    seconds = []
    with _clients("floor", results):
        began = time.monotonic()
        for _ in range(RESTARTS):
            for node, pod in sorted(_pods().items()):
                started = time.monotonic()
                _kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
                _wait_for_pod(node, pod["metadata"]["uid"])
                seconds.append(time.monotonic() - started)
        whole = time.monotonic() - began
    results.values["floor"] = whole
    results.values["restart"] = statistics.median(seconds)


@contextlib.contextmanager
def under_witness(name: str, results: Results, *arguments: str, apart: bool = False) -> Iterator[profile.Processors]:
    """What clients see of the body: its write pause, and what may not be. Yields who keeps the processors busy meanwhile."""
    with _clients(name, results, apart) as witness, profile.processors(states.require(), witness.process.pid) as busy:
        yield busy
    verdict, _summary = witness.judge(LIMITS, *arguments)
    kinds = [finding["kind"] for finding in verdict["findings"]]
    results.values[f"{name}.pause"] = verdict["figures"]["write_pause"]["seconds"]
    results.counts[f"{name}: acknowledged writes lost"] = sum(kind.startswith("lost") for kind in kinds)
    results.counts[f"{name}: failed reads"] = kinds.count("failed_read")
    results.counts[f"{name}: stale reads"] = kinds.count("stale_read")


# Bytes of a row that fills the database, in the table that the witness does not list: an entry of Raft's log has up to 256 KiB.
ROW, TABLE = 240_000, "clusters"
# How often a database is on a Pi at the most: data, Raft's log, snapshots, backups, what is carried.
COPIES = 12


def has_room(megabytes: int, results: Results) -> bool:
    """Whether a database of this size fits on the lab's Pis; notes it where it does not. Their disks are memory, or the machine's own."""
    lab = states.require()
    meminfo = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) // 1000 for line in meminfo if line.startswith("MemAvailable:"))
    needed = COPIES * megabytes
    disk = shutil.disk_usage(lab.nodes[0].folder / "disk").free // 1_000_000
    wanted = [("disk of a Pi", disk, needed * (len(lab.nodes) if lab.options.memory else 1))]
    if not lab.options.memory:
        wanted.append(("free memory", available, needed * len(lab.nodes) // 2))
    for what, there, needs in wanted:
        if there < needs:
            results.note(f"a database of {megabytes} MB is left out: {what} is {there} MB, wanted {needs}")
            return False
    return True


def fill(megabytes: int, results: Results) -> None:
    """As many megabytes of rows as this, written through the leader as clients write."""
    lab = states.require()
    leader = cluster.leading_node(lab)
    began = time.monotonic()
    for number in range(megabytes * 1_000_000 // ROW):
        row = {"name": f"{TABLE}-of-the-bench-{number}", "note": f"{number:06}" * (ROW // 6)}
        cluster.request(leader, "POST", f"/api/v1/{TABLE}", row)
    cluster.wait_caught_up(lab)
    results.values[f"fill.{megabytes}MB"] = time.monotonic() - began


def migration(name: str, strategy: str, results: Results, *judged: str, memory: bool = False) -> None:
    """There; `judged` are arguments of the judge. With `memory` the modules' use of it is measured, too."""
    lab = states.require()
    apart = lab.profile == "published"
    state = max((machines.root(node) / DATABASE).stat().st_size for node in lab.nodes) / 1e6
    chosen = ["-e", "confirm=true", *rehearsal.strategy_arguments(strategy), *(rehearsal.PUBLISHED if apart else ())]
    with under_witness(name, results, *judged, apart=apart) as busy, peaks.watched(lab, memory) as seen:
        run = rehearsal.run_playbook("playbooks/migrate.yml", *chosen, log=results.folder / f"{name}.log")
        if run.returncode:
            raise LabError(f"{name}: migrate ended with {run.returncode}; see {results.folder}/{name}.log")
    results.values[f"{name}.run"] = run.seconds
    if not lab.options.memory:
        results.values[f"{name}.disk"] = seen.disk
    results.values[f"{name}.state"] = state
    if memory:
        results.values[f"{name}.memory"] = seen.memory
    results.tasks[name] = run.tasks
    results.profiles[name] = f"{busy}.\n\n{profile.tables(run.moments, run.seconds)}"
    if strategy == "rolling":
        results.values[f"{name}.away"] = max(
            rehearsal.journal(node.name)["phases"]["cutover"]["facts"]["away_seconds"] for node in lab.nodes
        )


def refusal(name: str, strategy: str, results: Results) -> bool:
    """Whether pre-flight refuses this; its reasons are noted."""
    log = results.folder / f"{name}-preflight.log"
    run = rehearsal.run_playbook("playbooks/preflight.yml", *rehearsal.strategy_arguments(strategy), log=log)
    seen = re.search(r"about \d+ s predicted", run.output)
    what = f"a write pause of {seen[0]}" if seen else "another reason, which its log names"
    results.note(
        f"{name}: pre-flight " + (f"refuses {strategy}: {what}" if run.returncode else f"lets {strategy} begin")
    )
    return run.returncode != 0


def rollback(name: str, results: Results) -> None:
    """And back again."""
    with under_witness(f"{name}.back", results):
        run = rehearsal.run_playbook("playbooks/rollback.yml", log=results.folder / f"{name}-back.log")
        if run.returncode:
            raise LabError(f"{name}: rollback ended with {run.returncode}; see {results.folder}/{name}-back.log")
    results.values[f"{name}.back.run"] = run.seconds


def daemonset() -> str:
    """The DaemonSet as a finished migration leaves it, to be applied by hand."""
    found = json.loads(_kubectl("get", "daemonset", settings.NAMESPACE, "-o", "json"))
    metadata = {key: found["metadata"][key] for key in ("name", "namespace", "labels") if key in found["metadata"]}
    spec = {**found["spec"], "updateStrategy": {"type": "RollingUpdate"}}
    return json.dumps({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec})


def naive(manifest: str, results: Results) -> None:
    """The procedure by hand: stop all units, copy their data, start pods on it."""
    nodes = states.require().nodes
    with under_witness("naive", results):
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
        seconds = time.monotonic() - began
    results.values["naive.run"] = seconds
