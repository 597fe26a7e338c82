#!/usr/bin/env bash
# Everything CI runs: first what needs no lab, side by side, then migrations, by themselves since their figures are judged.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. tests/parts.sh
fail() { say "FAILED: $*"; exit 1; }

venv=$(tests/lab/environment.sh) || fail "no Python environment; the lines above say what to do"
logs=$(mktemp -d /tmp/pi-migration-tests-XXXXXX)

# A silent minute looks like a program that hangs.
every_minute() {  # what is waited for
    while sleep 60; do say "$* ..."; done
}

# What is installed here by hand is out of sight of these: nothing but the declared packages is on their PATH.
fresh() { env PATH="$logs/path:$venv/bin" PI_LAB_FRESH_PATH="$logs/path" "$@"; }

suites() {  # folders below tests/
    local suite parallel result=0
    for suite in "$@"; do
        parallel=()
        # A file stays whole: some have listeners on addresses of their own.
        [ "$suite" != unit ] || parallel=(-n 2 --dist loadfile)
        part "$suite" fresh "$venv/bin/python" -m pytest -q "${parallel[@]}" "tests/$suite" || result=1
    done
    return "$result"
}

beside() {
    local result=0
    part lint fresh tests/lint.sh || result=1
    part sanity tests/sanity.sh || result=1
    suites network browser || result=1
    return "$result"
}

on_the_lab() {  # what it is, pytest's arguments
    say "$1"
    "$venv/bin/python" -m pytest -q -s --durations=0 --durations-min=5 "${@:2}" || fail "$1: failed; see above"
}

other=''
elections=''
reminder=''
ended() {
    [ -z "$reminder" ] || kill "$reminder" 2>/dev/null
    for group in $other $elections; do
        { kill -TERM -- "-$group" && wait "$group"; } 2>/dev/null
    done
    python3 -m tests.lab down
}
trap ended EXIT
python3 -m tests.lab fresh-path "$logs/path" || fail "a declared package is missing; the line above says which"
fresh python3 -m tests.lab build || fail "the lab cannot be built; the line above says why"
say "tests without the lab, and linters beside them, about 6 minutes; their logs are in $logs"
# In process groups of their own, so that all of it can be ended. (The daemons' tests wait for elections most of the time.)
set -m
beside &
other=$!
suites raft &
elections=$!
every_minute "tests without the lab" &
reminder=$!
set +m
suites unit lab daemon witness structure faults bench
passed=$?
wait "$elections" || passed=1
wait "$other" || passed=1
other=''
elections=''
kill "$reminder"
reminder=''
[ "$passed" = 0 ] || fail "a test without the lab failed; see above"
say "the lab comes up"
python3 -m tests.lab up --nodes 3 --profile full || fail "the lab did not come up; the line above says why"
on_the_lab "migrations of both profiles and the rollbacks from their ends, and one without a fence, about 9 minutes" tests/e2e/test_migration.py
on_the_lab "the rollback from the cutover, with the collection from its tarball, about 4 minutes" tests/e2e/test_rollback.py
on_the_lab "Pi by Pi in place and back, with a pod that does not start, about 6 minutes" -m "not longer" tests/e2e/test_rolling.py
on_the_lab "pre-flight, check mode, TLS and rights, a run that rolls back automatically, about 6 minutes" -m "not longer" \
    tests/e2e/test_preflight.py tests/e2e/test_published.py tests/e2e/test_check.py tests/e2e/test_secured.py tests/e2e/test_report.py
say "a dozen faults in two migrations, about 6 minutes"
"$venv/bin/python" -m tests.faults --chosen --folder "$logs/chosen" || fail "faults: failed; see the matrix above and $logs/chosen"
# It starts where the second of them has ended.
on_the_lab "a rollback that is killed in each of its turns, about 2 minutes" tests/e2e/test_rollback_killed.py
on_the_lab "the lab goes down and leaves nothing" tests/e2e/test_lab_down.py
say "Molecule's scenarios, about 6 minutes"
tests/molecule.sh || fail "Molecule: failed; see above"
say "not part of this run, each with a command of its own: make test-longer, test-faults (all of them), matrix, bench, versions"
say "all tests passed, $((SECONDS / 60)) minutes"
