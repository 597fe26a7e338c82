# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one program the gate needs, `nft`: what the kernel has, and the transaction that replaces it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional

from .._core.failures import MigrationError
from .lease import LeaseEnded
from .standing import FAMILY, LAPSED, NAME, NOTHING_MOVED, Table, parse, show, state_of
from .table import Gate

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# (command, input) -> (exit status, stdout, stderr)
Run = Callable[[list[str], Optional[str]], "tuple[int, str, str]"]
_ABSENT = "No such file or directory"
_NEEDS = (
    "run it by hand as root; the kernel needs nf_tables with nat, masquerade, reject and conntrack for the family inet "
    "(Linux 5.10 or newer)"
)


class GateError(MigrationError):
    """A gate that cannot be read or set."""


class Nft:
    """`nft`, called through `run`."""

    def __init__(self, binary: str | None, run: Run) -> None:
        if not binary:
            raise GateError(
                "nft is not installed on this Pi, the gate cannot be read or set",
                wanted="nft",
                next_step="install the package nftables",
            )
        self.binary = binary
        self._run = run

    @classmethod
    def of(cls, module: AnsibleModule) -> Nft:
        """As a module calls it on its host. Raises GateError where it is not installed."""
        return cls(
            module.get_bin_path("nft"),
            lambda command, data: module.run_command(command, data=data, environ_update={"LC_ALL": "C"}),
        )

    def _call(self, *arguments: str, data: str | None = None) -> str:
        command = [self.binary, *arguments]
        code, out, err = self._run(command, data)
        if code:
            # The first line names the fault; the others quote the rule.
            raise GateError(
                f"{' '.join(command)} failed with {code}: {err.strip().partition(chr(10))[0]}",
                seen=err.strip(),
                wanted=data,
                next_step=_NEEDS,
            )
        return out

    def load(self, text: str) -> None:
        """Have the kernel take this, all of it or nothing."""
        self._call("-f", "-", data=text)

    def table(self) -> Table | None:
        """The gate's table as the kernel has it now, None where there is none."""
        command = [self.binary, "-j", "list", "table", FAMILY, NAME]
        code, out, err = self._run(command, None)
        if code and _ABSENT in err:
            return None
        try:
            if code:
                raise ValueError(err.strip())
            return parse(out)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise GateError(
                f"{' '.join(command)} failed with {code}: the gate's state is unknown ({error})",
                seen=err.strip() or out[:200],
                next_step=_NEEDS,
            ) from error

    def check(self, gate: Gate) -> None:
        """Have the kernel take the transaction and not commit it: proof that it could, whatever is there."""
        self._call("-c", "-f", "-", data=gate.text())

    def apply(self, gate: Gate, before: Table | None) -> None:
        """Replace `before` by this gate, in one transaction. Nothing is read back.

        Raises LeaseEnded, with nothing changed, where the gate was to be held and is not.
        """
        update, whole = gate.update_text(before), gate.text()
        cleared = NOTHING_MOVED if ends_moved(gate) else ""
        if gate.held and update == whole:
            raise LeaseEnded(f"the gate is {state_of(before)}, not a lease that holds", state_of(before), gate.state)
        try:
            self._call("-f", "-", data=update + cleared)
        except GateError as error:
            if gate.held:
                if _ABSENT not in str(error.failure["seen"]):
                    raise
                raise LeaseEnded("the gate's lease has ended", seen=LAPSED, wanted=gate.state) from None
            if update == whole:
                raise
            # Something else has changed the table in between.
            self._call("-f", "-", data=whole + cleared)

    def confirmed(self, gate: Gate) -> Table | None:
        """Read back what `apply` has set."""
        after = self.table()
        if after != gate.expected():
            raise GateError(
                f"nft accepted the gate {gate.state}, but the kernel has another table: it was changed in the same moment",
                seen=show(after),
                wanted=show(gate.expected()),
                next_step="see whether another program rewrites the ruleset (nft monitor), then run the same command again",
            )
        return after

    def forwarding_denied_by(self, families: set[str]) -> list[str]:
        """Base chains of others that drop what is forwarded in these families (`ip`, `ip6`) unless a rule accepts it.

        Those that kube-proxy has its rules in are left out: they accept what the gate forwards.
        """
        chains = [
            entry["chain"] for entry in json.loads(self._call("-j", "list", "chains"))["nftables"] if "chain" in entry
        ]
        proxied = {(chain["family"], chain["table"]) for chain in chains if chain["name"] == "KUBE-FORWARD"}
        return [
            _named(chain)
            for chain in chains
            if _denies(chain, families) and (chain["family"], chain["table"]) not in proxied
        ]


def ends_moved(gate: Gate) -> bool:
    """Whether this gate ends the routing of a member's old port.

    In the turn of a Pi whose member moves the gate forwards; in any other state the old port may be another cluster's. Under a lease
    no member has moved yet.
    """
    return gate.state != "forwarded" and gate.lifetime is None and not gate.held


def _denies(chain: dict[str, Any], families: set[str]) -> bool:
    denies = chain.get("hook") == "forward" and chain.get("type") == "filter" and chain.get("policy") == "drop"
    return denies and chain["family"] in {"inet", *families}


def _named(chain: dict[str, Any]) -> str:
    return f"{chain['family']} {chain['table']} {chain['name']}"
