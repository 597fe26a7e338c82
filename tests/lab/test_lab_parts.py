# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the lab that can be looked at without booting it."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.lab import cache, image, settings, sysctl
from tests.lab.kubernetes import debian_build
from tests.lab.progress import Progress
from tests.lab.shell import LabError
from tests.lab.state import State


def content(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None, f"{name} is no file"
    return member.read()


def test_an_archive_is_what_docker_save_would_write(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    packed = image.archive("pi-controller:lab", program, "usr/local/bin/pi-controller")
    assert packed == image.archive("pi-controller:lab", program, "usr/local/bin/pi-controller"), "equal content, other bytes"
    with tarfile.open(fileobj=io.BytesIO(packed)) as outer:
        manifest = json.loads(content(outer, "manifest.json"))[0]
        config = json.loads(content(outer, manifest["Config"]))
        layer = content(outer, manifest["Layers"][0])
    assert manifest["RepoTags"] == ["pi-controller:lab"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as inner:
        assert inner.getmember("usr/local/bin/pi-controller").mode == 0o755
        assert content(inner, "usr/local/bin/pi-controller") == b"\x7fELF"


def test_a_build_that_was_cut_off_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_kernel_settings_are_written_down_before_they_are_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "STATE", tmp_path / "state")
    proc = tmp_path / "proc"
    (proc / "vm").mkdir(parents=True)
    (proc / "vm/overcommit_memory").write_text("0\n")
    state = State(3, "full", "debian", "boot")
    sysctl.apply(state, proc)
    assert (proc / "vm/overcommit_memory").read_text() == "1"
    assert json.loads((tmp_path / "state/state.json").read_text())["kernel_settings"] == {"vm/overcommit_memory": "0"}
    sysctl.restore(state, proc)
    assert (proc / "vm/overcommit_memory").read_text() == "0"


@pytest.mark.parametrize(
    ("text", "deb822", "wanted"),
    [
        ("Types: deb\nURIs: mirror\n", True, "Types: deb-src\nURIs: mirror\n"),
        ("# a comment\ndeb mirror bookworm main\ndeb-src mirror bookworm main\n", False, "deb-src mirror bookworm main\n"),
    ],
)
def test_sources_are_asked_for_where_packages_are(text: str, deb822: bool, wanted: str) -> None:
    assert debian_build.as_source_entries(text, deb822=deb822) == wanted


def test_another_source_is_refused(tmp_path: Path) -> None:
    for name, _old, _new in debian_build.PERIODS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("something else")
    with pytest.raises(LabError, match="another version"):
        debian_build.shorten_periods(tmp_path)


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
