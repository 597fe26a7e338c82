# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections as ss shows them: which ones are about something, and what names them to ss again."""

from __future__ import annotations

import re
from typing import NamedTuple

# How a socket's details spell what is asked of them; ss leaves out what is zero.
DETAIL = re.compile(r"\b(bytes_sent|lastsnd|lastrcv):(\d+)")
# Its peer may still ask, or waits for its answer.
OPEN_TO_THE_PEER = ("ESTAB", "CLOSE-WAIT")


class Connection(NamedTuple):
    """One socket of the daemon. Addresses with their ports as ss writes them."""

    local: str
    peer: str
    busy: bool

    @property
    def filter(self) -> str:
        """What ss finds this connection by."""
        return f"( src {self.local} and dst {self.peer} )"


def connections(text: str) -> list[Connection]:
    """Read `ss -H -t -i -n state connected`: a line a socket, its details on a line of their own that begins blank."""
    found: list[tuple[list[str], str]] = []
    for line in text.splitlines():
        if line[:1].isspace() and found:
            found[-1] = (found[-1][0], line)
        elif line.strip():
            found.append((line.split(), ""))
    return [Connection(words[3], words[4], _busy(words, details)) for words, details in found]


def _busy(words: list[str], details: str) -> bool:
    """Whether a request is on its way, is being answered, or the answer has not arrived yet.

    A daemon that has heard something since it last spoke owes an answer. One that never spoke on a connection has got
    no request on it yet, or one that it works on.
    """
    state, unread, unacknowledged = words[:3]
    if state == "SYN-RECV" or unread != "0" or unacknowledged != "0":
        return True
    # lastsnd and lastrcv: milliseconds ago.
    seen = {name: int(value) for name, value in DETAIL.findall(details)}
    return state in OPEN_TO_THE_PEER and (not seen.get("bytes_sent") or seen.get("lastrcv", 0) < seen.get("lastsnd", 0))
