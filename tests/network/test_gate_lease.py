# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gate that is a lease, with a real kernel: it ends by itself, is renewed, is made permanent, and not after it has ended."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.daemon.processes import wait_for

# Not a conftest: the unit tests import from theirs by that name.
pytest_plugins = ["namespaces"]

CLOSED = {"fenced": "reset", "redirected": "pod-1", "forwarded": "old-2"}
# Longer than a test needs to look at a lease that holds, on a machine that may be busy.
HOLDS = 60
# A lease that is to end in a test holds for so many looks: enough to see it hold, and not much to wait for. On a machine that was idle
# for a moment it is no shorter than this.
LOOKS, SHORTEST = 8, 3.0


@pytest.fixture
def lease(client, pi) -> float:
    """Seconds, by what closing a gate and asking behind it take on this machine, as busy as it is."""
    taken = 0.0
    # The first starts the processes that are asked later.
    for _ in range(2):
        began = time.monotonic()
        pi.gate("fenced", lease={"seconds": HOLDS})
        assert client.ask(pi.address) == "reset"
        taken = time.monotonic() - began
        pi.gate("open", ports=None)
    return max(SHORTEST, LOOKS * taken)


def says(process: subprocess.Popen[str], line: str = "x") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def lapsed(pi) -> bool:
    return pi.gate("open", ports=None, check_mode=True)["previous"] == "lapsed"


@pytest.mark.parametrize("established", ["reset", "finish"])
@pytest.mark.parametrize("state", CLOSED)
def test_a_lease_ends_by_itself(lease, client, pi, other, state, established):
    result = pi.gate(state, forward_to=other.address, lease={"seconds": lease}, established=established)
    assert result["state"] == state, result
    assert client.ask(pi.address).split()[0] == CLOSED[state]
    assert pi.ask(pi.address).split()[0] == CLOSED[state]

    wait_for("the daemon answers again", lambda: client.ask(pi.address) == f"old-1 {client.address}")
    assert pi.ask(pi.address) == f"old-1 {pi.address}"
    assert lapsed(pi)
    assert pi.gate("open", ports=None)["previous"] == "lapsed"
    assert pi.table() == ""


@pytest.mark.parametrize("cannot", [(), ("show", "end", "forget")])
@pytest.mark.parametrize(("state", "host"), [("redirected", "client"), ("redirected", "pi"), ("forwarded", "client")])
def test_a_kept_connection_is_reset_when_the_lease_ends(lease, wire, client, pi, other, state, host, cannot):
    """It would go on reading what no daemon writes any more, or have its writes refused by a follower."""
    pi.cannot = cannot
    pi.gate(state, forward_to=other.address, lease={"seconds": lease})
    kept = wire.hosts["client" if host == "client" else "pi-1"].start("talk", pi.address, "8080", "")
    assert says(kept).startswith(CLOSED[state])
    direct = client.start("talk", pi.address, "8082", "")
    assert says(direct).startswith("pod-1")

    wait_for("the lease has ended", lambda: lapsed(pi))
    assert says(kept) == "reset"
    assert says(direct).startswith("pod-1"), "it never was a client of the standard port"


def test_an_answer_that_comes_after_the_lease_has_ended_is_a_reset(lease, client, pi):
    """The pod read it before; by now the old daemon may have written."""
    pi.gate("redirected", lease={"seconds": lease})
    waiting, pod = client.start("talk", pi.address, "8080", ""), pi.running[1]
    waiting.stdin.write("hold\n")
    waiting.stdin.flush()
    assert pod.stdout.readline().strip() == "holding"
    wait_for("the lease has ended", lambda: lapsed(pi))
    pod.stdin.write("answer\n")
    pod.stdin.flush()

    assert waiting.stdout.readline().strip() == "reset"


def test_no_client_reaches_a_pod_once_the_fence_has_ended(lease, client, pi, other):
    """The old leader's Pi forwards to a follower, whose redirection ends first."""
    # Every state has to be seen.
    since = other.gate("redirected", check_mode=True)["clock"]
    assert pi.gate("forwarded", forward_to=other.address, lease={"seconds": 4 * lease})["state"] == "forwarded"
    assert other.gate("redirected", lease={"seconds": 2 * lease, "since": since})["state"] == "redirected"
    seen: list[tuple[str, str]] = []

    def open_again() -> bool:
        seen.append((client.ask(pi.address).split()[0], client.ask(other.address).split()[0]))
        return seen[-1] == ("old-1", "old-2")

    wait_for("both Pis serve", open_again)
    at_the_leader = list(dict.fromkeys(leader for leader, _follower in seen))
    assert at_the_leader == ["pod-2", "old-2", "old-1"], seen


def test_a_renewed_lease_counts_from_then_on(lease, client, pi):
    pi.gate("fenced", lease={"seconds": lease})
    began = time.monotonic()
    assert pi.gate("redirected", lease={"seconds": HOLDS, "held": True})["changed"] is True
    wait_for("the first lease would have ended", lambda: time.monotonic() - began > lease)

    assert client.ask(pi.address).startswith("pod-1")
    assert not lapsed(pi)


