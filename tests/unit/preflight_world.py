# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pre-flight sees of three healthy Pis; a test breaks what it is about."""

from __future__ import annotations

from typing import Any

from conftest import import_plugin

config = import_plugin("module_utils._config.structure")

MIB = 1024 * 1024
HOSTS = ("pi-1", "pi-2", "pi-3")
PHASES = ("prepare", "transfer", "validate", "cutover", "systemd_shutdown", "port_migration", "cleanup")
IMAGE = "docker.io/library/pi-controller:1.4.0"


def address(host: str) -> str:
    return f"10.77.0.1{host[-1]}"


def owner(**changes: Any) -> dict[str, Any]:
    return {
        "addresses": {host: address(host) for host in HOSTS},
        "nodes": {host: host for host in HOSTS},
        "unit": "pi-controller.service",
        "unit_file": "/etc/systemd/system/pi-controller.service",
        "image": "pi-controller:1.4.0",
        "pull_policy": "IfNotPresent",
        "daemonset": "pi-controller",
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "forks": 10,
        "config_file": "/etc/pi-controller/config.yaml",
        "data_dir": "/var/lib/pi-controller",
        "args": [],
        "working_dir": "",
        "security_context": {"privileged": True},
        "supplemental_groups": [],
        "volumes": [{"name": "dev", "hostPath": {"path": "/dev"}}],
        "volume_mounts": [{"name": "dev", "mountPath": "/dev"}],
        **changes,
    }


def path(where: str, kind: str | None, entries: int | None = None, device: int = 1) -> dict[str, Any]:
    return {
        "path": where,
        "kind": kind,
        "entries": entries,
        "links": [],
        "real": where,
        "existing": where if kind == "folder" else where.rpartition("/")[0],
        "device": device,
        "free": 900 * MIB,
        "free_files": 60000,
        "read_only": False,
        "mount": "/",
        "filesystem": "ext4",
        "in_memory": None,
        "is_mount_point": False,
        "mounts_inside": [],
    }


def listener(port: int, owner: str = "unit", command: str = "pi-controller", pid: int | None = 198) -> dict[str, Any]:
    return {"port": port, "address": "0.0.0.0", "pid": pid, "command": command, "owner": owner}


def process(**changes: Any) -> dict[str, Any]:
    return {
        "config": "/etc/pi-controller/config.yaml",
        "config_real": "/etc/pi-controller/config.yaml",
        "flags": [],
        "words": [],
        "environment": [],
        "uid": 0,
        "gid": 0,
        "user": "root",
        "groups": {},
        "cwd": "/",
        "capabilities": 0,
        "open_files_limit": 1024,
        "relative_paths": [],
        "written_files": ["/var/lib/pi-controller/pi-controller.db"],
        **changes,
    }


def host(name: str) -> dict[str, Any]:
    return {
        "privileged": True,
        "python": "3.11.2",
        "paths": {
            "data_dir": path("/var/lib/pi-controller", "folder", 4),
            "database": path("/var/lib/pi-controller/pi-controller.db", "file"),
            "config_file": path("/etc/pi-controller/config.yaml", "file"),
            "backup_path": path("/var/backups/pi-controller-migration", None),
            "archive_path": path("/var/lib/pi-controller.systemd.backup", None),
            "pod_data_dir": path("/var/lib/pi-controller-pods", None),
        },
        "unit_folder": path("/etc/systemd/system", "folder", 12),
        "state_bytes": 10 * MIB,
        "unit": {
            "id": "pi-controller.service",
            "names": ["pi-controller.service"],
            "started_by": [],
            "bound_by": [],
            "hooks": [],
            "load": "loaded",
            "active": "active",
            "sub": "running",
            "enabled": "enabled",
            "file": "/etc/systemd/system/pi-controller.service",
            "drop_ins": [],
            "unread_drop_ins": [],
            "needs_reload": False,
            "pid": 198,
            "named_files": [],
            "memory": 30 * MIB,
            "process": process(),
            "runtime_open_files_limit": 1048576,
        },
        "node_id": name,
        "own_listeners": {"PI_CONTROLLER_WEBSOCKET_PORT": 8081},
        "unprivileged_ports_from": 1024,
        "listeners": [listener(port) for port in (8080, 9090, 9091)],
        "database": {"integrity": "ok", "seconds": 0.01},
        "write_speed": 20.0 * MIB,
        "memory_available": 500 * MIB,
        "has_address": True,
        "missing_tools": [],
        "forgetful_root": None,
        "image_present": True,
        "kube_proxy": {"mode": "iptables", "unreadable": None},
        "forwarding": {"denied_by": [], "unreadable": None},
        "image_space": {
            "path": "/var/lib/rancher/k3s/agent/containerd",
            "device": 9,
            "total": 8000 * MIB,
            "free": 4000 * MIB,
            "high_percent": 85,
        },
        "evictions": [
            {
                "signal": "nodefs.available",
                "path": "/var/lib/kubelet",
                "device": 1,
                "total": 2000 * MIB,
                "free": 900 * MIB,
                "below": 100 * MIB,
            }
        ],
    }


