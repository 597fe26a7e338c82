# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The failures that docs/faq.md explains are ones that the collection reports, in these words."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# What Ansible says itself.
FOREIGN = {"Validation of arguments failed"}


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_every_quoted_message_is_in_the_code() -> None:
    sources = [path for kind in ("roles/**/*.yml", "plugins/**/*.py") for path in sorted(CHECKOUT.glob(kind))]
    code = words("\n".join(path.read_text(encoding="utf-8") for path in sources))
    faq = (CHECKOUT / "docs/faq.md").read_text(encoding="utf-8")
    messages = [words(found) for found in re.findall(r"^\*\*`(.+?)`", faq, re.MULTILINE | re.DOTALL)]
    assert len(messages) > 10
    missing = [
        part
        for message in messages
        if message not in FOREIGN
        for part in re.split(r"\s*…\s*|`, `", message)
        if len(part) > 3 and part not in code
    ]
    assert missing == []
