# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kind of lab is wanted: versions, kube-proxy's mode, the datastore, speed and memory of the Pis, the addresses. Read from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from . import settings
from .shell import LabError

# KUBERNETES=newest and KUBERNETES=oldest: the two ends of what the collection supports. Each has a module file of its own in
# kubernetes/module, whose version of k8s.io/kubernetes this must be.
RELEASES = {"newest": ("1.37.2", "go.mod"), "oldest": ("1.35.4", "oldest.mod")}
SUITES = ("trixie", "bookworm")
PROXIES = ("iptables", "nftables", "ipvs")
DATASTORES = ("etcd", "kine")
# Of Kubernetes and of the daemons; the hosts have addresses of both.
FAMILIES = tuple(settings.FAMILIES)
# What the owner has made by hand for the Service of the units: an Endpoints object, deprecated since 1.33, or EndpointSlices.
BACKENDS = ("endpoints", "slices")


@dataclass(frozen=True)
class Options:
    """One kind of lab. The defaults are what owners run today."""

    kubernetes: str = "newest"
    suite: str = "trixie"
    proxy: str = "iptables"
    datastore: str = "etcd"
    cpu: float = 0.0
    """Share of one core that each host gets; 0 is no limit."""
    backends: str = "endpoints"
    family: str = "ipv4"
    memory: int = 0
    """MiB that each host gets; 0 is no limit."""

    @property
    def version(self) -> str:
        """For instance "1.37.2"."""
        return RELEASES[self.kubernetes][0]

    @property
    def module_file(self) -> str:
        return RELEASES[self.kubernetes][1]

    def __str__(self) -> str:
        speed = f", {self.cpu:g} of a core each" if self.cpu else ""
        small = f", {self.memory} MiB each" if self.memory else ""
        six = ", IPv6" if self.family == "ipv6" else ""
        return f"Kubernetes {self.version} on {self.datastore}, Debian {self.suite}, kube-proxy {self.proxy}{six}{speed}{small}"


def from_environment(environment: Mapping[str, str] = os.environ) -> Options:
    """Options from KUBERNETES, SUITE, PROXY, DATASTORE, CPU, BACKENDS, FAMILY and MEMORY; what is not set, or empty, has its default.

    Raises:
        LabError: one sentence that names every value that cannot be.
    """
    wrong: list[str] = []

    def choice(name: str, allowed: tuple[str, ...], default: str) -> str:
        value = environment.get(name) or default
        if value not in allowed:
            wrong.append(f"{name}={value} (one of {', '.join(allowed)})")
        return value

    releases = {version: name for name, (version, _) in RELEASES.items()}
    given = environment.get("KUBERNETES") or "newest"
    kubernetes = releases.get(given, given)
    if kubernetes not in RELEASES:
        wrong.append(f"KUBERNETES={given} (one of {', '.join(RELEASES)}, {', '.join(releases)})")
    suite = choice("SUITE", SUITES, SUITES[0])
    proxy = choice("PROXY", PROXIES, PROXIES[0])
    datastore = choice("DATASTORE", DATASTORES, DATASTORES[0])
    backends = choice("BACKENDS", BACKENDS, BACKENDS[0])
    family = choice("FAMILY", FAMILIES, FAMILIES[0])
    try:
        cpu = float(environment.get("CPU") or 0)
    except ValueError:
        cpu = -1
    if not (cpu == 0 or 0.1 <= cpu <= 8):
        wrong.append(f"CPU={environment['CPU']} (a share of one core, 0.1 to 8)")
    size = environment.get("MEMORY") or "0"
    memory = int(size) if size.isdecimal() else -1
    if not (memory == 0 or 256 <= memory <= 65536):
        wrong.append(f"MEMORY={size} (MiB, 256 to 65536)")
    if wrong:
        raise LabError(f"The lab cannot be had with {'; '.join(wrong)}.")
    return Options(kubernetes, suite, proxy, datastore, cpu, backends, family, memory)
