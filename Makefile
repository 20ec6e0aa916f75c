# Every target makes its own environment in .venv; Python 3.11 or newer, git and make are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test fuzz lint bench clean

demo: $(READY)
	$(BIN)/curate demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2  # one thread for each of the two processes

fuzz: $(READY)
	CURATE_FUZZ=1000 $(BIN)/python -m pytest -q tests/curate/test_tables.py tests/curate/predictions \
		tests/curate/test_npz.py tests/curate/test_damage.py tests/train/test_settings.py tests/cli/test_names.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/step_overhead.py
	$(BIN)/python benchmarks/mixture.py
	$(BIN)/python benchmarks/table.py
	$(BIN)/python benchmarks/input.py
	$(BIN)/python benchmarks/kills.py

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	$(BIN)/python -m pip install -q -e . --group dev
	touch $(READY)

clean:
	rm -rf .venv build *.egg-info
