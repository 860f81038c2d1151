# Airkiln's commands. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Targets and prerequisites are relative to this folder, because make cannot have a space in their names.
VENV := .venv
PYTHON := $(VENV)/bin/python
BUILD_UV := build/uv/bin/uv
export PATH := $(CURDIR)/$(VENV)/bin:$(CURDIR)/build/uv/bin:$(PATH)
export UV := $(CURDIR)/$(BUILD_UV)

include packer/tools.mk

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Set-up

# Root installs what is missing; anybody else is told at the first command that needs it.
build/debian-packages.stamp: rehearsal/debian-packages.txt
	@mkdir -p build
	rehearsal/install-packages.sh $<
	@touch $@

$(BUILD_UV): roles/base/files/opt/uv/requirements.txt | build/debian-packages.stamp
	@mkdir -p build
	python3 -m venv --clear build/uv || { echo 'python3 -m venv fails: apt-get install python3-venv'; exit 1; }
	build/uv/bin/python -m pip install --quiet --require-hashes --only-binary :all: --requirement $<
	@touch $@

$(VENV)/stamp: pyproject.toml uv.lock $(BUILD_UV)
	$(BUILD_UV) sync --quiet --frozen
	@touch $@

.PHONY: setup
setup: build/debian-packages.stamp $(VENV)/stamp ## The operator's tools in .venv, and as root the Debian packages

# What reads the CloudFormation templates, apart from the operator's tools (see pyproject.toml, group stacks).
STACKS_TOOLS := build/stacks/stamp
$(STACKS_TOOLS): uv.lock tests/stacks/tools/package-lock.json $(BUILD_UV)
	UV_PROJECT_ENVIRONMENT=build/stacks $(BUILD_UV) sync --quiet --frozen --only-group stacks
	command -v npm >/dev/null || rehearsal/install-packages.sh tests/stacks/tools/debian-packages.txt
	mkdir -p build/stacks/guard
	cp tests/stacks/tools/package.json tests/stacks/tools/package-lock.json tests/stacks/tools/.npmrc build/stacks/guard/
	cd build/stacks/guard && npm ci --silent --ignore-scripts
	@touch $@

.PHONY: stacks-tools
stacks-tools: $(STACKS_TOOLS) ## The tools that read the CloudFormation templates, in build/stacks (needs npm)

# The rehearsal. AIRKILN_REHEARSAL=<name> selects another one beside it.

# SIZE=two is the environment that playbooks/deploy.yml deploys, two instances of each role; SIZE=one is one instance.
SIZE := two
REHEARSE_two := deploy
REHEARSE_one := up

.PHONY: rehearse rehearse-down rehearse-fault rehearse-logs rehearse-shell rehearse-status
rehearse: export AIRKILN_STARTED := $(shell date +%s.%N)
rehearse: ## Bake an image, deploy an environment from it and run a DAG; SIZE=one: one instance alone (root)
	@: $(or $(REHEARSE_$(SIZE)),$(error SIZE=$(SIZE) is not a size: `make rehearse` has SIZE=two and SIZE=one))
	@mkdir -p build; echo 'Set-up of the tools …'
	@$(MAKE) --no-print-directory setup >build/setup.log 2>&1 || \
		{ tail -n 20 build/setup.log; echo 'The whole log: build/setup.log'; exit 1; }
	@$(PYTHON) -m rehearsal $(REHEARSE_$(SIZE))

rehearse-status: $(VENV)/stamp ## What runs, until Ctrl-C
	@$(PYTHON) -m rehearsal status --watch

rehearse-shell: $(VENV)/stamp ## A shell as root on an instance: HOST=i-0123…, the end of its id, or a role
	@$(PYTHON) -m rehearsal shell $(HOST)

rehearse-logs: $(VENV)/stamp ## The journals of a role's instances, until Ctrl-C; ROLE=scheduler, or without it all
	@$(PYTHON) -m rehearsal logs $(ROLE)

# A fault that lasts is healed at Ctrl-C, or after SECONDS.
rehearse-fault: $(VENV)/stamp ## The faults; FAULT=host_frozen HOST=worker injects one, ZONE=… where it needs a zone
	@$(PYTHON) -m rehearsal fault $(FAULT) $(or $(HOST),$(ZONE)) $(if $(SECONDS),--seconds $(SECONDS))

rehearse-down: $(VENV)/stamp ## Remove every trace of the rehearsal but what lies in build/
	@$(PYTHON) -m rehearsal down

# Tests

# Three lanes at once, see tools/lanes.py. Each of their steps is a target of its own:
#   setup, test-image | check-packer, test-machines | lint, stacks-tools, test-static
MACHINES := tests/rehearsal tests/database tests/failover

.PHONY: test test-machines test-image test-environment test-static test-fast test-orders lint
test: $(BUILD_UV) ## All tests but test-environment, in three lanes at once; the times are in build/ci-times.txt (root)
	@python3 tools/lanes.py

test-machines: setup ## The tests that boot machines, but none of a baked image; Molecule's scenarios included (root)
	$(PYTHON) -m pytest --durations 25 -m "root and not image" $(MACHINES)

test-image: setup $(PACKER_STAMP) ## The main job, and the faults on a cluster of the image that it baked (root)
	$(PYTHON) -m pytest --durations 25 -m image $(MACHINES)

test-environment: setup $(PACKER_STAMP) ## An environment that playbooks/deploy.yml deploys; not in `make test` (root)
	$(PYTHON) -m pytest --durations 25 tests/environment

test-static: $(VENV)/stamp $(STACKS_TOOLS) ## The tests that boot no machine
	$(PYTHON) -m pytest --durations 25 --numprocesses 2 --dist loadfile -m "not root" tests

