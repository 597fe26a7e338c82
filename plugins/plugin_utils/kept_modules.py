# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module runs with code that is on the Pi already, and brings it along only where it is not.

A task sends its module with everything that it imports, and the Pi compiles all of that, each time: most of what a task costs.
See docs/decisions/0018-the-modules-code-is-kept-on-the-pi.md.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from ansible import module_utils
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.action import ActionBase
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.release import __version__

from ..module_utils._core import kept_code
from . import preload as _preload  # noqa: F401 - for the workers that are forked later

# Where an owner wants the code kept; nowhere, if it is empty.
VARIABLE = "raft_migration_code_dir"
_OURS = Path(__file__).resolve().parents[1]
# What no module of ours imports, and files of other languages, stay here.
_LEFT_OUT = ("facts", "powershell", "csharp")


def sources() -> dict[str, str]:
    """All that the modules of this collection may import, Ansible's own part included, by its place below the folder on the Pi."""
    found = {"ansible/__init__.py": f"__version__ = {__version__!r}\n"}
    for root, place in (
        (Path(module_utils.__file__).parent, "ansible/module_utils"),
        (_OURS / "module_utils", f"{kept_code.PLUGINS}/module_utils"),
        (_OURS / "modules", f"{kept_code.PLUGINS}/modules"),
    ):
        for path in sorted(root.rglob("*.py")):
            inside = path.relative_to(root)
            if inside.parts[0] not in _LEFT_OUT:
                found[f"{place}/{inside}"] = path.read_text(encoding="utf-8")
    for name in list(found):
        for folder in list(Path(name).parents)[:-1]:
            found.setdefault(f"{folder}/__init__.py", "")
    return found


def archive() -> str:
    """These files as `kept_code` takes them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as files:
        for name, text in sources().items():
            files.writestr(name, text)
    return base64.b64encode(packed.getvalue()).decode()


# Once in a run, before the workers are forked.
DIGEST = hashlib.sha256(json.dumps(sources(), sort_keys=True).encode()).hexdigest()[:16]
START = Path(kept_code.__file__).read_text(encoding="utf-8")


def script(base: str, module: str, params: bytes, profile: str, archived: str = "") -> bytes:
    """What Python on the Pi reads in place of the whole module; below the folder `base` is the code."""
    arguments = (
        f"{base}/{DIGEST}",
        archived,
        f"{kept_code.PLUGINS.replace('/', '.')}.modules.{module}",
        params,
        profile,
    )
    return f"{START}\n\nrun{arguments!r}\n".encode()


class KeptCode(ActionBase):
    """For an action that runs modules of this collection: what it sends is small. Where no code can be kept, all of it is sent."""

    # What the script brings along; with None Ansible's own way is taken.
    _archived: str | None = None
    _base = ""

    def _execute_module(self, *arguments: Any, wrap_async: Any = False, **named: Any) -> dict[str, Any]:
        self._base = str(self._templar.template((named.get("task_vars") or {}).get(VARIABLE, kept_code.BASE)))
        if wrap_async or self._connection.transport == "local" or not self._base:
            plain: dict[str, Any] = super()._execute_module(*arguments, wrap_async=wrap_async, **named)
            return plain
        for archived in (lambda: "", archive):
            self._archived = archived()
            found: dict[str, Any] = super()._execute_module(*arguments, **named)
            if kept_code.MISSING not in found:
                return found
            # What is there and cannot be used would not be replaced.
            if kept_code.ABSENT not in found[kept_code.MISSING]:
                break
        self._archived = None
        whole: dict[str, Any] = super()._execute_module(*arguments, **named)
        return whole

    def _configure_module(self, module_name: str, module_args: Any, task_vars: Any) -> Any:
        if self._archived is None:
            return super()._configure_module(module_name, module_args, task_vars)
        # Its interpreter, which is looked for where it is not known yet.
        built, _path = super()._configure_module("ansible.builtin.ping", {}, task_vars)
        module = module_name.rpartition(".")[2]
        encoder = get_module_encoder(built.serialization_profile, Direction.CONTROLLER_TO_MODULE)
        params = json.dumps({"ANSIBLE_MODULE_ARGS": module_args}, cls=encoder).encode()
        text = script(self._base, module, params, built.serialization_profile, self._archived)
        return dataclasses.replace(built, b_module_data=text), str(_OURS / f"modules/{module}.py")


class KeptModule(KeptCode, NormalAction):
    """As Ansible runs any module that has no action plugin of its own."""
