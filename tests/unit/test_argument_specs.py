# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles say of their variables is what their defaults are, and nothing is left unsaid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if (path / "meta/argument_specs.yml").is_file())


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def specs(role: str) -> dict[str, Any]:
    return read(ROLES / role / "meta/argument_specs.yml")["argument_specs"]


@pytest.mark.parametrize("role", NAMES)
def test_every_entry_point_is_a_task_file_and_says_what_it_does(role: str) -> None:
    for entry, spec in specs(role).items():
        assert (ROLES / role / "tasks" / f"{entry}.yml").is_file(), entry
        assert spec["short_description"], entry
        assert spec["description"], entry


@pytest.mark.parametrize("role", NAMES)
def test_every_default_is_an_option_with_the_same_default(role: str) -> None:
    defaults_file = ROLES / role / "defaults/main.yml"
    defaults = read(defaults_file) if defaults_file.exists() else {}
    # Those of `cluster` are checked by the entry point that opens every playbook.
    described = [*specs(role).values(), *(specs("run").values() if role == "cluster" else ())]
    options = {name: option for spec in described for name, option in spec.get("options", {}).items()}
    # What is given as a variable of one task, or may be left unset, has no default in a file.
    documented = {name: option["default"] for name, option in options.items() if name in defaults}
    assert documented == defaults


@pytest.mark.parametrize("role", NAMES)
def test_the_phases_short_description_is_the_roles(role: str) -> None:
    main = specs(role).get("main")
    if main:
        assert main["short_description"] == read(ROLES / role / "meta/main.yml")["galaxy_info"]["description"]


def test_the_documented_defaults_of_the_migration_are_the_real_ones() -> None:
    """The structure is checked by a filter, so here its keys are prose; they must be all of them."""
    from ansible_collections.pi_controller.raft_migration.plugins.module_utils._config.structure import DEFAULTS

    text = "\n".join(specs("run")["discover"]["options"]["migration"]["description"])
    for section, value in DEFAULTS.items():
        assert f"C({section})" in text
        if section in ("temporary_env", "standard_env"):
            continue
        if isinstance(value, str):
            assert f"V({value})" in text
            continue
        for key, default in value.items():
            assert f"C({key})" in text
            assert isinstance(default, bool) or str(default) in text
