# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of a leader, and members that have to be the ones of before."""

from __future__ import annotations

import pytest
from conftest import import_plugin

hosts = import_plugin("module_utils._raft.hosts")
MigrationError = import_plugin("module_utils._core.failures").MigrationError


@pytest.mark.parametrize("form", ["[fd00::{}]", "pi-{}.lan", "10.77.0.{}"])
def test_addresses_are_compared_as_a_whole(form: str) -> None:
    # Of 11 and 1 each begins, or ends, with the other.
    known = {f"pi-{number}": form.format(number) for number in range(1, 12)}
    for host, address in known.items():
        leader = {"id": "n", "address": f"{address}:9091", "url": None}
        assert hosts.on_host(leader, known) == {**leader, "host": host}


def test_a_leader_outside_the_inventory_is_an_error() -> None:
    with pytest.raises(MigrationError, match=r"led from 10\.77\.0\.9:9091.*pi-1 \(10\.77\.0\.1\)") as caught:
        hosts.on_host({"address": "10.77.0.9:9091"}, {"pi-1": "10.77.0.1"})
    assert "set pi_controller_address" in caught.value.full_message


MEMBERS = [{"id": "pi-1", "address": "10.77.0.11:9091"}, {"id": "pi-2", "address": "10.77.0.12:9091"}]
BEFORE = {"pi-1": "10.77.0.11:9091", "pi-2": "10.77.0.12:9091"}


@pytest.mark.parametrize("before", [BEFORE, {}])
def test_the_members_of_before_pass_and_so_do_any_after_none(before: dict[str, str]) -> None:
    hosts.check_members(MEMBERS, before, None)


@pytest.mark.parametrize(
    "before", [{**BEFORE, "pi-2": "10.77.0.12:9092"}, {"pi-1": BEFORE["pi-1"]}, {**BEFORE, "pi-3": "x"}]
)
def test_other_members_than_before_are_an_error(before: dict[str, str]) -> None:
    with pytest.raises(MigrationError, match="as before") as caught:
        hosts.check_members(MEMBERS, before, "look at the file")
    assert (caught.value.failure["seen"], caught.value.failure["wanted"]) == (BEFORE, before)
    assert caught.value.full_message.endswith("Next: look at the file")


def test_a_member_of_another_cluster_is_an_error() -> None:
    hosts.check_apart(MEMBERS, ["10.77.0.11:9092"], None)
    hosts.check_apart([], list(BEFORE.values()), None)
    with pytest.raises(MigrationError, match="10.77.0.12:9091") as caught:
        hosts.check_apart(MEMBERS, ["10.77.0.12:9091", "10.77.0.13:9091"], "move the folder away")
    assert caught.value.failure["seen"] == ["10.77.0.12:9091"]
    assert caught.value.full_message.endswith("Next: move the folder away")
