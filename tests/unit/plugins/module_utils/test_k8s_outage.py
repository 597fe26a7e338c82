# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API server that cannot be reached: real sockets and the real Kubernetes client, with nothing of ours in
between.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import import_plugin

api = import_plugin("module_utils._kube.api")
outage = import_plugin("module_utils._kube.outage")
processes = import_plugin("module_utils._core.processes")

# Seconds after which Linux gives up a connection that nothing answers (net.ipv4.tcp_syn_retries).
SYSTEM_GIVES_UP = 127
READ_SERVICE = {"namespace": "pi-controller", "service": "pi-controller", "daemonset": "pi-controller"}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "READ_PATIENCE", 0.6)
    monkeypatch.setattr(api, "CONNECT_TIMEOUT", 0.3)


@pytest.fixture
def in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if an ansible-playbook were above; gives the folder of its memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(outage, "playbook_run", lambda: processes.identify(os.getpid()))
    return tmp_path / "cache/pi-controller-migration"


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """A port that is bound and on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port whose queue of connections is full, as with a host that is off: no answer at all."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _attempt in range(2):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def answering(status: int = 200, port: int = 0) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            found = self.path == "/version"
            body = json.dumps({"gitVersion": "v1.35.0", "message": "no rights"} if found else {"message": "not found"})
            self.send_response(status if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def ask(run_module, port: int, **options: object) -> tuple[dict, float]:
    began = time.monotonic()
    result = run_module(
        "preflight_kubernetes", {"host": f"http://127.0.0.1:{port}", "api_key": "key", **READ_SERVICE, **options}
    )
    return result, time.monotonic() - began


@pytest.mark.parametrize(("away", "why"), [(refusing, "connection refused"), (silent, "no answer in time")])
def test_k11_an_unreachable_api_is_one_plain_sentence(run_module, away, why):
    with away() as port:
        result, seconds = ask(run_module, port)

    assert result["failed"]
    sentence, _next, remedy = result["msg"].partition(". Next: ")
    assert sentence.startswith(f"the Kubernetes API at http://127.0.0.1:{port} is unreachable ({why})")
    assert not any(
        words in result["msg"]
        for words in ("<class", "urllib3", "HTTPConnection", "object at 0x", "Max retries", "Errno", "\n")
    )
    assert "systemctl start k3s" in remedy
    assert seconds < SYSTEM_GIVES_UP / 4


def test_k11_the_second_call_of_a_run_does_not_wait_again(run_module, in_a_run, monkeypatch):
    monkeypatch.setattr(api, "READ_PATIENCE", 3.0)
    with refusing() as port:
        first, waited = ask(run_module, port)
        second, again = ask(run_module, port)

    assert first["failed"]
    assert second["failed"]
    assert again < waited / 2
    (memory,) = in_a_run.iterdir()
    assert (in_a_run.stat().st_mode & 0o777, memory.stat().st_mode & 0o777) == (0o700, 0o600)


def test_k11_an_api_that_is_back_gets_the_whole_patience(run_module, in_a_run):
    with refusing() as port:
        ask(run_module, port)
    with answering(port=port):
        back, _seconds = ask(run_module, port)
    assert not back.get("failed")
    assert list(in_a_run.iterdir()) == []
    with refusing() as other:
        _result, waited = ask(run_module, other)
    assert waited > 0.5


def test_k11_the_memory_of_another_run_does_not_count(run_module, in_a_run):
    with refusing() as port:
        ask(run_module, port)
        (memory,) = in_a_run.iterdir()
        memory.write_text(
            json.dumps({"run": {"pid": os.getpid(), "started": "of another process"}, "since": time.time() - 5})
        )
        _result, waited = ask(run_module, port)

    assert waited > 0.5


def test_k11_how_long_it_is_away_is_counted_from_the_first_failure(in_a_run):
    memory = outage.OutageMemory.of_this_run()
    memory.remember(time.time() - 75)

    with pytest.raises(api.Unreachable, match=r"unreachable \(connection refused\), for 7\d s now"), refusing() as port:
        api.Patience(memory).take(
            lambda: (nothing for nothing in ()).throw(api.Unreachable("connection refused", f"x:{port}")), api._is_away
        )


def test_k11_an_api_that_comes_back_in_time_is_no_failure(run_module):
    with refusing() as port:
        pass
    with contextlib.ExitStack() as stack:
        timer = threading.Timer(0.3, lambda: stack.enter_context(answering(port=port)))
        timer.start()
        result, _seconds = ask(run_module, port)
        timer.join()

    assert not result.get("failed"), result


def test_k11_rights_that_are_missing_are_not_waited_for(run_module, monkeypatch):
    monkeypatch.setattr(api, "READ_PATIENCE", 60.0)
    with answering(403) as port:
        result, seconds = ask(run_module, port)

    assert "403: no rights" in result["msg"]
    assert seconds < api.READ_PATIENCE / 2


def test_k11_a_certificate_that_is_not_trusted_is_named():
    text = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1032)"
    error = api.Unreachable.from_error(OSError(text))

    assert not isinstance(error, api.Unreachable)
    assert str(error).endswith("shows a certificate that is not trusted here: unable to get local issuer certificate")
