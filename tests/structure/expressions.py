# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Jinja expressions of roles and playbooks, and what makes one hard to read or wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, nodes

# Keywords whose text is an expression without braces.
BARE = ("when", "that", "until", "failed_when", "changed_when")
PATTERNS = ("match", "search", "regex", "regex_replace", "regex_search", "regex_findall")
# Tests of whether a variable is there, whatever its value is.
PRESENCE = ("defined", "undefined", "none")
# Filters that take the name of a test or filter, then its arguments.
APPLIES = ("selectattr", "rejectattr", "select", "reject", "map")
WIDEST = 120


class Anything(dict[str, Any]):
    """Ansible's filters and tests are not there, and nothing is evaluated."""

    def __contains__(self, _name: object) -> bool:
        return True


def files(checkout: Path) -> list[Path]:
    return sorted(path for root in ("roles", "playbooks") for path in (checkout / root).rglob("*.yml"))


def scalars(path: Path) -> Iterator[tuple[str, yaml.ScalarNode]]:
    """Each Jinja text of a YAML file with its place in it."""

    def walk(node: yaml.Node | None, bare: bool) -> Iterator[tuple[str, yaml.ScalarNode]]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield from walk(value, key.value in BARE)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                yield from walk(value, bare)
        elif isinstance(node, yaml.ScalarNode):
            if "{{" in node.value or "{%" in node.value:
                yield node.value, node
            elif bare and node.tag.endswith(":str"):
                yield "{{ " + node.value + " }}", node

    yield from walk(yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), False)


def wide_lines(path: Path) -> list[int]:
    """Numbers of the lines of Jinja that are too wide."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = {
        number + 1
        for _text, node in scalars(path)
        for number in range(node.start_mark.line, min(node.end_mark.line + 1, len(lines)))
        if len(lines[number]) > WIDEST
    }
    return sorted(found)


def faults(path: Path) -> list[str]:
    """Nested ternaries, patterns with a variable that is not escaped, and variables of hosts zipped by hand; each with its line."""
    return [f"{node.start_mark.line + 1}: {fault}" for text, node in scalars(path) for fault in faults_of(text)]


def faults_of(text: str) -> list[str]:
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.filters, environment.tests = Anything(), Anything()
    tree = environment.parse(text)
    found = []
    for choice in tree.find_all(nodes.CondExpr):
        if isinstance(choice.expr1, nodes.CondExpr) or isinstance(choice.expr2, nodes.CondExpr):
            found.append("a ternary inside a ternary; name one of them in vars")
    for applied in (*tree.find_all(nodes.Filter), *tree.find_all(nodes.Test)):
        pattern = _pattern(applied)
        if pattern is not None and not _escaped(pattern):
            found.append("a variable is part of a pattern; put it through regex_escape, or compare without a pattern")
    for call in tree.find_all(nodes.Call):
        zipped = call.args and isinstance(call.args[0], nodes.Filter) and call.args[0].name == "zip"
        by_hand = zipped and any(constant.value == "extract" for constant in call.find_all(nodes.Const))
        if by_hand and isinstance(call.node, nodes.Name) and call.node.name == "dict":
            found.append("a variable of several hosts is zipped by hand; use the filter by_host")
    return found


def _pattern(call: Any) -> nodes.Node | None:
    if call.name in PATTERNS:
        return call.args[0] if call.args else None
    if call.name in APPLIES:
        for index, argument in enumerate(call.args[:-1]):
            if isinstance(argument, nodes.Const) and argument.value in PATTERNS:
                return call.args[index + 1]
    return None


def _escaped(pattern: nodes.Node) -> bool:
    if isinstance(pattern, nodes.Filter) and pattern.name == "regex_escape":
        return True
    return not isinstance(pattern, nodes.Name) and all(_escaped(part) for part in pattern.iter_child_nodes())


def booleans(checkout: Path) -> frozenset[str]:
    """The variables of an owner that are true or false, by the argument specs of the roles."""
    found: set[str] = set()
    for path in checkout.glob("roles/*/meta/argument_specs.yml"):
        for spec in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("argument_specs", {}).values():
            found |= {name for name, option in spec.get("options", {}).items() if option.get("type") == "bool"}
    return frozenset(found)


def unsure_booleans(path: Path, names: frozenset[str]) -> list[str]:
    """Each place where such a variable decides something without `| bool`: `-e name=false` makes it the text "false", which is true."""
    found = []
    for text, node in scalars(path):
        # The whole value of a task's argument: the module knows its type.
        value = "{{" in node.value and "vars" not in path.parts
        for name in unsure_of(text, names, value):
            found.append(f"{node.start_mark.line + 1}: {name} may be the text of a command line; put it through bool")
    return found


def unsure_of(text: str, names: frozenset[str], value: bool) -> list[str]:
    """The names that an expression does not put through `bool`. Where it is a `value`, it may be one of them as it is."""
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.filters, environment.tests = Anything(), Anything()
    tree = environment.parse(text)
    whole = tree.body[0].nodes if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) else []
    if value and len(whole) == 1 and isinstance(whole[0], nodes.Name):
        return []
    sure: set[int] = set()
    for applied in (*tree.find_all(nodes.Filter), *tree.find_all(nodes.Test)):
        if applied.name != "bool" and not (isinstance(applied, nodes.Test) and applied.name in PRESENCE):
            continue
        inner: nodes.Node | None = applied.node
        while isinstance(inner, nodes.Filter):
            inner = inner.node
        sure.add(id(inner))
    return [found.name for found in tree.find_all(nodes.Name) if found.name in names and id(found) not in sure]
