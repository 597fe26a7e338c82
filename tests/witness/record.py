# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories of the witness with a real Raft cluster on loopback addresses: three test daemons, six routes, and what
happens to them.

    python3 -m tests.witness.record tests/witness/histories/cutover.jsonl.gz

records the history that the tests of the judge are built on: calm, a fence of two seconds, and a change of leaders.
"""

from __future__ import annotations

import contextlib
import gzip
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.daemon.clusters import Cluster, Daemon, eventually, find_program

from .program import final_state_beside

CHECKOUT = Path(__file__).resolve().parents[2]
REST_PORT = 8082  # of every daemon, each on an address of its own


@dataclass
class Watched:
    """A cluster under the eyes of a running witness."""

    cluster: Cluster
    process: subprocess.Popen[str]

    def hurry(self) -> None:
        """The cutover is near."""
        self.process.send_signal(signal.SIGUSR1)

    def fence(self, seconds: float) -> float:
        """The leader refuses writes for a while; the seconds from before it does to after."""
        leader = self.cluster.leader
        began = time.monotonic()
        self._read_only(leader, True)
        time.sleep(seconds)  # the length of a fence is what is recorded, not a condition
        self._read_only(leader, False)
        return time.monotonic() - began

    @staticmethod
    def _read_only(leader: Daemon, on: bool) -> None:
        status, answer = leader.ask("PUT", "/api/v1/raft/read-only", {"enabled": on})
        assert status == 200, answer

    def hand_over(self) -> Daemon:
        """Leadership goes to the next daemon."""
        nodes = self.cluster.nodes
        after = nodes[(nodes.index(self.cluster.leader) + 1) % len(nodes)]
        status, answer = self.cluster.leader.ask("POST", "/api/v1/raft/leader/transfer", {"target_id": after.id})
        assert status == 200, answer
        eventually(lambda: after.status().get("is_leader"), f"{after.id} leads")
        return after

    def kill_leader(self) -> Daemon:
        """The leader dies and is started again once another one leads."""
        leader = self.cluster.leader
        leader.stop(signal.SIGKILL)
        eventually(lambda: self.cluster.leader is not leader, "another one leads")
        leader.start()
        eventually(lambda: leader.status().get("leader"), f"{leader.id} knows the leader")
        return leader


@contextlib.contextmanager
def watched(binary: Path, folder: Path, history: Path, profile: str = "full", *more: str) -> Iterator[Watched]:
    """A cluster with a witness at work, which has seen everything answer once."""
    cluster = Cluster(binary, folder, profile)
    ready = folder / "ready.json"
    process = None
    try:
        cluster.start()
        # Two ways to each daemon, as in the lab: its own address, and the Service's from that host.
        routes = [f"--route={kind}{node.id}={node.host}:{REST_PORT}" for kind in ("via-", "") for node in cluster.nodes]
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.witness",
                "run",
                "--out",
                str(history),
                "--ready-file",
                str(ready),
                "--rest-port",
                str(REST_PORT),
                *routes,
                *more,
            ],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running = process

        def warm() -> bool:
            assert running.poll() is None, running.communicate()[0]
            return ready.exists()

        eventually(warm, "every client of the witness has succeeded once", timeout=30)
        yield Watched(cluster, process)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    finally:
        if process is not None and process.poll() is None:
            process.kill()
        cluster.stop()


def cutover(seen: Watched, calm: float = 3.0, fast: float = 4.0) -> float:
    """What clients see of a cutover: a fence, and later another leader. The seconds of the fence."""
    time.sleep(calm)
    seen.hurry()
    time.sleep(fast)
    fenced = seen.fence(2.0)
    time.sleep(fast)
    seen.hand_over()
    time.sleep(fast / 2)
    return fenced


def record(target: Path, scenario: Callable[[Watched], object] = cutover) -> dict[str, Any]:
    """Record a history and its final state, both compressed; returns what the witness used of the processor."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        history = folder / "history.jsonl"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        binary = find_program()
        began = time.monotonic()
        with watched(binary, folder / "cluster", history) as seen:
            scenario(seen)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        target.parent.mkdir(parents=True, exist_ok=True)
        for source, path in ((history, target), (final_state_beside(history), final_state_beside(target))):
            path.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
        return {
            "seconds": time.monotonic() - began,
            "cpu": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
        }


if __name__ == "__main__":
    print(record(Path(sys.argv[1])))
