# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys and configuration for ssh into the hosts, as an operator has them for real Pis."""

from __future__ import annotations

from . import settings
from .files import File
from .shell import run
from .state import Node, State, write_private


def prepare(state: State) -> None:
    """Make the operator's key, a key for every host, and the known_hosts file that names them."""
    key = settings.STATE / "id_ed25519"
    if not key.exists():
        _keygen(key, "pi-lab")
    known: list[str] = []
    for node in state.nodes:
        host_key = node.folder / "ssh_host_ed25519_key"
        if not host_key.exists():
            host_key.parent.mkdir(parents=True, exist_ok=True)
            _keygen(host_key, node.name)
        public = " ".join(host_key.with_suffix(".pub").read_text().split()[:2])
        known.append(f"{node.name},{node.address} {public}")
    write_private(settings.STATE / "known_hosts", "\n".join(known) + "\n")
    write_private(settings.STATE / "ssh_config", config(state))


def config(state: State) -> str:
    folder = settings.STATE
    blocks = [f"Host {node.name}\n    HostName {node.address}\n" for node in state.nodes]
    names = " ".join(f"{node.name} {node.address}" for node in state.nodes)
    blocks.append(
        f"Host {names}\n"
        "    User root\n"
        f"    IdentityFile {folder}/id_ed25519\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {folder}/known_hosts\n"
        "    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n"
        "    PreferredAuthentications publickey\n"
        "    LogLevel ERROR\n"
        "    ConnectTimeout 5\n"
    )
    return "\n".join(blocks)


def host_files(node: Node) -> list[File]:
    key = node.folder / "ssh_host_ed25519_key"
    return [
        File("/etc/ssh/ssh_host_ed25519_key", key.read_bytes(), 0o600),
        File("/etc/ssh/ssh_host_ed25519_key.pub", key.with_suffix(".pub").read_bytes()),
        File("/root/.ssh/authorized_keys", (settings.STATE / "id_ed25519.pub").read_bytes(), 0o600),
    ]


def _keygen(path: object, comment: str) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
