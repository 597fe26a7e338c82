# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: migration_config
short_description: The migration's whole configuration from a user's partial one
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - Merges the given structure over the defaults, checks it, and adds the timeouts in seconds.
  - Everything that is wrong is reported at once, one fault a line, so that nothing has to be found out by trying again.
  - A result may be fed in again and comes out unchanged.
positional: _input, paths, run_paths
options:
  _input:
    description:
      - What the user wrote as C(migration); may be empty.
      - C(strategy), V(parallel) or V(rolling).
      - C(temporary_ports) and C(standard_ports), each with C(raft), C(grpc) and C(rest).
      - C(backup_path) and C(archive_path).
      - C(timeouts) with C(snapshot_timeout), C(transfer_timeout), C(cutover_timeout), C(health_timeout), C(phase_timeout),
        C(quorum_lost_after) and C(leader_lost_after), each as V(30s), V(2m), V(1m30s), V(1h) or whole seconds.
      - C(safety) with C(require_confirmation), C(auto_rollback_on_error), C(preserve_systemd_backup) and C(watch).
      - C(temporary_env) and C(standard_env), the pods' environment while the unit runs beside them and afterwards.
      - C(temporary_env) merges over defaults that keep a pod away from the unit's other listeners, from the Pi's
        hardware and from mDNS.
    type: dict
    required: true
  paths:
    description:
      - The owner's own paths by the names of their settings, for example C(pi_controller_data_dir). None of the folders
        may be inside of another, nor inside of C(backup_path) or C(archive_path), nor the other way round.
    type: dict
    default: {}
  run_paths:
    description:
      - Paths that are given for a single run, by the names of their variables, for example C(restore_from). They may lie
        anywhere, but have to be absolute and without C(..). An empty one is as good as none.
    type: dict
    default: {}
notes:
  - The daemon's controller manager listens on 8082 for metrics where C(kubernetes.enabled) is set, and 8082 is the
    default of C(temporary_ports.rest). The pods have it switched off; whether the unit holds that port is for the
    pre-flight to see.
"""

EXAMPLES = r"""
# migration:
#   temporary_ports: {rest: 18082}
#   timeouts: {cutover_timeout: 1m30s}
- name: Know the whole configuration
  ansible.builtin.set_fact:
    raft_migration: "{{ migration | default({}) | pi_controller.raft_migration.migration_config }}"
# raft_migration.temporary_ports is {raft: 9092, grpc: 9093, rest: 18082}
# raft_migration.timeouts_seconds.cutover_timeout is 90
"""

RETURN = r"""
_value:
  description: The whole structure, every key set, with C(timeouts_seconds) beside C(timeouts).
  type: dict
"""

from typing import Any, Callable, Optional

from ansible.errors import AnsibleFilterError

from ..module_utils._config.structure import ConfigError, resolve


def migration_config(
    migration: Any, paths: Optional[dict[str, Any]] = None, run_paths: Optional[dict[str, Any]] = None
) -> dict[str, Any]:
    try:
        return resolve(migration, paths, run_paths)
    except ConfigError as error:
        number = len(error.errors)
        title = "The configuration `migration` has " + ("an error" if number == 1 else f"{number} errors")
        raise AnsibleFilterError("\n- ".join([f"{title}, nothing has been touched:", *error.errors])) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"migration_config": migration_config}
