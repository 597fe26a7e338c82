# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The paths that a configuration file names, by their settings.

Python's library has no YAML, so block style is read line by line, and what is in one line of flow style. Any value may be a secret:
only what is there on the Pi is returned.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .paths import links

_LINE = re.compile(
    r"""(?P<indent>\ *)(?P<dashes>(?:-\ +)*)(?:(?P<quote>["']?)(?P<key>[A-Za-z_][\w.-]*)(?P=quote)\ *:(?=\s|$))?(?P<rest>.*)""",
    re.VERBOSE,
)
_FLOW_KEY = re.compile(r"""\s*["']?(?P<key>[A-Za-z_][\w.-]*)["']?\s*:\s+(?P<rest>.*)""")
# Without blanks, signs of Base64 and schemes; an address is one as well.
_RELATIVE = re.compile(r"(?!-)[\w.@+~-]+(?:/[\w.@+~-]+)*/?")
KEY_FILE = re.compile(r"\.(?:cer|cert|crt|key|p12|pem|pfx)$")
_KEY_SETTING = re.compile(r"(?:^|[._])(?:ca|certs?|keys?)(?:_(?:dir|file|path))?$")
_OFF = ("false", "no", "off")
# An anchor or a type before a value.
_PROPERTY = re.compile(r"^(?:[&!]\S*\s+)+")


def named_files(text: str, aliases: Mapping[str, str]) -> list[dict[str, Any]]:
    """Absolute paths of the file that are there on this Pi: `setting`, `path`, the same without links (`real`), and its `links`."""
    found = {(setting, value) for setting, value in values(text, aliases) if value.startswith("/") and _exists(value)}
    return [{"setting": setting, **_described(path)} for setting, path in sorted(found)]


def relative_paths(text: str, aliases: Mapping[str, str], cwd: str | None) -> list[dict[str, Any]]:
    """What the file names relative to the working directory of its daemon: as `named_files`, and whether it is `there`.

    Many values look like such a path and are none, as a time zone. One that is there is a path, and so is one to a key or a certificate.
    """
    if cwd is None:
        return []
    found = set()
    for setting, value in values(text, aliases):
        path = os.path.normpath(os.path.join(cwd, value))  # noqa: PTH118
        # Below `/` there is what many words with a slash are called, as `home/pi`.
        there = "/" in value and _exists(path) and (cwd != "/" or _is_written_out(value))
        if _RELATIVE.fullmatch(value) and (there or _is_meant(setting, value, cwd)):
            found.add((setting, path))
    return [{"setting": setting, **_described(path), "there": _exists(path)} for setting, path in sorted(found)]


def _described(path: str) -> dict[str, Any]:
    return {"path": path, "real": os.path.realpath(path), "links": links(path)}


def _is_written_out(value: str) -> bool:
    return value.startswith(("./", "../"))


def _is_meant(setting: str, value: str, cwd: str) -> bool:
    """Whether the value is a path also where nothing is there yet."""
    # Below `/` nothing is made by chance: an example's defaults are left as they are.
    return bool(KEY_FILE.search(value)) or (
        _is_written_out(value) and (cwd != "/" or bool(_KEY_SETTING.search(setting)))
    )


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)  # noqa: PTH110
    except ValueError:  # a NUL
        return False


def values(text: str, aliases: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Every text of the file with its setting (`section.key`), but for what is turned off. `aliases` has the other name of a section."""
    names = {other: name for name, other in aliases.items()}
    found = [(".".join([names.get(keys[0], keys[0]), *keys[1:]]), value) for keys, value in _tree(text) if keys]
    # Of a section with `enabled`, and of `tls_…` beside `tls_enabled`.
    off = tuple(
        setting.removesuffix("enabled")
        for setting, value in found
        if re.search(r"[._]enabled$", setting) and value.lower() in _OFF
    )
    return ((setting, value) for setting, value in found if not setting.startswith(off))


def _tree(text: str) -> Iterator[tuple[list[str], str]]:
    if text.lstrip().startswith("{"):
        try:
            yield from _walked(json.loads(text), [])
        except (ValueError, RecursionError):  # has a finding of its own
            return
    else:
        yield from _lines(text)


def _walked(value: Any, keys: list[str]) -> Iterator[tuple[list[str], str]]:
    if isinstance(value, (str, bool)):
        yield keys, str(value)
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from _walked(inner, [*keys, str(key)])
    for inner in value if isinstance(value, list) else ():
        yield from _walked(inner, keys)


def _lines(text: str) -> Iterator[tuple[list[str], str]]:
    outer: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or not line.strip() or line.lstrip().startswith("#"):
            continue
        depth = len(match["indent"]) + len(match["dashes"])
        while outer and outer[-1][0] >= depth:
            outer.pop()
        if match["key"]:
            outer.append((depth, match["key"]))
        yield from _scalars([key for _depth, key in outer], match["rest"])


def _scalars(keys: list[str], text: str) -> Iterator[tuple[list[str], str]]:
    text = _PROPERTY.sub("", text.strip())
    if text[:1] in ("{", "["):
        for piece in re.split(r"[\[\]{},]", text):
            match = _FLOW_KEY.match(piece)
            yield from _scalars([*keys, match["key"]] if match else keys, match["rest"] if match else piece)
    elif text[:1] in ("'", '"'):
        yield keys, text[1:].partition(text[0])[0]
    elif text.partition(" #")[0].strip():
        yield keys, text.partition(" #")[0].strip()
