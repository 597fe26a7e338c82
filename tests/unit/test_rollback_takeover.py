# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The turns of a rollback Pi by Pi, run by Ansible on this machine with modules that only write down how they were called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_rolling_cutover import ADDRESSES, NO_QUORUM, PIS, World, journals


class Turns(World):
    phase = "rollback"

    def begin(self, turns: dict[str, str]) -> None:
        """All Pis have their pods; these have this turn of the rollback in their journals."""
        for pi in PIS:
            known = None
            for phase in ("prepare", "transfer", "validate"):
                known = journals.marked(known, phase, "done", {}, "m-1", journals.now(), "rolling")
            known = journals.marked(known, "cutover", "done", {"turn": "done"}, "m-1", journals.now())
            facts = {"id": "r-1", "way": "turns", **({"turn": turns[pi]} if pi in turns else {})}
            known = journals.marked(known, "rollback", "started", facts, "m-1", journals.now())
            journals.save(self.journal(pi), known)

    @property
    def tasks(self) -> list[dict[str, Any]]:
        role = {"name": "pi_controller.raft_migration.rollback", "tasks_from": "turns"}
        return [super().tasks[0], {"ansible.builtin.import_role": role}]


@pytest.fixture
def world(tmp_path: Path, ansible_playbook: str) -> Turns:
    return Turns(tmp_path, ansible_playbook)


def test_each_pi_gets_its_clients_back_as_soon_as_it_has_caught_up(world: Turns) -> None:
    world.begin({})
    done = world.run()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    back = [call for call in world.calls if call["args"].get("state") == "back"]
    assert [(call["host"], call["args"]["address"]) for call in back] == [
        (pi, ADDRESSES[pi]) for pi in ("pi-2", "pi-3", "pi-1")
    ]
    # A turn is over with all of them well.
    assert {call["args"]["wait_for"]["voters"] for call in back} == {3}
    assert world.called("unit_takeover") == [("unit_takeover", call["host"]) for call in back]


@pytest.mark.parametrize("shut", [True, False])
def test_a_daemon_that_the_others_need_serves_on(world: Turns, shut: bool) -> None:
    """An earlier run has left its gate shut, and the Pi that its clients are routed to has died."""
    world.begin({"pi-2": "started"})
    world.note(gates={"pi-2": "forwarded"} if shut else {})
    world.fails("member_traffic away", "pi-2", NO_QUORUM)
    done = world.run()
    assert done.returncode != 0
    text = done.stdout.replace("\n", " ")
    assert f"pi-2: its daemon was not stopped, since the others may need its vote: {NO_QUORUM}" in text
    assert world.state["gates"] == {"pi-2": "open"}
    assert world.called("k8s_daemonset_nodes", "unit_takeover") == []
    assert {call["host"] for call in world.calls if call["module"] == "member_traffic"} == {"pi-2"}


@pytest.mark.parametrize("turns", [{}, {"pi-2": "done", "pi-3": "done"}])
def test_a_pi_that_stops_answering_has_not_ended_its_turn(world: Turns, turns: dict[str, str]) -> None:
    """No other Pi is stopped, and the journals do not say that every Pi is back."""
    here = "pi-1" if turns else "pi-2"
    world.begin(turns)
    world.fails("member_traffic away", here, "refused")
    world.away_after("member_traffic", here)
    done = world.run()
    assert done.returncode != 0
    assert f"{here} stopped answering in its turn" in " ".join(done.stdout.split())
    assert world.called("k8s_daemonset_nodes", "unit_takeover") == []
    for pi in PIS:
        facts = journals.load(world.journal(pi))["phases"]["rollback"]["facts"]
        assert "opening" not in facts
        assert facts["turn"] == ("started" if pi == here else turns.get(pi, "waiting"))
