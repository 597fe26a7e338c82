# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way in which a unit can be installed: kept from running, and brought back link by link."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT, import_plugin

install = import_plugin("module_utils._core.unit_install")
module = import_plugin("modules.unit_state")
systemd = import_plugin("module_utils._core.systemd")
UNIT = "pi.service"
TEXT = "[Service]\nExecStart=/usr/local/bin/pi-controller\n[Install]\nWantedBy=multi-user.target\nAlias=controller.service\n"


class Systemd:
    """systemd as far as the module asks it: it reads the folders as they are, as after a daemon-reload."""

    def __init__(self, folder: Path) -> None:
        self.etc, self.lib, self.opt = folder / "etc", folder / "lib", folder / "opt"
        for path in (self.etc, self.lib, self.opt):
            path.mkdir()
        self.active = "active"
        self.calls: list[str] = []

    def _file(self, name: str) -> Path | None:
        return next((path for path in (self.etc / name, self.lib / name) if path.is_symlink() or path.exists()), None)

    def _id(self, name: str) -> str:
        """An alias is a link to a file of another name in the search path."""
        path = self._file(name)
        if path is None or not path.is_symlink() or str(path.readlink()) == "/dev/null":
            return name
        target = path.readlink()
        return target.name if target.parent in (self.etc, self.lib, Path()) and target.name != name else name

    def __call__(self, command: list[str], **_options: Any) -> tuple[int, str, str]:
        verb, *words = command[1:]
        if verb == "show":
            return 0, self.show(words[-1]), ""
        self.calls.append(" ".join([verb, *words]))
        if verb == "stop":
            self.active = "inactive"
        if verb == "start":
            if "LoadState=loaded" not in self.show(words[0]):
                return 1, "", "Unit is masked."
            self.active = "active"
        return 0, "", ""

    def show(self, name: str) -> str:
        own = self._id(name)
        path = self._file(own)
        masked = path is not None and path.is_symlink() and str(path.readlink()) == "/dev/null"
        load = "masked" if masked else "loaded" if path is not None and path.exists() else "not-found"
        names = [
            own,
            *(
                link.name
                for link in self.etc.iterdir()
                if link.is_symlink() and link.name != own and self._id(link.name) == own
            ),
        ]
        wants = [link.parent.name[: -len(".wants")] for link in self.etc.glob(f"*.wants/{own}")]
        fragment = "" if path is None else str(path)
        return (
            f"Id={own}\nNames={' '.join(names)}\nLoadState={load}\nActiveState={self.active}\nSubState=x\n"
            f"UnitFileState={'masked' if masked else 'enabled' if wants else 'disabled'}\nFragmentPath={fragment}\nWantedBy={' '.join(wants)}\n"
        )


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    fake = Systemd(tmp_path)
    real = install.UnitInstall
    monkeypatch.setattr(module, "UnitInstall", lambda *args: real(*args, etc=fake.etc))
    monkeypatch.setattr(module.AnsibleModule, "get_bin_path", lambda *_args, **_options: "systemctl")
    monkeypatch.setattr(
        module.AnsibleModule, "run_command", lambda _module, command, **options: fake(command, **options)
    )
    return fake


