# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments within a task. The play shows only when a task begins, so the Pi itself is watched for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.lab import faults, machines
from tests.lab.shell import LabError
from tests.lab.state import Node

from .pis import POD_DATA, Pis

COMES_WITHIN = 60.0  # seconds; the task before the moment may have to wait for the cluster
LOOK = 0.001  # seconds; the moments themselves last a tenth of a second

Ahead = Callable[[], bool]


def _unit_stopped(pis: Pis, node: Node) -> Ahead:
    """Its process has just gone."""
    running = faults.processes(node, owner=faults.UNIT)
    return lambda: bool(running) and not any(Path(f"/proc/{pid}").exists() for pid in running)


def _data_renamed(pis: Pis, node: Node) -> Ahead:
    """The data folder has just become the pod's, which does not run yet."""
    late = machines.root(node).joinpath(POD_DATA).is_dir()
    return lambda: not late and machines.root(node).joinpath(POD_DATA).is_dir()


def _fenced(pis: Pis, node: Node) -> Ahead:
    """The daemon refuses writes."""
    late = pis.read_only(node)
    return lambda: not late and pis.read_only(node)


def _opened(pis: Pis, node: Node) -> Ahead:
    """It has just been written down that the pods may take writes."""
    late = pis.pods_serve()
    return lambda: not late and pis.pods_serve()


MOMENTS: dict[str, Callable[[Pis, Node], Ahead]] = {
    "unit-stopped": _unit_stopped,
    "data-renamed": _data_renamed,
    "fenced": _fenced,
    "opened": _opened,
}


class RunEndedError(Exception):
    """Another fault stopped the run before the moment came. The case is for the next run."""


def await_moment(
    pis: Pis, node: Node, moment: str, ended: Callable[[], bool] = lambda: False, timeout: float = COMES_WITHIN
) -> None:
    """Wait for it on this Pi; at once where it is the beginning of a task.

    Raises RunEndedError where the run has `ended` meanwhile, and LabError if the moment does not come, or was over before.
    """
    if moment not in MOMENTS:
        return
    has_come = MOMENTS[moment](pis, node)
    deadline = time.monotonic() + timeout
    while not has_come():
        if ended():
            raise RunEndedError(moment)
        if time.monotonic() > deadline:
            raise LabError(f"{node.name}: the moment '{moment}' did not come within {timeout:g} s, or was over before")
        time.sleep(LOOK)
