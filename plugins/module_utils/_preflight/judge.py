# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All findings over all hosts, from everything that was seen. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.addresses import without_port
from .._core.journal import PARALLEL
from .cluster import choose, cluster_findings
from .control_node import control_node_findings
from .daemon import daemon_findings
from .findings import EVERYWHERE, Finding, ordered
from .host import host_findings, is_down
from .kubernetes import kubernetes_findings
from .network import network_findings
from .outlook import outlook
from .pause import pause_findings
from .plan import BEYOND, FRESH, Plan, make_plan, states_of
from .replicas import followers_findings, replica_findings
from .strategy import strategy_findings
from .transport import transport_findings
from .way import way_of

# What was seen, by the name under which the role hands it over.
LOOKS = ("host", "ports", "cluster")
# What only a look that came to its end has in its result.
PROOF = {"host": "paths", "ports": "reached", "kubernetes": "nodes"}
# As Ansible's missing_required_lib says it.
LIBRARY_MISSING = "Failed to import the required Python library"
TASKS = {"host": "check of this Pi", "ports": "check of the ports"}


def evaluate(seen: Mapping[str, Any], config: Mapping[str, Any], owner: Mapping[str, Any]) -> list[Finding]:
    """Every finding, in order.

    `seen` has, for each host, the results of the tasks that looked (`journal`, `host`, `ports`), the parts `cluster` and `data` of
    that of `host`, and the result of the task that looked at `kubernetes`; each may be a failure, or missing.
    """
    plan = make_plan(config, owner, seen["journal"])
    findings = [*_unseen(plan, seen), *_run(plan, seen["journal"]), *transport_findings(owner)]
    # Beyond prepare the pods and the unit have changed places, and these checks would report just that.
    if plan.stage != BEYOND:
        findings += _checks(plan, seen)
        findings += _replicas(plan, seen)
        findings += daemon_findings(seen.get("data") or {}, config["standard_env"], owner)
    return ordered(findings, plan.hosts)


def expected(seen: Mapping[str, Any], config: Mapping[str, Any], owner: Mapping[str, Any]) -> list[str]:
    """What each strategy would cost, in lines for people; none once one of them has begun. The arguments are those of `evaluate`."""
    plan = make_plan(config, owner, seen["journal"])
    if plan.stage != FRESH:
        return []
    return outlook(plan, _hosts(plan, seen), seen["cluster"])


def _hosts(plan: Plan, seen: Mapping[str, Any]) -> dict[str, Any]:
    """The Pis whose look came to its end."""
    return {host: seen["host"][host] for host in plan.hosts if _good("host", seen["host"].get(host))}


def _good(name: str, result: Mapping[str, Any] | None) -> bool:
    """Whether the look came to its end. The tasks never fail, so that the play goes on; their results tell."""
    return PROOF[name] in (result or {})


