# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of its Pi a pod sees, and which of them it can write. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

# What every container has of its own, and what means no more than a place there.
_EVERYWHERE = frozenset(
    {
        "/", "/dev", "/dev/console", "/dev/full", "/dev/null", "/dev/random", "/dev/shm", "/dev/stderr", "/dev/stdin", "/dev/stdout", "/dev/tty",
        "/dev/urandom", "/dev/zero", "/etc", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc", "/run", "/sys", "/tmp", "/usr",
        "/var/run", "/var/tmp",
    }
)  # fmt: skip
_KERNEL = ("/proc/", "/sys/")


@dataclass(frozen=True)
class PodMount:
    """A volume of the pod: where it is in the container, and which path of the Pi that is (empty where it is none)."""

    inside: str
    host: str = ""
    read_only: bool = False
    # What is a link on the Pi is not there.
    without_links: bool = False


def pod_mounts(owner: Mapping[str, Any]) -> tuple[PodMount, ...]:
    """What the DaemonSet mounts for the daemon, see roles/cluster/templates/daemonset.yml.j2. `owner` has the settings of Plan."""
    folders = {
        volume["name"]: (volume.get("hostPath") or {}).get("path", "")
        for volume in owner["volumes"]
        if volume.get("name")
    }
    config = str(PurePosixPath(owner["config_file"]).parent)
    return (
        # What the unit has there the pod's own folder has, or gets.
        PodMount(owner["data_dir"], owner["data_dir"]),
        PodMount(config, config, read_only=True),
        # A privileged container has all devices, by the names of their nodes.
        *(
            [PodMount("/dev", "/dev", without_links=True)]
            if (owner["security_context"] or {}).get("privileged")
            else []
        ),
        *(
            PodMount(
                str(PurePosixPath(mount["mountPath"])),
                str(PurePosixPath(folders[mount["name"]], mount.get("subPath") or ""))
                if folders.get(mount.get("name"))
                else "",
                bool(mount.get("readOnly")),
            )
            for mount in owner["volume_mounts"]
            if mount.get("mountPath")
        ),
    )


def within(path: str, folder: str) -> bool:
    """Whether the path is the folder or below it; nothing is below an empty one."""
    return bool(folder) and (
        PurePosixPath(path) == PurePosixPath(folder) or PurePosixPath(folder) in PurePosixPath(path).parents
    )


def sees(mounts: Iterable[PodMount], path: str, real: str, links: Iterable[str]) -> bool:
    """Whether a pod finds at `path` what the unit finds there. `links` are the components of the path that are links, which end at `real`."""
    known = list(mounts)
    if str(PurePosixPath(path)) in _EVERYWHERE or path.startswith(_KERNEL):
        return True
    holding = _innermost(known, path, "inside")
    if holding is None:
        return False
    # One above the mount, or at it, is followed on the Pi. What the owner has mounted from elsewhere has links of its own.
    below = [link for link in links if within(link, holding.inside) and link != holding.inside]
    if not below or holding.host != holding.inside:
        return True
    return not holding.without_links and _innermost(known, real, "inside") is not None


def writes(mounts: Iterable[PodMount], path: str) -> bool:
    """Whether a pod can write this file of the Pi."""
    known = list(mounts)
    holding = [found for name in ("inside", "host") if (found := _innermost(known, path, name))]
    return any(not mount.read_only for mount in holding)


def _innermost(mounts: Iterable[PodMount], path: str, name: str) -> PodMount | None:
    """The mount whose `inside` or `host` holds the path most closely."""
    return max(
        (mount for mount in mounts if within(path, getattr(mount, name))),
        key=lambda mount: len(PurePosixPath(getattr(mount, name)).parts),
        default=None,
    )


def out_of_reach(mounts: Iterable[PodMount], named: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Of the paths that a configuration file names, those that a pod does not find."""
    known = list(mounts)
    return (entry for entry in named if not sees(known, entry["path"], entry["real"], entry["links"]))
