# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How nft's answers are reported; tests/network has a real one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import import_plugin

nft = import_plugin("module_utils._gate.nft")
table = import_plugin("module_utils._gate.table")
NOTHING_MOVED = import_plugin("module_utils._gate.standing").NOTHING_MOVED
GateError = nft.GateError
GATE = table.Gate("fenced", (table.Port(8080, 8082),), own=("192.0.2.11",))


def program(*answers: tuple[int, str, str]) -> Any:
    """nft with these answers, one after the other, and what it was called with."""
    left, calls = list(answers), []

    def run(command: list[str], data: str | None) -> tuple[int, str, str]:
        calls.append((command[1:], data))
        return left.pop(0)

    found = nft.Nft("/usr/sbin/nft", run)
    found.calls = calls
    return found


def test_without_nft_the_package_is_named():
    with pytest.raises(GateError) as error:
        nft.Nft("", lambda _command, _data: (0, "", ""))
    assert error.value.failure["next_step"] == "install the package nftables"


def test_no_table_is_an_open_gate_and_anything_else_is_unknown():
    assert program((1, "", "Error: No such file or directory\nlist table inet pi_controller_gate")).table() is None
    for code, out, err in [
        (1, "", "Error: Operation not permitted (you must be root)"),
        (1, "", "Error: JSON support not compiled-in"),
        (0, "", ""),
        (0, "[]", ""),
        (0, '{"nftables": [{"chain": {}}]}', ""),
    ]:
        with pytest.raises(GateError, match="the gate's state is unknown"):
            program((code, out, err)).table()


def test_a_refusal_names_the_fault_and_what_the_kernel_needs():
    with pytest.raises(GateError) as error:
        program((1, "", "/dev/stdin:3:4-9: Error: Could not process rule: No such file\n  ^^^^^")).check(GATE)
    assert "Could not process rule" in str(error.value)
    assert "^^^" not in str(error.value)
    assert "nf_tables" in error.value.failure["next_step"]


def test_a_table_that_changed_in_between_is_replaced_as_a_whole():
    before = GATE.expected()
    called = program((1, "", "Error: No such file"), (0, "", ""))
    called.apply(GATE, before)
    texts = (GATE.update_text(before), GATE.text())
    assert [data for _arguments, data in called.calls] == [text + NOTHING_MOVED for text in texts]

    with pytest.raises(GateError):
        program((1, "", "Error: no")).apply(GATE, None)


def test_a_gate_that_is_not_read_back_is_not_reported_as_set():
    with pytest.raises(GateError, match="the kernel has another table") as error:
        program((1, "", "No such file or directory")).confirmed(GATE)
    assert error.value.failure["seen"] == ""
    assert "fence" in error.value.failure["wanted"]


def chain(family: str, hook: str, policy: str, name: str = "FORWARD", table_name: str = "filter") -> dict[str, Any]:
    return {
        "chain": {"family": family, "table": table_name, "name": name, "type": "filter", "hook": hook, "policy": policy}
    }


@pytest.mark.parametrize(
    ("chains", "denies"),
    [
        ([chain("ip", "forward", "accept")], []),
        ([chain("ip", "input", "drop")], []),
        ([chain("ip6", "forward", "drop")], []),
        ([chain("ip", "forward", "drop")], ["ip filter FORWARD"]),
        ([chain("inet", "forward", "drop", "forward", "mine")], ["inet mine forward"]),
        ([chain("ip", "forward", "drop"), {"chain": {"family": "ip", "table": "filter", "name": "KUBE-FORWARD"}}], []),
    ],
)
def test_chains_that_drop_forwarded_packets_are_found(chains, denies):
    assert (
        program((0, json.dumps({"nftables": [{"metainfo": {}}, *chains]}), "")).forwarding_denied_by({"ip"}) == denies
    )
