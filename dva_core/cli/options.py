"""Options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import math
from typing import Any

from ..errors import DvaError
from ..progress import Progress

OWN, AUTO = "model", "auto"
PRECISIONS = ("float32", "bfloat16", "float16")
SOLVERS, STEPS = ("residual", "ddim", "o_belm", "fixed_point"), 10
"""Those of `dva_core.diffusion`, and its default: here as well, because that loads torch."""


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="demo", help="name or file of a model bundle (default: demo)")
    add_device(parser)


def add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=PRECISIONS[0],
        help="of the noise estimator: bfloat16 is about twice as fast on processors and GPUs that know it, and nothing "
        "is lost where nothing is edited (default: float32)",
    )  # fmt: skip


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps … (default: a GPU where there is one)")


def add_detector(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--detector", metavar="NAME", default=AUTO,
        help="who finds the face: insightface, insightface-buffalo_s, insightface-antelopev2, facexlib, "
        "facexlib-mobile0.25, or the model's own (model); default: its own, or else the first that is here",
    )  # fmt: skip


def add_points(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--points", metavar="X,Y", type=_point, nargs="+",
        help="instead of a detector, places in the first frame, in pixels: the eye on the left, the eye on the right, "
        "the mouth's corner on the left, the one on the right, and more to steady the motion",
    )  # fmt: skip


def add_overwrite(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--overwrite", action="store_true", help=what)


def add_steps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steps", metavar="N", type=positive, default=STEPS, help=f"diffusion steps each way (default: {STEPS})"
    )


def add_solver(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--solver", choices=SOLVERS, default=SOLVERS[0],
        help="how the steps are walked: residual loses nothing at any number of steps (default), ddim is the published "
        "way, the others are for comparison",
    )  # fmt: skip


def add_preserve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preserve", metavar="NAME", nargs="+", default=[], help="CelebA attributes that the edit must not move"
    )


def loaded_model(options: argparse.Namespace) -> Any:
    import torch

    from ..weights.bundle import load_model

    precision = getattr(options, "precision", PRECISIONS[0])
    return load_model(options.model, chosen_device(options), getattr(torch, precision))


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


def check_points(options: argparse.Namespace) -> None:
    """DvaError when the face is to be found in two ways at once."""
    if options.points and options.detector != AUTO:
        raise DvaError("--points and --detector exclude each other; give one of them.")


def chosen_detector(options: argparse.Namespace, model: Any) -> Any:
    """The detector asked for; None means the model's own."""
    name = options.detector
    if name == OWN or (name == AUTO and model.config.detector):
        return None
    from ..detectors import installed_detector, load_detector

    name = installed_detector() if name == AUTO else name
    return load_detector(name, device=chosen_device(options))


def chosen_track(options: argparse.Namespace, progress: Progress) -> tuple[Any, tuple[int, ...]]:
    """The face followed by the points of `options.source`, and where new shots begin; None without points."""
    if not options.points:
        return None, ()
    from ..footage import find_face_by_points

    return find_face_by_points(options.source, options.points, progress=progress)


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


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise argparse.ArgumentTypeError(f"{text!r} is no place such as 120,85")
    return x, y
