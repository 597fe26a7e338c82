# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a Pi has room for the copies of the state that the migration makes, step by step. Pure.

Counted in copies of the database, on the Pi of the leader, which any Pi may be by then; measured with real daemons in
tests/raft/test_disk_real.py. A daemon that takes a snapshot writes it twice and keeps two; one that is restored has the
upload, its WAL, the database and its snapshots at a time. SQLite's own copies are not begun where twice their size is not free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.journal import ROLLING
from .._raft.sides import API, SQLITE
from .findings import Finding, size

# Space for logs, journals and the growth of the pods' Raft log while the migration runs.
SPARE_BYTES = 64 * 1024 * 1024
SPARE_FILES = 1000
# What the migration writes into, with the setting's full name.
WRITTEN = {
    "backup_path": "migration.backup_path",
    "archive_path": "migration.archive_path",
    "pod_data_dir": "pi_controller_pod_data_dir",
}
# Where masks, the gate's and the lease's units are written, and the unit's own links. No setting moves it.
UNIT_FOLDER = "unit_folder"
# The copies that each phase leaves below `backup_path`, by their names there, and by the way the content goes. A run writes them
# anew, so one that an earlier run has left there gives its room.
NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    API: {
        "prepare": ("prepare/pi-controller.db", "prepare/snapshot"),
        "transfer": ("transfer/snapshot",),
        "cutover": ("cutover/snapshot",),
        "rollback": ("rollback/snapshot", "rollback.state"),
    },
    SQLITE: {
        "prepare": ("prepare/pi-controller.db", "prepare/snapshot"),
        "transfer": ("transfer/pi-controller.db", "transfer.pi-controller.db"),
        "cutover": ("cutover/pi-controller.db", "cutover.pi-controller.db"),
        "rollback": ("rollback/pi-controller.db", "rollback.state"),
    },
    ROLLING: {"prepare": ("prepare/pi-controller.db", "prepare/snapshot", "trial")},
}
# What an earlier run, or one that is going on, may have left copies in.
HELD = {
    "backup_path": tuple(
        dict.fromkeys(name for phases in NAMES.values() for names in phases.values() for name in names)
    ),
    "pod_data_dir": (".",),
}
# Phase, and the copies that each folder has beyond what it has today: the daemon takes a snapshot, then it is copied, or
# restored into the pods. What `backup_path` has by then stays as a backup.
STEPS: dict[str, tuple[tuple[str, dict[str, int]], ...]] = {
    # After the opening a rollback has the pods' daemon take a third snapshot, beside its database, its WAL and the two that it keeps. Two
    # copies of that stay, and are restored into the unit: the upload, two snapshots, a file that SQLite reads, and the WAL.
    API: (
        ("prepare", {"backup_path": 1, "data_dir": 2}),
        ("prepare", {"backup_path": 2, "data_dir": 1}),
        ("transfer", {"backup_path": 2, "data_dir": 3}),
        ("transfer", {"backup_path": 3, "data_dir": 2, "pod_data_dir": 4}),
        ("cutover", {"backup_path": 3, "data_dir": 4, "pod_data_dir": 3}),
        ("cutover", {"backup_path": 4, "data_dir": 2, "pod_data_dir": 6}),
        ("rollback", {"backup_path": 5, "data_dir": 2, "pod_data_dir": 6}),
        ("rollback", {"backup_path": 6, "data_dir": 5, "pod_data_dir": 4}),
    ),
    # No daemon is asked for a snapshot. A pod keeps its database and its WAL; where there is none, the copy that a database is read from
    # (in /var/tmp) takes its place.
    SQLITE: (
        ("prepare", {"backup_path": 2}),
        ("transfer", {"backup_path": 4, "pod_data_dir": 2}),
        ("cutover", {"backup_path": 6, "pod_data_dir": 4}),
        ("rollback", {"backup_path": 8, "data_dir": 2, "pod_data_dir": 2}),
    ),
    # The trial pod has a copy of the backup, which is there twice while it is checked.
    ROLLING: (
        ("prepare", {"backup_path": 1, "data_dir": 2}),
        ("prepare", {"backup_path": 4, "data_dir": 1}),
    ),
}


