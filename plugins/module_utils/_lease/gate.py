# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gate that a module sets on its Pi, and what the module returns of that."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._core.failures import MigrationError
from .._gate.boot import BootUnit
from .._gate.change import change_gate, completed, wanted_gate
from .._gate.lease import Lease
from .._gate.moved import clear
from .._gate.nft import Nft, ends_moved
from .._gate.standing import LAPSED, show, state_of, stays
from .._gate.table import Gate
from .unit import LeaseUnit

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def apply_gate(
    module: AnsibleModule, gate: Gate, params: Mapping[str, Any], lease: Lease | None = None
) -> dict[str, Any]:
    """Set the gate (in check mode: see whether the kernel can) and return what changed, as traffic_gate does.

    `params` has `established`, `patience` and `persist`. Raises GateError, LeaseEnded, OSError.
    """
    nft = Nft.of(module)
    before = nft.table()
    gate = completed(gate, before)
    boot = BootUnit(nft.binary, gate if params["persist"] and gate.state != "open" else None)
    began = time.time()
    changed, done = change_gate(
        nft, boot, gate, before, params["established"], params["patience"], module.check_mode, lease
    )
    # A change of the gate has done so already.
    if done.before == done.after and lease is None and ends_moved(gate) and not module.check_mode:
        clear(nft)
    # What is here to stay must not be undone by a lease of before.
    ends_lease = boot.persists and LeaseUnit().void(module.check_mode)
    # Reading all chains takes a while, and whoever changed the gate has done so.
    if changed and gate.state == "forwarded":
        for chain in nft.forwarding_denied_by({"ip6" if ":" in address else "ip" for address in gate.forward_to}):
            module.warn(
                f"chain {chain} drops forwarded packets by default: let those to {', '.join(gate.forward_to)} through"
            )
    return {
        "changed": changed or ends_lease,
        "state": state_of(done.after),
        "previous": state_of(done.before),
        "previous_stays": stays(done.before),
        "families": ["ipv4", "ipv6"],
        "persistent": boot.persists,
        "began": round(began, 3),
        "ended": round(time.time(), 3),
        "reset_connections": done.ended,
        "diff": {"before": show(done.before), "after": show(done.after)},
    }


def apply_option(module: AnsibleModule, option: Mapping[str, Any]) -> dict[str, Any]:
    """As `apply_gate`, for an option with the argument spec GATE. Raises GateError, OSError."""
    wanted = {**option, "services": []}
    return apply_gate(module, wanted_gate(wanted), wanted)


def gate_state(module: AnsibleModule) -> str:
    """The state of this Pi's gate, as the kernel has it. Raises GateError."""
    return state_of(Nft.of(module).table())


class GateAfterWait:
    """The gate that a module sets at its end, after what may have taken minutes.

    A module outlives a lost connection to its run, so the next run, or its rollback, may have set the gate by then. That one is left.
    """

    def __init__(self, module: AnsibleModule, wanted: Mapping[str, Any]) -> None:
        """Look at the gate as it is. `wanted` has the argument spec GATE. Raises GateError."""
        self.module, self.wanted = module, wanted
        self.before = gate_state(module)

    def apply(self) -> dict[str, Any]:
        """As `apply_option`. Raises MigrationError where another run has set it, GateError, OSError."""
        now = gate_state(self.module)
        # A lease ends by itself.
        if now not in (self.before, self.wanted["state"], LAPSED):
            raise MigrationError(
                f"the gate of this Pi was {self.before} and is {now} now, so another run has set it",
                seen=now,
                wanted=self.before,
                next_step="wait for the end of that run, which the playbook status shows; it goes on from here",
            )
        return apply_option(self.module, self.wanted)
