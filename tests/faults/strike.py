# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults themselves: each strikes, repairs what does not pass by itself, and says what of the clients' trouble it explains."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.lab import faults, machines, network, world
from tests.lab.shell import LabError, wait_for
from tests.lab.state import Node

from .case import Case
from .moments import MOMENTS, await_moment
from .pis import EITHER, TEMPORARY_PORT, Pis

UNIT = "pi-controller.service"
ROW = b"there before the migration"  # in every row the lab loads
NEXT_RUN = 180.0  # seconds from the end of a fault until the next run has seen to what it left
CUTOVER_TIMEOUT = 30.0  # seconds, the migration's default: without its control node a Pi serves again by then


class Migration(Protocol):
    """What a fault may do to the run under way."""

    extra: list[str]  # arguments of the next run only
    folder: Path
    began: float  # when the run under way began, epoch seconds
    ended: threading.Event  # no run is under way

    def kill(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def second_operator(self) -> tuple[int, str]: ...


@dataclass
class Injection:
    """A fault that was inflicted; times are epoch seconds."""

    case: Case
    struck: float
    task: str
    host: str = ""
    recovered: float | None = None
    moved_on: float | None = None
    run: int = 0
    note: str = ""
    wrong: str = ""  # why the case has failed, whatever the rest says
    allowances: list[dict[str, Any]] = field(default_factory=list)
    led_here: list[str] = field(default_factory=list)  # Pis whose clients are routed to the host
    over: threading.Event = field(default_factory=threading.Event)
    repair: Callable[[], object] | None = None  # what the operator does once the play has stopped
    # Within this the run is frozen. Else a busy machine has the task over, and the next begun, before it is known whom to strike.
    hold: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


def strike(pis: Pis, injection: Injection, migration: Migration) -> None:
    """Inflict the fault and wait until it is over. Raises RunEndedError where there was no run any more to inflict it on."""
    name = injection.case.fault.removesuffix("-back")
    try:
        FAULTS[name](pis, injection, migration)
    except (LabError, TimeoutError, OSError, KeyError) as error:
        injection.wrong = f"could not be inflicted or repaired: {type(error).__name__}: {error}"
    if name not in BY_THEMSELVES:
        injection.over.set()


def _host(pis: Pis, injection: Injection, of: str | None = None) -> Node:
    whom = injection.case.on
    choices: dict[str, Callable[[], Node]] = {
        "turn": lambda: pis.in_turn(),
        "other": lambda: pis.follower(of, other_than=pis.in_turn()),
        "neighbour": lambda: pis.neighbour(pis.in_turn()),
        "leader": lambda: pis.leader(of),
        "old-leader": lambda: pis.leader(faults.UNIT),
        "server": lambda: pis.nodes[0],
    }
    with injection.hold():
        node = choices.get(whom, lambda: pis.follower(of))()
        injection.host = node.name
        injection.led_here = pis.led_to(node)
    injection.struck = time.time()  # finding the host took a moment
    return node


def _explains(injection: Injection, *routes: str, until: float | None = None, stale: bool = True) -> None:
    """Reads through these routes that got no answer while the fault lasted, or an old one, are its doing."""
    end = until or injection.recovered or time.time()
    # A Pi whose pod is being replaced has its clients routed to a neighbour, and that may be the one that was struck.
    more = [name for name in injection.led_here if injection.host in routes]
    injection.allowances += [
        {"route": route, "from": injection.struck, "to": end, "stale": stale, "why": injection.case.name}
        for route in (*routes, *more)
    ]


def _recover(
    pis: Pis, injection: Injection, node: Node, of: str | None = None, service: bool = False, within: float = 60
) -> None:
    """Wait until the Pi's daemon serves like the others: its pod, its unit, or the one clients meet, which the play may change."""
    at = pis.wait_caught_up(node, of, timeout=within)
    # The play goes on meanwhile and may have begun to lead another Pi's clients here.
    injection.led_here = sorted({*injection.led_here, *pis.led_to(node)})
    if at is not None and service:
        at = pis.wait_service(node)
        if at is None:
            injection.wrong = f"{node.name}: the Service does not answer there 90 s after the fault"
    elif at is None:
        injection.wrong = f"{within:g} s after the fault: {pis.behind(node, of or pis.serving())}"
    injection.recovered = at or time.time()


def pod_killed(pis: Pis, injection: Injection, migration: Migration) -> None:
    of = pis.serving()
    node = _host(pis, injection, of)
    faults.kill(node, faults.DAEMON, owner=faults.POD)
    # Pi by Pi a pod beside its unit is on trial: it belongs to no cluster, and goes when it has been read.
    _recover(pis, injection, node, None if pis.rolling else faults.POD)
    # Clients meet a pod only from the cutover on, Pi by Pi from its Pi's turn on.
    if of == faults.POD or (of == EITHER and not pis.unit_has_data(node)):
        # Any Pi's clients of the Service may have been routed to it.
        _explains(injection, node.name, "service")


def old_leader_killed(pis: Pis, injection: Injection, migration: Migration) -> None:
    of = faults.UNIT if any(faults.processes(node, owner=faults.UNIT) for node in pis.nodes) else faults.POD
    node = _host(pis, injection, EITHER if pis.rolling else of)
    if pis.rolling:  # where pods and units are one cluster, either may lead; beside a unit there may be a pod on trial
        of = faults.UNIT if pis.unit_has_data(node) else faults.POD
    served = pis.serving() in (of, EITHER)
    faults.kill(node, faults.DAEMON, owner=of)
    # Behind the cutover the play stops the units for good.
    _recover(pis, injection, node)
    if served:
        _explains(injection, node.name, "service")


def partition(pis: Pis, injection: Injection, migration: Migration) -> None:
    node = _host(pis, injection)
    try:
        network.partition(node)
        time.sleep(injection.case.heal)
    finally:
        network.heal(node)
    healed = time.time()
    _recover(pis, injection, node)
    # Cut off it shows old rows to its own clients only; to every client from the healing until it has caught up.
    _explains(injection, node.name, f"service@{node.name}")
    _explains(injection, "service", until=healed, stale=False)
    late = {"route": "service", "from": healed, "to": injection.recovered, "stale": True, "why": injection.case.name}
    injection.allowances.append(late)


def reboot(pis: Pis, injection: Injection, migration: Migration) -> None:
    """It serves again by itself: at no moment of a turn, and at none of the write pause, may that need the next run."""
    node = _host(pis, injection)
    await_moment(pis, node, injection.case.moment, migration.ended.is_set)
    injection.struck = time.time()
    machines.power_off(node)
    if pis.rolling:
        masked = machines.root(node).joinpath("etc/systemd/system", UNIT).is_symlink()
        injection.note = (
            f"data: the {'unit' if pis.unit_has_data(node) else 'pod'}'s; unit: {'' if masked else 'not '}masked"
        )
    world.reboot(pis.lab, node, pis.provider)
    # No kubelet starts a pod before the API server is back, and that may be on this Pi.
    within = 120.0 if node.is_server else 60.0
    if _moves_ports(injection):
        injection.over.set()
        within = NEXT_RUN
    _recover(pis, injection, node, service=True, within=within)
    _explains(injection, node.name, "service")
    if injection.case.moment == "opened":
        # Neither its unit nor its gate outlives that: the pod serves, and the next run routes this Pi's own clients there.
        injection.over.set()
        _explains(injection, node.name, f"service@{node.name}", until=pis.wait_gate(node), stale=False)


def _moves_ports(injection: Injection) -> bool:
    """Whether the Pi's pod may have moved and its member not, which the leader reaches again by the next run."""
    return injection.case.phase == "port_migration"


def turn_reboot(pis: Pis, injection: Injection, migration: Migration) -> None:
    """The Pi may have neither pod nor unit until the next run, which is only begun once the Pi answers again."""
    node = _host(pis, injection)
    machines.power_off(node)
    world.reboot(pis.lab, node, pis.provider)
    injection.over.set()
    at = pis.wait_caught_up(node, timeout=NEXT_RUN)
    if at is None:
        injection.wrong = f"{NEXT_RUN:g} s after the fault: {pis.behind(node, pis.serving())}"
    injection.recovered = at or time.time()
    _explains(injection, node.name, f"service@{node.name}", "service")


def pi_dead(pis: Pis, injection: Injection, migration: Migration) -> None:
    """No power and no word until its owner sees to it: the run has to end by itself."""
    node = _host(pis, injection)
    network.partition(node)
    machines.power_off(node)

    def power_on() -> None:
        left = pis.led_to(node) if pis.rolling else []
        if left:
            injection.wrong = f"the clients of {', '.join(left)} are still routed to {node.name}, which is dead"
        network.heal(node)
        world.reboot(pis.lab, node, pis.provider)
        if _moves_ports(injection):
            threading.Thread(target=recover, args=(NEXT_RUN,), daemon=True).start()
        else:
            recover(60.0)

    def recover(within: float) -> None:
        _recover(pis, injection, node, service=True, within=within)
        _explains(injection, node.name, "service")

    injection.repair = power_on


def play_killed(pis: Pis, injection: Injection, migration: Migration) -> None:
    # Asking who leads would delay every other kill, and past the shutdown no unit does.
    if injection.case.moment in MOMENTS and not pis.rolling:
        await_moment(pis, pis.leader(faults.UNIT), injection.case.moment, migration.ended.is_set)
    injection.struck = time.time()
    migration.kill()
    injection.recovered = time.time()


def control_cut_off(pis: Pis, injection: Injection, migration: Migration) -> None:
    """Not killed: its run is frozen, and does not reach the Pis. Meanwhile they have to help themselves; then it goes on."""
    turn = pis.in_turn() if pis.rolling else None
    if turn:
        injection.host = turn.name
        await_moment(pis, turn, injection.case.moment, migration.ended.is_set)
    injection.struck = time.time()
    try:
        migration.freeze()
        for node in pis.nodes:
            faults.cut_off_control(node)
        time.sleep(max(0.0, injection.struck + CUTOVER_TIMEOUT - time.time()))
        # Its unit or its pod, whichever has the data. That writes are taken again is for the witness to say.
        if turn and pis.wait_caught_up(turn, timeout=1) is None:
            injection.wrong = f"{CUTOVER_TIMEOUT:g} s after the control node: {pis.behind(turn, pis.serving())}"
        time.sleep(max(0.0, injection.struck + injection.case.heal - time.time()))
    finally:
        for node in pis.nodes:
            faults.reach_control(node)
        migration.thaw()
    injection.recovered = time.time()


def api_down(pis: Pis, injection: Injection, migration: Migration) -> None:
    injection.host, injection.struck = pis.nodes[0].name, time.time()
    try:
        faults.stop_api(pis.lab, pis.provider)
        time.sleep(max(0.0, injection.struck + injection.case.heal - time.time()))
    finally:
        faults.start_api(pis.lab, pis.provider)
    injection.recovered = time.time()


def k3s_stopped(pis: Pis, injection: Injection, migration: Migration) -> None:
    """API, kubelet, proxy and runtime of the server's Pi stop at one stroke; the containers run on."""
    node = _host(pis, injection)
    try:
        faults.stop_kubernetes(node, pis.provider)
        time.sleep(max(0.0, injection.struck + injection.case.heal - time.time()))
    finally:
        faults.start_units(node, pis.provider)
    # A pod that was being replaced is only started now.
    _recover(pis, injection, node)
    # Its proxy's rules stay and are those of the time before: its own clients of the Service may be routed to a pod that is gone.
    _explains(injection, node.name, f"service@{node.name}", "service", stale=False)


def disk_full(pis: Pis, injection: Injection, migration: Migration) -> None:
    node = _host(pis, injection)
    try:
        faults.fill(node, "/var/backups", pis.provider)
        time.sleep(injection.case.heal)
    finally:
        faults.unfill(node)
    if pis.serving() == faults.UNIT or (pis.rolling and pis.unit_has_data(node)):
        # systemd has given up on a unit that failed again and again; its owner, having made room, starts it.
        machines.execute(node, ["systemctl", "reset-failed", UNIT], check=False)
        # In its turn it may just have been masked, and then its pod is to come.
        machines.execute(node, ["systemctl", "start", UNIT], check=not pis.rolling)
    # Where it cost the quorum no pod was Ready: the Service leads nowhere until the kubelets have asked again.
    _recover(pis, injection, node, service=True)
    # A daemon that cannot write ends; it is away like a killed one until it is back.
    _explains(injection, node.name, "service")


def corrupt(pis: Pis, injection: Injection, migration: Migration) -> None:
    """Flip one bit of a row, in the phase's own files as soon as they are there, or in every copy kept so far."""
    phase = injection.case.phase
    by_units = not pis.rolling and phase in ("prepare", "transfer", "validate", "cutover")
    node = _host(pis, injection, faults.UNIT if by_units else None)
    folder = pis.backups(node)
    upstream = pis.lab.profile == "upstream"
    fresh = {
        "prepare": ["prepare/pi-controller.db"],
        "transfer": ["transfer.pi-controller.db"] if upstream else ["transfer/snapshot/state.bin"],
        "cutover": ["cutover.pi-controller.db"]
        if upstream
        else ["cutover/snapshot/.state.bin.part", "cutover/snapshot/state.bin"],
    }.get(phase)
    if fresh is None or (pis.rolling and phase != "prepare"):  # Pi by Pi only prepare takes a copy
        kept = [*folder.glob("**/*.db"), *folder.glob("**/state.bin")]
        injection.note = f"{sum(map(flip, kept))} copies"
        if injection.note.startswith("0"):
            injection.wrong = f"{folder}: nothing to corrupt"
    else:
        # Not what an earlier run has left, which nothing reads any more.
        began, deadline = max(injection.struck - 20, migration.began), time.monotonic() + 10
        # By the change of the inode: the state can be a link to a copy that was made a while ago. Then both are struck.
        while not any(
            path.exists() and path.stat().st_ctime > began and flip(path) for path in map(folder.joinpath, fresh)
        ):
            if time.monotonic() > deadline:
                injection.wrong = f"none of {', '.join(fresh)} came to be in {folder} within 10 s"
                break
            time.sleep(0.0005)
        injection.struck = time.time()
    injection.recovered = time.time()


def flip(path: Path) -> bool:
    """One bit of the text of a row: still a sound file, with something in it that no client wrote."""
    try:
        at = path.read_bytes().find(ROW)
        if at < 0:
            return False
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([ROW[0] ^ 1]))
    except OSError:
        return False
    return True


