# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from conftest import CHECKOUT, import_plugin

by_host = import_plugin("filter.by_host").FilterModule().filters()["by_host"]
members_at = import_plugin("filter.members_at").FilterModule().filters()["members_at"]
HOSTVARS = {
    "pi-1": {"address": "10.77.0.11", "seen": {"versions": {"os": "12"}}},
    "pi-2": {"address": "10.77.0.12", "seen": {}},
    "pi-3": {},
}


def test_values_come_by_host_in_the_order_of_the_hosts() -> None:
    assert list(by_host(["pi-2", "pi-1"], HOSTVARS, "address").items()) == [
        ("pi-2", "10.77.0.12"),
        ("pi-1", "10.77.0.11"),
    ]


def test_a_place_inside_a_variable_can_be_named() -> None:
    assert by_host(["pi-1"], HOSTVARS, "seen.versions.os") == {"pi-1": "12"}


@pytest.mark.parametrize("name", ["seen.versions", "seen.versions.os", "absent", "address.port"])
def test_a_host_without_the_variable_gets_the_default(name: str) -> None:
    assert by_host(["pi-2"], HOSTVARS, name, default={}) == {"pi-2": {}}


def test_a_value_of_none_is_a_value() -> None:
    assert by_host(["pi-1"], {"pi-1": {"journal": None}}, "journal", default={}) == {"pi-1": None}


@pytest.mark.parametrize(("host", "name"), [("pi-3", "address"), ("pi-2", "seen.versions"), ("pi-9", "address")])
def test_without_a_default_the_error_names_host_and_variable(host: str, name: str) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"{host} has no {name}"):
        by_host(["pi-1", host], HOSTVARS, name)


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - set_fact: {own: "{{ inventory_hostname }}"}
      when: inventory_hostname != 'pi-2'
    - keep:
        content: "{{ groups.all | pi_controller.raft_migration.by_host(hostvars, name, default='none') | to_json }}"
        dest: "{{ playbook_dir }}/{{ name }}.json"
      loop: [own, templated, inventory_hostname]
      loop_control: {loop_var: name}
      delegate_to: localhost
      run_once: true
"""


@pytest.mark.usefixtures("keep")
def test_a_variable_is_evaluated_for_its_own_host(tmp_path: Path, ansible_playbook: str) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    variables = {
        "templated": "{{ inventory_hostname }}!",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {"pi-1": {}, "pi-2": {}}, "vars": variables}}))
    command = [ansible_playbook, "play.yml", "-i", "hosts.json", "-c", "local"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("own", "templated", "inventory_hostname")
    }
    assert found == {
        "own": {"pi-1": "pi-1", "pi-2": "none"},
        "templated": {"pi-1": "pi-1!", "pi-2": "pi-2!"},
        "inventory_hostname": {"pi-1": "pi-1", "pi-2": "pi-2"},
    }


@pytest.mark.parametrize("host", ["10.77.0.1", "pi.example", "fd00::1", "[fd00::1]"])
def test_only_members_on_exactly_that_host_are_found(host: str) -> None:
    """An address is no pattern: 10.77.0.1 matches neither 10.77.0.11 nor 10x77.0.1."""
    written = f"[{host.strip('[]')}]" if ":" in host else host
    lookalikes = [
        "10.77.0.11:9091",
        "110.77.0.1:9091",
        "10x77.0.1:9091",
        "pixexample:9091",
        "[fd00::11]:9091",
        "[fd00::1:1]:9091",
    ]
    members = [{"address": address} for address in (*lookalikes, f"{written}:9091", f"{written}:9092")]
    assert members_at(members, host) == members[-2:]


def test_a4_a_member_is_found_by_any_spelling_of_its_address():
    members = [{"id": "pi-1", "address": "[fd00::11]:9091"}, {"id": "pi-2", "address": "[fd00::12]:9091"}]
    assert members_at(members, "fd00:0:0::0011") == members[:1]
