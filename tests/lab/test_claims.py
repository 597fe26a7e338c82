# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's table of versions is what the corners of `make matrix` and `make versions` run, and nothing more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import options
from tests.matrix import corners

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LABS = [options.from_environment(corner.lab) for corner in corners.CORNERS]


def row(name: str) -> str:
    found = re.search(rf"^\| {name} \| (.*) \|$", README, re.MULTILINE)
    assert found, name
    return found[1]


def span(text: str) -> list[str]:
    """["1.35", "1.37"] for "1.35 to 1.37; …"."""
    found = re.search(r"(\d+(?:\.\d+)?) to (\d+(?:\.\d+)?)", text)
    assert found, text
    return [found[1], found[2]]


def test_the_releases_of_kubernetes() -> None:
    minors = sorted({lab.version.rpartition(".")[0] for lab in LABS})
    assert span(row("Kubernetes")) == minors


def test_k12_pre_flight_accepts_the_releases_that_the_matrix_runs() -> None:
    text = (REPOSITORY / "plugins/module_utils/_preflight/kubernetes.py").read_text()
    found = re.search(r"^OLDEST, NEWEST = \((\d+), (\d+)\), \((\d+), (\d+)\)$", text, re.MULTILINE)
    assert found
    minors = sorted({lab.version.rpartition(".")[0] for lab in LABS})
    assert [f"{found[1]}.{found[2]}", f"{found[3]}.{found[4]}"] == [minors[0], minors[-1]]


def test_k12_the_oldest_client_that_modules_ask_for() -> None:
    required = re.search(r"^kubernetes>=(\d+)", (REPOSITORY / "requirements.txt").read_text(), re.MULTILINE)
    named = re.search(r"kubernetes >= (\d+)\.", (REPOSITORY / "plugins/doc_fragments/kubernetes.py").read_text())
    assert required
    assert named
    assert named[1] == required[1]


def test_the_modes_of_kube_proxy_and_the_datastores() -> None:
    text = row("Kubernetes")
    assert {lab.proxy for lab in LABS} == set(options.PROXIES)
    assert re.findall(r"iptables|nftables|ipvs|userspace|eBPF", text) == list(options.PROXIES)
    assert {lab.datastore for lab in LABS} == set(options.DATASTORES)


def test_a4_the_address_families() -> None:
    assert [f"IPv{family.removeprefix('ipv')}" for family in options.FAMILIES] == re.findall(
        r"IPv\d", row("Kubernetes")
    )
    assert {lab.family for lab in LABS} == set(options.FAMILIES)


def test_the_debians_and_their_pythons() -> None:
    suites = sorted({lab.suite for lab in LABS})
    claimed = dict(re.findall(r"(\d+) \(Python (3\.\d+)\)", row("Pis")))
    assert claimed == {corners.DEBIANS[suite]: corners.PYTHONS[suite] for suite in suites}


def test_the_ansible_cores_and_their_pythons() -> None:
    text = row("control node")
    assert re.findall(r"(2\.\d+) \((?:Python )?(3\.\d+)\)", text) == list(corners.CONTROLLERS.items())
    script = (REPOSITORY / "tests/lab/environment.sh").read_text()
    for controller, python in corners.CONTROLLERS.items():
        assert re.search(rf"^    {re.escape(controller)}\) versions={re.escape(python)}( |$)", script, re.MULTILINE)
    # The two ends of them migrate the lab; `make versions` runs the unit tests under each.
    assert {corner.controller for corner in corners.CORNERS} == {"", min(corners.CONTROLLERS)}
    assert f"controllers=({' '.join(corners.CONTROLLERS)})" in (REPOSITORY / "tests/versions.sh").read_text()


@pytest.mark.parametrize("name", ["ansible", "kubernetes"])
def test_the_bounds_of_a_requirement(name: str) -> None:
    required = (REPOSITORY / "requirements.txt").read_text()
    found = re.search(rf"^{name}>=(\d+)(?:\.0)?,<(\d+)$", required, re.MULTILINE)
    assert found
    text = re.search(rf"`{name}` (\d+) to (\d+)", row("control node"))
    assert text
    assert (int(text[1]), int(text[2])) == (int(found[1]), int(found[2]) - 1)


def test_the_oldest_corner_runs_with_the_oldest_client() -> None:
    script = (REPOSITORY / "tests/lab/environment.sh").read_text()
    oldest = re.search(r'client="kubernetes~=(\d+)\.0"', script)
    assert oldest
    assert re.search(rf"`kubernetes` {oldest[1]} to", row("control node"))
