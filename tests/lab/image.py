# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two images of the lab: one static program each, packed as `docker save` would, without any container engine."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from ..daemon.build import build_test_daemon
from . import cache, packages, settings
from .progress import Progress
from .shell import run_logged

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SOURCES = Path(__file__).resolve().parent


def build_pause(progress: Progress) -> Path:
    source = SOURCES / "pause/pause.c"

    def make(folder: Path) -> None:
        packages.ensure(packages.BUILD, progress)
        run_logged(
            ["gcc", "-Os", "-static", "-s", "-o", folder / "pause", source], cache.log_file("pause"), timeout=120
        )

    key = cache.file_digest(source)
    return cache.obtain("pause", key, make, progress, "building the pause program") / "pause"


# The published image's: it may read nothing of what root has written.
PUBLISHED_USER = "64999:64999"


def archive(name: str, program: Path, path: str, user: str = "") -> bytes:
    """A `docker save` archive of one image: one layer, with the program at `path` as its entry point, run by `user` (root, if empty)."""
    layer = _tar({path: program.read_bytes()}, folders=("tmp", "etc"))
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), "amd64"),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Entrypoint": [f"/{path}"], **({"User": user} if user else {})},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    text = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    return _tar({config_name: text, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()})


def archives(progress: Progress, profile: str) -> dict[str, bytes]:
    """Archive by image name."""
    user = PUBLISHED_USER if profile == "published" else ""
    return {
        settings.IMAGE: archive(settings.IMAGE, build_test_daemon(progress), "usr/local/bin/pi-controller", user),
        settings.PAUSE_IMAGE: archive(settings.PAUSE_IMAGE, build_pause(progress), "pause"),
    }


def _tar(files: dict[str, bytes], folders: tuple[str, ...] = ()) -> bytes:
    """The same bytes for the same content: no times, no owners of this machine."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
