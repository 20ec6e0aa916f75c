# Every target makes its own environment in .venv; Python 3.11 or newer, git and make are enough.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
# The optional parts of pyproject.toml that are installed, and tested.
EXTRAS := train encoders lightning transformers tensorboard mlflow wandb trackio remote ray view
UV := $(BIN)/uv pip
TEST := -m pytest -q -n 3 --dist worksteal
SHORT := -m "not long"

.PHONY: demo docs check test test-long fuzz lint test-lowest test-newest test-torch constraints bench clean

demo: $(READY)
	$(BIN)/curate demo

test: $(READY)
	$(BIN)/python $(TEST) $(SHORT)

# The documentation, as pages to open: build/site/index.html. A warning is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The same checks on the methods, forms and data sets that `make test` leaves out: before a release. PARTS as below.
test-long: $(READY)
	$(BIN)/python $(TEST) -m long $(PARTS)

# Style, types, and the quick tests of the parts in which something was changed: what to run while working.
CHANGED = $(shell { git diff --name-only HEAD; git ls-files --others --exclude-standard; } | \
	sed -nE 's,^(curate|train)/([a-z]+)/.*,tests/\1/\2,p; s,^tests/([a-z]+)/([a-z]+)/.*,tests/\1/\2,p' | sort -u)
check: lint
	$(BIN)/python $(TEST) -m 'not slow and not long' --maxfail=5 tests/test_layers.py $(wildcard $(CHANGED))

fuzz: $(READY)
	CURATE_FUZZ=1000 $(BIN)/python -m pytest -q tests/curate/files/test_tables.py tests/curate/predictions \
		tests/curate/files/test_npz.py tests/curate/store/test_damage.py tests/train/methods/test_settings.py tests/cli/test_names.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

# What needs no model, without torch: with the lowest versions that pyproject.toml declares, and with the newest.
# PARTS names folders of tests; all of them where it is not given.
test-lowest test-newest: test-%: .venv-%/.ready
	@echo "== $* versions, without torch:"
	@$(UV) freeze -q --exclude-editable --python .venv-$* | paste -sd ' '
	.venv-$*/bin/python $(TEST) $(SHORT) $(PARTS)

.venv-lowest/.ready: RESOLUTION := lowest-direct
.venv-newest/.ready: RESOLUTION := highest
.venv-lowest/.ready .venv-newest/.ready: .venv-%/.ready: $(READY)
	$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-$*
	$(UV) install -q --python .venv-$* --resolution $(RESOLUTION) --only-binary :all: -e . --group test
	touch $@

# `curate.torch` alone, with another torch and without torchvision and torchaudio: make test-torch TORCH=2.4.1
TORCH ?= 2.4.1
test-torch: $(READY)
	$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-torch
	$(UV) install -q --python .venv-torch --only-binary :all: torch==$(TORCH) -e . --group test
	.venv-torch/bin/python -m pytest -q tests/curate/torch

# Renews the versions that every other target installs: one of each package, for all Pythons from the oldest on.
constraints: $(BIN)/uv
	$(UV) compile -q --upgrade --universal --fork-strategy fewest --python-version 3.11 --only-binary :all: \
		--no-header --no-annotate \
		$(EXTRAS:%=--extra %) --group dev -o .venv/constraints.txt pyproject.toml
	sed 's/ *;.*//' .venv/constraints.txt > constraints.txt

bench: $(READY)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/step_overhead.py
	$(BIN)/python benchmarks/mixture.py
	$(BIN)/python benchmarks/table.py
	$(BIN)/python benchmarks/input.py
	$(BIN)/python benchmarks/processes.py
	$(BIN)/python benchmarks/recorder.py
	$(BIN)/python benchmarks/view.py
	$(BIN)/python benchmarks/kills.py
	$(BIN)/python benchmarks/kills.py --kills 20 --processes 2
	$(BIN)/python benchmarks/lost.py
	$(BIN)/python benchmarks/cluster.py

$(BIN)/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --constraint constraints.txt uv

# Compiled once here: each process would do it again where Python is told not to write bytecode, as in many containers.
$(READY): pyproject.toml constraints.txt $(BIN)/uv
	$(UV) install -q --compile-bytecode --python $(BIN)/python --constraint constraints.txt --build-constraint constraints.txt \
		-e . -r pyproject.toml $(EXTRAS:%=--extra %) --group dev
	touch $(READY)

clean:
	rm -rf .venv .venv-lowest .venv-newest .venv-torch build *.egg-info
