# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: migration
type: stdout
short_description: Shows a migration while it runs
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
description:
  - On a terminal it keeps a list of the phases, both clusters' quorum and leader, and the task that is waited for, and
    redraws it in place; alerts, failures and messages stay above it. Elsewhere it prints one line for each event.
  - A run that fails ends with what happened, the current state, and the commands to continue or to roll back.
  - With C(-v) it is P(ansible.builtin.default#callback). It can be used beside any callback that is not of the type
    C(stdout); a migration never needs it.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  migration_style:
    description: How to show it.
    type: str
    choices:
      auto: V(panel) on a terminal, V(lines) elsewhere.
      panel: A list that is redrawn.
      lines: One line for each event.
      default: As P(ansible.builtin.default#callback).
    default: auto
    env:
      - name: RAFT_MIGRATION_STYLE
    ini:
      - section: raft_migration
        key: style
requirements:
  - Set as C(stdout_callback) in the configuration, as the shipped C(ansible.cfg) does.
"""

import atexit
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.utils.color import stringc

from ..module_utils._core import words
from ..module_utils._core.commands import COLLECTION, STATUS
from ..module_utils._core.tail import Tail
from ..module_utils._core.text import one_line, visible, visible_in
from ..module_utils._core.words import clock
from ..module_utils._report.progress import Event, Progress

COLOURS = {
    "good": C.COLOR_OK,
    "bad": C.COLOR_ERROR,
    "alert": C.COLOR_WARN,
    "active": C.COLOR_HIGHLIGHT,
    "dim": C.COLOR_SKIP,
}
INTERVAL = 0.5
# Of a structure among the events only the beginning is shown.
LONGEST = 160
# As wide as the time of day before an event.
INDENT = " " * 10


class Screen:
    """A few lines at the bottom of a terminal that are drawn over; everything else goes above them."""

    def __init__(self) -> None:
        self.drawn = 0

    def wipe(self) -> None:
        if self.drawn:
            self._write(f"\x1b[{self.drawn}F\x1b[J")
            self.drawn = 0

    def draw(self, lines: list[tuple[str, str]]) -> None:
        columns, rows = shutil.get_terminal_size()
        shown = lines[: max(0, rows - 2)]
        text = "".join(f"{_coloured(kind, _cut(one_line(line), columns))}\x1b[K\n" for kind, line in shown)
        up = f"\x1b[{self.drawn}F" if self.drawn else ""
        self._write(f"{up}{text}\x1b[J")
        self.drawn = len(shown)

    @staticmethod
    def _write(text: str) -> None:
        """Past every buffer, so that no worker process inherits half a picture."""
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), text.encode("utf-8", "replace"))


def _cut(line: str, columns: int) -> str:
    return line if len(line) < columns else line[: max(0, columns - 2)] + "…"


def _coloured(kind: str, line: str) -> str:
    return stringc(line, COLOURS[kind]) if kind in COLOURS else line


class CallbackModule(Default):
    """Translates Ansible's events into those of a Progress, and shows them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "pi_controller.raft_migration.migration"

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._plain = True
        self._others_let_through = False
        self._begin()
        atexit.register(self._left)

    def _begin(self) -> None:
        """Nothing is known yet: a command may have several playbooks."""
        self._progress = Progress(time.time())
        self._screen: Screen | None = None
        self._quiet = False
        self._paused = False
        self._finished = False
        # The play that has begun, if one has.
        self._play = ""
        self._tails: dict[str, Tail] = {}
        self._shown: set[tuple[str, str]] = set()
        self._stop = threading.Event()

    # --- beginning and end -----------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: Any) -> None:
        style = self.get_option("migration_style")
        self._plain = style == "default" or self._display.verbosity > 0
        if self._plain:
            super().v2_playbook_on_start(playbook)
            return
        self._stop.set()
        with self._lock:
            self._begin()
        terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")
        if style == "panel" or (style == "auto" and terminal):
            self._screen = Screen()
            self._let_others_through()
        threading.Thread(target=self._tick, args=(self._stop,), name="migration-progress", daemon=True).start()

    def _let_others_through(self) -> None:
        """Warnings and messages of others are printed above the list, not into it."""
        if self._others_let_through:
            return
        self._others_let_through = True
        original = self._display.display

        def display(*args: Any, **kwargs: Any) -> None:
            with self._lock:
                if self._screen:
                    self._screen.wipe()
                original(*args, **kwargs)
                sys.stdout.flush()
                sys.stderr.flush()

        self._display.display = display

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self._plain:
            super().v2_playbook_on_stats(stats)
            return
        self._look()
        with self._lock:
            self._finished = True
            self._stop.set()
            self._progress.task = None
            if self._screen:
                self._screen.draw([] if self._quiet else self._progress.panel(time.time(), over=True))
                self._screen = None
            if not self._quiet:
                for kind, line in self._progress.closing():
                    self._print(kind, line)
            failed = [
                host
                for host in sorted(stats.processed)
                if stats.summarize(host)["failures"] or stats.summarize(host)["unreachable"]
            ]
            took = time.time() - self._progress.began
            if failed:
                self._print(
                    "bad", f"Failed on {', '.join(failed)} after {words.seconds(took)}. -v shows Ansible's own output."
                )
            elif not stats.processed:
                self._print("bad", "Nothing was done: no play had a host.")
            elif not self._quiet:
                changed = sum(stats.summarize(host)["changed"] for host in stats.processed)
                self._print("good", f"Finished in {words.seconds(took)}, {changed} changes.")

    def _left(self) -> None:
        """The run was interrupted: leave the terminal in order and say how to find out."""
        self._stop.set()
        if self._play and not self._finished and not self._quiet:
            with self._lock:
                if self._screen:
                    self._screen.wipe()
                    self._screen = None
                self._print("bad", f"Interrupted. Migration status: {STATUS}")

    # --- what happens ----------------------------------------------------------------------------

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self._plain:
            super().v2_playbook_on_play_start(play)
            return
        self._quiet = play.get_vars().get("raft_migration_progress", True) is False
        self._play = play.get_name().strip()
        if not self._screen and not self._quiet:
            self._event(Event("info", self._play, time.time()))

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        if self._plain:
            super().v2_playbook_on_task_start(task, is_conditional)
            return
        with self._lock:
            self._progress.task_begins(_name(task), time.time())
            # The operator is asked for an answer: the terminal is theirs.
            self._paused = task.action.rpartition(".")[2] == "pause"
            if self._paused and self._screen:
                self._screen.wipe()

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        if self._plain:
            super().v2_playbook_on_handler_task_start(task)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if self._plain:
            super().v2_runner_on_start(host, task)
        elif self._progress.task:
            self._progress.task.hosts.add(host.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_on_ok(result)
            return
        with self._lock:
            self._over(result)
            self._understand(result.host.get_name(), result.task, result.result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_on_skipped(result)
        else:
            self._over(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if self._plain:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        self._over(result)
        if not ignore_errors:
            self._failure(result, _message(result.result))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_on_unreachable(result)
            return
        self._over(result)
        if not result.task.ignore_unreachable:
            self._failure(result, f"unreachable: {_message(result.result)}")

    def v2_runner_item_on_ok(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_item_on_ok(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_item_on_failed(result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_retry(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_retry(result)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if self._plain:
            super().v2_playbook_on_include(included_file)

    def v2_on_file_diff(self, result: Any) -> None:
        # Whoever asks for differences wants to see them.
        super().v2_on_file_diff(result)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        if self._plain:
            super().v2_playbook_on_no_hosts_matched()
        else:
            self._event(Event("info", f"Left out, as it has no host: {self._play}", time.time()))

    def _over(self, result: Any) -> None:
        if self._progress.task:
            self._progress.task.hosts.discard(result.host.get_name())

    def _failure(self, result: Any, message: str) -> None:
        name = _name(result.task)
        # The verdict repeats what is known, for all Pis at once; a Pi that only fails with the others adds nothing.
        if (name, message) in self._shown:
            return
        self._shown.add((name, message))
        with self._lock:
            for event in self._progress.failed(result.host.get_name(), name, message, time.time()):
                self._event(event)

    def _understand(self, host: str, task: Any, found: dict[str, Any]) -> None:
        """What a result says about the migration."""
        action = task.resolved_action or task.action
        events: list[Event] = []
        facts = found.get("ansible_facts") or {}
        if isinstance(found.get("phase_states"), dict) and action.startswith(f"{COLLECTION}."):
            events = self._progress.journal(host, found["phase_states"], time.time(), first=action.endswith("_info"))
        elif action == f"{COLLECTION}.quorum_watch" and found.get("path") and not self._tails:
            folder = Path(found["path"])
            self._tails = {name: Tail(folder / f"{name}.jsonl") for name in ("samples", "alerts")}
        elif action == f"{COLLECTION}.migration_cluster_info" and isinstance(found.get("status"), dict):
            self._progress.status = found["status"]
        elif "raft_migration" in facts:
            self._progress.configured(facts["raft_migration"])
        elif action in ("debug", "ansible.builtin.debug") and "msg" in found:
            self._message(host, found["msg"])
        for event in events:
            self._event(event)

    def _message(self, host: str, message: Any) -> None:
        """A message for people: a list is lines, a structure is JSON."""
        if isinstance(message, (list, tuple)) and all(isinstance(line, str) for line in message):
            text = "\n".join(message)
        else:
            # Among the events a structure takes one line, alone it is meant to be read by a program.
            indent = 2 if self._quiet else None
            # Before it becomes JSON: an escape of ours in the middle of it would not be one of JSON's.
            clean = visible_in(message)
            text = (
                clean if isinstance(clean, str) else json.dumps(clean, indent=indent, ensure_ascii=False, default=str)
            )
            if not self._quiet and not isinstance(message, str):
                text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
        if ("message", text) in self._shown:
            return
        self._shown.add(("message", text))
        if self._quiet:
            self._print("text", text)
        else:
            self._event(Event("text", text, time.time()))

    # --- showing it ------------------------------------------------------------------------------

    def _tick(self, stop: threading.Event) -> None:
        while not stop.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        """What the watch has seen meanwhile, and the picture anew."""
        with self._lock:
            if self._finished:
                return
            events = [
                event
                for tail in (self._tails.get("samples"),)
                if tail
                for line in tail.read()
                for event in self._progress.sample(line)
            ]
            events += [
                event
                for tail in (self._tails.get("alerts"),)
                if tail
                for line in tail.read()
                for event in self._progress.alert(line)
            ]
            if not self._screen:
                events += self._progress.waiting(time.time())
            for event in events:
                self._event(event)
            if self._screen and not self._paused and not self._quiet:
                self._screen.draw(self._progress.panel(time.time()))

    def _event(self, event: Event) -> None:
        if self._quiet and event.kind == "info":
            return
        # Further lines stand under the first one: what a daemon wrote must not look like an event of this run.
        self._print(event.kind, f"{clock(event.at)}  {event.text}".replace("\n", "\n" + INDENT))

    def _print(self, kind: str, line: str) -> None:
        with self._lock:
            self._progress.last_line = time.time()
            self._display.display(visible(line), color=COLOURS.get(kind))
            sys.stdout.flush()


def _name(task: Any) -> str:
    """A task's name without its role."""
    return str(task.get_name()).rpartition(" : ")[2].strip()


def _message(found: dict[str, Any]) -> str:
    text = str(found.get("msg") or found.get("stderr") or found.get("reason") or "no reason given").strip()
    # Room for a whole table of findings; what is longer is a trace that another module has put there.
    return f"{text[:20000]} …" if len(text) > 20000 else text
