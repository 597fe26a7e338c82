# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""K3s in the lab's hosts: one binary of the user's, a server on pi-1 and agents elsewhere.

Not tried: no machine that this lab runs on can get the binary. It follows the documented options of K3s 1.34 and later.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from .. import machines, settings
from ..files import File, Unit, service
from ..progress import Progress
from ..shell import LabError, wait_for
from ..state import Node, State, write_private
from .provider import Provider

BINARY = "/opt/k3s/k3s"
KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"


class K3s(Provider):
    disk_folders = ("/var/lib/rancher", "/var/lib/kubelet")
    api_unit = "k3s.service"
    ctr = (BINARY, "ctr", "--namespace=k8s.io")

    def __init__(self, binary: Path) -> None:
        if not binary.is_file():
            raise LabError(f"K3S_BINARY={binary} is not a file: give the path of the k3s program.")
        self.binary = binary.resolve()
        self.name = f"k3s:{self.binary}"
        self.kubectl = (str(self.binary), "kubectl")

    def build(self, progress: Progress) -> None:
        progress.say(f"Kubernetes: K3s from {self.binary} (not tried)")

    def read_only_folders(self) -> tuple[tuple[Path, str], ...]:
        return ((self.binary.parent, str(Path(BINARY).parent)),)

    def prepare(self, state: State) -> None:
        token = settings.STATE / "k3s-token"
        if not token.exists():
            write_private(token, secrets.token_hex(16))

    def host_files(self, node: Node, state: State) -> list[File | Unit]:
        token = File("/etc/rancher/k3s/token", (settings.STATE / "k3s-token").read_text(), 0o600)
        common = [f"--node-name={node.name}", f"--node-ip={node.address}", "--token-file=/etc/rancher/k3s/token",
                  f"--pause-image={settings.PAUSE_IMAGE}", "--kubelet-arg=fail-swap-on=false"]  # fmt: skip
        server = state.nodes[0]
        if node.is_server:
            command = [BINARY, "server", *common, f"--tls-san={node.address}", f"--service-cidr={node.addresses.service_range}",
                       f"--cluster-cidr={node.addresses.pod_range}", "--flannel-backend=host-gw", "--write-kubeconfig-mode=600",
                       "--disable=traefik,servicelb,metrics-server,coredns,local-storage"]  # fmt: skip
        else:
            command = [BINARY, "agent", *common, f"--server=https://{settings.with_port(server.address, 6443)}"]
        return [
            token,
            Unit(
                "k3s.service",
                service("k3s", command, after="pi-lab-setup.service", more="KillMode=process\nDelegate=yes\n"),
            ),
        ]

    def write_kubeconfig(self, state: State) -> None:
        server = state.nodes[0]
        wait_for(
            "K3s has written its kubeconfig",
            lambda: (
                None if machines.execute(server, ["test", "-s", KUBECONFIG], check=False).returncode == 0 else "no file"
            ),
            timeout=120,
            advice=f"journalctl -u k3s on {server.name}",
        )
        text = machines.execute(server, ["cat", KUBECONFIG]).stdout
        write_private(
            settings.STATE / "kubeconfig", text.replace("127.0.0.1:6443", settings.with_port(server.address, 6443))
        )

    def units(self, node: Node) -> tuple[str, ...]:
        return ("k3s.service",)
