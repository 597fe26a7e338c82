# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The REST client and the watch against what the published daemon does: limits, logins, client certificates."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.failures import MigrationError
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.drivers import daemon_at
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.interface import Daemon

from tests.daemon.clusters import TEMPORARY, Cluster, eventually
from tests.daemon.processes import HOST, Node, free_ports

PASSWORD = "planted-password"


@pytest.fixture
def node(binary: Path, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Starts one daemon of profile upstream with these keys."""
    made: list[Node] = []

    def start(env: dict[str, str] | None = None, **keys: Any) -> Node:
        made.append(Node(binary, tmp_path / f"pi-{len(made)}", f"pi-{len(made)}", "upstream", keys, env or {}))
        return made[-1].start(bootstrap=True)

    yield start
    for client in made:
        if client.process and client.process.poll() is None:
            client.kill()


def ask(node: Node, scheme: str = "http", timeout: float = 5.0, **access: Any) -> Daemon:
    return daemon_at(f"{scheme}://{HOST}:{node.rest}", access, timeout)


def refusal(call: Callable[[], Any]) -> MigrationError:
    with pytest.raises(MigrationError) as refused:
        call()
    assert PASSWORD not in refused.value.full_message
    assert PASSWORD not in str(refused.value.failure)
    return refused.value


def test_d4_a_limited_daemon_is_asked_again_in_time(node: Callable[..., Node]) -> None:
    daemon = ask(node(**{"published.rate_limit": 60}).up().ready())
    assert [daemon.status().role for _number in range(13)] == ["leader"] * 13


def test_d4_on_its_own_pi_a_limited_daemon_answers_at_once(node: Callable[..., Node]) -> None:
    """One request a minute and address, and a deadline in which no second one would be answered."""
    daemon = ask(node(**{"published.rate_limit": 1, "published.rate_burst": 1}).up().ready(), timeout=5)
    assert [daemon.status().role for _number in range(30)] == ["leader"] * 30


def test_d4_a_limit_that_outlasts_the_call_is_named(node: Callable[..., Node]) -> None:
    daemon = ask(node(**{"published.rate_limit": 1, "published.rate_burst": 0}).up().ready(), timeout=1.5)
    error = refusal(lambda: [daemon.status() for _number in range(13)])
    assert error.status == 429
    assert "wait a minute" in error.full_message


def test_d5_each_daemon_is_logged_in_to_again_after_a_restart(node: Callable[..., Node]) -> None:
    keys = {"auth.user": "pi", "auth.password": PASSWORD}
    first, second = node(**keys).up(), node(**keys).up()
    first.ready()
    second.ready()
    clients = [ask(client, user="pi", password=f"{PASSWORD}\n") for client in (first, second)]
    assert [client.status().role for client in clients] == ["leader", "leader"]
    first.kill()
    first.start().up().ready()
    assert clients[0].status().role == "leader"


def test_d5_a_token_that_has_run_out_is_renewed(node: Callable[..., Node]) -> None:
    one = node(**{"auth.user": "pi", "auth.password": PASSWORD, "auth.lifetime": "300ms"}).up().ready()
    daemon = ask(one, user="pi", password=PASSWORD)
    token = daemon._token.header()["Authorization"] if daemon.status() else ""  # type: ignore[attr-defined]
    eventually(
        lambda: one.call("GET", "/api/v1/nodes", token=token.removeprefix("Bearer ")).status == 401,
        "the token has run out",
    )
    assert daemon.status().role == "leader"


def test_d5_a_wrong_password_is_tried_once(node: Callable[..., Node]) -> None:
    one = (
        node(
            **{"auth.user": "pi", "auth.password": "another one", "published.rate_limit": 1, "published.rate_burst": 2}
        )
        .up()
        .ready()
    )
    daemon = ask(one, user="pi", password=PASSWORD)
    for _number in range(5):
        error = refusal(daemon.status)
        # Asked a third time, the daemon would answer 429.
        assert error.status == 401
        assert "pi_controller_password" in error.full_message


def test_d5_plain_http_is_refused_with_the_way_out(node: Callable[..., Node]) -> None:
    one = node(**{"auth.user": "pi", "auth.password": PASSWORD, "published.require_tls": True}).up()
    error = refusal(ask(one, user="pi", password=PASSWORD).status)
    assert error.status == 426
    assert "pi_controller_scheme: https" in error.full_message


def certificate(folder: Path, name: str, *more: str) -> tuple[str, str]:
    """A certificate and its key, signed by itself or as `more` says."""
    cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-addext", f"subjectAltName=IP:{HOST}", "-keyout", key, "-out", cert, *more],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(cert), str(key)


def test_d6_a_client_certificate_is_shown(node: Callable[..., Node], tmp_path: Path) -> None:
    server, server_key = certificate(tmp_path, "server")
    ca, ca_key = certificate(tmp_path, "ca")
    client, client_key = certificate(tmp_path, "client", "-CA", ca, "-CAkey", ca_key)
    one = node(**{"api.tls_cert": server, "api.tls_key": server_key, "api.tls_client_ca": ca})
    shown = ask(one, "https", ca_path=server, client_cert=client, client_key=client_key)
    eventually(lambda: answers(shown), "the daemon answers over TLS")
    error = refusal(ask(one, "https", ca_path=server).status)
    assert "pi_controller_client_cert" in error.full_message
    mixed = refusal(lambda: ask(one, "https", ca_path=server, client_cert=client, client_key=ca_key))
    assert "pi_controller_client_key" in mixed.full_message


def answers(daemon: Daemon) -> bool:
    try:
        return daemon.status().is_leader
    except MigrationError:
        return False


def test_d12_a_daemon_without_clustering_is_named(node: Callable[..., Node]) -> None:
    one = node(**{"cluster.enabled": False, "published.raft_routes_404": True}).up()
    error = refusal(ask(one).status)
    assert "clustering is off there" in str(error)
    assert "cluster.enabled" in error.full_message


def test_d4_the_watch_stays_calm_and_sees_a_lost_leader(
    binary: Path, tmp_path: Path, run_module: Callable[..., dict[str, Any]]
) -> None:
    cluster = Cluster(binary, tmp_path / "cluster", "upstream", published={"rate_limit": 20})
    run = subprocess.Popen(["sleep", "600"])
    urls = [f"http://{node.host}:{TEMPORARY['rest']}" for node in cluster.nodes]
    base = {"path": str(tmp_path / "watch"), "parent_pid": run.pid, "standard_urls": urls, "rest": {}}
    samples = tmp_path / "watch" / "samples.jsonl"

    def watch(state: str, **options: Any) -> dict[str, Any]:
        result = run_module("quorum_watch", {**base, "state": state, **options})
        assert "failed" not in result, result
        return result

    try:
        cluster.start()
        watch("started")
        watch("phase", phase="prepare", phase_timeout=300)
        # Below the published limit, as where modules ask from the same address: answers come every 3 s, and 429 meanwhile.
        eventually(lambda: samples.exists() and len(samples.read_text().splitlines()) > 40, "40 samples", timeout=40)
        assert watch("checked")["alerts"] == []
        cluster.leader.stop(signal.SIGKILL)
        eventually(
            lambda: [alert for alert in watch("checked")["alerts"] if alert["kind"] == "leader_lost"],
            "an alert",
            timeout=60,
        )
    finally:
        run.kill()
        run.wait()
        cluster.stop()


def test_d1_the_daemon_runs_by_the_pods_file_alone(
    node: Callable[..., Node], run_module: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    unit = node(**{"published.named_environment": True}).up()
    unit.terminate()
    ports = dict(zip(("rest", "grpc", "raft", "websocket"), free_ports(4)))
    written = run_module(
        "pod_config",
        {
            "src": str(unit.folder / "config.yaml"),
            "dest": str(tmp_path / "pods.config"),
            "address": HOST,
            "data_dir": str(tmp_path / "pod"),
            "temporary_ports": {name: ports[name] for name in ("rest", "grpc", "raft")},
            "standard_ports": {"rest": unit.rest, "grpc": unit.grpc, "raft": unit.raft},
            "environments": json.dumps({"temporary": {"PI_CONTROLLER_WEBSOCKET_PORT": str(ports["websocket"])}}),
            "bootstrap": True,
        },
    )
    # As in the pod: the variables are there, and the published daemon does not read them.
    env = {**os.environ, "PI_CONTROLLER_GRPC_PORT": "1", "PI_CONTROLLER_CLUSTER_BIND_ADDR": f"{HOST}:1"}
    with subprocess.Popen([unit.binary, "--config", written["files"][0]], env=env, stderr=subprocess.DEVNULL) as pod:
        try:
            daemon = daemon_at(f"http://{HOST}:{ports['rest']}", {}, 5.0)
            eventually(lambda: answers(daemon), "the pod's daemon leads")
            assert [member.address for member in daemon.status().members] == [f"{HOST}:{ports['raft']}"]
            assert (tmp_path / "pod" / "raft" / "raft-log.db").exists()
            for name in ("grpc", "websocket"):
                socket.create_connection((HOST, ports[name]), 2).close()
        finally:
            pod.kill()
