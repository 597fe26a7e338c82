# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an expression comes to with the variables of a role, by Ansible's own templating in one process for all tests.

A run of ansible-playbook for each would import for longer than it evaluates. A file has what is asked for: `files` of variables, further
variables as `known`, the `expression`, the `cases`, each with variables of its own, and the `environment` of the run that each would be.
What any of them has is a template.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
COLLECTIONS = {"ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections")}


class Evaluator:
    """The process that evaluates; it starts when it is asked for the first time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def ask(self, file: Path) -> list[Any]:
        if self._process is None:
            environment = {**os.environ, **COLLECTIONS}
            self._process = subprocess.Popen(
                [sys.executable, __file__], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{file}\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        found: list[Any] = answer["found"]
        return found

    def end(self) -> None:
        if self._process is not None:
            self._process.communicate()


@contextlib.contextmanager
def evaluator() -> Iterator[Evaluator]:
    one = Evaluator()
    try:
        yield one
    finally:
        one.end()


def _found(file: str) -> list[Any]:
    from ansible.cli import CLI
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template
    from ansible.vars.hostvars import HostVars
    from ansible.vars.manager import VariableManager

    loader = DataLoader()
    request = loader.load_from_file(file, trusted_as_template=True)
    os.environ.clear()
    os.environ.update(request["environment"])
    inventory = InventoryManager(loader=loader, sources=["localhost,"])
    manager = VariableManager(loader=loader, inventory=inventory, version_info=CLI.version_info(gitinfo=False))
    # The manager has them from here on.
    HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    for path in request["files"]:
        for name, value in loader.load_from_file(path, trusted_as_template=True).items():
            manager.set_host_variable("localhost", name, value)
    variables = manager.get_vars(host=inventory.get_host("localhost"))
    wanted = trust_as_template("{{ came_to | to_json }}")
    return [
        json.loads(
            Templar(loader, {**variables, "came_to": request["expression"], **request["known"], **case}).template(
                wanted
            )
        )
        for case in request["cases"]
    ]


def main() -> None:
    from ansible.cli.playbook import PlaybookCLI
    from ansible.plugins.loader import init_plugin_loader

    # Some variables are options of the run.
    PlaybookCLI(["ansible-playbook", "play.json"]).parse()
    init_plugin_loader()
    # What Ansible has to say is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"found": _found(line.rstrip("\n"))}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
