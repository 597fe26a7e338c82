# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as one HTML page: no script, no request, everything is in the file. For the control node, which has Jinja2."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...module_utils._core import words
from ...module_utils._report.status import differing
from . import charts


def unbroken(text: Any) -> str:
    """A number and its unit stay on one line."""
    return re.sub(r"(\d) (ms|s|min|h|d)\b", "\\1\u00a0\\2", str(text))


def value_at(report: Any, path: str) -> Any:
    """`value_at(report, "phases.0.seconds")`."""
    for key in path.split("."):
        report = report[int(key)] if isinstance(report, Sequence) else report[key]
    return report


def pairs(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested structure as flat pairs."""
    if isinstance(value, Mapping):
        return [
            pair for key, member in value.items() for pair in pairs(member, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(member) for member in value)
    return [(prefix, "–" if value in (None, "") else str(value))]


def render(report: Mapping[str, Any]) -> str:
    """The whole document. Whatever comes from the report is escaped: the template says nothing is markup but its own."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        unbroken=unbroken, clock=words.clock, seconds=words.seconds, offset=charts.offset, pairs=pairs
    )
    return environment.get_template("page.html.j2").render(
        report=report,
        at=lambda path: value_at(report, path),
        charts=charts,
        differing=differing,
        plain=str,
        seconds=words.seconds,
        milliseconds=lambda value: words.seconds(value / 1000),
        phase_titles=words.PHASE_TITLES,
    )
