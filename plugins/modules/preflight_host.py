#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_host
short_description: Read everything that pre-flight needs to know of one Pi
description:
  - Looks at folders and file systems, the daemon's unit, its database, who listens on which port, the memory, the
    container images, and whether the Pi has the address it is known by; at what the daemon holds (RV(data)); and from
    here at the Raft cluster (RV(cluster)). All in one go, since each call of a module is a round trip to a slow host.
  - Each of the three parts can fail alone. Where RV(data) or RV(cluster) cannot be read, it has C(msg) and C(failure) and the
    module does not fail. Of the Pi itself, a single fact that cannot be read is empty; where reading it ends early, the module
    fails, and returns both all the same.
  - Reads the hashes of all rows O(looks) times, O(pause) seconds apart, since two replicas are never equal while clients write. What
    one Pi has each time and another one at no time was not replicated. The Pi itself is read after the first look.
  - The cluster is read last. Reading the database and measuring the disk may slow a Pi's daemon down, and the Pi that comes to
    this point last sees all others idle.
  - Of the CA folder and of the daemon's program only a digest leaves the Pi, of a row only a part of its hash.
  - Judges nothing. What is found goes into P(pi_controller.raft_migration.preflight_findings#filter).
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.rest
  - pi_controller.raft_migration.awaited
  - pi_controller.raft_migration.attributes
  - pi_controller.raft_migration.attributes.read_only
options:
  urls:
    required: true
  paths:
    description:
      - The folders and files of the migration by the names of their settings, C(data_dir), C(database),
        C(config_file), C(backup_path), C(archive_path) and C(pod_data_dir).
    type: dict
    required: true
  unit:
    description: The daemon's systemd unit.
    type: str
    required: true
  ports:
    description: Ports whose listeners are looked for.
    type: list
    elements: int
    required: true
  address:
    description: The address this Pi is known by.
    type: str
    required: true
  image:
    description: The image to look for in the container runtime.
    type: str
    default: ""
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
  raft_dir:
    description: Where the daemon's Raft folder is expected.
    type: path
  compare:
    description: Whether to read all rows. Without it only the first ones of each table are read, once.
    type: bool
    default: true
  looks:
    description:
      - How often all rows are looked at.
      - With two looks a difference is only a suspicion. A row that is written between the looks at two Pis, and again after them, looks like
        one that is on one Pi alone. With three looks at each, the second one at a Pi falls between the first and the third at
        every other one, unless these begin more than O(pause) apart.
    type: int
    default: 2
    version_added: 0.2.0
  pause:
    description: Seconds from each look at the rows to the next one, at least. A replica must lag by less.
    type: float
    default: 2.0
  control_node_ports:
    description: Ports of O(address) to which the control node itself connects. With the module alone none is tried.
    type: list
    elements: int
    default: []
    version_added: 0.2.0
notes:
  - Token and password are hidden in RV(cluster), the only part that is made with them. In the others a password that happens to be a word
    of a path would hide that word.
  - Of the daemon's environment and of its flags only the names are returned, since values may be secrets.
  - SQLite itself may leave an empty C(-wal) and a C(-shm) beside a database in WAL mode that no other process has open.
"""

EXAMPLES = r"""
- name: Look at the Pi
  pi_controller.raft_migration.preflight_host:
    paths:
      data_dir: /var/lib/pi-controller
      database: /var/lib/pi-controller/pi-controller.db
      config_file: /etc/pi-controller/config.yaml
      backup_path: /var/backups/pi-controller-migration
      archive_path: /var/lib/pi-controller.systemd.backup
      pod_data_dir: /var/lib/pi-controller-pods
    unit: pi-controller.service
    ports: [8080, 9090, 9091, 8082, 9093, 9092]
    address: 10.77.0.11
    volatile_columns: [nodes.last_seen]
    ca_dir: /etc/pi-controller/ca
    urls: [http://10.77.0.11:8080, http://10.77.0.12:8080, http://10.77.0.13:8080]
    wait_for: {voters: 3, caught_up: true}
    wait_timeout: 5
  register: seen
"""

RETURN = r"""
privileged:
  description: Whether the module ran as root; without that, listeners cannot be distinguished.
  returned: success
  type: bool
python:
  description: Version of Python on the Pi.
  returned: success
  type: str
  sample: 3.11.2
paths:
  description: >-
    Kind, symbolic links on the way, file system and mounts of every path, and what makes its content memory (C(in_memory), null where it
    is on a disk).
  returned: success
  type: dict
  sample:
    backup_path:
      path: /var/backups/pi-controller-migration
      kind: null
      entries: null
      links: []
      real: /var/backups/pi-controller-migration
      existing: /var/backups
      device: 66
      free: 1050673152
      free_files: 64102
      read_only: false
      mount: /
      filesystem: ext4
      in_memory: null
      is_mount_point: false
      mounts_inside: []
unit_folder:
  description: The same of C(/etc/systemd/system), where masks and units are written.
  returned: success
  type: dict
forgetful_root:
  description: What says that changes of the root file system are gone after a reboot; null where nothing does.
  returned: success
  type: str
  sample: / is an overlay (overlayroot=tmpfs on the kernel's command line)
state_bytes:
  description: Bytes below the data folder.
  returned: success
  type: int
held_bytes:
  description: >-
    Bytes of what an earlier run has left below C(backup_path) and C(pod_data_dir) that a migration writes anew, each by its name there.
    A file of several names counts once.
  returned: success
  type: dict
  sample: {backup_path: {prepare/pi-controller.db: 4194304, prepare/snapshot: 0}, pod_data_dir: {".": 0}}
unit:
  description: >-
    State of the unit as systemd has it, with the memory of its process and what it really runs with (C(process), null where it does
    not run); what starts it apart from links below C(/etc/systemd/system) (C(started_by)), and of these what is bound to it
    (C(bound_by)); the programs that it runs beside its process (C(hooks)); and how many files a container may have open
    (C(runtime_open_files_limit)). C(named_files) are the absolute paths in C(config_file) that are there on the Pi, each with
    its setting, the same path without links (C(real)) and the components that are C(links); C(relative_paths) those that are relative to
    the working directory of the process. Neither has settings of a section that is turned off.
  returned: success
  type: dict
  sample:
    {active: active, drop_ins: [], enabled: enabled, file: /etc/systemd/system/pi-controller.service, id: pi-controller.service,
     load: loaded, memory: 31457280, named_files: [], names: [pi-controller.service], needs_reload: false, pid: 198, restarts: 0,
     runtime_open_files_limit: 1048576, bound_by: [], hooks: [], started_by: [], sub: running, unread_drop_ins: [],
     process: {capabilities: 0, config: /etc/pi-controller/config.yaml, config_real: /etc/pi-controller/config.yaml, cwd: /,
               environment: [], flags: [], gid: 0, groups: {}, open_files_limit: 1024,
               relative_paths: [], uid: 0, user: root, words: [], written_files: []}}
node_id:
  description: The Raft ID in the daemon's environment or configuration; null where none was found.
  returned: success
  type: str
  sample: pi-1
own_listeners:
  description: Ports of the daemon beside those of REST, gRPC and Raft, as its configuration file has them, by their variables.
  returned: success
  type: dict
  sample: {PI_CONTROLLER_WEBSOCKET_PORT: 8081}
unprivileged_ports_from:
  description: The first port that a process without capabilities can bind on this Pi.
  returned: success
  type: int
  sample: 1024
listeners:
  description: Listeners on O(ports). C(owner) is V(unit), V(pod), V(other) or V(unknown).
  returned: success
  type: list
  elements: dict
  sample: [{address: 0.0.0.0, command: pi-controller, owner: unit, pid: 198, port: 8080}]
database:
  description: >-
    The result of SQLite's integrity check, C(ok) when all is well and a digest of all rows could be made; the seconds both
    took, and those of the check (C(check_seconds)) and of the digest alone (C(digest_seconds)); the seconds for which writes
    wait whenever the database is copied (C(writes_waited), null in WAL mode, where they do not); what each table needs that
    SQLite on this Pi (C(sqlite)) does not have (C(needs)); and its bytes (C(bytes)). Where it is not in WAL mode and there is
    no place for the copy that is read, what to do about that (C(next_step)).
  returned: success
  type: dict
  sample:
    {integrity: ok, bytes: 4194304, seconds: 0.011, check_seconds: 0.002, digest_seconds: 0.004, writes_waited: null, sqlite: 3.40.1,
     needs: [{table: nodes, need: "the collation own, which its application registers"}]}
write_speed:
  description: >-
    Bytes a second that the file system of C(pod_data_dir) takes, synced, from a sample of at most 16 MiB or two seconds in a file
    without a name; null where it could not be measured.
  returned: success
  type: float
  sample: 21390950.4
memory_available:
  description: Bytes a new process can have without swapping.
  returned: success
  type: int
has_address:
  description: Whether O(address) is an address of this Pi.
  returned: success
  type: bool
missing_tools:
  description: Commands the migration needs and this Pi has not.
  returned: success
  type: list
  elements: str
kube_proxy:
  description: The mode kube-proxy runs in on this Pi, as M(pi_controller.raft_migration.kube_proxy_info) has it.
  returned: success
  type: dict
  sample: {mode: iptables, unreadable: null}
forwarding:
  description: >-
    Chains that drop forwarded packets of the family of O(address) unless a rule accepts them (C(denied_by)), without those that
    kube-proxy has its rules in, and why they could not be read (C(unreadable), null where they could).
  returned: success
  type: dict
  sample: {denied_by: [inet filter forward], unreadable: null}
image_space:
  description:
    - The file system of the images of containerd, in bytes (C(free), C(total)), and the percentage in use from which on the kubelet of
      this Pi removes images that no pod uses (C(high_percent)). C(device) is that of the file system. Null without containerd.
  returned: success
  type: dict
  sample:
    {path: /var/lib/rancher/k3s/agent/containerd, device: 45826, total: 31268536320, free: 9663676416, high_percent: 85}
evictions:
  description:
    - The disk space below which the kubelet of this Pi evicts pods, and what there is, in bytes (C(below), C(free), C(total)).
      C(device) is that of its file system.
  returned: success
  type: list
  elements: dict
  sample:
    - {signal: nodefs.available, path: /var/lib/kubelet, device: 45826, total: 31268536320, free: 9663676416, below: 1563426816}
image_present:
  description: Whether the container runtime has O(image); null where it cannot be asked, or has no image at all and so runs no pod.
  returned: success
  type: bool
from_control_node:
  description: >-
    By each of O(control_node_ports) how a connection from the control node ended, V(connected), V(refused), or what kept it from arriving.
  returned: success
  type: dict
  sample: {"8080": connected, "8082": no answer}
data:
  description: What the daemon holds, C(msg) and C(failure) where it could not be read.
  returned: always
  type: dict
  contains:
    tables:
      type: dict
      description:
        - By table, C(rows) with the hashes of the rows seen, C(unsteady) with those seen in one look alone, each one text of 16 characters
          a row, and C(up_to), the largest hash of a table that has too many rows to compare them all. Only where the rows could be read.
    first_rows: {type: dict, description: By table the hashes of its first rows; with O(compare=false).}
    ca: {type: str, description: A digest of the CA folder; null where there is none.}
    program: {type: str, description: SHA-256 of the program that the unit runs; null where it does not run.}
    config:
      type: dict
      description:
        - C(error) says why the pod's configuration cannot be made from the file, if it cannot. C(raft_dir), C(rest_host) and
          C(kubernetes) are what the file says of them, null where it says nothing.
    raft_dir_found: {type: bool, description: Whether the Raft folder is where it is expected; with O(raft_dir).}
cluster:
  description:
    - What M(pi_controller.raft_migration.raft_info) returns of O(urls), with C(msg) and C(failure) where O(wait_for) did not come to hold.
      C(capabilities) is only there where it did.
  returned: always
  type: dict
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.modules import run_module
from ..module_utils._daemon.drivers import rest_options
from ..module_utils._preflight.parts import hide_secrets, read_part
from ..module_utils._preflight.read_data import DataReading
from ..module_utils._preflight.read_host import HostReading
from ..module_utils._raft.awaited import WAIT, await_cluster


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    host = HostReading(module)
    data = DataReading(module.params, lambda: int(host.shown["pid"]))
    # The looks at the rows have to be some time apart, which the rest of the Pi is read in.
    data.begin()
    seen = read_part(host.read, "looking at this Pi")
    held = read_part(data.finish, f"reading {module.params['paths']['database']}")
    # The other Pis do the same meanwhile, and what they read and write holds up their daemons: the last one to get here sees them at rest.
    cluster = read_part(partial(await_cluster, module.params), "looking at the cluster")
    result |= {**seen.found, "data": held.reported(), "cluster": cluster.reported()}
    hide_secrets(module, result, "cluster")
    if seen.error is not None:
        raise seen.error


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **rest_options(),
            **WAIT,
            "paths": {"type": "dict", "required": True},
            "unit": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "int", "required": True},
            "address": {"type": "str", "required": True},
            "image": {"type": "str", "default": ""},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "volatile_columns": {"type": "list", "elements": "str", "default": []},
            "ca_dir": {"type": "path"},
            "raft_dir": {"type": "path"},
            "compare": {"type": "bool", "default": True},
            "looks": {"type": "int", "default": 2},
            "pause": {"type": "float", "default": 2.0},
            "control_node_ports": {"type": "list", "elements": "int", "default": []},
        },
        supports_check_mode=True,
    )
    run_module(module, run, doing="looking at this Pi")


if __name__ == "__main__":
    main()
