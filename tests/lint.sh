#!/usr/bin/env bash
# All linters, each to its end, by nox (noxfile.py, antsibull-nox.toml). Arguments go to nox: `tests/lint.sh -s mypy`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$(tests/lab/environment.sh)
export PATH=$venv/bin:$PATH ANSIBLE_NOCOLOR=1 NO_COLOR=1
# A folder of its own, so that two runs at once do not take each other's files away.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nox --envdir "$work" "$@" || { echo "lint: failed; the sessions above say what"; exit 1; }
[ $# -gt 0 ] || echo "lint: clean"