def _unseen(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    """Hosts that could not be reached, and looks that failed: nothing counts as good that has not been read."""
    for host in plan.hosts:
        results = {name: seen[name].get(host) or {} for name in ("journal", *LOOKS)}
        lost = [result for result in results.values() if result.get("unreachable")]
        if lost:
            yield Finding(
                host,
                "ssh",
                _first_line(lost[0].get("msg", "no answer")),
                "an answer over ssh",
                "switch it on; correct ansible_host, ansible_user or the key; take a Pi that is gone out of the cluster first",
            )
            continue
        for name in TASKS:
            if plan.stage != BEYOND and not _good(name, results[name]):
                output = results[name].get("module_stderr") or results[name].get("msg") or "it did not run"
                yield Finding(
                    host, TASKS[name], _last_line(output), "a check that finishes", "run preflight again with -vvv"
                )
    kubernetes = seen["kubernetes"]
    if plan.stage != BEYOND and not _good("kubernetes", kubernetes):
        yield _api_unseen(kubernetes or {})


def _api_unseen(result: Mapping[str, Any]) -> Finding:
    text = _first_line(result.get("msg", "it was not asked"))
    wanted = "an answer"
    step = "start the API server (on K3s: the service k3s), and check that pi_controller_kubeconfig points to it"
    if LIBRARY_MISSING in text:
        wanted = "the libraries of requirements.txt in the Python that the control node's tasks run with"
        # One of the inventory that is meant for the Pis may be of localhost as well, and one given with -e always is.
        step = (
            "set ansible_python_interpreter of localhost to {{ ansible_playbook_python }}, and do not give it with -e; "
            "install requirements.txt in that Python"
        )
    elif (result.get("failure") or {}).get("status") == 403:
        step = "apply docs/rbac.yml of this release, or use a kubeconfig whose user may do this"
    return Finding(EVERYWHERE, "Kubernetes API", text, wanted, step)


def _first_line(text: Any) -> str:
    return (str(text).strip() or "no output").splitlines()[0][:300]


def _last_line(text: Any) -> str:
    return (str(text).strip() or "no output").splitlines()[-1][:300]


def _run(plan: Plan, journals: Mapping[str, Any]) -> Iterator[Finding]:
    if plan.forks < len(plan.hosts):
        yield Finding(
            EVERYWHERE,
            "forks",
            str(plan.forks),
            f"{len(plan.hosts)} or more: each task runs on all Pis at once",
            f"ansible-playbook --forks {len(plan.hosts)}, or forks in ansible.cfg",
        )
    families = {6 if ":" in place.address else 4 for place in plan.places.values()}
    if len(families) > 1:
        listed = ", ".join(f"{host} {place.address}" for host, place in plan.places.items())
        yield Finding(
            EVERYWHERE,
            "address family",
            listed,
            "addresses of one family: the pods have one DaemonSet, in which their Raft address is written",
            "give each daemon an address of the same family in cluster.bind_addr, and set pi_controller_address to it",
        )
    if plan.stage != BEYOND:
        return
    for host in plan.hosts:
        state = states_of(journals.get(host)).get("prepare")
        if state is not None and state != "done":
            yield Finding(
                host,
                "journal",
                f"prepare is {state}, while other Pis are beyond it",
                "all Pis at the same phase",
                "was this Pi set up anew? Roll back, then start over",
            )


def _replicas(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    looks = seen.get("data") or {}
    data = {host: looks[host] for host in plan.hosts if "tables" in (looks.get(host) or {})}
    view = choose(plan.hosts, seen["cluster"]) or {}
    address = without_port((view.get("leader") or {}).get("address") or "")
    yield from replica_findings(data, plan.host_at(address), plan.strategy)
    yield from followers_findings(data, plan.host_at(address), plan.followers_write)
    if plan.strategy == PARALLEL and data:
        for host in plan.hosts:
            # Without it, whether this Pi's rows would be dropped is unknown.
            if host not in data and _good("host", seen["host"].get(host)):
                text = (looks.get(host) or {}).get("msg") or "it did not run"
                yield Finding(
                    host,
                    "database content",
                    _first_line(text),
                    "a comparison with the other Pis",
                    "run preflight again with -vvv",
                )


def _checks(plan: Plan, seen: Mapping[str, Any]) -> Iterator[Finding]:
    hosts = _hosts(plan, seen)
    ports = {host: seen["ports"][host] for host in plan.hosts if _good("ports", seen["ports"].get(host))}
    lost = {
        host
        for host in plan.hosts
        if any((seen[name].get(host) or {}).get("unreachable") for name in ("journal", *LOOKS))
    }
    down = lost | {host for host, result in hosts.items() if is_down(result)}
    view = choose(plan.hosts, seen["cluster"]) or {}
    for host, result in hosts.items():
        yield from host_findings(plan, host, result, way_of(plan.strategy, view))
        yield from control_node_findings(plan, host, result)
    yield from pause_findings(plan, hosts, view)
    yield from strategy_findings(plan, hosts)
    yield from network_findings(plan, ports, down)
    yield from cluster_findings(
        plan, seen["cluster"], {host: result["node_id"] for host, result in hosts.items()}, down
    )
    if _good("kubernetes", seen["kubernetes"]):
        present = {host: result["image_present"] for host, result in hosts.items()}
        yield from kubernetes_findings(plan, seen["kubernetes"], present)
