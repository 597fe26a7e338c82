# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the lab that can be looked at without booting it."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.lab import cache, faults, golang, image, options, packages, rootfs, settings, sysctl
from tests.lab import state as states
from tests.lab.kubernetes import programs
from tests.lab.progress import Progress
from tests.lab.shell import Hopeless, LabError, wait_for
from tests.lab.state import State

if TYPE_CHECKING:
    from tests.lab.kubernetes.provider import Provider
    from tests.lab.state import Node


def content(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None, f"{name} is not a file"
    return member.read()


def test_an_archive_is_what_docker_save_would_write(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    packed = image.archive("pi-controller:lab", program, "usr/local/bin/pi-controller")
    assert packed == image.archive("pi-controller:lab", program, "usr/local/bin/pi-controller"), (
        "equal content, other bytes"
    )
    with tarfile.open(fileobj=io.BytesIO(packed)) as outer:
        manifest = json.loads(content(outer, "manifest.json"))[0]
        config = json.loads(content(outer, manifest["Config"]))
        layer = content(outer, manifest["Layers"][0])
    assert manifest["RepoTags"] == ["pi-controller:lab"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        assert inner.getmember("usr/local/bin/pi-controller").mode == 0o755
        assert content(inner, "usr/local/bin/pi-controller") == b"\x7fELF"


def test_an_interrupted_build_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHE", tmp_path)

    def cut_off(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise LabError("cut off")

    with pytest.raises(LabError):
        cache.obtain("thing", "key", cut_off, Progress(), "why")

    def whole(folder: Path) -> None:
        (folder / "whole").write_text("x")

    made = cache.obtain("thing", "key", whole, Progress(), "why")
    assert [path.name for path in made.iterdir()] == ["whole"]


def test_what_two_ask_for_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes and the test daemon are built side by side, and each needs Go."""
    monkeypatch.setattr(cache, "CACHE", tmp_path)
    made, begun, go_on = [], threading.Event(), threading.Event()

    def make(folder: Path) -> None:
        made.append(folder)
        begun.set()
        assert go_on.wait(60)
        (folder / "whole").write_text("x")

    def obtain() -> Path:
        return cache.obtain("thing", "key", make, Progress(), "why")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(obtain)
        assert begun.wait(60)
        second = pool.submit(obtain)
        # It asks for the lock at once, and would be through with an `obtain` that has none.
        wait_for("the second one waits", lambda: None if _waits(tmp_path) else "no", timeout=60, advice="none")
        go_on.set()
        assert first.result() == second.result()
    assert len(made) == 1
    assert [path.name for path in first.result().iterdir()] == ["whole"]


def _waits(folder: Path) -> bool:
    """Whether two hold the lock's file open, this process both times."""
    targets = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return targets.count(str(folder / "thing-key.lock")) == 2


def test_a_wait_for_what_will_not_come_ends(tmp_path: Path) -> None:
    def probe() -> str | None:
        raise Hopeless("it went off")

    with pytest.raises(LabError, match="^it went off$"):
        wait_for("it is there", probe, timeout=600, advice="none")


def test_apt_is_asked_again_while_another_program_has_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, calls = tmp_path / "apt.log", []
    log.write_text("E: Could not get lock, of an earlier run\n")

    def run(words: list[str], log: Path, *, timeout: float, env: dict[str, str]) -> None:
        calls.append(env)
        with log.open("a") as file:
            file.write("E: Could not get lock /var/lib/apt/lists/lock\n" if len(calls) < 3 else "E: no network\n")
        raise LabError("ended with 100")

    monkeypatch.setattr(packages, "run_logged", run)
    monkeypatch.setattr(packages, "BETWEEN_TRIES", 0.0)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    with pytest.raises(LabError, match="ended with 100"):
        packages.apt_get(["update"], log, Progress())
    assert len(calls) == 3
    assert calls[0]["https_proxy"] == "http://proxy:3128"


def test_kernel_settings_are_written_down_before_they_are_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "STATE", tmp_path / "state")
    proc = tmp_path / "proc"
    (proc / "vm").mkdir(parents=True)
    (proc / "vm/overcommit_memory").write_text("0\n")
    state = State(3, "full", "upstream", options.Options(), "boot")
    sysctl.apply(state, proc)
    assert (proc / "vm/overcommit_memory").read_text() == "1"
    assert json.loads((tmp_path / "state/state.json").read_text())["kernel_settings"] == {"vm/overcommit_memory": "0"}
    # Also where the rest of the file is of another version.
    monkeypatch.setattr(State, "__dataclass_fields__", {**State.__dataclass_fields__, "newer": None})
    with pytest.raises(LabError, match="tests.lab down"):
        states.load()
    assert states.kernel_settings() == {"vm/overcommit_memory": "0"}
    sysctl.restore(states.kernel_settings(), proc)
    assert (proc / "vm/overcommit_memory").read_text() == "0"


DEB822 = "Types: deb\nURIs: http://mirror/debian\nSuites: {0} {0}-updates\nSigned-By: /usr/share/keyrings/debian.gpg\n"


def test_another_suite_comes_from_the_mirror_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootfs, "_own_suite", lambda: "bookworm")
    apt, out = tmp_path / "apt", tmp_path / "out"
    (apt / "sources.list.d").mkdir(parents=True)
    out.mkdir()
    (apt / "sources.list").write_text("# a comment\ndeb http://mirror/debian bookworm main\n")
    (apt / "sources.list.d/debian.sources").write_text(DEB822.format("bookworm"))
    (apt / "sources.list.d/vendor.list").write_text("deb http://vendor/debian sdk-bookworm main\n")
    written = rootfs.sources("trixie", out, apt)
    assert [path.name for path in written] == ["sources.list", "debian.sources"]
    assert written[0].read_text() == "# a comment\ndeb http://mirror/debian trixie main\n"
    assert written[1].read_text() == DEB822.format("trixie")


@pytest.mark.parametrize(
    "entry",
    [
        "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/debian bookworm stable",
        "Types: deb\nURIs: https://pkgs.tailscale.com/stable/debian\nSuites: bookworm\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/tailscale-archive-keyring.gpg",
    ],
)
def test_other_vendors_are_not_asked_for_another_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.setattr(rootfs, "_own_suite", lambda: "bookworm")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "sources.list").write_text("deb http://mirror/debian bookworm main\n")
    (tmp_path / f"sources.list.d/vendor.{'list' if entry.startswith('deb') else 'sources'}").write_text(entry + "\n")
    assert [path.name for path in rootfs.sources("trixie", tmp_path / "out", tmp_path)] == ["sources.list"]


def test_make_sets_what_a_fresh_machine_may_lack(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        f"include {Path(__file__).parents[2] / 'Makefile'}\nshown:\n\t@echo $$LC_ALL $$HOME $$PATH\n"
    )
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "de_DE.UTF-8"}
    done = subprocess.run(
        ["make", "-s", "shown"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["C.UTF-8", "/root", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]


def test_a_machine_without_an_entry_for_debian_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    with pytest.raises(LabError, match="has no entry for Debian"):
        rootfs.sources("trixie", tmp_path, tmp_path)


def test_packages_of_a_host_compile_python_for_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mmdebstrap").write_text(f"#!/bin/sh\nenv >{tmp_path}/environment\n")
    (tmp_path / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "/bytecode")
    for module, name, replacement in (
        (cache, "CACHE", tmp_path),
        (rootfs, "sources", lambda *_: []),
        (rootfs, "adapt", lambda _root: None),
    ):
        monkeypatch.setattr(module, name, replacement)
    rootfs._make("trixie", tmp_path)
    environment = (tmp_path / "environment").read_text()
    assert f"PATH={tmp_path}" in environment
    assert "PYTHON" not in environment


def test_make_has_python_keep_what_it_compiles(tmp_path: Path) -> None:
    """Also on a machine that turns this off, as many container images do."""
    checkout = Path(__file__).resolve().parents[2]
    shown = "import sys; print(sys.dont_write_bytecode, sys.pycache_prefix)"
    (tmp_path / "more").write_text(f"include {checkout}/Makefile\nshow:\n\t@{sys.executable} -c '{shown}'\n")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PI_LAB_CACHE": str(tmp_path)}
    command = ["make", "--no-print-directory", "--file", str(tmp_path / "more"), "show"]
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"False {tmp_path}/bytecode\n"


def test_all_options_that_cannot_be_are_named_at_once() -> None:
    with pytest.raises(LabError) as caught:
        options.from_environment(
            {
                "KUBERNETES": "1.2",
                "SUITE": "sid",
                "PROXY": "ipvs",
                "DATASTORE": "redis",
                "CPU": "fast",
                "MEMORY": "little",
            }
        )
    for part in ("KUBERNETES=1.2", "SUITE=sid", "DATASTORE=redis", "CPU=fast", "MEMORY=little"):
        assert part in str(caught.value)
    assert "PROXY" not in str(caught.value)


@pytest.mark.parametrize("release", options.RELEASES)
def test_a_release_is_the_one_that_its_module_file_requires(release: str) -> None:
    version, name = options.RELEASES[release]
    module = (programs.KUBERNETES / name).read_text()
    assert f"\tk8s.io/kubernetes v{version}\n" in module.replace("require k8s", "\tk8s")
    staging = set(re.findall(r"=> k8s\.io/\S+ v(\S+)", module))
    assert staging == {f"0.{version.partition('.')[2]}"}
    assert options.from_environment({"KUBERNETES": version}) == options.from_environment({"KUBERNETES": release})


@pytest.mark.parametrize(
    ("printed", "wanted"),
    [("go1.26.8", (1, 26, 8)), ("go1.27", (1, 27)), ("go1.27rc1", (1, 27)), ("devel", (0,)), ("", (0,))],
)
def test_the_version_of_a_go(tmp_path: Path, printed: str, wanted: tuple[int, ...]) -> None:
    program = tmp_path / "go"
    program.write_text(f"#!/bin/sh\necho {printed}\n")
    program.chmod(0o755)
    assert golang.version(program) == wanted


def test_a_build_without_room_for_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "CACHE", tmp_path)
    monkeypatch.setattr(golang.shutil, "disk_usage", lambda _path: SimpleNamespace(free=3 << 30))
    golang._require_room("kubernetes", 1000)
    with pytest.raises(
        LabError, match=r"takes 6.8 GiB of room in .*, and 3.0 GiB are free: make room, or set PI_LAB_CACHE"
    ):
        golang._require_room("kubernetes", 2800)


def test_an_old_go_of_the_machine_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang.shutil, "which", lambda name: "/old/go")
    monkeypatch.setattr(golang, "version", lambda program: (1, 19))
    monkeypatch.setattr(cache, "CACHE", tmp_path)
    monkeypatch.setattr(golang, "_install", lambda folder: (folder / "site").mkdir())
    assert golang.go(Progress()).parts[-4:] == ("site", "go", "bin", "go")


