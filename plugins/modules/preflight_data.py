#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_data
short_description: Read what a Pi's daemon holds, for a comparison with the other Pis
description:
  - Reads the hashes of all rows twice, O(pause) seconds apart, since two replicas are never equal while clients write. What one Pi
    has both times and another one neither time was not replicated.
  - Of the CA folder and of the daemon's program only a digest leaves the Pi, of a row only a part of its hash.
version_added: 0.2.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  database:
    description: The daemon's SQLite database.
    type: path
    required: true
  exclude_tables:
    description: Tables that record how far the daemon has applied its own Raft log.
    type: list
    elements: str
    default: []
  volatile_columns:
    description: Columns that the daemon writes by itself, as C(table.column). Case does not matter.
    type: list
    elements: str
    default: []
  ca_dir:
    description: The folder of the daemon's CA.
    type: path
  unit:
    description: The systemd unit whose running program is compared.
    type: str
  config_file:
    description: The daemon's configuration file, from which those of the pod are made.
    type: str
  raft_dir:
    description: Where the daemon's Raft folder is expected.
    type: path
  compare:
    description: Whether to read all rows. Without it only the first ones of each table are read, once.
    type: bool
    default: true
  pause:
    description: Seconds between the two looks. A replica must lag by less.
    type: float
    default: 2.0
  busy_timeout:
    description: Seconds to wait for a database that is locked.
    type: float
    default: 10.0
"""

EXAMPLES = r"""
- name: Read what this Pi holds
  pi_controller.raft_migration.preflight_data:
    database: /var/lib/pi-controller/pi-controller.db
    volatile_columns: [nodes.last_seen]
    ca_dir: /etc/pi-controller/ca
    unit: pi-controller.service
"""

RETURN = r"""
tables:
  description:
    - By table, C(rows) with the hashes of the rows seen, C(unsteady) with those seen in one look alone, and C(up_to), the largest
      hash of a table that has too many rows to compare them all.
  returned: success
  type: dict
first_rows:
  description: By table, the hashes of its first rows.
  returned: when O(compare=false)
  type: dict
ca:
  description: A digest of the CA folder; null where there is none.
  returned: success
  type: str
program:
  description: SHA-256 of the program that the unit runs; null where it does not run.
  returned: success
  type: str
config:
  description:
    - C(error) says why the pod's configuration cannot be made from the file, if it cannot. C(raft_dir), C(rest_host) and
      C(kubernetes) are what the file says of them, null where it says nothing.
  returned: when O(config_file) is given
  type: dict
raft_dir_found:
  description: Whether the Raft folder is where it is expected.
  returned: when O(raft_dir) is given
  type: bool
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import hashlib
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.durable import sha256_of
from ..module_utils._core.modules import run_module
from ..module_utils._core.safe_open import read_bytes
from ..module_utils._core.systemd import parse_show, show_command
from ..module_utils._daemon.pod_files import look
from ..module_utils._sqlite.replicas import first_rows, read_twice

MAX_FILES = 256
MAX_FILE = 1 << 20


def ca_digest(folder: Optional[str]) -> Optional[str]:
    """Over the names and contents of its files; None where there are none."""
    if not folder or not Path(folder).is_dir():
        return None
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink())[:MAX_FILES]
    digest = hashlib.sha256()
    for path in files:
        digest.update(
            ascii((str(path.relative_to(folder)), hashlib.sha256(read_bytes(path, MAX_FILE)).hexdigest())).encode()
        )
    return digest.hexdigest() if files else None


def program_digest(module: AnsibleModule) -> Optional[str]:
    systemctl = module.get_bin_path("systemctl")
    if not systemctl or not module.params["unit"]:
        return None
    _rc, text, _err = module.run_command(show_command(systemctl, module.params["unit"]))
    pid = parse_show(text)["pid"]
    try:
        # The very file that runs, also where another one has its name by now.
        return sha256_of(Path(f"/proc/{pid}/exe")) if pid else None
    except OSError:
        return None


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    given = module.params
    result["ca"], result["program"] = ca_digest(given["ca_dir"]), program_digest(module)
    if given["config_file"]:
        result["config"] = look(Path(given["config_file"]))
    if given["raft_dir"]:
        result["raft_dir_found"] = Path(given["raft_dir"]).is_dir()
    database, left_out = Path(given["database"]), (given["exclude_tables"], given["volatile_columns"])
    if given["compare"]:
        result["tables"] = read_twice(database, *left_out, given["pause"], given["busy_timeout"])
    else:
        result.update(tables={}, first_rows=first_rows(database, *left_out, given["busy_timeout"]))


def define_module() -> AnsibleModule:
    return AnsibleModule(
        argument_spec={
            "database": {"type": "path", "required": True},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "volatile_columns": {"type": "list", "elements": "str", "default": []},
            "ca_dir": {"type": "path"},
            "unit": {"type": "str"},
            "config_file": {"type": "str"},
            "raft_dir": {"type": "path"},
            "compare": {"type": "bool", "default": True},
            "pause": {"type": "float", "default": 2.0},
            "busy_timeout": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )


def main() -> None:
    module = define_module()
    run_module(module, run, doing=f"reading {module.params['database']}")


if __name__ == "__main__":
    main()
