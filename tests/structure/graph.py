# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who includes or imports whom: the roles, and the packages of module_utils. Read from the files, nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Graph = dict[str, set[str]]
Circle = tuple[str, ...]
PREFIX = "pi_controller.raft_migration."
INCLUDES = ("include_role", "import_role")
# A role whose name is a variable is one that such a variable names, or one of the table of phases and their roles.
ROLE_NAME = "raft_migration_role"
ROLE_TABLE = "raft_migration_phase_roles"


def roles(checkout: Path) -> Graph:
    """An edge for each dependency, include_role and import_role. Reading roles/ and playbooks/."""
    folders = sorted(path for path in (checkout / "roles").iterdir() if path.is_dir())
    documents = {
        path: load(path) for root in ("roles", "playbooks") for path in sorted((checkout / root).rglob("*.yml"))
    }
    listed = {name for document in documents.values() for name in _listed(document)}
    graph: Graph = {folder.name: set() for folder in folders}
    for folder in folders:
        for path, document in documents.items():
            if folder not in path.parents:
                continue
            for name in _included(document):
                if "{{" in name and not listed:
                    raise ValueError(f"{path} includes {name}, and no {ROLE_NAME} says which roles these are")
                graph[folder.name] |= {name} if "{{" not in name else listed
    return graph


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def mappings(document: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, Mapping):
        yield document
        for value in document.values():
            yield from mappings(value)
    elif isinstance(document, list):
        for value in document:
            yield from mappings(value)


def _included(document: Any) -> Iterator[str]:
    for mapping in mappings(document):
        for key, value in mapping.items():
            if str(key).rpartition(".")[2] in INCLUDES:
                yield value["name"].removeprefix(PREFIX)
        for dependency in mapping.get("dependencies") or []:
            name = dependency["role"] if isinstance(dependency, Mapping) else dependency
            yield name.removeprefix(PREFIX)


def _listed(document: Any) -> Iterator[str]:
    for mapping in mappings(document):
        name = str(mapping.get(ROLE_NAME, "{{"))
        yield from [] if "{{" in name else [name]
        for phases in (mapping.get(ROLE_TABLE) or {}).values():
            yield from phases.values()


def packages(checkout: Path) -> Graph:
    """An edge for each import of one package of module_utils by another."""
    root = checkout / "plugins/module_utils"
    graph: Graph = {path.parent.name: set() for path in sorted(root.glob("*/__init__.py"))}
    for package in graph:
        for path in sorted((root / package).rglob("*.py")):
            depth = len(path.relative_to(root).parts)
            graph[package] |= set(_imported(ast.parse(path.read_text(encoding="utf-8")), depth)) - {package}
    return graph


def _imported(tree: ast.AST, depth: int) -> Iterator[str]:
    """Packages that a file `depth` levels below module_utils imports, by relative and by absolute names."""
    absolute = f"ansible_collections.{PREFIX}plugins.module_utils"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [
                alias.name.removeprefix(f"{absolute}.") for alias in node.names if alias.name.startswith(f"{absolute}.")
            ]
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and f"{node.module}.".startswith(f"{absolute}."):
            below = str(node.module)[len(absolute) + 1 :]
            names = [below] if below else [alias.name for alias in node.names]
        else:
            continue
        yield from (name.partition(".")[0] for name in names)


def circles(graph: Graph) -> set[Circle]:
    """Every circle once, beginning with its first name by the alphabet: `("a", "b")` is a -> b -> a."""
    found: set[Circle] = set()

    def follow(path: Circle) -> None:
        for following in graph.get(path[-1], ()):
            if following == path[0]:
                found.add(path)
            elif following > path[0] and following not in path:
                follow((*path, following))

    for name in graph:
        follow((name,))
    return found


def mermaid(graph: Graph) -> str:
    lines = [f"  {name} --> {other}" for name in sorted(graph) for other in sorted(graph[name])]
    alone = [
        f"  {name}"
        for name in sorted(graph)
        if not graph[name] and not any(name in others for others in graph.values())
    ]
    return "\n".join(["graph LR", *lines, *alone])


def text(graph: Graph) -> str:
    width = max(len(name) for name in graph)
    return "\n".join(f"  {name:<{width}}  -> {', '.join(sorted(graph[name])) or '(none)'}" for name in sorted(graph))
