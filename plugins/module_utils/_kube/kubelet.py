# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of the kubelet on this host, from the command line and the files of what runs it. Runs on a Pi.

The API tells them only to who may ask the kubelet itself, which is a right that a migration does not need otherwise. They are found as
text: Python on a Pi has no parser for YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
KUBELETS = ("kubelet", "k3s", "k3s-server", "k3s-agent")
OF_K3S = ("/etc/rancher/k3s/config.yaml", "/etc/rancher/k3s/config.yaml.d/*.yaml")
OF_KUBELET = "/var/lib/kubelet/config.yaml"
# K3s gives its kubelet this folder, unless the owner has named another one.
DROP_INS = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d"
_PATH = r"""(/[^\s"',\]]+)"""
_K3S_CONFIG = re.compile(rf"(?<=\s)(?:--config|-c)[= ]{_PATH}")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*", re.MULTILINE)


@dataclass(frozen=True)
class Kubelet:
    """`texts` has all of its settings; of what is in several, the last one counts."""

    texts: tuple[str, ...]
    of_k3s: bool


def read_kubelet(root: Path = Path("/"), proc: Path = PROC) -> Kubelet:
    processes = command_lines(proc)
    of_k3s = any(name.startswith("k3s") for name in processes) or (root / "etc/rancher/k3s").exists()
    return Kubelet(tuple(_settings(root, processes)), of_k3s)


def command_lines(proc: Path = PROC) -> dict[str, str]:
    """What runs a kubelet on this host: its name and its command line."""
    found = {}
    for process in sorted(proc.glob("[0-9]*")):
        try:
            name = (process / "comm").read_text(errors="replace").strip()
            if name in KUBELETS:
                found[name] = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:  # it ended meanwhile
            continue
    return found


def _settings(root: Path, processes: dict[str, str]) -> Iterator[str]:
    """In the order of the kubelet: its file, the drop-ins, and the flags, which K3s takes from its own settings."""
    k3s_lines = [line for name, line in processes.items() if name.startswith("k3s")]
    own = [path for line in k3s_lines for path in _K3S_CONFIG.findall(line)]
    # The file of K3s itself is not one of the kubelet's format.
    lines = [_K3S_CONFIG.sub("", line) if line in k3s_lines else line for line in processes.values()]
    flags = [*_read([*_matching(root, OF_K3S), *(_at(root, path) for path in own)]), *lines]
    yield from _read([_at(root, path) for path in (OF_KUBELET, *_named("config", flags))])
    for folder in _named("config-dir", flags) or [DROP_INS]:
        yield from _read(sorted(_at(root, folder).rglob("*.conf")))
    yield from flags


def _named(flag: str, texts: Iterable[str]) -> list[str]:
    """The path that a flag of the kubelet has: the last one, or none."""
    # As a flag of its own, or as one that K3s passes on. Those of other names end like it.
    pattern = re.compile(rf"(?<![\w-])(?:--)?{flag}[= ]{_PATH}")
    return [path for text in texts for path in pattern.findall(text)][-1:]


def _matching(root: Path, patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(root.glob(pattern.lstrip("/")))


def _at(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _read(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        try:
            yield _COMMENT.sub("", path.read_text(errors="replace"))
        except OSError:
            continue
