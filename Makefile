# Everything runs in .venv/: py310 has NNabla and all extras, new is the newest other CPython without, torch one
# with a CPU build of PyTorch, demo what separating needs on any Python, docs what makes the site.
# Variables: PYTHON310, PYTHON_NEW, PYTHON (interpreters, found by themselves), WORKERS (of pytest), ARGS.

# Three for two cores: many tests wait for processes that they have started.
WORKERS ?= 3
PY310 := .venv/py310/bin/python
NEW := .venv/new/bin/python
TORCH := .venv/torch/bin/python

# One thread a worker: the workers share the cores. Paths of the user's Python do not leak in; bytecode is
# kept, as each of the many processes would make it again.
TEST_ENV := env -u PYTHONPATH -u PYTHONHOME -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PYTEST := -m pytest -n $(WORKERS) --dist worksteal

export PYTHON310 PYTHON_NEW PYTHON

.PHONY: help demo docs setup setup-310 setup-new setup-torch setup-programs lint house test test-310 test-new test-torch bench bench-all gpu-pins gpu-check clean

help: ## list these targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: ## separate a song that comes with xumx, and open a page to listen to the stems; ARGS="--seed 3" composes another
	@sh tools/make_venv.sh .venv/demo any '-e .[synth]'
	@.venv/demo/bin/python -m xumx.demo song $(ARGS)

setup: ## make the environments
	@$(MAKE) --no-print-directory -j2 setup-310 setup-new setup-torch

setup-310:
	@sh tools/make_venv.sh .venv/py310 3.10 '-e .[dev]'
	@$(PY310) -c 'import pyworld' 2>/dev/null || $(PY310) -m pip install -qq '.[voices]' \
		|| echo 'pyworld cannot be built (no C++ compiler?): tests of spoken voices are skipped'

setup-new:
	@sh tools/make_venv.sh .venv/new new '-e .[test,broker]'

# The oldest Python, as PyTorch may not have a build for the newest yet.
# The local version makes sure that it is a CPU build: the plain one brings gigabytes of CUDA on Linux.
# openunmix without its dependencies: of torchaudio it needs the name only.
setup-torch:
	@INDEX=https://download.pytorch.org/whl/cpu sh tools/make_venv.sh .venv/torch old \
		torch==2.13.0+cpu '-e .[test,torch]' '--no-deps openunmix==1.3.0'

setup-programs: setup-310
	@sh tools/need_ffmpeg.sh
	@sh tools/need_chromium.sh $(PY310)
	@sh tools/need_redis.sh
	@sh tools/need_timbres.sh $(PY310)

lint: setup-310 ## ruff and mypy
	$(PY310) -m ruff check .
	$(PY310) -m mypy

house: ## measure the house: rooms, the imports between them, what has grown too long
	@"$$(sh tools/find_python.sh any | head -n 1)" tools/house.py $(ARGS)

test: ## lint, separation on the newest Python, conversion, then the rest on 3.10 (conftest.py: ANYWHERE)
	@$(MAKE) --no-print-directory -j2 setup-310 setup-new setup-torch setup-programs
	@$(MAKE) --no-print-directory -j1 lint test-new test-torch
	@XUMX_TESTS=rest $(MAKE) --no-print-directory test-310

test-new: setup-new setup-programs ## separation and the web application on the newest Python, without NNabla
	$(TEST_ENV) $(NEW) $(PYTEST) $(ARGS)

test-torch: setup-torch ## weights and STFT against PyTorch's
	$(TEST_ENV) $(TORCH) $(PYTEST) tests/network/pytorch tests/signal/test_stft.py tests/signal/test_filter_gradient.py $(ARGS)

test-310: setup-310 setup-programs ## the whole suite on Python 3.10; ARGS="-k wiener" chooses
	$(TEST_ENV) $(PY310) $(PYTEST) $(ARGS)

gpu-pins: setup-310 ## whether the extra gpu brings all that NNabla's extension is linked to (125 MB)
	$(PY310) tools/gpu_pins.py

gpu-check: setup-310 ## what a GPU computes and how fast, against the CPU; ARGS=--dry says what it would check
	$(PY310) bench/gpu.py $(ARGS)

# An environment of the extra `docs` alone: mkdocstrings reads the code, and does not import it.
docs: ## the documentation as a site, in build/site; a link or an anchor that leads nowhere is an error
	@sh tools/make_venv.sh .venv/docs any $$(sed -n '/^docs = \[/,/^]/s/^ *"\([^"]*\)".*/\1/p' pyproject.toml)
	@NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs build --strict --quiet
	@echo "open build/site/index.html, or for the search: python -m http.server -d build/site"

bench: setup-310 ## separation against Sony's code and Open-Unmix: bench/separate.py
	$(PY310) bench/separate.py $(ARGS)

bench-all: setup-310 ## all benchmarks, and their page in docs/performance.md; ARGS=--quick, ARGS="--only page"
	$(PY310) bench/all.py $(ARGS)

clean: ## remove environments and caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
