# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What no role and no playbook gives is no option of a module: it would be kept, documented and tested for no one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

PREFIX = "pi_controller.raft_migration."
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py"))
# Kept although only tests, and owners who call a module themselves, give them.
OF_OTHERS: dict[str, dict[str, str]] = {
    "kube_proxy_info": {"grace": "a time limit"},
    "preflight_ports": {"patience": "a time limit"},
    "private_fetch": dict.fromkeys(("offset", "known_sha256"), "its action plugin gives it"),
    "private_put": dict.fromkeys(("content", "length", "offset", "sha256", "size"), "its action plugin gives it"),
    "quorum_watch": {
        "interval": "a time limit",
        "lifetime": "a time limit",
        "timeout": "a time limit",
        "parent_pid": "a run that is not ansible-playbook",
    },
    "raft_carry": {"wait_leader": "a time limit"},
    "raft_snapshot": {"patience": "a time limit"},
    "sqlite_backup": {"busy_timeout": "a time limit"},
    "sqlite_info": {"busy_timeout": "a time limit", "integrity": "looking at a database by hand"},
    "traffic_gate": {"patience": "a time limit"},
    "unit_handover": {"wait_gone": "a time limit"},
    "unit_takeover": {"wait_gone": "a time limit"},
}


def mappings(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield document
        for value in document.values():
            yield from mappings(value)
    elif isinstance(document, list):
        for value in document:
            yield from mappings(value)


@pytest.fixture(scope="module")
def given() -> dict[str, set[str]]:
    """The options that tasks and `module_defaults` of roles and playbooks give to each module."""
    found: dict[str, set[str]] = {}
    paths = (path for folder in ("roles", "playbooks") for path in (CHECKOUT / folder).rglob("*.yml"))
    for path in paths:
        for mapping in mappings(yaml.safe_load(Path(path).read_text(encoding="utf-8"))):
            for key, options in mapping.items():
                if str(key).startswith(PREFIX) and isinstance(options, dict):
                    found.setdefault(str(key).removeprefix(PREFIX), set()).update(options)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_every_option_is_given_by_a_role_or_kept_for_a_reason(name: str, given: dict[str, set[str]]) -> None:
    # Read and not imported: some need a library that is not everywhere.
    tree = ast.parse((CHECKOUT / f"plugins/modules/{name}.py").read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    (text,) = (
        ast.literal_eval(node.value) for node in assigned if getattr(node.targets[0], "id", "") == "DOCUMENTATION"
    )
    documentation = yaml.safe_load(text).get("options", {})
    options = {option: {option, *(about or {}).get("aliases", ())} for option, about in documentation.items()}
    if "urls" in options:
        options["urls"].add("url")
    unused = {option for option, names in options.items() if not names & given[name]}
    assert unused == set(OF_OTHERS.get(name, {}))