def follower_lagging(pis: Pis, injection: Injection, migration: Migration) -> None:
    node = _host(pis, injection)
    faults.kill(node, faults.DAEMON, "STOP", faults.UNIT)
    threading.Timer(injection.case.heal, _thaw, (pis, injection, node)).start()  # the play begins meanwhile


def _thaw(pis: Pis, injection: Injection, node: Node) -> None:
    faults.thaw(node)
    _recover(pis, injection, node, faults.UNIT)
    _explains(injection, node.name, "service")
    injection.over.set()


def follower_dead(pis: Pis, injection: Injection, migration: Migration) -> None:
    """Stopped before the play, started by its owner once the play has refused."""
    node = _host(pis, injection)
    machines.execute(node, ["systemctl", "stop", UNIT])

    def start() -> None:
        machines.execute(node, ["systemctl", "start", UNIT])
        _recover(pis, injection, node, faults.UNIT)
        _explains(injection, node.name, "service")

    injection.repair = start


def wrong_image(pis: Pis, injection: Injection, migration: Migration) -> None:
    migration.extra = ["-e", "pi_controller_image=pi-controller:never-built"]
    injection.recovered = time.time()


def masked_unit(pis: Pis, injection: Injection, migration: Migration) -> None:
    """Refused before anything is changed; its owner takes the mask away and runs it again."""
    node = _host(pis, injection)
    # What is in /etc cannot be masked, and a mask in /run has no effect while the unit's own file lies there.
    own, elsewhere = f"/etc/systemd/system/{UNIT}", "/usr/local/lib/systemd/system"
    masking = f"mkdir -p {elsewhere} && mv {own} {elsewhere}/ && systemctl mask {UNIT} && systemctl daemon-reload"
    machines.execute(node, ["sh", "-ec", masking])
    injection.recovered = time.time()
    unmasking = f"systemctl unmask {UNIT} && mv {elsewhere}/{UNIT} {own} && systemctl daemon-reload"
    injection.repair = lambda: machines.execute(node, ["sh", "-ec", unmasking])


