# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong with a Pi, as commands. Each acts on the very processes it means, and `heal` takes back what does not pass by itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal as signals
import time
from collections.abc import Collection
from pathlib import Path

from . import cgroups, machines, network, settings
from .kubernetes.provider import Provider
from .objects import kubectl
from .shell import LabError
from .state import Node, State, write_private

BALLAST = ".pi-lab-ballast"
BALLAST_FOLDERS = "ballast.json"
KEPT_FREE = 16 * 1024  # bytes
SMALL = 256 * 1024  # bytes
FILLED_WITHIN = 5.0  # seconds
DAEMON = "pi-controller"
UNIT, POD = "unit", "pod"
# By which the control node reaches a Pi. The witness's clients are on the same machine, and go to other ports.
CONTROL_PORTS = {"ssh": 22, "API server": 6443}
CONTROL_TABLE = "inet pi-lab-control"


def processes(node: Node, name: str = DAEMON, owner: str | None = None) -> list[int]:
    """The machine's numbers of the processes of that name in the host: the unit's, the pod's, or both."""
    found = []
    for pid in sorted(cgroups.processes(node.name)):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() != name[:15]:
                continue
            # A container shows where it belongs by its control group, a service by its unit's.
            in_pod = "/kubepods" in Path(f"/proc/{pid}/cgroup").read_text()
            if owner is None or in_pod == (owner == POD):
                found.append(pid)
    return found


def kill(node: Node, name: str, signal: str = "KILL", owner: str | None = None) -> list[int]:
    """Send a signal to every process of that name in the host, and in no other; returns their numbers on the machine."""
    pids = processes(node, name, owner)
    if not pids:
        whose = f" of the {owner}" if owner else ""
        raise LabError(
            f"{node.name}: no process{whose} is named '{name}': see `python3 -m tests.lab exec {node.name} -- ps -e`."
        )
    number = signals.Signals[f"SIG{signal.removeprefix('SIG')}"]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return pids


def thaw(node: Node) -> None:
    """Let everything run again that a SIGSTOP holds; others take no notice."""
    for pid in cgroups.processes(node.name):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                os.kill(pid, signals.SIGCONT)


def stop_pod(node: Node, provider: Provider) -> str:
    """Delete the host's pod, as an eviction would."""
    listed = kubectl(
        provider,
        "-n",
        settings.NAMESPACE,
        "get",
        "pods",
        "--field-selector",
        f"spec.nodeName={node.name}",
        "-o",
        "json",
    )
    names = [pod["metadata"]["name"] for pod in json.loads(listed)["items"]]
    if not names:
        raise LabError(f"{node.name}: there is no pod in the namespace {settings.NAMESPACE}.")
    kubectl(provider, "-n", settings.NAMESPACE, "delete", "pod", *names, "--wait=false")
    return ", ".join(names)


def fill(node: Node, path: str, provider: Provider) -> int:
    """Leave almost no room on the host's own disk below `path`; returns the bytes taken."""
    if any(path.rstrip("/").startswith(outside) for outside in provider.disk_folders):
        raise LabError(
            f"{node.name}: {path} lies on the machine's own disk, which is never filled: take another folder."
        )
    folder = machines.root(node) / path.strip("/")
    if not folder.is_dir():
        raise LabError(f"{node.name}: there is no folder {path}.")
    # Written down first: whatever ends this command, `unfill` and `reset` find the ballast.
    _note_ballast(node, {*_ballast(node), path})
    began, taken = time.monotonic(), 0
    # From here, since a command on the host takes so long that daemons have written meanwhile. So does a large allocation, which is given
    # back whole where it is refused at its end: half of what is left is taken, again and again.
    with (folder / BALLAST).open("ab") as ballast:
        while (left := _free(node) - KEPT_FREE) > 0:
            size = left if left <= SMALL else left // 2
            try:
                os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, size)
                taken += size
            except OSError as error:
                if time.monotonic() < began + FILLED_WITHIN:
                    continue
                unfill(node)
                raise LabError(f"{node.name}: {path} cannot be filled: {error.strerror or error}") from error
    return taken


def _free(node: Node) -> int:
    free = os.statvfs(node.folder / "disk")
    return free.f_bavail * free.f_frsize


