# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README lists every module there is, and its links have targets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import role_readmes

CHECKOUT = Path(__file__).resolve().parents[2]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_module() -> None:
    section = README.partition("<!-- modules -->")[2].partition("<!-- end of modules -->")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    assert len(listed) > 20
    assert listed == role_readmes.modules()


def test_a_module_without_a_description_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugins/modules").mkdir(parents=True)
    (tmp_path / "plugins/modules/new.py").write_text("DOCUMENTATION = ''")
    monkeypatch.setattr(role_readmes, "CHECKOUT", tmp_path)
    with pytest.raises(ValueError, match="new.py has no short_description"):
        role_readmes.modules()


def test_the_links_of_the_documentation_have_a_target() -> None:
    pages = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 10
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []
