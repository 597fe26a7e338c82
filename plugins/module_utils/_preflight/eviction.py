# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the copies that the migration makes would have the kubelet evict pods. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .disk import bytes_written
from .findings import Finding, size


def eviction_findings(host: str, seen: Mapping[str, Any], way: str) -> Iterator[Finding]:
    """A disk with room for the copies may still have less than the kubelet wants to stay free."""
    devices = set()
    for signal in seen["evictions"]:
        # Both signals are mostly about one file system; one finding is enough for it.
        if signal["device"] in devices or not signal["below"]:
            continue
        written = bytes_written(seen, signal["device"], way)
        left = signal["free"] - written
        if left >= signal["below"]:
            continue
        devices.add(signal["device"])
        copies = f", and the migration writes {size(written)}" if written else ""
        yield Finding(
            host,
            "eviction",
            f"{size(signal['free'])} free of {size(signal['total'])} at {signal['path']}{copies}",
            f"{size(signal['below'])} stay free: below that ({signal['signal']}) the kubelet evicts pods",
            f"free {size(signal['below'] - left)} there",
        )
