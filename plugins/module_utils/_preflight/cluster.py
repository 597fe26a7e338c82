# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the running Raft cluster, from what M(preflight_host) has seen of it from each Pi. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from .._core.addresses import without_port
from .._core.journal import PARALLEL
from .._daemon.drivers import settings
from .findings import EVERYWHERE, WARNING, Finding
from .plan import Plan


def choose(hosts: Iterable[str], views: Mapping[str, Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    """One view for all, so that no two Pis act on different ones: the first that is as wanted, else the first."""
    known = [view for view in (views.get(host) for host in hosts) if view and "members" in view]
    # The module asks for them last, when all conditions hold.
    good = [view for view in known if "capabilities" in view]
    return next(iter(good or known), None)


def cluster_findings(
    plan: Plan,
    views: Mapping[str, Mapping[str, Any] | None],
    node_ids: Mapping[str, str | None],
    down: Collection[str],
) -> Iterator[Finding]:
    """`node_ids` is the Raft ID in each Pi's configuration; of the Pis that are `down` it is known why they are silent."""
    yield from _one_id_each(node_ids)
    view = choose(plan.hosts, views)
    if view is None:
        reason = next((str(view["msg"]) for view in views.values() if view and view.get("msg")), "no Pi could read it")
        yield Finding(EVERYWHERE, "cluster", reason, "an answer of every daemon", "see the findings of the single Pis")
        return
    yield from _leader(view)
    yield from _silent(plan, view, down)
    if view["members"]:
        yield from _members(plan, view)
        yield from _behind(plan, view)
        yield from _even(view)


def _one_id_each(node_ids: Mapping[str, str | None]) -> Iterator[Finding]:
    holders: dict[str, list[str]] = {}
    for host, node_id in node_ids.items():
        if node_id:
            holders.setdefault(node_id, []).append(host)
    for node_id, hosts in holders.items():
        for host in hosts[1:]:
            yield Finding(
                host,
                "Raft ID",
                f"{node_id}, as on {hosts[0]}",
                "an ID of its own",
                f"give it its own {settings.NODE_ID_KEY}; the member has to be added anew under it",
            )


def _leader(view: Mapping[str, Any]) -> Iterator[Finding]:
    if view["rivals"]:
        yield Finding(
            EVERYWHERE,
            "leader",
            f"{' and '.join(view['rivals'])} both claim to lead in term {view['term']}",
            "one leader",
            "these are two clusters: find out which holds the data",
        )
    elif not view["quorate"]:
        leader = view["leader"]
        none = f"none in term {view['term']}" if view["members"] else "no daemon answers"
        yield Finding(
            EVERYWHERE,
            "leader",
            f"{leader['address']} in term {view['term']}, no majority follows" if leader else none,
            "one leader that a majority follows",
            "start the daemons that are down and see that they reach each other on the Raft port",
        )


def _silent(plan: Plan, view: Mapping[str, Any], down: Collection[str]) -> Iterator[Finding]:
    for member in view["unanswered"]:
        host = plan.host_at(without_port(member["url"].rpartition("://")[2]))
        if host not in down:
            yield Finding(
                host or EVERYWHERE,
                "REST",
                str(member["error"]),
                f"an answer at {member['url']}",
                "see that the daemon runs and listens there, and that pi_controller_scheme and pi_controller_token fit",
            )


def _members(plan: Plan, view: Mapping[str, Any]) -> Iterator[Finding]:
    port = plan.standard_ports["raft"]
    present = set()
    for member in view["members"]:
        address, _colon, number = member["address"].rpartition(":")
        host = plan.host_at(address)
        name = f"{member['id']} at {member['address']}"
        if host is None:
            yield Finding(
                EVERYWHERE,
                "members",
                name,
                "every member is a Pi of the inventory",
                "add it to the group (pi_controller_address where ansible_host is another), or remove a member that is gone",
            )
            continue
        present.add(host)
        if number != str(port):
            yield Finding(host, "Raft address", name, f"port {port}", f"set migration.standard_ports.raft to {number}")
        # The new cluster of `parallel` is one of voters; with `rolling` each member stays what it is.
        if not member["voter"] and plan.strategy == PARALLEL:
            yield Finding(
                host,
                "members",
                f"{name} has no vote",
                "a voter",
                "set migration.strategy to rolling, which leaves each member what it is; or promote it, or remove it from the cluster",
            )
    for host in plan.hosts:
        if host not in present:
            yield Finding(
                host,
                "members",
                f"no member at {plan.places[host].address}",
                "one member on every Pi",
                "correct ansible_host or pi_controller_address, or let this Pi join the cluster first",
            )


def _behind(plan: Plan, view: Mapping[str, Any]) -> Iterator[Finding]:
    if view["caught_up"] or not view["leader"]:
        return
    for member in view["members"]:
        # What does not answer at all has been reported as that.
        if not member["behind"] or not member["reachable"]:
            continue
        lag = f" ({member['lag']} entries behind)" if member.get("lag") else ""
        yield Finding(
            plan.host_at(without_port(member["address"])) or EVERYWHERE,
            "caught up",
            f"{member['behind']}{lag}",
            "every voter has all the leader has committed",
            "wait until it has caught up; where it does not, read its log",
        )


def _even(view: Mapping[str, Any]) -> Iterator[Finding]:
    if view["voters"] % 2 == 0:
        yield Finding(
            EVERYWHERE,
            "voters",
            str(view["voters"]),
            "an odd number: one voter more than that tolerates no further failure",
            "nothing for the migration; consider adding a Pi",
            WARNING,
        )
