# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.witness run`, `judge` and `detection`; see docs/witness.md."""

import sys

from .program import main

if __name__ == "__main__":
    sys.exit(main())
