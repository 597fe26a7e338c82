# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Chromium without a window, spoken to over two pipes: no driver, no port, no library."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")
TIMEOUT = 60.0


class BrowserError(Exception):
    """What the browser refused or did not answer."""


class Page:
    """One page. Every message of its console and every request it makes is kept."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True}, session=None)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, path: Path, width: int, height: int = 900, scheme: str = "light", media: str = "") -> None:
        self._events.clear()
        self._call(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", {"media": media, "features": features})
        self._call("Page.navigate", {"url": path.as_uri()})
        self._await("Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        answer = self._call("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(
            base64.b64decode(self._call("Page.captureScreenshot", {"captureBeyondViewport": True})["data"])
        )

    def printed(self) -> bytes:
        return base64.b64decode(
            self._call("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})["data"]
        )

    @property
    def complaints(self) -> list[str]:
        """Whatever the console has to say, exceptions, and log entries."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"])[:500] for event in self._events if event["method"] in kinds]

    @property
    def requests(self) -> list[str]:
        return [
            event["params"]["request"]["url"]
            for event in self._events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def _call(self, method: str, params: dict[str, Any] | None = None, session: str | None = "") -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session or self._session
        self._write(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]

    def _write(self, data: bytes) -> None:
        """A pipe takes a long message in parts."""
        while data:
            data = data[os.write(self._to, data) :]

    def _await(self, method: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not any(event["method"] == method for event in self._events):
            self._receive(deadline)

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._from, 1 << 20) if ready else b""
            if not chunk:
                raise BrowserError("the browser ended" if ready else f"the browser did not answer in {TIMEOUT:.0f} s")
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self._events.append(message)
        return message


def _above(descriptor: int) -> int:
    """The same end of a pipe under a number that is free."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


@contextlib.contextmanager
def page() -> Iterator[Page]:
    """A page in a browser of its own, which is gone afterwards."""
    assert BINARY, "apt-get install chromium"
    their_in, our_out = (_above(end) for end in os.pipe())
    our_in, their_out = (_above(end) for end in os.pipe())
    with tempfile.TemporaryDirectory(prefix="pi-report-browser-", ignore_cleanup_errors=True) as profile:
        # The browser reads from descriptor 3 and writes to descriptor 4, whatever numbers the pipes have here. dash knows no
        # descriptor above 9.
        command = ["/bin/bash", "-c", f'exec 3<&{their_in} 4>&{their_out}; exec "$@"', "bash", BINARY, "--headless", "--remote-debugging-pipe",
                   "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-background-networking",
                   "--disable-dev-shm-usage", f"--user-data-dir={profile}"]  # fmt: skip
        with subprocess.Popen(
            command, pass_fds=(their_in, their_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            os.close(their_in)
            os.close(their_out)
            try:
                yield Page(our_out, our_in)
            finally:
                process.kill()
                os.close(our_out)
                os.close(our_in)
