# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's hosts as testinfra sees them: every test with a `host` runs once on every Pi."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:
    sys.path.insert(0, str(REPOSITORY))

from tests.e2e import control, rehearsal  # noqa: E402
from tests.e2e import hosts as on  # noqa: E402
from tests.lab.cluster import ROWS  # noqa: E402
from tests.witness.history import NAME_PREFIX  # noqa: E402


@pytest.fixture(scope="module", params=[node["name"] for node in rehearsal.lab_state()["nodes"]])
def host(request: pytest.FixtureRequest) -> Host:
    """In place of testinfra's own, which goes by ssh."""
    return on.host(request.param)


@pytest.fixture
def addresses() -> dict[str, str]:
    """The address of every Pi, by its name."""
    return {node["name"]: node["address"] for node in rehearsal.lab_state()["nodes"]}


@pytest.fixture
def control_dir() -> Path:
    """Where the control node keeps its copies: in a scenario, in the end-to-end tests."""
    scenario = os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY")
    return Path(scenario) / "control-node" if scenario else control.FOLDER


@pytest.fixture
def daemons(host: Host) -> dict[str, list[int]]:
    """Process IDs of pi-controller on this Pi, by who runs it: systemd or the kubelet."""
    found: dict[str, list[int]] = {"unit": [], "pod": []}
    for process in host.process.filter(comm=on.DAEMON):
        cgroup = host.file(f"/proc/{process.pid}/cgroup").content_string
        assert "kubepods" in cgroup or f"/{on.DAEMON}.service" in cgroup, cgroup
        found["pod" if "kubepods" in cgroup else "unit"].append(process.pid)
    return found


@pytest.fixture
def ports(host: Host) -> Callable[[int], set[int]]:
    """TCP ports that a process listens on."""

    def of(pid: int) -> set[int]:
        lines = host.check_output("ss -Hltnp").splitlines()
        return {int(line.split()[3].rpartition(":")[2]) for line in lines if f"pid={pid}," in line}

    return of


@pytest.fixture
def mounts(host: Host) -> Callable[[int], dict[str, tuple[str, set[str]]]]:
    """What a process has mounted: mount point to (folder of the Pi, options)."""

    def of(pid: int) -> dict[str, tuple[str, set[str]]]:
        lines = [line.split() for line in host.file(f"/proc/{pid}/mountinfo").content_string.splitlines()]
        return {fields[4]: (fields[3], set(fields[5].split(","))) for fields in lines}

    return of


@pytest.fixture
def holds_hardware(host: Host) -> Callable[[int], bool]:
    """Whether a process has the lab's GPIO device open."""

    def does(pid: int) -> bool:
        # Other files may be closed while they are looked at, so the exit code says nothing.
        return host.run(f"find /proc/{pid}/fd -lname /dev/gpiochip0").stdout != ""

    return does


@pytest.fixture
def members(host: Host) -> Callable[[int], set[tuple[str, str, bool]]]:
    """The members (ID, address, voter) that the daemon on one port of this Pi knows."""

    def known(port: int) -> set[tuple[str, str, bool]]:
        return {
            (member["ID"], member["Address"], member["Voter"]) for member in on.raft_status(host, port)["members"] or []
        }

    return known


@pytest.fixture
def seeded() -> Callable[[dict[str, list[dict[str, Any]]]], dict[str, int]]:
    """How many rows of each table the lab's cluster came with.

    A scenario's clients name theirs `written-...`, and those of the witness have its prefix.
    """
    return lambda content: {
        table: sum(not str(row.get("name", "")).startswith(("written-", NAME_PREFIX)) for row in rows)
        for table, rows in content.items()
    }


@pytest.fixture
def content(host: Host) -> Callable[[int], dict[str, list[dict[str, Any]]]]:
    """The user's data, table by table, as the daemon on one port of this Pi itself has it: no gate routes this elsewhere."""

    def on_port(port: int) -> dict[str, list[dict[str, Any]]]:
        url = f"http://127.0.0.1:{port}/api/v1"
        return {
            table: json.loads(host.check_output(f"curl -sf --max-time 5 --interface {on.OPERATOR} {url}/{table}"))[
                table
            ]
            for table in ROWS
        }

    return on_port