def disk_findings(host: str, seen: Mapping[str, Any], way: str) -> Iterator[Finding]:
    """One finding a file system, since all that is written there adds up. `way` is one of `STEPS`."""
    paths = seen["paths"]
    for name, place in written(seen).items():
        if place["read_only"]:
            yield Finding(
                host,
                f"disk for {name}",
                f"{place['existing']} is mounted read-only",
                "a file system that can be written to",
                "mount it read-write until the migration is complete (an SD card that is wearing out turns read-only: see dmesg)",
            )
    by_device: dict[int, list[str]] = {}
    # The archive is a rename, and needs nothing.
    for name in ("data_dir", "backup_path", "pod_data_dir"):
        by_device.setdefault(paths[name]["device"], []).append(name)
    for names in by_device.values():
        yield from _space(host, seen, names, way)
        yield from _files(host, paths, [name for name in names if name in WRITTEN])


def written(seen: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Every folder that the migration writes into and that has to keep it over a reboot."""
    return {**{name: seen["paths"][name] for name in WRITTEN}, UNIT_FOLDER: seen[UNIT_FOLDER]}


def _space(host: str, seen: Mapping[str, Any], names: list[str], way: str) -> Iterator[Finding]:
    place = seen["paths"][names[0]]
    phase, copied, held = _peak(seen, names, way)
    wanted = copied + SPARE_BYTES
    if place["free"] >= wanted:
        return
    written = [name for name in names if name in WRITTEN] or names
    parts = [f"{size(copied)} for copies of the database ({size(database_bytes(seen))}) in {phase}"] if copied else []
    if held:
        parts.append(f"{size(held)} of an earlier run counted as there")
    setting = WRITTEN.get(written[0])
    yield Finding(
        host,
        f"disk for {', '.join(written)}",
        f"{size(place['free'])} free at {place['existing']}",
        f"{size(wanted)}: {', '.join(parts)}, and {size(SPARE_BYTES)} to spare",
        f"free {size(wanted - place['free'])} there"
        + (f", or set {setting} to a larger file system" if setting else ""),
    )


def database_bytes(seen: Mapping[str, Any]) -> int:
    """Bytes of the database, of which all copies are."""
    # Where it could not be read, which has a finding of its own, it has no more bytes than its folder.
    return int(seen["database"].get("bytes") or seen["state_bytes"])


def _peak(seen: Mapping[str, Any], names: list[str], way: str) -> tuple[str, int, int]:
    """The phase that needs most of this file system, the bytes, and the bytes that an earlier run has left there."""
    database, held = database_bytes(seen), seen.get("held_bytes", {})

    def needed(phase: str, copies: Mapping[str, int]) -> tuple[int, int]:
        total = left = 0
        for name in names:
            whole = copies.get(name, 0) * database
            anew = _written_by(way, phase) if name == "backup_path" else HELD.get(name, ())
            found = sum(held.get(name, {}).get(copy, 0) for copy in anew)
            # What is there is written anew, one copy at a time, and that one is there twice meanwhile.
            there = max(0, min(found, whole - database))
            total, left = total + whole - there, left + there
        return total, left

    phase, (total, left) = max(
        ((phase, needed(phase, copies)) for phase, copies in STEPS[way]), key=lambda step: step[1][0]
    )
    return phase, total, left


def _written_by(way: str, phase: str) -> Iterator[str]:
    """The copies below `backup_path` that are written anew by the end of this phase."""
    for earlier, names in NAMES[way].items():
        yield from names
        if earlier == phase:
            return


def _files(host: str, paths: Mapping[str, Any], names: list[str]) -> Iterator[Finding]:
    if names and paths[names[0]]["free_files"] is not None and paths[names[0]]["free_files"] < SPARE_FILES:
        yield Finding(
            host,
            f"inodes for {', '.join(names)}",
            f"{paths[names[0]]['free_files']} free at {paths[names[0]]['existing']}",
            f"{SPARE_FILES}",
            "remove small files there",
        )


def bytes_written(seen: Mapping[str, Any], device: int, way: str) -> int:
    """The most that the migration adds to what is on a file system, in any of its phases."""
    paths = seen["paths"]
    names = [name for name in ("data_dir", "backup_path", "pod_data_dir") if paths[name]["device"] == device]
    return _peak(seen, names, way)[1] if names else 0
