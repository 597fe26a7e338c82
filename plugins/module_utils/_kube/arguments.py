# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that modules of one kind share (documented in the fragment `kubernetes` and its variants)."""

from __future__ import annotations

from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

_NAME: dict[str, Any] = {"type": "str", "required": True}
DAEMONSET: dict[str, Any] = {**AUTH_ARG_SPEC, "namespace": _NAME, "daemonset": _NAME}
SERVICE: dict[str, Any] = {**AUTH_ARG_SPEC, "namespace": _NAME, "service": _NAME}
