# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that are named after rows of the tables in docs/."""

from __future__ import annotations

import re
from pathlib import Path


def named_after(row: str, path: Path) -> list[str]:
    """Tests of the file with this row in their names: test_p1_…, test_p6_p7_p8_…"""
    names = re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for name in names if row.lower() in name.split("_")]
