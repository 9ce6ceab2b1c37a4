# make demo   sets up .venv and edits the shipped clip into out/demo/
# make test   sets up .venv and runs the tests        make lint   checks style
#
# TORCH is what pip installs as PyTorch. Without an NVIDIA GPU this saves several gigabytes:
#   make demo TORCH="torch --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
TORCH  ?= torch
STAMP  := .venv/.installed

.PHONY: demo test lint

demo: $(STAMP)
	.venv/bin/dva demo --out out/demo

test: $(STAMP)
	.venv/bin/python -m pytest

lint: $(STAMP)
	.venv/bin/ruff check .

$(STAMP): pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install $(TORCH)
	.venv/bin/pip install --editable ".[train,test]"
	touch $@
