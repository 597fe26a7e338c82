# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The REST client against a daemon that means harm: bounded in time and size, and every answer checked."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.failures import MigrationError
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.listening import refusal
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.pi_controller.answers import (
    MAX_MEMBERS,
)
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._daemon.pi_controller.client import (
    PiController,
)
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._raft import cluster as cluster_file
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._raft.cluster import look_at
from hostile import HostileDaemon, Script, drip, echo_token, fixed, forever, http, saying, took

TIMEOUT = 0.4
SLOWLY = 20 * TIMEOUT  # a busy machine; each of these daemons has something to send for much longer
MEMBER = {"ID": "n1", "Address": "127.0.0.1:9091", "Voter": True}
GOOD = {
    "state": "Leader",
    "leader": "127.0.0.1:9091",
    "is_leader": True,
    "members": [MEMBER],
    "raft_stats": {"term": "3"},
}
# Visible ASCII that means something to JSON, URLs, regular expressions, YAML, Jinja or base64.
AWKWARD = [
    "pl4nted\"quote'",
    "pl4nted%0a%s%20",
    "cGw0bnRlZA==",
    "pl4nted\\u0041{{x}}",
    "pl4nted&<b>$HOME",
    "(pl4nted+)[a-z]*",
]
UNSENDABLE = [
    "pl4nted\nX-More: yes",
    "pl4nted\r\n\r\n.",
    "pl4ntéd-secret",
    "pl4nted\x00secret",
    "pl4nted secret",
    "pl4nted\u20acsecret",
]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(drip(http(200, json.dumps(GOOD).encode() * 20)), id="drips_bytes"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 5000), id="drips_a_header"),
        pytest.param(forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01), id="repeats_100_continue"),
        pytest.param(
            forever(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.01), id="drips_chunks"
        ),
        pytest.param(forever(b"", b"", 0.1), id="says_nothing"),
    ],
)
def test_h2_a_call_ends_at_its_deadline(script: Script):
    with HostileDaemon(script) as daemon:
        began = time.monotonic()
        with pytest.raises(MigrationError, match="did not answer GET .*within 0.4 s"):
            PiController(daemon.url, timeout=TIMEOUT).status()
        assert took(began) < SLOWLY


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(forever(b"HTTP/1.1 200 OK\r\nContent-Length: 41943040\r\n\r\n", b" " * 65536), id="40_mib"),
        pytest.param(forever(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536), id="without_a_length"),
        pytest.param(forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), id="continue_flood"),
        pytest.param(
            forever(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
            id="chunks",
        ),
    ],
)
def test_h2_an_answer_is_read_up_to_a_limit(script: Script):
    with HostileDaemon(script) as daemon, pytest.raises(MigrationError, match="larger than 1048576 bytes"):
        PiController(daemon.url, timeout=20).status()


@pytest.mark.parametrize("pace", [0.0, 0.05])
def test_h2_a_body_is_sent_within_the_deadline(tmp_path: Path, pace: float):
    (tmp_path / "state.bin").write_bytes(bytes(64 << 20))
    over = threading.Event()

    def read_slowly() -> None:
        sock, _peer = listener.accept()
        with sock:
            while pace and not over.wait(pace):
                sock.recv(1 << 18)
            over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader = threading.Thread(target=read_slowly)
        reader.start()
        began = time.monotonic()
        try:
            with pytest.raises(MigrationError, match="did not answer POST"):
                PiController(f"http://127.0.0.1:{listener.getsockname()[1]}").restore(
                    tmp_path / "state.bin", timeout=TIMEOUT
                )
            assert took(began) < SLOWLY
        finally:
            over.set()
            reader.join()


def test_h2_a_tls_handshake_ends_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with pytest.raises(MigrationError, match="did not answer"):
            PiController(f"https://127.0.0.1:{listener.getsockname()[1]}", timeout=TIMEOUT).status()
        assert took(began) < SLOWLY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_h2_a_redirect_is_not_followed_with_a_token(status: int):
    with HostileDaemon(saying(GOOD)) as thief:
        with HostileDaemon(fixed(http(status, b"", b"Location: " + thief.url.encode()))) as daemon:
            with pytest.raises(MigrationError, match="redirects are not followed"):
                PiController(daemon.url, token=AWKWARD[0]).status()
            assert len(daemon.requests) == 1
        assert thief.requests == []


