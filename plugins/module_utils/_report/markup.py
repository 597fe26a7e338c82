# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Markup that cannot be broken out of: text and attribute values are escaped where an element is made."""

from __future__ import annotations

from html import escape
from typing import Any, Union

_VOID = {"meta", "link", "br", "hr", "img"}


class Markup(str):
    """Text that is markup already. Only `tag` and `raw` make it."""

    __slots__ = ()


Child = Union[Markup, str, int, float, None]


def raw(text: str) -> Markup:
    """Markup of our own that is no element: a style sheet, a doctype."""
    return Markup(text)


def joined(*children: Child) -> Markup:
    return Markup("".join(child if isinstance(child, Markup) else escape(str(child)) for child in children if child is not None))


def tag(name: str, /, *children: Child, **attributes: Any) -> Markup:
    """An element. `class_` and `for_` lose their underscore, other underscores become dashes; None leaves one out."""
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
        if isinstance(value, float):
            value = number(value)
        written.append(f" {key}" if value is True else f' {key}="{escape(str(value), quote=True)}"')
    opening = f"<{name}{''.join(written)}>"
    return Markup(opening) if name in _VOID else Markup(f"{opening}{joined(*children)}</{name}>")


def number(value: float) -> str:
    """A coordinate: short, and the same on every machine."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value else "0"
