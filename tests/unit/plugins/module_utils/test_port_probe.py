# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three Pis on three loopback addresses, each with its own part of the probe, at the same time."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import import_plugin

port_probe = import_plugin("module_utils._preflight.port_probe")
PATIENCE = 60.0  # long beside what these probes take
ADDRESSES = {"pi-1": "127.0.0.1", "pi-2": "127.0.0.2", "pi-3": "127.0.0.3"}


@pytest.fixture
def ports():
    """Three ports that are free on all three addresses; below the range the kernel gives to outgoing connections."""
    found = []
    while len(found) < 3:
        port = random.randrange(20000, 32000)
        with contextlib.ExitStack() as stack:
            try:
                for address in ADDRESSES.values():
                    stack.enter_context(contextlib.closing(socket.create_server((address, port))))
            except OSError:
                continue
            found.append(port)
    return found


@pytest.fixture
def silent():
    """Opens listeners of another program; gives what they were sent."""
    opened, received = [], []

    def listen(address, port):
        listener = socket.create_server((address, port))
        listener.settimeout(10)
        opened.append(listener)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _source = listener.accept()
                    connection.settimeout(5)
                    received.append(connection.recv(100))

        threading.Thread(target=serve, daemon=True).start()
        return received

    yield listen
    for listener in opened:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def probe(name, new, old=(), *, addresses=None, peers=tuple(ADDRESSES), patience=5.0, **options):
    addresses = addresses or ADDRESSES
    return port_probe.Probe(
        name=name,
        address=addresses[name],
        peers=[port_probe.Peer(peer, addresses[peer]) for peer in peers if peer != name],
        new=new,
        old=old,
        patience=patience,
        listen_on=ADDRESSES[name],
        **options,
    )


def together(*probes):
    with ThreadPoolExecutor(len(probes)) as pool:
        return dict(zip([probe.name for probe in probes], pool.map(lambda probe: probe.run(), probes)))


def test_every_peer_reaches_every_port(ports):
    results = together(*(probe(name, ports, patience=PATIENCE) for name in ADDRESSES))

    for name, result in results.items():
        assert result["listened"] == sorted(ports)
        assert set(result["reached"]) == set(ADDRESSES) - {name}
        for peer, seen in result["reached"].items():
            assert {port: (value["result"], value["name"]) for port, value in seen.items()} == {
                str(port): ("answered", peer) for port in ports
            }
            assert result["heard"][peer] == sorted(ports)
        # No peer waits for its patience when all have been met.
        assert result["elapsed"] < PATIENCE / 2


def test_a_clock_that_is_off_is_measured_from_both_sides(ports):
    results = together(probe("pi-1", ports), probe("pi-2", ports, clock=lambda: time.time() - 7), probe("pi-3", ports))

    for one, other, offset in (("pi-1", "pi-2", -7), ("pi-2", "pi-1", 7), ("pi-3", "pi-1", 0)):
        clock = results[one]["clocks"][other]
        assert clock["offset"] == pytest.approx(offset, abs=clock["uncertainty"] + 0.01)
        assert clock["uncertainty"] < 7 / 2


def test_an_address_of_another_pi_is_found_by_its_name(ports):
    crossed = {**ADDRESSES, "pi-2": ADDRESSES["pi-3"], "pi-3": ADDRESSES["pi-2"]}
    results = together(
        probe("pi-1", ports, addresses=crossed, patience=1),
        *(probe(name, ports, patience=1) for name in ("pi-2", "pi-3")),
    )

    assert {answer["name"] for answer in results["pi-1"]["reached"]["pi-2"].values()} == {"pi-3"}
    assert "pi-2" not in results["pi-1"]["clocks"]


def test_nothing_is_sent_to_another_programs_listener(ports, silent, monkeypatch):
    monkeypatch.setattr(port_probe, "BANNER_TIMEOUT", 0.3)
    received = silent(ADDRESSES["pi-2"], ports[0])
    used = ports[2]
    for address in ADDRESSES.values():
        silent(address, used)
    results = together(*(probe(name, ports[:2], [used]) for name in ADDRESSES))

    assert results["pi-2"]["taken"] == {str(ports[0]): "in use"}
    assert results["pi-2"]["listened"] == [ports[1]]
    assert results["pi-1"]["reached"]["pi-2"][str(ports[0])]["result"] == "connected"
    assert results["pi-1"]["reached"]["pi-2"][str(used)]["result"] == "connected"
    assert results["pi-1"]["reached"]["pi-2"][str(ports[1])]["result"] == "answered"
    assert len(received) >= 2
    assert set(received) == {b""}


def test_a_closed_port_of_a_known_peer_costs_only_the_grace(ports, monkeypatch):
    monkeypatch.setattr(port_probe, "GRACE", 0.3)
    both = {"pi-1", "pi-2"}
    results = together(
        *(probe(name, mine, peers=both, patience=PATIENCE) for name, mine in (("pi-1", ports), ("pi-2", ports[:2])))
    )

    assert results["pi-1"]["reached"]["pi-2"][str(ports[2])]["result"] == "refused"
    assert results["pi-1"]["reached"]["pi-2"][str(ports[0])]["result"] == "answered"
    assert max(result["elapsed"] for result in results.values()) < PATIENCE / 2


def test_a_peer_that_is_not_there_costs_the_patience(ports):
    result = probe("pi-1", ports, peers={"pi-1", "pi-2"}, patience=0.5).run()

    assert {answer["result"] for answer in result["reached"]["pi-2"].values()} == {"refused"}
    assert result["heard"] == {"pi-2": []}
    assert result["elapsed"] >= 0.5


def test_a_late_peer_is_waited_for(ports):
    def late():
        time.sleep(0.7)  # what is tested: the hosts of a play do not begin at the same instant
        return probe("pi-2", ports, peers=both).run()

    both = {"pi-1", "pi-2"}
    with ThreadPoolExecutor(2) as pool:
        second = pool.submit(late)
        first = probe("pi-1", ports, peers=both).run()
        assert {answer["result"] for answer in second.result()["reached"]["pi-1"].values()} == {"answered"}
    assert {answer["result"] for answer in first["reached"]["pi-2"].values()} == {"answered"}


@pytest.mark.parametrize("line", ["", "SSH-2.0-OpenSSH_9.2", "pi-preflight pi-2", "pi-preflight pi-2 noon"])
def test_a_foreign_line_is_not_a_banner(line):
    assert port_probe._banner(line) == (None, 0.0)
