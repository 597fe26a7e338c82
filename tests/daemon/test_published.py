# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profile `published` of the test daemon: what only whole processes show. The rest is in picontroller/published_test.go."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.progress import Progress

from .build import build_test_daemon
from .processes import HOST, Cluster, wait_for


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[list[Cluster]]:
    """Clusters that are ended after the test."""
    made: list[Cluster] = []
    yield made
    for cluster in made:
        cluster.__exit__()


def make(clusters: list[Cluster], folder: Path, size: int, profile: str = "published", **keys: object) -> Cluster:
    clusters.append(Cluster(build_test_daemon(Progress()), folder / f"cluster-{len(clusters)}", profile, size, **keys))
    return clusters[-1]


def test_d2_each_node_keeps_what_it_stores(clusters: list[Cluster], tmp_path: Path) -> None:
    cluster = make(clusters, tmp_path, 3).form()
    for node in cluster.nodes:
        assert node.create(f"row of {node.id}").status == 201
    assert [node.names() for node in cluster.nodes] == [{f"row of {node.id}"} for node in cluster.nodes]
    leader = cluster.leader()
    leader.kill()
    others = [node for node in cluster.nodes if node is not leader]
    wait_for("another leader", lambda: any(node.status()["is_leader"] for node in others))
    leader.start().up()
    assert [node.names() for node in cluster.nodes] == [{f"row of {node.id}"} for node in cluster.nodes]


def test_d11_rest_opens_with_a_leader(clusters: list[Cluster], tmp_path: Path) -> None:
    node = make(clusters, tmp_path, 1, **{"published.late_rest": "1500ms"}).nodes[0].start()
    wait_for("gRPC listens", lambda: connects(node.grpc))
    begin = time.monotonic()
    assert not connects(node.rest)
    node.up()
    assert time.monotonic() - begin > 1
    assert node.call("GET", "/ready").status == 503


def connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def test_d11_the_stop_takes_its_time(clusters: list[Cluster], tmp_path: Path) -> None:
    node = make(clusters, tmp_path, 1, **{"published.slow_stop": "1s"}).form().nodes[0]
    assert node.terminate() >= 1


@pytest.mark.parametrize(("profile", "status"), [("published", 0), ("upstream", 1)])
def test_d11_a_failed_daemon_ends_with_status_0(
    clusters: list[Cluster], tmp_path: Path, profile: str, status: int
) -> None:
    node = make(clusters, tmp_path, 1, profile).nodes[0]
    with socket.create_server((HOST, node.grpc)):
        process = node.start(bootstrap=True).process
        assert process is not None
        assert process.wait(10) == status
    assert "address already in use" in node.log
