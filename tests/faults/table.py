# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table: phase, fault, and where in the phase it strikes. One line a case."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tests.e2e.rehearsal import PHASES

from .case import ELECTED, ROLLBACK, ROLLING, SAFE, START, Case, Chain, refuse_collisions
from .strike import CUTOVER_TIMEOUT

# Roughly how many seconds a phase lasts, for faults that strike at a random moment of it. A shorter one is struck at its end.
LASTS = {
    "prepare": 7,
    "transfer": 11,
    "validate": 3,
    "cutover": 12,
    "systemd_shutdown": 3,
    "port_migration": 17,
    "cleanup": 2,
}

# Once writes are fenced they wait until the fence lapses, or for the next run, which then has a leader to find.
WRITES_WAIT = CUTOVER_TIMEOUT + ELECTED
# A fault that strikes in one of these may be over only in the write pause.
BEFORE_THE_COMMIT = ("validate", "cutover")

# fmt: off
IN_PARALLEL = [
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
    Case("validate",         "old-leader-killed", at="Validate | Read every pod's content", on="leader"),
    Case("cutover",          "old-leader-killed", at="Fence | Make the old cluster read-only", on="leader"),
    Case("systemd_shutdown", "old-leader-killed", at="Cluster | Wait for", on="leader"),
    Case("port_migration",   "old-leader-killed", at="Step aside | Route the Service past", on="leader"),
    Case("cleanup",          "old-leader-killed", at="Cluster | Wait for", on="leader"),

    # One Pi's cable is pulled: it reaches neither the others nor the control node.
    Case("prepare",          "partition",         at="Wait for one running pod on every Pi", heal=6),
    Case("transfer",         "partition",         at="Carry | Take the old leader's snapshot", heal=6),
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
    Case("validate",         "corrupt",           at="Validate | Read every pod's content", on="leader"),
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

    # The API server is away; the cluster of pi-controller does not need it. Once for as long as K3s takes to start on a slow Pi: what
    # watches it asks at growing intervals, so then Kubernetes needs a minute to be itself again.
    Case("prepare",          "api-down",          at="Apply it on the ports", heal=8),
    Case("transfer",         "api-down",          at="Bootstrap | Replace the pod on the old leader's Pi", heal=8),
    Case("validate",         "api-down",          at="Validate | Read every pod's content", heal=8),
    Case("cutover",          "api-down",          at="Flip | Redirect each Pi to its pod", heal=20),
    Case("systemd_shutdown", "api-down",          at="Shutdown | Stop and mask", heal=8),
    Case("port_migration",   "api-down",          at="Step aside | Route the Service past", heal=8),
    Case("cleanup",          "api-down",          at="Cluster | Wait for", heal=8),

    # As `systemctl stop k3s` on the server: API, kubelet, proxy and runtime of its Pi are away, containers run on.
    Case("prepare",          "k3s-stopped",       at="Apply it on the ports", on="server", heal=8),
    Case("transfer",         "k3s-stopped",       at="Bootstrap | Replace the pod on the old leader's Pi", on="server", heal=8),
    Case("validate",         "k3s-stopped",       at="Validate | Read every pod's content", on="server", heal=8),
    Case("cutover",          "k3s-stopped",       at="Flip | Redirect each Pi to its pod", on="server", heal=20),
    Case("systemd_shutdown", "k3s-stopped",       at="Shutdown | Stop and mask", on="server", heal=8),
    Case("port_migration",   "k3s-stopped",       at="Step aside | Route the Service past", on="server", heal=8),
    Case("cleanup",          "k3s-stopped",       at="Cluster | Wait for", on="server", heal=8),

    # Power off and on again, of a Pi that does not carry the API server.
    Case("prepare",          "reboot",            at="Wait until every pod answers"),
    Case("transfer",         "reboot",            at="Carry | Restore it through the pods' leader"),
    Case("validate",         "reboot",            at="Validate | Read every pod's content"),
    Case("cutover",          "reboot",            at="Service | Point it to the pods"),
    Case("systemd_shutdown", "reboot",            at="Cluster | Wait for"),
    Case("port_migration",   "reboot",            at="Ports | Update the member's address"),
    Case("cleanup",          "reboot",            at="Cluster | Wait for"),

    # The old leader's Pi loses power between fence and commit, and right after it. (Between the stop of a unit and the start of its pod
    # there is no moment: the pods run first. In a rollback Pi by Pi there is one, see `turn-reboot`.)
    Case("cutover",          "reboot",            moment="fenced", at="Cutover | Disable the unit's start at boot", on="old-leader"),
    Case("cutover",          "reboot",            moment="opened", at="Flip | Redirect each Pi to its pod", on="old-leader"),

    # Killed when the pods were just given the writes, and no other Pi has followed yet.
    Case("cutover",          "play-killed",       moment="opened", at="Flip | Redirect each Pi to its pod", chain="opened"),

    # The control node is frozen, and reaches no Pi, while writes wait: they are taken again before it is back.
    Case("cutover",          "control-cut-off",   at="Flip | Redirect each Pi to its pod", heal=60, pause_within=CUTOVER_TIMEOUT + 5),

    # What an owner may have before the play begins, or do during it. Once each: what pre-flight refuses, it refuses in one run.
    Case("prepare",          "follower-dead",     at=START, refused=r"pi-controller\.service is inactive"),
    Case("prepare",          "wrong-image",       at=START, refused=r"pi-controller:never-built is not on this"),
    Case("systemd_shutdown", "masked-unit",       at=START, on="leader", refused=r"is masked"),
    Case("systemd_shutdown", "hand-edited-unit",  at=START, on="server"),
    Case("validate",         "pi-dead",           at="Validate | Read every pod's content"),
    # In the turn of one Pi, with the others waiting for theirs.
    Case("port_migration",   "pi-dead",           at="Ports | Update the member's address", nth=2),
    Case("transfer",         "second-operator",   at="Join | Add the other pods"),
    # The next to strike is the one below with a leader behind a shut gate.
    Case("port_migration",   "leadership-change", at="Ports | Replace the pod", nth=2, pause_within=WRITES_WAIT),
    # With a Pi just done, which the next run must not disturb.
    Case("port_migration",   "play-killed-late",  at="Step aside | Route the Service past", nth=2),
    # With a Pi whose pod has moved and whose gate is still shut, and which leads by the time of the next run.
    Case("port_migration",   "gate-breaks-new-leader",  at="Ports | Update the member's address", pause_within=WRITES_WAIT),

    # With auto_rollback_on_error, as users have it unless they say otherwise; all cases above and below stop and wait for the next run.
    Case("transfer",         "old-leader-killed-back", at="Carry | Take the old leader's snapshot", on="leader", ends=SAFE, rollback=True),
    Case("cutover",          "corrupt-back",           at="Fence | Make the old cluster read-only", on="leader", ends=SAFE, rollback=True),
    Case("port_migration",   "reboot-back",            at="Ports | Update the member's address", ends=SAFE, rollback=True),
    # With a Pi whose pod has moved, whose member has not, and which leads by the time of the next run. That is no reason to go back.
    Case("port_migration",   "play-killed-usurper",    at="Ports | Replace the pod", nth=2, rollback=True, pause_within=WRITES_WAIT),

    # In a rollback Pi by Pi, in one rollback: killed in the first turn, rebooted and killed in later ones, without the API server.
    Case(ROLLBACK,           "turn-killed",            at="Takeover | Stop this Pi's pod for good", ends=SAFE),
    Case(ROLLBACK,           "turn-reboot",            at="Takeover | Start the unit with the pod's data", nth=2, on="turn", ends=SAFE),
    Case(ROLLBACK,           "turn-killed-late",       at="Takeover | Wait until the unit has caught up", nth=2, ends=SAFE),
    Case(ROLLBACK,           "turn-api-down",          at="Takeover | Stop this Pi's pod for good", nth=6, heal=8, ends=SAFE),

    # Alone: one that is dead besides would cost the quorum.
    Case("prepare",          "follower-lagging",  at=START, heal=8, profile="upstream"),

    # Where the daemon has neither snapshot nor read-only call, state goes by its database and the fence is a detour.
    Case("transfer",         "corrupt",           at="Carry | Restore it into every pod's database", profile="upstream"),
    Case("cutover",          "old-leader-killed", at="Carry | Copy the old leader's database", on="leader", profile="upstream"),
    Case("systemd_shutdown", "reboot",            at="Cluster | Wait for", profile="upstream", on="leader"),
    Case("port_migration",   "play-killed",       at="Ports | Update the member's address", profile="upstream"),
]
# fmt: on


