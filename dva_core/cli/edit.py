"""The command `dva edit`."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from ..errors import DvaError
from ..progress import progress_bars
from .options import add_model, chosen_device, loaded_model, positive

STEPS, STEPS_AS_PUBLISHED = 20, 100
OWN, AUTO = "model", "auto"


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
        help="how much, once for all attributes or once for each: with the demo model 1 puts it on (default) and -1 "
        "takes it off; with the published model and with --faithful 0.3 is much (and the default)",
    )  # fmt: skip
    edit.add_argument(
        "--steps", metavar="N", type=int,
        help=f"DDIM steps each way (default: {STEPS}; with --faithful {STEPS_AS_PUBLISHED})",
    )  # fmt: skip
    edit.add_argument(
        "--detector", metavar="NAME", default=AUTO,
        help="who finds the face: insightface, insightface-buffalo_s, insightface-antelopev2, facexlib, "
        "facexlib-mobile0.25, or the model's own (model); default: its own, or else the first that is here",
    )  # fmt: skip
    edit.add_argument(
        "--points", metavar="X,Y", type=_point, nargs="+",
        help="instead of a detector, places in the first frame, in pixels: the eye on the left, the eye on the right, "
        "the mouth's corner on the left, the one on the right, and more to steady the motion",
    )  # fmt: skip
    edit.add_argument(
        "--faithful", action="store_true", help="every step as in the published code, for repeating its results"
    )
    edit.add_argument("--jpeg", action="store_true", help="with --faithful: crops pass through a JPEG, as published")
    edit.add_argument("--json", metavar="FILE", type=Path, help="write a report of what was done")
    edit.add_argument("--batch-size", metavar="N", type=positive, default=8, help="frames at once (default: 8)")
    add_model(edit)
    edit.set_defaults(run=_edit)


def _edit(options: argparse.Namespace) -> None:
    if options.jpeg and not options.faithful:
        raise DvaError("--jpeg is a part of --faithful; give both, or neither.")
    if options.points and options.detector != AUTO:
        raise DvaError("--points and --detector exclude each other; give one of them.")
    from ..evaluation.report import table, write_report
    from ..footage import find_face_by_points
    from ..pipeline import check_request, edit_video
    from ..published import edit_video_as_published

    model = loaded_model(options)
    published_unit = options.faithful or not model.attributes.reach_known
    edits = _edits(options.attribute, options.scale or [0.3 if published_unit else 1.0])
    steps = options.steps or (STEPS_AS_PUBLISHED if options.faithful else STEPS)
    check_request(model, options.source, options.target, edits, steps)
    detector = None if options.points else _detector(options, model)
    with progress_bars() as bars:
        track = find_face_by_points(options.source, options.points, progress=bars) if options.points else None
        found = {"detector": detector, "track": track, "batch_size": options.batch_size, "progress": bars}
        if options.faithful:
            result = edit_video_as_published(
                model, options.source, options.target, edits, steps, jpeg=options.jpeg, **found
            )
        else:
            result = edit_video(model, options.source, options.target, edits, steps, **found)
    seconds = {stage: round(spent, 2) for stage, spent in result.seconds.items()}
    report = {
        "source": str(options.source),
        "target": str(options.target),
        "model": model.name,
        "edits": edits,
        "steps": steps,
        "faithful": options.faithful,
        "frames": len(result.track.valid),
        "frame_rate": str(result.track.frame_rate),
        "width": result.track.width,
        "height": result.track.height,
        "frames_without_face": result.frames_without_face,
        "new_shots_at": list(result.cuts),
        "seconds": seconds,
    }
    if options.json:
        write_report(report, options.json)
    missing = result.frames_without_face
    rows = [(f"seconds, {stage}", spent) for stage, spent in seconds.items()]
    print(table([*rows, ("frames", report["frames"]), ("frames without the face, unchanged", len(missing))]))
    if result.cuts:
        print(f"New shots begin at frames {', '.join(map(str, result.cuts))}; one person in one of them was edited.")
    print(f"{options.target} is written.")


def _detector(options: argparse.Namespace, model: Any) -> Any:
    """The detector asked for; None means the model's own."""
    name = options.detector
    if name == OWN or (name == AUTO and model.config.detector):
        return None
    from ..detectors import installed_detector, load_detector

    name = installed_detector() if name == AUTO else name
    return load_detector(name, device=chosen_device(options))


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


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise argparse.ArgumentTypeError(f"{text!r} is no place such as 120,85")
    return x, y
