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

from tests.e2e import control
from tests.lab import cluster, kubernetes, machines, objects
from tests.lab import state as files
from tests.lab.shell import LabError
from tests.witness.evidence import Limits

REPOSITORY = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("PI_LAB_STATE", "/var/lib/pi-lab"))
JOURNAL = "/var/backups/pi-controller-migration/journal.json"
PHASES = ("prepare", "transfer", "validate", "cutover", "systemd_shutdown", "port_migration", "cleanup")
HANGS = 300.0  # seconds; a run that has not ended by then, or has not come to a task, will not
STRATEGIES = {"parallel": PHASES, "rolling": ("prepare", "transfer", "validate", "cutover", "cleanup")}


def lab_state() -> dict[str, Any]:
    try:
        return json.loads((STATE / "state.json").read_text())
    except FileNotFoundError:
        raise LabError(f"{STATE}/state.json is missing: the lab is not up. Run `make lab-up` first.") from None


def lab(*arguments: str, **environment: str) -> str:
    """One command of the lab; its output goes to the terminal as it comes. `environment` are options of tests/lab/options.py."""
    command = ["python3", "-m", "tests.lab", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, text=True, stdout=sys.stderr, env={**os.environ, **environment})
    if done.returncode:
        raise LabError(
            f"`python3 -m tests.lab {' '.join(arguments)}` ended with {done.returncode}; its last lines say why."
        )
    return ""


def old_world(profile: str, rolled_back: bool = False) -> list[str]:
    """A systemd cluster of this profile that no migration has touched; returns the hosts' names.

    With `rolled_back` one that a rollback has brought back is as good, which saves a reset.
    """
    state = lab_state()
    names = [node["name"] for node in state["nodes"]]
    touched = any(on_host(name, "find", "/var/backups", "-name", "pi-controller-migration") for name in names)
    if state["profile"] != profile or (touched and not (rolled_back and is_rolled_back(names))):
        lab("reset", "--profile", profile)
    # Whoever ran before may have stopped a daemon and started it again, or died before it did.
    try:
        cluster.wait_caught_up(files.require())
    except LabError as error:
        print(f"{error} So it is reset now.", flush=True)
        lab("reset", "--profile", profile)
        cluster.wait_caught_up(files.require())
    return names


SPOILED = f"{Path(JOURNAL).parent}/spoiled-by-a-test"
# Nothing of a migration is left in its place but its backups.
BROUGHT_BACK = (
    f"for path in {JOURNAL} {SPOILED} /var/lib/pi-controller-pods /var/lib/pi-controller.systemd.backup; do "
    "[ ! -e $path ] || exit 1; done; "
    "systemctl is-enabled --quiet pi-controller && systemctl is-active --quiet pi-controller && "
    "! nft list tables | grep --quiet pi_controller_gate"
)


def is_rolled_back(names: Sequence[str]) -> bool:
    """Whether all units serve again, and nothing of the pods is left."""
    nodes = [files.require().node(name) for name in names]
    if any(machines.execute(node, ["sh", "-c", BROUGHT_BACK], check=False).returncode for node in nodes):
        return False
    return kubectl_json("-n", "pi-controller", "get", "daemonsets,pods")["items"] == []


def spoil(names: Sequence[str]) -> None:
    """No later test starts from this lab as it is: the next one has it reset."""
    for name in names:
        on_host(name, f"mkdir -p {Path(SPOILED).parent} && touch {SPOILED}")


def reached(profile: str, phases: Sequence[str]) -> list[str]:
    """A cluster of this profile on which exactly these phases are done, with `parallel`; returns the hosts' names.

    A test before this one has left it so, or they are run now.
    """
    names = [node["name"] for node in lab_state()["nodes"]]
    if lab_state()["profile"] != profile or any(phase_states(name) != dict.fromkeys(phases, "done") for name in names):
        old_world(profile)
        run = run_playbook("playbooks/migrate.yml", "--tags", ",".join(phases))
        if run.returncode:
            raise LabError(f"The phases that this test starts from ended with {run.returncode}: {run.output[-4000:]}")
    cluster.wait_caught_up(files.require())
    return names


def phase_states(name: str) -> dict[str, str]:
    """The state of each phase that this Pi's journal knows; empty without a journal, and of a migration Pi by Pi."""
    if JOURNAL not in on_host(name, "find", "/var/backups", "-path", JOURNAL).splitlines():
        return {}
    kept = journal(name)
    phases = kept["phases"] if kept.get("strategy", "parallel") == "parallel" else {}
    return {phase: entry["state"] for phase, entry in phases.items()}


