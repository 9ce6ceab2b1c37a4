"""The command `dva convert`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DvaError
from ..weights import places
from ..weights.registry import PUBLISHED_BUNDLE, weight


def add_convert(commands: Any) -> None:
    convert = commands.add_parser(
        "convert",
        help="turn the published checkpoint into a model bundle",
        description="Turn the published checkpoint (`dva models get dva-checkpoint dva-classifier`) into a bundle that "
        "every command, function and node opens. Nothing in the checkpoint is run; its numbers stay as they are. "
        "Without arguments, takes what `dva models get` fetched and writes where all look.",
        epilog="example: dva convert last.ckpt dva.safetensors --classifier classifier.ckpt",
    )
    convert.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=Path, nargs="?", help="the published video autoencoder (3.5 GB)"
    )
    convert.add_argument(
        "target", metavar="OUT", type=Path, nargs="?",
        help="the bundle to write (default, without CHECKPOINT: "
        f"dva/{PUBLISHED_BUNDLE}.safetensors in the models folder)",
    )  # fmt: skip
    convert.add_argument(
        "--classifier", metavar="FILE", type=Path,
        help="the published attribute classifier, whose directions are the edits (default: the one that was fetched)",
    )  # fmt: skip
    convert.add_argument("--half", action="store_true", help="half precision: half the size; the error is printed")
    convert.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
    if options.checkpoint and not options.target:
        raise DvaError("Name the bundle to write too, as in: dva convert last.ckpt dva.safetensors.")
    checkpoint = options.checkpoint or places.require("dva-checkpoint", needed_for="dva convert")
    classifier = options.classifier or places.find(weight("dva-classifier"))
    target = options.target or places.models_folder() / "dva" / f"{PUBLISHED_BUNDLE}.safetensors"
    if target.suffix != ".safetensors":
        raise DvaError(f"The bundle must be a .safetensors file, not {target}.")
    for name, path in (("dva-checkpoint", checkpoint), ("dva-classifier", classifier)):
        if path and path == places.find(weight(name)):
            places.check(weight(name), path)
    from ..editing.attributes import CELEBA_ATTRIBUTES
    from ..weights.released import LICENCE, convert_released

    print(f"Reading {checkpoint} and {classifier or 'no classifier'}", flush=True)
    done = convert_released(checkpoint, target, classifier, options.half)
    print(f"{len(done.loaded)} EMA weights are taken over.")
    print(f"{len(done.aliased)} aliases of them, {len(done.dead)} unused ones and {done.raw} without EMA are left out.")
    for surprise in done.surprises:
        print(f"Unexpected: {surprise}")
    if classifier:
        print(f"{len(CELEBA_ATTRIBUTES)} attributes can be edited.")
    else:
        print("No attributes can be edited: fetch dva-classifier, or give --classifier, and convert again.")
    for part, error in done.half_error.items():
        print(f"Half precision changes the weights of {part} by {error:.1e} of their size (root mean square).")
    print(f"Licence: {LICENCE}.")
    known = target == places.bundle_path(target.name)
    print(f"{target} is written. Use it: dva edit --model {target.stem if known else target}")
