# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes API in memory behind HTTP, for modules that run as processes of their own with the real client."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from fake_kube import FakeKube
from kubernetes.client.exceptions import ApiException

QUERY = {"dryRun": "dry_run", "labelSelector": "label_selector", "fieldSelector": "field_selector"}


@contextlib.contextmanager
def served(kube: FakeKube) -> Iterator[int]:
    """`kube` behind HTTP; gives the port."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            params = {QUERY[key]: value for key, (value, *_more) in parse_qs(parts.query).items()}
            try:
                with lock:
                    status, text = 200, kube.request(self.command.lower(), parts.path, body, **params).data
            except ApiException as error:
                status, text = error.status, error.body.encode() if isinstance(error.body, str) else error.body
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = do_DELETE = _do  # noqa: N815

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
