# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table: phase, fault, and where in the phase it strikes. One line a case."""

from __future__ import annotations

import random

from .case import PHASES, ROLLBACK, SAFE, START, Case, Chain, refuse_collisions

# Roughly how long a phase lasts, for faults that strike at a random moment of it.
LASTS = {
    "prepare": 14,
    "transfer": 20,
    "validate": 4,
    "cutover": 8,
    "systemd_shutdown": 6,
    "port_migration": 35,
    "cleanup": 3,
}

# fmt: off
CASES = [
    # The container's process ends; the kubelet starts it again.
    Case("prepare",          "pod-killed",        at="Wait until every pod answers"),
    Case("transfer",         "pod-killed",        at="Join | Add the other pods"),
    Case("validate",         "pod-killed",        at="Validate | Read every pod's content"),
    Case("cutover",          "pod-killed",        at="Fence | Make the old cluster read-only"),
    Case("systemd_shutdown", "pod-killed",        at="Shutdown | Stop and mask"),
    Case("port_migration",   "pod-killed",        at="Ports | Update the member's address", nth=2, on="leader"),
    Case("cleanup",          "pod-killed",        at="Cluster | Wait for"),

    # The leader of the old cluster; once its unit is gone, the leader of the pods.
    Case("prepare",          "old-leader-killed", at="Backup | Copy every Pi's database", on="leader"),
    Case("transfer",         "old-leader-killed", at="Carry | Take the old leader's snapshot", on="leader"),
    Case("validate",         "old-leader-killed", at="Validate | Compare the old leader", on="leader"),
    Case("cutover",          "old-leader-killed", at="Fence | Make the old cluster read-only", on="leader"),
    Case("systemd_shutdown", "old-leader-killed", at="Cluster | Wait for", on="leader"),
    Case("port_migration",   "old-leader-killed", at="Step aside | Route the Service past", on="leader"),
    Case("cleanup",          "old-leader-killed", at="Cluster | Wait for", on="leader"),

    # One Pi's cable is pulled: it reaches neither the others nor the control node.
    Case("prepare",          "partition",         at="Wait for one running pod on every Pi", heal=6),
    Case("transfer",         "partition",         at="Cluster | Wait for", nth=4, heal=6),
    Case("validate",         "partition",         at="Validate | Read every pod's content", heal=6),
    Case("cutover",          "partition",         at="Fence | Make the old cluster read-only", heal=6),
    Case("systemd_shutdown", "partition",         at="Cluster | Wait for", heal=6),
    Case("port_migration",   "partition",         at="Ports | Replace the pod", heal=6),
    Case("cleanup",          "partition",         at="Cluster | Wait for", heal=6),

    # SIGKILL to the whole run on the control node.
    Case("prepare",          "play-killed",       at="Backup | Take the leader's Raft snapshot"),
    Case("transfer",         "play-killed",       at="Join | Add the other pods"),
    Case("validate",         "play-killed",       at="Validate | Read every pod's content"),
    Case("cutover",          "play-killed",       at="Flip | Redirect each Pi to its pod"),
    Case("systemd_shutdown", "play-killed",       at="Shutdown | Stop and mask"),
    Case("port_migration",   "play-killed",       at="Ports | Update the member's address"),
    Case("cleanup",          "play-killed",       at="Cleanup | Archive the data folder"),

    # One bit of a row, in what a phase takes and gives on; later, in every copy kept so far.
    Case("prepare",          "corrupt",           at="Backup | Write the manifest"),
    Case("transfer",         "corrupt",           at="Carry | Restore it through the pods' leader", on="leader"),
    Case("validate",         "corrupt",           at="Validate | Compare the old leader", on="leader"),
    Case("cutover",          "corrupt",           at="Fence | Make the old cluster read-only", on="leader"),
    Case("systemd_shutdown", "corrupt",           at="Shutdown | Stop and mask", on="leader"),
    Case("port_migration",   "corrupt",           at="Ports | Replace the pod", on="leader"),
    Case("cleanup",          "corrupt",           at="Cleanup | Archive the data folder", on="leader"),

    # No room on one Pi, for its daemons neither.
    Case("prepare",          "disk-full",         at="Backup | Copy every Pi's database", heal=8),
    Case("transfer",         "disk-full",         at="Carry | Take the old leader's snapshot", heal=8),
    Case("validate",         "disk-full",         at="Validate | Read every pod's content", heal=8),
    Case("cutover",          "disk-full",         at="Fence | Make the old cluster read-only", heal=8),
    Case("systemd_shutdown", "disk-full",         at="Shutdown | Stop and mask", heal=8),
    Case("port_migration",   "disk-full",         at="Ports | Replace the pod", heal=8),
    Case("cleanup",          "disk-full",         at="Cleanup | Archive the data folder", heal=8),

    # The API server is away; the cluster of pi-controller does not need it.
    Case("prepare",          "api-down",          at="Apply it on the ports", heal=20),
    Case("transfer",         "api-down",          at="Bootstrap | Replace the pod on the old leader's Pi", heal=20),
    Case("validate",         "api-down",          at="Validate | Read every pod's content", heal=20),
    Case("cutover",          "api-down",          at="Flip | Redirect each Pi to its pod", heal=20),
    Case("systemd_shutdown", "api-down",          at="Shutdown | Stop and mask", heal=20),
    Case("port_migration",   "api-down",          at="Step aside | Route the Service past", heal=20),
    Case("cleanup",          "api-down",          at="Cluster | Wait for", heal=20),

    # As `systemctl stop k3s` on the server: API, kubelet, proxy and runtime of its Pi are away, containers run on.
    Case("prepare",          "k3s-stopped",       at="Apply it on the ports", on="server", heal=20),
    Case("transfer",         "k3s-stopped",       at="Bootstrap | Replace the pod on the old leader's Pi", on="server", heal=20),
    Case("validate",         "k3s-stopped",       at="Validate | Read every pod's content", on="server", heal=20),
    Case("cutover",          "k3s-stopped",       at="Flip | Redirect each Pi to its pod", on="server", heal=20),
    Case("systemd_shutdown", "k3s-stopped",       at="Shutdown | Stop and mask", on="server", heal=20),
    Case("port_migration",   "k3s-stopped",       at="Step aside | Route the Service past", on="server", heal=20),
    Case("cleanup",          "k3s-stopped",       at="Cluster | Wait for", on="server", heal=20),

    # Power off and on again, of a Pi that does not carry the API server.
    Case("prepare",          "reboot",            at="Wait until every pod answers"),
    Case("transfer",         "reboot",            at="Carry | Restore it through the pods' leader"),
    Case("validate",         "reboot",            at="Validate | Read every pod's content"),
    Case("cutover",          "reboot",            at="Settle | Point the Service to the pods"),
    Case("systemd_shutdown", "reboot",            at="Cluster | Wait for"),
    Case("port_migration",   "reboot",            at="Ports | Update the member's address"),
    Case("cleanup",          "reboot",            at="Cluster | Wait for"),

    # What an owner may have before the play begins, or do during it. Once each: what pre-flight refuses, it refuses in one run.
    Case("prepare",          "follower-dead",     at=START),
    Case("prepare",          "wrong-image",       at=START),
    Case("systemd_shutdown", "masked-unit",       at=START, on="leader"),
    Case("systemd_shutdown", "hand-edited-unit",  at=START, on="server"),
    Case("validate",         "pi-dead",           at="Validate | Compare the old leader"),
    # In the turn of one Pi, with the others waiting for theirs.
    Case("port_migration",   "pi-dead",           at="Ports | Update the member's address"),
    Case("transfer",         "second-operator",   at="Join | Add the other pods"),
    Case("port_migration",   "leadership-change", at="Ports | Replace the pod", nth=2),
    # With a Pi just done, which the next run must not disturb.
    Case("port_migration",   "play-killed-late",  at="Ports | Wait until the pod is Ready on the standard ports", nth=2),
    # With a Pi whose pod has moved and whose gate is still shut, and which leads by the time of the next run.
    Case("port_migration",   "play-killed-new-leader",  at="Ports | Open the gate"),

    # With auto_rollback_on_error, as users have it unless they say otherwise; all cases above and below stop and wait for the next run.
    Case("transfer",         "old-leader-killed-back", at="Carry | Take the old leader's snapshot", on="leader", ends=SAFE, rollback=True),
    Case("cutover",          "corrupt-back",           at="Fence | Make the old cluster read-only", on="leader", ends=SAFE, rollback=True),
    Case("port_migration",   "reboot-back",            at="Ports | Update the member's address", ends=SAFE, rollback=True),
    # With a Pi whose pod has moved, whose member has not, and which leads by the time of the next run. That is no reason to go back.
    Case("port_migration",   "play-killed-usurper",    at="Ports | Replace the pod", nth=2, rollback=True),

    # In a rollback Pi by Pi, in one rollback: killed in the first turn, rebooted and killed in later ones, without the API server.
    Case(ROLLBACK,           "turn-killed",            at="Takeover | Stop this Pi's pod for good", ends=SAFE),
    Case(ROLLBACK,           "turn-reboot",            at="Takeover | Start the unit with the pod's data", nth=2, on="turn", ends=SAFE),
    Case(ROLLBACK,           "turn-killed-late",       at="Takeover | Wait until the unit is the caught-up member", nth=2, ends=SAFE),
    Case(ROLLBACK,           "turn-api-down",          at="Takeover | Stop this Pi's pod for good", nth=6, heal=20, ends=SAFE),

    # Alone: one that is dead besides would cost the quorum.
    Case("prepare",          "follower-lagging",  at=START, heal=8, profile="upstream"),

    # Where the daemon has neither snapshot nor read-only call, state goes by its database and the fence is a detour.
    Case("transfer",         "corrupt",           at="Carry | Restore it into every pod's database", profile="upstream"),
    Case("cutover",          "old-leader-killed", at="Carry | Copy the old leader's database", on="leader", profile="upstream"),
    Case("systemd_shutdown", "reboot",            at="Cluster | Wait for", profile="upstream", on="leader"),
    Case("port_migration",   "play-killed",       at="Ports | Update the member's address", profile="upstream"),
]
# fmt: on


