# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test daemon keeps the contract of pi-controller, failures included: real processes on loopback, in both profiles."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab.progress import Progress

from .build import build_test_daemon
from .processes import HOST, Cluster, Node, free_ports, wait_for

CAPABILITIES = ["capabilities", "learners", "read-only", "recovery", "restore", "snapshot", "transfer"]
OPTIONAL = [
    ("POST", "snapshot"),
    ("POST", "restore"),
    ("POST", "leader/transfer"),
    ("GET", "read-only"),
    ("PUT", "read-only"),
    ("GET", "capabilities"),
]
both_profiles = pytest.mark.parametrize("profile", ["full", "upstream"])


@pytest.fixture(scope="module")
def binary() -> Path:
    return build_test_daemon(Progress())


Form = Callable[..., Cluster]


@pytest.fixture
def form(binary: Path, tmp_path: Path) -> Iterator[Form]:
    """Makes clusters, and ends them after the test."""
    made: list[Cluster] = []

    def make(profile: str = "full", size: int = 3, formed: bool = True, **keys: object) -> Cluster:
        made.append(Cluster(binary, tmp_path / f"cluster-{len(made)}", profile, size, **keys))
        return made[-1].form() if formed else made[-1]

    yield make
    for cluster in made:
        cluster.__exit__()


class Writers:
    """Clients that write all the time, and remember what was acknowledged."""

    def __init__(self, cluster: Cluster, number: int = 3) -> None:
        self.cluster, self.acknowledged, self.refused = cluster, set[str](), list[int]()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(index,)) for index in range(number)]

    def _run(self, index: int) -> None:
        count = 0
        while not self.stopping.is_set():
            for node in self.cluster.nodes:
                count += 1
                name = f"w{index}-{count}"
                try:
                    status = node.create(name).status
                except (OSError, http.client.HTTPException):
                    continue
                if status == 201:
                    self.acknowledged.add(name)
                else:
                    self.refused.append(status)

    def __enter__(self) -> Writers:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def some_more(self, number: int = 20) -> None:
        wanted = len(self.acknowledged) + number
        wait_for(f"{number} more acknowledged writes", lambda: len(self.acknowledged) >= wanted)


# Shapes and refusals


@both_profiles
def test_the_shapes_of_the_contract(form: Form, profile: str) -> None:
    cluster = form(profile)
    leader, follower = cluster.leader(), cluster.followers()[0]
    members = [{"ID": node.id, "Address": node.address, "Voter": True} for node in cluster.nodes]
    for node in (leader, follower):
        status = node.status()
        assert status["state"] == ("Leader" if node is leader else "Follower")
        assert (status["leader"], status["is_leader"]) == (leader.address, node is leader)
        assert (status["members"], status["member_count"]) == (members, 3)
        assert isinstance(status["health"], dict)
        stats = status["raft_stats"]
        assert {
            "term",
            "last_log_index",
            "commit_index",
            "applied_index",
            "last_snapshot_index",
            "last_contact",
            "num_peers",
            "state",
        } <= set(stats)
        assert all(isinstance(value, str) for value in stats.values())
        assert node.raft_call("GET", "members").body == {"members": members, "total": 3}
        assert node.raft_call("GET", "leader").body == {"leader": leader.address, "is_leader": node is leader}
        assert node.raft_call("GET", "health").status == 200
        assert node.call("GET", "/ready").status == 200
        with closing(socket.create_connection((HOST, node.websocket), 2)):
            pass
        assert speaks_http2(node.grpc)
    refused = [
        follower.create("x"),
        follower.call("DELETE", "/api/v1/nodes/1"),
        follower.call("PUT", "/api/v1/nodes/1", {"name": "x"}),
        follower.raft_call("POST", "members", {"node_id": "x", "address": "127.0.0.1:1"}),
        follower.raft_call("DELETE", f"members/{leader.id}"),
    ]
    for answer in refused:
        assert (answer.status, answer.body["leader"]) == (403, leader.address)
    for method, path in OPTIONAL:
        if profile == "upstream":
            assert leader.raft_call(method, path, {"enabled": True}).status == 404, path
    if profile == "full":
        assert leader.raft_call("GET", "capabilities").body == CAPABILITIES
        for path in ("restore", "leader/transfer"):
            answer = follower.raft_call("POST", path, {"target_id": leader.id})
            assert (answer.status, answer.body["leader"]) == (403, leader.address)


