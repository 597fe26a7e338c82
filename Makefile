# Two commands are all a user needs: `make demo` and `make test`. Both do their own set-up, as root on Debian 12 or 13.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

NODES ?= 3
PROFILE ?= full
# The one that fits the profile, if empty.
STRATEGY ?=
LAB := python3 -m tests.lab
ENVIRONMENT = $$(tests/lab/environment.sh)
# As a machine may have them that was just set up, or that runs this by cron: a locale that it does not know, no home, no sbin.
export LC_ALL := C.UTF-8
export HOME := $(or $(HOME),/root)
export PATH := $(PATH):/usr/sbin:/sbin
# Until the command ends, or is killed. It is not for `lab-up`, whose lab stays.
ALONE = exec 8>/run/pi-lab-run.lock; flock -n 8 || { echo "Another run uses the lab: wait until it has ended, then try again."; exit 1; }
# What kind of lab: see tests/lab/options.py.
export KUBERNETES SUITE PROXY DATASTORE CPU BACKENDS FAMILY MEMORY
# Every run of a tool would compile all that it imports, longer than most of them work otherwise: what is compiled is kept, outside
# the checkout, also on machines that turn this off.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(abspath $(or $(PI_LAB_CACHE),/var/cache/pi-lab)/bytecode)

.PHONY: help
help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

.PHONY: root
root:
	@if [ "$$(id -u)" -ne 0 ]; then echo "The lab boots real hosts and needs root: run it as root."; exit 1; fi

.PHONY: packages
packages: root
	@$(LAB) packages

.PHONY: lab-packages
lab-packages: root
	@$(LAB) packages run build

.PHONY: lab-up
lab-up: lab-packages ## Boot the lab: NODES=3, PROFILE=full, upstream or published, KUBERNETES=newest or oldest, SUITE=trixie or bookworm, PROXY=iptables, nftables or ipvs, DATASTORE=etcd or kine, CPU=0.2 (slow Pis), MEMORY=512 (MiB, small Pis), FAMILY=ipv4 or ipv6
	@$(LAB) up --nodes $(NODES) --profile $(PROFILE)

.PHONY: lab-down
lab-down: root ## Take the lab down, leaving nothing behind
	@$(LAB) down

.PHONY: demo
demo: lab-packages ## Migrate a live three-node cluster under traffic, and show the proof; STRATEGY=rolling goes Pi by Pi, as PROFILE=published does anyway
	@$(ALONE)
	tests/lab/environment.sh >/dev/null &
	environment=$$!
	trap 'kill "$$environment" 2>/dev/null || :' EXIT
	$(LAB) up --nodes $(NODES) --profile $(PROFILE)
	# Where it failed, it is tried again here, and says last why.
	wait "$$environment" || :
	venv=$(ENVIRONMENT)
	"$$venv/bin/python" -m tests.e2e.demo --profile $(PROFILE) --strategy "$(STRATEGY)"

.PHONY: check
check: ## Format, lint, types and the fast unit tests: what a change has to pass before it is committed
	@tests/check.sh

.PHONY: unit
unit: ## Tests that need neither root nor the lab
	@venv=$(ENVIRONMENT)
	"$$venv/bin/python" -m pytest -q -n 2 --dist loadfile tests/unit
	"$$venv/bin/python" -m pytest -q tests/lab tests/daemon tests/witness

FUZZ ?= 600
.PHONY: fuzz
fuzz: ## Hostile daemons against every module that asks daemons: FUZZ=SECONDS, 600 by default
	@venv=$(ENVIRONMENT)
	FUZZ=$(FUZZ) "$$venv/bin/python" -m pytest -q -s tests/unit/test_fuzz.py

.PHONY: test
test: packages ## Everything CI runs
	@$(ALONE)
	tests/run.sh

.PHONY: test-longer
test-longer: packages ## Tests on the lab that are left out of `make test`: the watch, status, the verbs, the lab's reset, owners' networks and setups, the published daemon, profile upstream; some again with IPv6
	@$(ALONE)
	venv=$(ENVIRONMENT)
	trap '$(LAB) down' EXIT
	$(LAB) up --nodes 3 --profile full
	"$$venv/bin/python" -m pytest -q -s --durations=0 --durations-min=5 -m longer tests/e2e
	FAMILY=ipv6 $(LAB) up --nodes 3 --profile full
	"$$venv/bin/python" -m pytest -q -s --durations=0 --durations-min=5 -k 'a4_p1_p2_p3 or p6_p7_p8_a_linked_unit' tests/e2e

.PHONY: test-faults
test-faults: packages ## The whole matrix phase x fault of both strategies; STRATEGY=rolling or ONLY="phase/fault ..." runs some of it
	@$(ALONE)
	venv=$(ENVIRONMENT)
	trap '$(LAB) down' EXIT
	$(LAB) up --nodes 3 --profile full
	"$$venv/bin/python" -m tests.faults $(addprefix --only ,$(ONLY)) $(addprefix --strategy ,$(STRATEGY))

.PHONY: matrix
matrix: packages ## Migration and rollback on each combination of versions that is supported; ONLY="name ..." runs some of them
	@$(ALONE)
	venv=$(ENVIRONMENT)
	trap '$(LAB) down' EXIT
	"$$venv/bin/python" -m tests.matrix $(ONLY)

.PHONY: bench
bench: packages ## Both strategies, the floor and the procedure by hand, as ratios: BENCH=short is for three Pis of profile full, BENCH="upstream ..." for these parts, DOCS=yes writes docs/benchmark.md
	@$(ALONE)
	venv=$(ENVIRONMENT)
	trap '$(LAB) down' EXIT
	"$$venv/bin/python" -m tests.bench $(patsubst short,--short,$(BENCH)) $(if $(DOCS),--docs)

HISTORY ?= tests/witness/histories/cutover.jsonl.gz

.PHONY: detection
detection: ## How likely the witness finds a fault of 0.1 s on one route; HISTORY=file.jsonl takes a run of your own
	@venv=$(ENVIRONMENT)
	"$$venv/bin/python" -m tests.witness detection $(HISTORY)

.PHONY: molecule
molecule: packages ## Molecule's scenarios on hosts of the lab; SCENARIO=name runs one of them
	@$(ALONE)
	SCENARIO="$(SCENARIO)" tests/molecule.sh

.PHONY: docs
docs: ## Write what is generated: the roles' READMEs and CHANGELOG.md
	@venv=$(ENVIRONMENT)
	"$$venv/bin/python" tests/role_readmes.py
	"$$venv/bin/antsibull-changelog" generate

.PHONY: lint
lint: ## Linters, types, and what is generated
	@tests/lint.sh

.PHONY: versions
versions: ## The unit tests under every ansible-core that is supported
	@tests/versions.sh

.PHONY: sanity
sanity: ## ansible-test sanity on the collection as it is built
	@tests/sanity.sh

.PHONY: tarball
tarball: ## Build the collection, install it into an empty place, and look at it there
	@tests/tarball.sh
