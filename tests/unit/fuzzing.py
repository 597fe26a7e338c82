# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile daemons made up by Hypothesis, and every module that asks daemons run against them.

A module may end well or with a failure. It must not end in an uncaught exception (a crash), take longer than its own time
limits (a hang), or show the token, or a control character, in anything it prints or writes (a leak).
"""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import json
import re
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

from ansible.module_utils.testing import patch_module_args
from conftest import CHECKOUT, import_plugin
from hostile import HostileDaemon, http
from hypothesis import strategies as st

Moment = import_plugin("module_utils._gate.lease").Moment
# The longest that a module may take here: its waits are short, and each of its calls has TIMEOUT.
HANG = 10.0
TIMEOUT = 0.15
TOKENS = [
    "pl4nted\"quote'",
    "pl4nted%0a%s%20",
    "pl4nted-cGw0==",
    "pl4nted\\u0041{{x}}",
    "pl4nted&<b>$HOME",
    "(pl4nted+)[a-z]*",
    "pl4nted-token\n",
]
CORE = "pl4nted"
TOKEN = "{TOKEN}"
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\u2028\u2029]")

CALLS = ("status", "members", "leader", "capabilities", "read-only", "snapshot", "restore", "transfer")


def good(port: int) -> dict[str, Any]:
    """What an honest leader of two would answer to each call."""
    own, other = f"127.0.0.1:{port}", "127.0.0.9:9091"
    members = [{"ID": "n1", "Address": own, "Voter": True}, {"ID": "n2", "Address": other, "Voter": True}]
    stats = {
        "state": "Leader",
        "term": "3",
        "last_log_index": "9",
        "commit_index": "9",
        "applied_index": "9",
        "last_contact": "0",
    }
    return {
        "status": {
            "state": "Leader",
            "leader": own,
            "is_leader": True,
            "members": members,
            "member_count": 2,
            "health": None,
            "raft_stats": stats,
        },
        "members": {"members": members, "total": 2},
        "leader": {"leader": own, "is_leader": True},
        "capabilities": {"capabilities": ["snapshot", "restore", "transfer", "read-only", "learners"]},
        "read-only": {"enabled": True},
        "snapshot": {"id": "7-1234-1795591827688", "index": 9, "term": 3, "size": 10, "path": "/nowhere"},
        "restore": {},
        "transfer": {},
    }


# --- what a daemon may answer --------------------------------------------------------------------

NASTY = st.sampled_from(
    [
        "", "\x1b[2J\x1b]52;c;cm0=\x07", f"x{TOKEN}y", "../../../etc/cron.d/x", "/proc/self/environ", "127.0.0.1:1", "a..b:9091", "[::1]:9091",
        "pi.invalid:9091", "Leader", "never", "1e999s", "NaN", "9" * 5000, "0x10", "-1", "true", "null", "nothing new to snapshot", "{{ 7 * 7 }}",
        "done\n10:00:00  Clean up done", "\ud800", "\u202e", "%s%n", "' OR 1=1 --", "$(reboot)",
    ]
)  # fmt: skip
HUGE = st.integers(min_value=1 << 60, max_value=1 << 400)
SCALAR = st.one_of(
    NASTY, st.none(), st.booleans(), st.integers(), HUGE, st.floats(), st.text(st.characters(), max_size=40)
)
JUNK = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=10) | NASTY, inner, max_size=5)
    ),
    max_leaves=15,
)
IDS = st.sampled_from(["n1", "n2", "n3"])
MEMBER = st.fixed_dictionaries(
    {"ID": IDS | SCALAR, "Address": NASTY | st.just("127.0.0.9:9091")}, optional={"Voter": JUNK}
)


@dataclass(frozen=True)
class Answer:
    """One way to answer a call. `kind` says how, `value` what; `where` is the part of an honest answer that is replaced."""

    kind: str
    value: Any = None
    where: tuple[str, ...] = ()
    status: int = 200


FIELDS = st.sampled_from(
    [
        ("state",), ("leader",), ("is_leader",), ("members",), ("health",), ("raft_stats",), ("raft_stats", "term"), ("raft_stats", "commit_index"),
        ("raft_stats", "applied_index"), ("raft_stats", "last_contact"), ("raft_stats", "state"), ("id",), ("path",), ("size",), ("index",),
        ("enabled",), ("capabilities",), ("error",),
    ]
)  # fmt: skip
STATUSES = st.sampled_from([200, 201, 204, 301, 307, 400, 401, 403, 404, 405, 409, 429, 500, 503, 999])
ANSWER = st.one_of(
    st.builds(Answer, st.just("changed"), JUNK, FIELDS, STATUSES | st.just(200)),
    st.builds(Answer, st.just("changed"), st.lists(MEMBER, max_size=80), st.just(("members",))),
    st.builds(Answer, st.just("json"), JUNK, st.just(()), STATUSES),
    st.builds(
        Answer,
        st.just("raw"),
        st.binary(max_size=300) | st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"HTTP/1.1 200 OK"]),
    ),
    st.builds(
        Answer,
        st.just("wire"),
        st.binary(max_size=200) | st.just(TOKEN.encode()) | st.just(b"HTTP/1.1 " + TOKEN.encode()),
    ),
    st.builds(
        Answer,
        st.just("header"),
        st.binary(max_size=100) | st.just(b"Location: " + TOKEN.encode()),
        st.just(()),
        STATUSES,
    ),
    st.builds(Answer, st.sampled_from(["drip", "continue", "huge", "chunks", "redirect", "echo", "close", "silent"])),
)
# Most calls are answered honestly, or no module would come far.
SCRIPT = st.dictionaries(st.sampled_from(CALLS), ANSWER, max_size=3)


@st.composite
def attacks(draw: st.DrawFn) -> tuple[str, str, list[dict[str, Answer]], bool]:
    """A module's case, a token, what each of two daemons answers, and whether it is check mode."""
    return (
        draw(st.sampled_from(sorted(CASES))),
        draw(st.sampled_from(TOKENS)),
        draw(st.lists(SCRIPT, min_size=2, max_size=2)),
        draw(st.booleans()),
    )


