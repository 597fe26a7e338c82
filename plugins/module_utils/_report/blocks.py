# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The building blocks of the report's page: values tied to the JSON, tables, sections, figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .markup import Child, Markup, tag

SECTIONS = (
    ("timeline", "Time line"),
    ("availability", "Availability"),
    ("content", "Content"),
    ("members", "Members"),
    ("alerts", "Alerts"),
    ("checks", "Checks"),
    ("versions", "Versions"),
    ("configuration", "Configuration"),
)


def unbroken(text: str) -> str:
    """A number and its unit stay on one line."""
    return re.sub(r"(\d) (ms|s|min|h|d)\b", "\\1\u00a0\\2", text)


def data(report: Mapping[str, Any], path: str, shown: Callable[[Any], str] = str, none: str = "–") -> Markup:
    """A value of the report as people read it, tied to its place in the JSON."""
    value: Any = report
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, Sequence) and not isinstance(value, str) else value[key]
    return tag("data", none if value is None else unbroken(shown(value)), value="" if value is None else str(value), data_key=path)


def table(caption: str | None, head: Sequence[str], rows: Sequence[Sequence[Child]], numeric: Sequence[int] = ()) -> Markup:
    """A table whose rows become cards on a narrow page. Roles are written out, since `display` would take them away.

    A column without a single value is left out.
    """
    if not rows:
        return tag("p", "Nothing to show.", class_="empty")
    kept = [index for index in range(len(head)) if any(row[index] not in (None, "") for row in rows)]
    head, rows = [head[index] for index in kept], [[row[index] for index in kept] for row in rows]
    numeric = [new for new, old in enumerate(kept) if old in numeric]
    titles = [tag("th", title, scope="col", role="columnheader", class_="num" if index in numeric else None) for index, title in enumerate(head)]
    lines = []
    for row in rows:
        cells = [tag("th", row[0], scope="row", role="rowheader")]
        for index, cell in enumerate(row[1:], 1):
            inner = None if cell in (None, "") else tag("span", cell)
            cells.append(tag("td", inner, role="cell", data_label=head[index], class_="num" if index in numeric else None))
        lines.append(tag("tr", *cells, role="row"))
    return tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", tag("tr", *titles, role="row"), role="rowgroup"),
        tag("tbody", *lines, role="rowgroup"),
        role="table",
    )


def section(name: str, *children: Child) -> Markup:
    title = dict(SECTIONS)[name]
    return tag("section", tag("h2", title, id=f"{name}-heading"), *children, id=name, aria_labelledby=f"{name}-heading")


def figure(caption: str, draw: Callable[[bool], Markup]) -> Markup:
    return tag("figure", tag("div", draw(False), class_="wide"), tag("div", draw(True), class_="narrow"), tag("figcaption", caption))


def state(word: str) -> Markup:
    class_ = {"done": "ok", "failed": "no", "pending": "dim"}.get(word, "")
    mark = {"done": "✓", "failed": "✗", "rolled_back": "↩", "started": "…", "pending": "·"}[word]
    return tag("span", tag("span", mark, aria_hidden="true"), f" {word.replace('_', ' ')}", class_=f"state {class_}".strip())


def code(value: Any) -> Child:
    return tag("code", value) if value else "–"


def pairs(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested structure as flat pairs."""
    if isinstance(value, Mapping):
        return [pair for key, one in value.items() for pair in pairs(one, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(one) for one in value)
    return [(prefix, "–" if value in (None, "") else str(value))]


def listing(value: Any) -> Markup:
    return tag("dl", *(part for key, one in pairs(value) for part in (tag("dt", key), tag("dd", tag("span", one, class_="mono")))), class_="pairs")
