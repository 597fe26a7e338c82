# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures that say how much a reader has to keep in mind: global names, who sets them, wide Jinja, kinds of modules."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import expressions
from .graph import load

# Not the collection's own name, nor a longer word.
GLOBAL = re.compile(r"(?<![.\w])raft_migration_\w+")
# From the wrapper that all modules could have, to those that leave an error to Ansible.
IDIOMS = ("run_module", "try and fail", "fail_json", "none", "action plugin")


def global_names(checkout: Path) -> set[str]:
    """Every `raft_migration_*` variable that roles and playbooks speak of."""
    paths = [
        path
        for root in ("roles", "playbooks")
        for path in (checkout / root).rglob("*")
        if path.suffix in (".yml", ".j2")
    ]
    return {name for path in paths for name in GLOBAL.findall(path.read_text(encoding="utf-8"))}


def setters(checkout: Path) -> dict[str, set[Path]]:
    """The files in which a task sets each global name, by set_fact or by register."""
    found: dict[str, set[Path]] = defaultdict(set)
    for path in expressions.files(checkout):
        for name in _set_in(load(path)):
            if GLOBAL.fullmatch(name):
                found[name].add(path)
    return found


def _set_in(document: Any) -> Iterator[str]:
    if isinstance(document, Mapping):
        for key, value in document.items():
            if key == "register" and isinstance(value, str):
                yield value
            elif str(key).rpartition(".")[2] == "set_fact":
                yield from value
            yield from _set_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from _set_in(value)


def idioms(checkout: Path) -> dict[str, list[str]]:
    """The modules by what becomes of an error in them."""
    found: dict[str, list[str]] = {idiom: [] for idiom in IDIOMS}
    for path in sorted((checkout / "plugins/modules").glob("*.py")):
        found[idiom(path.read_text(encoding="utf-8"))].append(path.stem)
    return found


def idiom(source: str) -> str:
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    if "main" not in functions:
        return "action plugin"
    names = {name for node in ast.walk(functions["main"]) for name in _called(node)}
    for name, kind in (("run_module", "run_module"), ("fail", "try and fail"), ("fail_json", "fail_json")):
        if name in names:
            return kind
    return "none"


def _called(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        called = node.func
        yield called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""


def report(checkout: Path) -> list[str]:
    names, written = global_names(checkout), setters(checkout)
    wide = sum(len(expressions.wide_lines(path)) for path in expressions.files(checkout))
    most = sorted(written.items(), key=lambda item: (-len(item[1]), item[0]))[:5]
    top = sorted(path.name for path in (checkout / "plugins/module_utils").glob("*.py"))
    kinds = {kind: modules for kind, modules in idioms(checkout).items() if modules}
    return [
        f"global names raft_migration_*: {len(names)}, of which tasks set {len(written)}",
        f"files that set one: {len(set().union(*written.values()))}",
        f"set in most files: {', '.join(f'{name} ({len(paths)})' for name, paths in most)}",
        f"lines of Jinja wider than {expressions.WIDEST}: {wide}",
        f"module idioms: {len(kinds)}",
        *(f"  {kind}: {len(modules)} ({', '.join(modules)})" for kind, modules in kinds.items()),
        f"module_utils at the top level: {len(top)}{': ' + ', '.join(top) if top else ''}",
    ]
