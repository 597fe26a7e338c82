# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.failures import MigrationError
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.operator import OPERATOR_ADDRESS
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon import rest as rest_file
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.interface import Member
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.pi_controller.answers import (
    parse_duration,
    parse_status,
)
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.pi_controller.client import (
    PiController,
)
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.rest import is_local
from fake_raft import FULL, FakeCluster


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    one = FakeCluster.start(2)
    yield one
    one.stop()


@pytest.fixture
def client(cluster: FakeCluster) -> PiController:
    return PiController(cluster.urls[0])


@pytest.fixture
def answering() -> Iterator:
    """A server that gives one fixed answer: `answering(200, b"text")` returns its URL."""
    servers = []

    def start(status: int, text: bytes, tls: ssl.SSLContext | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_args) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_status_is_typed(client):
    status = client.status()
    assert (status.role, status.is_leader, status.leader) == ("leader", True, "127.0.2.1:9092")
    assert (status.term, status.applied_index, status.last_contact) == (4, 40, 0.0)
    assert status.members[1] == Member("n2", "127.0.2.2:9092", True)


def test_a_status_may_lack_everything():
    status = parse_status({"state": "Follower", "health": None})
    assert (status.role, status.leader, status.is_leader, status.members) == ("follower", None, False, ())
    assert (status.term, status.commit_index, status.last_contact, status.health) == (None, None, None, None)
    assert parse_status({}).role is None
    assert parse_status({"raft_stats": {"term": "x"}, "members": None}).term is None


@pytest.mark.parametrize(
    ("log", "snapshot", "term"),
    [
        ((40, 3), (30, 2), 3),
        ((0, 0), (30, 2), 2),
        # Sent by a newer leader, and its log goes on behind it: Raft refuses all that follows the snapshot.
        ((40, 3), (30, 5), 3),
        ((40, 3), (40, 5), 3),
        ((40, 3), (41, 5), 5),
        ((40, 3), (None, None), 3),
        ((None, None), (30, 2), 2),
        ((None, None), (None, None), None),
    ],
)
def test_the_last_term_is_that_of_the_entry_raft_takes_for_the_last(log, snapshot, term):
    numbers = zip(("last_log_index", "last_log_term", "last_snapshot_index", "last_snapshot_term"), (*log, *snapshot))
    stats = {name: str(number) for name, number in numbers if number is not None}
    assert parse_status({"state": "Follower", "leader": "", "members": [], "raft_stats": stats}).last_term == term


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("never", None),
        ("", None),
        (None, None),
        ("35.5ms", 0.0355),
        ("1m2.5s", 62.5),
        ("1h0m1s", 3601.0),
        ("812µs", 812e-6),
        ("5 parsecs", None),
        ("-3s", None),
    ],
)
def test_go_durations(text, seconds):
    assert parse_duration(text) == (pytest.approx(seconds) if seconds is not None else None)


def test_the_capabilities_of_a_release_are_listed(client, cluster):
    assert client.capabilities() == frozenset(FULL)


@pytest.mark.parametrize("status", [404, 405])
def test_no_list_of_capabilities_is_the_empty_one(answering, status):
    assert PiController(answering(status, b"404 page not found\n")).capabilities() == frozenset()


@pytest.mark.parametrize(
    ("status", "text"), [(500, b"{}"), (401, b'{"error":"x"}'), (200, b'"yes"'), (200, b"<html></html>")]
)
def test_any_other_answer_is_no_list_of_capabilities(answering, status, text):
    with pytest.raises(MigrationError):
        PiController(answering(status, text)).capabilities()


def test_a_vote_is_only_mentioned_when_asked(client, cluster):
    client.add_member("n9", "127.0.2.9:1")
    client.add_member("n9", "127.0.2.9:1", voter=False)
    assert [body for _method, _path, body in cluster.changes] == [
        {"node_id": "n9", "address": "127.0.2.9:1"},
        {"node_id": "n9", "address": "127.0.2.9:1", "voter": False},
    ]


def test_an_id_is_quoted_in_a_path(client, cluster):
    client.remove_member("rack 1/pi")
    assert cluster.changes[0][1] == "/api/v1/raft/members/rack%201%2Fpi"


def test_transfer_and_restore_reach_the_leader(client, cluster, tmp_path):
    state = bytes(range(256)) * 4096
    (tmp_path / "state.bin").write_bytes(state)
    client.restore(tmp_path / "state.bin")
    assert cluster.restored == state
    client.restore(b"bytes")
    assert cluster.restored == b"bytes"
    client.transfer("n2")
    assert cluster.leader == "n2"