def migrated(profile: str, log: Path, installed: Path | None = None) -> list[str]:
    """A cluster of this profile that is migrated to its end, by a test before this one or now; returns the hosts' names.

    A migration takes longer than most of what is looked at after it, so tests that start where one has ended share it.
    """
    names = [node["name"] for node in lab_state()["nodes"]]
    if lab_state()["profile"] == profile and all(is_migrated(name) for name in names):
        cluster.wait_caught_up(files.require())
        return names
    old_world(profile)
    run = run_playbook("playbooks/migrate.yml", "-e", "confirm=true", log=log, installed=installed)
    if run.returncode:
        raise LabError(f"The migration that this test starts from ended with {run.returncode}: {run.output[-4000:]}")
    return names


def is_migrated(name: str) -> bool:
    """Whether this Pi's journal says that the last phase of `parallel` is done."""
    return phase_states(name).get(PHASES[-1]) == "done"


def on_host(name: str, *command: str) -> str:
    """The output of a command line on a Pi. Raises LabError where it ends with another status than 0."""
    return machines.execute(files.require().node(name), ["bash", "-c", " ".join(command)]).stdout


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """The output of kubectl with the lab's kubeconfig. Raises LabError where it fails."""
    lab = files.require()
    return objects.kubectl(kubernetes.named(lab.provider, lab.options), *arguments, stdin=stdin)


def kubectl_json(*arguments: str) -> dict[str, Any]:
    """Objects as the API server holds them."""
    found: dict[str, Any] = json.loads(kubectl(*arguments, "-o", "json"))
    return found


# The line of a play or a task, and its name.
BEGINS = re.compile(r"(PLAY|TASK) \[(.+?)\] \*")


@dataclass(frozen=True)
class Moment:
    """A play or a task begins, so many seconds after the run did."""

    seconds: float
    kind: str
    name: str


@dataclass
class PlaybookRun:
    """What one ansible-playbook run came to."""

    returncode: int
    output: str
    seconds: float
    changed: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)

    @property
    def plays(self) -> list[str]:
        return [moment.name for moment in self.moments if moment.kind == "PLAY"]

    @property
    def tasks(self) -> int:
        """How many tasks it came to, skipped ones too."""
        return sum(moment.kind == "TASK" for moment in self.moments)


class Play:
    """One ansible-playbook run, in a process group of its own: it can be watched while it runs, and killed.

    With `installed`, the folder that tests/tarball.sh installed the collection into, nothing of this checkout is used but the
    inventory, and no home or configuration of whoever runs the tests. `config` and `inventory` are files in place of the usual ones.
    """

    def __init__(
        self,
        playbook: str | Path,
        *arguments: str,
        log: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        installed: Path | None = None,
        config: Path | None = None,
        inventory: Path | None = None,
    ) -> None:
        tool = Path(sys.executable).with_name("ansible-playbook")
        # Its lines are parsed; what people see is tested elsewhere.
        environment = {
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        }
        if installed:
            where, playbook = installed / "empty", f"pi_controller.raft_migration.{Path(playbook).stem}"
            environment |= {"HOME": str(installed / "home"), "ANSIBLE_COLLECTIONS_PATH": str(installed / "collections")}
        else:
            where = REPOSITORY
            environment["ANSIBLE_CONFIG"] = str(config or REPOSITORY / "ansible.cfg")
        command = [str(tool), str(playbook), "-i", str(inventory or REPOSITORY / "inventories/lab"), *arguments]
        self.began = time.monotonic()
        self._lines: list[str] = []
        self._moments: list[Moment] = []
        self._log = log
        self._on_line = on_line
        self.process = subprocess.Popen(
            command,
            cwd=where,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(self._log.open("w")) if self._log else None
            for line in self.process.stdout:
                self._lines.append(line)
                if found := BEGINS.match(line):
                    self._moments.append(Moment(time.monotonic() - self.began, found[1], found[2]))
                if out:
                    out.write(line)
                    out.flush()
                if GOES_BACK.match(line):
                    for witness in _watching:
                        witness.hurry()
                if self._on_line:
                    self._on_line(line)

    def kill(self) -> None:
        """SIGKILL to the whole run, its workers too: they have sessions of their own. Nothing is cleaned up."""
        for pid in control.family(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> PlaybookRun:
        returncode = self.process.wait(timeout)
        # A process that outlives the run may hold the pipe; the output of the run itself is there by then.
        self._reader.join(5)
        output = "".join(self._lines)
        recap = re.findall(
            r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", output, re.MULTILINE
        )
        return PlaybookRun(
            returncode,
            output,
            time.monotonic() - self.began,
            changed={host: int(changed) for host, changed, _, _ in recap},
            failed={host: int(unreachable) + int(failed) for host, _, unreachable, failed in recap},
            moments=self._moments,
        )


def inventory_with(folder: Path, name: str, **variables: Any) -> list[str]:
    """Arguments that give one host other variables."""
    path = folder / "other-variables.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": {name: variables}}}))
    return ["-i", str(path)]


