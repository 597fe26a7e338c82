# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab comes back from anything that the fault suite may leave when it is stopped in the middle."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.e2e import hosts as on
from tests.e2e import rehearsal
from tests.lab import faults, kubernetes, machines, network, state

pytestmark = pytest.mark.longer

LEFT = (
    "/var/lib/pi-controller-pods.rolled-back.x/raft",
    "/var/lib/pi-controller.systemd.backup",
    "/var/lib/pi-controller-migration-lease",
    "/var/backups/pi-controller-migration",
)
LEFT_RULE = (
    "add table inet pi_controller_gate; add chain inet pi_controller_gate deliver;"
    ' add rule inet pi_controller_gate deliver accept comment "pi-controller migration: fenced 1/1: left"'
)
LEASE = "pi-controller-migration-test"


def test_reset_brings_the_old_world_back_from_anything(old_world: Callable[[str], list[str]]) -> None:
    old_world("full")
    lab = state.require()
    provider = kubernetes.named(lab.provider, lab.options)
    first, second, third = lab.nodes[0], lab.nodes[1], lab.nodes[-1]
    rehearsal.lab("kubectl", "--", "-n", "default", "create", "-f", str(_lease()))
    for folder in LEFT:
        machines.execute(third, ["mkdir", "-p", folder])
    machines.execute(third, ["nft", LEFT_RULE])
    machines.execute(second, ["systemctl", "mask", "--now", "--runtime", "pi-controller.service"])
    faults.kill(first, faults.DAEMON, "STOP", faults.UNIT)
    faults.fill(third, "/var/backups", provider)
    faults.stop_api(lab, provider)
    network.partition(second)
    machines.power_off(third)
    rehearsal.lab("reset", "--profile", lab.profile)
    for node in lab.nodes:
        pi = on.host(node.name)
        assert on.unit_state(pi) == ("enabled", "active"), node.name
        assert on.gate_rules(pi) == [], node.name
        assert not any(pi.file(folder).exists for folder in LEFT), node.name
        assert len(on.raft_status(pi, 8080)["members"]) == len(lab.nodes), node.name
        assert int(pi.run_expect([0], "df --output=avail -k /var/backups | tail -1").stdout) > 100 * 1024, node.name
        assert pi.file("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_syn_sent").content_string.strip() == "5"
        # No Service has this address: refused at once, and not kept waiting.
        unled = pi.run("timeout 5 curl --silent --connect-timeout 3 http://10.96.255.254:8080/")
        assert unled.rc == 7, f"{node.name}: curl reported {unled.rc}"
    leases = rehearsal.kubectl_json("get", "leases", "--all-namespaces")["items"]
    assert LEASE not in [lease["metadata"]["name"] for lease in leases]


def _lease() -> object:
    """A lock that a killed run has left."""
    path = rehearsal.STATE / "test-lease.json"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE},
        "spec": {"holderIdentity": "x"},
    }
    path.write_text(json.dumps(lease))
    return path