def hand_edited_unit(pis: Pis, injection: Injection, migration: Migration) -> None:
    node = _host(pis, injection)
    script = (
        "sed -i 's/^Restart=on-failure/Restart=always\\nNice=-1/' /etc/systemd/system/pi-controller.service && "
        "mkdir -p /etc/systemd/system/pi-controller.service.d && "
        "printf '[Service]\\nRestartSec=2\\n' > /etc/systemd/system/pi-controller.service.d/mine.conf && systemctl daemon-reload"
    )
    machines.execute(node, ["sh", "-ec", script])
    injection.recovered = time.time()


def gate_breaks_new_leader(pis: Pis, injection: Injection, migration: Migration) -> None:
    """The member has moved and its gate stays shut. By the time of the next run it leads, and so is the last by any order that asks
    for the leader alone."""
    node = _stepped_aside(pis)
    injection.host, injection.struck = node.name, time.time()
    faults.break_gate(node)
    injection.recovered = time.time()
    injection.repair = lambda: _repair_and_lead(pis, injection, node)


def _repair_and_lead(pis: Pis, injection: Injection, node: Node) -> None:
    faults.repair_gate(node)
    leader = pis.leader(faults.POD)
    members = {member["Address"] for member in (pis.status(leader, faults.POD) or {})["members"]}
    moved = [other for other in pis.nodes if f"{other.address}:9091" in members]
    if moved == [node] == [leader]:
        injection.note = f"{node.name} led already"
    elif moved == [node] and any(node.name in pis.led_to(other) for other in pis.nodes):
        _hand_over(pis, injection, node)
    else:
        injection.wrong = f"not one Pi that has moved behind its gate: {members}"


