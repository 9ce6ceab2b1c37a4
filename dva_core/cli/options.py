"""Options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import DvaError


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="demo", help="name or file of a model bundle (default: demo)")
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps … (default: a GPU where there is one)")


def loaded_model(options: argparse.Namespace) -> Any:
    from ..weights.bundle import load_model

    return load_model(options.model, chosen_device(options))


def chosen_device(options: argparse.Namespace) -> str:
    """The device asked for, or the best there is; DvaError when it cannot be used."""
    import torch

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DvaError(f"The device '{device}' cannot be used here ({str(error).splitlines()[0]}); try cpu.") from error
    return device


def positive(text: str) -> int:
    return _whole_number(text, 1)


def at_least_two(text: str) -> int:
    return _whole_number(text, 2)


def natural(text: str) -> int:
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
    return int(text)
