# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commit where the daemon itself is the fence, and its order of steps; tests/network has the kernel's part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import import_plugin

commit_of = import_plugin("module_utils._lease.commit")
order_of = import_plugin("module_utils._lease.order")
unit_of = import_plugin("module_utils._lease.unit")
lease_of = import_plugin("module_utils._gate.lease")
LeaseEnded = lease_of.LeaseEnded


class Pi:
    """The old leader's Pi, at the boundary of `nft` and of its daemon; `steps` is what was done in which order."""

    url = "http://192.0.2.11:8080"

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        self.answers: list[bool] = []
        self.gate_fails: Exception | None = None
        self.leader: Leader | None = None
        self.unit = unit_of.LeaseUnit(folder / "lease", folder / "etc")
        (folder / "lease").mkdir()
        self.unit.file.save(order_of.Order.from_now("pi-controller.service", 60))
        monkeypatch.setattr(commit_of, "completed", lambda gate, _before: gate)
        monkeypatch.setattr(commit_of, "set_gate", self.set_gate)

    def table(self) -> None:
        return None

    def read_only(self) -> bool:
        self.steps.append("asked" if self.unit.file.path.exists() else "asked again, without a lease")
        return self.answers.pop(0) if self.answers else True

    def set_gate(self, *arguments: Any) -> None:
        self.steps.append("gate stays")
        assert arguments[-1] == lease_of.Lease(held=True)
        if self.gate_fails:
            raise self.gate_fails

    def run(self, record: Callable[[], Any] | None = None) -> None:
        daemon = None if self.leader else self
        commit = commit_of.Commit(lease_of.Moment.now(), 30, daemon, self.leader, 4)
        commit.run(
            self.unit,
            self,
            "the gate",
            record or (lambda: self.steps.append("recorded")),
            lambda order: self.steps.append(f"armed again for {order.unit}"),
        )


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    return Pi(tmp_path, monkeypatch)


def test_the_journal_comes_after_the_gate_and_that_after_a_last_look(pi):
    pi.run()
    assert pi.steps == ["asked", "asked again, without a lease", "gate stays", "recorded"]


def test_a_daemon_that_takes_writes_is_not_committed(pi):
    pi.answers = [False]
    with pytest.raises(LeaseEnded, match="takes writes"):
        pi.run()
    assert pi.steps == ["asked"]
    assert pi.unit.file.path.exists(), "the lease is in force as before"


def test_a_lease_that_cannot_be_armed_again_is_reported_with_why(pi):
    def rearm(_order: Any) -> None:
        raise order_of.LeaseError("the disk is full")

    pi.answers = [True, False]
    commit = commit_of.Commit(lease_of.Moment.now(), 30, pi, None, 4)
    with pytest.raises(order_of.LeaseError, match="takes writes.*not in force again: the disk is full"):
        commit.run(pi.unit, pi, "the gate", lambda: pi.steps.append("recorded"), rearm)
    assert "recorded" not in pi.steps


class Leader:
    """The old leader's daemon; `answers` are its role, term and leader, one after the other."""

    url = "http://192.0.2.11:8080"

    def __init__(self, *answers: tuple[str, int, str]) -> None:
        self.answers = list(answers)

    def status(self) -> Any:
        role, term, leader = self.answers.pop(0)
        return SimpleNamespace(role=role, term=term, leader=leader, is_leader=role == "leader")


LED, MOVED, AGAIN = ("leader", 4, "n1"), ("follower", 5, "n2"), ("leader", 6, "n1")


def test_behind_a_network_fence_the_old_leader_has_led_all_along(pi):
    pi.leader = Leader(LED, LED)
    pi.run()
    assert pi.steps[-1] == "recorded"


@pytest.mark.parametrize("answers", [[MOVED], [LED, MOVED], [AGAIN], [LED, AGAIN]])
def test_an_election_behind_a_network_fence_is_not_committed(pi, answers):
    """Whoever was elected may have taken writes; and so may one that was deposed since."""
    pi.leader = Leader(*answers)
    with pytest.raises(LeaseEnded, match="leadership of the old cluster moved while it was fenced"):
        pi.run()
    assert "gate stays" not in pi.steps
    assert "recorded" not in pi.steps


def test_a_fence_lifted_while_the_lease_became_void_is_not_committed(pi):
    pi.answers = [True, False]
    with pytest.raises(LeaseEnded, match="takes writes"):
        pi.run()
    assert pi.steps[-1] == "armed again for pi-controller.service"
    assert "recorded" not in pi.steps


@pytest.mark.parametrize("error", [LeaseEnded("the gate's lease has ended"), OSError("no nft")])
def test_a_gate_that_did_not_hold_arms_the_lease_again(pi, error):
    pi.gate_fails = error
    with pytest.raises(type(error)):
        pi.run()
    assert pi.steps[-2:] == ["gate stays", "armed again for pi-controller.service"]


def test_a_journal_that_cannot_be_written_arms_nothing(pi):
    """The gate stays by then, and a lease would open the daemon behind it to no client."""

    def full() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        pi.run(full)
    assert not any(step.startswith("armed") for step in pi.steps)
