# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back, from before the cutover, from after it, and from the very end; the pods' writes go back as well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import hosts as on
from tests.e2e import rehearsal

STANDARD = {9091, 9090, 8080}
UP_TO = {
    "transfer": "prepare,transfer",
    "cutover": "prepare,transfer,validate,cutover",
    "complete": "prepare,transfer,validate,cutover,complete",
}


@pytest.mark.parametrize(
    ("profile", "stage"), [("full", "transfer"), ("full", "cutover"), ("full", "complete"), ("upstream", "cutover"), ("upstream", "complete")]
)
def test_back_to_systemd_with_every_write(old_world: Callable[[str], list[str]], tmp_path: Path, profile: str, stage: str) -> None:
    names = old_world(profile)
    with rehearsal.witnessed(tmp_path) as witness:
        forth = rehearsal.run_playbook(
            "playbooks/migrate.yml", "--tags", UP_TO[stage], "-e", "confirm=true", log=tmp_path / "forth.log"
        )
        assert forth.returncode == 0, forth.output[-4000:]
        back = rehearsal.run_playbook("playbooks/rollback.yml", log=tmp_path / "back.log", show=True)
        assert back.returncode == 0, back.output[-4000:]
        assert back.seconds < 120
    # Going back, clients may find nobody for some seconds; what was acknowledged must be there all the same.
    verdict, summary = witness.judge()
    print(summary)
    assert {finding["kind"] for finding in verdict["findings"]} <= {"failed_read"}, summary
    for name in names:
        pi = on.host(name)
        listening = on.listening(pi)
        assert listening.issuperset(STANDARD), f"{name}: {listening}"
        assert listening.isdisjoint({9092, 9093, 8082}), f"{name}: {listening}"
        assert on.unit_state(pi) == ("enabled", "active")
        assert on.gate_rules(pi) == []
        assert not pi.file("/var/lib/pi-controller-pods").exists

    again = rehearsal.run_playbook("playbooks/rollback.yml", log=tmp_path / "again.log")
    assert again.returncode == 0, again.output[-4000:]
    assert again.changed == dict.fromkeys(names, 0), again.output[-4000:]
