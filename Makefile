# crossweep: every target sets up .venv by itself the first time. Variables: ARGS="key=value ...", STUDY=name, DIR=folder
VENV   ?= .venv
PYTHON ?= python3
ARGS   ?=
STUDY  ?= landscape_skew_variability
DIR    ?= multirun
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup train landscape tune tolerance resume dashboard device-card report algorithms test test-slow \
        paper-small paper-full paper-report bench gpu-check bench-levelset bench-sweep lint format types arch check clean

help:  ## list all targets
	@echo 'usage: make TARGET [ARGS="device=reram_om algorithm=agad"]'
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

setup: $(READY)  ## make .venv and install crossweep with its development tools

$(READY): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  test -x $(RUN) || uv venv --quiet --python $(PYTHON) $(VENV); \
	  uv pip install --quiet --compile-bytecode --python $(RUN) -e '.[dev]'; \
	else \
	  test -x $(RUN) || $(PYTHON) -m venv $(VENV); \
	  $(RUN) -m pip install --quiet -e '.[dev]'; \
	fi
	@touch $@

train: $(READY)  ## pretrain once, fine-tune with c-TTv2 on crossbars, print the result table
	$(RUN) -m crossweep.train $(ARGS)

landscape: $(READY)  ## the main job: a robustness landscape, ends in multirun/<study>/report.html
	$(RUN) -m crossweep.train -m study=$(STUDY) $(ARGS)

tune: $(READY)  ## search rates of an algorithm on a device: ARGS="algorithm=agad device=reram_om"
	$(RUN) -m crossweep.train -m study=tune $(ARGS)

tolerance: $(READY)  ## each non-ideality alone: where does the loss cross the budget?
	$(RUN) -m crossweep.train -m study=tolerance $(ARGS)

resume: $(READY)  ## go on with STUDY, which must exist
	$(RUN) -m crossweep.train -m study=$(STUDY) study.resume=require $(ARGS)

dashboard: $(READY)  ## optuna-dashboard on STUDY
	@test -x $(VENV)/bin/optuna-dashboard || (command -v uv >/dev/null && uv pip install --quiet --python $(RUN) -e '.[dashboard]' || $(RUN) -m pip install --quiet -e '.[dashboard]')
	$(VENV)/bin/optuna-dashboard multirun/$(STUDY)/study.journal --storage-class JournalFileStorage

device-card: $(READY)  ## what a device paper shows: ARGS="device=reram_om"
	$(RUN) -m crossweep.device_card $(ARGS)

report: $(READY)  ## tables, figures and HTML for DIR=multirun/<study>
	$(RUN) -m crossweep.report $(DIR) $(ARGS)

algorithms: $(READY)  ## every training rule on two small tasks: figures and table in multirun/algorithms/
	$(RUN) -m crossweep.gallery $(ARGS)

paper-small: $(READY)  ## the claims of the reference work on CIFAR, small networks: hours on 2 cores; goes on where it stopped
	for study in tune limits rules micro hybrid offsets tolerance skew_variability retention; do \
	  $(RUN) -m crossweep.train -m study=paper/$$study $(ARGS) || exit $$?; done

paper-full: $(READY)  ## its headline with Swin-T: wants a GPU
	$(RUN) -m crossweep.train -m study=paper/full $(ARGS)

paper-report: $(READY)  ## RESULTS.md, its figures, ALGORITHMS.md's table: from what has run, else from what was saved
	$(RUN) -m crossweep.paper $(ARGS)

test: $(READY)  ## the tests (minutes), one process per core
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto $(ARGS)

test-slow: $(READY)  ## the tests that take long: accuracy orders, coverage, chaos
	$(RUN) -m pytest -m slow $(ARGS)

bench: $(READY)  ## measure the engine: throughput, training steps, memory; table in multirun/bench/
	$(RUN) -m crossweep.bench $(ARGS)

gpu-check:  ## does the engine on the GPU agree with the CPU's, and how fast is it? without a GPU: interpreted, no times
	PYTHONPATH=src $(if $(wildcard $(RUN)),$(RUN),$(PYTHON)) -m crossweep.bench gpu-check

bench-levelset: $(READY)  ## how many trials a map needs: samplers side by side
	$(RUN) tests/benchmarks/levelset.py $(ARGS)

bench-sweep: $(READY)  ## what a trial costs beside its training: 2,000 trivial trials
	$(RUN) tests/benchmarks/sweep_overhead.py $(ARGS)

lint: $(READY)  ## ruff: style and formatting
	$(RUN) -m ruff check src tests
	$(RUN) -m ruff format --check src tests

format: $(READY)  ## let ruff mend style and formatting
	$(RUN) -m ruff check --fix-only src tests
	$(RUN) -m ruff format src tests

types: $(READY)  ## mypy, strict
	$(RUN) -m mypy

arch: $(READY)  ## imports go one way
	$(VENV)/bin/lint-imports

check: lint types arch test  ## everything CI runs

clean:  ## remove .venv and caches; multirun/ is yours and stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist build
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
