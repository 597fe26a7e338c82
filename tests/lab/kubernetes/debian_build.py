# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds Kubernetes from Debian's own source package, which carries all it needs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .. import cache, packages
from ..progress import Progress
from ..shell import LabError, run_logged

VERSION = "v1.20.2"
# A deleted pod of 1.20.2 stays until a garbage collection once a minute has removed its sandbox and a look once in ten
# seconds has seen that. Releases from 1.22 on do both at once, and so does the lab's, within a second.
PERIODS = (
    ("pkg/kubelet/kubelet.go", "ContainerGCPeriod = time.Minute", "ContainerGCPeriod = time.Second"),
    ("pkg/kubelet/status/status_manager.go", "const syncPeriod = 10 * time.Second", "const syncPeriod = 1 * time.Second"),
)
REFLECT2 = Path("/usr/share/gocode/src/github.com/modern-go/reflect2")
COMMANDS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")


def key() -> str:
    return cache.digest("kubernetes from Debian", VERSION, "reflect2 1.0.2", repr(PERIODS), *COMMANDS)


def build(progress: Progress) -> Path:
    """The folder with the programs."""
    folder = cache.entry("kubernetes", key())
    if not folder.is_dir():
        packages.ensure(packages.BUILD_KUBERNETES, progress)
        why = f"building {VERSION} from Debian's sources, 6 to 10 minutes, log in {cache.log_file('kubernetes')}"
        cache.obtain("kubernetes", key(), _make, progress, why)
    return folder / "bin"


def _make(folder: Path) -> None:
    log = cache.log_file("kubernetes")
    work = folder / "work"
    fetch_source(work / "source", log)
    description = next((work / "source").glob("kubernetes_*.dsc"), None)
    if description is None:
        raise LabError(f"apt-get left no kubernetes source in {work / 'source'}: read {log}.")
    tree = work / "gopath/src/k8s.io/kubernetes"
    tree.parent.mkdir(parents=True)
    run_logged(["dpkg-source", "--no-check", "--extract", description, tree], log, timeout=600)
    mend_reflect2(tree)
    shorten_periods(tree)
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(work),
        "GO111MODULE": "off",
        "GOPATH": str(work / "gopath"),
        "GOCACHE": str(work / "gocache"),
        "GOFLAGS": "",
        # Without it the version reads v0.0.0, which clients refuse.
        "KUBE_GIT_VERSION": VERSION,
    }
    # `make` and not `go build`: the API server needs code that only the former generates.
    what = " ".join(f"cmd/{name}" for name in COMMANDS)
    run_logged(["make", f"WHAT={what}"], log, timeout=3600, env=environment, cwd=tree)
    (folder / "bin").mkdir()
    for name in COMMANDS:
        shutil.copy2((tree / "_output/bin").resolve() / name, folder / "bin" / name)
    # Go's caches are read-only to their owner.
    run_logged(["chmod", "-R", "u+w", work], log, timeout=300)
    shutil.rmtree(work)


def mend_reflect2(tree: Path) -> None:
    """Put Debian's reflect2 in the place of the vendored 1.0.1.

    That one calls Go's map iterator as it was before Go 1.18. Built with a later Go it corrupts memory, and the API
    server dies of it within minutes of JSON clients.
    """
    vendored = tree / "vendor/github.com/modern-go/reflect2"
    for old in [*vendored.glob("*.go"), *vendored.glob("*.s")]:
        old.unlink()
    for new in [*REFLECT2.glob("*.go"), *REFLECT2.glob("*.s")]:
        if not new.name.endswith("_test.go"):
            shutil.copy2(new, vendored / new.name)


def shorten_periods(tree: Path) -> None:
    for name, old, new in PERIODS:
        text = (tree / name).read_text()
        if old not in text:
            raise LabError(f"{name} of the kubernetes source has no '{old}': it is another version than {VERSION}, mend PERIODS in {__file__}.")
        (tree / name).write_text(text.replace(old, new))


def fetch_source(folder: Path, log: Path) -> None:
    """Download the source package from the mirror the machine uses, leaving the machine's apt as it is."""
    entries, lists = folder / "entries", folder / "lists"
    for path in (entries, lists / "partial"):
        path.mkdir(parents=True, exist_ok=True)
    write_source_entries(Path("/etc/apt"), entries)
    options = [
        "-o", "Dir::Etc::SourceList=/dev/null",
        "-o", f"Dir::Etc::SourceParts={entries}",
        "-o", f"Dir::State::Lists={lists}",
        "-o", "APT::Sandbox::User=root",
    ]  # fmt: skip
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    run_logged(["apt-get", *options, "update"], log, timeout=600, env=environment)
    run_logged(["apt-get", *options, "source", "--download-only", "kubernetes"], log, timeout=1200, env=environment, cwd=folder)


def write_source_entries(apt: Path, entries: Path) -> None:
    """Copy the machine's Debian entries, asking for sources where it asks for packages."""
    written = 0
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if not path.is_file() or path.suffix not in (".list", ".sources"):
            continue
        text = path.read_text()
        if "debian" not in text.lower():
            continue
        (entries / path.name).write_text(as_source_entries(text, deb822=path.suffix == ".sources"))
        written += 1
    if not written:
        raise LabError(f"No Debian entry was found in {apt}/sources.list or {apt}/sources.list.d: add one, then try again.")


def as_source_entries(text: str, *, deb822: bool) -> str:
    if deb822:
        return re.sub(r"(?mi)^Types:.*$", "Types: deb-src", text)
    lines = (line for line in text.splitlines() if re.match(r"\s*deb\s", line))
    return "".join(re.sub(r"^\s*deb\s", "deb-src ", line) + "\n" for line in lines)
