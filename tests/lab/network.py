# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One bridge, and for every host a network namespace with one cable to it. A pulled cable is a partition."""

from __future__ import annotations

import os
from pathlib import Path

from . import settings
from .shell import LabError, run
from .state import Node, State

NETNS_FOLDER = Path("/run/netns")
INSIDE = "eth0"
UNANSWERED_SECONDS = 5
UNANSWERED = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_syn_sent")
IPV6 = Path("/proc/sys/net/ipv6")


def cable(node: Node) -> str:
    """The machine's end of the cable of a host."""
    return f"pilab-{node.number}"


def netns_folder_mounted() -> bool:
    return os.path.ismount(NETNS_FOLDER)


def ensure(state: State) -> None:
    _require_kernel()
    if not _exists(settings.BRIDGE):
        _refuse_foreign_routes()
        _ip("link", "add", settings.BRIDGE, "type", "bridge")
        # As of any new link it may be off here.
        (IPV6 / "conf" / settings.BRIDGE / "disable_ipv6").write_text("0\n")
        # Both families, as a machine of today has; which one Kubernetes and the daemons use is an option of the lab.
        for family in settings.FAMILIES.values():
            _ip("address", "add", "dev", settings.BRIDGE, *_in_network(family.machine, family))
    _ip("link", "set", settings.BRIDGE, "up")
    _ip("route", "replace", "local", settings.CLIENT_ADDRESSES, "dev", settings.BRIDGE)
    for node in state.nodes:
        _ensure_host(node, state)


def _require_kernel() -> None:
    """Connection tracking, which is a module of Debian's kernel that nothing may have loaded yet, and both address families."""
    if not UNANSWERED.exists():
        run(["modprobe", "nf_conntrack"], check=False)
    if not UNANSWERED.exists():
        raise LabError("This kernel tracks no connections: load its module nf_conntrack, then run the command again.")
    if not IPV6.exists():
        raise LabError(
            "This machine runs without IPv6: boot it without ipv6.disable=1 on the kernel's command line, then run the command again."
        )


def _refuse_foreign_routes() -> None:
    for family, flag in ((settings.FAMILIES["ipv4"], "-4"), (settings.FAMILIES["ipv6"], "-6")):
        taken = run(["ip", flag, "route", "show", "root", family.host_network]).stdout.strip()
        if taken:
            raise LabError(
                f"The lab's network {family.host_network} is in use on this machine ({taken.splitlines()[0]}): free it, then try again."
            )


def _in_network(address: str, family: settings.Family) -> list[str]:
    """The address as `ip address` takes it."""
    # The kernel would probe for an IPv6 address in the network for a second before it uses it.
    flags = ["nodad"] if ":" in address else []
    return [f"{address}/{family.host_network.partition('/')[2]}", *flags]


def _ensure_host(node: Node, state: State) -> None:
    if not (NETNS_FOLDER / node.name).exists():
        _ip("netns", "add", node.name)
    if not _exists(cable(node)):
        _ip("link", "add", cable(node), "type", "veth", "peer", "name", INSIDE, "netns", node.name)
    heal(node)
    inside = ("-netns", node.name)
    _ip(*inside, "link", "set", "lo", "up")
    for family in settings.FAMILIES.values():
        _ip(*inside, "address", "replace", "dev", INSIDE, *_in_network(family.host(node.number), family))
    _ip(*inside, "link", "set", INSIDE, "up")
    # No default route: a host must not reach anything but the lab. A Service's address needs one all the same, as a
    # packet is routed once before kube-proxy's rules turn it to an endpoint.
    _ip(*inside, "route", "replace", node.addresses.service_range, "dev", INSIDE)
    _forget_the_unanswered(node)
    for other in state.nodes:
        if other != node:
            _ip(*inside, "route", "replace", node.addresses.pod_network(other.number), "via", other.address)


def _forget_the_unanswered(node: Node) -> None:
    """What a dead host has not answered is forgotten once no client waits for it any more, not after two minutes.

    Until then a client that is given the same port is routed to that host's endpoint again, long after kube-proxy has taken it
    away: true of every Service, and no matter of a migration. Linux starts counting ports anew every ten seconds, so it happens.
    """
    run(
        [
            "ip",
            "netns",
            "exec",
            node.name,
            "sysctl",
            "-q",
            "-w",
            f"net.netfilter.{UNANSWERED.name}={UNANSWERED_SECONDS}",
            "net.ipv6.conf.all.disable_ipv6=0",
        ]
    )


def partition(node: Node) -> None:
    _ip("link", "set", cable(node), "nomaster")


def heal(node: Node) -> None:
    _ip("link", "set", cable(node), "master", settings.BRIDGE, "up")


def plugged(node: Node) -> bool:
    return (Path("/sys/class/net") / settings.BRIDGE / "brif" / cable(node)).exists()


def forget(node: Node) -> None:
    """What a host loses with its power: packet filter rules and tracked connections. Its namespace outlives it in the lab."""
    nft(node, "flush", "ruleset")
    run([*inside(node), "conntrack", "-F"])


def inside(node: Node) -> list[str]:
    """What a command of this machine begins with to run in the host's network, also while the host is off."""
    return ["ip", "netns", "exec", node.name]


def nft(node: Node, *words: str, stdin: str | None = None) -> None:
    """By the host's own nft: an older one crashes on what a newer one has written."""
    run([*inside(node), "chroot", node.folder / "root", "nft", *words], stdin=stdin)


def remove(state: State) -> None:
    for node in state.nodes:
        _remove_host(node)
    _remove_bridge()
    # `ip netns add` mounts its folder on itself and leaves that behind.
    if not state.netns_folder_mounted and netns_folder_mounted() and not any(NETNS_FOLDER.iterdir()):
        run(["umount", NETNS_FOLDER])


def remove_unknown() -> list[str]:
    """The same for a lab that has lost its state file; returns what was found. A namespace is the lab's only with the lab's address."""
    found = []
    for node in map(Node, range(1, settings.MAX_NODES + 1)):
        ours = False
        if (NETNS_FOLDER / node.name).exists():
            addresses = run(["ip", "-netns", node.name, "-4", "-o", "address", "show"], check=False).stdout
            ours = f" {node.address}/" in addresses
        if ours or _exists(cable(node)):
            found.append(node.name)
            _remove_host(node, namespace=ours)
    if _exists(settings.BRIDGE):
        found.append(settings.BRIDGE)
        _remove_bridge()
    return found


def _remove_host(node: Node, namespace: bool = True) -> None:
    if _exists(cable(node)):
        _ip("link", "delete", cable(node))
    if namespace and (NETNS_FOLDER / node.name).exists():
        _ip("netns", "delete", node.name)


def _remove_bridge() -> None:
    if _exists(settings.BRIDGE):
        _ip("link", "delete", settings.BRIDGE)


def _exists(link: str) -> bool:
    return (Path("/sys/class/net") / link).exists()


def _ip(*words: str) -> None:
    run(["ip", *words])
