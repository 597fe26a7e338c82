# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The combinations of versions that `make matrix` runs: the corners of what the README says is supported, not the whole product."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# The Python of each Debian.
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
DEBIANS = {"bookworm": "12", "trixie": "13"}
# ansible-core to the Python that it is tested with, as in tests/lab/environment.sh.
CONTROLLERS = {"2.19": "3.11", "2.20": "3.12", "2.21": "3.13"}


@dataclass(frozen=True)
class Corner:
    name: str
    lab: dict[str, str] = field(default_factory=dict)
    """The lab's options, as environment variables; see tests/lab/options.py."""
    controller: str = ""
    """An ansible-core for tests/lab/environment.sh; empty for the newest."""
    kernel_module: str = ""
    """Left out, and reported as left out, where the kernel has no such module."""


SLICES = {"BACKENDS": "slices"}
CORNERS = (
    Corner("newest", SLICES),
    # Whoever set it up long ago has an Endpoints object.
    Corner("oldest", {"KUBERNETES": "oldest", "SUITE": "bookworm", "BACKENDS": "endpoints"}, controller="2.19"),
    Corner("nftables", {"PROXY": "nftables", **SLICES}),
    Corner("ipvs", {"PROXY": "ipvs", **SLICES}, kernel_module="ip_vs"),
    Corner("kine", {"DATASTORE": "kine", **SLICES}),
    Corner("ipv6", {"FAMILY": "ipv6", **SLICES}),
    Corner("slow-pis", {"CPU": "0.2", **SLICES}),
)
# Of the time of the corner `newest`, in the same run.
NOT_SLOWER = {"nftables": 1.2}


def has_kernel_module(name: str) -> bool:
    """Loaded, built in, or there to be loaded on demand."""
    if Path("/sys/module", name).exists():
        return True
    release = Path("/proc/sys/kernel/osrelease").read_text().strip()
    listed = [Path("/lib/modules", release, file) for file in ("modules.builtin", "modules.dep")]
    return any(re.search(rf"/{name}\.ko", path.read_text()) for path in listed if path.exists())