def speaks_http2(port: int) -> bool:
    with closing(socket.create_connection((HOST, port), 2)) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        return connection.recv(9)[3:4] == b"\4"  # a SETTINGS frame


@both_profiles
@pytest.mark.parametrize("clustered", [True, False])
def test_create_read_update_delete(form: Form, profile: str, clustered: bool) -> None:
    node = (
        form(profile, size=1, formed=False, **{"cluster.enabled": clustered})
        .nodes[0]
        .start(bootstrap=clustered)
        .up()
        .ready()
    )
    for table in ("nodes", "gpio", "clusters"):
        path = f"/api/v1/{table}"
        made = node.call("POST", path, {"name": "a", "pin": 9007199254740993, "id": 77, "deep": {"x": [1, None]}})
        assert made.status == 201
        assert (made.body["id"], made.body["name"], made.body["pin"], made.body["deep"]) == (
            1,
            "a",
            9007199254740993,
            {"x": [1, None]},
        )
        assert made.body["created_at"] == made.body["updated_at"]
        assert node.call("GET", f"{path}/1").body == made.body
        changed = node.call("PUT", f"{path}/1", {"name": "b"})
        assert (changed.status, changed.body["name"], changed.body["created_at"]) == (200, "b", made.body["created_at"])
        assert "pin" not in changed.body
        assert changed.body["updated_at"] > made.body["updated_at"]
        assert node.rows(table) == [changed.body]
        assert node.call("DELETE", f"{path}/1").status == 204
        for method in ("GET", "PUT", "DELETE"):
            assert node.call(method, f"{path}/1", {"name": "c"} if method == "PUT" else None).status == 404
        assert node.call("POST", path, {"name": "again"}).body["id"] == 2  # never an id twice
    assert node.call("POST", "/api/v1/nodes", b"nonsense").status == 400
    assert node.call("GET", "/api/v1/others").status == 404
    if not clustered:
        for path in ("status", "members", "leader", "health"):
            answer = node.raft_call("GET", path)
            assert (answer.status, answer.body) == (503, {"error": "Clustering not enabled"})


