"""The command `dva train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DvaError
from ..progress import progress_bars
from .options import add_device, chosen_device
from .train_attributes import add_train_attributes

_PACKAGE = Path(__file__).parents[1]


def add_train(commands: Any) -> None:
    subjects = commands.add_parser("train", help="train a model").add_subparsers(required=True, metavar="SUBJECT")
    _add_demo(subjects)
    _add_demo_clip(subjects)
    add_train_attributes(subjects)


def _add_demo(subjects: Any) -> None:
    demo = subjects.add_parser(
        "demo",
        help="make the demo model from nothing (hours)",
        description="Make the demo model from nothing: render faces, train encoders, parser, detector, autoencoder and "
        "judges, find the attribute directions. Every stage is kept, so that the command goes on where it was stopped.",
    )
    for option, default, meaning in (
        ("--folder", Path("runs/demo"), "data, checkpoints and logs (default: runs/demo)"),
        ("--out", _PACKAGE / "weights" / "demo.safetensors", "the bundle (default: the shipped one)"),
        ("--judges", _PACKAGE / "evaluation" / "judges.safetensors", "the evaluation's judges (default: the shipped)"),
    ):
        demo.add_argument(option, metavar="PATH", type=Path, default=default, help=meaning)
    add_device(demo)
    demo.set_defaults(run=_train_demo)


def _add_demo_clip(subjects: Any) -> None:
    clip = subjects.add_parser(
        "demo-clip",
        help="make the demo's CLIP, which text edits are found with, from nothing (ten minutes)",
        description="Make the CLIP that text edits of rendered faces are found with, from nothing: render people "
        "beside siblings with one thing changed, say in captions what is true of them, train, measure on other people. "
        "Every stage is kept, so that the command goes on where it was stopped.",
    )
    weights = _PACKAGE / "weights"
    for option, default, meaning in (
        ("--folder", Path("runs/demo-clip"), "pictures, checkpoint and logs (default: runs/demo-clip)"),
        ("--config", weights / "demo_clip.json", "the architecture, as open_clip's (default: the shipped one)"),
        ("--out", weights / "demo_clip.safetensors", "the weights (default: the shipped ones)"),
    ):
        clip.add_argument(option, metavar="PATH", type=Path, default=default, help=meaning)
    add_device(clip)
    clip.set_defaults(run=_train_demo_clip)


def _train_demo(options: argparse.Namespace) -> None:
    try:
        from ..training.demo import train_demo
    except ImportError as error:
        raise DvaError(f"Training needs {error.name}; install it with: pip install accelerate tensorboard") from error

    with progress_bars() as progress:
        train_demo(options.folder, options.out, options.judges, chosen_device(options), progress=progress)
    print(f"{options.out} and {options.judges} are written. Measure them with: dva eval demo --model {options.out}")


def _train_demo_clip(options: argparse.Namespace) -> None:
    from ..training.clip import train_demo_clip
    from ..training.clip_quality import means_of

    with progress_bars() as progress:
        measured = train_demo_clip(
            options.folder, options.config, options.out, chosen_device(options), progress=progress
        )
    print(f"{options.config} and {options.out} are written. Mean over facts, on people that trained nothing:")
    for level, numbers in means_of(measured).items():
        print(f"  noise level {level:>3}: " + ", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
