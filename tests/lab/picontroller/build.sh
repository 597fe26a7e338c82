#!/usr/bin/env bash
# build.sh OUT: builds the stand-in for pi-controller as one static binary, from Debian's Go packages alone.
# SPDX-License-Identifier: GPL-3.0-or-later
set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: $0 OUT" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(realpath -m "$1")
library=${PI_LAB_GOPATH:-/usr/share/gocode}
go=$(command -v go || echo /usr/bin/go)
if [ ! -x "$go" ] || [ ! -d "$library/src/github.com/hashicorp/raft" ] || [ ! -d "$library/src/github.com/mattn/go-sqlite3" ]; then
    echo "$0: Go or its libraries are missing; apt-get install golang-go gcc libsqlite3-dev" \
        "golang-github-hashicorp-raft-dev golang-github-hashicorp-raft-boltdb-dev golang-github-mattn-go-sqlite3-dev" \
        "golang-google-grpc-dev golang-gopkg-yaml.v2-dev" >&2
    exit 1
fi

gopath=$(mktemp -d)
trap 'rm -rf "$gopath"' EXIT
mkdir -p "$gopath/src/picontroller" "$(dirname "$out")"
cp "$here"/*.go "$gopath/src/picontroller/"

# -trimpath keeps the temporary folder out of the build cache's keys. Without a dynamic loader there is nothing to load
# SQLite extensions or a resolver with, so both are left out. The linker warns about dlopen in libsqlite3 all the same.
cd "$gopath/src/picontroller"
if ! GO111MODULE=off GOPATH="$gopath:$library" GOFLAGS='' CGO_ENABLED=1 "$go" build -trimpath \
    -tags 'netgo osusergo sqlite_omit_load_extension' \
    -ldflags '-s -w -linkmode external -extldflags "-static -lm"' \
    -o "$gopath/pi-controller" . >"$gopath/log" 2>&1; then
    cat "$gopath/log" >&2
    exit 1
fi
# Into place at once: the old binary may be running.
cp "$gopath/pi-controller" "$out.new"
mv "$out.new" "$out"
