# make demo   sets up .venv and edits the shipped clip into out/demo/
# make test   sets up .venv and runs the tests        make lint   checks style
#
# TORCH is what pip installs as PyTorch. Without an NVIDIA GPU this saves several gigabytes:
#   make demo TORCH="torch torchvision --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
TORCH  ?= torch

.PHONY: demo test lint

demo: .venv/.installed
	.venv/bin/dva demo --out out/demo

test: .venv/.installed-all
	.venv/bin/python -m pytest

lint: .venv/.installed-all
	.venv/bin/ruff check .

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install $(TORCH)
	.venv/bin/pip install --editable .
	touch $@

# The tests run the libraries for real faces too.
.venv/.installed-all: .venv/.installed
	.venv/bin/pip install --editable ".[train,real,test]"
	touch $@
