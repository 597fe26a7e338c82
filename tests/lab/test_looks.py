# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How tests look at a host: by a shell in it, which gets the line as it was written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.e2e import hosts, rehearsal
from tests.e2e.world import differences
from tests.lab import machines, state
from tests.lab.shell import LabError


@pytest.fixture(autouse=True)
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that were entered. Their commands run here."""
    seen: list[str] = []

    def command_in(node: state.Node, argv: list[str]) -> list[str]:
        seen.append(node.name)
        return argv

    monkeypatch.setattr(machines, "command_in", command_in)
    monkeypatch.setattr(state, "require", lambda: SimpleNamespace(node=lambda name: state.Node(int(name[-1]))))
    return seen


def test_a_host_is_asked_in_its_own_namespaces(entered: list[str]) -> None:
    assert hosts.host("pi-2").check_output("printf '%s|' \"a  b\" $((1 + 1)) 'c'; echo 50%") == "a  b|2|c|50%"
    assert hosts.host("pi-3").run("exit 3").rc == 3
    assert hosts.host("pi-3").check_output("echo %s", "it's") == "it's"
    assert entered == ["pi-2", "pi-3", "pi-3"]
    assert hosts.host("pi-2").backend.get_hostname() == "pi-2"


def test_a_command_on_a_host_is_a_line_for_its_shell(entered: list[str]) -> None:
    assert rehearsal.on_host("pi-1", "echo", "$(echo one)", "|", "cat", "<(echo two)", "-") == "two\none\n"
    with pytest.raises(LabError, match=r"^pi-1: .*ended with 4"):
        rehearsal.on_host("pi-1", "exit 4")
    assert entered == ["pi-1", "pi-1"]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("a\nb\n", "a\nb\n", []),
        ("a\nb\n", "a\nc\n", ["pi-1: -b", "pi-1: +c"]),
        ("a\n-- b\n", "a\n", ["pi-1: --- b"]),
        ("a\n", "a\n++ b\n", ["pi-1: +++ b"]),
        ("a\n", "a", ["pi-1: -a", "pi-1: +a"]),
        ({8080}, {8080, 8082}, ["pi-1: thing: {8080} before, {8080, 8082} after"]),
    ],
)
def test_no_difference_of_two_worlds_is_left_out(before: Any, after: Any, found: list[str]) -> None:
    assert differences({"pi-1": {"thing": before}}, {"pi-1": {"thing": after}}) == found
