# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that the daemon's configuration names, and whether a pod finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import preflight_world as world
import pytest
from conftest import import_plugin

facts = import_plugin("module_utils._core.named_paths")
preflight = import_plugin("module_utils._preflight.judge")
settings = import_plugin("module_utils._daemon.drivers").settings

TEXT = """\
# log: /in/a/comment
app:
  data_dir: "{0}/data"
clustering:
  data_dir: {0}/raft   # the other name of a section
api:
  tls:
    key_file: '{0}/tls.key'
  cert: &cert {0}/tls.crt
  url: http://host{0}/tls.key
  more: {{key: {0}/tls.key, other: "{0}/gone"}}
log:
  files:
  - {0}/x.log
  - name: {0}/y.log
"top": {0}/top
"""
FOUND = {
    "app.data_dir": "data",
    "cluster.data_dir": "raft",
    "api.tls.key_file": "tls.key",
    "api.cert": "tls.crt",
    "api.more.key": "tls.key",
    "log.files": "x.log",
    "log.files.name": "y.log",
    "top": "top",
}


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    for name in FOUND.values():
        (tmp_path / name).touch()
    return tmp_path


def test_p8_absolute_paths_of_a_configuration_have_their_settings(pi: Path):
    found = facts.named_files(TEXT.format(pi), settings.SECTION_ALIASES)
    assert {entry["setting"]: entry["path"] for entry in found} == {
        name: f"{pi}/{file}" for name, file in FOUND.items()
    }


def test_p8_json_is_read_likewise(pi: Path):
    text = json.dumps(
        {"api": {"tls": {"key_file": f"{pi}/tls.key"}, "port": 1}, "clustering": {"logs": [f"{pi}/x.log"]}}
    )
    found = facts.named_files(text, settings.SECTION_ALIASES)
    assert [entry["setting"] for entry in found] == ["api.tls.key_file", "cluster.logs"]
    assert facts.named_files("{", {}) == []


def test_p8_only_what_is_there_leaves_the_pi_and_links_are_followed(pi: Path):
    (pi / "link.key").symlink_to(pi / "tls.key")
    text = f'auth:\n  secret: /s3cret\n  nul: "/\0"\n  key: {pi}/link.key\n'
    (found,) = facts.named_files(text, {})
    path = f"{pi}/link.key"
    assert found == {"setting": "auth.key", "path": path, "real": f"{pi}/tls.key", "links": [path]}


def test_p8_what_is_turned_off_names_nothing(pi: Path):
    """As in the published example, whose K3s section is."""
    text = f"""
kubernetes:
  enabled: false
  k3s: {{install_path: {pi}/top}}
api:
  tls_enabled: no
  tls_key: {pi}/tls.key
  cert: {pi}/tls.crt
log:
  enabled: true
  file: {pi}/x.log
"""
    found = facts.named_files(text, {})
    assert [entry["setting"] for entry in found] == ["api.cert", "log.file"]
    found = facts.named_files(json.dumps({"kubernetes": {"enabled": False, "k3s": {"install_path": f"{pi}/top"}}}), {})
    assert found == []


@pytest.mark.parametrize(("value", "count"), [("home/pi", 0), ("./home", 1), ("home/x.key", 1)])
def test_d10_p8_below_the_root_a_word_with_a_slash_is_no_path(value: str, count: int):
    assert len(facts.relative_paths(f"mqtt:\n  topic: {value}\n", {}, "/")) == count


@pytest.mark.parametrize(
    ("cwd", "settings"),
    [
        (".", ["a.key", "a.plain", "a.there", "a.up", "b.ca", "b.folder"]),
        ("/", ["a.key", "b.ca"]),
        (None, []),
    ],
)
def test_d10_p8_relative_paths_to_keys_and_to_what_is_there(pi: Path, cwd, settings):
    (pi / "certs").mkdir()
    (pi / "certs/some").touch()
    text = """
a:
  key: certs/ca.key
  there: certs/some
  plain: ./gone
  up: ../gone/
  zone: Europe/Berlin
  type: application/json
  secret: ab+c/de==
  url: http://x/y.key
  address: "10.0.0.0/8"
  mode: certs
  version: 1.2
  absolute: /etc/x.key
b: {ca: "./certs/ca", folder: ./certs}
"""
    found = facts.relative_paths(text, {}, str(pi) if cwd == "." else cwd)
    assert [entry["setting"] for entry in found] == settings
    if cwd == ".":
        assert found[0] == {
            "setting": "a.key",
            "path": f"{pi}/certs/ca.key",
            "real": f"{pi}/certs/ca.key",
            "links": [],
            "there": False,
        }
        assert [entry["setting"] for entry in found if entry["there"]] == ["a.there", "b.folder"]


def found(*named: tuple[str, ...], migration: Any = None, **owner: Any) -> list[Any]:
    seen = world.healthy()
    for host in seen["host"].values():
        host["unit"]["named_files"] = [
            {
                "setting": setting,
                "path": path,
                "real": real[0] if real else path,
                "links": real[1:] or [path] if real else [],
            }
            for setting, path, *real in named
        ]
    findings = preflight.evaluate(seen, world.settings(**(migration or {})), world.owner(**owner))
    return [finding for finding in findings if finding.host == "pi-2"]


