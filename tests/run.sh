#!/usr/bin/env bash
# Everything CI runs: what needs no lab, then migrations, whose figures are judged. Linters, the sanity tests and the unit tests that run
# ansible-playbook take what all of these leave of the processors, and no more.
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

suites() {  # folders below tests/; `runner` is how they are run, `fresh` or `idle`
    local suite parallel result=0
    for suite in "$@"; do
        parallel=()
        case $suite in
            # A file stays whole: some have listeners on addresses of their own. The patient ones come beside the lab.
            unit) parallel=(-n 3 --dist loadfile -m "not patient") ;;
            # Both mostly wait: for elections, and for packets that do not come. Each process of the second has namespaces of its own.
            raft) parallel=(-n 3 --dist loadfile) ;;
            network) parallel=(-n 4) ;;
            witness) parallel=(-n 2 -m "not patient") ;;
        esac
        part "$suite" "${runner:-fresh}" "$venv/bin/python" -m pytest -p tests.no_skips -q "${parallel[@]}" "tests/$suite" || result=1
    done
    return "$result"
}

# The kernel runs these only where a processor has nothing else to do, so they may go on beside the lab.
idle() { chrt --idle 0 env PATH="$logs/path:$venv/bin" PI_LAB_FRESH_PATH="$logs/path" "$@"; }

# With a home of their own: what runs keep there is looked at beside them.
patient() {
    mkdir -p "$logs/home"
    HOME=$logs/home part patient idle "$venv/bin/python" -m pytest -p tests.no_skips -q -n 2 --dist loadfile -m patient tests/unit || touch "$logs/failed"
    part patient-witness idle "$venv/bin/python" -m pytest -p tests.no_skips -q -n 2 -m patient tests/witness || touch "$logs/failed"
    # The browser waits for a page as long as it takes.
    local runner=idle
    suites browser || touch "$logs/failed"
}

linters() {
    part lint idle env STRUCTURE_IS_TESTED=1 tests/lint.sh || touch "$logs/failed"
    part sanity chrt --idle 0 tests/sanity.sh || touch "$logs/failed"
}

nothing_failed() { [ ! -e "$logs/failed" ] || fail "a test beside the lab failed; see above"; }

on_the_lab() {  # what it is, pytest's arguments
    nothing_failed
    say "$1"
    "$venv/bin/python" -m pytest -p tests.no_skips -q -s --durations=0 --durations-min=5 "${@:2}" || fail "$1: failed; see above"
}

beside=() ours=
ended() {
    for group in "${beside[@]}"; do
        { kill -TERM -- "-$group" && wait "$group"; } 2>/dev/null
    done
    # One that was up before is another's as long as this run has not begun to use it.
    [ -z "$ours" ] || python3 -m tests.lab down
}
trap ended EXIT
python3 -m tests.lab fresh-path "$logs/path" || fail "a declared package is missing; the line above says which"
fresh python3 -m tests.lab build || fail "the lab cannot be built; the line above says why"
say "tests without the lab, about 3 minutes, with linters and runs of ansible-playbook beside them; their logs are in $logs"
# In process groups of their own, so that all of it can be ended.
set -m
patient &
playbooks=$!
linters &
linting=$!
# Each of these chains ends about when the unit tests do.
suites network daemon &
routes=$!
suites raft lab structure faults bench witness &
elections=$!
every_minute "tests without the lab" &
reminder=$!
set +m
beside=("$playbooks" "$linting" "$routes" "$elections" "$reminder")
suites unit
passed=$?
wait "$elections" || passed=1
wait "$routes" || passed=1
kill -- "-$reminder"
beside=("$playbooks" "$linting")
[ "$passed" = 0 ] || fail "a test without the lab failed; see above"
say "the lab comes up"
ours=yes
python3 -m tests.lab up --nodes 3 --profile full || fail "the lab did not come up; the line above says why"
on_the_lab "migrations and rollbacks, about 17 minutes" -m "not longer and not by_name" tests/e2e
say "17 faults in two migrations, about 6 minutes"
"$venv/bin/python" -m tests.faults --chosen --folder "$logs/chosen" || fail "faults: failed; see the matrix above and $logs/chosen"
# It starts where the last of them has ended, migrated with `parallel`.
on_the_lab "a rollback that is killed in each of its turns, about 2 minutes" -m "not longer" tests/e2e/test_rollback_killed.py
on_the_lab "the lab goes down and leaves nothing" tests/e2e/test_lab_down.py
say "Molecule's scenarios, about 6 minutes"
tests/molecule.sh || fail "Molecule: failed; see above"
wait "$playbooks" "$linting"
beside=()
nothing_failed
say "not part of this run, each with a command of its own: make test-longer, test-faults (all of them), matrix, bench, versions"
say "all tests passed, $((SECONDS / 60)) minutes"
