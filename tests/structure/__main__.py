# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the structure of roles and packages and fails where it has a circle: `python -m tests.structure [--mermaid]`."""

from __future__ import annotations

import sys
from pathlib import Path

from . import counts, expressions, graph

CHECKOUT = Path(__file__).resolve().parents[2]
PHASES = ("cleanup", "cutover", "port_migration", "preflight", "prepare", "rollback", "systemd_shutdown", "transfer", "validate")
# Circles that are known, each with the reason why it is there. A new one fails, and so does one listed here that is gone.
KNOWN_CIRCLES: dict[graph.Circle, str] = {
    tuple(sorted(("common", phase))): "common runs the phases, and each phase takes its derived variables and shared steps from common"
    for phase in PHASES
}
# Modules that do not end by run_module yet. A new one fails, and so does one listed here that does.
OTHER_IDIOMS: frozenset[str] = frozenset()


def idioms_judged(found: dict[str, list[str]], known: frozenset[str]) -> list[str]:
    """What is wrong with the ways in which modules end."""
    others = {module for kind, modules in found.items() if kind not in ("run_module", "action plugin") for module in modules}
    new = [f"{module} does not end by run_module" for module in sorted(others - known)]
    return new + [f"{module} ends by run_module; delete it from OTHER_IDIOMS" for module in sorted(known - others)]


def judged(found: set[graph.Circle], known: set[graph.Circle]) -> list[str]:
    """What is wrong with the circles found."""
    new = [f"a new circle: {' -> '.join((*circle, circle[0]))}" for circle in sorted(found - known)]
    gone = [f"{' -> '.join((*circle, circle[0]))} is no longer a circle; delete it from KNOWN_CIRCLES" for circle in sorted(known - found)]
    return new + gone


def main() -> int:
    graphs = {"Roles": graph.roles(CHECKOUT), "Packages of module_utils": graph.packages(CHECKOUT)}
    if "--mermaid" in sys.argv[1:]:
        for title, found in graphs.items():
            print(f"%% {title}\n{graph.mermaid(found)}\n")
        return 0
    for title, found in graphs.items():
        print(f"{title}\n{graph.text(found)}\n")
    print("\n".join(counts.report(CHECKOUT)))
    faults = judged({circle for found in graphs.values() for circle in graph.circles(found)}, set(KNOWN_CIRCLES))
    faults += [f"{path.relative_to(CHECKOUT)}:{fault}" for path in expressions.files(CHECKOUT) for fault in expressions.faults(path)]
    faults += idioms_judged(counts.idioms(CHECKOUT), OTHER_IDIOMS)
    print(f"circles: {len(KNOWN_CIRCLES)} known", *faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