def unfill(node: Node, path: str | None = None) -> None:
    """Make room again, below `path` or wherever there was ballast. Also for a host that is off."""
    for folder in _ballast(node) if path is None else {path}:
        (machines.root(node) / folder.strip("/") / BALLAST).unlink(missing_ok=True)
    _note_ballast(node, set() if path is None else _ballast(node) - {path})


def _ballast(node: Node) -> set[str]:
    try:
        return set(json.loads((node.folder / BALLAST_FOLDERS).read_text()))
    except FileNotFoundError:
        return set()


def _note_ballast(node: Node, folders: set[str]) -> None:
    write_private(node.folder / BALLAST_FOLDERS, json.dumps(sorted(folders)))


def cut_off_control(node: Node) -> None:
    """Nothing of ssh and of the API passes between the control node and this host, without a word to either of them."""
    network.nft(node, "-f", "-", stdin=control_rules(settings.FAMILIES.values()))


def reach_control(node: Node) -> None:
    network.nft(node, "-f", "-", stdin=f"table {CONTROL_TABLE}\ndelete table {CONTROL_TABLE}\n")


def control_rules(families: Collection[settings.Family]) -> str:
    """What drops it, for nft; before conntrack and every other table, and instead of what there was of it."""
    ports = f"{{ {', '.join(map(str, CONTROL_PORTS.values()))} }}"
    found = [f"table {CONTROL_TABLE}", f"delete table {CONTROL_TABLE}", f"table {CONTROL_TABLE} {{"]
    for hook, whose, port in (("prerouting", "saddr", "dport"), ("output", "daddr", "sport")):
        rules = [
            f"    {'ip6' if ':' in family.machine else 'ip'} {whose} {family.machine} tcp {port} {ports} drop"
            for family in families
        ]
        found += [f"  chain {hook} {{", f"    type filter hook {hook} priority -500;", *rules, "  }"]
    return "\n".join([*found, "}", ""])


def break_gate(node: Node) -> None:
    """From now on no program on this host can change the gate of the migration. Everything else that nft is asked for it does."""
    script = r"""
        real=$(readlink -f "$(command -v nft)")
        cp "$real" /run/nft-whole
        cat > /run/nft-broken <<'NFT'
#!/bin/sh
case "$*" in *"-f -"*) text=$(cat) ;; *) exec /run/nft-whole "$@" ;; esac
case "$text" in *" pi_controller_gate"*) echo "Error: Could not process rule: No buffer space available" >&2; exit 1 ;; esac
printf '%s\n' "$text" | /run/nft-whole "$@"
NFT
        chmod 755 /run/nft-broken
        mount --bind /run/nft-broken "$real"
    """
    machines.execute(node, ["sh", "-ec", script])


def repair_gate(node: Node) -> None:
    """It can be changed again."""
    machines.execute(node, ["sh", "-ec", 'umount "$(readlink -f "$(command -v nft)")"'])


def heal(node: Node) -> None:
    """Take back what a test did to this host and does not pass by itself: cables, frozen processes, a full disk."""
    network.heal(node)
    reach_control(node)
    thaw(node)
    unfill(node)


def stop_api(state: State, provider: Provider) -> None:
    """At once, as a crash would: asked to stop, it waits a minute for its clients to let go."""
    server = state.nodes[0]
    machines.execute(server, ["systemctl", "stop", "--no-block", provider.api_unit])
    machines.execute(server, ["systemctl", "kill", "--signal=KILL", provider.api_unit], check=False)


def start_api(state: State, provider: Provider) -> None:
    machines.execute(state.nodes[0], ["systemctl", "start", provider.api_unit], timeout=120)


def stop_kubernetes(node: Node, provider: Provider) -> None:
    """Everything of Kubernetes on one Pi at one stroke, as `systemctl stop k3s` does: API, kubelet, proxy, runtime. Containers run on."""
    units = provider.units(node)
    machines.execute(node, ["systemctl", "stop", "--no-block", *units])
    # Asked to stop, an API server waits a minute for its clients to let go.
    machines.execute(node, ["systemctl", "kill", "--signal=KILL", "--kill-whom=main", *units], check=False)


def start_units(node: Node, provider: Provider) -> None:
    """Everything that makes this host a node runs, whatever was stopped or has given up."""
    units = provider.units(node)
    machines.execute(node, ["systemctl", "reset-failed", *units], check=False)
    machines.execute(node, ["systemctl", "start", *units], timeout=180)
