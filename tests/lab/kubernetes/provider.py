# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rest of the lab asks of a Kubernetes, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from ..files import File, Unit
from ..progress import Progress
from ..state import Node, State


class Provider(ABC):
    """Knows which files make a host a node of the cluster. All of them are there before the host boots."""

    name: str
    """Kept in the state, so that later commands find the same provider."""

    disk_folders: tuple[str, ...]
    """Folders of a host that cannot live on an overlay, and are bind mounts of the machine's disk instead."""

    api_unit: str
    """The unit on the server whose stop takes the API away."""

    ctr: tuple[str, ...]
    """containerd's client in a host, with what it needs to find the images of Kubernetes."""

    kubectl: tuple[str, ...]
    """The client on the machine; it is given the kubeconfig by its environment."""

    @abstractmethod
    def build(self, progress: Progress) -> None:
        """Make what is missing in the cache."""

    @abstractmethod
    def read_only_folders(self) -> tuple[tuple[Path, str], ...]:
        """(path on the machine, path in the host) of what all hosts share."""

    @abstractmethod
    def prepare(self, state: State) -> None:
        """Make keys and, where that can be done before the API runs, the kubeconfig."""

    @abstractmethod
    def host_files(self, node: Node, state: State) -> list[File | Unit]:
        """What makes this host a node."""

    @abstractmethod
    def write_kubeconfig(self, state: State) -> None:
        """Write the administrator's kubeconfig for the machine; called when the server has booted."""

    @abstractmethod
    def units(self, node: Node) -> tuple[str, ...]:
        """The units that must be active on this host."""