def test_bearer_token_and_tls(form: Form, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=pi",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    keys = {"auth.token": "right", "api.tls_cert": str(certificate), "api.tls_key": str(key)}
    node = form(size=1, formed=False, **keys).nodes[0].start(bootstrap=True)
    wait_for("ready over TLS without a token", lambda: node.call("GET", "/ready", tls=True).status == 200)
    for path in ("/api/v1/nodes", "/api/v1/raft/status"):
        assert [node.call("GET", path, tls=True, token=token).status for token in ("", "wrong", "right")] == [
            401,
            401,
            200,
        ]


def test_the_environment_overrides_the_file(form: Form) -> None:
    node = form("upstream", size=1, formed=False).nodes[0]
    node.keys = {"clustering.controller_id": "from-clustering", "cluster.enabled": False}
    node.env = {
        "PI_CONTROLLER_CLUSTER_ENABLED": "true",
        "PI_CONTROLLER_CLUSTER_BOOTSTRAP": "true",
        "PI_CONTROLLER_PROFILE": "full",
        "PI_CONTROLLER_CLUSTER_CONTROLLER_ID": "from-env",
        "PI_CONTROLLER_PORT": "tcp://10.96.0.7:8080",
    }
    node.start().up().ready()
    assert [member["ID"] for member in node.status()["members"]] == ["from-env"]
    assert node.raft_call("GET", "capabilities").status == 200
    node.terminate()
    text = json.loads((node.folder / "config.yaml").read_text())
    text["clustering"] = {**text.pop("cluster"), "enabled": True, "controller_id": "from-clustering"}
    (node.folder / "config.yaml").write_text(json.dumps(text))
    second = node.folder / "second"
    with subprocess.Popen(
        [node.binary, "--config", node.folder / "config.yaml"],
        stderr=subprocess.DEVNULL,
        env={"PI_CONTROLLER_APP_DATA_DIR": str(second), "PI_CONTROLLER_CLUSTER_BOOTSTRAP": "true"},
    ) as process:
        try:
            node.ready()
            assert [member["ID"] for member in node.status()["members"]] == ["from-clustering"]
            assert (second / "raft" / "raft-log.db").exists()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("keys", "reported"),
    [
        ({"cluster.bind_addr": "0.0.0.0:9091"}, "own IP"),
        ({"api.port": "none"}, "api.port"),
        ({"cluster.heartbeat_timeout": "1"}, "cluster.heartbeat_timeout"),
        ({"profile": "odd"}, "profile"),
    ],
)
def test_a_wrong_configuration_is_named(binary: Path, tmp_path: Path, keys: dict[str, str], reported: str) -> None:
    env = {"PI_CONTROLLER_" + key.upper().replace(".", "_"): value for key, value in keys.items()}
    config = tmp_path / "config.yaml"
    config.write_text(
        json.dumps({"cluster": {"enabled": True, "bind_addr": "127.0.0.1:1"}, "app": {"data_dir": str(tmp_path)}})
    )
    ended = subprocess.run(
        [binary, "--config", config], env=env, capture_output=True, text=True, timeout=10, check=False
    )
    assert ended.returncode == 1
    assert reported in ended.stderr


@both_profiles
def test_bootstrap_is_for_the_first_start_of_one_node(form: Form, profile: str) -> None:
    node = form(profile, size=1).nodes[0]
    assert node.create("kept").status == 201
    node.terminate()
    node.start(bootstrap=True)
    assert node.process
    assert node.process.wait(10) == 1
    assert "bootstrap only works on new clusters" in node.log
    node.start().up().ready()
    assert node.names() == {"kept"}


def test_a_node_never_joins_unasked(form: Form) -> None:
    cluster = form("upstream", size=2, formed=False)
    first, second = cluster.nodes
    second.keys = {"cluster.initial_peers": [first.address]}
    first.start(bootstrap=True).up().ready()
    second.start().up()
    assert second.call("GET", "/ready").status == 503
    answer = second.create("x")
    assert (answer.status, answer.body["leader"]) == (503, "")
    assert second.raft_call("GET", "health").status == 503
    assert first.status()["member_count"] == 1


# Nothing acknowledged is lost


@both_profiles
def test_a_killed_leader_loses_no_write(form: Form, profile: str) -> None:
    cluster = form(profile)
    with Writers(cluster) as writers:
        writers.some_more()
        for _ in range(2):
            leader = cluster.leader()
            before = leader.names()
            leader.kill()
            writers.some_more()
            leader.start().up()
            assert before <= leader.names()  # before it heard of a leader
            writers.some_more()
    rows = cluster.converged()
    names = [row["name"] for row in rows]
    assert writers.acknowledged <= set(names)
    assert len(names) == len(set(names))
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    for node in cluster.nodes:
        assert node.up().rows() == rows


@both_profiles
def test_a_leader_without_a_quorum_refuses(form: Form, profile: str) -> None:
    cluster = form(profile)
    leader, followers = cluster.leader(), cluster.followers()
    assert leader.create("before").status == 201
    for node in followers:
        node.signal(signal.SIGSTOP)
    try:
        unknown = leader.create("in-doubt")
        assert (unknown.status, unknown.body["error"]) == (503, "leadership lost while committing log")
        wait_for("no leader", lambda: not leader.status()["is_leader"])
        assert leader.create("refused").status == 503
        assert leader.raft_call("POST", "members", {"node_id": "x", "address": "127.0.0.1:1"}).status == 403
        assert leader.call("GET", "/ready").status == 503
        assert leader.names() == {"before"}
    finally:
        for node in followers:
            node.signal(signal.SIGCONT)
    wait_for("writes again", lambda: cluster.leader().create("after").status == 201)
    assert "refused" not in {row["name"] for row in cluster.converged()}


