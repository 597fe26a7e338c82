# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs commands of the machine, and turns what goes wrong into one sentence."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class LabError(Exception):
    """One sentence that says what went wrong, what to do, and where to read more."""


class Hopeless(LabError):
    """What is waited for will not come."""


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    stdin: str | bytes | None = None,
    timeout: float = 120,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it printed."""
    words = [str(word) for word in argv]
    data = stdin.encode() if isinstance(stdin, str) else stdin
    source: dict[str, Any] = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
    try:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            words, capture_output=True, timeout=timeout, env=env, cwd=cwd, **source
        )
    except FileNotFoundError as error:
        raise LabError(f"'{words[0]}' is not installed: run `python3 -m tests.lab packages` as root.") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"'{' '.join(words)[:200]}' did not end within {timeout:.0f} s.") from error
    result = subprocess.CompletedProcess(
        words, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
    if check and done.returncode != 0:
        reported = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()[-1]
        raise LabError(f"'{' '.join(words)[:200]}' ended with {done.returncode}: {reported}")
    return result


def run_logged(
    argv: Sequence[str | Path], log: Path, *, timeout: float, env: dict[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Run a long command with its output going to a log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in argv]
    with log.open("ab") as out:
        out.write(f"+ {' '.join(words)}\n".encode())
        out.flush()
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=timeout, env=env, cwd=cwd
            )
        except FileNotFoundError as error:
            raise LabError(f"'{words[0]}' is not installed: run `python3 -m tests.lab packages` as root.") from error
        except subprocess.TimeoutExpired as error:
            raise LabError(f"'{words[0]}' did not end within {timeout:.0f} s: read {log}.") from error
    if done.returncode != 0:
        raise LabError(f"'{words[0]}' ended with {done.returncode}: read the end of {log}, then run the command again.")


def wait_for(what: str, probe: Callable[[], str | None], *, timeout: float, advice: str, interval: float = 0.1) -> None:
    """Wait until the probe returns None. Anything else it returns is the value seen, for the message at the end."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            seen = probe()
        except Hopeless:
            raise
        except (LabError, OSError) as error:
            seen = str(error)
        if seen is None:
            return
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not so after {timeout:.0f} s (seen: {seen}); {advice}.")
        time.sleep(interval)


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do the same for every item at once. The first failure is raised after all have ended."""
    everything = list(items)
    with ThreadPoolExecutor(max_workers=max(1, len(everything))) as pool:
        futures = [pool.submit(work, item) for item in everything]
    return [future.result() for future in futures]
