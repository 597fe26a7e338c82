# shellcheck shell=bash
# For scripts that run several parts side by side. They set `logs`, a folder.
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

part() {  # name, command: its log is kept, and shown if it fails
    local began=$SECONDS
    if "${@:2}" >"${logs:?}/$1.log" 2>&1; then
        say "$1 passed, $((SECONDS - began)) s: $(tail -n 1 "$logs/$1.log")"
    else
        cat "$logs/$1.log"
        say "$1 failed, $((SECONDS - began)) s"
        return 1
    fi
}