def _bytes(answer: Answer, honest: Any, token: str, thief: str) -> Iterator[bytes | float]:
    def body(value: Any) -> bytes:
        return json.dumps(value).replace(TOKEN, json.dumps(token)[1:-1]).encode()

    if answer.kind == "changed":
        changed = copy.deepcopy(honest)
        inner = changed
        for name in answer.where[:-1]:
            inner = inner.setdefault(name, {})
        inner[answer.where[-1]] = answer.value
        yield http(answer.status, body(changed))
    elif answer.kind == "json":
        yield http(answer.status, body(answer.value))
    elif answer.kind == "raw":
        yield http(200, answer.value)
    elif answer.kind == "wire":
        yield answer.value.replace(TOKEN.encode(), token.encode())
    elif answer.kind == "header":
        yield http(answer.status, body(honest), answer.value.replace(TOKEN.encode(), token.encode()))
    elif answer.kind == "drip":
        for byte in http(200, body(honest)):
            yield bytes([byte])
            yield 0.02
    elif answer.kind == "redirect":
        yield http(307, b"", b"Location: " + thief.encode())
    elif answer.kind == "echo":
        yield http(
            500,
            body(
                {"error": f"bad token {token}", "again": base64.b64encode(token.encode()).decode(), token: quote(token)}
            ),
        )
    elif answer.kind == "silent":
        yield 1.0
    elif answer.kind in ("continue", "huge", "chunks"):
        opening, again = {
            "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 20),
            "huge": (b"HTTP/1.1 200 OK\r\nContent-Length: 41943040\r\n\r\n", b" " * 65536),
            "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"),
        }[answer.kind]
        yield opening
        for _number in range(10_000):
            yield again


# --- what is run against it ----------------------------------------------------------------------

Arguments = dict[str, Any]


def _rest(urls: list[str], **more: Any) -> Arguments:
    return {"urls": urls, "timeout": TIMEOUT, **more}


def _waits(**more: Any) -> Arguments:
    return {"wait_leader": 0.05, **more}


