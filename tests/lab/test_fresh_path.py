# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fresh machine's PATH has what the lists bring, and nothing else; `make test` runs its suites with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab import fresh_path, packages
from tests.lab.shell import LabError

Package = fresh_path.Package


def package(name: str, *depends: tuple[str, ...], base: bool = False, provides: tuple[str, ...] = ()) -> Package:
    return Package(name, base, depends, provides)


def known(*them: Package) -> dict[str, Package]:
    return {package.name: package for package in them}


def test_a_line_of_dpkg_query() -> None:
    line = "less\tno\timportant\tlibc6 (>= 2.34), libtinfo6:any | libtinfo5\tdpkg (>= 1)\tpager, more (= 3)\tinstalled"
    assert fresh_path.parse(line) == Package(
        "less", False, (("dpkg",), ("libc6",), ("libtinfo6", "libtinfo5")), ("pager", "more")
    )
    assert fresh_path.parse(line.replace("installed", "config-files")) is None
    essential = fresh_path.parse("dash\tyes\trequired\t\t\t\tinstalled")
    assert essential
    assert essential.base


def test_what_a_package_depends_on_comes_with_it() -> None:
    there = known(package("app", ("lib",), ("mta", "mail")), package("lib", ("base",)), package("base"), package("exim", provides=("mail",)),
                  package("stray"))  # fmt: skip
    assert fresh_path.closure(["app"], there) == {"app", "lib", "base", "exim"}


def test_a_declared_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(LabError, match="gone: declared and not installed"):
        fresh_path.closure(["app", "gone"], known(package("app")))


def test_a_program_whose_package_leaves_the_list_leaves_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This is how `make test` turns red: the program is on this machine, and no longer on the PATH of the tests."""
    fresh_path.make(tmp_path / "all")
    for name, program in (("conntrack", "conntrack"), ("nftables", "nft")):
        assert (tmp_path / "all" / program).exists(), program
        without = {group: tuple(other for other in names if other != name) for group, names in packages.GROUPS.items()}
        monkeypatch.setattr(packages, "GROUPS", without)
        fresh_path.make(tmp_path / f"without-{name}")
        assert not (tmp_path / f"without-{name}" / program).exists()
        monkeypatch.undo()


def test_alternatives_and_links_keep_the_name_they_are_called_by(tmp_path: Path) -> None:
    fresh_path.make(tmp_path)
    assert (
        subprocess.run([tmp_path / "awk", "BEGIN { print 6 * 7 }"], capture_output=True, text=True, check=True).stdout
        == "42\n"
    )
    assert (tmp_path / "python3").readlink().name == "python3"


def test_this_run_has_no_other_programs_than_a_fresh_machine() -> None:
    if "PI_LAB_FRESH_PATH" not in os.environ:
        pytest.skip("only in `make test`, which limits the PATH")
    fresh = os.environ["PI_LAB_FRESH_PATH"]
    folders = os.environ["PATH"].split(":")
    assert fresh in folders
    # The environment's own tools, and nothing of the machine's.
    assert [folder for folder in folders if folder != fresh and not Path(folder, "activate").exists()] == []
    assert shutil.which("cargo") is None
