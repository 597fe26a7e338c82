# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both clusters in the terms of the inventory, and who answers for a leader's Pi while its own daemon must not."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from conftest import import_plugin

cluster_view = import_plugin("filter.cluster_view").FilterModule().filters()["cluster_view"]

FULL = ["snapshot", "restore", "read-only", "transfer"]


def pis(size: int, form: str = "10.77.0.{}") -> dict[str, str]:
    return {f"pi-{number}": form.format(number) for number in range(1, size + 1)}


def seen(host: str | None, address: str = "", capabilities: list[str] | None = None) -> dict[str, Any]:
    """What raft_info returns of a cluster whose leader is on this Pi."""
    leader = {"id": host, "address": address, "url": None, "host": host} if host else None
    return {"leader": leader, "term": 3, "members": [], "capabilities": FULL if capabilities is None else capabilities}


def both(addresses: dict[str, str], old: str, new: str) -> dict[str, Any]:
    return cluster_view({"old": seen(old), "new": seen(new)}, addresses)


def test_a_side_that_there_is_not_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="old and new"):
        cluster_view({"units": seen("pi-1")}, pis(2))


def test_a_side_without_a_leader_is_known_and_decides_nothing() -> None:
    assert cluster_view({"new": seen(None)}, pis(3)) == {"new": seen(None)}
    view = cluster_view({"old": seen("pi-1"), "new": seen(None)}, pis(3))
    assert "fence" not in view
    assert "detour" not in view["old"]


@pytest.mark.parametrize(
    "result", [{}, {"skipped": True}, {"unreachable": True, "msg": "m"}, {**seen("pi-9"), "failed": True}]
)
def test_a_look_that_did_not_succeed_says_nothing(result: dict[str, Any]) -> None:
    """A rollback goes by one side, whatever became of the last look at the other."""
    view = cluster_view({"old": seen("pi-3"), "new": result}, pis(3))
    assert view == {"old": seen("pi-3")}


@pytest.mark.parametrize(
    ("old", "new", "fence", "carry"),
    [
        (FULL, FULL, "read-only", "api"),
        ([], FULL, "network", "sqlite"),
        (FULL, [], "network", "sqlite"),
        (["snapshot"], ["restore"], "network", "api"),
        (["restore"], ["snapshot"], "network", "sqlite"),
        (["read-only"], ["read-only"], "network", "sqlite"),
        (["read-only", "snapshot"], FULL, "read-only", "api"),
    ],
)
def test_capabilities_of_both_sides_decide_fence_and_carry(old: list, new: list, fence: str, carry: str) -> None:
    view = cluster_view({"old": seen("pi-1", capabilities=old), "new": seen("pi-2", capabilities=new)}, pis(3))
    assert (view["fence"], view["carry"]) == (fence, carry)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_no_two_pis_forward_their_clients_to_each_other(size: int) -> None:
    addresses = pis(size)
    hosts = {address: host for host, address in addresses.items()} | {"": ""}
    for old, new in itertools.product(addresses, addresses):
        view = both(addresses, old, new)
        to = {side: hosts[view[side]["detour"]["forward_to"]] for side in ("old", "new")}
        neither = [host for host in addresses if host not in (old, new)]
        others = [host for host in addresses if host != old]
        assert to["old"] == (neither + others + [""])[0], (old, new)
        assert to["new"] == (neither + [""])[0], (old, new)
        # The old leader's Pi forwards until it is flipped, and the new leader's may be flipped before it.
        assert old == new or (to["old"], to["new"]) != (new, old), (old, new)
        assert all((view[side]["detour"]["state"] == "forwarded") == bool(to[side]) for side in to)


@pytest.mark.parametrize(
    ("own", "together", "leader"), [(1.0, 2.0, "pi-3"), (3.0, 2.0, "pi-1"), (None, 2.0, "pi-3"), (1.0, None, "pi-1")]
)
def test_the_later_look_at_a_side_counts(own: float | None, together: float | None, leader: str) -> None:
    looks: dict[str, Any] = {}
    if own:
        looks["old"] = {**seen("pi-1"), "looked_at": own}
    looks["both"] = (
        {"clusters": {"old": seen("pi-3"), "new": seen("pi-2")}, "looked_at": together}
        if together
        else {"skipped": True}
    )
    view = cluster_view(looks, pis(3))
    assert view["old"]["leader"]["host"] == leader
    assert view.get("new", {}).get("leader", {}).get("host") == ("pi-2" if together else None)
    assert ("fence" in view) is bool(together)


def test_a_later_look_at_both_that_failed_says_nothing_of_either() -> None:
    failed = {"failed": True, "clusters": {"old": seen("pi-3")}, "looked_at": 2.0}
    assert cluster_view({"old": {**seen("pi-1"), "looked_at": 1.0}, "new": {}, "both": failed}, pis(3)) == {}
    earlier = {**seen("pi-1"), "looked_at": 3.0}
    assert cluster_view({"old": earlier, "new": {}, "both": failed}, pis(3)) == {"old": earlier}
