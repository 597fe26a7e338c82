# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
from typing import Any

import pytest
from conftest import import_plugin

proxy = import_plugin("module_utils._kube.proxy")
UNIT, POD = "10.77.0.11:8080", "10.77.0.11:8082"
LONG = 60


@pytest.fixture
def read(monkeypatch, run_module) -> Any:
    """Run the module with these looks at the kernel, one after the other; the last one stays."""

    def run(looks: list[Any], **options: Any) -> dict[str, Any]:
        following = itertools.chain(looks, itertools.repeat(looks[-1]))
        module = import_plugin("modules.kube_proxy_info")
        monkeypatch.setattr(module, "ProxyLook", lambda: lambda: next(following))
        return run_module("kube_proxy_info", {"wait_timeout": 0.5, "grace": 0.3, **options})

    return run


def rules(mode: str, *endpoints: str) -> Any:
    return proxy.ProxyRules(mode, frozenset(endpoints))


@pytest.mark.parametrize("mode", ["iptables", "nftables", "ipvs"])
def test_k4_waits_no_longer_than_the_proxy_takes(read, mode):
    result = read(
        [rules(mode, UNIT), rules(mode, POD)], routes_to=[POD], forgotten=[UNIT], wait_timeout=LONG, grace=LONG
    )

    assert (result["mode"], result["known"], result["endpoints"]) == (mode, True, [POD])
    assert result["elapsed"] < LONG / 2


def test_a_proxy_that_does_not_follow_is_a_failure(read):
    result = read([rules("nftables", UNIT)], forgotten=[UNIT])

    assert result["failed"]
    assert "kube-proxy (mode nftables) routes to ['10.77.0.11:8080']" in result["msg"]


def test_k4_without_a_proxy_there_is_nothing_to_forget(read):
    result = read([rules("none")], forgotten=[UNIT], grace=LONG)

    assert (result["mode"], result["endpoints"]) == ("none", [])
    assert result["elapsed"] < LONG / 2


def test_a_proxy_that_comes_late_is_waited_for(read):
    result = read(
        [rules("none"), rules("iptables", UNIT), rules("iptables", POD)], routes_to=[POD], wait_timeout=30, grace=30
    )

    assert (result["mode"], result["endpoints"]) == ("iptables", [POD])


@pytest.mark.parametrize(
    "seen", [proxy.ProxyRules("none"), proxy.ProxyRules("unknown", unreadable="iptables: no iptables-legacy-save")]
)
def test_what_cannot_be_seen_gets_the_grace(read, seen):
    result = read([seen], routes_to=[POD])

    assert (result["mode"], result["known"]) == (seen.mode, seen.known)
    assert result["elapsed"] >= 0.3


def test_one_look_that_fails_is_no_proxy_that_cannot_be_seen(read):
    """What it saw before was the old endpoint, which may be there still."""
    unreadable = proxy.ProxyRules("unknown", unreadable="nft took too long")
    seen = [rules("nftables", UNIT)] * 7 + [unreadable] + [rules("nftables", UNIT)] * 3 + [rules("nftables", POD)]
    result = read(seen, routes_to=[POD], forgotten=[UNIT], wait_timeout=30, grace=0.3)
    assert (result["known"], result["endpoints"]) == (True, [POD])


def test_without_a_wish_it_only_looks(read):
    seen = proxy.ProxyRules("unknown", unreadable="nftables: there is no nft")

    assert read([seen], grace=LONG)["unreadable"] == "nftables: there is no nft"


def test_an_endpoint_without_a_port_is_refused(read):
    assert "'10.77.0.11' is not an endpoint" in read([rules("none")], forgotten=["10.77.0.11"])["msg"]
