# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commit that is asked for twice: Ansible's ssh repeats a task whose connection was lost, and the first one has gone on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import import_plugin

module = import_plugin("modules.cutover_lease")
commit_of = import_plugin("module_utils._lease.commit")
order_of = import_plugin("module_utils._lease.order")
unit_of = import_plugin("module_utils._lease.unit")
lease_of = import_plugin("module_utils._gate.lease")

GATE = {"state": "redirected", "ports": [{"standard": 8080, "temporary": 8082}]}
FACTS = {"content_digest": "cafe", "old_term": 5}


class Kernel:
    """In the place of `nft`: it has one gate."""

    binary = "/usr/sbin/nft"

    def __init__(self) -> None:
        self.gate = replace(
            module.wanted_gate({**GATE, "established": "reset", "services": [], "forward_to": None}), lifetime=30
        )

    def of(self, _module: Any) -> Kernel:
        return self

    def table(self) -> Any:
        return self.gate.expected()


@pytest.fixture
def commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_module: Callable[..., dict[str, Any]]
) -> Callable[..., dict[str, Any]]:
    """Asks for the commit on a Pi with a lease in force; the answer, and whether any file or the gate is another one than before."""
    kernel = Kernel()
    folders = {name: tmp_path / name for name in ("etc", "systemd", "lease", "backup")}
    for folder in folders.values():
        folder.mkdir()
    unit = unit_of.LeaseUnit(folders["lease"], folders["etc"])
    unit.file.save(order_of.Order.from_now("pi-controller.service", 60))
    journal = folders["backup"] / "journal.json"
    journal.write_text(json.dumps({"format": 1, "migration_id": "m1", "phases": {}, "events": []}))

    def set_gate(_nft: Any, gate: Any, *_more: Any) -> Any:
        kernel.gate = gate

    monkeypatch.setattr(module.Lease, "unit", unit)
    monkeypatch.setattr(module, "Nft", kernel)
    boot_unit = module.BootUnit
    monkeypatch.setattr(module, "BootUnit", lambda nft, gate: boot_unit(nft, gate, folders["systemd"]))
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    monkeypatch.setattr(commit_of, "completed", lambda gate, _before: gate)
    monkeypatch.setattr(commit_of, "set_gate", set_gate)

    def state() -> list[Any]:
        files = sorted(path for path in tmp_path.rglob("*") if path.is_file() and "remote_tmp" not in path.parts)
        return [kernel.gate, *((path, path.stat().st_mtime_ns, path.read_bytes()) for path in files)]

    def run(lapses: bool = False, armed: bool = False, **facts: Any) -> dict[str, Any]:
        if lapses:
            kernel.gate = replace(kernel.gate, lifetime=1)
        if armed:
            folders["lease"].mkdir()
            unit.file.save(replace(order_of.Order.from_now("pi-controller.service", 60), ended=1.0))
        before = state()
        since = lease_of.Moment.now().as_dict()
        arguments = {"state": "committed", "seconds": 30, "since": since, "gate": GATE, "journal": str(journal)}
        result = run_module("cutover_lease", {**arguments, "facts": {**FACTS, **facts}})
        return {**result, "same": state() == before}

    return run


def test_a_commit_that_is_asked_for_again_changes_nothing(commit: Any) -> None:
    first = commit()
    assert (first["changed"], first["same"]) == (True, False)
    again = commit()
    assert (again["changed"], again["same"]) == (False, True), again
    assert again["ansible_facts"] == first["ansible_facts"]
    assert again["ansible_facts"]["raft_migration_journal"]["journal"]["phases"]["cutover"]["facts"]["opening"] is True


@pytest.mark.parametrize("other", [{"content_digest": "beef"}, {"old_term": 6}, {"lapses": True}, {"armed": True}])
def test_another_commit_than_the_recorded_one_is_refused(commit: Any, other: dict[str, Any]) -> None:
    commit()
    again = commit(**other)
    assert "the lease of this Pi has ended" in again["msg"]
    assert again["same"], "nothing is changed"
