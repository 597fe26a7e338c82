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


def seen(leader: str | None, port: int = 9091, capabilities: list[str] | None = None) -> dict[str, Any]:
    found = {"id": leader, "address": f"{leader}:{port}", "url": None} if leader else None
    return {"leader": found, "term": 3, "members": [], "capabilities": FULL if capabilities is None else capabilities}


def both(addresses: dict[str, str], old: str, new: str, **more: Any) -> dict[str, Any]:
    known = cluster_view({}, "old", seen(addresses[old], **more), addresses)
    return cluster_view(known, "new", seen(addresses[new], 9092), addresses)


def test_a_leader_gets_the_name_of_its_pi() -> None:
    view = both(pis(3), "pi-3", "pi-1")
    assert view["old"]["leader"]["host"] == "pi-3"
    assert view["new"]["leader"] == {"id": "10.77.0.1", "address": "10.77.0.1:9092", "url": None, "host": "pi-1"}
    assert view["old"]["term"] == 3


@pytest.mark.parametrize("form", ["[fd00::{}]", "pi-{}.lan", "10.77.0.{}"])
def test_addresses_are_compared_as_a_whole(form: str) -> None:
    # Of 11 and 1 each begins, or ends, with the other.
    addresses = pis(11, form)
    for host in addresses:
        assert both(addresses, host, "pi-2")["old"]["leader"]["host"] == host


def test_a_leader_outside_the_inventory_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match=r"old cluster is led from 10\.77\.0\.9:9091.*pi-1 \(10\.77\.0\.1\)"):
        cluster_view({}, "old", seen("10.77.0.9"), pis(2))
    with pytest.raises(AnsibleFilterError, match="old and new"):
        cluster_view({}, "units", seen("10.77.0.1"), pis(2))


def test_a_side_without_a_leader_is_known_and_decides_nothing() -> None:
    view = cluster_view({}, "new", seen(None), pis(3))
    assert view == {"new": seen(None)}
    view = cluster_view(view, "old", seen("10.77.0.1"), pis(3))
    assert "fence" not in view
    assert "detour" not in view["old"]


def test_a_new_view_replaces_the_old_one_completely() -> None:
    view = both(pis(3), "pi-3", "pi-1")
    view = cluster_view(view, "new", seen(None), pis(3))
    assert "fence" not in view
    assert "detour" not in view["old"]
    view = cluster_view(view, "new", seen("10.77.0.2", 9092), pis(3))
    assert view == both(pis(3), "pi-3", "pi-2")


@pytest.mark.parametrize(
    ("old", "new", "fence", "carry"),
    [
        (FULL, FULL, "read-only", "api"),
        ([], FULL, "network", "sqlite"),
        (FULL, [], "network", "sqlite"),
        (["snapshot"], ["restore"], "network", "api"),
        (["restore"], ["snapshot"], "network", "sqlite"),
        (["read-only"], ["read-only"], "read-only", "sqlite"),
    ],
)
def test_capabilities_of_both_sides_decide_fence_and_carry(old: list, new: list, fence: str, carry: str) -> None:
    view = cluster_view({}, "old", seen("10.77.0.1", capabilities=old), pis(3))
    view = cluster_view(view, "new", seen("10.77.0.2", capabilities=new), pis(3))
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
