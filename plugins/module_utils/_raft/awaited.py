# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What several modules wait for before they go on: the options, and the cluster as the module's result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._daemon.drivers import clients_of
from .conditions import Conditions
from .hosts import check_apart, check_members, on_host

CONDITIONS: dict[str, Any] = {
    "leader": {"type": "bool", "default": False},
    "voters": {"type": "int"},
    "learners": {"type": "bool", "default": False},
    "caught_up": {"type": "bool", "default": False},
    "caught_up_at": {"type": "list", "elements": "str"},
    "answered": {"type": "bool", "default": False},
    "leader_id_not": {"type": "str"},
}
WAIT: dict[str, Any] = {
    "wait_for": {"type": "dict", "options": CONDITIONS},
    "wait_timeout": {"type": "float", "default": 0},
    "hosts": {"type": "dict"},
}


def await_cluster(params: Mapping[str, Any], result: dict[str, Any]) -> None:
    """Wait for what `params` say (the options of WAIT, of a daemon's REST interface, and those
    of `apart_from` and `same_members` that the module has), and put what was seen into `result`.

    Raises MigrationError where it does not come to that; what was seen last is in `result` by then.
    """
    conditions = Conditions(clients_of(params), params["wait_for"] or {})
    waited = conditions.wait(params["wait_timeout"])
    result.update(conditions.result(waited.value, waited.elapsed))
    if not waited.met:
        raise conditions.not_met(waited)
    apart, same = params.get("apart_from"), params.get("same_members")
    if apart:
        check_apart(result["members"], apart["addresses"], apart["next_step"])
    if same:
        check_members(result["members"], same["members"], same["next_step"])
    if params["hosts"] and result["leader"]:
        result["leader"] = on_host(result["leader"], params["hosts"])
    result["capabilities"] = conditions.capabilities(waited.value)