def run_playbook(
    playbook: str | Path, *arguments: str, log: Path | None = None, show: bool = False, installed: Path | None = None,
    config: Path | None = None, inventory: Path | None = None,
) -> PlaybookRun:  # fmt: skip
    """Run a playbook against the lab to its end, as a user would."""
    began = time.monotonic()

    def shown(line: str) -> None:
        if show and (found := BEGINS.match(line)):
            prefix = "" if found[1] == "PLAY" else "    "
            print(f"{time.monotonic() - began:7.1f} s  {prefix}{found[2]}", flush=True)

    play = Play(playbook, *arguments, log=log, on_line=shown, installed=installed, config=config, inventory=inventory)
    try:
        run = play.wait()
    except BaseException:
        play.kill()
        raise
    # A migration does not fail because of its report. A test does.
    if lost := re.search(r"The report of this run could not be written.*", run.output):
        raise LabError(lost[0])
    # Nor because of a name that cannot be shown, which an owner would take for trouble.
    if broken := re.search(r"Encountered \d+ template errors?\.\n.*", run.output):
        raise LabError(broken[0])
    return run


# Tasks of a whole run with three Pis: each is a round trip, a second or more on a Pi over Wi-Fi. What is reached, so that it does not grow.
MOST_TASKS = {"parallel": 106, "rolling": 87}

# What the owner of a cluster of the published daemon sets: every Pi takes writes, and keeps them to itself.
PUBLISHED = ["-e", json.dumps({"pi_controller_followers_write": True})]


def strategy_arguments(strategy: str, **more: Any) -> list[str]:
    """Arguments of a migration that goes this way, with more settings of `migration`."""
    return ["-e", json.dumps({"migration": {"strategy": strategy, **more}})]


# Longest stretches without success, in seconds, that are still a pass on the machine of `pace.REFERENCE`; tests scale them to the one
# that they run on (`pace.here`).
CALM = Limits(write_pause=5, read_gap=3, recovery=5)
# A network fence keeps reads off the old leader's own address as well; that is allowed for by `price_of_upstream`. Where no leadership is
# handed over, two members may start an election at once, and the write pause lasts for a second round of it.
CALM_UPSTREAM = Limits(write_pause=10, read_gap=3, recovery=10)
# From the last phases back, pods and units must not run at once: for a while there is no daemon that could answer.
ROLLBACK = Limits(write_pause=25, read_gap=25, recovery=30)
# On top of what each fault explains: see tests/faults/README.md.
FAULTS = Limits(write_pause=30, read_gap=15, recovery=45)

# Each election leaves a second of writes without an answer.
FAULTS_UNKNOWN = ["--max-unknown-share", "0.3"]

# Longest time in which a client of the witness may have done nothing: it has an operation under way every half second.
HOLE = 5

# Plays in which clients meet one cluster in the place of the other. (A play of the migration is known by the journal: see _near_cutover.)
GOES_BACK = re.compile(r"^PLAY \[ROLLBACK")
LOOK = 0.5  # seconds between two looks at the journal


@dataclass
class Witness:
    """The witness of one run: its files, and how it is judged."""

    folder: Path
    history: Path
    process: subprocess.Popen[bytes]

    def hurry(self) -> None:
        """Clients are about to meet another cluster: write and read often for a while."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)

    def judge(self, limits: Limits, *arguments: str) -> tuple[dict[str, Any], str]:
        """The verdict, and its summary for people. A verdict that was refused is not `ok` either."""
        verdict = self.folder / "verdict.json"
        bounds = [
            "--max-write-pause",
            str(limits.write_pause),
            "--max-read-gap",
            str(limits.read_gap),
            "--max-recovery",
            str(limits.recovery),
            "--max-hole",
            str(HOLE),
        ]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.witness",
                "judge",
                str(self.history),
                "--json",
                str(verdict),
                *bounds,
                *arguments,
            ],
            cwd=REPOSITORY,
            text=True,
            capture_output=True,
            timeout=300,
        )
        if done.returncode not in (0, 1, 3):
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


def refused_in_their_turns(folder: Path, hosts: Sequence[str], back: bool = False) -> list[str]:
    """What a daemon that keeps its data to itself costs clients, for the judge of a migration or rollback that is done: each Pi's own
    are refused in its turn.
    """
    phase, read = ("rollback", last_journal) if back else ("cutover", journal)
    turns = {host: read(host)["phases"][phase]["facts"] for host in hosts}
    path = folder / "turns.json"
    path.write_text(
        json.dumps(
            [
                {"route": host, "from": float(turn["refused_from"]), "to": float(turn["refused_to"])}
                for host, turn in turns.items()
            ],
            indent=1,
        )
    )
    return ["--allowances", str(path)]


def service_address() -> str:
    """The cluster address of the Service that clients use before, during and after."""
    return lab_state()["service_address"]


_watching: list[Witness] = []  # those that runs of this process are watched by


def _near_cutover(witness: Witness, over: threading.Event) -> None:
    """Let the witness know while any Pi's journal is between the start of `validate` and the end of `cutover`."""
    journals = [
        machines.root(node) / "var/backups/pi-controller-migration/journal.json" for node in files.require().nodes
    ]
    while not over.wait(LOOK):
        for path in journals:
            # There is none before and after a migration, and a Pi may be without power.
            with contextlib.suppress(OSError, ValueError, KeyError):
                phases = json.loads(path.read_text())["phases"]
                if "validate" in phases and phases.get("cutover", {}).get("state") != "done":
                    witness.hurry()
                    break


