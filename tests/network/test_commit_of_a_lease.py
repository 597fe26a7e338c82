# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commit of a cutover on the old leader's Pi, with a real kernel: only where its fence has held, and then for good."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.processes import wait_for

# Not a conftest: the unit tests import from theirs by that name.
pytest_plugins = ["namespaces"]

UNIT = "pi-controller.service"
# Longer than a test takes, on a machine that may be busy.
HOLDS = 60
SYSTEMCTL = """#!/bin/sh
[ "$1" != show ] || printf 'Id=pi-controller.service\\nNames=pi-controller.service\\nLoadState=loaded\\nActiveState=active\\n'
"""


class OldLeader:
    """The old leader's Pi, step by step as the role takes it."""

    def __init__(self, pi: Any, other: Any, folder: Path) -> None:
        self.pi, self.other, self.folder = pi, other, folder
        self.link = folder / "etc/multi-user.target.wants" / UNIT
        self.link.parent.mkdir(parents=True)
        (self.link.parent.parent / UNIT).write_text("[Service]\nExecStart=/bin/true\n")
        self.link.symlink_to(self.link.parent.parent / UNIT)
        self.journal = folder / "backups/journal.json"
        tool = folder / "bin/systemctl"
        tool.parent.mkdir()
        tool.write_text(SYSTEMCTL)
        tool.chmod(0o755)
        pi.path, pi.lease, pi.units = f"{tool.parent}:{pi.path}", str(folder), str(folder / "etc")
        self.since: dict[str, Any] = {}

    def arm(self) -> dict[str, Any]:
        self.since = self.pi.gate("redirected", check_mode=True)["clock"]
        saved = str(self.folder / "backups" / UNIT)
        armed = {"state": "armed", "seconds": HOLDS, "unit": UNIT, "saved": saved}
        return self.pi.module("cutover_lease", armed)

    def fence_and_flip(self, seconds: float = HOLDS) -> None:
        self.pi.gate("forwarded", forward_to=self.other.address, lease={"seconds": seconds})
        self.pi.gate("redirected", established="finish", lease={"seconds": seconds, "held": True})

    def commit(self, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        gate = {
            "state": "redirected",
            "ports": [{"standard": 8080, "temporary": 8082}, {"standard": 9090, "temporary": 9093}],
        }
        committed = {
            "state": "committed",
            "seconds": HOLDS,
            "since": self.since,
            "gate": gate,
            "journal": str(self.journal),
            "facts": {"fence": "network", "content_digest": "cafe"},
        }
        return self.pi.module("cutover_lease", {**committed, **options}, check_mode)

    @property
    def order(self) -> Path:
        return self.folder / "lease/lease.json"

    @property
    def boots_closed(self) -> bool:
        """Whether the next boot sets a gate."""
        return any((self.folder / "etc").glob("pi-controller-migration-gate.*"))


def without_clock(table: str) -> str:
    """What nft lists, without the time that is left of an element."""
    return re.sub(r" expires \w+", "", table)


@pytest.fixture
def leader(pi, other, tmp_path) -> OldLeader:
    return OldLeader(pi, other, tmp_path)


def test_a_lease_is_armed_before_the_units_start_at_boot_is_disabled(leader):
    assert leader.arm()["armed"] is True
    order = json.loads(leader.order.read_text())

    assert order["links"] == {str(leader.link): str(leader.link.parent.parent / UNIT)}
    assert not leader.link.is_symlink()
    assert (leader.link.parent / "pi-controller-migration-lease.service").is_symlink()
    # As a run that finds what one before it has left.
    assert leader.arm()["armed"] is True
    assert json.loads(leader.order.read_text())["links"] == order["links"]
    assert leader.pi.module("cutover_lease", {"state": "absent"})["changed"] is True
    assert leader.pi.module("cutover_lease", {"state": "absent"})["changed"] is False


def test_a_fence_that_held_stays_and_the_journal_says_so(client, pi, leader):
    leader.arm()
    leader.fence_and_flip(8)
    began = time.monotonic()
    assert leader.commit(check_mode=True)["changed"] is True
    assert leader.order.exists(), "check mode changes nothing"
    result = leader.commit()
    assert result.get("failed", False) is False, result
    wait_for("the lease would have ended", lambda: time.monotonic() - began > 8.5)

    assert client.ask(pi.address).startswith("pod-1")
    facts = json.loads(leader.journal.read_text())["phases"]["cutover"]["facts"]
    assert facts == {"opening": True, "fence": "network", "content_digest": "cafe"}
    assert result["journal"]["phases"]["cutover"]["facts"] == facts
    assert not leader.order.parent.exists()
    assert leader.boots_closed
    assert not leader.link.is_symlink(), "the unit does not start at boot any more"

    # As ssh does, whose connection was lost.
    before = pi.table(), leader.journal.read_text()
    assert leader.commit(check_mode=True)["changed"] is False
    assert leader.commit()["changed"] is False
    assert leader.commit(facts={"content_digest": "beef"})["failed"] is True
    assert (pi.table(), leader.journal.read_text()) == before


@pytest.mark.parametrize(
    "case", ["the gate has lapsed", "too late", "rebooted", "the lease was lifted", "the gate is open"]
)
def test_a_fence_that_did_not_hold_is_not_committed(client, pi, leader, case):
    leader.arm()
    leader.fence_and_flip(0.5 if case == "the gate has lapsed" else HOLDS)
    options: dict[str, Any] = {}
    if case == "the gate has lapsed":
        wait_for("it has", lambda: pi.gate("open", ports=None, check_mode=True)["previous"] == "lapsed")
    elif case == "too late":
        options["since"] = {**leader.since, "seconds": leader.since["seconds"] - HOLDS}
    elif case == "rebooted":
        options["since"] = {**leader.since, "boot": "another"}
    elif case == "the lease was lifted":
        order = json.loads(leader.order.read_text())
        leader.order.write_text(json.dumps({**order, "ended": 1.0}))
    else:
        pi.gate("open", ports=None)
    before = without_clock(pi.table())
    result = leader.commit(**options)

    assert result["failed"] is True
    assert "starts the cutover over" in result["msg"], result
    assert without_clock(pi.table()) == before
    assert not leader.journal.exists()
    assert not leader.boots_closed
    assert leader.order.exists(), "what opens this Pi again is still in force"


def test_a_journal_that_cannot_be_written_is_no_opening(client, pi, leader):
    """The fence stays, so nothing is lost; the run undoes it, or the next one does."""
    leader.arm()
    leader.fence_and_flip()
    leader.journal.parent.rename(leader.folder / "elsewhere")
    leader.journal.parent.write_text("in which there can be no folder")
    result = leader.commit()

    assert result["failed"] is True
    assert client.ask(pi.address).startswith("pod-1")
    assert not leader.boots_closed
    assert pi.gate("open")["previous"] == "redirected"
    assert client.ask(pi.address).startswith("old-1")


def test_a_state_that_stays_ends_the_lease_of_this_pi(pi, leader):
    """The Pis that follow the commit: none of them may open its old side from then on."""
    leader.arm()
    pi.gate("redirected", lease={"seconds": HOLDS})
    assert leader.order.exists()
    assert pi.gate("redirected", lease={"held": True}, persist=True, check_mode=True)["changed"] is True
    assert leader.order.exists()
    assert pi.gate("redirected", lease={"held": True}, persist=True)["changed"] is True
    assert not leader.order.parent.exists()
    assert leader.boots_closed
