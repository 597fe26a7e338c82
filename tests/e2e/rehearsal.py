# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One migration of the lab under the eyes of the witness: what the demo shows and the end-to-end tests judge."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.lab import cluster
from tests.lab import state as files

REPOSITORY = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("PI_LAB_STATE", "/var/lib/pi-lab"))
# Where runs keep what is theirs on the control node, unless they are told otherwise.
CONTROL = Path.home() / ".local/state/pi-controller-migration"
PHASES = ("prepare", "transfer", "validate", "cutover", "systemd_shutdown", "port_migration", "cleanup")


class LabError(Exception):
    """What keeps a rehearsal from going on; the message says what to do."""


def lab_state() -> dict[str, Any]:
    try:
        return json.loads((STATE / "state.json").read_text())
    except FileNotFoundError:
        raise LabError(f"{STATE}/state.json is missing: the lab is not up. Run `make lab-up` first.") from None


def lab(*arguments: str) -> str:
    """One command of the lab; its output goes to the terminal as it comes."""
    done = subprocess.run(["python3", "-m", "tests.lab", *arguments], cwd=REPOSITORY, text=True, stdout=sys.stderr)
    if done.returncode:
        raise LabError(f"`python3 -m tests.lab {' '.join(arguments)}` ended with {done.returncode}; its last lines say why.")
    return ""


def old_world(profile: str) -> list[str]:
    """A systemd cluster of this profile that no migration has touched; returns the hosts' names."""
    state = lab_state()
    names = [node["name"] for node in state["nodes"]]
    touched = any(on_host(name, "find", "/var/backups", "-name", "pi-controller-migration") for name in names)
    if touched or state["profile"] != profile:
        lab("reset", "--profile", profile)
    # Whoever ran before may have stopped a daemon and started it again.
    cluster.wait_caught_up(files.require())
    return names


def on_host(name: str, *command: str) -> str:
    """The output of a command on a Pi."""
    done = subprocess.run(["ssh", "-F", lab_state()["ssh_config"], name, *command], text=True, capture_output=True, timeout=60)
    if done.returncode:
        raise LabError(f"{name}: `{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def kubectl_json(*arguments: str) -> dict[str, Any]:
    """Objects as the API server holds them."""
    done = subprocess.run(
        ["python3", "-m", "tests.lab", "kubectl", "--", *arguments, "-o", "json"], cwd=REPOSITORY, text=True, capture_output=True, timeout=60
    )
    if done.returncode:
        raise LabError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


@dataclass
class PlaybookRun:
    """What one ansible-playbook run came to."""

    returncode: int
    output: str
    seconds: float
    changed: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    @property
    def plays(self) -> list[str]:
        return re.findall(r"^PLAY \[(.+?)\] \*", self.output, re.MULTILINE)


class Play:
    """One ansible-playbook run, in a process group of its own: it can be watched while it runs, and killed.

    With `installed`, the folder that tests/tarball.sh installed the collection into, nothing of this checkout is used but the
    inventory, and no home or configuration of whoever runs the tests.
    """

    def __init__(self, playbook: str | Path, *arguments: str, log: Path | None = None, on_line: Callable[[str], None] | None = None,
                 installed: Path | None = None) -> None:
        tool = Path(sys.executable).with_name("ansible-playbook")
        # Its lines are parsed; what people see is tested elsewhere.
        environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
        if installed:
            where, playbook = installed / "empty", f"pi_controller.raft_migration.{Path(playbook).stem}"
            environment |= {"HOME": str(installed / "home"), "ANSIBLE_COLLECTIONS_PATH": str(installed / "collections")}
        else:
            where = REPOSITORY
            environment["ANSIBLE_CONFIG"] = str(REPOSITORY / "ansible.cfg")
        command = [str(tool), str(playbook), "-i", str(REPOSITORY / "inventories/lab"), *arguments]
        self.began = time.monotonic()
        self._lines: list[str] = []
        self._log = log
        self._on_line = on_line
        self.process = subprocess.Popen(command, cwd=where, env=environment, text=True, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(self._log.open("w")) if self._log else None
            for line in self.process.stdout:
                self._lines.append(line)
                if out:
                    out.write(line)
                    out.flush()
                if self._on_line:
                    self._on_line(line)

    def kill(self) -> None:
        """SIGKILL to the whole run, its workers too: they have sessions of their own. Nobody gets to tidy up."""
        for pid in [self.process.pid, *_descendants(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> PlaybookRun:
        returncode = self.process.wait(timeout)
        # A process that outlives the run may hold the pipe; what the run itself said is there by then.
        self._reader.join(5)
        output = "".join(self._lines)
        recap = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", output, re.MULTILINE)
        return PlaybookRun(
            returncode,
            output,
            time.monotonic() - self.began,
            changed={host: int(changed) for host, changed, _, _ in recap},
            failed={host: int(unreachable) + int(failed) for host, _, unreachable, failed in recap},
        )


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


def inventory_with(folder: Path, name: str, **variables: Any) -> list[str]:
    """Arguments that give one host other variables."""
    path = folder / "other-variables.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": {name: variables}}}))
    return ["-i", str(path)]


