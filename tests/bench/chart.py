# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole runs and write pauses of a benchmark as one SVG, without a library: bars on two axes."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

WIDTH, LEFT, ROW = 760, 230, 26
COLOURS = {"run": "#2f6f9f", "pause": "#b3541e"}


def svg(times: Mapping[str, float]) -> str:
    """Two groups of bars: seconds of each whole run, and seconds of each write pause."""
    groups = {
        "Whole run, s": [
            (name.removesuffix(".run"), value, "run") for name, value in times.items() if name.endswith(".run")
        ],
        "Write pause, s": [
            (name.removesuffix(".pause"), value, "pause") for name, value in times.items() if name.endswith(".pause")
        ],
    }
    if "floor" in times:
        groups["Whole run, s"].append(("floor: two bare rolling restarts", times["floor"], "run"))
    parts, top = [], 10
    for title, bars in groups.items():
        longest = max((value for _, value, _ in bars), default=0) or 1
        parts.append(f'<text x="0" y="{top + 14}" font-weight="bold">{escape(title)}</text>')
        top += ROW
        for name, value, kind in sorted(bars, key=lambda bar: bar[1]):
            width = max(1, round((WIDTH - LEFT - 70) * value / longest))
            parts.append(f'<text x="{LEFT - 8}" y="{top + 15}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{LEFT}" y="{top + 3}" width="{width}" height="{ROW - 8}" fill="{COLOURS[kind]}"/>')
            parts.append(f'<text x="{LEFT + width + 6}" y="{top + 15}">{value:.2f}</text>')
            top += ROW
        top += ROW // 2
    style = 'font-family="sans-serif" font-size="13"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" {style}>\n'
        f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
