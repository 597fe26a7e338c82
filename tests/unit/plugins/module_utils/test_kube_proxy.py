# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from conftest import import_plugin

SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SEP-2XZJVPRY2PQVE3B3 - [0:0]
-A KUBE-SEP-2XZJVPRY2PQVE3B3 -s 10.77.0.11/32 -m comment --comment "pi-controller/pi-controller:rest" -j KUBE-MARK-MASQ
-A KUBE-SEP-2XZJVPRY2PQVE3B3 -p tcp -m comment --comment "pi-controller/pi-controller:rest" -m tcp -j DNAT --to-destination 10.77.0.11:8080
-A PI-CTL-NAT -p tcp -j DNAT --to-destination 10.77.0.12:8080
COMMIT
"""


@pytest.mark.parametrize(
    ("leads_to", "forgotten", "settled"),
    [
        (set(), set(), True),
        ({"10.77.0.11:8080"}, set(), True),
        ({"10.77.0.11:8082"}, set(), False),
        (set(), {"10.77.0.11:8080"}, False),
        # Rules of others, the traffic gate's among them, are no endpoints of a Service.
        (set(), {"10.77.0.12:8080"}, True),
    ],
)
def test_settled(leads_to: set[str], forgotten: set[str], settled: bool) -> None:
    rules = import_plugin("module_utils._kube.proxy").parse_nat(SAVED)
    assert rules.known
    assert rules.settled(leads_to, forgotten) is settled


def test_another_proxy_mode_is_never_settled() -> None:
    rules = import_plugin("module_utils._kube.proxy").parse_nat("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n")
    assert not rules.known
    assert not rules.settled(set(), set())
