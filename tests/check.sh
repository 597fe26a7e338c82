#!/usr/bin/env bash
# What a change has to pass before it is committed, in less than a minute on two cores: format, lint, types, and the unit tests that
# are not marked slow. `make test` runs all of it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. tests/parts.sh
venv=$(tests/lab/environment.sh) || exit 1
export PATH=$venv/bin:$PATH
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

result=0
part lint tests/lint.sh -s ruff structure voice || result=1
part types tests/lint.sh -s mypy &
types=$!
# Four of them, since many tests wait for a process or a socket.
part unit python -m pytest -q -n 4 --dist loadfile -m "not slow" tests/unit || result=1
wait "$types" || result=1
if [ "$result" != 0 ]; then
    say "check: failed; see above"
    exit 1
fi
say "check: passed"
