# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text of others (daemons, pods, Kubernetes, the Pis' commands) made fit for a terminal, XML, a report or the journal.

A control character moves the cursor, clears the screen or writes the clipboard; a bidirectional mark shows words in
another order; a lone surrogate cannot be written as UTF-8 at all. Each is shown as its escape instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# C0 (but for tab and line feed), DEL and C1, line and paragraph separator, bidirectional marks, surrogates, non-characters.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
_DEEPEST = 40


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def visible(text: str) -> str:
    """The text with every character escaped that is not meant to be seen. Tabs and line feeds stay; CR LF becomes LF."""
    return _UNFIT.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str, longest: int = 300) -> str:
    """The text of a peer as part of a sentence: visible, on one line, at most `longest` characters."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return visible(cut).replace("\n", "\\n").replace("\t", " ")


def visible_in(value: Any, depth: int = 0) -> Any:
    """The structure with every string in it `visible`, keys too; what is nested absurdly deep is left out."""
    if isinstance(value, str):
        return visible(value)
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if depth >= _DEEPEST:
        return "(nested too deeply)"
    if isinstance(value, Mapping):
        return {visible_in(key, depth + 1): visible_in(inner, depth + 1) for key, inner in value.items()}
    return [visible_in(inner, depth + 1) for inner in value]
