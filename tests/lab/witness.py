# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.lab.witness` is `python -m tests.witness`: owners' notes and the printed command of earlier runs name it so."""

import sys

from tests.witness.program import main

if __name__ == "__main__":
    sys.exit(main())
