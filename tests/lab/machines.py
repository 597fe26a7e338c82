# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Pis: systemd-nspawn hosts with their own disk, network, processes and control groups."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cgroups, network, settings
from .files import File, Unit
from .shell import Hopeless, LabError, run, wait_for
from .state import Node, write_private

# Runs in the host before anything of Kubernetes: the cures for what a container lacks and a Pi has.
HOST_SETUP = """\
#!/bin/sh
set -eu
# Mounts of pods must show up in their containers.
mount --make-rshared /
# The v1 controllers come read-only; only a mount made in here is this host's own to write to.
mount -o remount,rw /sys/fs/cgroup || true
if [ "$(stat -f -c %T /sys/fs/cgroup)" = tmpfs ]; then
    grep ' cgroup ' /proc/mounts | grep -v name=systemd | cut -d' ' -f2 | while read -r controller; do
        umount "$controller"
        mount -t cgroup -o "$(basename "$controller")" cgroup "$controller"
    done
fi
[ -e /dev/kmsg ] || ln -s /dev/console /dev/kmsg
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
# What kube-proxy has not turned to an endpoint is refused, as by a router that knows no such network. It changes its tables one
# after the other, so when a Service gets its first endpoint a connection can slip through. With no answer at all the kernel
# remembers for two minutes that this port of the client is for the Service's own address, and whatever client is given the port next
# waits in vain. Behind every DNAT, so what still has a Service's address was turned to no endpoint.
nft -f - <<NFT
table inet pi-lab
delete table inet pi-lab
table inet pi-lab {
    chain output {
        type filter hook output priority filter + 10; policy accept;
        ip daddr SERVICE_RANGE_4 meta l4proto tcp reject with tcp reset
        ip6 daddr SERVICE_RANGE_6 meta l4proto tcp reject with tcp reset
    }
}
NFT
""".replace("SERVICE_RANGE_4", settings.FAMILIES["ipv4"].service_range).replace(
    "SERVICE_RANGE_6", settings.FAMILIES["ipv6"].service_range
)
SETUP_UNIT = """\
[Unit]
Description=What a Pi has and a container lacks
Before=multi-user.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/pi-lab/host-setup

[Install]
WantedBy=multi-user.target
"""
# The test daemon's hardware: a device that is there at every boot and has one owner at a time.
GPIO_TMPFILES = "f /dev/gpiochip0 0660 root root -\n"
CONSOLE = "console.log"
# Of the share of a core that an agent gets: what etcd and the API server take.
SERVER_SHARE = 1.8
# MiB of the same, in addition to an agent's memory.
SERVER_MEMORY = 768
# Hosts with the controllers of cgroup v1 are booted with this: systemd 256 and later refuse them otherwise.
LEGACY = "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"


@dataclass(frozen=True)
class Boot:
    """What the hosts are booted with, besides their own folder."""

    lower: Path
    disk_folders: tuple[str, ...]
    read_only: tuple[tuple[Path, str], ...]
    cpu: float = 0.0
    """Share of one core; 0 is no limit."""
    memory: int = 0
    """MiB; 0 is no limit."""


def root(node: Node) -> Path:
    """The host's root file system as the machine sees it. What the host mounts on it does not show here."""
    return node.folder / "root"


def create_disk(node: Node, boot: Boot) -> None:
    """Mount the host's own disk, and its root file system over the shared one."""
    disk, merged = node.folder / "disk", root(node)
    for folder in (disk, merged):
        folder.mkdir(parents=True, exist_ok=True)
    # A host whose memory is limited has its disk on the machine's: what is in a tmpfs counts as memory of whoever has written it.
    if not boot.memory and not os.path.ismount(disk):
        run(["mount", "-t", "tmpfs", "-o", f"size={settings.HOST_DISK_MIB}m,mode=0755", "pi-lab", disk])
    if not os.path.ismount(merged):
        for name in ("upper", "work"):
            (disk / name).mkdir(exist_ok=True)
        options = f"lowerdir={boot.lower},upperdir={disk}/upper,workdir={disk}/work"
        run(["mount", "-t", "overlay", "-o", options, "pi-lab", merged])


def base_files(node: Node) -> list[File | Unit]:
    machine_id = f"{node.number:032x}"
    return [
        File("/etc/hostname", f"{node.name}\n"),
        File("/etc/hosts", _hosts_file(node)),
        File("/etc/machine-id", f"{machine_id}\n", 0o444),
        File("/etc/tmpfiles.d/pi-lab.conf", GPIO_TMPFILES),
        File("/usr/local/lib/pi-lab/host-setup", HOST_SETUP, 0o755),
        Unit("pi-lab-setup.service", SETUP_UNIT),
    ]


def _hosts_file(node: Node) -> str:
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [f"{node.addresses.host(number)} pi-{number}" for number in range(1, settings.MAX_NODES + 1)]
    return "\n".join(lines) + "\n"


