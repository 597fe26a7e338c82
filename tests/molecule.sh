#!/usr/bin/env bash
# Molecule's scenarios on hosts of the lab, one after the other; SCENARIO=name takes one of them. Arguments go to molecule.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$(tests/lab/environment.sh)
export PATH=$venv/bin:$PATH
# Only create and destroy run without a lab; they are not to look for its inventory.
export MOLECULE_ANSIBLE_ARGS_STRICT_MODE=1
if [ -n "${SCENARIO:-}" ]; then
    exec molecule test --scenario-name "$SCENARIO" "$@"
fi
exec molecule test --all "$@"