def test_every_go_module_of_the_lab_accepts_the_installed_go() -> None:
    pinned = tuple(int(part) for part in golang.PACKAGE.partition("==")[2].split("."))
    for path in (Path(__file__).parent).rglob("*.mod"):
        wanted = tuple(int(part) for part in re.findall(r"^go (\S+)$", path.read_text(), re.MULTILINE)[0].split("."))
        assert wanted <= golang.OLDEST <= pinned, path


def test_a_group_of_packages_that_is_not_there_is_named() -> None:
    with pytest.raises(LabError, match="for desktop"):
        packages.of(["run", "desktop"])
    assert set(packages.of([])) == {name for group in packages.GROUPS.values() for name in group}


def test_the_innermost_wait_says_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    spoken = threading.Event()

    def text() -> str:
        counted.append(1)
        if len(counted) > 2:
            spoken.set()
        return f"inner {len(counted)}"

    counted: list[int] = []
    with progress.waiting("outer", every=0.01), progress.waiting(text, every=0.01):
        assert spoken.wait(10)
    lines = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    # On a busy machine the outer one may wait for a while before the inner one begins.
    inner = lines.index("inner 1")
    assert lines[0] == "outer"
    assert lines[inner : inner + 2] == ["inner 1", "inner 2 ..."]