def random_kills(seed: int = 12, number: int = 12) -> list[Case]:
    """SIGKILL at random moments: every phase is hit once, the rest where chance has it."""
    dice = random.Random(seed)
    phases = sorted([*PHASES, *(dice.choice(PHASES) for _ in range(number - len(PHASES)))], key=PHASES.index)
    return [Case(phase, "random-kill", after=round(dice.uniform(0, 0.6 * LASTS[phase]), 1)) for phase in phases]


EVERYTHING = [*CASES, *random_kills()]

# What `make test` runs: every phase, eight kinds of faults, two migrations.
CHOSEN = {
    "chosen-1": ("prepare/play-killed", "transfer/pod-killed", "validate/old-leader-killed", "cutover/corrupt", "systemd_shutdown/reboot",
                 "port_migration/partition", "cleanup/play-killed"),
    "chosen-2": ("prepare/disk-full", "transfer/api-down", "cutover/play-killed", "systemd_shutdown/pod-killed", "port_migration/play-killed"),
}  # fmt: skip


def chosen_chains() -> list[Chain]:
    by_name = {case.name: case for case in CASES if case.profile == "full" and not case.rollback}
    chains = [Chain(name, tuple(by_name[case] for case in cases)) for name, cases in CHOSEN.items()]
    for chain in chains:
        refuse_collisions(chain)
    return chains