def may_wait(cases: Iterable[Case]) -> list[Case]:
    """The same, with the write pause that a fault may cost around the fence, where a case has no limit of its own."""
    return [
        replace(case, pause_within=WRITES_WAIT)
        if case.phase in BEFORE_THE_COMMIT and case.pause_within == ELECTED
        else case
        for case in cases
    ]


IN_PARALLEL = may_wait(IN_PARALLEL)

# A migration Pi by Pi promises more: no client waits for the control node, and with one Pi away the others have a quorum.
# What a fault may cost where no election is due, in seconds: the handing over of leadership, on a busy machine.
HANDED_OVER = 5.0
NO_ELECTION = (
    "play-killed",
    "control-cut-off",
    "corrupt",
    "api-down",
    "k3s-stopped",
    "turn-killed",
    "turn-killed-late",
    "turn-api-down",
)
# The moments of a turn, by the task that begins with them; those that lie within one are waited for from the task before it.
SCHEDULED = "Handover | Schedule the pod, which waits for its data"
TURN = {
    "before-stop": "Handover | Wait for the others to lead and catch up",
    "between": "Handover | Hand the unit's data over to the pod",
    "unit-stopped": SCHEDULED,
    "data-renamed": SCHEDULED,
    "gate-shut": "Handover | Wait until the pod has caught up",
}
# Its last turn is over, and not recorded.
OVER = {"moment": "after", "at": "Cutover | Check that every pod has taken over", "on": "turn"}


