# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setups that owners really have, on real hosts with a real systemd: there and back under the witness."""

from __future__ import annotations

import configparser
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import hosts as on
from tests.e2e import pace, rehearsal
from tests.e2e.test_rolling import assert_migrated, assert_old_world, forth, judged
from tests.e2e.world import differences, world
from tests.lab import cluster
from tests.lab import state as files

pytestmark = pytest.mark.longer

DATA = "/var/lib/pi-controller"
ETC = "/etc/systemd/system"
LINKED = "/opt/pi-controller/pi-controller.service"
USER = 1500
# The unit is a link with an alias and a user of its own, and its data is on a mount of its own.
SET_UP = f"""
set -eu
systemctl disable --now pi-controller
useradd --system --uid {USER} --user-group --no-create-home pi
mkdir -p /opt/pi-controller /srv/disk
cp -a {DATA}/. /srv/disk/ && rm -rf {DATA}/*
mount --bind /srv/disk {DATA}
chown -R pi:pi /srv/disk /etc/pi-controller /dev/gpiochip0
mv {ETC}/pi-controller.service {LINKED}
sed -i 's/^User=root/User=pi/; s/^.Install.$/&\\nAlias=controller.service/' {LINKED}
systemctl enable --quiet {LINKED}
systemctl start pi-controller
"""
# The lab's reset knows the files of the old world and of a migration, and none of this.
AS_BEFORE = f"""
systemctl disable --now pi-controller controller
rm -f {ETC}/pi-controller.service {ETC}/controller.service {ETC}/multi-user.target.wants/pi-controller.service
umount {DATA}
rm -rf /opt/pi-controller /srv/disk
chown -R root:root /etc/pi-controller /dev/gpiochip0
userdel pi
systemctl daemon-reload
"""
# A user of its own and nothing else that is unusual.
OWN_USER = f"""
set -eu
systemctl stop pi-controller
useradd --system --uid {USER} --user-group --no-create-home pi
chown -R pi:pi {DATA} /etc/pi-controller /dev/gpiochip0
sed -i 's/^User=root/User=pi/' {ETC}/pi-controller.service
systemctl daemon-reload
systemctl start pi-controller
"""
AS_BEFORE_OWN_USER = """
systemctl stop pi-controller
chown -R root:root /etc/pi-controller /dev/gpiochip0
userdel pi
"""
LINKS = {
    f"{ETC}/pi-controller.service": LINKED,
    f"{ETC}/controller.service": LINKED,
    f"{ETC}/multi-user.target.wants/pi-controller.service": LINKED,
}


def links(name: str) -> dict[str, str]:
    """The links of the unit on a Pi, with where they lead in the end."""
    listed = rehearsal.on_host(
        name, "find", ETC, "-type", "l", "-name", "'*controller.service'", "-printf", "'%p %l\\n'"
    )
    return dict(line.split(" ", 1) for line in listed.splitlines())


def of_the_owner(names: list[str]) -> dict[str, Any]:
    fragment = rehearsal.on_host(
        names[0], "systemctl", "show", "--property=FragmentPath", "--value", "pi-controller"
    ).strip()
    return {
        "pi_controller_unit": "pi-controller",
        "pi_controller_unit_file": fragment,
        "pi_controller_security_context": {"privileged": True, "runAsUser": USER, "runAsGroup": USER},
    }


@pytest.fixture
def owners_unit(old_world: Callable[[str], list[str]]) -> Iterator[list[str]]:
    """The hosts with a unit installed as owners do."""
    names = old_world("full")
    try:
        for name in names:
            on.host(name).run_expect([0], SET_UP)
        cluster.wait_caught_up(files.require())
        yield names
    finally:
        for name in names:
            on.host(name).run(AS_BEFORE)


