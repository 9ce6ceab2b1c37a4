"""The command `dva mix`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DvaError
from ..progress import Progress, Watch, progress_bars, spent
from .options import (
    AUTO,
    add_model,
    add_overwrite,
    add_precision,
    add_solver,
    add_steps,
    chosen_detector,
    loaded_model,
    positive,
)

if TYPE_CHECKING:
    from ..values import FaceTrack

# Around a head that moves, in shares of the crop's side: its old rim lies half outside what the parser calls head.
MARGIN = 1 / 16


def add_mix(commands: Any) -> None:
    mix = commands.add_parser(
        "mix",
        help="give a video somebody else's face, motion or surroundings",
        description="Take a person apart into who it is, how they move and all the rest, and take some of it from "
        "another video. What is not named comes from A, and so does the sound.",
        epilog="examples: dva mix talk.mp4 friend.mp4 between.mp4 --identity 0.5; "
        "dva mix portrait.mp4 talk.mp4 driven.mp4 --motion",
    )
    mix.add_argument("first", metavar="A", type=Path, help="a video file, or a folder of pictures")
    mix.add_argument("second", metavar="B", type=Path, help="another, to take something from")
    mix.add_argument("target", metavar="OUT", type=Path, help="an .mp4 file, or a folder (without an ending) for PNGs")
    mix.add_argument(
        "--identity", metavar="AMOUNT", type=_share, nargs="?", const=1.0, default=0.0,
        help="show the person of B; with a number from 0 to 1, somebody between A (0) and B (1)",
    )  # fmt: skip
    mix.add_argument(
        "--motion", action="store_true",
        help="move as B does, at B's speed; a B that is shorter runs back and forth. The face turns and speaks inside "
        "its square: where the head is and how it is tilted stays",
    )  # fmt: skip
    mix.add_argument(
        "--background", action="store_true", help="in B's frames, light and surroundings, for as long as B lasts"
    )
    add_steps(mix)
    add_solver(mix)
    mix.add_argument(
        "--detector", metavar="NAME", default=AUTO, help="who finds the faces, as for `dva edit` (default: as there)"
    )
    add_overwrite(mix, "replace OUT")
    mix.add_argument("--json", metavar="FILE", type=Path, help="write a report of what was done")
    mix.add_argument("--batch-size", metavar="N", type=positive, default=8, help="frames at once (default: 8)")
    add_model(mix)
    add_precision(mix)
    mix.set_defaults(run=_mix, points=None)


def _mix(options: argparse.Namespace) -> None:
    if not (options.identity or options.motion or options.background):
        raise DvaError("Nothing is taken from B; give --identity, --motion or --background.")
    from .. import video
    from ..editing.mixing import interpolate_identities
    from ..editing.transfer import motion_in_step, with_motion
    from ..faces.masks import grown
    from ..files import check_not_there, check_writable
    from ..pipeline import decode_clip, encode_clip, masked_frames, pasting_mask, read_crops
    from ..video_edit import check_request

    model = loaded_model(options)
    check_request(model, options.first, options.target, {}, options.steps, options.solver)
    video.check_output(options.target, options.second)
    check_not_there(options.target, options.overwrite)
    if options.json:
        check_writable(options.json)
    # Into the frames of the host; the other is the guest, of whom identity and motion are enough.
    host, guest = (options.second, options.first) if options.background else (options.first, options.second)
    motion_is_hosts = options.motion == options.background
    seconds: dict[str, float] = {}
    with progress_bars() as bars:
        settings = {"batch_size": options.batch_size, "progress": bars}
        detector = chosen_detector(options, model)
        with spent(seconds, "find faces"):
            track, cuts = _face(model, host, detector, bars)
            guest_track, _ = _face(model, guest, detector, bars)
        with spent(seconds, "crop"):
            crops = read_crops(host, track, model.config.image_size)
            guest_crops = read_crops(guest, guest_track, model.config.image_size)
        with spent(seconds, "encode and invert"):
            clip = encode_clip(model, crops, options.steps, options.solver, half=True, **settings)
            people = clip.identity, model.encode_identity(guest_crops)
        with spent(seconds, "mix and decode"):
            first, second = reversed(people) if options.background else people
            identity = interpolate_identities(first, second, options.identity)
            if not motion_is_hosts:
                codes = model.encode_landmarks(guest_crops)
                times = guest_track.valid, guest_track.frame_rate, track.valid, track.frame_rate
                motion = motion_in_step(codes, *times)
                # Motion comes with the guest's proportions, which are right only if it is the guest who is seen.
                host_is_seen = (options.identity >= 0.5) == options.background
                clip = with_motion(clip, motion, relative=host_is_seen)
            mixed = decode_clip(model, clip, identity, **settings)
        with spent(seconds, "paste and write"):
            mask = pasting_mask(model, crops, mixed, track.valid)
            if not motion_is_hosts:
                mask = grown(mask, MARGIN * model.config.image_size)
            watch = Watch("paste and write", len(track.valid), bars)
            frames = masked_frames(host, track, crops, mixed, mask, watch)
            video.write_video(options.target, frames, track.frame_rate, audio_from=options.first)
    _tell(options, model.name, track, cuts, seconds)


def _face(model: Any, source: Path, detector: Any, progress: Progress) -> tuple[FaceTrack, tuple[int, ...]]:
    """The largest face and where new shots begin; DvaError says in which of the two files something is wrong."""
    from ..footage import find_unless_known

    try:
        return find_unless_known(model, source, None, detector, progress)
    except DvaError as error:
        raise error if str(source) in str(error) else DvaError(f"{source}: {error}") from error


def _tell(
    options: argparse.Namespace, model: str, track: FaceTrack, cuts: tuple[int, ...], seconds: dict[str, float]
) -> None:  # fmt: skip
    """What was done, into the report's file and onto the screen."""
    from ..evaluation.report import table, write_report

    without_face = (~track.valid).nonzero()[0].tolist()
    report = {
        "first": str(options.first),
        "second": str(options.second),
        "target": str(options.target),
        "model": model,
        "identity": options.identity,
        "motion": options.motion,
        "background": options.background,
        "steps": options.steps,
        "solver": options.solver,
        "frames": len(track.valid),
        "frame_rate": str(track.frame_rate),
        "width": track.width,
        "height": track.height,
        "frames_without_face": without_face,
        "new_shots_at": list(cuts),
        "seconds": {stage: round(took, 2) for stage, took in seconds.items()},
    }
    if options.json:
        write_report(report, options.json)
    rows = [(f"seconds, {stage}", took) for stage, took in report["seconds"].items()]
    print(table([*rows, ("frames", report["frames"]), ("frames without the face, unchanged", len(without_face))]))
    if cuts:
        print(f"New shots begin at frames {', '.join(map(str, cuts))}; one person in one of them was changed.")
    print(f"{options.target} is written.")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return share
