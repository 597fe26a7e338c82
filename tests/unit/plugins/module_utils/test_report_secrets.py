# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report shows of a configuration: nothing that is not known to be harmless."""

from __future__ import annotations

import json

import pytest
import report_inputs as given
from conftest import import_plugin

secrets = import_plugin("module_utils._report.secrets")
config_of = import_plugin("module_utils._config.structure")
document = import_plugin("module_utils._report.document")
status_of = import_plugin("module_utils._report.status")

PLANTED = "pl4nted"
NAMES = [
    "ENCRYPTION_KEY", "SSH_KEY", "WIFI_PSK", "JWT", "JWT_SECRET", "PASSPHRASE", "AUTH", "BASIC_AUTH", "DATABASE_URL", "SENTRY_DSN",
    "HMAC", "PIN", "SEED", "WEBHOOK", "LICENSE", "AUTH_TOKEN", "api_key", "SOMETHING_NEW", "TOKEN_PORT", "KEY_SIZE", "SECRET_ENABLED",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("section", ["temporary_env", "standard_env"])
def test_m6_an_unknown_variable_is_not_shown(section: str, name: str):
    shown = secrets.harmless_config({section: {f"PI_CONTROLLER_{name}": PLANTED}})
    assert shown == {section: {f"PI_CONTROLLER_{name}": secrets.HIDDEN}}


def test_m6_a_harmless_name_does_not_make_a_value_harmless():
    for name in ("API_PORT", "GPIO_ENABLED", "HEARTBEAT_TIMEOUT", "LOG_LEVEL", "API_HOST", "ENVIRONMENT"):
        assert secrets.harmless_config({"standard_env": {f"PI_CONTROLLER_{name}": PLANTED}})["standard_env"] == {
            f"PI_CONTROLLER_{name}": secrets.HIDDEN
        }


def test_m6_what_the_collection_sets_itself_is_shown():
    whole = config_of.resolve({})
    assert secrets.harmless_config(whole) == whole
    env = {
        "PI_CONTROLLER_LOG_LEVEL": "debug",
        "PI_CONTROLLER_CLUSTER_HEARTBEAT_TIMEOUT": "1m30s",
        "PI_CONTROLLER_API_HOST": "10.77.0.11",
    }
    assert secrets.harmless_config({"standard_env": env}) == {"standard_env": env}


def test_m6_an_unknown_section_is_not_shown():
    odd = {
        "pi_controller_vault": {"a": [PLANTED]},
        "timeouts": {"new": PLANTED},
        "safety": {"watch": [PLANTED]},
        "backup_path": [PLANTED],
    }
    shown = secrets.harmless_config(odd)
    assert PLANTED not in json.dumps(shown)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{PLANTED}@registry.example/pi:1",
        f"postgres://{PLANTED}@db/x",
        f"http://u:p%40{PLANTED}@h:1/x",
        f"https://h/x?a=1&access_token={PLANTED}&b=2",
        f"https://h/x?api_key={PLANTED}",
    ],
)
def test_m6_a_url_anywhere_in_the_report_keeps_its_password(url: str):
    hosts = given.migrated()
    hosts["pi-2"]["faults"] = [f"cannot reach {url} now"]
    report = document.gather(
        document.Inputs(
            outcome="failed",
            status=status_of.assemble_status(hosts, given.kube(8082), given.CONFIG, given.BEGAN + 140),
            hosts=hosts,
            config={**given.CONFIG, "image": url, "standard_env": {"PI_CONTROLLER_DATABASE_URL": url}},
            now=given.BEGAN + 140,
            failure={"phase": "cutover", "task": "x", "message": f"{url} did not answer", "host": "pi-1"},
            versions={"ansible_core": url},
        )
    )
    assert PLANTED not in json.dumps(report)
    assert "did not answer" in report["failure"]["message"]


def test_m6_a_url_without_a_secret_stays_as_it_is():
    kept = "http://10.77.0.11:8080/api/v1/raft/status?page=2 did not answer (see https://example.org/a@b)"
    assert secrets.without_passwords(kept) == kept
