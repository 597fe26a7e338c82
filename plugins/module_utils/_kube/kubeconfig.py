# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kubeconfig that is given as a value, and not as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def secrets_in(kubeconfig: Mapping[str, Any]) -> set[str]:
    """The credentials of its users: tokens, passwords and keys, and what a program that fetches them is started with."""
    return set(_strings([entry.get("user") for entry in kubeconfig.get("users") or [] if isinstance(entry, Mapping)]))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _strings(part)
