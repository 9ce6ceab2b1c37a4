"""The command `dva`. PyTorch is imported by the commands that need it, so that `dva --help` answers at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import DvaError
from .progress import progress_bars

INTERRUPTED, WRONG_INPUT = 130, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 2 for input that the user can mend, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("dva: interrupted", file=sys.stderr)
        return INTERRUPTED
    except DvaError as error:
        print(f"dva: {error}", file=sys.stderr)
        return WRONG_INPUT
    except OSError as error:
        print(f"dva: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return WRONG_INPUT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dva", description="Edit who is seen in a face video and keep how they move (Kim et al., CVPR 2023)."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_edit(commands)
    _add_demo(commands)
    _add_eval(commands)
    _add_train(commands)
    _add_info(commands)
    return parser


def _add_edit(commands: Any) -> None:
    edit = commands.add_parser(
        "edit",
        help="edit the face in a video",
        description="Edit the face in a video file or a folder of pictures. The sound and the frame rate are kept.",
        epilog="example: dva edit talk.mp4 talk-glasses.mp4 --attribute Eyeglasses --scale 1.0",
    )
    edit.add_argument("source", metavar="IN", type=Path, help="a video file, or a folder of pictures")
    edit.add_argument("target", metavar="OUT", type=Path, help="an .mp4 file, or a folder (without an ending) for PNGs")
    edit.add_argument(
        "--attribute", metavar="NAME", action="append", required=True,
        help="CelebA attribute to change; may be given several times (`dva info` lists those of a model)",
    )  # fmt: skip
    edit.add_argument(
        "--scale", metavar="S", type=float, action="append",
        help="1 puts it on (default), -1 takes it off; once for all attributes, or once for each",
    )  # fmt: skip
    edit.add_argument("--steps", metavar="N", type=int, default=20, help="DDIM steps each way (default: 20)")
    edit.add_argument("--json", metavar="FILE", type=Path, help="write a report of what was done")
    edit.add_argument("--batch-size", metavar="N", type=_positive, default=8, help="frames at once (default: 8)")
    _add_model(edit)
    edit.set_defaults(run=_edit)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="edit the shipped clip and measure the result",
        description="Edit the shipped clip; write edited.mp4, comparison.mp4, sheet.png and report.json.",
    )
    demo.add_argument("--out", metavar="FOLDER", type=Path, default=Path("out/demo"), help="default: out/demo")
    _add_model(demo)
    demo.set_defaults(run=_demo)


def _add_eval(commands: Any) -> None:
    subjects = commands.add_parser("eval", help="measure a model").add_subparsers(required=True, metavar="SUBJECT")
    demo = subjects.add_parser(
        "demo",
        help="on rendered people that it has never seen",
        description="Measure a model on rendered people that it has never seen, against the renderer's own truth.",
    )
    demo.add_argument("--clips", metavar="N", type=_positive, default=20, help="number of people (default: 20)")
    demo.add_argument("--frames", metavar="N", type=_at_least_two, default=32, help="frames of each (default: 32)")
    demo.add_argument("--seed", metavar="N", type=_natural, default=0, help="another number chooses other people")
    demo.add_argument("--json", metavar="FILE", type=Path, help="write every number and how it was made")
    demo.add_argument("--batch-size", metavar="N", type=_positive, default=8, help="frames at once (default: 8)")
    _add_model(demo)
    demo.set_defaults(run=_eval_demo)


def _add_train(commands: Any) -> None:
    subjects = commands.add_parser("train", help="train a model").add_subparsers(required=True, metavar="SUBJECT")
    demo = subjects.add_parser(
        "demo",
        help="make the demo model from nothing (hours)",
        description="Make the demo model from nothing: render faces, train encoders, parser, detector, autoencoder and "
        "judges, find the attribute directions. Every stage is kept, so that the command goes on where it was stopped.",
    )
    package = Path(__file__).parent
    for option, default, meaning in (
        ("--folder", Path("runs/demo"), "data, checkpoints and logs (default: runs/demo)"),
        ("--out", package / "weights" / "demo.safetensors", "the bundle (default: the shipped one)"),
        ("--judges", package / "evaluation" / "judges.safetensors", "the evaluation's judges (default: the shipped)"),
    ):
        demo.add_argument(option, metavar="PATH", type=Path, default=default, help=meaning)
    _add_device(demo)
    demo.set_defaults(run=_train_demo)


def _add_info(commands: Any) -> None:
    info = commands.add_parser("info", help="say what a model is and what it can edit")
    _add_model(info)
    info.set_defaults(run=_info)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="demo", help="name or file of a model bundle (default: demo)")
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps … (default: a GPU where there is one)")


def _edit(options: argparse.Namespace) -> None:
    edits = _edits(options.attribute, options.scale or [1.0])
    from .evaluation.report import table, write_report
    from .pipeline import edit_video

    model = _load_model(options)
    with progress_bars() as bars:
        result = edit_video(
            model, options.source, options.target, edits, options.steps, batch_size=options.batch_size, progress=bars
        )
    seconds = {stage: round(spent, 2) for stage, spent in result.seconds.items()}
    report = {
        "source": str(options.source),
        "target": str(options.target),
        "model": model.name,
        "edits": edits,
        "steps": options.steps,
        "frames": len(result.track.valid),
        "frame_rate": str(result.track.frame_rate),
        "width": result.track.width,
        "height": result.track.height,
        "frames_without_face": result.frames_without_face,
        "seconds": seconds,
    }
    if options.json:
        write_report(report, options.json)
    missing = result.frames_without_face
    rows = [(f"seconds, {stage}", spent) for stage, spent in seconds.items()]
    print(table([*rows, ("frames", report["frames"]), ("frames without a face, unchanged", len(missing))]))
    print(f"{options.target} is written.")


def _demo(options: argparse.Namespace) -> None:
    from . import showcase
    from .evaluation.judges import load_judges
    from .evaluation.report import table

    model = _load_model(options)
    with progress_bars() as bars:
        report = showcase.run(model, load_judges(), options.out, progress=bars)
    print(table(showcase.table_rows(report)))
    print(f"Look at {options.out / 'sheet.png'} and play {options.out / 'comparison.mp4'}.")


def _eval_demo(options: argparse.Namespace) -> None:
    from .evaluation.demo import evaluate
    from .evaluation.judges import load_judges
    from .evaluation.report import target_table, write_report

    model = _load_model(options)
    with progress_bars() as bars:
        report = evaluate(
            model, load_judges(), options.clips, options.frames, options.seed,
            batch_size=options.batch_size, progress=bars,
        )  # fmt: skip
    if options.json:
        write_report(report, options.json)
    print(target_table(report))


def _train_demo(options: argparse.Namespace) -> None:
    try:
        from .training.demo import train_demo
    except ImportError as error:
        raise DvaError(f"Training needs {error.name}; install it with: pip install 'comfyui-dva[train]'") from error

    with progress_bars() as progress:
        train_demo(options.folder, options.out, options.judges, _device(options), progress=progress)
    print(f"{options.out} and {options.judges} are written. Measure them with: dva eval demo --model {options.out}")


def _info(options: argparse.Namespace) -> None:
    from .evaluation.report import table
    from .weights.bundle import about_model

    model, about = _load_model(options), about_model(options.model)
    size = model.config.image_size
    print(
        table(
            [
                ("model", model.name),
                ("device", str(model.device)),
                ("face crops", f"{size} x {size} px"),
                ("parameters", f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million"),
            ]
        )
    )
    print(f"Licence: {about['licence']}; {about['provenance']}.")
    print("It can edit: " + ", ".join(model.attributes.names))


def _load_model(options: argparse.Namespace) -> Any:
    from .weights.bundle import load_model

    return load_model(options.model, _device(options))


def _device(options: argparse.Namespace) -> str:
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


def _edits(attributes: list[str], scales: list[float]) -> dict[str, float]:
    if len(set(attributes)) < len(attributes):
        raise DvaError("An attribute is named twice; give each --attribute once.")
    if len(scales) == 1:
        scales = scales * len(attributes)
    if len(scales) != len(attributes):
        raise DvaError(
            f"There are {len(attributes)} attributes but {len(scales)} scales; give --scale once, or once for each."
        )
    return dict(zip(attributes, scales, strict=True))


def _positive(text: str) -> int:
    return _whole_number(text, 1)


def _at_least_two(text: str) -> int:
    return _whole_number(text, 2)


def _natural(text: str) -> int:
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
    return int(text)
