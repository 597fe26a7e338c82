# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes as its maintainers release it, built from its Go modules, with Debian's containerd and etcd, or K3s's kine in place of etcd."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from .. import rootfs, settings
from ..files import File, Unit, service
from ..options import Options
from ..pki import Authority
from ..progress import Progress
from ..state import Node, State, write_private
from . import programs
from .provider import Provider

BIN = "/opt/kubernetes"
KINE = "/opt/kine"
ETC = "/etc/kubernetes"
RUNTIME = "unix:///run/containerd/containerd.sock"
SETUP = "pi-lab-setup.service"

CONTAINERD_CONFIG = f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{settings.PAUSE_IMAGE}"
  # The machine may lack CAP_SYS_RESOURCE: scores below the parent's cannot be set then.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""

# Who asked for what, and whether it was a deprecated API: tests read it. Bodies are not kept.
AUDIT_LOG = "/var/log/kubernetes-audit.log"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts"]},
        {
            "level": "None",
            "users": [
                "system:kube-controller-manager",
                "system:kube-scheduler",
                "system:kube-proxy",
                "system:apiserver",
            ],
        },
        {"level": "Metadata"},
    ],
}

# Subjects of the control plane's and the nodes' own certificates. Kubernetes grants rights to these names.
CLIENTS = {
    "admin": "/O=system:masters/CN=pi-lab-admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "apiserver-kubelet": "/O=system:masters/CN=kube-apiserver-kubelet-client",
}


