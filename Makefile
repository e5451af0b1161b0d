# make setup | demo | test | lint

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
RUN := runs/digits

.PHONY: setup demo test lint

setup: .venv/.ready
	$(BIN)/python -m compileall -q dlc grammar compiler runtime specs

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[data,dev]'
	touch $@

demo: setup
	rm -rf $(RUN)
	$(BIN)/dlc train specs/vision/digits.dl -o $(RUN)
	$(BIN)/dlc export $(RUN) -o $(RUN)/digits.onnx
	$(BIN)/dlc eval $(RUN)
	$(BIN)/dlc eval $(RUN) --onnx $(RUN)/digits.onnx

test: setup
	$(BIN)/pytest -n 2

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
