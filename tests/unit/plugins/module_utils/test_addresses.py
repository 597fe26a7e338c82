# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.addresses import (
    in_one_spelling,
    normal,
    with_port,
    without_port,
)
from conftest import CHECKOUT, import_plugin


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("10.77.0.11", "10.77.0.11:8080"),
        ("fd00::11", "[fd00::11]:8080"),
        ("[fd00::11]", "[fd00::11]:8080"),
        ("FD00:0::11", "[fd00::11]:8080"),
        ("pi-1", "pi-1:8080"),
    ],
)
def test_a4_an_address_and_a_port(address, written):
    assert with_port(address, 8080) == written
    assert without_port(written) == normal(address)
    assert import_plugin("filter.with_port").FilterModule().filters()["with_port"](address, 8080) == written


@pytest.mark.parametrize("spelling", ["fd00::11", "FD00:0:0::0011", "[fd00::11]"])
def test_a4_addresses_have_one_spelling(spelling):
    assert normal(spelling) == "fd00::11"
    assert normal("pi-1.local") == "pi-1.local"


def test_a4_an_address_with_a_port_has_one_spelling():
    assert in_one_spelling("[FD00:0::11]:9091") == in_one_spelling("[fd00::11]:9091") == "[fd00::11]:9091"
    assert in_one_spelling("pi-1:9091") == "pi-1:9091"


def test_a4_no_role_joins_an_address_and_a_port_by_itself():
    """Each of these would leave out the brackets of an IPv6 address. (Of a Raft address the port is replaced, which is no such thing.)"""
    joined = re.compile(r"""(address\w*|\bip|\bhost)\]?\s*(\}\}:\{\{|~\s*['"]:)|map\('join', ':'\)|rpartition\(':'\)""")
    roles = sorted((CHECKOUT / "roles").glob("**/*.yml")) + sorted((CHECKOUT / "playbooks").glob("*.yml"))
    assert len(roles) > 80
    found = [
        f"{path.relative_to(CHECKOUT)}: {match[0]}"
        for path in roles
        for match in joined.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
