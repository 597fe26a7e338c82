# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The unit's data folder becomes its pod's: the folder's name says whose it is, and one rename changes that."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .durable import fsync
from .takeover import TakeoverError, check_folder_path, check_one_step


@dataclass(frozen=True)
class Handover:
    """`data` is the unit's folder, `pod_data` the name that the pod waits for."""

    data: Path
    pod_data: Path

    @property
    def done(self) -> bool:
        """Whether the folder is the pod's already."""
        return self.pod_data.is_dir() and not self.data.exists()

    def check(self) -> None:
        """Raise where the folder cannot be renamed, or where a pod could start beside the unit. Nothing is changed."""
        for path in (self.data, self.pod_data):
            check_folder_path(path)
        if self.done:
            return
        if os.path.lexists(self.pod_data):
            raise TakeoverError(
                f"{self.pod_data} exists, so a pod could start there while the unit runs on {self.data}",
                seen=str(self.pod_data),
                wanted=f"no {self.pod_data} before the unit's data is handed over",
                next_step=f"look into {self.pod_data} and move it elsewhere",
            )
        if not self.data.is_dir():
            raise TakeoverError(
                f"there is neither {self.data} nor {self.pod_data}",
                wanted=f"the unit's data in {self.data}",
                next_step="set pi_controller_data_dir to the folder of the unit's data, or find out what moved it",
            )
        check_one_step(self.data, self.pod_data)

    def rename(self) -> None:
        """On disk when this returns. From here on the data is the pod's."""
        self.data.rename(self.pod_data)
        for folder in dict.fromkeys((self.data.parent, self.pod_data.parent)):
            fsync(folder)
