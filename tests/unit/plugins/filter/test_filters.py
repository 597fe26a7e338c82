# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from conftest import import_plugin

migration_config = import_plugin("filter.migration_config").FilterModule().filters()["migration_config"]
pod_environment = import_plugin("filter.pod_environment").FilterModule().filters()["pod_environment"]


def test_an_empty_configuration_is_whole():
    assert migration_config({})["timeouts_seconds"]["snapshot_timeout"] == 30


def test_one_message_lists_every_error_on_its_own_line():
    with pytest.raises(AnsibleFilterError) as refused:
        migration_config({"temporary_ports": {"rest": 8080}, "backup_path": "b", "safty": {}})

    assert str(refused.value).splitlines() == [
        "The configuration `migration` has 3 errors, nothing has been touched:",
        "- safty is unknown; did you mean safety?",
        "- temporary_ports.rest and standard_ports.rest are both 8080; every listener needs a port of its own.",
        '- backup_path must be an absolute path, not "b".',
    ]


def test_a_pod_beside_the_unit_keeps_off_its_ports_and_its_hardware():
    listed = pod_environment(migration_config({"temporary_env": {"EXTRA": "1"}}), "temporary")
    environment = {entry["name"]: entry["value"] for entry in listed}

    assert len(environment) == len(listed)
    assert environment["PI_CONTROLLER_API_PORT"] == "8082"
    assert "PI_CONTROLLER_CLUSTER_BOOTSTRAP" not in environment, "it would win over the pod's file"
    assert environment["PI_CONTROLLER_GPIO_ENABLED"] == "false"
    assert environment["EXTRA"] == "1"


@pytest.mark.parametrize(("address", "written"), [("10.77.0.11", "$(HOST_IP):9092"), ("fd00::11", "[$(HOST_IP)]:9092")])
def test_a4_a_pod_writes_its_raft_address_as_its_family_does(address, written):
    listed = pod_environment(migration_config({}), "temporary", address=address)
    assert {"name": "PI_CONTROLLER_CLUSTER_BIND_ADDR", "value": written} in listed


def test_a_pod_in_the_units_place_has_only_its_ports_set():
    assert [entry["name"] for entry in pod_environment(migration_config({}), "standard")] == [
        "PI_CONTROLLER_API_PORT",
        "PI_CONTROLLER_GRPC_PORT",
        "PI_CONTROLLER_CLUSTER_BIND_ADDR",
        "PI_CONTROLLER_CLUSTER_BOOTSTRAP",
    ]


def test_pod_environment_refuses_what_it_does_not_know():
    with pytest.raises(AnsibleFilterError, match="temporary and standard"):
        pod_environment(migration_config({}), "final")
