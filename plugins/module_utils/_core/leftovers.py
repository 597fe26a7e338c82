# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs that were rolled back have left on a Pi, and what of it nothing needs any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .failures import MigrationError
from .journal import ROLLBACK, load

# What the phases write below backup_path. Journals and the unit's saved file are small and stay.
COPIES = (
    "prepare",
    "trial",
    "transfer",
    "cutover",
    "cleanup",
    "rollback",
    "rollback.state",
    "transfer.pi-controller.db",
    "cutover.pi-controller.db",
)
ASIDE = ".rolled-back."
# Beside the pod's data folder: its configuration files, which are made anew from the owner's own one.
POD_CONFIG = ".config"


class LeftoversError(MigrationError):
    """A state in which nothing may be removed."""


@dataclass(frozen=True)
class Places:
    """The folders of the configuration, on this Pi, and the unit's database."""

    data_dir: Path
    pod_data_dir: Path
    backup_path: Path
    archive_path: Path
    database: Path


def leftovers(places: Places) -> list[Path]:
    """Everything that can be removed now. Raises where a rollback is in progress, or where the unit's data is not in its place."""
    journal = load(places.backup_path / "journal.json")
    phases = journal["phases"] if journal else {}
    if ROLLBACK in phases:
        raise LeftoversError(
            "a rollback is in progress on this Pi, and it may need all that is there",
            seen=phases[ROLLBACK]["state"],
            wanted="no rollback, or one that is finished",
            next_step="finish it first with the playbook rollback",
        )
    if phases:
        # The present migration goes back by its own copies and its own archive; what earlier runs put aside is not among them.
        return sorted(_aside(places))
    # Not only the folder, which is there as an empty one where its disk is not mounted.
    if not places.database.is_file():
        raise LeftoversError(
            f"the unit's data is not in {places.data_dir}, so what a run has put aside may be the only copy",
            seen=f"no file {places.database}",
            wanted=str(places.database),
            next_step=f"mount what belongs at {places.data_dir} (findmnt --fstab -T {places.data_dir}); else look at {places.archive_path} and"
            f" {places.pod_data_dir}, and at the paths in pi_controller_data_dir and pi_controller_database",
        )
    copies = [places.backup_path / name for name in COPIES]
    copies.append(places.pod_data_dir.with_name(places.pod_data_dir.name + POD_CONFIG))
    return sorted([*_aside(places), *(path for path in copies if path.exists())])


def check_still_left(path: Path, places: Places) -> None:
    """Raise where a run that has begun since may use it: a large folder takes its time, and no lock keeps a run out."""
    if path not in leftovers(places):
        raise LeftoversError(
            f"a migration has begun on this Pi meanwhile, and {path} may be its own",
            seen="a journal",
            wanted="no migration while this cleans up",
            next_step="run the playbook clean again when that run has ended",
        )


def _aside(places: Places) -> Iterator[Path]:
    for path in (places.pod_data_dir, places.archive_path):
        yield from (found for found in path.parent.glob(f"{path.name}{ASIDE}*") if found.is_dir())
