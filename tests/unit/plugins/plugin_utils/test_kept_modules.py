# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules that run with code that is kept: what is sent, what is trusted, and that a play sees no difference."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, import_plugin

kept = import_plugin("plugin_utils.kept_modules")
kept_code = import_plugin("module_utils._core.kept_code")
kept_tasks = import_plugin("module_utils._core.kept_tasks")
waiting = import_plugin("module_utils._core.waiting")
ACTIONS = {path.stem: path.read_text(encoding="utf-8") for path in (CHECKOUT / "plugins/action").glob("*.py")}
JOURNAL = "/nowhere/journal.json"
# With the code of one folder, for the tasks that come to another.
SERVE = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.kept_tasks import serve; "
    "serve(sys.argv[2], 0.5)"
)
# Any that is not `local`, where nothing is saved.
CONNECTION = '''
from ansible.plugins.connection.local import Connection as Local
DOCUMENTATION = """
name: beside
short_description: This machine, as if it were another one
description: This machine, as if it were another one.
author: The project
options: {}
extends_documentation_fragment: [connection_pipelining]
"""
class Connection(Local):
    transport = "beside"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    found = Path(tmp_path / "kept" / kept.DIGEST)
    yield found
    ended(found)


def ended(folder: Path) -> None:
    """No process waits for tasks in this folder any more."""
    number = server(folder)
    if number:
        os.kill(number, signal.SIGKILL)


def server(folder: Path) -> int:
    """The process that waits for tasks in this folder, or is about to; 0 where there is none."""
    try:
        with (folder / kept_tasks.LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return 0
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except BlockingIOError:
        return int((folder / kept_tasks.LOCK).read_text() or 0)


def await_server(folder: Path) -> int:
    """The process that waits for tasks, once it does."""
    assert waiting.wait_until((folder / kept_code.SOCKET).is_socket, bool, 60, 0.02).met
    number = server(folder)
    assert number
    return number


@contextlib.contextmanager
def asking(folder: Path, python: str) -> Iterator[socket.socket]:
    """A client of the process that waits for tasks there, which has sent its task and does not know yet whether it begins."""
    about = repr({"python": [python, sys.version]}).encode()
    here = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"/proc/self/fd/{here}/{kept_code.SOCKET}")
            client.sendall(kept_code.HEAD.pack(len(about), 2) + about + b"{}")
            yield client
    finally:
        os.close(here)


def started(
    folder: Path, archived: str = "", module: str = "migration_journal_info", **params: Any
) -> subprocess.CompletedProcess[str]:
    given = {"ANSIBLE_MODULE_ARGS": params or {"path": JOURNAL}}
    text = kept.script(str(folder.parent), module, json.dumps(given).encode(), "legacy", archived).decode()
    # Nothing of this environment helps it.
    return subprocess.run(
        [sys.executable, "-S", "-"],
        input=text,
        cwd="/",
        env={},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_first_task_brings_the_code_and_later_ones_find_it(folder: Path) -> None:
    assert "No such file" in result(started(folder))[kept_code.MISSING]
    assert result(started(folder, kept.archive()))["current"] == "prepare"
    assert result(started(folder))["current"] == "prepare"
    assert [path.name for path in folder.parent.iterdir()] == [kept.DIGEST], "nothing else is left"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("basic.*.pyc")), "compiled once"
    failed = started(folder, path="")
    assert failed.returncode == 1
    assert result(failed)["failed"] is True


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = Path(tmp_path_factory.mktemp("filled") / "kept" / kept.DIGEST)
    result(started(found, kept.archive()))
    yield found
    ended(found)


@pytest.mark.parametrize("module", sorted(name for name, text in ACTIONS.items() if "kept_modules" in text))
def test_every_module_finds_all_that_it_imports(filled: Path, module: str) -> None:
    found = result(started(filled, module=module, nothing=True))
    assert found["failed"] is True
    # Its options are refused, so all of it has been imported.
    refused = ("missing", "Unsupported parameters", "one of the following is required")
    assert any(text in found["msg"] for text in refused), found


def test_later_tasks_are_run_by_a_process_that_waits_for_them(folder: Path) -> None:
    started(folder, kept.archive())
    number = await_server(folder)
    for path in (folder / kept_code.SOCKET, folder / kept_tasks.LOCK):
        assert path.stat().st_mode & 0o777 == 0o600
    held = f"/proc/{number}/task/{number}/children"
    done = [started(folder), started(folder), started(folder)]
    assert {result(each)["current"] for each in done} == {"prepare"}
    failed = started(folder, path="")
    assert (failed.returncode, result(failed)["failed"]) == (1, True)
    assert server(folder) == number
    assert waiting.wait_until(lambda: Path(held).read_text() == "", bool, 10, 0.02).met, "each of them has ended"
    # What a task was given stays in the task.
    assert (
        JOURNAL.encode()
        not in Path(f"/proc/{number}/environ").read_bytes() + Path(f"/proc/{number}/cmdline").read_bytes()
    )


def test_a_task_has_streams_environment_and_status_of_its_client(filled: Path, tmp_path: Path) -> None:
    await_server(filled)
    (filled / "tells.py").write_text(
        "import atexit, json, os, sys\n"
        "atexit.register(lambda: sys.stderr.write('cleaned up\\n'))\n"
        "print(json.dumps([os.environ.get('MARK'), os.getcwd(), os.umask(0), os.getppid()]))\n"
        "sys.exit(7)\n"
    )
    text = f"{kept.START}\n\nos.umask(0o027)\nrun({str(filled)!r}, '', 'tells', b'{{}}', 'legacy')\n"
    done = subprocess.run(
        [sys.executable, "-S", "-"], input=text, cwd=tmp_path, env={"MARK": "m"}, text=True, capture_output=True, check=False
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert json.loads(done.stdout) == ["m", str(tmp_path), 0o027, server(filled)]
    assert done.stderr == "cleaned up\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_without_that_process_a_task_runs_by_itself(folder: Path, monkeypatch: pytest.MonkeyPatch, how: int) -> None:
    started(folder, kept.archive())
    number = await_server(folder)
    os.kill(number, how)
    # Stopped, it is asked, and given up after a while.
    monkeypatch.setattr(kept, "START", kept.START.replace("PATIENCE = 5.0", "PATIENCE = 0.5"))
    assert result(started(folder))["current"] == "prepare"
    if how == signal.SIGKILL:
        assert waiting.wait_until(lambda: server(folder), lambda now: now not in (0, number), 60, 0.02).met, (
            "it comes back"
        )


def test_a_socket_that_is_found_takes_connections(tmp_path: Path) -> None:
    """Between bind and listen a client would be refused."""
    found: list[bool] = []

    class Listener(socket.socket):
        def listen(self, backlog: int = 0, /) -> None:
            found.append((tmp_path / kept_code.SOCKET).exists())
            super().listen(backlog)

    with Listener(socket.AF_UNIX) as listener, kept_tasks._bound(listener, tmp_path / kept_code.SOCKET):
        found.append((tmp_path / kept_code.SOCKET).is_socket())
    assert found == [False, True]
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_was_given_up_never_begins(folder: Path) -> None:
    """Else it would run twice: where it waited, and where it was run in its place."""
    started(folder, kept.archive())
    number = await_server(folder)
    os.kill(number, signal.SIGSTOP)
    with asking(folder, sys.executable) as client:
        os.kill(number, signal.SIGCONT)
        assert client.recv(1) == kept_code.READY
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b"", "nothing was run"
    assert result(started(folder))["current"] == "prepare"


def test_a_task_of_another_python_is_left_to_it(filled: Path) -> None:
    """What it writes down of its interpreter has to hold for the one that was asked for."""
    await_server(filled)
    with asking(filled, "/usr/bin/another") as client:
        assert client.recv(1) == b""


def test_a_task_that_is_longer_than_the_idle_time_is_waited_for(filled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "sleeps.py").write_text("import sys, time\ntime.sleep(2)\nprint('done')\nsys.exit(0)\n")
    command = [sys.executable, "-c", SERVE.replace("sys.argv[1])", "sys.argv[1]); sys.path.insert(0, sys.argv[2])", 1)]
    with subprocess.Popen([*command, str(filled), str(other)]) as waits:
        await_server(other)
        text = f"{kept.START}\n\nrun({str(other)!r}, '', 'sleeps', b'{{}}', 'legacy')\n"
        done = subprocess.run(
            [sys.executable, "-S", "-c", text], env={}, text=True, capture_output=True, timeout=60, check=False
        )
        assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
        assert server(other) == waits.pid, "its idle time was over long before"
        assert waits.wait(30) == 0


def test_another_process_can_wait_once_one_was_killed_under_its_task(folder: Path) -> None:
    started(folder, kept.archive())
    number = await_server(folder)
    (folder / "hangs.py").write_text("import time\nprint('at work', flush=True)\ntime.sleep(600)\n")
    text = f"{kept.START}\n\nrun({str(folder)!r}, '', 'hangs', b'{{}}', 'legacy')\n"
    with subprocess.Popen([sys.executable, "-S", "-c", text], env={}, text=True, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "at work\n"
        (task,) = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        os.kill(number, signal.SIGKILL)
        started(folder)
        assert waiting.wait_until(lambda: server(folder), lambda now: now not in (0, number), 60, 0.02).met
        os.kill(int(task), signal.SIGKILL)


def test_nothing_of_the_first_tasks_environment_stays(folder: Path) -> None:
    given = {"ANSIBLE_MODULE_ARGS": {"path": JOURNAL}}
    for archived in ("", kept.archive()):
        text = kept.script(str(folder.parent), "migration_journal_info", json.dumps(given).encode(), "legacy", archived)
        command = [sys.executable, "-S", "-"]
        subprocess.run(
            command,
            input=text,
            env={"http_proxy": "http://user:pl4nted@proxy"},
            capture_output=True,
            check=True,
            timeout=60,
        )
    number = await_server(folder)
    assert Path(f"/proc/{number}/environ").read_bytes() == b""


def test_without_room_for_what_python_compiles_nothing_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "START", kept.START.replace("ROOM = 16 << 20", "ROOM = 1 << 60"))
    assert "MiB are left" in result(started(folder, kept.archive()))[kept_code.MISSING]
    assert list(folder.parent.iterdir()) == []


def test_a_task_that_is_killed_has_failed(filled: Path) -> None:
    number = await_server(filled)
    (filled / "hangs.py").write_text("import sys, time\nprint('at work', flush=True)\ntime.sleep(600)\n")
    text = f"{kept.START}\n\nrun({str(filled)!r}, '', 'hangs', b'{{}}', 'legacy')\n"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", text], env={}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "at work\n"
        (task,) = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        os.kill(int(task), signal.SIGKILL)
        _out, errors = client.communicate(timeout=30)
    assert client.returncode == 1
    assert "hangs was ended before it had reported how it went" in errors


def test_it_ends_when_no_task_comes(filled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    with subprocess.Popen([sys.executable, "-c", SERVE, str(filled), str(other)]) as waits:
        await_server(other)
        assert waits.wait(30) == 0
    assert [path.name for path in other.iterdir()] == [kept_tasks.LOCK]


@pytest.mark.parametrize("spoil", ["link", "open-to-others", "a-file"])
def test_code_that_another_could_have_put_there_is_not_run(folder: Path, tmp_path: Path, spoil: str) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    folder.parent.mkdir(mode=0o700)
    if spoil == "link":
        folder.symlink_to(other)
    elif spoil == "open-to-others":
        folder.mkdir(mode=0o755)
        (folder / "ansible.py").touch()
    else:
        folder.write_text("")
    (other / "ansible.py").write_text("raise SystemExit('not this one')")
    for archived in ("", kept.archive()):
        assert "not a folder of this user alone" in result(started(folder, archived))[kept_code.MISSING]
    assert [path.name for path in other.iterdir()] == ["ansible.py"]


def test_where_it_cannot_be_kept_the_reason_is_the_answer(folder: Path) -> None:
    folder.parent.write_text("in the way")
    assert result(started(folder, kept.archive()))[kept_code.MISSING]


# The last of them is the first, and notes the time.
SENDS_LITTLE = re.compile(r"import (KeptModule|KeptCode|TimedModule)\b")


def test_each_module_for_a_pi_has_such_an_action() -> None:
    modules = {path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py")}
    # These work on the control node.
    elsewhere = {name for name, text in ACTIONS.items() if "KubernetesAction" in text}
    elsewhere |= {"migration_report", "quorum_watch", "preflight_kubernetes"}
    assert {name for name in modules if not SENDS_LITTLE.search(ACTIONS.get(name, ""))} == elsewhere


def test_a_play_sees_no_difference(tmp_path: Path, ansible_playbook: str) -> None:
    """One play whose code cannot be kept, one that brings it, one that finds it there, and one that is to keep none."""
    (tmp_path / "connection_plugins").mkdir()
    (tmp_path / "connection_plugins/beside.py").write_text(CONNECTION)
    tasks = [
        {"pi_controller.raft_migration.migration_journal_info": {"path": JOURNAL}, "register": "journal"},
        {
            "pi_controller.raft_migration.sqlite_info": {"paths": ["/nowhere/a.db"]},
            "register": "database",
            "failed_when": False,
        },
        {
            "ansible.builtin.copy": {"content": "{{ [journal, database] | to_json }}", "dest": "{{ found }}"},
            "connection": "local",
        },
    ]
    (tmp_path / "tasks.yml").write_text(json.dumps(tasks))
    bases = ["/dev/null/nowhere", str(tmp_path / "kept"), str(tmp_path / "kept"), ""]
    paths = [tmp_path / f"found-{number}.json" for number in range(4)]
    plays = [
        {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.include_tasks": "tasks.yml"}],
            "vars": {"found": str(path), kept.VARIABLE: base, "ansible_pipelining": number != 1},
        }
        for number, (base, path) in enumerate(zip(bases, paths))
    ]
    (tmp_path / "play.json").write_text(json.dumps(plays))
    done = subprocess.run(
        [ansible_playbook, "play.json", "-vvvv", "-i", "pi,", "-c", "beside", "-e", f"ansible_python_interpreter={sys.executable}"],
        cwd=tmp_path, text=True, capture_output=True, timeout=300, check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"),
             "ANSIBLE_CONNECTION_PLUGINS": str(tmp_path / "connection_plugins"), "ANSIBLE_PIPELINING": "True"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    # Without pipelining a module goes as a file, as the text of `copy` always does.
    sent = ["PUT " in text.partition("TASK [ansible.builtin.copy]")[0] for text in done.stdout.split("\nPLAY [")[1:5]]
    assert sent == [False, True, False, False]
    found = [json.loads(path.read_text()) for path in paths]
    assert found == [found[0]] * 4
    assert found[0][0]["current"] == "prepare"
    assert len(list((tmp_path / "kept").iterdir())) == 1
