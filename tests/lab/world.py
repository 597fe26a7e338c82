# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab as a whole: up, back to the old world, and down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..daemon.build import build_test_daemon
from . import (
    cgroups,
    cluster,
    faults,
    image,
    kubernetes,
    machines,
    network,
    objects,
    options,
    packages,
    rootfs,
    settings,
    ssh,
    sysctl,
)
from . import state as states
from .kubernetes.provider import Provider
from .progress import Progress
from .shell import LabError, in_parallel
from .state import Node, State

# What a migration leaves on a Pi.
LEFT_BEHIND = """\
set -eu
# A lease would start the unit again.
for unit in /etc/systemd/system/pi-controller-migration*; do
    [ ! -e "$unit" ] || { systemctl disable --now "$(basename "$unit")" || true; rm -f "$unit"; }
done
# A mask may be for this boot only, and an owner's changes may lie in a folder beside the unit.
systemctl unmask pi-controller.service || true
systemctl unmask --runtime pi-controller.service || true
# Its data goes, so it need not end well.
systemctl stop --no-block pi-controller.service 2>/dev/null || true
systemctl kill --signal=KILL pi-controller.service 2>/dev/null || true
systemctl disable --now pi-controller.service || true
systemctl reset-failed pi-controller.service 2>/dev/null || true
rm -rf /etc/systemd/system/pi-controller.service.d /run/systemd/system/pi-controller.service*
nft delete table inet pi_controller_gate 2>/dev/null || true
rm -rf /var/lib/pi-controller /var/lib/pi-controller.* /var/lib/pi-controller-pods* /var/lib/pi-controller-migration-lease \\
    /var/backups/pi-controller-migration /etc/pi-controller/ca
systemctl daemon-reload
"""


def up(nodes: int, profile: str, progress: Progress) -> None:
    wanted = options.from_environment()
    provider = kubernetes.choose(wanted)
    name = provider.name
    known = states.load()
    if known and (known.boot_id != states.boot_id() or not known.complete):
        progress.say("an earlier lab did not get up, or did not go down: it is cleaned first")
        down(progress)
        known = None
    if known and (known.node_count, known.provider, known.options) != (nodes, name, wanted):
        progress.say(
            f"the lab that is up is another one ({known.node_count} hosts, {known.options}): it is taken down first"
        )
        down(progress)
        known = None
    if known:
        _verify(known, provider, progress)
        if known.profile != profile:
            reset(profile, progress)
        return
    lower, archives = build(progress, profile)
    state = State(nodes, profile, name, wanted, states.boot_id(), netns_folder_mounted=network.netns_folder_mounted())
    state.save()
    sysctl.apply(state)
    network.ensure(state)
    ssh.prepare(state)
    provider.prepare(state)
    boot = _boot_of(lower, provider, wanted)
    with progress.waiting(f"hosts: booting {', '.join(node.name for node in state.nodes)}"):
        in_parallel(lambda node: _boot(node, state, provider, boot, progress), state.nodes)
    provider.write_kubeconfig(state)
    objects.wait_ready(state, provider, progress)
    objects.import_images(state, provider, archives, progress)
    _old_world(state, provider, progress)
    state.complete = True
    state.save()
    progress.say(f"the lab is up: {len(state.nodes)} hosts, profile {profile}, {wanted}")


def _boot_of(lower: Path, provider: Provider, wanted: options.Options) -> machines.Boot:
    """What every host of this lab is booted with, each time."""
    return machines.Boot(lower, provider.disk_folders, provider.read_only_folders(), wanted.cpu, wanted.memory)


def build(progress: Progress, profile: str = "full") -> tuple[Path, dict[str, bytes]]:
    """Make what is missing in the cache; returns the hosts' root file system and the archives of the images."""
    wanted = options.from_environment()
    packages.ensure((*packages.RUN, *packages.BUILD), progress)
    # Each of them has a part that keeps one core busy: the compiler of SQLite, the linker of Kubernetes, dpkg.
    makers: list[Callable[[], Any]] = [
        lambda: rootfs.build(wanted.suite, progress) / "root",
        lambda: kubernetes.choose(wanted).build(progress),
        lambda: image.archives(progress, profile),
    ]
    lower, _nothing, archives = in_parallel(lambda make: make(), makers)
    return lower, archives