def test_the_inventory_has_the_groups_of_k3s_ansible() -> None:
    path = Path(__file__).resolve().parents[2] / "inventories/lab/hosts.py"
    spec = importlib.util.spec_from_file_location("lab_inventory", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    nodes = [{"name": f"pi-{number}", "address": f"10.77.0.{10 + number}"} for number in (1, 2)]
    made = module.inventory({"nodes": nodes, "ssh_config": "/s/ssh_config", "kubeconfig": "/s/kubeconfig"})
    assert made["server"]["hosts"] == ["pi-1"]
    assert made["agent"]["hosts"] == ["pi-2"]
    assert made["k3s_cluster"]["children"] == ["server", "agent"]
    assert made["_meta"]["hostvars"]["pi-2"] == {"ansible_host": "10.77.0.12"}


def test_a_disk_that_daemons_write_to_is_filled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They write while room is taken, and more the more is taken at once. What is refused in the end is given back whole."""
    free = 1 << 30
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(faults.machines, "root", lambda _node: tmp_path)
    monkeypatch.setattr(faults, "_free", lambda _node: free)

    def take(_file: int, _offset: int, size: int) -> None:
        nonlocal free
        written = 4096 + size // 1000
        if size + written > free:
            raise OSError(errno.ENOSPC, "No space left on device")
        free -= size + written

    monkeypatch.setattr(faults.os, "posix_fallocate", take)
    node = cast("Node", SimpleNamespace(name="pi-1", folder=tmp_path))
    taken = faults.fill(node, "/folder", cast("Provider", SimpleNamespace(disk_folders=["/outside"])))
    assert free <= faults.KEPT_FREE
    assert taken > (1 << 30) * 0.99
