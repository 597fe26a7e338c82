# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of container images: the same image is written in several ways, and a runtime lists it in the longest."""

from __future__ import annotations


def full_name(image: str) -> str:
    """`pi-controller` is `docker.io/library/pi-controller:latest`, as containerd and the kubelet list it."""
    name, at, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif first == "docker.io" and "/" not in rest:
        name = f"docker.io/library/{rest}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    if ":" not in name.rpartition("/")[2] and not digest:
        name = f"{name}:latest"
    return f"{name}{at}{digest}"


def names(image: str) -> set[str]:
    """Every form in which a runtime may list this image. With a digest the tag does not matter."""
    whole = full_name(image)
    name, _at, digest = whole.partition("@")
    if not digest:
        return {whole}
    folder, slash, last = name.rpartition("/")
    return {whole, f"{folder}{slash}{last.partition(':')[0]}@{digest}"}
