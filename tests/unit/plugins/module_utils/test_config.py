# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest
from conftest import import_plugin

config = import_plugin("module_utils._config.structure")


def errors(override):
    with pytest.raises(config.ConfigError) as refused:
        config.resolve(override)
    return refused.value.errors


def test_nothing_given_is_all_defaults():
    whole = config.resolve({})

    assert whole == {
        **config.DEFAULTS,
        "timeouts_seconds": {
            "snapshot_timeout": 30,
            "transfer_timeout": 120,
            "cutover_timeout": 30,
            "health_timeout": 60,
            "phase_timeout": 600,
            "quorum_lost_after": 2,
            "leader_lost_after": 3,
        },
    }


def test_a_partial_override_keeps_its_neighbours():
    whole = config.resolve(
        {
            "temporary_ports": {"rest": 18082},
            "timeouts": {"cutover_timeout": "1m30s", "snapshot_timeout": 7},
            "safety": {"require_confirmation": False},
            "temporary_env": {"PI_CONTROLLER_LOG_LEVEL": "debug", "PI_CONTROLLER_WEBSOCKET_PORT": "18081"},
        }
    )

    assert whole["temporary_ports"] == {"raft": 9092, "grpc": 9093, "rest": 18082}
    kept = {
        "transfer_timeout": "2m",
        "health_timeout": "60s",
        "phase_timeout": "10m",
        "quorum_lost_after": "2s",
        "leader_lost_after": "3s",
    }
    assert whole["timeouts"] == {"snapshot_timeout": 7, "cutover_timeout": "1m30s", **kept}
    calculated = {
        "transfer_timeout": 120,
        "health_timeout": 60,
        "phase_timeout": 600,
        "quorum_lost_after": 2,
        "leader_lost_after": 3,
    }
    assert whole["timeouts_seconds"] == {"snapshot_timeout": 7, "cutover_timeout": 90, **calculated}
    assert whole["safety"] == {
        "require_confirmation": False,
        "auto_rollback_on_error": True,
        "preserve_systemd_backup": True,
        "watch": True,
    }
    assert whole["temporary_env"]["PI_CONTROLLER_LOG_LEVEL"] == "debug"
    assert whole["temporary_env"]["PI_CONTROLLER_WEBSOCKET_PORT"] == "18081"
    assert whole["temporary_env"]["PI_CONTROLLER_GPIO_ENABLED"] == "false"


def test_a_result_fed_in_again_comes_out_unchanged():
    once = config.resolve({"timeouts": {"cutover_timeout": "5m"}})

    assert config.resolve(once) == once


def test_defaults_and_override_are_left_alone():
    before, override = copy.deepcopy(config.DEFAULTS), {"temporary_env": {"A": "1"}}

    config.resolve(override)["temporary_env"]["B"] = "2"
    config.resolve({})["temporary_ports"]["raft"] = 1

    assert before == config.DEFAULTS
    assert override == {"temporary_env": {"A": "1"}}