@contextlib.contextmanager
def witnessed(folder: Path, *arguments: str, apart: bool = False) -> Iterator[Witness]:
    """Clients read and write from before the block to after it; `arguments` are more of the witness's own.

    With `apart` each Pi keeps its data to itself.
    """
    history, ready = folder / "history.jsonl", folder / "witness-ready.json"
    log = (folder / "witness.log").open("w")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.witness",
            "run",
            "--state",
            str(STATE / "state.json"),
            "--service",
            service_address(),
            "--out",
            str(history),
            "--ready-file",
            str(ready),
            "--limit",
            "1200",
            *(["--apart"] if apart else []),
            *arguments,
        ],
        cwd=REPOSITORY,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(
                    f"The witness did not get going; {folder}/witness.log says: {(folder / 'witness.log').read_text()[-500:]}"
                )
            time.sleep(0.1)
        witness = Witness(folder, history, process)
        _watching.append(witness)
        over = threading.Event()
        looking = threading.Thread(target=_near_cutover, args=(witness, over), daemon=True)
        looking.start()
        try:
            yield witness
        finally:
            over.set()
            looking.join()
            _watching.remove(witness)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)  # it waits until all routes agree on what is there in the end, and saves that
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def journal(host: str = "pi-1") -> dict[str, Any]:
    """The journal as the Pi holds it."""
    return json.loads(on_host(host, "cat", JOURNAL))


def last_journal(host: str) -> dict[str, Any]:
    """The journal that a finished rollback has put aside last on this Pi."""
    found: dict[str, Any] = json.loads(on_host(host, f"cat $(ls -t {Path(JOURNAL).parent}/journal.*.json | head -n 1)"))
    return found


def alerts(run: PlaybookRun) -> list[dict[str, Any]]:
    """What the quorum watch raised in the run that has just ended. It has looked, or there would be none either."""
    samples = (control.FOLDER / "watch/samples.jsonl").read_text().splitlines()
    began = time.time() - run.seconds
    assert any(json.loads(line)["at"] > began for line in samples), "no watch has looked at this run"
    file = control.FOLDER / "watch/alerts.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def phases(folder: Path, hosts: Sequence[str]) -> list[str]:
    """Arguments for the judge: when each phase was, from the first Pi that started it to the last that finished."""
    path = folder / "phases.json"
    path.write_text(
        json.dumps(
            [
                {"name": name, "from": began.timestamp(), "to": ended.timestamp()}
                for name, (began, ended) in phase_times(hosts).items()
            ],
            indent=1,
        )
    )
    return ["--phases", str(path)]


def phase_seconds(hosts: Sequence[str]) -> dict[str, float]:
    """Seconds each phase took, from the first Pi that started it to the last that finished."""
    return {phase: (ended - began).total_seconds() for phase, (began, ended) in phase_times(hosts).items()}


def phase_times(hosts: Sequence[str]) -> dict[str, tuple[datetime, datetime]]:
    """When each phase that every Pi has finished began and ended."""
    journals = [journal(host)["phases"] for host in hosts]
    result = {}
    for phase in PHASES:
        entries = [entries[phase] for entries in journals if entries.get(phase, {}).get("state") == "done"]
        if len(entries) == len(hosts):
            result[phase] = (
                min(datetime.fromisoformat(entry["started"]) for entry in entries),
                max(datetime.fromisoformat(entry["finished"]) for entry in entries),
            )
    return result