@pytest.mark.parametrize("token", AWKWARD)
def test_h3_a_token_that_comes_back_is_not_shown(token: str):
    with HostileDaemon(echo_token) as daemon:
        with pytest.raises(MigrationError) as refused:
            PiController(daemon.url, token=token).status()
        assert f"Bearer {token}".encode() in daemon.requests[0]
    assert token not in str(refused.value) + json.dumps(refused.value.failure, ensure_ascii=False)
    assert "pl4nted" not in str(refused.value) + repr(refused.value.failure)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n"])
def test_a3_a_newline_at_the_end_of_a_token_is_stripped(ending: str):
    with HostileDaemon(saying(GOOD)) as daemon:
        assert PiController(daemon.url, token="pl4nted" + ending).status().is_leader
        assert b"Authorization: Bearer pl4nted\r\n" in daemon.requests[0] + b"\r\n"


@pytest.mark.parametrize("token", UNSENDABLE)
def test_a3_a_token_that_cannot_be_sent_is_refused_and_not_shown(token: str):
    with pytest.raises(MigrationError, match="visible ASCII") as refused:
        PiController("http://127.0.0.1:1", token=token)
    assert "pl4nt" not in str(refused.value) + repr(refused.value.failure)
    assert refused.value.__cause__ is None


def test_h3_a_password_in_a_url_is_not_shown():
    with pytest.raises(MigrationError, match="names a user") as refused:
        PiController("http://user:pl4nted@127.0.0.1:1")
    assert "pl4nted" not in str(refused.value) + repr(refused.value.failure)


@pytest.mark.parametrize(
    "url", ["http://[fd00::11:8080", "http://10.77.0.11:rest", "http://10.77.0.11:99999", "10.77.0.11:8080", ""]
)
def test_a_url_that_is_none_is_refused_by_its_name(url: str):
    with pytest.raises(MigrationError, match=r"is not the base URL of a daemon|^'' is not"):
        PiController(url)


def test_h3_a_password_in_a_url_that_is_none_is_not_shown():
    with pytest.raises(MigrationError, match="names a user") as refused:
        PiController("http://user:pl4nted@[fd00::11:8080")
    assert "pl4nted" not in str(refused.value) + repr(refused.value.failure)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:raft", "a..b:80", "127.0.0.1:99999", ""])
def test_at_an_address_that_is_none_nothing_listens(address: str):
    assert isinstance(refusal(address), OSError)


