# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: preflight_findings
short_description: Findings from everything that was read before a migration
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Judges what M(pi_controller.raft_migration.preflight_host), M(pi_controller.raft_migration.preflight_ports) and
    M(pi_controller.raft_migration.preflight_kubernetes) have seen.
  - A result that is a failure, or that a host could not give, is a finding too.
  - When some host's journal says that C(prepare) was begun, what that may have left is no finding. When a later phase
    was begun, only the hosts that do not answer and the journals that do not fit are.
positional: _input, config, owner
options:
  _input:
    description:
      - C(journal), C(host), C(ports), C(data) and C(cluster), each with the result of every host by its name, and C(kubernetes)
        with one result. C(data) and C(cluster) are parts of what M(pi_controller.raft_migration.preflight_host) returns.
    type: dict
    required: true
  config:
    description: What the filter P(pi_controller.raft_migration.migration_config#filter) returned.
    type: dict
    required: true
  owner:
    description:
      - The settings beside it. C(addresses) and C(nodes) have the address and the Kubernetes node of every host, the
        others are C(unit), C(unit_file), C(image), C(pull_policy), C(daemonset), C(resources) and C(forks); C(config_file),
        C(data_dir), C(args), C(working_dir), C(security_context), C(supplemental_groups), C(volumes) and C(volume_mounts), which say what a
        pod gets; C(followers_write), C(data_owners), C(probe_host) and C(raft_dir), which say what the daemon is like; and C(has_token),
        C(has_user), C(scheme) and C(validate_certs), which say how a token or a password is sent.
    type: dict
    required: true
"""

EXAMPLES = r"""
# The role preflight shows how `seen` and `owner` are put together.
- name: Judge what was seen
  ansible.builtin.set_fact:
    raft_migration_findings: "{{ seen | pi_controller.raft_migration.preflight_findings(raft_migration, owner) }}"
"""

RETURN = r"""
_value:
  description: One dictionary a finding, errors first. C(level) is V(error) or V(warning); only errors stop a migration.
  type: list
  elements: dict
  sample:
    - host: pi-2
      check: unit
      seen: pi-controller.service is masked
      wanted: a unit that can be started
      fix: systemctl unmask pi-controller.service
      level: error
"""

from typing import Any, Callable


def preflight_findings(seen: dict[str, Any], config: dict[str, Any], owner: dict[str, Any]) -> list[dict[str, str]]:
    # Ansible loads all filters of a collection for the first of them, in each process, and this one imports most.
    from ..module_utils._preflight.judge import evaluate

    return [finding.as_dict() for finding in evaluate(seen, config, owner)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"preflight_findings": preflight_findings}
