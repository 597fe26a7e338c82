# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._kube.kubeconfig import secrets_in


@pytest.mark.parametrize(
    ("user", "secrets"),
    [
        ({"token": "t0ken"}, {"t0ken"}),
        ({"client-key-data": "k3y", "client-certificate-data": "c3rt"}, {"k3y", "c3rt"}),
        ({"username": "pi", "password": "passw0rd"}, {"pi", "passw0rd"}),
        ({"auth-provider": {"config": {"refresh-token": "r3fresh"}}}, {"r3fresh"}),
        ({"exec": {"command": "login", "env": [{"name": "KEY", "value": "v4lue"}]}}, {"login", "KEY", "v4lue"}),
        ({"token": "", "exec": None}, set()),
    ],
)
def test_what_a_user_logs_in_with_is_secret(user: dict[str, Any], secrets: set[str]) -> None:
    kubeconfig = {"clusters": [{"name": "pi", "cluster": {"server": "https://pi:6443"}}], "users": [{"user": user}]}
    assert secrets_in(kubeconfig) == secrets


@pytest.mark.parametrize("kubeconfig", [{}, {"users": None}, {"users": ["pi"]}, {"users": [{"name": "pi"}]}])
def test_a_kubeconfig_without_users_holds_no_secret(kubeconfig: dict[str, Any]) -> None:
    assert secrets_in(kubeconfig) == set()