@pytest.mark.parametrize(
    ("override", "error"),
    [
        (None, "migration must be a mapping, not empty."),
        ("x", 'migration must be a mapping, not the string "x".'),
        ({"backup_pth": "/b"}, "backup_pth is unknown; did you mean backup_path?"),
        ({"cutover_timeout": "2m"}, "cutover_timeout is unknown; did you mean timeouts.cutover_timeout?"),
        ({"timeouts": {"cutover": "2m"}}, "timeouts.cutover is unknown; did you mean timeouts.cutover_timeout?"),
        ({"colour": "red"}, "colour is unknown."),
        ({"temporary_ports": [9092]}, "temporary_ports must be a mapping, not a list."),
        ({"safety": None}, "safety must be a mapping, not empty."),
        (
            {"temporary_ports": {"raft": "9092"}},
            'temporary_ports.raft must be a whole number without quotes, not the string "9092".',
        ),
        (
            {"standard_ports": {"rest": True}},
            "standard_ports.rest must be a whole number without quotes, not the boolean true.",
        ),
        ({"temporary_ports": {"raft": 0}}, "temporary_ports.raft is 0; a port is between 1 and 65535."),
        ({"temporary_ports": {"raft": 65536}}, "temporary_ports.raft is 65536; a port is between 1 and 65535."),
        (
            {"temporary_ports": {"raft": 9091}},
            "temporary_ports.raft and standard_ports.raft are both 9091; every listener needs a port of its own.",
        ),
        (
            {"temporary_ports": {"grpc": 8080}},
            "temporary_ports.grpc and standard_ports.rest are both 8080; every listener needs a port of its own.",
        ),
        (
            {"temporary_ports": {"grpc": 9092}},
            "temporary_ports.grpc and temporary_ports.raft are both 9092; every listener needs a port of its own.",
        ),
        (
            {"standard_ports": {"grpc": 8080}},
            "standard_ports.rest and standard_ports.grpc are both 8080; every listener needs a port of its own.",
        ),
        (
            {"temporary_ports": {"rest": 8084}},
            "temporary_env.PI_CONTROLLER_WEBSOCKET_PORT and temporary_ports.rest are both 8084;"
            " every listener needs a port of its own.",
        ),
        (
            {"standard_env": {"PI_CONTROLLER_WEBSOCKET_PORT": "9090"}},
            "standard_env.PI_CONTROLLER_WEBSOCKET_PORT and standard_ports.grpc are both 9090;"
            " every listener needs a port of its own.",
        ),
        (
            {"temporary_env": {"PI_CONTROLLER_WEBSOCKET_PORT": "x"}},
            'temporary_env.PI_CONTROLLER_WEBSOCKET_PORT is "x"; a port is between 1 and 65535.',
        ),
        ({"backup_path": "backups"}, 'backup_path must be an absolute path, not "backups".'),
        ({"archive_path": 7}, "archive_path must be an absolute path, not the number 7."),
        ({"archive_path": "/a/../b"}, 'archive_path must not contain "..", as "/a/../b" does.'),
        ({"backup_path": "//"}, 'backup_path must be a folder of its own, not "//".'),
        (
            {"backup_path": "/var/lib/pi-controller.systemd.backup/"},
            "backup_path and archive_path are both /var/lib/pi-controller.systemd.backup; they need a folder each.",
        ),
        ({"backup_path": "/a/b", "archive_path": "/a"}, "backup_path (/a/b) must not be inside archive_path (/a)."),
        ({"backup_path": "/a", "archive_path": "/a/b"}, "archive_path (/a/b) must not be inside backup_path (/a)."),
        ({"timeouts": {"cutover_timeout": "0s"}}, "timeouts.cutover_timeout is 0; give it at least one second."),
        ({"timeouts_seconds": {"cutover_timeout": 1}}, "timeouts_seconds is calculated; set timeouts instead."),
        (
            {"safety": {"require_confirmation": "no"}},
            'safety.require_confirmation must be true or false without quotes, not the string "no".',
        ),
        (
            {"standard_env": {"PI_CONTROLLER_GPIO_ENABLED": False}},
            "standard_env.PI_CONTROLLER_GPIO_ENABLED must be a string in quotes, not the boolean false.",
        ),
        ({"temporary_env": {"A-B": "1"}}, 'temporary_env: "A-B" cannot be the name of an environment variable.'),
        (
            {"standard_env": {"PI_CONTROLLER_API_PORT": "81"}},
            "standard_env.PI_CONTROLLER_API_PORT is not yours to set: set standard_ports.rest instead.",
        ),
    ],
)
def test_each_error_is_one_sentence(override, error):
    assert errors(override) == [error]


def test_a_duration_that_does_not_parse_is_shown_with_the_right_form():
    (error,) = errors({"timeouts": {"transfer_timeout": "2 minutes"}})

    assert error.startswith("timeouts.transfer_timeout: '2 minutes' is not a duration; write it as 30s")


def test_folders_with_a_common_prefix_are_not_nested():
    assert config.resolve({"backup_path": "/data/pi", "archive_path": "/data/pi.old"})["backup_path"] == "/data/pi"


BESIDE = {
    "pi_controller_data_dir": "/var/lib/pi-controller",
    "pi_controller_pod_data_dir": "/var/lib/pi-controller-pods",
    "pi_controller_config_file": "/etc/pi-controller/config.yaml",
}


def test_the_defaults_are_apart_from_the_owners_paths():
    assert config.resolve({}, BESIDE) == config.resolve({})


@pytest.mark.parametrize(
    ("override", "beside", "error"),
    [
        (
            {"backup_path": "/var/lib/pi-controller/backups"},
            {},
            "backup_path (/var/lib/pi-controller/backups) must not be inside pi_controller_data_dir (/var/lib/pi-controller).",
        ),
        (
            {"archive_path": "/var/lib/pi-controller"},
            {},
            "archive_path and pi_controller_data_dir are both /var/lib/pi-controller; they need a folder each.",
        ),
        (
            {},
            {"pi_controller_pod_data_dir": "/var/backups/pi-controller-migration/pods"},
            "pi_controller_pod_data_dir (/var/backups/pi-controller-migration/pods) must not be inside backup_path "
            "(/var/backups/pi-controller-migration).",
        ),
        (
            {},
            {"pi_controller_pod_data_dir": "/var/lib/pi-controller/pods"},
            "pi_controller_pod_data_dir (/var/lib/pi-controller/pods) must not be inside pi_controller_data_dir (/var/lib/pi-controller).",
        ),
        # The pods would lose it when the unit's folder is archived.
        (
            {},
            {"pi_controller_config_file": "/var/lib/pi-controller/config.yaml"},
            "pi_controller_config_file (/var/lib/pi-controller/config.yaml) must not be inside pi_controller_data_dir "
            "(/var/lib/pi-controller).",
        ),
        ({}, {"pi_controller_data_dir": "data"}, 'pi_controller_data_dir must be an absolute path, not "data".'),
        ({}, {"pi_controller_data_dir": "/a/../b"}, 'pi_controller_data_dir must not contain "..", as "/a/../b" does.'),
    ],
)
def test_the_owners_paths_are_part_of_it(override, beside, error):
    with pytest.raises(config.ConfigError) as refused:
        config.resolve(override, {**BESIDE, **beside})
    assert refused.value.errors == [error]


