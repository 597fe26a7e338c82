# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Setting keys of the sections of a YAML file without a YAML library, which a Pi need not have.

JSON is read as such. Of other YAML only what a configuration file of sections and keys looks like is taken: block style, the
sections at the margin. Everything else in the file stays byte for byte. What cannot be changed safely is refused, by its line
and never by its content, which may be a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Union

from .failures import MigrationError

Value = Union[str, int, bool, list]
_NAME = r"""(?P<quote>["']?)(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P=quote)"""
_SECTION = re.compile(rf"{_NAME}\s*:(?P<rest>.*)")
_KEY = re.compile(rf"(?P<indent> +){_NAME}\s*:(?P<rest>(?:\s.*)?)")
_NOTHING = re.compile(r"\s*(#.*)?")
_MARGIN = re.compile(r"-\s|[\w\"'.-]+\s*:(\s|$)|#|---\s*(#.*)?$|\.\.\.\s*$")


def set_keys(text: str, wanted: Mapping[str, Value], aliases: Mapping[str, str], name: str) -> str:
    """The text with these keys (`section.key`) set. A section may be written under its alias. MigrationError names file and line."""
    if text.lstrip().startswith("{"):
        return _set_json(text, wanted, aliases, name)
    lines = text.splitlines()
    _check(lines, name)
    for dotted, value in wanted.items():
        section, _dot, key = dotted.partition(".")
        _set_line(lines, _present(lines, section, aliases), key, value, name)
    return "\n".join(lines) + "\n"


def keys_in(text: str, wanted: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, str]:
    """The values of these keys as the text has them, as far as it is one that `set_keys` has made."""
    found: dict[str, str] = {}
    tree = json.loads(text) if text.lstrip().startswith("{") else None
    lines = text.splitlines()
    for dotted in wanted:
        section, _dot, key = dotted.partition(".")
        if tree is not None:
            at = tree.get(_name_in(tree, section, aliases), {})
            value = json.dumps(at[key]) if isinstance(at, Mapping) and key in at else None
        else:
            value = _line_value(lines, _present(lines, section, aliases), key)
        if value is not None:
            found[dotted] = value
    return found


def _set_json(text: str, wanted: Mapping[str, Value], aliases: Mapping[str, str], name: str) -> str:
    try:
        tree = json.loads(text)
    except ValueError:
        tree = None
    if not isinstance(tree, dict):
        raise _refusal(
            name, 1, "a flow mapping that is not JSON", "block style (`section:` and, below it, `  key: value`)"
        )
    for dotted, value in wanted.items():
        section, _dot, key = dotted.partition(".")
        section = _name_in(tree, section, aliases)
        if not isinstance(tree.setdefault(section, {}), dict):
            raise _refusal(name, 1, f"{section} is not a mapping", "a mapping")
        tree[section][key] = value
    return json.dumps(tree, indent=2) + "\n"


def _name_in(tree: Mapping[str, Any], section: str, aliases: Mapping[str, str]) -> str:
    alias = aliases.get(section)
    return alias if alias is not None and alias in tree and section not in tree else section


def _check(lines: list[str], name: str) -> None:
    """Refuse what would be read otherwise than it is edited."""
    documents = seen = 0
    for number, line in enumerate(lines, start=1):
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise _refusal(name, number, "a tab in the indentation", "spaces")
        if not line or line[0] == " ":
            continue
        if not _MARGIN.match(line):
            raise _refusal(name, number, "something other than a key at the margin", "a file of sections and keys")
        documents += line.startswith("---")
        if documents > 1 or (line.startswith("---") and seen):
            raise _refusal(name, number, "a second document", "one document")
        seen += not line.startswith(("#", "---"))


def _present(lines: list[str], section: str, aliases: Mapping[str, str]) -> str:
    names = {match["name"] for line in lines if (match := _SECTION.match(line))}
    alias = aliases.get(section)
    return alias if alias is not None and alias in names and section not in names else section


def _bounds(lines: list[str], section: str) -> tuple[int, int] | None:
    """The line of the section, and that after its last one."""
    starts = [
        number for number, line in enumerate(lines) if (match := _SECTION.match(line)) and match["name"] == section
    ]
    if not starts:
        return None
    end = starts[0] + 1
    while end < len(lines) and (not lines[end] or lines[end][0] in " #-") and not lines[end].startswith("---"):
        end += 1
    return starts[-1] if len(starts) > 1 else starts[0], end


def _set_line(lines: list[str], section: str, key: str, value: Value, name: str) -> None:
    line = f"{key}: {json.dumps(value)}"
    bounds = _bounds(lines, section)
    if bounds is None:
        while lines and (not lines[-1].strip() or lines[-1].startswith("...")):
            lines.pop()
        lines.extend([f"{section}:", f"  {line}"])
        return
    start, end = bounds
    if start >= end:
        raise _refusal(name, start + 1, f"a second section {section}", "one")
    match = _SECTION.match(lines[start])
    rest = match["rest"].strip() if match else ""
    if rest in ("{}", "null", "~"):
        lines[start] = f"{section}:"
    elif not _NOTHING.fullmatch(rest):
        raise _refusal(
            name, start + 1, f"{section} is not in block style", f"`{section}:` and, below it, `  key: value`"
        )
    indent, places = _keys(lines, start, end, name)
    if key not in places:
        lines.insert(start + 1, " " * indent + line)
        return
    # A value of several lines goes as a whole.
    first, last = places[key]
    if re.search(r":\s+&", lines[first]):
        raise _refusal(name, first + 1, f"{section}.{key} has an anchor that other keys may use", "a value of its own")
    lines[first:last] = [" " * indent + line]


def _keys(lines: list[str], start: int, end: int, name: str) -> tuple[int, dict[str, tuple[int, int]]]:
    """How far the keys of a section are indented, and the lines of each."""
    indent, places, last = 0, dict[str, tuple[int, int]](), ""
    for number in range(start + 1, end):
        line = lines[number]
        if not line.strip() or (line.lstrip().startswith("#") and not last):
            continue
        here = len(line) - len(line.lstrip())
        indent = indent or here
        match = _KEY.fullmatch(line)
        if here > indent or (here == indent and last and line.lstrip().startswith("- ")):
            places[last] = (places[last][0], number + 1)
        elif here == indent and match and match["name"] not in places:
            last = match["name"]
            places[last] = (number, number + 1)
        elif not line.lstrip().startswith("#"):
            raise _refusal(
                name,
                number + 1,
                "a line that is not a key of its section, or a key for the second time",
                "`key: value`",
            )
    return indent or 2, places


def _line_value(lines: list[str], section: str, key: str) -> str | None:
    bounds = _bounds(lines, section)
    if bounds is None or bounds[0] >= bounds[1]:
        return None
    places = _keys(lines, *bounds, section)[1]
    match = _KEY.fullmatch(lines[places[key][0]]) if key in places else None
    return match["rest"].strip() if match else None


def _refusal(name: str, line: int, seen: str, wanted: str) -> MigrationError:
    return MigrationError(
        f"{name}, line {line}: {seen}",
        seen=seen,
        wanted=wanted,
        next_step=f"write {name} in plain block style (or as JSON), check that the daemon starts with it, and run the same command again",
    )
