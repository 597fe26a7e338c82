# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the unit's process really runs with, and which of it a pod would not get."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import preflight_world as world
import pytest
from conftest import import_plugin

facts = import_plugin("module_utils._core.unit_process")
preflight = import_plugin("module_utils._preflight.judge")


def found(
    process: dict[str, Any] | None = None, unit: dict[str, Any] | None = None, *, config: Any = None, **owner: Any
) -> list[Any]:
    """What is found of pi-2. All Pis are set up alike, as those of one owner are."""
    seen = world.healthy()
    for host in seen["host"].values():
        host["unit"].update({"process": world.process(**(process or {})), **(unit or {})})
    findings = preflight.evaluate(seen, config or world.settings(), world.owner(**owner))
    return [finding for finding in findings if finding.host == "pi-2"]


@pytest.mark.parametrize(
    ("words", "config", "flags", "bare"),
    [
        (["--config", "/etc/x.yaml"], "/etc/x.yaml", [], []),
        (["--config=/etc/x.yaml", "--log-level", "debug", "-v"], "/etc/x.yaml", ["--log-level", "-v"], []),
        (["serve", "-config", "/x"], "/x", [], ["serve"]),
        (["--token=s3cret", "--", "s3 cret"], None, ["--token", "--"], []),
        ([], None, [], []),
    ],
)
def test_p8_the_command_line_is_read_without_its_values(words, config, flags, bare):
    assert facts.arguments(words) == {"config": config, "flags": flags, "words": bare}
    assert "s3" not in str(facts.arguments(words))


