# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What validate says of the pods: they hold one content, and differ from the old leader only by rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from conftest import CHECKOUT

PIS = ("pi-1", "pi-2", "pi-3")
_look, READ, CHECK = yaml.safe_load((CHECKOUT / "roles/validate/tasks/main.yml").read_text())


def case(*, digests: str = "aaa", schemas: str = "sss", old_schema: str = "s") -> dict[str, Any]:
    """The old leader is on pi-2; what each Pi's pod holds is a letter."""
    found: dict[str, dict[str, Any]] = {
        pi: {"digest": digest, "schema_digest": schema} for pi, digest, schema in zip(PIS, digests, schemas)
    }
    found["pi-2"]["comparison"] = {"rows": 4, "schema_digest": old_schema}
    return {
        "raft_migration_peers": list(PIS),
        "raft_migration_clusters": {"old": {"leader": {"host": "pi-2"}}},
        "hostvars": {pi: {"raft_migration_pod_content": content} for pi, content in found.items()},
    }


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "Clients have changed 4 rows since their state was carried over; cutover carries them."),
        ({"digests": "aab"}, "'pi-3': 'b'"),
        ({"schemas": "sts"}, "'pi-2': 't'"),
        ({"schemas": "ttt"}, "wanted one content and schema s (as on the old leader)"),
        ({"old_schema": "t"}, "wanted one content and schema t (as on the old leader)"),
    ],
)
def test_pods_that_differ_by_more_than_rows_stop_it(
    evaluate: Callable[..., list[Any]], given: dict[str, str], text: str
) -> None:
    (failed,) = evaluate("cluster", f"{{{{ {CHECK['failed_when']} }}}}", [case(**given)], CHECK)
    (message,) = evaluate("cluster", CHECK["ansible.builtin.debug"]["msg"], [case(**given)], CHECK)
    assert failed is bool(given)
    assert text in message
    assert ("roll back and start over" in message) is bool(given)
    assert CHECK["run_once"] is True


def test_the_old_leader_is_compared_on_its_own_pi(evaluate: Callable[..., list[Any]]) -> None:
    arguments = READ["pi_controller.raft_migration.sqlite_info"]
    assert "run_once" not in READ
    known = {"raft_migration_database": "/units.db", "omit": "nothing"}
    cases = [{**case(), **known, "inventory_hostname": pi} for pi in PIS]
    assert evaluate("cluster", arguments["against"], cases) == ["nothing", "/units.db", "nothing"]