@both_profiles
def test_sigterm_ends_at_once_with_clients_connected(form: Form, profile: str) -> None:
    cluster = form(profile)
    leader = cluster.leader()
    assert leader.create("kept").status == 201
    idle = http.client.HTTPConnection(HOST, leader.rest)
    idle.request("GET", "/health")
    assert idle.getresponse().read()
    with (
        closing(idle),
        closing(socket.create_connection((HOST, leader.rest))),
        closing(socket.create_connection((HOST, leader.grpc))),
    ):
        assert leader.terminate() < 1
    leader.start().up().ready()
    assert {row["name"] for row in cluster.converged()} == {"kept"}


# Membership


def test_a_known_id_gets_a_new_address_and_a_removed_leader_runs_on(form: Form) -> None:
    cluster = form("upstream")
    leader, (one, other) = cluster.leader(), cluster.followers()
    assert leader.raft_call("POST", "members", {"node_id": one.id, "address": "127.0.0.1:9"}).status == 200
    assert [member["Address"] for member in leader.status()["members"] if member["ID"] == one.id] == ["127.0.0.1:9"]
    assert leader.raft_call("POST", "members", {"node_id": one.id, "address": one.address}).status == 200
    assert leader.raft_call("DELETE", f"members/{leader.id}").status == 200
    wait_for("another leader", lambda: one.status()["is_leader"] or other.status()["is_leader"])
    assert leader.process
    assert leader.process.poll() is None
    assert not leader.status()["is_leader"]
    assert {member["ID"] for member in one.status()["members"]} == {one.id, other.id}


@both_profiles
def test_learners(form: Form, profile: str) -> None:
    cluster = form(profile, size=2, formed=False)
    first, second = cluster.nodes
    first.start(bootstrap=True).up().ready()
    second.start().up()
    body = {"node_id": second.id, "address": second.address, "voter": False}

    def voter() -> bool:
        return bool([member["Voter"] for member in first.status()["members"] if member["ID"] == second.id][0])

    assert first.raft_call("POST", "members", body).status == 200
    assert voter() is (profile == "upstream")  # which does not know the field
    assert first.create("x").status == 201
    wait_for("the learner has the row", lambda: second.names() == {"x"})
    assert first.raft_call("POST", "members", {**body, "voter": True}).status == 200
    assert voter() is True


def test_leadership_is_handed_over_without_a_failed_acknowledgement(form: Form) -> None:
    cluster = form()
    with Writers(cluster) as writers:
        for _ in range(3):
            writers.some_more()
            leader, follower = cluster.leader(), cluster.followers()[0]
            answer = leader.raft_call("POST", "leader/transfer", {"target_id": follower.id})
            assert answer.status == 200, answer
            assert follower.status()["is_leader"]
            assert leader.raft_call("GET", "leader").body == {"leader": follower.address, "is_leader": False}
    assert writers.acknowledged <= {row["name"] for row in cluster.converged()}
    assert cluster.leader().raft_call("POST", "leader/transfer", {"target_id": "nobody"}).status == 400


def hand_over(leader: Node, target: Node) -> None:
    """An election may be lost, on a busy machine also to time; whoever wants it asks again."""

    def led_by_target() -> bool:
        return (
            leader.raft_call("POST", "leader/transfer", {"target_id": target.id}).status == 200
            or target.status()["is_leader"]
        )

    wait_for(f"{target.id} leads", led_by_target)


