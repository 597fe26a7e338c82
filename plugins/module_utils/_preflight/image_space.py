# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the kubelet would remove the image of the pods before they need it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from .._core.journal import PARALLEL
from .disk import bytes_written
from .findings import WARNING, Finding, size
from .plan import Plan


def image_space_findings(plan: Plan, host: str, seen: Mapping[str, Any], way: str) -> Iterator[Finding]:
    """Until its pod starts no pod uses the image: with `rolling` from the end of the trial until the Pi's turn."""
    space = seen["image_space"]
    # With 100 the kubelet removes none.
    if not plan.image or not space or not space["total"] or space["high_percent"] >= 100:
        return
    total, high = space["total"], space["high_percent"]
    written = bytes_written(seen, space["device"], way)
    left = max(space["free"] - written, 0)
    # The kubelet counts so: whole percents of what is free.
    used = 100 - left * 100 // total
    if used < high:
        return
    copies = f", with the {size(written)} that the migration writes" if written else ""
    wanted_free = math.ceil(total * (101 - high) / 100)
    bring = "import" if plan.pull_policy == "Never" else "pull"
    when = "prepare" if plan.strategy == PARALLEL else "the cutover"
    yield Finding(
        host,
        "image space",
        f"{used} % of {size(total)} used at {space['path']}{copies}",
        f"less than {high} %: from there on the kubelet removes images that no pod uses, also {plan.image}",
        f"free {size(wanted_free - left)} there, or {bring} {plan.image} again right before {when}",
        WARNING,
    )
