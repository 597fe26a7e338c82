# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module outside of its action group would be called without the token, or without the kubeconfig."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]


def documentation(module: Path) -> dict:
    text = module.read_text(encoding="utf-8")
    return yaml.safe_load(text.split('DOCUMENTATION = r"""', 1)[1].split('"""', 1)[0])


@pytest.mark.parametrize("group", ["rest", "kubernetes"])
def test_the_group_is_every_module_with_its_fragment(group: str) -> None:
    groups = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    with_fragment = {
        module.stem
        for module in (CHECKOUT / "plugins/modules").glob("[!_]*.py")
        if f"pi_controller.raft_migration.{group}" in documentation(module).get("extends_documentation_fragment", [])
    }
    assert len(with_fragment) > 1
    assert set(groups[group]) == with_fragment