def rolling(phase: str, fault: str, chain: str = "", **more: Any) -> Case:
    """A case of a migration Pi by Pi."""
    pause = HANDED_OVER if fault in NO_ELECTION else ELECTED
    return Case(phase, fault, strategy=ROLLING, chain=chain, **{"pause_within": pause, **more})


def turn(fault: str, moment: str, nth: int, chain: str = "", *, on: str = "turn", **more: Any) -> Case:
    """One in the nth turn, at this moment of it; of the Pi whose turn it is, unless it is for another."""
    return rolling("cutover", fault, chain, moment=moment, at=TURN[moment], nth=nth, on=on, **more)


# In one migration two cases of a phase are a turn or a run apart, or one of them is over at once: more than one Pi that is away at a
# time would cost the quorum. So a migration has one case for each turn, and mostly one for every other phase. That of kills has more: the
# run that follows a kill comes to what the phase does after it.
# fmt: off
IN_TURNS = [
    # SIGKILL to the whole run on the control node, at each moment of a turn and when all are over. A kill is followed by a run.
    rolling("prepare",  "play-killed", "kills", at="Trial | Stop the pods"),
    rolling("transfer", "play-killed", "kills"),  # when it begins
    rolling("validate", "play-killed", "kills", at="Validate | Check that the backup"),
    turn("play-killed", "before-stop", 1, "kills"),
    turn("play-killed", "between",     2, "kills"),
    turn("play-killed", "gate-shut",   3, "kills"),
    rolling("cutover",  "play-killed", "kills", **OVER),
    rolling("cutover",  "play-killed", "kills", moment="settled", at="Service | Point it to the pods"),
    rolling("cleanup",  "play-killed", "kills", at="Cluster | Wait for"),

    # One bit of a row: in the backup before it is fetched, later in every copy kept so far, which no pod starts from. In transfer the
    # phase after it has to notice, so that one is among those that roll back.
    rolling("prepare",  "corrupt",     "kills", at="Backup | Write the manifest"),
    rolling("validate", "corrupt",     "power", at="Validate | Report the cluster"),
    turn("corrupt",     "between",     1, "kills"),
    rolling("cleanup",  "corrupt",     "kills"),

    # The container's process ends; the kubelet starts it again. In transfer and validate there is no pod.
    rolling("prepare",  "pod-killed",  "kills", at="Kubernetes | Wait until every pod answers"),
    turn("pod-killed",  "gate-shut",   1, "kills"),
    rolling("cutover",  "pod-killed",  "kubernetes", **OVER),
    rolling("cleanup",  "pod-killed",  "kills", at="Cleanup | Check that the unit can take over again"),

    # The leader's daemon: its unit, and from its turn on its pod. With a Pi in its turn there is no quorum until one of the two is back.
    rolling("prepare",  "old-leader-killed", "kills", at="Backup | Copy every Pi's database", on="leader"),
    rolling("transfer", "old-leader-killed", "kills", at="Transfer | Report that nothing is carried", on="leader"),
    rolling("validate", "old-leader-killed", "kills", at="Validate | Report the cluster", on="leader"),
    turn("old-leader-killed", "between",     1, "kubernetes", on="leader"),
    rolling("cleanup",  "old-leader-killed", "control", at="Cleanup | Check that the unit can take over again", on="leader"),

    # One Pi's cable is pulled: it reaches neither the others nor the control node.
    rolling("prepare",  "partition",   at="Kubernetes | Wait for one running pod on every Pi", heal=6),
    rolling("transfer", "partition",   at="Transfer | Report that nothing is carried", heal=6),
    rolling("validate", "partition",   at="Validate | Check that the backup", heal=6),
    turn("partition",   "before-stop", 1, heal=6),
    turn("partition",   "between",     2, heal=6, on="other"),
    turn("partition",   "gate-shut",   3, heal=6),
    rolling("cleanup",  "partition",   at="Cluster | Wait for", heal=6),

    # Power off and on again. In its turn the Pi has its unit or its pod by then, without the next run.
    rolling("prepare",  "reboot",      "power", at="Kubernetes | Wait until every pod answers"),
    rolling("transfer", "reboot",      "power", at="Transfer | Report that nothing is carried"),
    rolling("validate", "reboot",      "power", at="Validate | Check that the backup"),
    turn("reboot",      "before-stop", 1, "power"),
    turn("reboot",      "unit-stopped", 2, "power"),
    turn("reboot",      "gate-shut",   3, "power"),
    rolling("cleanup",  "reboot",      "power", at="Cluster | Wait for"),
    turn("reboot",      "data-renamed", 2, "disk"),
    rolling("cutover",  "reboot",      "disk", **OVER),

    # The Pi that the clients of the one in its turn are routed to dies. They have to get the pod that serves, not wait for the dead one.
    # In the first turn it is not the one with the control plane.
    turn("pi-dead",     "gate-shut",   1, on="neighbour", safe_within=180.0),

    # No room on one Pi, for its daemons neither.
    rolling("prepare",  "disk-full",   "disk", at="Backup | Copy every Pi's database", heal=6),
    rolling("transfer", "disk-full",   "disk", at="Transfer | Report that nothing is carried", heal=6),
    rolling("validate", "disk-full",   "disk", at="Validate | Check that the backup", heal=6),
    turn("disk-full",   "before-stop", 1, "disk", heal=6),
    turn("disk-full",   "between",     2, "kubernetes", heal=6),
    rolling("cleanup",  "disk-full",   "disk", at="Cluster | Wait for", heal=6),

    # The API server is away. Transfer asks nothing of Kubernetes, and is over at once: an outage that begins there is one of validate,
    # and that one lasts until the first turn needs the API.
    rolling("prepare",  "api-down",    "control", at="DaemonSet | Apply it on the ports", heal=8),
    rolling("validate", "api-down",    "control", at="Validate | Report the cluster", heal=8),
    turn("api-down",    "before-stop", 1, "control", heal=8),
    rolling("cutover",  "api-down",    "control", heal=8, **OVER),
    rolling("cleanup",  "api-down",    "control", at="Cluster | Wait for", heal=8),

    # The control node is frozen, and reaches no Pi: the one in its turn has its unit or its pod before it is back.
    turn("control-cut-off", "unit-stopped", 2, "control", heal=60),

    # As `systemctl stop k3s` on the server. Where that Pi has its turn its pod can only start afterwards.
    rolling("prepare",  "k3s-stopped", "kubernetes", at="DaemonSet | Apply it on the ports", on="server", heal=8),
    rolling("validate", "k3s-stopped", "kubernetes", at="Validate | Report the cluster", on="server", heal=8),
    turn("k3s-stopped", "between",     3, "kubernetes", on="server", heal=8),
    rolling("cleanup",  "k3s-stopped", "kubernetes", at="Cluster | Wait for", on="server", heal=8),

    # With auto_rollback_on_error: what a trial pod has read is not what there is, and a Pi is lost in its turn.
    rolling("transfer", "corrupt-back", "back", at="Transfer | Report that nothing is carried", ends=SAFE, rollback=True),
    turn("reboot-back", "gate-shut",   2, "back", ends=SAFE, rollback=True),

    # In the rollback of a migration that is finished.
    rolling(ROLLBACK,   "turn-killed",      at="Takeover | Stop this Pi's pod for good", ends=SAFE),
    rolling(ROLLBACK,   "turn-reboot",      at="Takeover | Start the unit with the pod's data", nth=2, on="turn", ends=SAFE),
    rolling(ROLLBACK,   "turn-killed-late", at="Takeover | Wait until the unit has caught up", nth=2, ends=SAFE),
    rolling(ROLLBACK,   "turn-api-down",    at="Takeover | Stop this Pi's pod for good", nth=6, heal=8, ends=SAFE),

    # Where the daemon cannot hand leadership over, each turn of a leader costs an election.
    turn("play-killed", "between",     1, profile="upstream", pause_within=ELECTED),
    turn("old-leader-killed", "gate-shut", 3, on="leader", profile="upstream"),
    turn("reboot",      "data-renamed", 3, profile="upstream"),
]
# fmt: on

