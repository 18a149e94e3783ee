# make live    set everything up and watch this machine's scheduler
# make test    set everything up and run the tests
# make test-vm the same on other kernels, in virtual machines
# make fuzz    the same for MINUTES, with inputs made at random
# make docs    set everything up and build the pages of docs/ as a site
# make env     only the environment .venv, with the command at .venv/bin/schedtel

PYTHON ?= python3
MINUTES ?= 10
PIP = .venv/bin/python -m pip --disable-pip-version-check -q
# BPF needs privileges: commands run with sudo unless the user is root.
SUDO = $(if $(filter 0,$(shell id -u)),,sudo)
SOURCES = $(wildcard bpf/* bpf/*/*) schedtel/windows/ndjson.c $(wildcard schedtel/workloads/generator/*) pyproject.toml setup.py

.PHONY: live test test-unit test-hostile test-vm fuzz env build lint docs bench agent-kills datasets-oracle \
	datasets-live datasets-lab datasets-replay pretrained learned ways clean

live: env
	$(SUDO) .venv/bin/schedtel live --window 5s

# Two files of unit tests run at a time, each in one process with what its tests share, and beside them what asks nothing
# about the machine either, but acts on the process that it is in. The others run one by one.
test: .venv/.test
ifeq ($(ARGS),)
	$(MAKE) -j 2 test-unit test-hostile
	$(SUDO) .venv/bin/python -m pytest --ignore tests/unit --ignore tests/hostile
else
	$(SUDO) .venv/bin/python -m pytest $(ARGS)
endif

test-unit: .venv/.test
	$(SUDO) .venv/bin/python -m pytest -n 2 --dist loadfile tests/unit

test-hostile: .venv/.test
	$(SUDO) .venv/bin/python -m pytest tests/hostile

test-vm: .venv/.test
	scripts/vm-packages
	.venv/bin/python -m pytest -n 2 --dist loadfile tests/vm $(ARGS)

fuzz: .venv/.test
	$(SUDO) env FUZZ_MINUTES=$(MINUTES) .venv/bin/python -m pytest tests/fuzz --timeout 0 $(ARGS)

env: .venv/.env

build: .venv/bin/python
	$(PIP) install -e . --no-deps

lint: .venv/.dev
	! grep -rnE '^(<{7}|>{7}) ' --exclude-dir=.git --exclude-dir=.venv --exclude-dir=build .
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	rm -rf build/typed
	$(PIP) install --no-deps --target build/typed .
	cd build/typed && ../../.venv/bin/mypy --config-file ../../pyproject.toml -p schedtel
	cd build/typed && PYTHONPATH=. ../../.venv/bin/lint-imports ../../pyproject.toml --no-cache --no-logo

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

bench: .venv/.bench
	scripts/bench-packages
	$(SUDO) .venv/bin/python -m benchmarks $(ARGS)
	$(SUDO) .venv/bin/python -m benchmarks.plots
	$(SUDO) .venv/bin/python -m benchmarks.model

# SIGKILL to an agent at random moments: 30 times, and not 10 as in the tests. And all ways to end a part of one on a
# target. Then the same in a guest with sched_ext, beside all else that may go wrong with an arm there.
agent-kills: .venv/.test
	$(SUDO) env SCHEDTEL_KILLS=30 .venv/bin/python -m pytest tests/kernel/test_agent.py tests/kernel/test_agent_on_target.py -k killed -s $(ARGS)
	env SCHEDTEL_KILLS=30 .venv/bin/python -m pytest tests/vm/test_agent_in_guest.py $(ARGS)

# The experiments that are committed with their pages: hours. datasets/README.md says what they need.
datasets-live: .venv/.env
	SUDO="$(SUDO)" scripts/datasets variability-live heatmap-live

datasets-lab: .venv/.env
	scripts/datasets variability-lab variability-lab-one-seed heatmap-lab editor-lab editor-build-lab -- --lab --cpus 2 $(ARGS)

# The runs of datasets/oracle in guests and on this machine, the networks that learn from both, and how well they do.
# datasets/README.md says how long it takes, and what goes on where it was stopped.
ORACLE = datasets/oracle
ORACLE_SETS = $(ORACLE)/guests $(ORACLE)/live
FORECASTS = 300
SEEDS = 5
EPOCHS = 10
datasets-oracle: .venv/.env
	$(PIP) install -e '.[learn]'
	scripts/oracle-runs guests $(ORACLE)/guests
	SUDO="$(SUDO)" scripts/oracle-runs live $(ORACLE)/live
	.venv/bin/schedtel oracle train $(ORACLE_SETS) -o $(ORACLE)/model.safetensors --forecasts $(FORECASTS) \
		--seeds $(SEEDS) --epochs $(EPOCHS)
	.venv/bin/schedtel oracle evaluate $(ORACLE_SETS) --model $(ORACLE)/model.safetensors --train \
		--forecasts $(FORECASTS) --epochs $(EPOCHS) -o $(ORACLE)/evaluation.json
	.venv/bin/schedtel oracle report $(ORACLE)/evaluation.json -o $(ORACLE)/evaluation.html
	chmod 644 $(ORACLE)/model.safetensors $(ORACLE)/evaluation.*

# How policies learn on the lab's runs, without a guest: the study's three schedulers, two more, and all eight arms.
STUDY = --arm scx:simple --arm scx:bpfland --busy-arm scx:bpfland
ALL = $(STUDY) --arm scx:fifo --arm scx:vtime --arm scx:interactive --arm policy:slice=0.1ms --arm policy:short:rr=10
datasets-replay: .venv/.env
	.venv/bin/schedtel agent replay datasets/examples/heatmaps.parquet $(STUDY) \
		--format json --page datasets/replay-study.html >datasets/replay-study.json
	.venv/bin/schedtel agent replay datasets/examples/heatmaps.parquet $(STUDY) --arm scx:fifo --arm scx:interactive \
		--format json --page datasets/replay-five.html >datasets/replay-five.json
	.venv/bin/schedtel agent replay datasets/examples/heatmaps.parquet $(ALL) \
		--format json --page datasets/replay-all.html >datasets/replay-all.json
	chmod 644 datasets/replay-*

# The policy that ships, from the runs of the two heat maps above.
pretrained: .venv/.test
	$(SUDO) .venv/bin/schedtel agent train build/datasets/heatmap-live build/datasets/heatmap-lab \
		-o schedtel/agent/pretrained/policy.safetensors --examples datasets/examples/heatmaps.parquet
	$(SUDO) chmod 644 schedtel/agent/pretrained/* datasets/examples/*

# The figures of docs/training.md for graphs and periods: an hour of CPU time.
learned: .venv/.test
	scripts/learned build/learned

# What docs/training/ways.md says: 195 runs, and the model of more workers; over half an hour of CPU time, and Ray.
ways: .venv/.test
	$(PIP) install -e '.[ray]'
	.venv/bin/python -m scripts.ways runs datasets/training/ways.csv
	.venv/bin/python -m scripts.ways tables datasets/training/ways.csv
	.venv/bin/python -m scripts.ways scaling

clean:
	rm -rf .venv build dist *.egg-info schedtel/_bpf schedtel/_native

.venv/bin/python:
	scripts/system-packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "schedtel: $(PYTHON) is older than 3.11 (give another: make PYTHON=python3.12 $(MAKECMDGOALS))" >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.env: .venv/bin/python $(SOURCES)
	scripts/system-packages
	$(PIP) install -e .
	@touch $@

.venv/.test: .venv/.env
	scripts/system-packages test
	$(PIP) install -e '.[test]'
	@touch $@

.venv/.bench: .venv/.test
	$(PIP) install -e '.[bench]'
	@touch $@

.venv/.dev: .venv/.env
	$(PIP) install -e '.[dev]'
	@touch $@

.venv/.docs: .venv/.env
	$(PIP) install -e '.[docs]'
	@touch $@
