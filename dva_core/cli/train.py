"""The command `dva train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DvaError
from ..progress import progress_bars
from .options import add_device, chosen_device


def add_train(commands: Any) -> None:
    subjects = commands.add_parser("train", help="train a model").add_subparsers(required=True, metavar="SUBJECT")
    demo = subjects.add_parser(
        "demo",
        help="make the demo model from nothing (hours)",
        description="Make the demo model from nothing: render faces, train encoders, parser, detector, autoencoder and "
        "judges, find the attribute directions. Every stage is kept, so that the command goes on where it was stopped.",
    )
    package = Path(__file__).parents[1]
    for option, default, meaning in (
        ("--folder", Path("runs/demo"), "data, checkpoints and logs (default: runs/demo)"),
        ("--out", package / "weights" / "demo.safetensors", "the bundle (default: the shipped one)"),
        ("--judges", package / "evaluation" / "judges.safetensors", "the evaluation's judges (default: the shipped)"),
    ):
        demo.add_argument(option, metavar="PATH", type=Path, default=default, help=meaning)
    add_device(demo)
    demo.set_defaults(run=_train_demo)


def _train_demo(options: argparse.Namespace) -> None:
    try:
        from ..training.demo import train_demo
    except ImportError as error:
        raise DvaError(f"Training needs {error.name}; install it with: pip install accelerate tensorboard") from error

    with progress_bars() as progress:
        train_demo(options.folder, options.out, options.judges, chosen_device(options), progress=progress)
    print(f"{options.out} and {options.judges} are written. Measure them with: dva eval demo --model {options.out}")
