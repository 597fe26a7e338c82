# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assertions of tests that a slow machine breaks: a measured time, and a plain number that it must not exceed.

What a time is compared with has a name, and is long beside what it takes: the patience that would have been waited, or
another time of the same test.
"""

from __future__ import annotations

import ast
from pathlib import Path

CLOCKS = {"monotonic", "perf_counter", "process_time", "time"}
TIMES = {"elapsed", "seconds", "took", "waited", "duration"}
MOMENTS = {"at", "began", "ended"}


def assertions(path: Path) -> list[int]:
    """Lines with such an assertion."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        found.lineno
        for found in ast.walk(tree)
        if isinstance(found, ast.Assert) and any(_exceeded(part) for part in ast.walk(found.test))
    ]


def _exceeded(part: ast.AST) -> bool:
    if not isinstance(part, ast.Compare):
        return False
    sides = [part.left, *part.comparators]
    for left, operator, right in zip(sides, part.ops, sides[1:], strict=False):
        if isinstance(operator, (ast.Gt, ast.GtE)):
            left, right = right, left
        elif not isinstance(operator, (ast.Lt, ast.LtE)):
            continue
        if isinstance(right, ast.Constant) and any(_is_time(inner) or _is_span(inner) for inner in ast.walk(left)):
            return True
    return False


def _is_time(part: ast.AST) -> bool:
    if isinstance(part, ast.Call):
        name = part.func.attr if isinstance(part.func, ast.Attribute) else getattr(part.func, "id", "")
        return name in CLOCKS | TIMES
    word = _word(part)
    return word in TIMES or word.endswith("_seconds")


def _is_span(part: ast.AST) -> bool:
    """From one moment to another."""
    return (
        isinstance(part, ast.BinOp)
        and isinstance(part.op, ast.Sub)
        and any(_word(inner) in MOMENTS for inner in ast.walk(part))
    )


def _word(part: ast.AST) -> str:
    word = getattr(part, "attr", None) or getattr(part, "id", None) or getattr(part, "value", None)
    return word if isinstance(word, str) else ""