CASES: dict[str, tuple[str, Any]] = {
    "raft_info": (
        "raft_info",
        lambda urls, _tmp: _rest(urls, wait_for={"leader": True, "caught_up": True, "voters": 2}, wait_timeout=0.05),
    ),
    "member_traffic/away": (
        "member_traffic",
        lambda urls, _tmp: _rest(
            urls, state="away", address="127.0.0.8", successor="127.0.0.9", wait_for={"leader": True}, wait_timeout=0.05
        ),
    ),
    "raft_info/one look": ("raft_info", lambda urls, _tmp: _rest(urls)),
    "raft_fence/on": ("raft_fence", lambda urls, _tmp: _rest(urls, enabled=True)),
    "raft_fence/off": ("raft_fence", lambda urls, _tmp: _rest(urls, enabled=False)),
    "raft_membership/present": (
        "raft_membership",
        lambda urls, _tmp: _rest(
            urls, state="present", node_id="n3", address="127.0.0.8:1", wait_caught_up=0.05, **_waits()
        ),
    ),
    "raft_membership/absent": (
        "raft_membership",
        lambda urls, _tmp: _rest(urls, state="absent", node_id="n2", **_waits()),
    ),
    "raft_membership/leader": (
        "raft_membership",
        lambda urls, _tmp: _rest(urls, state="leader", node_id="n2", **_waits()),
    ),
    "raft_snapshot/present": (
        "raft_snapshot",
        lambda urls, tmp: _rest(
            urls[:1], state="present", raft_dir=f"{tmp}/raft", dest=f"{tmp}/copy", wait_timeout=TIMEOUT
        ),
    ),
    "raft_snapshot/restored": (
        "raft_snapshot",
        lambda urls, tmp: _rest(urls, state="restored", src=f"{tmp}/state", wait_timeout=0.05, **_waits()),
    ),
    "raft_snapshot/caught_up": (
        "raft_snapshot",
        lambda urls, _tmp: _rest(urls, state="caught_up", wait_timeout=0.05, patience=0.05, **_waits()),
    ),
    "raft_carry": (
        "raft_carry",
        lambda urls, tmp: _rest(
            urls[:1],
            from_urls=urls,
            to_urls=urls,
            term=3,
            raft_dir=f"{tmp}/raft",
            dest=f"{tmp}/copy",
            database=f"{tmp}/no.db",
            lease={"seconds": 60, "since": Moment.now().as_dict()},
            wait_timeout=0.05,
            **_waits(),
        ),
    ),
    "preflight_host": (
        "preflight_host",
        lambda urls, tmp: _rest(
            urls,
            paths={"data_dir": str(tmp), "database": f"{tmp}/no.db"},
            unit="none.service",
            ports=[],
            address="127.0.0.1",
            compare=False,
            wait_for={"leader": True, "caught_up": True, "voters": 2},
            wait_timeout=0.05,
        ),
    ),
    "migration_host_info": ("migration_host_info", lambda urls, tmp: _rest(urls, backup_path=f"{tmp}/backups")),
    # Its process asks and judges as this case does; the module itself only starts it.
    "quorum_watch": ("", None),
}


class Crash(AssertionError):
    """An uncaught exception, or an answer that is not JSON."""


class Hang(AssertionError):
    """Longer than HANG."""


class Leak(AssertionError):
    """The token, or a character that acts on a terminal, where any user may read it."""


@dataclass
class Tally:
    """The figures of a run."""

    inputs: int = 0
    crashes: int = 0
    hangs: int = 0
    leaks: int = 0
    longest: float = 0.0
    by_case: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"inputs tried {self.inputs}, crashes {self.crashes}, hangs {self.hangs}, secrets seen {self.leaks}; "
            f"longest {self.longest:.2f} s; "
            + ", ".join(f"{name} {count}" for name, count in sorted(self.by_case.items()))
        )


def attack(case: str, token: str, scripts: list[dict[str, Answer]], check_mode: bool, tally: Tally) -> None:
    """Run one module against two daemons; raises Crash, Hang or Leak."""
    tally.inputs += 1
    tally.by_case[case] = tally.by_case.get(case, 0) + 1
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copytree(CHECKOUT / "tests/unit/plugins/module_utils/fixtures/filesnapshotstore", folder / "raft")
        (folder / "state").write_bytes(b"state" * 1000)
        thief = stack.enter_context(HostileDaemon(lambda _request: iter([http(200, b"{}")]), "127.0.0.1"))
        hosts = ("127.0.0.1", "127.0.0.9")
        daemons = [stack.enter_context(_daemon(script, token, thief.url, host)) for script, host in zip(scripts, hosts)]
        began = time.monotonic()
        try:
            printed = _within(HANG, lambda: _run(case, [daemon.url for daemon in daemons], token, folder, check_mode))
        except Hang:
            tally.hangs += 1
            raise
        except Crash as error:
            tally.crashes += 1
            if CORE in str(error):
                tally.leaks += 1
            raise
        finally:
            tally.longest = max(tally.longest, time.monotonic() - began)
        try:
            _no_leak(printed, folder, thief)
        except Leak:
            tally.leaks += 1
            raise


