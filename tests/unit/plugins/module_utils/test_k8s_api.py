# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import import_plugin
from fake_kube import api_error
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ProtocolError

k8s_api = import_plugin("module_utils._kube.api")


class Scripted:
    """A client that gives one answer after the other, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def request(self, method, path, **params):
        self.asked.append((method, path, params))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(data=json.dumps(answer).encode())


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(k8s_api, "READ_PATIENCE", 2.0)


def test_paths():
    assert k8s_api.core("ns", "pods") == "/api/v1/namespaces/ns/pods"
    assert k8s_api.core("ns", "services", "s") == "/api/v1/namespaces/ns/services/s"
    assert k8s_api.apps("ns", "daemonsets", "d") == "/apis/apps/v1/namespaces/ns/daemonsets/d"
    assert k8s_api.selector_text({"b": "2", "a": "1"}) == "a=1,b=2"


def test_a_missing_object_is_none_and_not_asked_for_again():
    client = Scripted(api_error(404, "NotFound", "no such"))

    assert k8s_api.KubeApi(client).read("/p") is None
    assert len(client.asked) == 1


@pytest.mark.parametrize(
    "away",
    [ConnectTimeoutError("away"), ConnectionRefusedError("away"), api_error(503, "ServiceUnavailable", "starting")],
)
def test_a_look_waits_for_an_api_server_that_restarts(away):
    client = Scripted(away, {"items": [{"a": 1}]})

    assert k8s_api.KubeApi(client).items("/p", labels="a=b", fields="c=d") == [{"a": 1}]
    assert client.asked[1][2]["label_selector"] == "a=b"
    assert client.asked[1][2]["field_selector"] == "c=d"


def test_a_read_does_not_wait_forever(monkeypatch):
    monkeypatch.setattr(k8s_api, "READ_PATIENCE", 0)

    with pytest.raises(k8s_api.KubeError, match=r"the Kubernetes API is unreachable \(away\)") as failed:
        k8s_api.KubeApi(Scripted(OSError("away"))).read("/p")

    assert "kubeconfig" in failed.value.failure["next_step"]
    assert failed.value.failure["url"] == "/p"


def test_a_forbidden_read_fails_with_the_apis_message():
    client = Scripted(api_error(403, "Forbidden", 'pods is forbidden: User "x" cannot list'))

    with pytest.raises(k8s_api.KubeError, match='GET /p was answered 403: pods is forbidden: User "x"') as failed:
        k8s_api.KubeApi(client).read("/p")

    assert failed.value.status == 403
    assert failed.value.failure["next_step"].startswith("use a `kubeconfig`")


# No pool is needed to say that none could be reached.
POOL: Any = None


@pytest.mark.parametrize("write", ["create", "replace", "delete"])
@pytest.mark.parametrize(
    "away",
    [
        MaxRetryError(POOL, "/p", NewConnectionError(POOL, "refused")),
        ConnectionRefusedError("refused"),
        ConnectTimeoutError("away"),
    ],
)
def test_an_unsent_write_waits_for_a_restarting_api_server(write, away):
    client = Scripted(away, {})

    getattr(k8s_api.KubeApi(client), write)("/p", "uid-1" if write == "delete" else {})

    assert len(client.asked) == 2


@pytest.mark.parametrize("write", ["create", "replace"])
@pytest.mark.parametrize(
    "cut_off", [OSError("away"), ProtocolError("cut off"), api_error(503, "ServiceUnavailable", "starting")]
)
def test_a_write_that_may_have_arrived_is_never_repeated(write, cut_off):
    client = Scripted(cut_off, {})

    with pytest.raises(k8s_api.KubeError):
        getattr(k8s_api.KubeApi(client), write)("/p", {})

    assert len(client.asked) == 1


@pytest.mark.parametrize("write", ["create", "replace", "delete"])
@pytest.mark.parametrize(
    "starting",
    [
        api_error(503, "ServiceUnavailable", "apiserver not ready"),
        api_error(429, "TooManyRequests", "too many requests"),
    ],
)
def test_a_write_that_was_not_taken_is_repeated(write, starting):
    """K3s answers so itself until its API server is there, after a time without any answer."""
    client = Scripted(ConnectionRefusedError("refused"), starting, {})
    getattr(k8s_api.KubeApi(client), write)("/p", "uid-1" if write == "delete" else {})
    assert len(client.asked) == 3


def test_an_error_that_is_no_json_is_shown_as_it_is():
    error = api_error(502, "Bad Gateway", "")
    error.body = "<html>"

    with pytest.raises(k8s_api.KubeError, match="answered 502: Bad Gateway"):
        k8s_api.KubeApi(Scripted(error)).create("/p", {})


@pytest.mark.parametrize(("status", "reason"), [(404, "NotFound"), (409, "Conflict")])
def test_only_the_very_object_that_was_looked_at_is_deleted(status, reason):
    client = Scripted({}, api_error(status, reason, "gone"))
    api = k8s_api.KubeApi(client)

    assert (api.delete("/p", "uid-1"), api.delete("/p", "uid-1")) == (True, False)
    assert client.asked[0][2]["body"]["preconditions"] == {"uid": "uid-1"}


def test_a_delete_that_is_forbidden_is_an_error():
    with pytest.raises(k8s_api.KubeError, match="403"):
        k8s_api.KubeApi(Scripted(api_error(403, "Forbidden", "no"))).delete("/p", "uid-1")