def play_killed_usurper(pis: Pis, injection: Injection, migration: Migration) -> None:
    """The pod has moved, its member has not, and it leads: as when another Pi dies in that moment and comes back."""
    node = _stepped_aside(pis)
    injection.repair = lambda: _usurp(pis, injection, node)  # before the kill, which ends the run that asks for it
    play_killed(pis, injection, migration)


def _usurp(pis: Pis, injection: Injection, node: Node) -> None:
    """Only one that lacks what this Pi's log has may vote, and only this Pi may start an election."""
    leader = pis.leader(faults.POD)
    third = next(other for other in pis.nodes if other not in (node, leader))

    def moved() -> str | None:
        return (
            None
            if pis.ask(node, TEMPORARY_PORT) is None and pis.status(node, faults.POD)
            else "it does not answer there"
        )

    def leads() -> str | None:
        status = pis.status(node, faults.POD)
        return None if status and status["is_leader"] else str(status)

    advice = "see the daemons' logs"
    try:
        faults.kill(third, faults.DAEMON, "STOP", faults.POD)
        # The play was about to do that, and was killed before it did anything more.
        faults.stop_pod(node, pis.provider)
        wait_for(f"the pod of {node.name} is on its standard port", moved, timeout=60, advice=advice)
        faults.kill(leader, faults.DAEMON, "STOP", faults.POD)
        faults.thaw(third)
        wait_for(f"{node.name} leads", leads, timeout=60, advice=advice)
        faults.thaw(leader)
        wait_for(f"{leader.name} follows", lambda: pis.behind(leader, faults.POD), timeout=60, advice=advice)
    finally:
        for other in (third, leader):
            faults.thaw(other)
        injection.recovered = time.time()
        _explains(injection, *(other.name for other in pis.nodes), "service")


