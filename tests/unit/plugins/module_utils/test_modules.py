# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
from typing import Any, Callable

import pytest
from conftest import import_plugin

modules = import_plugin("module_utils._core.modules")
MigrationError = import_plugin("module_utils._core.failures").MigrationError


class Ended(Exception):
    """In the place of the end of the process."""


class Module:
    """The two ways in which a module of Ansible ends."""

    def __init__(self) -> None:
        self.result: dict[str, Any] = {}

    def exit_json(self, **result: Any) -> None:
        self.result = result
        raise Ended

    def fail_json(self, **result: Any) -> None:
        self.result = {"failed": True, **result}
        raise Ended


def ended(work: Callable[[Any, dict[str, Any]], None]) -> dict[str, Any]:
    module = Module()
    with pytest.raises(Ended):
        modules.run_module(module, work, doing="writing /backup/journal.json")
    return module.result


def test_a_module_ends_with_the_result_it_has_filled() -> None:
    assert ended(lambda _module, result: result.update(found=3)) == {"changed": False, "found": 3}
    assert ended(lambda _module, result: result.update(changed=True))["changed"] is True


def test_a_failure_keeps_what_was_done_until_then() -> None:
    def work(_module: Any, result: dict[str, Any]) -> None:
        result.update(changed=True, removed=["a"])
        raise MigrationError("no leader", seen="none", next_step="start a daemon")

    result = ended(work)
    assert (result["failed"], result["changed"], result["removed"]) == (True, True, ["a"])
    assert result["msg"] == "no leader. Next: start a daemon"
    assert result["failure"]["seen"] == "none"


def test_a_system_error_names_the_step_and_the_next_one() -> None:
    def work(_module: Any, _result: dict[str, Any]) -> None:
        # A full disk names no file.
        raise OSError(errno.ENOSPC, "No space left on device")

    result = ended(work)
    assert result["msg"] == (
        "writing /backup/journal.json: [Errno 28] No space left on device. Next: fix the problem above and run the same command again"
    )
    assert result["failure"]["seen"] == "[Errno 28] No space left on device"


def test_a_defect_is_no_failure_of_the_module() -> None:
    def work(_module: Any, _result: dict[str, Any]) -> None:
        raise KeyError("term")

    with pytest.raises(KeyError):
        modules.run_module(Module(), work, doing="looking")