def test_p8_a_real_process_is_read(tmp_path: Path):
    """Its own flags, names of its environment, working directory, limit, and the files that it writes."""
    code = "import sys; file = open('state.db', 'w'); log = open('/dev/null', 'w'); print('open', flush=True); sys.stdin.read()"
    command = ["sh", "-c", 'ulimit -Sn 77; exec "$0" -c "$1" --config /etc/x.yaml --level=debug', sys.executable, code]
    environment = {"PATH": os.environ["PATH"], "ENVIRONMENT": "development", "LANG": "C", "API_TOKEN": "s3cret"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        seen = facts.process(process.pid)
        process.kill()
    assert seen["environment"] == ["API_TOKEN", "ENVIRONMENT"]
    assert (seen["config"], seen["flags"]) == ("/etc/x.yaml", ["-c", "--level"])
    assert (seen["uid"], seen["gid"]) == (os.geteuid(), os.getegid())
    assert (seen["cwd"], seen["open_files_limit"]) == (str(tmp_path), 77)
    assert seen["written_files"] == ([] if str(tmp_path).startswith("/tmp/") else [str(tmp_path / "state.db")])
    assert "s3cret" not in str(seen)


def test_p8_written_files_are_those_open_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(facts, "_NO_STATE", ("/dev/", "/proc/"))
    with (tmp_path / "state.db").open("w"), (tmp_path / "read.db").open("w"):
        pass
    with (tmp_path / "state.db").open("a"), (tmp_path / "read.db").open():
        written = facts.written(Path(f"/proc/{os.getpid()}"))
    assert str(tmp_path / "state.db") in written
    assert str(tmp_path / "read.db") not in written


RELATIVE = {
    "setting": "ca.local.ca_key",
    "path": "/opt/pi/ca.key",
    "real": "/opt/pi/ca.key",
    "links": [],
    "there": True,
}
IN_ROOT = {"setting": "ca.local.ca_key", "path": "/certs/ca.key", "real": "/certs/ca.key", "links": [], "there": True}


def mounted(host: str, inside: str, **changes: Any) -> dict[str, Any]:
    """One more volume of the pods: the owner's settings for it."""
    return {
        "volumes": [{"name": "x", "hostPath": {"path": host}}],
        "volume_mounts": [{"name": "x", "mountPath": inside, **changes}],
    }


PROCESS_CASES = {
    "a flag": ({"flags": ["--log-level"]}, {}, "unit command line", "--log-level", "error"),
    "a subcommand": ({"words": ["serve"]}, {}, "unit command line", "serve", "error"),
    "another file": (
        {"config": "/opt/x.yaml", "config_real": "/opt/x.yaml"},
        {},
        "unit command line",
        "--config /opt/x.yaml",
        "error",
    ),
    "no file": ({"config": None, "config_real": None}, {}, "unit command line", "no --config", "error"),
    "a variable": ({"environment": ["ENVIRONMENT"]}, {}, "unit environment", "ENVIRONMENT", "error"),
    "a user": (
        {"uid": 1000, "gid": 1000, "user": "pi", "groups": {"gpio": 997}},
        {},
        "unit user",
        "pi (uid 1000, gid 1000)",
        "error",
    ),
    "another user": (
        {"uid": 1000, "gid": 1000, "user": "pi"},
        {"security_context": {"runAsUser": 1001}},
        "unit user",
        "pi (uid 1000",
        "error",
    ),
    "a root unit and pods of a user": (
        {},
        {"security_context": {"runAsUser": 1001}},
        "unit user",
        "root (uid 0",
        "error",
    ),
    "a group": (
        {"uid": 1000, "gid": 1000, "user": "pi", "groups": {"gpio": 997, "i2c": 998}},
        {"security_context": {"runAsUser": 1000}, "supplemental_groups": [997]},
        "unit groups",
        "i2c (998)",
        "error",
    ),
    "relative paths": (
        {"cwd": "/opt/pi", "relative_paths": [RELATIVE]},
        {},
        "unit working directory",
        "/opt/pi",
        "error",
    ),
    "relative paths, and a working directory that is not mounted": (
        {"cwd": "/opt/pi", "relative_paths": [RELATIVE]},
        {"working_dir": "/opt/pi"},
        "unit working directory",
        "/opt/pi",
        "error",
    ),
    "relative paths below /, where a unit without WorkingDirectory is": (
        {"cwd": "/", "relative_paths": [IN_ROOT]},
        {},
        "unit working directory",
        "/, and relative paths in ca.local.ca_key",
        "error",
    ),
    "a key below / that is not there": (
        {"cwd": "/", "relative_paths": [{**IN_ROOT, "there": False}]},
        {},
        "unit working directory",
        "ca.local.ca_key, not there yet",
        "warning",
    ),
    "a file elsewhere": ({"written_files": ["/srv/extra.db"]}, {}, "unit writes to", "/srv/extra.db", "error"),
    "a file in the read-only configuration folder": (
        {"written_files": ["/etc/pi-controller/state.db"]},
        {},
        "unit writes to",
        "/etc/pi-controller/state.db",
        "error",
    ),
    "a file in a read-only volume": (
        {"written_files": ["/srv/x/extra.db"]},
        mounted("/srv/x", "/srv/x", readOnly=True),
        "unit writes to",
        "/srv/x/extra.db",
        "error",
    ),
    "a file in a volume that is not mounted": (
        {"written_files": ["/srv/x/extra.db"]},
        {"volumes": [{"name": "x", "hostPath": {"path": "/srv/x"}}]},
        "unit writes to",
        "/srv/x/extra.db",
        "error",
    ),
    "many files": ({"open_files_limit": 2000000}, {}, "open files", "containers 1048576", "warning"),
}


@pytest.mark.parametrize("name", PROCESS_CASES)
def test_p8_what_a_pod_would_not_get_is_a_finding(name):
    process, owner, check, seen, level = PROCESS_CASES[name]
    (finding,) = found(process, **owner)
    assert (finding.host, finding.check, finding.level) == ("pi-2", check, level)
    assert seen in finding.seen


@pytest.mark.parametrize(
    ("process", "owner", "migration"),
    [
        ({"flags": ["--log-level"], "words": ["serve"]}, {"args": ["serve", "--log-level", "debug"]}, {}),
        ({"environment": ["TZ"]}, {}, {"standard_env": {"TZ": "UTC"}, "temporary_env": {"TZ": "UTC"}}),
        ({"uid": 1000, "gid": 1000, "user": "pi", "groups": {"gpio": 997}}, {"security_context": {"runAsUser": 0}}, {}),
        (
            {"uid": 1000, "gid": 1000, "user": "pi", "groups": {"gpio": 997}},
            {"security_context": {"runAsUser": 1000}, "supplemental_groups": [997, 998]},
            {},
        ),
        (
            {"cwd": "/opt/pi", "relative_paths": [RELATIVE]},
            {"working_dir": "/opt/pi", **mounted("/opt/pi", "/opt/pi")},
            {},
        ),
        # Written out for the pods.
        ({"cwd": "/opt/pi", "relative_paths": [{**RELATIVE, "setting": "cluster.data_dir"}]}, {}, {}),
        ({"cwd": "/opt/pi"}, {}, {}),
        ({"written_files": ["/srv/x/extra.db"]}, mounted("/srv/x", "/srv/x"), {}),
        ({"written_files": ["/etc/pi-controller/state/x.db"]}, mounted(*["/etc/pi-controller/state"] * 2), {}),
    ],
)
def test_p8_what_a_pod_gets_is_not_a_finding(process, owner, migration):
    assert found(process, config=world.settings(**migration), **owner) == []


@pytest.mark.parametrize(
    ("config", "real", "fix"),
    [
        ("config.yaml", "/etc/pi-controller/config.yaml", None),
        ("config.yaml", "/opt/pi/config.yaml", "set pi_controller_config_file to /opt/pi/config.yaml"),
        ("config.yaml", None, "start the unit with --config /etc/pi-controller/config.yaml"),
    ],
)
def test_p8_a_relative_config_is_the_file_that_it_is_on_the_pi(config, real, fix):
    assert [finding.fix.startswith(fix or "?") for finding in found({"config": config, "config_real": real})] == (
        [True] if fix else []
    )


def test_p8_the_advice_for_a_linked_configuration_ends():
    """The file by its own name is what the unit's `--config` is, so that the next run asks for nothing else."""
    seen, real = world.healthy(), "/opt/pi/config.yaml"
    for host in seen["host"].values():
        host["paths"]["config_file"].update(links=["/etc/pi-controller/config.yaml"], real=real)
        host["unit"]["process"]["config_real"] = real
    findings = [row for row in preflight.evaluate(seen, world.settings(), world.owner()) if row.host == "pi-2"]
    assert [finding.fix for finding in findings] == [f"set pi_controller_config_file to {real}"]
    for host in seen["host"].values():
        host["paths"]["config_file"].update(path=real, links=[])
    assert preflight.evaluate(seen, world.settings(), world.owner(config_file=real)) == []


def test_p8_config_is_found_from_the_working_directory_without_links(tmp_path: Path):
    (tmp_path / "real.yaml").touch()
    (tmp_path / "config.yaml").symlink_to("real.yaml")
    for path in ("config.yaml", str(tmp_path / "config.yaml")):
        assert facts.real_path(path, str(tmp_path)) == str(tmp_path / "real.yaml")
    assert facts.real_path("config.yaml", None) is None
    assert facts.real_path("/etc/./x.yaml", None) == "/etc/x.yaml"
    assert facts.real_path(None, "/") is None


def test_p8_a_variable_that_only_the_final_pods_get_is_a_warning():
    (finding,) = found({"environment": ["TZ"]}, config=world.settings(standard_env={"TZ": "UTC"}))
    assert (finding.check, finding.level) == ("unit environment", "warning")


@pytest.mark.parametrize(
    ("unit", "check"),
    [
        ({"enabled": "transient", "file": "/run/systemd/transient/x.service"}, "unit file"),
        ({"enabled": "generated", "file": "/run/systemd/generator/x.service"}, "unit file"),
        ({"started_by": ["kiosk.service"]}, "unit started by"),
    ],
)
def test_p7_a_unit_that_cannot_be_masked_or_restored_is_refused(unit, check):
    (finding,) = found(unit=unit)
    assert (finding.check, finding.level) == (check, "error")


def test_p8_what_the_unit_runs_beside_its_process_is_a_warning():
    (finding,) = found(unit={"hooks": ["ExecStartPre=/sbin/modprobe"]})
    assert (finding.check, finding.level) == ("unit commands", "warning")
    assert "/etc/modules-load.d" in finding.fix


@pytest.mark.parametrize("name", ["pi-controller", "pi-controller.service"])
def test_p7_drop_ins_are_found_whatever_the_inventory_calls_the_unit(name):
    unit = {"drop_ins": ["/etc/systemd/system/pi-controller.service.d/override.conf"]}
    findings = preflight.evaluate(world.healthy() | {"host": drop_ins(unit)}, world.settings(), world.owner(unit=name))
    assert {finding.check for finding in findings} == {"unit drop-ins"}


def drop_ins(unit: dict[str, Any]) -> dict[str, Any]:
    hosts = world.healthy()["host"]
    for host in hosts.values():
        host["unit"].update(unit)
    return hosts


PI = {"uid": 1000, "gid": 1000, "user": "pi"}
HOSTS = ("pi-1", "pi-2", "pi-3")


@pytest.mark.parametrize(
    ("process", "owners", "fix"),
    [
        (PI, dict.fromkeys(HOSTS, {"uid": 1000, "gid": 1000}), None),
        (
            PI,
            {**dict.fromkeys(HOSTS, {"uid": 1000, "gid": 1000}), "pi-3": {"uid": 1001, "gid": 1001}},
            "set runAsUser: 1000",
        ),
        (PI, dict.fromkeys(HOSTS, {"uid": 0, "gid": 0}), "or runAsUser: 0 there"),
        ({}, dict.fromkeys(HOSTS, {"uid": 1000, "gid": 1000}), "set runAsUser in pi_controller_security_context to 0"),
    ],
)
def test_d7_pods_run_as_the_owner_of_the_data_or_it_is_a_finding(process, owners, fix):
    assert [fix in finding.fix for finding in found(process, data_owners=owners)] == ([True] if fix else [])