class Upstream(Provider):
    name = "upstream"
    disk_folders = ("/var/lib/containerd", "/var/lib/kubelet")
    api_unit = "kube-apiserver.service"
    ctr = ("ctr", "--namespace=k8s.io")

    def __init__(self, options: Options) -> None:
        self.options = options
        self.programs = programs.folder(options)
        self.authority = Authority(settings.STATE / "pki")
        self.kubectl = (str(self.programs / "kubectl"),)

    def build(self, progress: Progress) -> None:
        programs.build(self.options, progress)

    def read_only_folders(self) -> tuple[tuple[Path, str], ...]:
        kubernetes = (self.programs, BIN)
        return (kubernetes, (programs.kine_folder(), KINE)) if self.options.datastore == "kine" else (kubernetes,)

    def prepare(self, state: State) -> None:
        self.authority.create()
        self.authority.signing_key("service-account")
        for name, subject in CLIENTS.items():
            self.authority.issue(name, subject)
        server = state.nodes[0]
        names = ("DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc", "DNS:localhost", f"DNS:{server.name}",
                 "IP:127.0.0.1", f"IP:{server.addresses.api_service}", f"IP:{server.address}")  # fmt: skip
        self.authority.issue("apiserver", "/CN=kube-apiserver", names)
        for node in state.nodes:
            self.authority.issue(
                f"kubelet-{node.name}",
                f"/O=system:nodes/CN=system:node:{node.name}",
                (f"DNS:{node.name}", f"IP:{node.address}"),
            )
        self.write_kubeconfig(state)

    def write_kubeconfig(self, state: State) -> None:
        write_private(settings.STATE / "kubeconfig", self._kubeconfig("admin", state))

    def _kubeconfig(self, client: str, state: State) -> str:
        """JSON, which every reader of YAML reads."""

        def data(path: Path) -> str:
            return base64.b64encode(path.read_bytes()).decode()

        certificate, key = self.authority.issue(client, CLIENTS.get(client, ""))
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "pi-lab", "cluster": {
                "server": f"https://{settings.with_port(state.nodes[0].address, 6443)}",
                "certificate-authority-data": data(self.authority.certificate),
            }}],
            "users": [{"name": client, "user": {"client-certificate-data": data(certificate), "client-key-data": data(key)}}],
            "contexts": [{"name": "pi-lab", "context": {"cluster": "pi-lab", "user": client}}],
            "current-context": "pi-lab",
        }  # fmt: skip
        return json.dumps(content, indent=2) + "\n"

    def units(self, node: Node) -> tuple[str, ...]:
        common = ("containerd.service", "kubelet.service", "kube-proxy.service")
        control = (
            f"{self.options.datastore}.service",
            "kube-apiserver.service",
            "kube-controller-manager.service",
            "kube-scheduler.service",
        )
        return (*control, *common) if node.is_server else common

    def host_files(self, node: Node, state: State) -> list[File | Unit]:
        files = [*self._node_files(node, state), *self._node_units(node)]
        if node.is_server:
            files += [*self._control_files(state), *self._control_units(node)]
        return files

    def _node_files(self, node: Node, state: State) -> list[File | Unit]:
        kubelet = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node.addresses.everywhere,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{ETC}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            # Machines whose own hierarchy is cgroup v1 have hosts with v1.
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "oomScoreAdj": 0,
            "maxPods": 30,
            "nodeStatusUpdateFrequency": "2s",
            "syncFrequency": "10s",
            "fileCheckFrequency": "20s",
            # A full disk is a fault that tests put there themselves: evictions would be a second one.
            "evictionHard": {
                "memory.available": "0%",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            "tlsCertFile": f"{ETC}/kubelet.crt",
            "tlsPrivateKeyFile": f"{ETC}/kubelet.key",
        }
        network = {
            "cniVersion": "0.4.0",
            "name": "pi-lab",
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "subnet": node.addresses.pod_network(node.number),
                        "routes": [{"dst": f"{node.addresses.everywhere}/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        certificate, key = self.authority.issue(f"kubelet-{node.name}", "")
        return [
            File("/etc/containerd/config.toml", CONTAINERD_CONFIG),
            File("/etc/cni/net.d/10-pi-lab.conflist", json.dumps(network, indent=2) + "\n"),
            File(f"{ETC}/ca.crt", self.authority.certificate.read_bytes()),
            File(f"{ETC}/kubelet.crt", certificate.read_bytes()),
            File(f"{ETC}/kubelet.key", key.read_bytes(), 0o600),
            File(f"{ETC}/kubelet.yaml", json.dumps(kubelet, indent=2) + "\n"),
            File(f"{ETC}/kubelet.kubeconfig", self._kubeconfig(f"kubelet-{node.name}", state), 0o600),
            File(f"{ETC}/kube-proxy.kubeconfig", self._kubeconfig("kube-proxy", state), 0o600),
        ]

    def _node_units(self, node: Node) -> list[File | Unit]:
        kubelet = [
            f"{BIN}/kubelet",
            f"--config={ETC}/kubelet.yaml",
            f"--kubeconfig={ETC}/kubelet.kubeconfig",
            f"--container-runtime-endpoint={RUNTIME}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
            "--housekeeping-interval=5s",
        ]
        proxy = [
            f"{BIN}/kube-proxy",
            f"--kubeconfig={ETC}/kube-proxy.kubeconfig",
            f"--proxy-mode={self.options.proxy}",
            f"--cluster-cidr={node.addresses.pod_range}",
            f"--hostname-override={node.name}",
            f"--bind-address={node.address}",
            "--healthz-bind-address=127.0.0.1:10256",
            "--metrics-bind-address=127.0.0.1:10249",
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            "--oom-score-adj=0",
        ]
        # Containers outlive a restart of their runtime.
        path = f"Environment=PATH={rootfs.OWN_IPTABLES}:/usr/sbin:/usr/bin:/sbin:/bin\n"
        runtime = f"KillMode=process\nDelegate=yes\n{path}"
        return [
            Unit(
                "containerd.service",
                service("containerd", ["/usr/bin/containerd"], after=SETUP, kind="notify", more=runtime),
            ),
            Unit(
                "kubelet.service",
                service("kubelet", kubelet, after="containerd.service", more=f"KillMode=process\n{path}"),
            ),
            Unit("kube-proxy.service", service("kube-proxy", proxy, after=SETUP, more=path)),
        ]

    def _control_files(self, state: State) -> list[File | Unit]:
        files: list[File | Unit] = [File(f"{ETC}/audit-policy.yaml", json.dumps(AUDIT_POLICY, indent=2) + "\n")]
        for name in ("apiserver", "apiserver-kubelet"):
            certificate, key = self.authority.issue(name, "")
            files += [
                File(f"{ETC}/{name}.crt", certificate.read_bytes()),
                File(f"{ETC}/{name}.key", key.read_bytes(), 0o600),
            ]
        for name in ("service-account.key", "service-account.pub"):
            files.append(File(f"{ETC}/{name}", (self.authority.folder / name).read_bytes(), 0o600))
        for name in ("controller-manager", "scheduler"):
            files.append(File(f"{ETC}/{name}.kubeconfig", self._kubeconfig(name, state), 0o600))
        return files

    def _control_units(self, server: Node) -> list[File | Unit]:
        etcd = ["/usr/bin/etcd", "--name=pi-lab", "--data-dir=/var/lib/etcd", "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380",
                "--initial-advertise-peer-urls=http://127.0.0.1:2380", "--initial-cluster=pi-lab=http://127.0.0.1:2380"]  # fmt: skip
        kine = [
            f"{KINE}/kine",
            "--listen-address=127.0.0.1:2379",
            # Its metrics would listen on 8080, the daemon's port.
            "--metrics-bind-address=0",
            "--endpoint=sqlite:///var/lib/kine/state.db?_journal=WAL&cache=shared&_busy_timeout=30000",
        ]
        apiserver = [
            f"{BIN}/kube-apiserver",
            f"--advertise-address={server.address}",
            f"--bind-address={server.addresses.everywhere}",
            "--secure-port=6443",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--service-cluster-ip-range={server.addresses.service_range}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--client-ca-file={ETC}/ca.crt",
            f"--tls-cert-file={ETC}/apiserver.crt",
            f"--tls-private-key-file={ETC}/apiserver.key",
            f"--kubelet-client-certificate={ETC}/apiserver-kubelet.crt",
            f"--kubelet-client-key={ETC}/apiserver-kubelet.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={ETC}/service-account.pub",
            f"--service-account-signing-key-file={ETC}/service-account.key",
            f"--audit-policy-file={ETC}/audit-policy.yaml",
            f"--audit-log-path={AUDIT_LOG}",
            "--audit-log-maxsize=50",
            "--audit-log-maxbackup=1",
        ]
        manager = [
            f"{BIN}/kube-controller-manager",
            f"--kubeconfig={ETC}/controller-manager.kubeconfig",
            f"--authentication-kubeconfig={ETC}/controller-manager.kubeconfig",
            f"--authorization-kubeconfig={ETC}/controller-manager.kubeconfig",
            f"--service-account-private-key-file={ETC}/service-account.key",
            f"--root-ca-file={ETC}/ca.crt",
            "--use-service-account-credentials=true",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ]
        scheduler = [
            f"{BIN}/kube-scheduler",
            f"--kubeconfig={ETC}/scheduler.kubeconfig",
            f"--authentication-kubeconfig={ETC}/scheduler.kubeconfig",
            f"--authorization-kubeconfig={ETC}/scheduler.kubeconfig",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ]
        if self.options.datastore == "kine":
            store = Unit("kine.service", service("kine", kine, after=SETUP, more="StateDirectory=kine\n"))
        else:
            store = Unit("etcd.service", service("etcd", etcd, after=SETUP, kind="notify"))
        return [
            store,
            Unit(
                "kube-apiserver.service",
                service("kube-apiserver", apiserver, after=store.name, kind="notify", more="TimeoutStartSec=120\n"),
            ),
            Unit(
                "kube-controller-manager.service",
                service("kube-controller-manager", manager, after="kube-apiserver.service"),
            ),
            Unit("kube-scheduler.service", service("kube-scheduler", scheduler, after="kube-apiserver.service")),
        ]