def ports(name: str) -> dict[str, Any]:
    new, old = (3001, 8082, 8084, 9092, 9093, 9094), (8080, 9090, 9091)
    peers = [peer for peer in HOSTS if peer != name]
    return {
        "listened": list(new),
        "taken": {},
        "reached": {
            peer: {
                **{str(port): {"result": "answered", "name": peer, "seconds": 0.001} for port in new},
                **{str(port): {"result": "connected", "seconds": 0.001} for port in old},
            }
            for peer in peers
        },
        "heard": {peer: list(new) for peer in peers},
        "clocks": {peer: {"offset": 0.002, "uncertainty": 0.003} for peer in peers},
    }


def member(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "address": f"{address(name)}:9091",
        "voter": True,
        "reachable": True,
        "lag": 0,
        "behind": None,
        **changes,
    }


def cluster() -> dict[str, Any]:
    return {
        "leader": {"id": "pi-1", "address": "10.77.0.11:9091", "url": "http://10.77.0.11:8080"},
        "term": 2,
        "quorate": True,
        "rivals": [],
        "members": [member(name) for name in HOSTS],
        "voters": 3,
        "caught_up": True,
        "behind": [],
        "capabilities": ["read-only", "restore", "snapshot"],
        "unanswered": [],
    }


def node(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "ready": True,
        "why_not_ready": "KubeletReady",
        "pressure": [],
        "hostname": name,
        "addresses": [address(name)],
        "allocatable": {"cpu": 4.0, "memory": 3800.0 * MIB},
        "requested": {"cpu": 0.3, "memory": 140.0 * MIB},
        "images": [IMAGE],
        "kubelet": "v1.35.2+k3s1",
        **changes,
    }


def kubernetes() -> dict[str, Any]:
    return {
        "version": "v1.35.2+k3s1",
        "nodes": [node(name) for name in HOSTS],
        "daemonset": None,
        "service": {
            "namespace": "pi-controller",
            "name": "pi-controller",
            "type": "ClusterIP",
            "selector": {},
            "policies": {"externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster"},
        },
        "namespace": {"phase": "Active", "enforce": None},
        "host_ports": [],
        "service_ports": [],
        "other_routes": [],
        "targets": [{"address": address(name), "port": 8080} for name in HOSTS],
        "applied": [],
        "tried": None,
    }


def journal(**states: str) -> dict[str, Any]:
    return {"phase_states": {phase: states.get(phase, "pending") for phase in PHASES}}


def healthy(**states: str) -> dict[str, Any]:
    """All that was seen; `states` is what every journal says of its phases."""
    return {
        "journal": {name: journal(**states) for name in HOSTS},
        "host": {name: host(name) for name in HOSTS},
        "ports": {name: ports(name) for name in HOSTS},
        "cluster": {name: cluster() for name in HOSTS},
        "kubernetes": kubernetes(),
    }


def settings(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = config.resolve(changes)
    return whole
