# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel lets the unit's process do, and a pod not: capabilities, and ports that need one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._daemon.drivers import settings
from .findings import WARNING, Finding
from .plan import Plan
from .unit import CONTEXT

BIND = "NET_BIND_SERVICE"
# By their bits, as in linux/capability.h.
NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip


def rights_findings(plan: Plan, host: str, seen: Mapping[str, Any]) -> Iterator[Finding]:
    low = {} if _can_bind(plan) else _low_ports(plan, seen)
    if low:
        user = plan.run_as.get("user")
        yield Finding(
            host,
            "low ports",
            f"{', '.join(f'{port} ({name})' for name, port in low.items())}, and pods "
            + (f"of uid {user}, which have no capabilities" if user else f"without the capability {BIND}"),
            f"ports from {seen['unprivileged_ports_from']} on, or pods that can bind lower ones",
            _remedy(plan, min(low.values())),
        )
    process = seen["unit"]["process"]
    if process and process["uid"] and plan.run_as.get("user"):
        held = [name for name in names_of(process["capabilities"]) if not (low and name == BIND)]
        if held:
            yield Finding(
                host,
                "unit capabilities",
                ", ".join(held),
                f"none: a container of uid {plan.run_as['user']} gets none",
                f"see that the daemon needs none of them in its pods; else set runAsUser: 0 in {CONTEXT}",
                WARNING,
            )


def names_of(capabilities: int) -> list[str]:
    """The names of a set of capabilities, as /proc has it; a number where this has no name."""
    return [
        NAMES[bit] if bit < len(NAMES) else str(bit)
        for bit in range(capabilities.bit_length())
        if capabilities >> bit & 1
    ]


def _low_ports(plan: Plan, seen: Mapping[str, Any]) -> dict[str, int]:
    """Ports of the pods that not every process can bind, by their settings."""
    # What the daemon's own file says, where the inventory does not say otherwise.
    own = {
        settings.key_of(variable) or variable: port
        for variable, port in seen["own_listeners"].items()
        if variable not in plan.environment
    }
    ports = {**plan.final_ports, **plan.new_ports, **own}
    return {name: port for name, port in ports.items() if port < seen["unprivileged_ports_from"]}


def _can_bind(plan: Plan) -> bool:
    """Whether the daemon's container has the capability that low ports need. Only root's processes get any."""
    if plan.run_as.get("user"):
        return False
    if plan.security_context.get("privileged"):
        return True
    given = plan.security_context.get("capabilities") or {}
    # Where the owner does not say, all are dropped: see raft_migration_restricted_container in roles/cluster/vars/main.yml.
    add, drop = (
        {str(name).upper() for name in names or ()} for names in (given.get("add"), given.get("drop", ["ALL"]))
    )
    return BIND not in drop and (BIND in add or "ALL" not in drop)


def _remedy(plan: Plan, lowest: int) -> str:
    if not plan.run_as.get("user"):
        return f"add {BIND} to capabilities.add in {CONTEXT}"
    root = f"; or set runAsUser: 0 in {CONTEXT}" if plan.security_context.get("privileged") else ""
    return (
        f"set net.ipv4.ip_unprivileged_port_start={lowest} in /etc/sysctl.d of this Pi and run sysctl --system: pods use its network. "
        f"Every user of the Pi can bind these ports then{root}"
    )
