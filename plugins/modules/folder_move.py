#!/usr/bin/python
# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: folder_move
short_description: Move a folder of state in one step
description:
  - Renames a folder, so that it is at one place or at the other and never half at both, whatever happens meanwhile.
  - Nothing is ever overwritten or merged. A folder at both places is refused, as is another file system, where a
    rename would be a copy, and a symbolic link in any part of a path.
version_added: 0.1.0
author:
  - The pi-controller maintainers (@pi-controller)
extends_documentation_fragment:
  - pi_controller.raft_migration.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  src:
    description: Where the folder is.
    type: path
    required: true
  dest:
    description: Where it shall be. Its parent folder must exist.
    type: path
    required: true
  required:
    description: Fail where there is a folder at neither place, instead of RV(found=false).
    type: bool
    default: true
seealso:
  - module: ansible.builtin.file
"""

EXAMPLES = r"""
- name: Archive the data folder of the unit
  pi_controller.raft_migration.folder_move:
    src: /var/lib/pi-controller
    dest: /var/lib/pi-controller.systemd.backup
"""

RETURN = r"""
found:
  description: Whether there is a folder at RV(folder) now; in check mode whether there would be.
  returned: success
  type: bool
folder:
  description: The folder's place.
  returned: success
  type: str
  sample: /var/lib/pi-controller.systemd.backup
failure:
  description: What was seen, what was wanted, and the next step.
  returned: on failure
  type: dict
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.durable import fsync
from ..module_utils._core.failures import RaftError, fail
from ..module_utils._core.safe_open import folder


class FolderError(RaftError):
    """A folder that cannot be moved as a whole."""


def to_move(src: Path, dest: Path, required: bool) -> bool:
    """Whether there is something to move; everything that could go wrong is found before anything is touched."""
    for path in (src, dest):
        if not path.is_absolute() or ".." in path.parts:
            raise FolderError(f"{path} is not an absolute path without `..`", seen=str(path))
        if path.is_symlink():
            raise FolderError(
                f"{path} is a symbolic link", seen=str(path), wanted="a folder", next_step="give the path of the folder it points to"
            )
    if not src.exists():
        if not dest.exists() and required:
            raise FolderError(
                f"there is neither {src} nor {dest}", wanted="a folder at one of them", next_step="find out what moved it"
            )
        return False
    if not src.is_dir():
        raise FolderError(f"{src} is not a directory", seen=str(src), wanted="a folder")
    if dest.exists():
        raise FolderError(
            f"{src} and {dest} both exist",
            seen=[str(src), str(dest)],
            wanted="one of them",
            next_step="look into both, move the one aside that is not wanted, and run this again",
        )
    if not dest.parent.is_dir():
        raise FolderError(f"{dest.parent} is not a directory", wanted=str(dest.parent), next_step="make it")
    if src.stat().st_dev != dest.parent.stat().st_dev:
        raise FolderError(
            f"{src} and {dest.parent} lie on different file systems, so moving would be copying",
            seen=[src.stat().st_dev, dest.parent.stat().st_dev],
            wanted=f"a path on the file system of {src}",
            next_step="choose another destination, beside the folder itself for example",
        )
    # Through no link in either path; this raises where there is one.
    with folder(src.parent), folder(dest.parent):
        return True


def move(src: Path, dest: Path) -> None:
    """Rename by the folders that were reached without a link, so that no part of a path can be replaced meanwhile."""
    with folder(src.parent) as here, folder(dest.parent) as there:
        os.rename(src.name, dest.name, src_dir_fd=here, dst_dir_fd=there)
    fsync(dest.parent)
    fsync(src.parent)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "required": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    src, dest = Path(module.params["src"]), Path(module.params["dest"])
    try:
        moving = to_move(src, dest, module.params["required"])
        if moving and not module.check_mode:
            move(src, dest)
    except RaftError as error:
        fail(module, error)
    except OSError as error:
        fail(module, FolderError(f"{src} could not be moved to {dest}: {error}", next_step="fix the problem above and run the same command again"))
    module.exit_json(
        changed=moving,
        found=moving or dest.exists(),
        folder=str(dest),
        diff={"before": {"path": str(src if moving else dest)}, "after": {"path": str(dest)}},
    )


if __name__ == "__main__":
    main()
