# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs of Kubernetes, built from its Go modules as one program that acts as the one it is called as; and K3s's datastore."""

from __future__ import annotations

from pathlib import Path

from .. import cache, golang, packages
from ..options import Options
from ..progress import Progress

NAMES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
HERE = Path(__file__).resolve().parent
KUBERNETES = HERE / "module"
KINE = HERE / "kine"


def kubernetes_key(options: Options) -> str:
    checksums = Path(options.module_file).with_suffix(".sum").name
    return cache.file_digest(KUBERNETES / "main.go", KUBERNETES / options.module_file, KUBERNETES / checksums)


def kine_key() -> str:
    return cache.file_digest(KINE / "main.go", KINE / "go.mod", KINE / "go.sum")


def folder(options: Options) -> Path:
    """Where the programs of these options are, or will be."""
    return cache.entry("kubernetes", kubernetes_key(options)) / "bin"


def kine_folder() -> Path:
    return cache.entry("kine", kine_key()) / "bin"


def build(options: Options, progress: Progress) -> None:
    """Make what is missing in the cache."""

    def make(target: Path) -> None:
        (target / "bin").mkdir()
        name = f"kubernetes-{options.version}"
        major, minor, _ = options.version.split(".")
        version = "k8s.io/component-base/version"
        stamps = {"gitVersion": f"v{options.version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        ldflags = " ".join(["-s", "-w", *(f"-X {version}.{key}={value}" for key, value in stamps.items())])
        golang.build(
            KUBERNETES, target / "bin/kubernetes", progress, name=name, modfile=options.module_file, ldflags=ldflags
        )
        for program in NAMES:
            (target / "bin" / program).symlink_to("kubernetes")

    def make_kine(target: Path) -> None:
        (target / "bin").mkdir()
        packages.ensure(packages.BUILD, progress)
        golang.build(
            KINE, target / "bin/kine", progress, name="kine", ldflags=golang.STATIC, tags="netgo osusergo", cgo=True
        )

    cache.obtain(
        "kubernetes",
        kubernetes_key(options),
        make,
        progress,
        f"building {options.version} from its Go modules, about 5 minutes",
    )
    if options.datastore == "kine":
        cache.obtain("kine", kine_key(), make_kine, progress, "building K3s's datastore, about 3 minutes")