def run_playbook(
    playbook: str | Path, *arguments: str, log: Path | None = None, show: bool = False, installed: Path | None = None
) -> PlaybookRun:
    """Run a playbook against the lab to its end, as a user would."""
    began = time.monotonic()

    def told(line: str) -> None:
        if show and (found := re.match(r"(PLAY|TASK) \[(.+?)\] \*", line)):
            prefix = "" if found[1] == "PLAY" else "    "
            print(f"{time.monotonic() - began:7.1f} s  {prefix}{found[2]}", flush=True)

    play = Play(playbook, *arguments, log=log, on_line=told, installed=installed)
    try:
        return play.wait()
    except BaseException:
        play.kill()
        raise


@dataclass
class Witness:
    """The witness of one run: its files, and how it is judged."""

    folder: Path
    history: Path

    def judge(self, *arguments: str) -> tuple[dict[str, Any], str]:
        """The verdict, and its summary for people."""
        verdict = self.folder / "verdict.json"
        done = subprocess.run(
            [sys.executable, "-m", "tests.lab.witness", "judge", str(self.history), "--json", str(verdict), *arguments],
            cwd=REPOSITORY, text=True, capture_output=True, timeout=300,
        )
        if done.returncode not in (0, 1):
            raise LabError(f"The witness's judge could not do its work: {done.stderr.strip()}")
        return json.loads(verdict.read_text()), done.stdout


# When a pod that leads is replaced on profile upstream, which cannot hand leadership over, the others learn that its last writes are
# committed only from the next leader: up to 2 s until they miss it, then an election.
UPSTREAM_LAGS = ["--staleness", "4"]


def price_of_upstream(old_leader: str) -> list[str]:
    """What a daemon that can neither refuse writes nor hand over leadership costs clients, for the judge of a migration that is done.

    Reads at the old leader's own address may fail while the network fence holds.
    """
    facts = journal()["phases"]["cutover"]["facts"]
    began = float(facts["fenced_at"])
    fence = [str(began), str(began + facts["write_pause_seconds"])]
    return [*UPSTREAM_LAGS, "--allow-failed-reads-at", old_leader, "--between", *fence]


def service_address() -> str:
    """The cluster address of the Service that clients use before, during and after."""
    return lab_state()["service_address"]


@contextlib.contextmanager
def witnessed(folder: Path) -> Iterator[Witness]:
    """Clients read and write from before the block to after it."""
    history, ready = folder / "history.jsonl", folder / "witness-ready.json"
    log = (folder / "witness.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.witness", "run", "--state", str(STATE / "state.json"), "--service", service_address(),
         "--out", str(history), "--ready-file", str(ready), "--limit", "1200"],
        cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"The witness did not get going; {folder}/witness.log says: {(folder / 'witness.log').read_text()[-500:]}")
            time.sleep(0.1)
        yield Witness(folder, history)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def journal(host: str = "pi-1") -> dict[str, Any]:
    """The journal as the Pi holds it."""
    return json.loads(on_host(host, "cat", "/var/backups/pi-controller-migration/journal.json"))


def alerts() -> list[dict[str, Any]]:
    """What the quorum watch of the last run raised."""
    file = CONTROL / "watch/alerts.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def phase_seconds(hosts: Sequence[str]) -> dict[str, float]:
    """Seconds each phase took, from the first Pi that started it to the last that finished."""
    journals = [journal(host)["phases"] for host in hosts]
    result = {}
    for phase in PHASES:
        entries = [entries[phase] for entries in journals if entries.get(phase, {}).get("state") == "done"]
        if len(entries) == len(hosts):
            began = min(datetime.fromisoformat(entry["started"]) for entry in entries)
            ended = max(datetime.fromisoformat(entry["finished"]) for entry in entries)
            result[phase] = (ended - began).total_seconds()
    return result
