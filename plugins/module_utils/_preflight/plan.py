# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What pre-flight measures a Pi, the network, the cluster and Kubernetes against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core.addresses import normal
from .._core.journal import PARALLEL
from .._core.systemd import unit_name
from .._core.unit_process import arguments
from .._daemon.drivers import settings
from .._daemon.pod_user import pod_user
from .._kube.facts import RESOURCES, quantity
from .reach import PodMount, pod_mounts

# What may be true already depends on how far a migration has come.
FRESH, BEGUN, BEYOND = "fresh", "begun", "beyond"
UNTOUCHED = ("pending", "rolled_back")


@dataclass(frozen=True)
class Place:
    """Where a Pi of the inventory is: the address of its daemon, and its name in Kubernetes."""

    address: str
    node: str


@dataclass(frozen=True)
class Plan:
    """The migration as configured. `places` is in the order of the inventory."""

    places: Mapping[str, Place]
    stage: str
    unit: str
    unit_file: str
    standard_ports: Mapping[str, int]
    new_ports: Mapping[str, int]
    image: str
    pull_policy: str
    daemonset: str
    strategy: str = PARALLEL
    # Whether a follower takes writes and keeps them to itself.
    followers_write: bool = False
    # Whether the daemon's users are asked, in place of a token.
    logs_in: bool = False
    forks: int = 0
    requests: Mapping[str, float] = field(default_factory=dict)
    # Settings in the daemon's environment that the pods get as well.
    environment: frozenset[str] = frozenset()
    temporary_environment: frozenset[str] = frozenset()
    # What a pod gets of the rest that a process runs with.
    config_file: str = ""
    data_dir: str = ""
    flags: frozenset[str] = frozenset()
    working_dir: str = ""
    run_as: Mapping[str, Any] = field(default_factory=dict)
    mounts: tuple[PodMount, ...] = ()
    security_context: Mapping[str, Any] = field(default_factory=dict)
    # Every port that a pod is given in the end, by the name of its setting.
    final_ports: Mapping[str, int] = field(default_factory=dict)
    # Seconds.
    cutover_timeout: float = 0

    @property
    def hosts(self) -> list[str]:
        return list(self.places)

    def host_at(self, address: str) -> str | None:
        return next((host for host, place in self.places.items() if normal(place.address) == normal(address)), None)

    def setting_of(self, port: int) -> str:
        """The settings to change for another port, as the owner writes them."""
        standard = [
            f"migration.standard_ports.{name}" for name, number in self.standard_ports.items() if number == port
        ]
        return " and ".join(
            [*standard, *(f"migration.{name}" for name, number in self.new_ports.items() if number == port)]
        )

    def port_names(self, port: int) -> str:
        names = [name for name, number in (*self.standard_ports.items(), *self.new_ports.items()) if number == port]
        return f"{port} ({', '.join(names)})" if names else str(port)


def new_listeners(config: Mapping[str, Any]) -> dict[str, int]:
    """Every port a pod listens on while the unit runs beside it, under the name of its setting."""
    named = {f"temporary_ports.{name}": port for name, port in config["temporary_ports"].items()}
    return {**named, **_env_ports(config, "temporary_env")}


def _env_ports(config: Mapping[str, Any], section: str) -> dict[str, int]:
    return {
        f"{section}.{name}": int(value)
        for name, value in config[section].items()
        if name.endswith(settings.PORT_SUFFIX)
    }


def make_plan(config: Mapping[str, Any], owner: Mapping[str, Any], journals: Mapping[str, Any]) -> Plan:
    """`config` is the whole `migration`, `owner` the settings beside it, `journals` what each Pi's journal says."""
    requests = (owner["resources"] or {}).get("requests") or {}
    context = owner["security_context"] or {}
    return Plan(
        places={host: Place(str(address), str(owner["nodes"][host])) for host, address in owner["addresses"].items()},
        stage=stage_of(journals),
        unit=unit_name(owner["unit"]),
        unit_file=owner["unit_file"],
        standard_ports=dict(config["standard_ports"]),
        new_ports=new_listeners(config),
        image=owner["image"],
        pull_policy=owner["pull_policy"],
        daemonset=owner["daemonset"],
        strategy=config.get("strategy", PARALLEL),
        followers_write=bool(owner.get("followers_write")),
        logs_in=bool(owner.get("has_user")),
        forks=int(owner["forks"]),
        requests={resource: quantity(requests.get(resource)) for resource in RESOURCES},
        environment=frozenset({*config["standard_env"], *settings.RESERVED}),
        temporary_environment=frozenset({*config["temporary_env"], *settings.RESERVED}),
        config_file=owner["config_file"],
        data_dir=owner["data_dir"],
        flags=_flags(owner["args"]),
        working_dir=owner["working_dir"],
        run_as={
            "user": {**pod_user(owner.get("data_owners") or {}, context), **context}.get("runAsUser"),
            "given": "runAsUser" in context,
            "groups": owner["supplemental_groups"],
        },
        cutover_timeout=config["timeouts_seconds"]["cutover_timeout"],
        mounts=pod_mounts(owner),
        security_context=context,
        final_ports={
            **{f"standard_ports.{name}": port for name, port in config["standard_ports"].items()},
            **_env_ports(config, "standard_env"),
        },
    )


def _flags(words: list[str]) -> frozenset[str]:
    given = arguments([str(word) for word in words])
    return frozenset((*given["flags"], *given["words"]))


def states_of(journal: Mapping[str, Any] | None) -> Mapping[str, str]:
    """State by phase; empty where the journal could not be read."""
    states: Mapping[str, str] = (journal or {}).get("phase_states") or {}
    return states


def stage_of(journals: Mapping[str, Any]) -> str:
    """Fresh, or `prepare` was begun on some Pi, or some Pi is beyond it."""
    known = [states_of(journal) for journal in journals.values()]
    later = [state for states in known for phase, state in states.items() if phase != "prepare"]
    if any(state not in UNTOUCHED for state in later):
        return BEYOND
    if any(state != "pending" for states in known for state in states.values()):
        return BEGUN
    return FRESH