def mounted(host: str, inside: str) -> dict[str, Any]:
    return {
        "volumes": [{"name": "x", "hostPath": {"path": host}}],
        "volume_mounts": [{"name": "x", "mountPath": inside}],
    }


KEY = ("api.tls_key_file", "/etc/ssl/private/pi.key")
LINK = ("api.tls_key_file", "/etc/pi-controller/tls.key", "/etc/letsencrypt/archive/pi/privkey1.pem")


@pytest.mark.parametrize(
    ("named", "owner", "seen"),
    [
        (KEY, {}, "api.tls_key_file: /etc/ssl/private/pi.key"),
        (("log.file", "/var/log/pi-controller/x.log"), {}, "log.file: /var/log/pi-controller/x.log"),
        (LINK, {}, "/etc/pi-controller/tls.key (a link to /etc/letsencrypt/archive/pi/privkey1.pem)"),
        (KEY, mounted("/etc/ssl/private", "/keys"), "/etc/ssl/private/pi.key"),
        # A device needs a privileged container or a mount.
        (
            ("gpio.chip", "/dev/gpiochip0"),
            {"security_context": {}, "volumes": [], "volume_mounts": []},
            "/dev/gpiochip0",
        ),
        (("app.plugins", "/usr/local/lib/pi"), {}, "/usr/local/lib/pi"),
        # A privileged container has the nodes, and none of the names that udev gives them.
        (("serial.port", "/dev/serial0", "/dev/ttyAMA0"), {}, "/dev/serial0 (a link to /dev/ttyAMA0)"),
        # The link is in the folder that is mounted.
        (
            ("a.b", "/opt/pi/x/y", "/srv/x/y", "/opt/pi/x"),
            mounted("/opt/pi", "/opt/pi"),
            "/opt/pi/x/y (a link to /srv/x/y)",
        ),
    ],
)
def test_d6_p8_a_file_that_no_mount_of_the_pod_has_is_named(named, owner, seen):
    """A warning: the daemon may not use it, and pods that need it do not start in prepare."""
    (finding,) = found(named, **owner)
    assert (finding.check, finding.level) == ("configuration names", "warning")
    assert seen in finding.seen
    assert "pi_controller_extra_volumes and pi_controller_extra_volume_mounts" in finding.fix


@pytest.mark.parametrize(
    ("named", "owner"),
    [
        (KEY, mounted("/etc/ssl/private", "/etc/ssl/private")),
        (KEY, mounted("/srv/keys-of-pods", "/etc/ssl/private")),
        (LINK, mounted("/etc/letsencrypt", "/etc/letsencrypt")),
        (("api.tls_key_file", "/etc/pi-controller/tls.key"), {}),
        (("log.file", "/dev/stdout", "/proc/198/fd/pipe:[7]"), {"volumes": [], "volume_mounts": []}),
        (("gpio.chip", "/dev/gpiochip0"), {"volumes": [], "volume_mounts": []}),
        (("gpio.base", "/sys/class/gpio"), {}),
        (("app.tmp", "/tmp"), {}),
        (("app.tmp", "/tmp/"), {}),
        (("app.shm", "/dev/shm"), {"security_context": {}}),
        # The kubelet follows a link that is the mounted path, or lies above it.
        (
            ("docker.socket", "/var/run/docker.sock", "/run/docker.sock", "/var/run"),
            mounted("/var/run/docker.sock", "/var/run/docker.sock"),
        ),
        (("a.b", "/opt/pi/x", "/srv/pi/x", "/opt/pi"), mounted("/opt/pi", "/opt/pi")),
        # Written anew for the pods.
        (("cluster.data_dir", "/opt/raft"), {}),
    ],
)
def test_d6_p8_what_a_pod_finds_is_not_a_finding(named, owner):
    assert found(named, **owner) == []


@pytest.mark.parametrize("path", ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs"])
def test_p8_a_file_that_an_image_may_have_is_a_warning(path: str):
    (finding,) = found(("api.ca", path))
    assert (finding.check, finding.level) == ("configuration names", "warning")
    assert "see that the image has them" in finding.fix


@pytest.mark.parametrize(("file", "level"), [("tls/key.pem", "error"), ("x.log", "warning")])
@pytest.mark.parametrize("strategy", ["parallel", "rolling"])
def test_p8_with_parallel_the_pods_begin_with_an_empty_folder(strategy: str, file: str, level: str):
    named = ("api.some", f"/var/lib/pi-controller/{file}")
    findings = found(named, migration={"strategy": strategy})
    assert [(finding.check, finding.level) for finding in findings] == [("configuration names", level)] * (
        strategy == "parallel"
    )


@pytest.mark.parametrize(("sections", "count"), [(("standard_env", "temporary_env"), 0), (("standard_env",), 1)])
def test_p8_a_path_that_the_pods_have_otherwise_is_not_a_finding(sections, count):
    migration = {section: {"PI_CONTROLLER_LOG_FILE": "/dev/stdout"} for section in sections}
    assert len(found(("log.file", "/var/log/x.log"), migration=migration)) == count


def test_the_paths_of_a_state_are_those_that_its_file_writes():
    folders = {"data_dir": "/d", "raft_dir": "r", "database": "b"}
    written = settings.file_settings({"rest": 1, "grpc": 2, "raft": 3}, "10.0.0.1", False, folders)
    assert sorted(key for key, value in written.items() if str(value).startswith("/")) == sorted(
        settings.PATHS_OF_STATE
    )