def _boot(node: Node, state: State, provider: Provider, boot: machines.Boot, progress: Progress) -> None:
    machines.create_disk(node, boot)
    binary = build_test_daemon(progress)
    files = [
        *machines.base_files(node),
        *ssh.host_files(node),
        *provider.host_files(node, state),
        *cluster.host_files(node, state, binary),
    ]
    for file in files:
        file.write(machines.root(node))
    machines.start(node, boot)
    machines.wait_booted(node)


def _old_world(state: State, provider: Provider, progress: Progress) -> None:
    cluster.start(state, progress)
    cluster.load_data(state, progress)
    objects.wait_namespace_gone(provider)
    state.service_address = objects.apply(state, provider)
    objects.wait_service(state, state.service_address)
    state.save()
    progress.say(f"the Service {settings.NAMESPACE} answers at {state.service_address} on every Pi")


def _repair(state: State, provider: Provider, progress: Progress) -> None:
    """Every host is on, in one piece and a Ready node, whatever was done to it."""
    network.ensure(state)
    for node in state.nodes:
        faults.heal(node)
        if not machines.running(node):
            progress.say(f"{node.name} is off and booted again")
            reboot(state, node, provider)
    # The server first: the others' kubelets are of no use without it.
    for node in state.nodes:
        faults.start_units(node, provider)
    objects.wait_ready(state, provider, progress)


def _verify(state: State, provider: Provider, progress: Progress) -> None:
    _repair(state, provider, progress)
    progress.say(f"the lab is up: {len(state.nodes)} hosts, profile {state.profile}")


def reboot(state: State, node: Node, provider: Provider) -> None:
    """Pull the plug and power on again."""
    if machines.running(node):
        machines.power_off(node)
    lower = rootfs.build(state.options.suite, Progress()) / "root"
    machines.start(node, _boot_of(lower, provider, state.options))
    machines.wait_booted(node)


def reset(profile: str, progress: Progress) -> None:
    """Back to the old world, from anything: as if no migration had ever been tried and nothing had gone wrong."""
    state = states.require()
    provider = kubernetes.named(state.provider, state.options)
    state = replace(state, profile=profile)
    state.save()
    with progress.waiting("reset: the namespace goes, and what a migration left on the Pis"):
        _repair(state, provider, progress)
        objects.delete_namespace(provider)
        objects.delete_leases(provider)
    binary = build_test_daemon(progress)

    def clear(node: Node) -> None:
        machines.execute(node, ["sh", "-c", LEFT_BEHIND])
        for file in cluster.host_files(node, state, binary):
            file.write(machines.root(node))
        machines.execute(node, ["systemctl", "daemon-reload"])

    in_parallel(clear, state.nodes)
    # The unit's program has just been written anew, and a pod must run the same.
    objects.import_images(state, provider, image.archives(progress, profile), progress)
    _old_world(state, provider, progress)
    progress.say("the old world is back")


def down(progress: Progress) -> None:
    """Leave nothing behind, from any half state."""
    try:
        state = states.load()
    except LabError as error:
        progress.say(str(error))
        state = None
        sysctl.restore(states.kernel_settings())
    cgroups.kill()
    cgroups.remove()
    if state is None:
        found = [*machines.unmount_unknown(), *network.remove_unknown()]
        states.forget()
        progress.say(f"there was no state file; removed: {', '.join(found)}" if found else "there is no lab")
        return
    for node in state.nodes:
        machines.destroy(node)
    network.remove(state)
    sysctl.restore(state.kernel_settings)
    states.forget()
    progress.say("the lab is down, nothing is left of it but the cache")
