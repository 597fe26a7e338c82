# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the mounts of a Pi mean for folders that are renamed, and for files that have to outlive a reboot. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.journal import PARALLEL
from .disk import UNIT_FOLDER, WRITTEN, written
from .findings import WARNING, Finding


def mount_findings(host: str, seen: Mapping[str, Any], strategy: str) -> Iterator[Finding]:
    paths = seen["paths"]
    if seen["forgetful_root"]:
        yield Finding(
            host,
            "root file system",
            seen["forgetful_root"],
            "a root file system that keeps what is written: unit, mask, gate and journal have to outlive a reboot",
            "sudo raspi-config nonint disable_overlayfs (or raspi-config, Performance Options, Overlay File System), then reboot",
        )
    yield from _lost_at_reboot(host, written(seen))
    data = paths["data_dir"]
    fixed = _fixed(data)
    if fixed:
        yield Finding(
            host,
            "mount data_dir",
            fixed,
            "a folder that can be renamed, for the archive and for a rollback Pi by Pi",
            "nothing, if that will do: the folder stays where it is and no archive is made; a rollback from the standard ports stops all "
            "pods before the units start. Else move the data into a folder below the mount point and set pi_controller_data_dir to it",
            WARNING,
        )
    yield from _archive(host, paths, bool(fixed))
    yield from _pods(host, paths, bool(fixed), strategy)


def _fixed(path: Mapping[str, Any]) -> str | None:
    """Why this folder cannot be renamed."""
    if path["is_mount_point"]:
        return f"{path['path']} is a mount point"
    if path["mounts_inside"]:
        return f"{path['path']} contains the mount point {', '.join(path['mounts_inside'])}"
    return None


def _lost_at_reboot(host: str, places: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    for name, place in places.items():
        if not place["in_memory"]:
            continue
        yield Finding(
            host,
            f"mount {name}",
            f"{place['path']} is on {place['in_memory']}, which is memory",
            "a file system that keeps its content over a reboot"
            + (": masks and units are there" if name == UNIT_FOLDER else ""),
            f"set {WRITTEN[name]} to a folder on the disk"
            if name in WRITTEN
            else f"have {_mounted(place)} on the disk: findmnt -T {place['path']} shows the mount, /etc/fstab or a mount unit makes it at boot",
        )


def apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a rename from one to the other fails: another mount, also one of the same file system."""
    return bool(one["mount"] != other["mount"] or one["device"] != other["device"])


def _mounted(path: Mapping[str, Any]) -> str:
    """Where the file system is mounted that has this path, or would have it."""
    return str(path["mount"] or path["existing"])


def where(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Of two paths that are apart."""
    kind = " (another file system)" if one["device"] != other["device"] else ""
    return f"it is on {_mounted(one)}, {other['path']} on {_mounted(other)}{kind}"


def _archive(host: str, paths: Mapping[str, Any], kept_in_place: bool) -> Iterator[Finding]:
    data, archive = paths["data_dir"], paths["archive_path"]
    beside = f"{data['path']}.systemd.backup"
    if archive["is_mount_point"]:
        yield Finding(
            host,
            "mount archive_path",
            f"{archive['path']} is a mount point",
            "nothing there: the unit's folder is renamed to it",
            f"set migration.archive_path to a folder that is not there yet, such as {beside}",
        )
    elif not kept_in_place and apart(archive, data):
        yield Finding(
            host,
            "mount archive_path",
            where(archive, data),
            "both on one mount: the archive is made by a rename, never by a copy",
            f"set migration.archive_path to {beside}",
        )


def _pods(host: str, paths: Mapping[str, Any], data_is_fixed: bool, strategy: str) -> Iterator[Finding]:
    data, pods = paths["data_dir"], paths["pod_data_dir"]
    fixed = _fixed(pods)
    if fixed:
        yield Finding(
            host,
            "mount pod_data_dir",
            fixed,
            "a folder that can be renamed: a rollback puts the pods' data aside",
            f"set pi_controller_pod_data_dir to a folder below the mount point, such as {pods['path']}/pi-controller",
        )
    elif not data_is_fixed and apart(pods, data):
        yield Finding(
            host,
            "mount pod_data_dir",
            where(pods, data),
            "both on one mount, so that a rollback can hand the pod's data to the unit Pi by Pi",
            f"set pi_controller_pod_data_dir to {data['path']}-pods; as it is, a rollback from the standard ports stops all pods first",
            WARNING,
        )
    # Pi by Pi such a folder is refused. Beside a mount point there is no place on its own file system.
    elif strategy == PARALLEL and paths["database"]["device"] != pods["device"]:
        yield Finding(
            host,
            "mount pod_data_dir",
            f"it is on {_mounted(pods)}, the database on {_mounted(paths['database'])}",
            "both on one file system: after the migration the production database is in the pods' folder for good",
            f"mount the file system of {_mounted(paths['database'])} at a second place as well, also at boot, and set "
            "pi_controller_pod_data_dir to a new folder there; nothing, if the database may move to the other one",
            WARNING,
        )
