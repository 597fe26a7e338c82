#!/usr/bin/env bash
# The collection as a user gets it: built, installed from the tarball into an empty place, and used from there.
# With INTO=folder, an empty one, it is left there for others to use. CONTROLLER=2.19 uses that ansible-core.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$("$here/tests/lab/environment.sh")
if [ -n "${INTO:-}" ]; then
    work=$INTO
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
export PATH=$venv/bin:$PATH HOME=$work/home ANSIBLE_COLLECTIONS_PATH=$work/collections ANSIBLE_NOCOLOR=1
mkdir -p "$HOME" "$work/source" "$work/empty"
say() { printf '%s\n' "tarball: $*"; }

# From a copy without what Git ignores: nothing that only lies about in this checkout gets into the tarball.
cd "$here"
git ls-files -z --cached --others --exclude-standard >"$work/files"
tar --create --null --ignore-failed-read --files-from="$work/files" 2>/dev/null | tar --extract --directory="$work/source"
ansible-galaxy collection build "$work/source" --output-path "$work" >/dev/null
tarball=$(echo "$work"/*.tar.gz)
say "$(basename "$tarball"), $(du -k "$tarball" | cut -f1) KiB"
strangers=$(tar --list --gzip --file "$tarball" | sed 's,/.*,,' | sort -u | grep -vxE \
    'CHANGELOG.md|CONTRIBUTING.md|FILES.json|LICENSE|LICENSES|MANIFEST.json|README.md|changelogs|docs|inventories|meta|playbooks|plugins|requirements.(txt|yml)|roles|tests' || true)
[ -z "$strangers" ] || { say "FAILED: the tarball carries $strangers; add it to build_ignore in galaxy.yml"; exit 1; }

# Dependencies come with the `ansible` bundle; a registry is not asked.
ansible-galaxy collection install --no-deps --collections-path "$work/collections" "$tarball" >/dev/null
cd "$work/empty"
collection=$work/collections/ansible_collections/pi_controller/raft_migration
documented() {  # kind, names: each of them has documentation
    local kind=$1
    shift
    if ! ansible-doc --type "$kind" --json "$@" >"$work/doc.json" 2>"$work/doc.err"; then
        say "FAILED: ansible-doc --type $kind"
        cat "$work/doc.err"
        exit 1
    fi
    "$venv/bin/python" - "$work/doc.json" "$@" <<'PYTHON' || { say "FAILED: ansible-doc --type $kind"; exit 1; }
import json
import sys

shown = {name.rpartition(".")[2]: text for name, text in json.load(open(sys.argv[1], encoding="utf-8")).items()}
bare = [name for name in sys.argv[2:] if "description" not in json.dumps(shown.get(name.rpartition(".")[2], ""))]
if bare:
    sys.exit(f"no documentation of {', '.join(bare)}")
PYTHON
    say "ansible-doc shows $# of kind $kind"
}
names_in() { find "$1" -maxdepth 1 -mindepth 1 -name '[!_]*' ! -name '*.pyc' -printf 'pi_controller.raft_migration.%f\n' | sed 's/\.py$//' | sort; }
for kind in module filter lookup callback; do
    folder=$collection/plugins/${kind/module/modules}
    # shellcheck disable=SC2046  # names have no blanks
    [ ! -d "$folder" ] || documented "$kind" $(names_in "$folder")
done
# shellcheck disable=SC2046
documented role $(names_in "$collection/roles")
cp -r "$here/inventories/example" "$work/example"
mapfile -t names < <(find "$collection/playbooks" -maxdepth 1 -name '*.yml' -printf '%f\n' | sed 's/\.yml$//' | sort)
# One process for all: it ends at the first that has an error, and names its file.
ansible-playbook "${names[@]/#/pi_controller.raft_migration.}" -i "$work/example" --syntax-check >"$work/syntax.log" 2>&1 \
    || { say "FAILED: a playbook"; cat "$work/syntax.log"; exit 1; }
say "playbooks found by their names: ${names[*]}"

# What the importer would run in a container of its own is run by the other scripts.
printf '[galaxy-importer]\nRUN_ANSIBLE_TEST = False\nRUN_ANSIBLE_LINT = False\n' >"$work/importer.cfg"
GALAXY_IMPORTER_CONFIG=$work/importer.cfg "$venv/bin/python" -m galaxy_importer.main "$tarball" >"$work/importer.log" 2>&1 \
    || { say "FAILED: galaxy-importer"; cat "$work/importer.log"; exit 1; }
if grep -E '^(ERROR|WARNING)' "$work/importer.log"; then say "FAILED: galaxy-importer complains"; exit 1; fi
say "galaxy-importer has no complaint"

say "clean"