def test_p6_p7_p8_a_linked_unit_with_its_own_user_on_a_mount(owners_unit: list[str], tmp_path: Path) -> None:
    names = owners_unit
    before = {name: links(name) for name in names}
    assert {path for found in before.values() for path in found} == set(LINKS)
    variables = tmp_path / "owner.json"
    variables.write_text(json.dumps(of_the_owner(names)))

    with rehearsal.witnessed(tmp_path) as witness:
        run = rehearsal.run_playbook(
            "playbooks/migrate.yml",
            "-e",
            "confirm=true",
            "-e",
            f"@{variables}",
            log=tmp_path / "migrate.log",
            show=True,
        )
        assert run.returncode == 0, run.output[-6000:]
        assert f"the archive was not made because {DATA} is a mount point" in run.output
        for name in names:
            assert links(name) == {
                path: "/dev/null" for path in (f"{ETC}/pi-controller.service", f"{ETC}/controller.service")
            }
            assert on.unit_state(on.host(name)) == ("masked", "inactive")
            assert rehearsal.on_host(name, "stat", "-c", "%U", "/proc/$(pgrep -x pi-controller)").strip() == "pi"
        began = time.time()
        back = rehearsal.run_playbook(
            "playbooks/rollback.yml", "-e", f"@{variables}", log=tmp_path / "rollback.log", show=True
        )
        assert back.returncode == 0, back.output[-6000:]
        assert f"{DATA} is a mount point" in back.output
    # A folder that cannot be renamed cannot be handed over Pi by Pi, as pre-flight reported: for a while there is no daemon.
    window = {"from": began, "to": began + back.seconds, "why": "pods and units change places all at once"}
    allowances = tmp_path / "allowances.json"
    allowances.write_text(json.dumps([{"route": route, **window} for route in (*names, "service")]))
    verdict, summary = witness.judge(pace.here(rehearsal.ROLLBACK), "--allowances", str(allowances))
    print(summary)
    assert verdict["ok"], summary
    for name in names:
        assert links(name) == before[name]
        assert on.unit_state(on.host(name)) == ("enabled", "active")


@pytest.fixture
def owners_user(old_world: Callable[[str], list[str]]) -> Iterator[list[str]]:
    """The hosts with a unit that does not run as root."""
    names = old_world("full")
    try:
        for name in names:
            on.host(name).run_expect([0], OWN_USER)
        cluster.wait_caught_up(files.require())
        yield names
    finally:
        for name in names:
            on.host(name).run(AS_BEFORE_OWN_USER)


def test_p8_pi_by_pi_with_a_user_of_its_own(owners_user: list[str], tmp_path: Path) -> None:
    """The trial pod reads a copy that root has made, and the real one the unit's own data."""
    variables = ["-e", json.dumps({"pi_controller_security_context": {"privileged": True}})]
    with rehearsal.witnessed(tmp_path) as witness:
        forth(tmp_path / "migrate.log", *variables, show=True)
        assert_migrated(owners_user)
        for name in owners_user:
            assert rehearsal.on_host(name, "stat", "-c", "%U", "/proc/$(pgrep -x pi-controller)").strip() == "pi"
        back = rehearsal.run_playbook("playbooks/rollback.yml", *variables, log=tmp_path / "rollback.log", show=True)
        assert back.returncode == 0, back.output[-4000:]
    judged(witness, "full")
    assert_old_world(owners_user)
    for name in owners_user:
        strangers = rehearsal.on_host(name, "find", DATA, "-not", "-user", "pi")
        assert strangers == "", f"{name}: not the unit's: {strangers}"


@pytest.fixture
def hostile(tmp_path: Path) -> Callable[..., Path]:
    """An ansible.cfg that decides everything otherwise than the collection's own."""

    def make(forks: int) -> Path:
        settings = configparser.ConfigParser()
        settings.read_dict(
            {
                "defaults": {
                    "collections_path": str(rehearsal.REPOSITORY / ".collections"),
                    "strategy": "free",
                    "forks": str(forks),
                    "gathering": "smart",
                    "task_timeout": "2",
                    "any_errors_fatal": "true",
                    "enable_task_debugger": "true",
                    "interpreter_python": "auto_silent",
                },
                "privilege_escalation": {"become": "true"},
                "connection": {"pipelining": "false"},
            }
        )
        path = tmp_path / f"ansible-{forks}.cfg"
        with path.open("w") as file:
            settings.write(file)
        return path

    return make


