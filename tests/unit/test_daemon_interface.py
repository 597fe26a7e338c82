# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One driver knows the paths, keys and variables of pi-controller; all else asks through the interface."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import CHECKOUT, import_plugin

PLUGINS = CHECKOUT / "plugins"
DRIVER = PLUGINS / "module_utils/_daemon/pi_controller"
TEMPLATES = sorted(CHECKOUT.glob("roles/*/templates/daemonset.yml.j2"))
# Paths, variables of the environment, keys of answers and of the configuration file.
KNOWLEDGE = re.compile(
    r"/api/v1/(?!nodes|pods|services|namespaces)|\bPI_CONTROLLER_|\braft_stats\b|\bcontroller_id\b|^/(ready|health)$|\bnothing new to snapshot\b"
    r"|^(last_snapshot_index|target_id)$"
)
DOCUMENTS = ("DOCUMENTATION", "EXAMPLES", "RETURN")


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text of a file but documentation, with its line."""
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in DOCUMENTS)
        or isinstance(node, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.lineno, node.value


def knowing(path: Path) -> list[str]:
    """What a file knows of the daemon, each with its line."""
    found = texts(ast.parse(path.read_text(encoding="utf-8")))
    return [f"{path.name}:{line}: {text}" for line, text in found if KNOWLEDGE.search(text)]


def test_only_the_driver_knows_paths_and_keys_of_the_daemon() -> None:
    others = [path for path in sorted(PLUGINS.rglob("*.py")) if DRIVER not in path.parents]
    assert [line for path in others for line in knowing(path)] == []
    assert len([line for path in sorted(DRIVER.glob("*.py")) for line in knowing(path)]) > 10


@pytest.mark.parametrize(
    "line",
    [
        'call("GET", "/api/v1/raft/status")',
        'f"{base}/api/v1/sensors/{name}"',
        'env["PI_CONTROLLER_API_PORT"]',
        'answer["raft_stats"]',
    ],
)
def test_what_another_file_would_know_is_found(tmp_path: Path, line: str) -> None:
    path = tmp_path / "other.py"
    path.write_text(f'"""Asks /api/v1/raft/status."""\nDOCUMENTATION = "PI_CONTROLLER_API_PORT"\n{line}\n')
    (found,) = knowing(path)
    assert found.startswith("other.py:3: ")


def test_only_the_drivers_file_names_a_driver() -> None:
    names = [path.relative_to(PLUGINS) for path in sorted(PLUGINS.rglob("*.py")) if "pi_controller." in imported(path)]
    assert names == [Path("module_utils/_daemon/drivers.py")]


def imported(path: Path) -> str:
    """The modules that a file imports by relative names, as one text."""
    nodes = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    return " ".join(f"{node.module or ''}." for node in nodes)


def test_the_probe_asks_where_the_driver_says() -> None:
    settings = import_plugin("module_utils._daemon.drivers").settings
    (template,) = TEMPLATES
    assert re.findall(r"'path': '(\S+?)',", template.read_text(encoding="utf-8")) == [settings.READY_PATH]


def test_an_unreadable_state_is_not_a_silent_daemon(cluster, monkeypatch, tmp_path: Path) -> None:
    """A card that gives up in the middle of a restore: the daemon is well."""
    rest = import_plugin("module_utils._daemon.rest")
    state = tmp_path / "state.bin"
    state.write_bytes(b"state")

    def worn(_size: int = -1) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with state.open("rb") as file:
        body = rest.FileState(file, cluster.urls[0])
        monkeypatch.setattr(body, "_file", SimpleNamespace(name=file.name, read=worn))
        with pytest.raises(import_plugin("module_utils._core.failures").MigrationError) as caught:
            body.read(10)
    assert str(caught.value).startswith(f"{state} cannot be read while it is sent to {cluster.urls[0]}: [Errno 5]")
    assert caught.value.status is None
