# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which connections are about something, from what ss prints; tests/network has a real kernel end them."""

from __future__ import annotations

import pytest
from conftest import import_plugin

connections = import_plugin("module_utils._gate.drain").connections

SOCKET = "{state} {unread} {unacknowledged} [::ffff:10.77.0.11]:8080 [::ffff:10.77.0.200]:40112 \n"
DETAILS = "\t cubic wscale:7,7 rto:204 mss:1448 cwnd:10 {seen} lastack:20 pacing_rate 11.6Gbps delivered:2 app_limited\n"


def line(state: str = "ESTAB", unread: int = 0, unacknowledged: int = 0, seen: str = "") -> str:
    return SOCKET.format(state=state, unread=unread, unacknowledged=unacknowledged) + DETAILS.format(seen=seen)


@pytest.mark.parametrize(
    ("what", "text", "busy"),
    [
        ("answered", line(seen="bytes_sent:90 bytes_acked:90 bytes_received:60 lastsnd:20 lastrcv:24"), False),
        ("answered in the same moment", line(seen="bytes_sent:90 bytes_received:60 lastsnd:20 lastrcv:20"), False),
        ("asked again", line(seen="bytes_sent:90 bytes_received:120 lastsnd:400 lastrcv:8"), True),
        ("asked again just now, which ss leaves out", line(seen="bytes_sent:90 bytes_received:120 lastsnd:400"), True),
        ("asked for the first time", line(seen="bytes_received:60 lastsnd:40 lastrcv:40"), True),
        ("connected", line(seen="lastsnd:40 lastrcv:40"), True),
        ("about to be connected", SOCKET.format(state="SYN-RECV", unread=0, unacknowledged=0), True),
        ("not read yet", line(unread=60, seen="bytes_sent:90 bytes_received:120 lastsnd:20 lastrcv:20"), True),
        ("answer under way", line(unacknowledged=90, seen="bytes_sent:90 bytes_received:60 lastsnd:4 lastrcv:8"), True),
        ("said all it has to ask", line("CLOSE-WAIT", seen="bytes_received:60 lastsnd:40 lastrcv:40"), True),
        ("over", SOCKET.format(state="TIME-WAIT", unread=0, unacknowledged=0), False),
    ],
)
def test_a_connection_is_busy_as_long_as_somebody_waits(what, text, busy):
    assert [one.busy for one in connections(text)] == [busy], what


def test_details_belong_to_the_socket_above_them():
    answered = "bytes_sent:90 bytes_received:60 lastsnd:20 lastrcv:24"
    text = line(seen=answered) + SOCKET.format(state="TIME-WAIT", unread=0, unacknowledged=0) + line(seen="lastsnd:4 lastrcv:4")

    assert [one.busy for one in connections(text)] == [False, False, True]


def test_a_connection_is_named_to_ss_as_ss_names_it():
    assert connections(line())[0].filter == "( src [::ffff:10.77.0.11]:8080 and dst [::ffff:10.77.0.200]:40112 )"


def test_nothing_is_nothing():
    assert connections("") == []
