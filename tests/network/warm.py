# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python that has loaded what the calls of these tests need. Each call is a fork of it, in the network namespace of a host.

A Python started for each call would import for longer than the call takes, several times in each test.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import functools
import gc
import importlib
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2] / ".collections")]

PATIENCE = 60.0
PLUGINS = "ansible_collections.pi_controller.raft_migration.plugins"
# What the kernel of a host may lack, by the request that it refuses: protocol, kind.
ABILITIES = {"show": ("SOCK_DIAG", 20), "end": ("SOCK_DIAG", 21), "forget": ("NETFILTER", 1 << 8 | 2)}
CLONE_NEWNS, CLONE_NEWNET, MS_SLAVE_AND_BELOW, MNT_DETACH = 0x20000, 0x40000000, 1 << 19 | 1 << 14, 2


@functools.lru_cache(maxsize=1)
def _server() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """It ends once the other end of its stdin is closed, and so with this process at the latest."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([sys.executable, __file__], stdin=theirs.fileno())
    atexit.register(process.wait)
    atexit.register(ours.close)
    return process, ours


def call(request: dict[str, Any]) -> dict[str, str]:
    """What the call has written to stdout and stderr. Several threads may call at once."""
    process, control = _server()
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            socket.send_fds(control, [b"x"], [theirs.fileno()])
        ours.settimeout(PATIENCE)
        ours.sendall(json.dumps(request).encode())
        ours.shutdown(socket.SHUT_WR)
        with ours.makefile("rb") as answer:
            text = answer.read()
    assert text, f"no answer to {request}; the process that runs the calls: {process.poll()}"
    result: dict[str, str] = json.loads(text)
    return result


def _enter(namespace: str) -> None:
    """As `ip netns exec`: the network of the namespace, and what /sys shows of it."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments):
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")

    with open(f"/run/netns/{namespace}") as file:  # noqa: PTH123  (a descriptor is all that is wanted)
        ask("setns", file.fileno(), CLONE_NEWNET)
    ask("unshare", CLONE_NEWNS)
    ask("mount", b"", b"/", b"none", MS_SLAVE_AND_BELOW, None)
    ask("umount2", b"/sys", MNT_DETACH)
    ask("mount", namespace.encode(), b"/sys", b"sysfs", 0, None)


def _folders(lease: Path) -> None:
    """The lease and its units, where a host has its own in the place of this machine's."""
    unit, install = (
        importlib.import_module(f"{PLUGINS}.module_utils.{name}") for name in ("_lease.unit", "_core.unit_install")
    )
    unit.LeaseUnit.__init__.__defaults__ = (lease / "lease", lease / "etc")
    install.UnitInstall.__init__.__defaults__ = (lease / "etc",)


def _module(
    name: str, arguments: dict[str, Any], path: str, cannot: list[str], units: str, lease: str, without_nft: bool
) -> None:
    """A module as Ansible runs it, on a kernel without some abilities where the arguments say so."""
    from ansible.module_utils.testing import patch_module_args

    boot, netlink = (importlib.import_module(f"{PLUGINS}.module_utils._gate.{name}") for name in ("boot", "netlink"))
    os.environ["PATH"] = path
    _folders(Path(lease))
    if units:
        boot.BootUnit.__init__.__defaults__ = (Path(units),)
    refused = [(getattr(netlink, protocol), kind) for protocol, kind in map(ABILITIES.__getitem__, cannot)]
    really = netlink.ask

    def ask(protocol: int, kind: int, flags: int, payload: bytes) -> Any:
        if (protocol, kind) in refused:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return really(protocol, kind, flags, payload)

    netlink.ask = ask  # type: ignore[attr-defined]
    module = importlib.import_module(f"{PLUGINS}.modules.{name}")
    if without_nft:
        module.AnsibleModule.get_bin_path = lambda *_: None
    with patch_module_args(arguments):
        module.main()


def _ask(address: str, port: int, source: str) -> None:
    print(importlib.import_module("peers").ask(address, str(port), source))


CALLS: dict[str, Callable[..., None]] = {"module": _module, "ask": _ask}


def _answer(connection: socket.socket) -> None:
    """In the process of a call: until it has ended, its output goes to files in memory."""
    with connection.makefile("rb") as asked:
        request = json.load(asked)
    written = [os.memfd_create(name) for name in ("stdout", "stderr")]
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    for descriptor, file in enumerate(written, 1):
        os.dup2(file, descriptor)
    try:
        _enter(request["namespace"])
        CALLS[request["call"]](**request["arguments"])
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor, file in enumerate(kept, 1):
        os.dup2(file, descriptor)
    texts = [os.pread(file, os.fstat(file).st_size, 0).decode() for file in written]
    connection.sendall(json.dumps(dict(zip(("stdout", "stderr"), texts))).encode())


def main() -> None:
    # Whatever a module that is loaded here takes from these, none of it is this machine's.
    _folders(Path("/nonexistent"))
    # Without `cutover_lease`, whose class knows its folders from when it is loaded.
    loaded = ("traffic_gate", "member_traffic")
    for name in ("ansible.module_utils.testing", "peers", *(f"{PLUGINS}.modules.{module}" for module in loaded)):
        importlib.import_module(name)
    gc.freeze()
    control = socket.socket(fileno=os.dup(0))
    while descriptors := socket.recv_fds(control, 1, 1)[1]:
        with socket.socket(fileno=descriptors[0]) as connection:
            if os.fork() == 0:
                control.close()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                _answer(connection)
                # Modules take their folders away there. The rest of Python's end would go through all that is loaded.
                atexit._run_exitfuncs()
                os._exit(0)
        # Those that have ended meanwhile.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


if __name__ == "__main__":
    main()
