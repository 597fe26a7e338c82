# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bearer token, given or got by a login: sent as it is, and kept out of everything that is shown, as the password is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from .._core.failures import MigrationError

_VISIBLE = re.compile("[!-~]+")
_FORMS: tuple[Callable[[str], str], ...] = (
    str,
    lambda token: repr(token)[1:-1],
    # repr chooses its quotes by what else is in the text.
    lambda token: token.replace("\\", "\\\\").replace("'", "\\'"),
    lambda token: json.dumps(token)[1:-1],
    quote,
    lambda token: quote(token, safe=""),
)
# A shorter one is not looked for in answers: it would be found in any text.
SHORT_TOKEN = 8
DEEPEST = 40


class Token:
    """The token for the daemon at `url`, or none. MigrationError for one that cannot be sent; its value is never in an error."""

    def __init__(self, token: str | None, url: str, password: str | None = None) -> None:
        self._token = _usable(token, url)
        # As it is, and as it appears in the text of an exception, in JSON and in a URL.
        secrets = [secret for secret in (self._token, password) if secret and len(secret) >= SHORT_TOKEN]
        forms = {form(secret) for secret in secrets for form in _FORMS}
        self._secrets = sorted(forms, key=len, reverse=True)

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return self._token is not None

    def header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def kept_out_of(self, value: Any, depth: int = 0) -> Any:
        """The value without the token in it, which a daemon may send back. One of a few characters is in any text."""
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, "(token)")
            return value
        if depth < DEEPEST and isinstance(value, dict):
            return {self.kept_out_of(key): self.kept_out_of(inner, depth + 1) for key, inner in value.items()}
        if depth < DEEPEST and isinstance(value, list):
            return [self.kept_out_of(inner, depth + 1) for inner in value]
        return value if not isinstance(value, (dict, list)) else None


def _usable(token: str | None, url: str) -> str | None:
    """The token as it goes into a header. One from a file often ends with a newline; it is never shown."""
    token = (token or "").rstrip("\r\n")
    if token and not _VISIBLE.fullmatch(token):
        raise MigrationError(
            "the token cannot be sent: it has a character that is not visible ASCII",
            url=url,
            wanted="a token of visible ASCII characters on one line",
            next_step="correct `token` (`pi_controller_token` in the inventory); its value is not shown",
        )
    return token or None
