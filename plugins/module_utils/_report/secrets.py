# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a report may show of a configuration: only what is known to be harmless.

A list of words that name secrets is never complete (ENCRYPTION_KEY, PSK, JWT, PASSPHRASE, AUTH), so it is the other way
round: the keys of `migration` are known, and of the pods' environment a value is shown only under a name, and in a form,
that a setting has. A report is made to be passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .._config.errors import CALCULATED, ENV_SECTIONS
from .._config.structure import DEFAULTS

HIDDEN = "(left out)"
# Beside those of `migration`, what the playbooks add to the configuration they report.
_TEXTS = ("image", "namespace")
_SECRET = re.compile(
    r"token|passw|passphrase|pwd|secret|credential|private|psk|jwt|salt|dsn|cookie|session|api_?key|auth|(?:^|[_\-. ])key(?:$|[_\-. ])",
    re.IGNORECASE,
)
# Values by the form they have to have; the name decides by its last words.
_HARMLESS: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (re.compile(r"_(?:PORT|SIZE|LIMIT|COUNT|THRESHOLD|WORKERS|RETRIES)$"), re.compile(r"\d{1,12}")),
    (
        re.compile(r"_(?:ENABLED?|DEBUG|MOCK_MODE|BOOTSTRAP|ENABLE_[A-Z0-9]+)$"),
        re.compile(r"true|false|yes|no|on|off|0|1", re.I),
    ),
    (re.compile(r"_(?:TIMEOUT|INTERVAL|TTL|PERIOD)$"), re.compile(r"(?:\d+(?:\.\d+)?(?:h|m|s|ms|us|ns)?){1,4}")),
    (re.compile(r"_(?:LOG_LEVEL|LEVEL)$"), re.compile(r"trace|debug|info|warn|warning|error|fatal|panic", re.I)),
    (re.compile(r"_ENVIRONMENT$"), re.compile(r"development|production|staging|test(?:ing)?", re.I)),
    (
        re.compile(r"_(?:HOST|BIND_ADDR)$"),
        re.compile(r"[0-9.]{7,15}(?::\d{1,5})?|localhost|\[?[0-9a-f:]{2,39}\]?(?::\d{1,5})?", re.I),
    ),
)
# `scheme://user:password@host`, and a query parameter that names a secret.
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)[^\s/?#\"'<>]*@")
_PARAMETER = re.compile(
    r"(?P<name>[?&;][^=&\s]*(?:token|passw|secret|key|auth|sig)[^=&\s]*=)[^&\s\"'<>]+", re.IGNORECASE
)


def harmless_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with every value left out that is not known to be harmless. Keys stay: what was set is no secret."""
    return {str(name): _section(str(name), value) for name, value in config.items()}


def _section(name: str, value: Any) -> Any:
    if name in ENV_SECTIONS:
        return (
            {str(key): _variable(str(key), inner) for key, inner in value.items()}
            if isinstance(value, Mapping)
            else HIDDEN
        )
    if name in _TEXTS:
        return without_passwords(value) if isinstance(value, str) else HIDDEN
    known = DEFAULTS["timeouts"] if name == CALCULATED else DEFAULTS.get(name)
    if isinstance(known, Mapping) and isinstance(value, Mapping):
        return {str(key): inner if key in known and _plain(inner) else HIDDEN for key, inner in value.items()}
    return without_passwords(value) if known is not None and _plain(value) else HIDDEN


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _variable(name: str, value: Any) -> Any:
    shown = any(names.search(name) and forms.fullmatch(str(value)) for names, forms in _HARMLESS)
    return value if value == "" or (shown and not _SECRET.search(name)) else HIDDEN


def without_secrets(value: Any, name: str = "") -> Any:
    """The structure with every value left out whose key names a secret: for what has keys of its own, such as versions."""
    if isinstance(value, Mapping):
        return {str(key): without_secrets(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(inner, name) for inner in value]
    return HIDDEN if value not in (None, "") and not isinstance(value, bool) and _SECRET.search(name) else value


def without_passwords(value: Any) -> Any:
    """The structure with user, password and secret parameters left out of every URL in it."""
    if isinstance(value, str):
        return (
            _PARAMETER.sub(rf"\g<name>{HIDDEN}", _USERINFO.sub(rf"\g<scheme>{HIDDEN}@", value))
            if "://" in value
            else value
        )
    if isinstance(value, Mapping):
        return {key: without_passwords(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_passwords(inner) for inner in value]
    return value
