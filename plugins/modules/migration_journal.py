#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_journal
short_description: Record a Pi's migration status
description:
  - Keeps a journal in a JSON file on the Pi itself, so that any run from any control node finds out how far the
    migration is.
  - The file is replaced as a whole and made durable; it has mode 0600, and its folder, when it is created, 0700.
  - A journal that is damaged or of an unknown format is refused, never overwritten.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  action:
    description: Whether it has an action on the control node.
    support: partial
    details:
      - O(watch) is done by an action, all else by the module.
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A phase that is already in O(state) keeps its times. V(started) leaves a phase that is done as it is.
      - V(archived) moves what is there; where there is no journal nothing changes.
options:
  path:
    description: The journal.
    type: path
    required: true
  state:
    description:
      - The state O(phase) is in now.
      - V(rolled_back) says nothing of a phase that was never begun.
      - V(archived) renames the whole journal to one with the migration's id in its name, so that another migration
        can begin.
    type: str
    choices: [started, done, failed, rolled_back, archived]
    required: true
  phase:
    description: The phase, or V(rollback). Required with every state but V(archived).
    type: str
    choices: [prepare, transfer, validate, cutover, systemd_shutdown, port_migration, cleanup, rollback]
  facts:
    description: What later phases must know, merged into what is written down for O(phase) already.
    type: dict
    default: {}
  migration_id:
    description:
      - Names the migration. It is kept from the first time on.
      - Letters, digits, dots, dashes and underscores. A journal of another migration is refused.
    type: str
  strategy:
    description:
      - How the migration goes. It is kept from the first time on, and decides which phases there are.
      - A journal of a migration that goes another way is refused.
    type: str
    choices: [parallel, rolling]
  known_events:
    description:
      - How many entries the C(events) of the journal have, as far as the caller knows. A journal with more or fewer was written by
        another run since it was read, and is refused.
      - Not looked at in check mode, where what was recorded before was not written.
    type: int
  next_phase:
    description:
      - The phase that begins where O(phase) ends. It is recorded as started in the same write, so it is one round trip and not two.
      - Only with O(state=done).
    type: str
    choices: [prepare, transfer, validate, cutover, systemd_shutdown, port_migration, cleanup]
  watch:
    description:
      - What the quorum watch expects from now on, as the options of M(pi_controller.raft_migration.quorum_watch) with C(state=phase).
      - It is set on the control node before the journal is written, by one host of those that the task runs for. Where that fails, this
        host's journal is left as it is.
    type: dict
seealso:
  - module: pi_controller.raft_migration.migration_journal_info
  - module: pi_controller.raft_migration.quorum_watch
"""

EXAMPLES = r"""
- name: Record that the phase is done
  pi_controller.raft_migration.migration_journal:
    path: /var/lib/pi-controller-migration/journal.json
    phase: transfer
    state: done
    facts:
      digest: "{{ content.digest }}"
"""

RETURN = r"""
journal:
  description: The journal as it is now, as M(pi_controller.raft_migration.migration_journal_info) gives it.
  returned: success
  type: dict
phase_states:
  description: The state of every phase; V(pending) where it was never begun.
  returned: success
  type: dict
  sample: {"prepare": "done", "transfer": "started", "validate": "pending"}
current:
  description: The first phase that is not done, none when all are.
  returned: success
  type: str
  sample: transfer
archived:
  description: Where the journal lies now.
  returned: when O(state=archived) moved it
  type: str
ansible_facts:
  description: What later tasks go by. A task that is skipped or fails leaves what is known as it is.
  returned: success, but for O(state=archived)
  type: dict
  contains:
    raft_migration_journal:
      description: RV(journal), RV(phase_states) and RV(current).
      type: dict
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.durable import holding
from ..module_utils._core.journal import (
    FACT,
    PHASES,
    ROLLBACK,
    STATES,
    STRATEGIES,
    JournalError,
    archive,
    archived_at,
    check_events,
    known_by,
    load,
    marked,
    now,
    save,
)
from ..module_utils._core.modules import run_module


def mark(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    path = Path(params["path"])
    if params["next_phase"] and params["state"] != "done":
        raise JournalError(
            f"next_phase {params['next_phase']} with the state {params['state']}: a phase begins where another one is done",
            seen=params["state"],
            wanted="done",
        )
    name = params["migration_id"]
    if name and not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise JournalError(
            f"migration_id {name!r} has other characters than letters, digits, dots, dashes and underscores", seen=name
        )
    # A folder that is not there yet has no other process in it.
    with holding(path.parent) if path.parent.is_dir() else nullcontext():
        return _mark(path, params, check_mode)


def _mark(path: Path, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    before = load(path)
    if params["known_events"] is not None and not check_mode:
        check_events(before, params["known_events"])
    after: dict[str, Any] | None
    extra: dict[str, Any] = {}
    if params["state"] == "archived":
        after = None
        if before is not None:
            extra["archived"] = str(archived_at(path, before) if check_mode else archive(path, before))
    else:
        at = now()
        after = marked(
            before, params["phase"], params["state"], params["facts"], params["migration_id"], at, params["strategy"]
        )
        if params["next_phase"]:
            after = marked(after, params["next_phase"], "started", {}, None, at)
        if before is None and not after["phases"]:
            after = None
        if after is not None and after != before and not check_mode:
            save(path, after)
    known = known_by(after)
    if params["state"] != "archived":
        extra["ansible_facts"] = {FACT: known}
    return {
        "changed": after != before,
        **known,
        "diff": {"before_header": str(path), "after_header": str(path), "before": before or {}, "after": after or {}},
        **extra,
    }


def run(module: AnsibleModule, result: dict[str, Any]) -> None:
    result.update(mark(module.params, module.check_mode))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": [*STATES, "archived"], "required": True},
            "phase": {"type": "str", "choices": [*PHASES, ROLLBACK]},
            "facts": {"type": "dict", "default": {}},
            "migration_id": {"type": "str"},
            "strategy": {"type": "str", "choices": list(STRATEGIES)},
            "known_events": {"type": "int"},
            "next_phase": {"type": "str", "choices": list(PHASES)},
            # Of the action on the control node, which does not pass it on.
            "watch": {"type": "dict"},
        },
        required_if=[("state", state, ["phase"]) for state in STATES],
        supports_check_mode=True,
    )
    run_module(module, run, doing=f"writing {module.params['path']}")


if __name__ == "__main__":
    main()
