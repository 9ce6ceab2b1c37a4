"""The command `dva edit`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DvaError
from ..progress import progress_bars
from .options import add_model, loaded_model, positive


def add_edit(commands: Any) -> None:
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
    edit.add_argument("--batch-size", metavar="N", type=positive, default=8, help="frames at once (default: 8)")
    add_model(edit)
    edit.set_defaults(run=_edit)


def _edit(options: argparse.Namespace) -> None:
    edits = _edits(options.attribute, options.scale or [1.0])
    from ..evaluation.report import table, write_report
    from ..pipeline import edit_video

    model = loaded_model(options)
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