def _stepped_aside(pis: Pis) -> Node:
    """The Pi whose pod is being replaced: its clients are routed to another."""
    away = {name for node in pis.nodes for name in pis.led_to(node)}
    if len(away) != 1:
        raise LabError(f"not one Pi whose clients are routed to a neighbour: {sorted(away)}")
    return pis.lab.node(away.pop())


def leadership_change(pis: Pis, injection: Injection, migration: Migration) -> None:
    _hand_over(pis, injection, pis.follower(faults.POD))


def _hand_over(pis: Pis, injection: Injection, to: Node) -> None:
    leader = pis.leader(faults.POD)
    injection.host, injection.struck = leader.name, time.time()
    for port in (8080, 8082):
        if pis.ask(leader, port, "/api/v1/raft/leader/transfer", "POST", {"target_id": to.name}) is not None:
            injection.note = f"{leader.name} to {to.name}"
            break
    else:
        injection.wrong = f"{leader.name} did not hand leadership over to {to.name}"
    pis.leader(faults.POD)
    injection.recovered = time.time()


def second_operator(pis: Pis, injection: Injection, migration: Migration) -> None:
    injection.struck = time.time()
    code, reported = migration.second_operator()
    injection.recovered = time.time()
    injection.note = reported
    if code == 0 or "is held by " not in reported:
        injection.wrong = f"the second operator was not refused by the lock: {reported}"


FAULTS: dict[str, Callable[[Pis, Injection, Migration], None]] = {
    "pod-killed": pod_killed,
    "old-leader-killed": old_leader_killed,
    "partition": partition,
    "play-killed": play_killed,
    "play-killed-late": play_killed,
    "gate-breaks-new-leader": gate_breaks_new_leader,
    "play-killed-usurper": play_killed_usurper,
    "random-kill": play_killed,
    "control-cut-off": control_cut_off,
    "corrupt": corrupt,
    "disk-full": disk_full,
    "api-down": api_down,
    "k3s-stopped": k3s_stopped,
    "reboot": reboot,
    "pi-dead": pi_dead,
    "turn-killed": play_killed,
    "turn-killed-late": play_killed,
    "turn-reboot": turn_reboot,
    "turn-api-down": api_down,
    "follower-lagging": follower_lagging,
    "follower-dead": follower_dead,
    "wrong-image": wrong_image,
    "masked-unit": masked_unit,
    "hand-edited-unit": hand_edited_unit,
    "leadership-change": leadership_change,
    "second-operator": second_operator,
}
BY_THEMSELVES = ("follower-lagging", "turn-reboot")  # these say themselves when they are over
