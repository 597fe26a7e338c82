# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the test daemon, for the unit, for the image of the pods, and for tests that run it as a process."""

from __future__ import annotations

from pathlib import Path

from ..lab import cache, golang, packages
from ..lab.progress import Progress

SOURCE = Path(__file__).resolve().parent / "picontroller"


def build_test_daemon(progress: Progress) -> Path:
    """The program, from the cache where its sources are those it was built from."""
    key = cache.tree_digest(SOURCE, (".go", ".mod", ".sum"))

    def make(folder: Path) -> None:
        packages.ensure(packages.BUILD, progress)
        # Without a dynamic loader there is nothing to load SQLite extensions or a resolver with, so both are left out.
        tags = "netgo osusergo sqlite_omit_load_extension"
        golang.build(
            SOURCE, folder / "pi-controller", progress, name="test-daemon", ldflags=golang.STATIC, tags=tags, cgo=True
        )

    return (
        cache.obtain("test-daemon", key, make, progress, "building the test daemon, about a minute") / "pi-controller"
    )