def _daemon(script: dict[str, Answer], token: str, thief: str, host: str) -> HostileDaemon:
    def answer(request: bytes) -> Iterator[bytes | float]:
        path = request.split(b" ", 2)[1].decode("latin-1") if request.count(b" ") > 1 else ""
        call = next((name for name in CALLS if path.rstrip("/").endswith(name)), "members")
        honest = good(9091)[call]
        if call in script:
            yield from _bytes(script[call], honest, token.rstrip("\n"), thief)
        else:
            yield http(200, json.dumps(honest).encode())

    return HostileDaemon(answer, host)


def _run(case: str, urls: list[str], token: str, folder: Path, check_mode: bool) -> str:
    name, arguments = CASES[case]
    if not name:
        return _watch(urls, token)
    module = import_plugin(f"modules.{name}")
    internal = {
        "_ansible_check_mode": check_mode,
        "_ansible_diff": True,
        "_ansible_remote_tmp": str(folder / "remote_tmp"),
    }
    printed = io.StringIO()
    with (
        patch_module_args({**arguments(urls, folder), "token": token, **internal}),
        # Whoever holds the port here is this process.
        mock.patch.object(import_plugin("module_utils._core.procfs"), "owner_of", return_value="unit"),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    text = printed.getvalue()
    if not text:
        raise Crash(f"{name} printed nothing")
    result = json.loads(text)
    if not {"failed", "changed", "skipped"} & set(result):
        raise Crash(f"{name} ended without a result: {text[:300]}")
    return text


def _watch(urls: list[str], token: str) -> str:
    client_of = import_plugin("module_utils._daemon.pi_controller.client")
    sample, plan, judge = (import_plugin(f"module_utils._watch.{name}") for name in ("sample", "plan", "judge"))
    failures = import_plugin("module_utils._core.failures")
    readings = []
    for url in urls:
        client, status = client_of.PiController(url, token=token, timeout=TIMEOUT), None
        with contextlib.suppress(failures.MigrationError):
            status = client.status()
        readings.append(sample.Reading(client, 1.0, status, 0.1 if status else None))
    records = []
    for mode in (plan.WHOLE, plan.GATED, plan.MOVING):
        expectation = plan.Expectation.from_dict({"mode": mode, "urls": urls, "replaced": "127.0.0.9"})
        seen, _members = sample.take(1.0, "old", expectation, readings)
        alerts = judge.ClusterJudge("old", judge.AlertLimits(0.1, 0.1, 0.1)).hear(seen, expectation)
        records.append({"sample": seen.record(), "alerts": [alert.record() for alert in alerts]})
    return json.dumps({"changed": False, "records": records})


def _within(seconds: float, call: Any) -> str:
    """The result of the call, which has a thread of its own so that one that hangs can be reported."""
    result: dict[str, Any] = {}

    def run() -> None:
        try:
            result["text"] = call()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            result["error"] = "".join(traceback.format_exception(type(error), error, error.__traceback__))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Hang(f"still running after {seconds:g} s")
    if "error" in result:
        raise Crash(result["error"])
    return str(result["text"])


def _no_leak(printed: str, folder: Path, thief: HostileDaemon) -> None:
    if thief.requests:
        raise Leak("a redirect was followed")
    if CORE in printed:
        raise Leak(f"the token was printed: {printed[:2000]}")
    for path in folder.rglob("*"):
        if path.is_file() and CORE.encode() in path.read_bytes():
            raise Leak(f"the token was written to {path.name}")
    for text in _strings(json.loads(printed)):
        if UNFIT.search(text):
            raise Leak(f"a control character was printed: {text[:300]!r}")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
