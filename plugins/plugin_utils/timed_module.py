# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules between which writes wait also return when they were asked, by one clock: those of the Pis may differ."""

from __future__ import annotations

import time
from typing import Any

from .kept_modules import KeptModule


class TimedModule(KeptModule):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        asked = time.time()
        result: dict[str, Any] = super().run(tmp, task_vars)
        return {**result, "asked_at": round(asked, 3), "answered_at": round(time.time(), 3)}