MALFORMED: dict[str, object] = {
    "nested": b"[" * 200_000,
    "nested_in_members": b'{"members": ' + b"[" * 200_000,
    "members_of_numbers": {"members": [1]},
    "members_is_text": {"members": "n1"},
    "members_is_an_object": {"members": {"ID": "n1"}},
    "member_without_id": {"members": [{"Address": "127.0.0.1:9091"}]},
    "id_is_a_list": {"members": [{**MEMBER, "ID": ["n1"]}]},
    "id_clears_the_screen": {"members": [{**MEMBER, "ID": "\x1b[2J"}]},
    "id_is_long": {"members": [{**MEMBER, "ID": "n" * 10_000}]},
    "id_is_a_surrogate": b'{"members": [{"ID": "\\ud800", "Address": "127.0.0.1:9091"}]}',
    "address_with_a_newline": {"members": [{**MEMBER, "Address": "127.0.0.1:9091\nfinished"}]},
    "vote_is_a_word": {"members": [{**MEMBER, "Voter": "false"}]},
    "two_of_one_id": {"members": [MEMBER, MEMBER]},
    "invented_members": {"members": [{**MEMBER, "ID": f"n{n}", "Address": f"h{n}.invalid:1"} for n in range(1000)]},
    "leader_is_a_number": {**GOOD, "leader": 7},
    "is_leader_is_a_word": {**GOOD, "is_leader": "false"},
    "stats_is_a_list": {**GOOD, "raft_stats": [1]},
    "a_list": [],
    "null": None,
    "infinity": b'{"raft_stats": {"term": Infinity}}',
    "float_overflow": b'{"raft_stats": {"term": 1e999}}',
    "a_million_digits": b'{"raft_stats": {"term": ' + b"9" * 1_000_000 + b"}}",
    "no_utf8": b'{"state": "\xff\xfe"',
    "html": b"<html>",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
def test_m7_one_malformed_answer_leaves_that_member_unreadable(answer, monkeypatch):
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        looked_up.append(host)
        return real(host, *args, **kwargs)

    monkeypatch.setattr(cluster_file.socket, "getaddrinfo", getaddrinfo)
    with HostileDaemon(saying(GOOD)) as good, HostileDaemon(saying(answer)) as bad:
        view = look_at([PiController(good.url), PiController(bad.url)])
    assert view.leader is not None
    assert view.leader.client is not None
    assert view.leader.client.url == good.url
    assert [found["url"] for found in view.unanswered] == [bad.url]
    assert "readable" in view.unanswered[0]["error"]
    assert len(view.unanswered[0]["error"]) < 500
    assert len(looked_up) < 20


def test_m7_look_ups_of_invented_names_have_a_budget_of_time(monkeypatch):
    now, asked = [0.0], []

    def slow(host, *_args, **_kwargs):
        asked.append(host)
        now[0] += 2.0
        raise OSError("no such name")

    monkeypatch.setattr(cluster_file.socket, "getaddrinfo", slow)
    resolve = cluster_file.Resolver(lambda: now[0])
    for number in range(MAX_MEMBERS):
        assert resolve(f"h{number}.invalid") == frozenset()
    assert len(asked) == 3
    assert resolve("h0.invalid") == frozenset()
    assert len(asked) == 3, "a name is looked up once"
    now[0] += 61
    resolve("h9.invalid")
    assert asked[3:] == ["h9.invalid"], "the budget comes back"


@pytest.mark.parametrize("host", ["a..b", "." * 70, "x" * 70 + ".invalid", "*", "%"])
def test_m7_what_cannot_be_a_name_has_no_address(host):
    assert cluster_file.Resolver()(host) == frozenset()


def test_m7_members_up_to_the_limit_are_read():
    members = [{"ID": f"n{n}", "Address": f"10.0.0.{n}:9091"} for n in range(MAX_MEMBERS)]
    with HostileDaemon(saying({**GOOD, "members": members})) as daemon:
        assert len(PiController(daemon.url).status().members) == MAX_MEMBERS


def test_m7_a_number_that_makes_no_sense_is_not_sent():
    stats = {
        "term": "9" * 5000,
        "commit_index": -1,
        "applied_index": True,
        "last_log_index": "٣",
        "last_contact": "9" * 400,
    }
    with HostileDaemon(saying({**GOOD, "raft_stats": stats})) as daemon:
        status = PiController(daemon.url).status()
    assert (status.term, status.commit_index, status.applied_index, status.last_index, status.last_contact) == (
        None,
    ) * 5


@pytest.mark.parametrize("name", ["../../etc", "..", "", "a/b", "a\x00b", 7, None, "x" * 300])
def test_m7_a_snapshot_has_a_plain_name(name):
    with HostileDaemon(saying({"id": name, "path": "/x"})) as daemon, pytest.raises(MigrationError, match="unreadable"):
        PiController(daemon.url).snapshot()


@pytest.mark.parametrize("enabled", ["false", 0, 1, None, [], {}])
def test_m7_only_a_boolean_says_whether_writes_are_fenced(enabled):
    with HostileDaemon(saying({"enabled": enabled})) as daemon, pytest.raises(MigrationError, match="unreadable"):
        PiController(daemon.url).read_only()


def test_m4_a_refusal_cannot_clear_the_screen_or_forge_a_line():
    words = "\x1b[2J\x1b]52;c;cm0gLXJm\x07\nMigration finished\u202e\ud800"
    with HostileDaemon(saying({"error": words}, 500)) as daemon, pytest.raises(MigrationError) as refused:
        PiController(daemon.url).status()
    shown = str(refused.value)
    assert shown.isprintable()
    assert "\\x1b[2J" in shown
    assert "\\nMigration finished\\u202e\\ud800" in shown
    refused.value.full_message.encode()
    json.dumps(refused.value.failure, ensure_ascii=False).encode()
