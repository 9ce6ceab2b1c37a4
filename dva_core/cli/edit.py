"""The command `dva edit`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DvaError
from ..progress import progress_bars
from .options import (
    SOLVERS,
    STEPS,
    add_detector,
    add_model,
    add_overwrite,
    add_points,
    add_precision,
    add_preserve,
    add_solver,
    check_points,
    chosen_detector,
    chosen_track,
    loaded_model,
    positive,
)
from .text import add_text, asked_text, check_text, text_report

STEPS_AS_PUBLISHED, AS_PUBLISHED = 100, "ddim"
INTERPOLATIONS = ("smooth", "linear")


def add_edit(commands: Any) -> None:
    edit = commands.add_parser(
        "edit",
        help="edit the face in a video",
        description="Edit the face in a video file or a folder of pictures. The sound and the frame rate are kept.",
        epilog="examples: dva edit talk.mp4 talk-glasses.mp4 --attribute Eyeglasses --scale 1.0; "
        'dva edit talk.mp4 talk-hat.mp4 --text "face" "face with a hat"',
    )
    edit.add_argument("source", metavar="IN", type=Path, help="a video file, or a folder of pictures")
    edit.add_argument("target", metavar="OUT", type=Path, help="an .mp4 file, or a folder (without an ending) for PNGs")
    edit.add_argument(
        "--attribute", metavar="NAME", action="append", default=[],
        help="CelebA attribute to change; may be given several times (`dva info` lists those of a model)",
    )  # fmt: skip
    edit.add_argument(
        "--scale", metavar="S", type=float, action="append",
        help="how much, once for all attributes or once for each: with the demo model 1 puts it on (default) and -1 "
        "takes it off; with the published model and with --faithful 0.3 is much (and the default)",
    )  # fmt: skip
    add_text(edit)
    add_preserve(edit)
    edit.add_argument(
        "--curve", metavar="FRAME:S,...",
        help="let the edit come and go: 0:0,24:1 grows from nothing in frame 0 to all of --scale in frame 24, and "
        "stays; frames are counted from 0",
    )  # fmt: skip
    edit.add_argument(
        "--interpolation", choices=INTERPOLATIONS,
        help=f"how --curve goes from frame to frame (default: {INTERPOLATIONS[0]}, slow at both ends)",
    )  # fmt: skip
    edit.add_argument(
        "--steps", metavar="N", type=positive,
        help=f"diffusion steps each way (default: {STEPS}; with --faithful {STEPS_AS_PUBLISHED})",
    )  # fmt: skip
    add_solver(edit)
    edit.set_defaults(solver=None)  # so that one that was asked for can be told
    edit.add_argument(
        "--detail-in-head", metavar="SHARE", type=float,
        help="how much of the source's detail the head keeps, 0 to 1, instead of all where the edit changes nothing: "
        "less when something large is to go and leaves a ghost",
    )  # fmt: skip
    add_detector(edit)
    add_points(edit)
    edit.add_argument(
        "--faithful", action="store_true", help="every step as in the published code, for repeating its results"
    )
    edit.add_argument("--jpeg", action="store_true", help="with --faithful: crops pass through a JPEG, as published")
    edit.add_argument("--json", metavar="FILE", type=Path, help="write a report of what was done")
    add_overwrite(edit, "replace OUT, or an unfinished run towards it")
    edit.add_argument("--batch-size", metavar="N", type=positive, default=8, help="frames at once (default: 8)")
    add_model(edit)
    add_precision(edit)
    edit.set_defaults(run=_edit)


def _edit(options: argparse.Namespace) -> None:
    _check(options)
    from .. import video
    from ..files import check_not_there, check_writable
    from ..run_folder import check_target

    if options.faithful:
        video.check_output(options.target, options.source)
        check_not_there(options.target, options.overwrite)
    else:
        check_target(options.target, options.source, options.overwrite)
    from ..editing.timeline import read_curve
    from ..evaluation.report import table, write_report
    from ..published import edit_video_as_published
    from ..video_edit import check_request, edit_video

    curve = None
    if options.curve is not None:
        curve = read_curve(options.curve, options.interpolation or INTERPOLATIONS[0])
    model = loaded_model(options)
    published_unit = options.faithful or not model.attributes.reach_known
    edits = _edits(options.attribute, options.scale or [0.3 if published_unit else 1.0])
    steps = options.steps or (STEPS_AS_PUBLISHED if options.faithful else STEPS)
    solver = options.solver or (AS_PUBLISHED if options.faithful else SOLVERS[0])
    with progress_bars() as bars:
        text = asked_text(options, model, bars)
        check_request(
            model, options.source, None, edits, steps, solver, options.preserve, text.shifts, options.detail_in_head
        )  # fmt: skip
        for path in filter(None, (options.json, options.save_shift)):
            check_writable(path)
        detector = None if options.points else chosen_detector(options, model)
        track, cuts = chosen_track(options, bars)
        request = (model, options.source, options.target, edits, steps)
        found = {
            "shifts": text.shifts, "detector": detector, "track": track, "batch_size": options.batch_size,
            "overwrite": options.overwrite, "progress": bars,
        }  # fmt: skip
        if options.faithful:
            result = edit_video_as_published(*request, jpeg=options.jpeg, **found)
        else:
            result = edit_video(
                *request, solver, preserve=options.preserve, curve=curve,
                detail_in_head=options.detail_in_head, resumed=_tell_resumed, **found,
            )  # fmt: skip
    if options.save_shift and not text.losses:  # found by an earlier run
        result.shifts[-1][0].save(options.save_shift)
    report = _report(options, model.name, result, curve) | {
        "edits": edits,
        "text": text_report(options, text, result.shifts),
        "steps": steps,
        "solver": solver,
        "new_shots_at": list(cuts or result.cuts),
    }
    if options.json:
        write_report(report, options.json)
    rows = [(f"seconds, {stage}", took) for stage, took in report["seconds"].items()]
    if text.losses:
        rows += [("text edit, iterations", len(text.losses)), ("text edit, similarity", text.losses[-1].similarity)]
    missing = len(report["frames_without_face"])
    print(table([*rows, ("frames", report["frames"]), ("frames without the face, unchanged", missing)]))
    if report["new_shots_at"]:
        shots = ", ".join(map(str, report["new_shots_at"]))
        print(f"New shots begin at frames {shots}; one person in one of them was edited.")
    print(f"{options.target} is written.")


def _report(options: argparse.Namespace, model: str, result: Any, curve: Any) -> dict[str, Any]:
    """What was asked for and what was found, but for what `_edit` alone knows."""
    return {
        "source": str(options.source),
        "target": str(options.target),
        "model": model,
        "preserve": options.preserve,
        "curve": None if curve is None else {"keys": curve.keys, "interpolation": curve.interpolation},
        "precision": options.precision,
        "faithful": options.faithful,
        "frames": len(result.track.valid),
        "frame_rate": str(result.track.frame_rate),
        "width": result.track.width,
        "height": result.track.height,
        "frames_without_face": result.frames_without_face,
        "frames_resumed": 0 if options.faithful else result.frames_resumed,
        "seconds": {stage: round(took, 2) for stage, took in result.seconds.items()},
    }


def _tell_resumed(done: int, total: int) -> None:
    print(f"Going on with an unfinished run: {done} of {total} frames are done.", flush=True)


def _check(options: argparse.Namespace) -> None:
    """DvaError when options do not fit each other."""
    if options.jpeg and not options.faithful:
        raise DvaError("--jpeg is a part of --faithful; give both, or neither.")
    if options.faithful and (options.preserve or options.curve is not None):
        raise DvaError("The published method has neither --preserve nor --curve; leave them out, or --faithful.")
    if options.faithful and (options.solver not in (None, AS_PUBLISHED) or options.detail_in_head is not None):
        raise DvaError(
            f"The published method has neither --detail-in-head nor a --solver but {AS_PUBLISHED}; leave them out, or "
            "--faithful."
        )
    if options.interpolation and options.curve is None:
        raise DvaError("--interpolation says how a --curve goes; give one, or leave it out.")
    if options.scale and not options.attribute:
        raise DvaError("--scale belongs to --attribute; a text edit has --text-scale.")
    check_text(options)
    check_points(options)


def _edits(attributes: list[str], scales: list[float]) -> dict[str, float]:
    if not attributes:
        return {}
    if len(set(attributes)) < len(attributes):
        raise DvaError("An attribute is named twice; give each --attribute once.")
    if len(scales) == 1:
        scales = scales * len(attributes)
    if len(scales) != len(attributes):
        raise DvaError(
            f"There are {len(attributes)} attributes but {len(scales)} scales; give --scale once, or once for each."
        )
    return dict(zip(attributes, scales, strict=True))