CASES = [*IN_PARALLEL, *IN_TURNS]


def random_kills(seed: int = 12, number: int = 12) -> list[Case]:
    """SIGKILL at random moments: every phase is hit once, the rest where chance has it, early ones first."""
    dice = random.Random(seed)
    phases = sorted([*PHASES, *(dice.choice(PHASES) for _ in range(number - len(PHASES)))], key=PHASES.index)
    kills = may_wait(
        Case(phase, "random-kill", after=round(dice.uniform(0, 0.6 * LASTS[phase]), 1)) for phase in phases
    )
    return sorted(kills, key=lambda kill: (PHASES.index(kill.phase), kill.after))


EVERYTHING = [*CASES, *random_kills()]

# What `make test` runs: every phase, eight kinds of faults, one migration in parallel and one Pi by Pi.
CHOSEN = {
    "chosen-rolling": ("rolling/prepare/pod-killed", "rolling/validate/corrupt", "rolling/cutover/play-killed-between",
                       "rolling/cutover/reboot-gate-shut", "rolling/cleanup/old-leader-killed"),
    "chosen-parallel": ("prepare/play-killed", "prepare/disk-full", "transfer/api-down", "transfer/pod-killed", "validate/old-leader-killed",
                        "cutover/play-killed", "cutover/corrupt", "systemd_shutdown/reboot", "systemd_shutdown/pod-killed",
                        "port_migration/partition", "port_migration/play-killed", "cleanup/play-killed"),
}  # fmt: skip
# In `parallel` most phases have two of them. Each of these strikes the run that goes on after the other one, a kill,
LATER = (("prepare/disk-full", "prepare/play-killed"), ("cutover/corrupt", "cutover/play-killed"))
# and this one a turn later. (In the other phases the task of the second waits until the first is over.)
TURN_LATER = "port_migration/play-killed"


def chosen_chains() -> list[Chain]:
    by_name = {case.name: case for case in CASES if case.profile == "full" and not case.rollback}
    by_name[TURN_LATER] = replace(by_name[TURN_LATER], nth=2)
    chains = [
        Chain(name, tuple(by_name[case] for case in cases), tuple(pair for pair in LATER if pair[0] in cases))
        for name, cases in CHOSEN.items()
    ]
    for chain in chains:
        refuse_collisions(chain)
    return chains