def test_a_refusal_carries_the_facts(cluster):
    with pytest.raises(MigrationError) as refused:
        PiController(cluster.urls[1]).remove_member("n1")
    assert refused.value.status == 403
    assert refused.value.failure == {
        "url": cluster.urls[1],
        "status": 403,
        "seen": {"error": "not the leader", "leader": "127.0.2.1:9092"},
        "wanted": "2xx",
        "next_step": "ask the leader instead",
    }


def test_no_answer_is_no_status():
    with pytest.raises(MigrationError) as refused:
        PiController("http://127.0.0.1:1").status()
    assert refused.value.status is None
    assert "refused" in str(refused.value)


@pytest.mark.parametrize("url", ["10.0.0.1:8080", "ftp://x", "http://", "http://x:port", ""])
def test_what_is_no_base_url(url):
    with pytest.raises(MigrationError):
        PiController(url)


def test_the_token_is_sent_and_never_shown(cluster):
    cluster.token = "s3cret"
    assert PiController(cluster.urls[0], token="s3cret").status().is_leader
    with pytest.raises(MigrationError) as refused:
        PiController(cluster.urls[0], token="wr0ng").status()
    assert "wr0ng" not in str(refused.value) + str(refused.value.failure)


def test_proxies_are_not_for_these_calls(client, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert client.status().is_leader


def test_to_this_host_it_speaks_from_the_operators_address(client, cluster):
    client.status()
    assert cluster.sources == [OPERATOR_ADDRESS]


def test_without_that_address_it_speaks_all_the_same(client, cluster, monkeypatch):
    # No interface has an address of the documentation range: binding to it fails as on a host without 127.0.9.91.
    monkeypatch.setattr(rest_file, "OPERATOR_ADDRESS", "192.0.2.1")
    assert client.status().is_leader
    assert cluster.sources == ["127.0.0.1"]


class BothFamilies(HTTPServer):
    address_family = socket.AF_INET6
    only_six = 0

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.only_six)
        super().server_bind()


class IPv6Alone(BothFamilies):
    only_six = 1


@pytest.mark.parametrize(("kind", "source"), [(BothFamilies, f"::ffff:{OPERATOR_ADDRESS}"), (IPv6Alone, "::1")])
def test_a4_an_ipv6_daemon_is_asked_on_loopback_by_the_operator(kind, source):
    """Behind a closed gate nothing else reaches it; one that is not there is asked at its own address."""
    sources = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sources.append(self.client_address[0])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_args) -> None:
            pass

    server = kind(("::", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        with pytest.raises(MigrationError):
            PiController(f"http://[::1]:{server.server_address[1]}").status()
    finally:
        server.shutdown()
        server.server_close()
    assert sources == [source]


def test_what_is_local():
    own = [
        found[4][0]
        for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        if not found[4][0].startswith("127.")
    ]
    assert all(is_local(address) for address in ["127.0.0.1", "127.0.2.3", "localhost", *own])
    assert not any(is_local(address) for address in ["192.0.2.7", "no.such.host.invalid", "::2"])


def test_a6_certificates_are_verified_by_default(answering, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-days", "2", "-subj", "/CN=pi", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, "-out", str(cert), "-keyout", str(key)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    url = answering(200, b'{"leader": "127.0.0.1:1"}', context)

    with pytest.raises(MigrationError, match="certificate") as untrusted:
        PiController(url).status()
    assert "ca_path" in untrusted.value.failure["next_step"]
    assert PiController(url, validate_certs=False).status().leader == "127.0.0.1:1"
    assert PiController(url, ca_path=str(cert)).status().leader == "127.0.0.1:1"
    # A6: the daemon runs, and its certificate does not name the address it was asked at.
    with pytest.raises(MigrationError, match="certificate") as unnamed:
        PiController(url.replace("127.0.0.1", "localhost"), ca_path=str(cert)).status()
    assert unnamed.value.failure["next_step"].startswith("have the daemon's certificate name localhost")
    with pytest.raises(MigrationError) as plain:
        PiController(answering(200, b"{}").replace("http://", "https://")).status()
    assert "speaks TLS" in plain.value.failure["next_step"]
    with pytest.raises(MigrationError, match="cannot read the certificates"):
        PiController(url, ca_path=str(tmp_path / "none.pem"))