@pytest.fixture
def by_address(tmp_path: Path) -> Path:
    """The lab as k3s-ansible's sample inventory has Pis: by their addresses, with variables for all."""
    state = rehearsal.lab_state()
    addresses = [node["address"] for node in state["nodes"]]
    variables = {
        "ansible_user": "root",
        "ansible_become": True,
        "ansible_ssh_common_args": f"-F {state['ssh_config']}",
        "pi_controller_kubeconfig": state["kubeconfig"],
    }
    own = yaml.safe_load((rehearsal.REPOSITORY / "inventories/lab/group_vars/all/migration.yml").read_text())
    groups = {"server": {"hosts": {addresses[0]: None}}, "agent": {"hosts": dict.fromkeys(addresses[1:])}}
    inventory = {"all": {"vars": {**own, **variables}}, "k3s_cluster": {"children": groups}}
    path = tmp_path / "by-address.yml"
    path.write_text(yaml.safe_dump(inventory))
    return path


def test_a1_a2_a5_a7_a_hostile_ansible_cfg(
    old_world: Callable[[str], list[str]], hostile: Callable[..., Path], by_address: Path, tmp_path: Path
) -> None:
    names = old_world("full")
    before = world(names)
    refused = rehearsal.run_playbook(
        "playbooks/migrate.yml",
        "-b",
        "-e",
        "confirm=true",
        config=hostile(1),
        inventory=by_address,
        log=tmp_path / "refused.log",
    )
    assert refused.returncode != 0
    assert "--forks 3" in refused.output, refused.output[-6000:]
    assert differences(before, world(names)) == []

    no_archive = ["-e", json.dumps({"migration": {"safety": {"preserve_systemd_backup": False}}})]
    with rehearsal.witnessed(tmp_path) as witness:
        run = rehearsal.run_playbook(
            "playbooks/migrate.yml", "-b", "-e", "confirm=true", *no_archive,
            config=hostile(5), inventory=by_address, log=tmp_path / "migrate.log", show=True,
        )  # fmt: skip
        assert run.returncode == 0, run.output[-6000:]
    verdict, summary = witness.judge(pace.here(rehearsal.CALM))
    print(summary)
    assert verdict["ok"], summary
    assert rehearsal.alerts(run) == []
    pods = rehearsal.kubectl_json("-n", "pi-controller", "get", "pods")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == set(names)
    for name in names:
        pi = on.host(name)
        assert pi.file("/var/lib/pi-controller.systemd.backup").listdir() == []
        assert pi.file("/var/backups/pi-controller-migration/cleanup/pi-controller.db").is_file
    assert "What is kept" in run.output

    # The archive is gone, and the rollback is Pi by Pi: each unit with its pod's data.
    back = rehearsal.run_playbook(
        "playbooks/rollback.yml", "-b", *no_archive, config=hostile(5), inventory=by_address, log=tmp_path / "back.log"
    )
    assert back.returncode == 0, back.output[-6000:]
    for name in names:
        assert on.unit_state(on.host(name)) == ("enabled", "active")

    listed = rehearsal.run_playbook(
        "playbooks/clean.yml", inventory=by_address, config=hostile(5), log=tmp_path / "list.log"
    )
    assert listed.returncode == 0, listed.output[-6000:]
    assert "/var/lib/pi-controller.systemd.backup.rolled-back." in listed.output
    left = "ls -d /var/lib/pi-controller*.rolled-back.* /var/backups/pi-controller-migration/prepare"
    assert all(on.host(name).run(left).rc == 0 for name in names)
    cleaned = rehearsal.run_playbook(
        "playbooks/clean.yml", "-e", "confirm=true", inventory=by_address, config=hostile(5), log=tmp_path / "clean.log"
    )
    assert cleaned.returncode == 0, cleaned.output[-6000:]
    for name in names:
        pi = on.host(name)
        assert pi.run("ls -d /var/lib/pi-controller*.rolled-back.*").rc != 0
        assert not pi.file("/var/backups/pi-controller-migration/prepare").exists
        assert on.raft_status(pi, 8080)["members"]
