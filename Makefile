# make setup | demo | test | lint | zoo | peers | bench

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PEERS := .venv-peers/bin
RUN := runs/digits
FAMILY ?=
NEEDED := click networkx numpy pydantic-core pygments rich safetensors
BENCH ?= $(basename $(notdir $(wildcard bench/export.py bench/infer.py bench/recurrent.py bench/train.py)))

.PHONY: setup demo test lint zoo peers bench

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

# Trains every model and writes specs/README.md; FAMILY=recurrent for a part.
zoo: setup
	$(BIN)/python -m zoo $(FAMILY)

# What the tests do not need: the models and tools that dlc is compared with.
.venv-peers/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-peers
	$(PEERS)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[data,dev,peers]'
	touch $@

peers: .venv-peers/.ready
	$(PEERS)/pytest peers

# onnxruntime with OpenVINO's provider, which is a package of its own that takes the place of onnxruntime's.
.venv-openvino/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-openvino
	.venv-openvino/bin/python -m pip install --quiet --disable-pip-version-check onnxruntime-openvino $(NEEDED)
	.venv-openvino/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

# Timings against others, one script a question; BENCH=infer for one of them.
bench: .venv-peers/.ready .venv-openvino/.ready
	for question in $(BENCH); do $(PEERS)/python -m bench.$$question || exit 1; done