def start(node: Node, boot: Boot) -> None:
    """Power on. Returns at once; the host is there when its sshd answers."""
    # With cgroup v2 a group that has handed controllers to those below it takes no process, and an earlier boot left it so.
    cgroups.remove(node.name)
    groups = cgroups.create(node.name)
    if boot.cpu:
        # The server runs the control plane, too: on real Pis it is no slower than the others for that.
        cgroups.limit_cpu(node.name, boot.cpu * (SERVER_SHARE if node.is_server else 1))
    if boot.memory:
        cgroups.limit_memory(node.name, boot.memory + (SERVER_MEMORY if node.is_server else 0))
    binds: list[str] = []
    for path in boot.disk_folders:
        source = node.folder / "data" / path.strip("/").replace("/", "-")
        source.mkdir(parents=True, exist_ok=True)
        binds.append(f"--bind={source}:{path}")
    binds += [f"--bind-ro={source}:{target}" for source, target in boot.read_only]
    command = [
        "systemd-nspawn",
        f"--directory={root(node)}",
        f"--machine={node.name}",
        "--register=no",
        "--keep-unit",
        f"--network-namespace-path=/run/netns/{node.name}",
        "--capability=all",
        "--system-call-filter=@known",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        *binds,
        f"--setenv={LEGACY}",
        "--boot",
    ]
    if cgroups.legacy():
        command += ["systemd.unified_cgroup_hierarchy=0", LEGACY]
    # A shell moves itself into the host's groups and then becomes nspawn, so that nothing of it starts elsewhere.
    script = "".join(f"echo $$ > '{group}/cgroup.procs'\n" for group in groups) + 'exec "$@"\n'
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        "TERM": "dumb",
    }
    with (node.folder / CONSOLE).open("ab") as console:
        process = subprocess.Popen(
            ["sh", "-ec", script, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            env=environment,
            cwd="/",
        )
    write_private(node.folder / "nspawn.json", json.dumps({"pid": process.pid, "started": _start_time(process.pid)}))


def nspawn_pid(node: Node) -> int | None:
    """The process that holds the host, if it lives. A start time tells it from a later one of the same number."""
    try:
        recorded = json.loads((node.folder / "nspawn.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    pid = int(recorded["pid"])
    return pid if recorded["started"] is not None and _start_time(pid) == recorded["started"] else None


def _start_time(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def init_pid(node: Node) -> int | None:
    """The host's process 1 as the machine numbers it."""
    parent = nspawn_pid(node)
    if parent is None:
        return None
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(numbers) > 1 and numbers[-1] == "1":
                return int(child)
    return None


def running(node: Node) -> bool:
    return init_pid(node) is not None


def wait_booted(node: Node, timeout: float = 60) -> None:
    def probe() -> str | None:
        if nspawn_pid(node) is None:
            raise Hopeless(f"{node.name} went off while booting: read the end of {node.folder / CONSOLE}.")
        with socket.create_connection((node.address, 22), timeout=1) as connection:
            return None if connection.recv(4) == b"SSH-" else "no ssh banner"

    wait_for(f"{node.name} answers ssh", probe, timeout=timeout, advice=f"read {node.folder / CONSOLE}")


def command_in(node: Node, argv: Sequence[str]) -> list[str]:
    """The command line that runs a command as root in a host, its network working or not."""
    pid = init_pid(node)
    if pid is None:
        raise LabError(
            f"{node.name} is off: run `python3 -m tests.lab up`, or `python3 -m tests.lab reboot {node.name}`."
        )
    enter = ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
    environment = [
        "env",
        "-i",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "LC_ALL=C.UTF-8",
    ]
    return [*enter, *environment, *argv]


def execute(
    node: Node, argv: Sequence[str], *, check: bool = True, stdin: str | bytes | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    try:
        return run(command_in(node, argv), check=check, stdin=stdin, timeout=timeout)
    except LabError as error:
        raise LabError(f"{node.name}: {error}") from error


def power_off(node: Node) -> None:
    """Pull the plug: every process of the host ends at once, its disk stays."""
    pid = init_pid(node)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    holder = nspawn_pid(node)
    if holder is not None and pid is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGKILL)
    wait_for(
        f"{node.name} is off",
        lambda: None if nspawn_pid(node) is None else "its nspawn lives",
        timeout=10,
        advice="look at it with ps",
        interval=0.02,
    )
    cgroups.kill(node.name)
    network.forget(node)


def destroy(node: Node) -> None:
    """Unmount and remove what a host had on the machine."""
    for mount in (root(node), node.folder / "disk"):
        while os.path.ismount(mount):
            run(["umount", mount])
    shutil.rmtree(node.folder, ignore_errors=True)


def unmount_unknown() -> list[str]:
    """Unmount whatever lies below the lab's folder, the deepest first; returns what was found. For a lab without its state file."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = sorted((mount for mount in mounts if mount.startswith(f"{settings.STATE}/")), reverse=True)
    for mount in found:
        run(["umount", mount])
    return found