@pytest.mark.parametrize("state", CLOSED)
def test_a_lease_that_holds_is_made_permanent(lease, client, pi, other, state, tmp_path):
    pi.units = str(tmp_path)
    pi.gate(state, forward_to=other.address, lease={"seconds": lease})
    began = time.monotonic()
    kept = client.start("talk", pi.address, "8080", "") if state == "redirected" else None
    assert kept is None or says(kept).startswith("pod-1")
    result = pi.gate(state, forward_to=other.address, lease={"held": True}, persist=True)
    assert (result["changed"], result["persistent"], result["previous_stays"]) == (True, True, False), result
    wait_for("the lease would have ended", lambda: time.monotonic() - began > lease)

    assert client.ask(pi.address).split()[0] == CLOSED[state]
    assert kept is None or says(kept).startswith("pod-1"), "nothing changed for clients of the pod"
    assert "timeout" not in pi.table().replace("flags timeout", "")
    again = pi.gate(state, forward_to=other.address, lease={"held": True}, persist=True)
    assert (again["changed"], again["previous_stays"]) == (False, True), again
    # A run that comes later closes every Pi before one is opened.
    assert pi.gate("fenced", lease={"held": True}, persist=True)["state"] == "fenced"
    assert client.ask(pi.address) == "reset"


@pytest.mark.parametrize("lease", [{"held": True}, {"held": True, "seconds": HOLDS}], ids=["for good", "renewed"])
@pytest.mark.parametrize("state", CLOSED)
def test_a_lease_that_has_ended_is_not_taken_up_again(client, pi, other, state, lease, tmp_path):
    """Clients may have written meanwhile."""
    pi.units = str(tmp_path)
    pi.gate(state, forward_to=other.address, lease={"seconds": 0.2})
    wait_for("the lease has ended", lambda: lapsed(pi))
    before = pi.table()
    result = pi.gate(state, forward_to=other.address, lease=lease, persist="seconds" not in lease)

    assert "lease has ended" in result["msg"]
    assert "starts the cutover over" in result["msg"]
    assert pi.table() == before
    assert client.ask(pi.address).startswith("old-1")
    assert list(tmp_path.iterdir()) == [], "the next boot must not close it either"


def test_a_lease_that_ends_between_look_and_change_fails_as_a_whole(client, pi, tmp_path):
    """The kernel decides, not what was read before."""
    pi.gate("redirected", lease={"seconds": HOLDS})
    nft = tmp_path / "nft"
    # As if the element expired in the moment before the transaction.
    nft.write_text(
        '#!/bin/sh\nPATH=${PATH#*:}\n[ "$1" != -f ] || nft flush set inet pi_controller_gate fenced\nexec nft "$@"\n'
    )
    nft.chmod(0o755)
    pi.path = f"{tmp_path}:{pi.path}"
    result = pi.gate("redirected", lease={"held": True})

    assert "the gate's lease has ended" in result["msg"]
    assert client.ask(pi.address).startswith("old-1")


def test_an_open_gate_is_no_lease_that_holds(client, pi):
    result = pi.gate("redirected", lease={"held": True, "seconds": HOLDS})

    assert "the gate is open, not a lease that holds" in result["msg"]
    assert pi.table() == ""
    assert client.ask(pi.address).startswith("old-1")


def test_a_lease_counts_from_an_earlier_moment(client, pi):
    since = pi.gate("redirected", check_mode=True)["clock"]
    assert pi.gate("redirected", lease={"seconds": HOLDS, "since": since})["state"] == "redirected"
    for late, reason in (
        ({**since, "seconds": since["seconds"] - HOLDS}, "too long for the gate"),
        ({**since, "boot": "another"}, "this Pi was rebooted"),
    ):
        pi.gate("open", ports=None)
        result = pi.gate("redirected", lease={"seconds": HOLDS, "since": late})
        assert reason in result["msg"], late
        assert pi.table() == ""
        assert client.ask(pi.address).startswith("old-1")


def test_check_mode_proves_that_a_lease_can_be_had(pi, tmp_path):
    assert pi.gate("redirected", lease={"seconds": HOLDS}, check_mode=True)["changed"] is True
    nft = tmp_path / "nft"
    # One that knows no lifetimes in milliseconds.
    nft.write_text(
        "#!/bin/sh\nPATH=${PATH#*:}\n"
        '[ "$1" != -c ] || { grep -q "timeout [0-9]*ms" && { echo "Error: syntax error" >&2; exit 1; }; exit 0; }\n'
        'exec nft "$@"\n'
    )
    nft.chmod(0o755)
    pi.path = f"{tmp_path}:{pi.path}"
    assert pi.gate("redirected", check_mode=True)["changed"] is True
    assert "syntax error" in pi.gate("redirected", lease={"seconds": HOLDS}, check_mode=True)["msg"]
    assert pi.table() == ""


def test_a_state_that_stays_replaces_what_was_left_of_a_lease(client, pi):
    """The next run begins with a gate whose lease has ended."""
    pi.gate("redirected", lease={"seconds": 0.2})
    wait_for("the lease has ended", lambda: lapsed(pi))
    assert pi.gate("redirected")["previous"] == "lapsed"
    assert client.ask(pi.address).startswith("pod-1")
    assert pi.gate("fenced", lease={"seconds": HOLDS})["changed"] is True
    assert client.ask(pi.address) == "reset"
    assert pi.gate("open")["state"] == "open"
    assert client.ask(pi.address).startswith("old-1")
