#!/usr/bin/env bash
# The unit tests under every ansible-core that is supported as a controller, each on the Python it is tested with.
# `tests/versions.sh 2.19` runs one; what else is given goes to pytest. Without a version: the plugins on every Python of a Pi, too.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
controllers=()
while [[ ${1:-} =~ ^2\.[0-9]+$ ]]; do controllers+=("$1"); shift; done
failed=()
if [ ${#controllers[@]} -eq 0 ]; then
    controllers=(2.19 2.20 2.21)
    EVERY_PYTHON=1 tests/sanity.sh --test compile --test import || failed+=("a Python of a Pi")
fi
for controller in "${controllers[@]}"; do
    began=$SECONDS
    if venv=$(CONTROLLER=$controller tests/lab/environment.sh); then
        "$venv/bin/ansible" --version | sed -n '1p;s/^ *python version = \([0-9.]*\).*/Python \1/p' | paste -sd' '
        "$venv/bin/python" -m pytest -q -n 2 --dist loadfile tests/unit "$@" || failed+=("$controller")
    else
        failed+=("$controller")
    fi
    echo "ansible-core $controller: $((SECONDS - began)) s"
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "versions: ${failed[*]} failed"
    exit 1
fi
echo "versions: ${controllers[*]} passed"
