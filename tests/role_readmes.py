#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes each role's README and the list of modules in README.md from their documentation; with --check it only names stale files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
ROLES = CHECKOUT / "roles"
MODULES = re.compile(r"(?<=<!-- modules -->\n).*?(?=<!-- end of modules -->)", re.DOTALL)
COLLECTION = "pi_controller.raft_migration"


def as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def markdown(text: str) -> str:
    """Ansible's markup as Markdown."""
    text = re.sub(r"P\(([\w.]+)#\w+\)", r"`\1`", text).replace(f"`{COLLECTION}.", "`")
    return re.sub(r"\b[CVOM]\(([^)]*)\)", r"`\1`", text)


def shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def option_row(name: str, option: dict[str, Any]) -> str:
    kind = option.get("type", "str") + (f" of {option['elements']}" if "elements" in option else "")
    if option.get("required"):
        default = "required"
    elif "default" not in option:
        default = ""
    else:
        default = f"`{shown(option['default'])}`" if option["default"] != "" else "empty"
    text = "<br>".join(markdown(line) for line in as_list(option["description"]))
    if "choices" in option:
        text += f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
    return f"| `{name}` | {kind} | {default} | {text} |".replace("|  |", "| |")


def lines(role: str, specs: dict[str, Any]) -> Iterator[str]:
    yield f"# {COLLECTION}.{role}"
    for entry, spec in specs.items():
        yield ""
        if entry != "main":
            yield f"## `tasks_from: {entry}`"
            yield ""
        yield f"{spec['short_description']}."
        for paragraph in as_list(spec["description"]):
            yield ""
            yield markdown(paragraph).replace("role `run`", "role [run](../run/README.md)")
        if spec.get("options"):
            yield ""
            yield "| variable | type | default | meaning |"
            yield "|---|---|---|---|"
            for name, option in spec["options"].items():
                yield option_row(name, option)
    yield ""
    yield "<!-- Written by tests/role_readmes.py from meta/argument_specs.yml: change that file, then run `make docs`. -->"


def modules() -> dict[str, str]:
    """What each module does, by its name."""
    found = {}
    for path in sorted((CHECKOUT / "plugins/modules").glob("*.py")):
        text = re.search(r"^short_description: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        if text is None:
            raise ValueError(f"{path} has no short_description")
        found[path.stem] = text[1]
    return found


def module_table() -> str:
    rows = "".join(f"| `{name}` | {text} |\n" for name, text in modules().items())
    return f"| module | does |\n|---|---|\n{rows}"


def main() -> int:
    stale = []
    readme = CHECKOUT / "README.md"
    text = MODULES.sub(lambda _: module_table(), readme.read_text(encoding="utf-8"))
    if readme.read_text(encoding="utf-8") != text:
        stale.append("README.md")
        if "--check" not in sys.argv[1:]:
            readme.write_text(text, encoding="utf-8")
    for spec in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        role = spec.parents[1]
        text = "\n".join(lines(role.name, yaml.safe_load(spec.read_text(encoding="utf-8"))["argument_specs"])) + "\n"
        readme = role / "README.md"
        if not readme.exists() or readme.read_text(encoding="utf-8") != text:
            stale.append(f"roles/{role.name}/README.md")
            if "--check" not in sys.argv[1:]:
                readme.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv[1:]:
        print(
            f"Not what the documentation of roles and modules says: {', '.join(stale)}. Run `make docs` and commit the result."
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