@pytest.mark.parametrize(
    "path", ["", None, "/srv/with a blank/pi-controller", "/var/lib/pi-controller/raft", "/..data"]
)
def test_a_path_for_one_run_may_lie_anywhere(path):
    assert config.resolve({}, BESIDE, {"restore_from": path}) == config.resolve({})


def test_a_relative_or_climbing_path_for_one_run_is_an_error():
    with pytest.raises(config.ConfigError) as refused:
        config.resolve({}, BESIDE, {"snapshot_path": "/var/backups/../../etc/shadow", "restore_from": "backup"})
    assert refused.value.errors == [
        'snapshot_path must not contain "..", as "/var/backups/../../etc/shadow" does.',
        'restore_from must be an absolute path, not "backup".',
    ]


def test_a_listener_may_go_back_to_a_temporary_port_in_the_end():
    whole = config.resolve({"standard_env": {"PI_CONTROLLER_WEBSOCKET_PORT": "8082"}})

    assert whole["standard_env"] == {"PI_CONTROLLER_WEBSOCKET_PORT": "8082"}


def test_errors_of_form_do_not_hide_errors_of_meaning():
    found = errors(
        {
            "temporary_port": {},
            "temporary_ports": {"raft": "9092", "grpc": 9090},
            "backup_path": "/a",
            "archive_path": "/a",
            "safety": "none",
        }
    )

    assert [error.split(" ", 1)[0] for error in found] == [
        "temporary_port",
        "safety",
        "temporary_ports.raft",
        "temporary_ports.grpc",
        "backup_path",
    ]


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("temporary", ["8082", "9093", "$(HOST_IP):9092"]),
        ("standard", ["8080", "9090", "$(HOST_IP):9091", "false"]),
    ],
)
def test_the_daemon_gets_its_ports_and_its_own_address(phase, expected):
    assert list(config.port_environment(config.resolve({}), phase).values()) == expected


@pytest.mark.parametrize(
    "folder",
    ["/etc", "/", "/root", "/usr", "/var", "/var/lib", "/home/pi", "/dev", "/proc/1", "/sys/x", "/boot/firmware", "/etc/x", "/run/x",
     "/var/lib/rancher/k3s", "/var/lib/kubelet/pods", "/usr/local/lib/x", "/var/lib/../lib", "/etc/", "//etc", "/tmp"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["pi_controller_data_dir", "pi_controller_pod_data_dir"])
def test_m3_a_folder_of_the_system_is_refused(name: str, folder: str) -> None:
    with pytest.raises(config.ConfigError, match=name):
        config.resolve({}, {name: folder})
    for own in ("backup_path", "archive_path"):
        with pytest.raises(config.ConfigError, match=own):
            config.resolve({own: folder})


@pytest.mark.parametrize(
    "path",
    ["/etc/pi-controller.yaml", "/config.yaml", "/root/config.yaml", "/usr/local/etc/x.yaml", "/etc/ssh/x.yaml", "/etc/rancher/k3s/x.yaml",
     "/var/lib/rancher/x.yaml", "/var/lib/x.yaml", "/run/x/x.yaml", "/etc//x.yaml", "/etc/./x.yaml", "/opt/x.yaml"],
)  # fmt: skip
def test_m3_a_configuration_file_in_a_system_folder_is_refused(path: str) -> None:
    with pytest.raises(config.ConfigError, match="pods are given the whole folder"):
        config.resolve({}, {"pi_controller_config_file": path})


@pytest.mark.parametrize(
    "folder", ["/var/lib/pi-controller", "/srv/pi", "/mnt/ssd/pi", "/home/pi/controller", "/opt/pi/data", "/data"]
)
def test_m3_a_folder_of_its_own_is_accepted(folder: str) -> None:
    config.resolve(
        {}, {"pi_controller_data_dir": folder, "pi_controller_config_file": "/etc/pi-controller/config.yaml"}
    )


def test_the_strategy_is_one_of_two_and_parallel_by_default():
    assert config.resolve({})["strategy"] == "parallel"
    assert config.resolve({"strategy": "rolling"})["strategy"] == "rolling"
    for wrong, hint in (
        ("roling", "; did you mean rolling?"),
        (True, "not the boolean true."),
        (["rolling"], "not a list."),
    ):
        with pytest.raises(config.ConfigError) as refused:
            config.resolve({"strategy": wrong})
        (error,) = refused.value.errors
        assert error.startswith("strategy must be parallel or rolling, not ")
        assert error.endswith(hint)