@pytest.fixture
def put(run_module: Any, pi: Systemd, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(state: str, unit: str = UNIT, check_mode: bool = False, freed: Sequence[str] = ()) -> dict[str, Any]:
        file = pi.lib / UNIT if (pi.lib / UNIT).exists() else pi.etc / UNIT
        saved = str(tmp_path / "backup" / UNIT)
        args = {"unit": unit, "unit_file": str(file), "saved": saved, "state": state, "freed": list(freed)}
        return run_module("unit_state", args, check_mode=check_mode)

    return run


def wants(pi: Systemd, target: Path) -> None:
    (pi.etc / "multi-user.target.wants").mkdir(exist_ok=True)
    (pi.etc / "multi-user.target.wants" / UNIT).symlink_to(target)


def in_etc(pi: Systemd) -> None:
    (pi.etc / UNIT).write_text(TEXT)
    (pi.etc / UNIT).chmod(0o640)
    wants(pi, pi.etc / UNIT)


def linked(pi: Systemd) -> None:
    (pi.opt / UNIT).write_text(TEXT)
    (pi.etc / UNIT).symlink_to(pi.opt / UNIT)
    wants(pi, pi.opt / UNIT)


def aliased(pi: Systemd) -> None:
    in_etc(pi)
    (pi.etc / "controller.service").symlink_to(pi.etc / UNIT)


def linked_and_aliased(pi: Systemd) -> None:
    """The alias points to the link, and comes before it."""
    linked(pi)
    (pi.etc / "controller.service").symlink_to(pi.etc / UNIT)


def vendor(pi: Systemd) -> None:
    (pi.lib / UNIT).write_text(TEXT)
    wants(pi, pi.lib / UNIT)


def not_enabled(pi: Systemd) -> None:
    (pi.etc / UNIT).write_text(TEXT)


INSTALLED = {
    "a file in /etc": in_etc,
    "a link": linked,
    "an alias": aliased,
    "a link with an alias": linked_and_aliased,
    "a vendor's file": vendor,
    "not enabled": not_enabled,
}


def everything(pi: Systemd) -> dict[str, Any]:
    """Each file and link with its target, content and mode."""
    found: dict[str, Any] = {}
    for root in (pi.etc, pi.lib, pi.opt):
        for path in sorted(root.rglob("*")):
            if path.is_symlink():
                found[str(path)] = str(path.readlink())
            elif path.is_file():
                found[str(path)] = (path.read_text(), path.stat().st_mode)
    return found


@pytest.mark.parametrize("way", INSTALLED)
@pytest.mark.parametrize("unit", [UNIT, "pi"])
def test_p7_a_unit_is_masked_and_comes_back_as_it_was(pi, put, way, unit):
    INSTALLED[way](pi)
    before = everything(pi)
    result = put("masked", unit)
    assert result["changed"] is True
    assert (result["unit"]["load"], result["unit"]["active"]) == ("masked", "inactive")
    assert everything(pi) != before
    assert put("masked", unit)["changed"] is False

    back = put("started", unit)
    assert back["unit"]["active"] == "active"
    assert everything(pi) == before
    assert put("started", unit)["changed"] is False


@pytest.mark.parametrize("way", INSTALLED)
def test_p7_a_disabled_unit_runs_on_and_keeps_its_names(pi, put, way):
    INSTALLED[way](pi)
    before = everything(pi)
    result = put("disabled")
    assert (result["unit"]["load"], result["unit"]["active"]) == ("loaded", "active")
    assert list(pi.etc.glob("*.wants/*")) == []
    assert put("disabled")["changed"] is False
    put("started")
    assert everything(pi) == before


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_l3_mode_and_owner_of_the_unit_file_come_back(pi, put, mode):
    in_etc(pi)
    file = pi.etc / UNIT
    file.chmod(mode)
    if os.getuid() == 0:
        os.chown(file, 12345, 54321)
    before = file.stat()
    put("masked")
    put("started")
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_p7_the_alias_in_the_inventory_masks_the_unit_itself(pi, put):
    aliased(pi)
    before = everything(pi)
    put("masked", "controller.service")
    assert {str((pi.etc / name).readlink()) for name in (UNIT, "controller.service")} == {"/dev/null"}
    put("started", "controller.service")
    assert everything(pi) == before


@pytest.mark.parametrize("way", INSTALLED)
@pytest.mark.parametrize("stopped_at", range(1, 6))
def test_p7_a_run_that_was_killed_loses_nothing(pi, put, way, stopped_at, monkeypatch):
    """Power off before the nth link or file is removed or made; then it is run again, and taken back."""
    INSTALLED[way](pi)
    before, count = everything(pi), iter(range(1, 100))

    def limited(original):
        def call(*args, **options):
            if next(count) == stopped_at:
                raise OSError("power off")
            return original(*args, **options)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(install.UnitInstall, "_unlink", limited(install.UnitInstall._unlink))
        patched.setattr(Path, "symlink_to", limited(Path.symlink_to))
        put("masked")
    put("masked")
    assert "LoadState=masked" in pi.show(UNIT)
    put("started")
    assert everything(pi) == before


def test_p7_what_starts_again_under_the_mask_is_not_called_masked(pi, put, monkeypatch):
    in_etc(pi)
    monkeypatch.setattr(pi, "active", "active")
    stubborn = type(pi).__call__

    def call(self, command, **options):
        return (0, "", "") if command[1] == "stop" else stubborn(self, command, **options)

    monkeypatch.setattr(type(pi), "__call__", call)
    result = put("masked")
    assert result["failed"] is True
    assert "systemd has it as masked and active" in result["msg"]


@pytest.mark.parametrize("failed", [True, False])
def test_only_a_unit_that_failed_is_reset_before_it_starts(pi, put, monkeypatch, failed):
    """systemd has forgotten one that is neither running nor enabled, and to reset what it does not know is an error."""
    in_etc(pi)
    put("masked")
    monkeypatch.setattr(pi, "active", "failed" if failed else "inactive")
    known = type(pi).__call__

    def call(self, command, **options):
        if command[1] == "reset-failed" and self.active != "failed":
            return 1, "", f"Failed to reset failed state of unit {UNIT}: Unit {UNIT} not loaded."
        return known(self, command, **options)

    monkeypatch.setattr(type(pi), "__call__", call)
    result = put("started")
    assert result.get("failed") is not True, result
    assert (f"reset-failed {UNIT}" in pi.calls) is failed
    assert pi.active == "active"


def test_p7_a_file_that_a_link_pointed_to_is_asked_for(pi, put):
    linked(pi)
    put("masked")
    (pi.opt / UNIT).unlink()
    result = put("started")
    assert result["failed"] is True
    assert "which is not there any more" in result["msg"]
    assert "copy" in result["msg"]


def test_p7_a_full_disk_keeps_no_unit_from_coming_back(pi, put, monkeypatch):
    linked_and_aliased(pi)
    before = everything(pi)
    put("disabled")

    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(install.UnitInstall, "_write", full)
        assert put("started")["unit"]["active"] == "active"
    assert everything(pi) == before
    put("started")
    assert everything(pi) == before


def test_a_port_that_stays_held_is_an_error_of_a_masked_unit(pi, put, monkeypatch):
    linked(pi)
    monkeypatch.setattr(module, "FREED_WITHIN", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert "failed" not in put("masked", check_mode=True, freed=[address])
        failed = put("masked", freed=[address])
    assert failed["msg"].startswith(f"{address} still accepts connections")
    assert failed["changed"] is True
    assert "LoadState=masked" in pi.show(UNIT)
    assert put("masked", freed=[address])["changed"] is False


def test_p7_check_mode_changes_nothing(pi, put):
    aliased(pi)
    before = everything(pi)
    for state in ("disabled", "masked"):
        assert put(state, check_mode=True)["changed"] is True
    assert put("started", check_mode=True)["changed"] is False
    assert everything(pi) == before
    assert pi.calls == []


def test_p7_a_mask_of_an_earlier_release_is_taken_away(pi, put, tmp_path):
    """It left a saved file and no record; systemctl unmasks and enables there."""
    (pi.etc / UNIT).symlink_to("/dev/null")
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / UNIT).write_text(TEXT)
    pi.active = "inactive"
    put("started")
    assert (pi.etc / UNIT).read_text() == TEXT
    assert [call for call in pi.calls if call.startswith(("unmask", "enable"))] == [f"unmask {UNIT}", f"enable {UNIT}"]


@pytest.mark.parametrize(
    ("given", "name"),
    [("pi", "pi.service"), ("pi.service", "pi.service"), ("a.b@1", "a.b@1.service"), ("x.socket", "x.socket")],
)
def test_p7_a_name_without_its_type_is_a_service(given, name):
    assert systemd.unit_name(given) == name
    assert systemd.show_command("systemctl", given)[-1] == name


# The real systemctl as it installs units without a manager, on folders of its own in a mount namespace of its own.
REAL = """
set -e
for folder in /etc/systemd/system /opt; do mount -t tmpfs none "$folder"; done
printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\nAlias=controller.service\\n' > "$1/x-rows.service"
exec "$2" "$3" "$1" "$4"
"""
DRIVER = """
import json, os, pathlib, subprocess, sys
from ansible_collections.pi_controller.raft_migration.plugins.module_utils._core.unit_install import ETC, UnitInstall
place, way = pathlib.Path(sys.argv[1]), sys.argv[2]
def real(*words):
    done = subprocess.run(["systemctl", *words], env={**os.environ, "SYSTEMD_OFFLINE": "1"}, text=True, capture_output=True)
    return done.stdout.strip() or done.stderr.strip()
source = place / "x-rows.service"
if way == "link":
    file = pathlib.Path("/opt/x-rows.service"); file.write_text(source.read_text()); real("enable", str(file))
else:
    file = ETC / "x-rows.service"; file.write_text(source.read_text()); real("enable", "x-rows.service")
def everything():
    return {str(path): os.readlink(path) if path.is_symlink() else path.read_text() for path in sorted(ETC.rglob("*")) if not path.is_dir()}
active = "active"
def systemctl(*words):
    global active
    if words[0] == "show":
        masked = real("is-enabled", "x-rows.service") == "masked"
        load = "masked" if masked else "loaded"
        text = f"Id=x-rows.service\\nNames=x-rows.service controller.service\\nLoadState={load}\\nActiveState={active}\\nFragmentPath={file}\\n"
        return 0, text, ""
    active = {"stop": "inactive", "start": "active"}.get(words[0], active)
    return 0, "", ""
before = everything()
install = UnitInstall("x-rows", place / "saved" / "x-rows.service", systemctl, lambda step: None)
states = [real("is-enabled", "x-rows.service")]
install.mask()
states += [real("is-enabled", name) for name in ("x-rows.service", "controller.service")]
install.restore(file)
states.append(real("is-enabled", "x-rows.service"))
print(json.dumps({"states": states, "same": everything() == before, "links": len(before)}))
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("systemctl"), reason="needs root and systemctl")
@pytest.mark.parametrize("way", ["link", "file"])
def test_p7_the_real_systemctl_agrees(tmp_path: Path, way: str):
    (tmp_path / "driver.py").write_text(DRIVER)
    script = ["sh", "-c", REAL, "sh", str(tmp_path), sys.executable, str(tmp_path / "driver.py"), way]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / ".collections")}
    command = ["unshare", "--mount", "--propagation", "private", *script]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["links"] == 3
    assert result["states"] == ["enabled", "masked", "masked", "enabled"]
    assert result["same"] is True