def test_the_running_leader_uses_a_voters_new_address(form: Form) -> None:
    """As HashiCorp Raft does from 1.2 on; older ones went on sending to the old address until leadership changed."""
    cluster = form()
    leader, (moved, _other) = cluster.leader(), cluster.followers()
    moved.terminate()
    moved.raft = free_ports(1)[0]
    moved.start().up()
    assert leader.raft_call("POST", "members", {"node_id": moved.id, "address": moved.address}).status == 200
    assert leader.create("at-the-new-address").status == 201
    wait_for("the moved voter has it", lambda: "at-the-new-address" in moved.names())
    assert cluster.leader().id == leader.id


# Read-only, snapshot, restore, recovery


def test_read_only_waits_for_writes_in_flight_and_survives_a_restart(form: Form) -> None:
    cluster = form(**{"cluster.heartbeat_timeout": "1500ms", "cluster.election_timeout": "1500ms"})
    leader, followers = cluster.leader(), cluster.followers()
    done: dict[str, tuple[float, int]] = {}

    def run(what: str, *request: object) -> threading.Thread:
        def call() -> None:
            status = leader.call(*request).status  # type: ignore[arg-type]
            done[what] = (time.monotonic(), status)

        thread = threading.Thread(target=call)
        thread.start()
        return thread

    for node in followers:
        node.signal(signal.SIGSTOP)
    last = leader.status()["raft_stats"]["last_log_index"]
    threads = [run("write", "POST", "/api/v1/nodes", {"name": "in-flight"})]
    wait_for("the write is in the leader's log", lambda: leader.status()["raft_stats"]["last_log_index"] != last)
    threads.append(run("fence", "PUT", "/api/v1/raft/read-only", {"enabled": True}))
    threads[1].join(0.3)
    assert done == {}  # neither can be done before a follower has answered
    for node in followers:
        node.signal(signal.SIGCONT)
    for thread in threads:
        thread.join()
    assert [done["write"][1], done["fence"][1]] == [201, 200]
    for _ in range(2):
        assert leader.raft_call("GET", "read-only").body == {"enabled": True}
        answer = leader.create("refused")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert leader.names() == {"in-flight"}
        leader.kill()
        leader.start().up()
    assert leader.raft_call("PUT", "read-only", {"enabled": False}).body == {"enabled": False}
    assert not (leader.raft_dir / "read-only").exists()
    assert leader.raft_call("PUT", "read-only", {}).status == 400


def test_nothing_is_written_after_the_fence_under_load(form: Form) -> None:
    cluster = form()
    leader = cluster.leader()
    with Writers(cluster, number=6) as writers:
        writers.some_more(50)
        assert leader.raft_call("PUT", "read-only", {"enabled": True}).status == 200
        rows = leader.rows()
        refused = writers.refused.count(503)
        wait_for("refused writes", lambda: writers.refused.count(503) > refused + 20)
    assert leader.rows() == rows
    assert writers.acknowledged == {row["name"] for row in rows}