test-fast: lint ## The tests that need no root
	$(PYTHON) -m pytest --numprocesses 2 tests/unit

# ORDERS=3 tries as many. A failure names its seed: pytest --shuffle SEED tests/unit repeats the order.
test-orders: $(VENV)/stamp ## The unit tests in ten random orders, on two processes
	for order in $$(seq $(or $(ORDERS),10)); do \
		$(PYTHON) -m pytest --quiet --numprocesses 2 --shuffle $$RANDOM tests/unit; \
	done

lint: $(VENV)/stamp ## Formatting, types, and the rules of Ansible's production profile
	ruff check .
	ruff format --check .
	mypy
	yamllint --strict .
	ansible-lint

# 25 times what `make test` runs of it. A failure names its seed. HISTORIES=200000 runs as many.
.PHONY: simulate-failover
simulate-failover: $(VENV)/stamp ## 50,000 histories of two to five failover controllers, each moment checked
	HYPOTHESIS_PROFILE=chance AIRKILN_SIMULATION_HISTORIES=$(or $(HISTORIES),50000) $(PYTHON) -m pytest --timeout 36000 \
		tests/unit/airkiln/failover/test_simulation.py

# MODULES="failover-leading rules" tries these alone. It takes a while, so CI does not run it.
.PHONY: mutate
mutate: $(VENV)/stamp ## Change the decision modules one expression at a time: which changes does no test notice?
	$(PYTHON) -m tools.mutation $(MODULES)

# WORDS="metadata.nft" takes the fixes of that file alone; ON_MACHINES=--machines those whose tests boot machines (root).
.PHONY: check-reversals
check-reversals: $(VENV)/stamp $(STACKS_TOOLS) ## Take each security fix away on a copy: does its test fail?
	$(PYTHON) -m tools.mutation.reversals $(ON_MACHINES) $(WORDS)

.PHONY: test-stacks
test-stacks: $(VENV)/stamp $(STACKS_TOOLS) ## The static proof of the CloudFormation templates, without AWS
	$(PYTHON) -m pytest tests/stacks/static tests/stacks/access

# DEBIAN_CIS=<folder> adds debian-cis from a copy of https://github.com/ovh/debian-cis, which is in no Debian archive.
.PHONY: security
security: setup ## Exposure of each service, Lynis and debian-cis on a machine of the baked image, and what is open (root)
	$(PYTHON) -m tools.security

# Figures; each writes benchmarks/results/<name>.json

.PHONY: benchmark-autoscale benchmark-bake benchmark-boot benchmark-drain benchmark-failover benchmark-parameters
.PHONY: benchmark-queue benchmark-scaling

benchmark-autoscale: $(VENV)/stamp ## A simulated week by our policy and by others; a million tasks replayed
	$(PYTHON) -m benchmarks.autoscale

benchmark-bake: setup $(PACKER_STAMP) ## Bake time, image size, the install step beside pip, site.yml run again (root)
	$(PYTHON) -m benchmarks.bake

benchmark-boot: setup ## Instance start to healthy, by role, beside the bare Airflow command (root)
	$(PYTHON) -m benchmarks.boot

# Hours for all of it. KINDS="scale_in reload" RUNS=10 KEEP=--keep does a part; the next call goes on from there.
benchmark-drain: setup ## What becomes of the tasks of workers that end, by kind of end (root)
	$(PYTHON) -m benchmarks.drain --runs $(or $(RUNS),100) $(KEEP) $(KINDS)

# Hours for all of it. FAULTS="switchover host_killed" RUNS=10 KEEP=--keep does a part; the next call goes on from there.
benchmark-failover: setup ## Fault to the next task queued, by kind of fault, beside Airflow's own way (root)
	$(PYTHON) -m benchmarks.failover --runs $(or $(RUNS),50) $(KEEP) $(FAULTS)

benchmark-queue: setup ## What a queue that hands messages out again does to tasks (root)
	$(PYTHON) -m benchmarks.queue --runs $(or $(RUNS),20) $(KEEP)

benchmark-scaling: setup ## Demand to a running task, from zero and back (root)
	$(PYTHON) -m benchmarks.scaling --runs $(or $(RUNS),30) $(KEEP)

benchmark-parameters: $(VENV)/stamp ## Time to load 10, 100 and 1000 parameters
	$(PYTHON) -m benchmarks.parameters

# What is generated and committed

AIRFLOW_LOCK_DATE := 2026-09-18T00:00:00Z
REQUIREMENTS := roles/airflow/files/requirements

.PHONY: lock docs
lock: $(VENV)/stamp ## The locks of what an image installs and of the operator's tools
	$(BUILD_UV) lock
	$(BUILD_UV) export --quiet --frozen --no-dev --no-emit-project --no-annotate --no-header \
		--output-file roles/boot/files/requirements.txt
	for architecture in x86_64 aarch64; do \
		$(BUILD_UV) pip compile --quiet $(REQUIREMENTS).in --output-file $(REQUIREMENTS)-$$architecture.txt \
			--generate-hashes --only-binary :all: --no-annotate --no-header --python-version 3.13 \
			--python-platform $$architecture-manylinux_2_28 --exclude-newer $(AIRFLOW_LOCK_DATE); \
	done

docs: $(VENV)/stamp ## The tables in the roles' READMEs, docs/emulation.md, docs/benchmarks.md and the figures in README.md
	$(PYTHON) -m tools.role_docs
	$(PYTHON) -m tools.emulation
	$(PYTHON) -m benchmarks.document
