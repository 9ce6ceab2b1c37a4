"""The command `dva convert`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DvaError


def add_convert(commands: Any) -> None:
    convert = commands.add_parser(
        "convert",
        help="turn the published checkpoint into a model bundle",
        description="Turn the published checkpoint (`dva models get dva-checkpoint dva-classifier`) into a bundle that "
        "every command, function and node opens. Nothing in the checkpoint is run; its numbers stay as they are.",
        epilog="example: dva convert diffusion_video_autoencoder.ckpt dva.safetensors --classifier "
        "diffusion_video_autoencoder_cls.ckpt",
    )
    convert.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="the published video autoencoder (3.5 GB)")
    convert.add_argument("target", metavar="OUT", type=Path, help="the bundle to write, a .safetensors file")
    convert.add_argument(
        "--classifier", metavar="FILE", type=Path,
        help="the published attribute classifier; without it the model can edit no attributes",
    )  # fmt: skip
    convert.add_argument("--half", action="store_true", help="half precision: half the size; the error is printed")
    convert.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
    if options.target.suffix != ".safetensors":
        raise DvaError(f"The bundle must be a .safetensors file, not {options.target}.")
    from ..editing.attributes import CELEBA_ATTRIBUTES
    from ..weights.released import LICENCE, convert_released

    print(f"Reading {options.checkpoint} ...", flush=True)
    done = convert_released(options.checkpoint, options.target, options.classifier, options.half)
    print(f"{len(done.loaded)} EMA weights are taken over.")
    print(f"{len(done.aliased)} aliases of them, {len(done.dead)} unused ones and {done.raw} without EMA are left out.")
    for surprise in done.surprises:
        print(f"Unexpected: {surprise}")
    if options.classifier:
        print(f"{len(CELEBA_ATTRIBUTES)} attributes can be edited.")
    else:
        print("No attributes can be edited: give --classifier for that.")
    for part, error in done.half_error.items():
        print(f"Half precision changes the weights of {part} by {error:.1e} of their size (root mean square).")
    print(f"Licence: {LICENCE}.")
    print(f"{options.target} is written. Use it: dva edit --model {options.target}; or put it into ComfyUI's models/dva.")