def crc64(data: bytes) -> bytes:
    """ECMA, as Go's hash/crc64."""
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0xC96C5795D7870F42 if number & 1 else 0)
        table.append(number)
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return (crc ^ 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")


def test_a_snapshot_is_a_sound_database_with_its_checksum(form: Form) -> None:
    cluster = form()
    for node in (cluster.leader(), cluster.followers()[0]):
        cluster.leader().create(f"for-{node.id}")
        rows = cluster.converged()
        answer = node.raft_call("POST", "snapshot")
        assert answer.status == 200, answer
        taken = answer.body
        folder = Path(taken["path"])
        assert (folder.parent, folder.name) == (node.raft_dir / "snapshots", taken["id"])
        assert (folder / "state.bin").stat().st_size == taken["size"]
        meta = json.loads((folder / "meta.json").read_text())
        assert (meta["ID"], meta["Index"], meta["Term"], meta["Size"]) == tuple(
            taken[key] for key in ("id", "index", "term", "size")
        )
        assert base64.b64decode(meta["CRC"]) == crc64((folder / "state.bin").read_bytes())
        assert database_names(folder / "state.bin") == {row["name"] for row in rows}
        assert not list(node.raft_dir.glob("state-*"))


def test_a_snapshot_right_after_a_change_of_leader_or_membership(form: Form) -> None:
    """Raft 1.1.2 refuses it where the state machine is not shown such entries."""
    cluster = form(size=2)
    leader, follower = cluster.nodes
    assert leader.raft_call("POST", "snapshot").status == 200
    assert leader.raft_call("POST", "members", {"node_id": follower.id, "address": follower.address}).status == 200
    assert leader.raft_call("POST", "snapshot").status == 200
    hand_over(leader, follower)
    assert follower.raft_call("POST", "snapshot").status == 200


def database_names(path: Path) -> set[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {name for (name,) in database.execute("SELECT name FROM nodes")}


def seed(path: Path, rows: int = 40) -> Path:
    """A database of another history: ids up to `rows`, and an applied index far beyond this log's."""
    with closing(sqlite3.connect(path)) as database:
        for table in ("nodes", "gpio", "clusters"):
            database.execute(
                f"CREATE TABLE {table} (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, data TEXT, created_at TEXT, updated_at TEXT)"
            )
        database.execute("CREATE TABLE raft_applied (incarnation TEXT, idx INTEGER)")
        database.execute("INSERT INTO raft_applied VALUES ('another', 1000000)")
        database.executemany(
            "INSERT INTO nodes (name, data, created_at, updated_at) VALUES (?, ?, 'then', 'then')",
            [(f"seed-{number}", json.dumps({"x": "y" * 2000})) for number in range(rows)],
        )
        database.commit()
    return path


def test_restore_replaces_the_content_everywhere(form: Form, tmp_path: Path) -> None:
    cluster = form()
    leader = cluster.leader()
    for number in range(5):
        assert leader.create(f"gone-{number}").status == 201
    for body in (b"", b"this is no database" * 100):
        assert leader.raft_call("POST", "restore", body).status == 400
    state = seed(tmp_path / "state.db").read_bytes()
    assert leader.raft_call("POST", "restore", state).status == 200
    wanted = {f"seed-{number}" for number in range(40)}
    assert leader.names() == wanted
    assert leader.create("after").body["id"] == 41
    assert {row["name"] for row in cluster.converged()} == wanted | {"after"}
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    for node in cluster.nodes:
        assert node.up().ready().names() == wanted | {"after"}
    assert cluster.leader().create("later").status == 201
    assert {row["name"] for row in cluster.converged()} == wanted | {"after", "later"}


@both_profiles
def test_a_live_backup_into_the_database_is_seen_and_survives(form: Form, tmp_path: Path, profile: str) -> None:
    cluster = form(profile)
    for number in range(3):
        assert cluster.leader().create(f"old-{number}").status == 201
    cluster.converged()
    source = seed(tmp_path / "seed.db")
    wanted = {f"seed-{number}" for number in range(40)}
    leader = cluster.leader()
    old, failed, stop = leader.names(), [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = leader.names()
            if found not in (old, wanted):
                failed.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for node in cluster.nodes:
            with (
                closing(sqlite3.connect(source)) as origin,
                closing(sqlite3.connect(node.database, timeout=10)) as target,
            ):
                origin.backup(target, pages=1, sleep=0.001)  # in many steps, so that readers meet it half-way
            assert node.names() == wanted
    finally:
        stop.set()
        reader.join()
    assert failed == []
    made = leader.create("after")
    assert (made.status, made.body["id"]) == (201, 41)
    assert leader.call("PUT", "/api/v1/nodes/1", {"name": "changed"}).status == 200
    wanted = wanted - {"seed-0"} | {"changed", "after"}
    assert {row["name"] for row in cluster.converged()} == wanted
    for node in cluster.nodes:
        node.kill()
        node.start().up().ready()
        assert node.names() == wanted
    assert cluster.leader().create("later").status == 201
    assert {row["name"] for row in cluster.converged()} == wanted | {"later"}


@both_profiles
def test_a_member_without_a_log_rejoins_on_the_leaders_database(form: Form, profile: str) -> None:
    cluster = form(profile)
    leader, member = cluster.leader(), cluster.followers()[0]
    for number in range(6):
        assert leader.create(f"row-{number}").status == 201
    assert leader.call("DELETE", "/api/v1/nodes/2").status == 204
    assert leader.call("PUT", "/api/v1/nodes/3", {"name": "changed"}).status == 200
    assert leader.raft_call("DELETE", f"members/{member.id}").status == 200
    member.terminate()
    shutil.rmtree(member.raft_dir)
    member.database.unlink()
    with closing(sqlite3.connect(leader.database)) as origin, closing(sqlite3.connect(member.database)) as target:
        origin.backup(target)
    member.start().up()
    assert leader.raft_call("POST", "members", {"node_id": member.id, "address": member.address}).status == 200
    assert leader.create("after").status == 201
    wait_for("the row after", lambda: "after" in member.names())
    assert cluster.converged() == member.rows()
    assert [row["id"] for row in member.rows()] == [1, 3, 4, 5, 6, 7]


@both_profiles
def test_recovery_with_peers_json(form: Form, profile: str) -> None:
    old = form()
    for number in range(3):  # a snapshot of a term above 1, as clusters have
        leader, follower = old.leader(), old.followers()[0]
        assert leader.create(f"row-{number}").status == 201
        hand_over(leader, follower)
    wanted = old.converged()
    snapshot = old.leader().raft_call("POST", "snapshot").body
    new = form(profile, formed=False)
    peers = [{"id": node.id, "address": node.address, "non_voter": False} for node in new.nodes]
    for node in new.nodes:
        shutil.copytree(snapshot["path"], node.raft_dir / "snapshots" / snapshot["id"])
        (node.raft_dir / "peers.json").write_text(json.dumps(peers))
        node.start()
    if profile == "upstream":
        # It reads no peers.json: its members are those of the snapshot, which is why such a copy must never be started.
        for node in new.nodes:
            assert {member["Address"] for member in node.up().status()["members"]} == {
                node.address for node in old.nodes
            }
            assert (node.raft_dir / "peers.json").exists()
        return
    for node in new.nodes:
        node.up().ready()
        assert node.rows() == wanted
        assert not (node.raft_dir / "peers.json").exists()
        assert {member["Address"] for member in node.status()["members"]} == {node.address for node in new.nodes}
    assert int(new.leader().status()["raft_stats"]["term"]) > snapshot["term"]
    assert new.leader().create("after").body["id"] == 4
    assert len(new.converged()) == 4
    assert old.converged() == wanted


# Hardware


def test_hardware_has_one_owner(form: Form, tmp_path: Path) -> None:
    device = tmp_path / "gpiochip0"
    device.touch()
    keys = {"gpio.enabled": True, "gpio.device": str(device)}
    first, second = form(size=1, formed=False, **keys).nodes + form(size=1, formed=False, **keys).nodes
    first.start(bootstrap=True).up()
    second.start(bootstrap=True)
    assert second.process
    assert second.process.wait(10) == 1
    assert f"gpio: {device} is in use by another process" in second.log
    second.keys["gpio.mock_mode"] = True
    second.start(bootstrap=True).up()
    second.terminate()
    second.keys["gpio.mock_mode"] = False
    first.kill()
    second.start().up()


def test_a_taken_port_ends_the_start_before_raft(form: Form) -> None:
    first, second = form(size=1, formed=False).nodes + form(size=1, formed=False).nodes
    first.start(bootstrap=True).up()
    second.keys["websocket.port"] = first.websocket
    second.start(bootstrap=True)
    assert second.process
    assert second.process.wait(10) == 1
    assert "websocket: listen tcp" in second.log
    assert not second.raft_dir.exists()
