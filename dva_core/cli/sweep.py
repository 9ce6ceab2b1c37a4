"""The command `dva sweep`: one inversion, many strengths of an edit, seen side by side."""

from __future__ import annotations

import argparse
import re
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DvaError
from ..progress import Progress, Watch, progress_bars, spent
from .options import (
    add_detector,
    add_model,
    add_overwrite,
    add_points,
    add_precision,
    add_preserve,
    add_solver,
    add_steps,
    check_points,
    chosen_detector,
    chosen_track,
    loaded_model,
    positive,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..values import EncodedClip, FaceTrack

_UNKNOWN = {"tl_id": None, "tg_id": None}
SCALES, SCALES_AS_PUBLISHED = "-1..1:5", "-0.3..0.3:5"
LABEL_WIDTH = 15  # letters
SHEET, REPORT = "grid.png", "report.json"


def add_sweep(commands: Any) -> None:
    sweep = commands.add_parser(
        "sweep",
        help="try an edit at many strengths",
        description="Try an edit at many strengths: the clip is inverted once, and all strengths are decoded together. "
        "Writes grid.png (a row for each strength, a column for each of a few frames), report.json, and a video with "
        "the source's sound for each strength. Several attributes are tried one by one, all in the one picture.",
        epilog="example: dva sweep talk.mp4 --attribute Eyeglasses --scales -1..1:5",
    )
    # Otherwise argparse takes -1..1:5, which is no plain number, for an option.
    sweep._negative_number_matcher = re.compile(r"-[\d.]")
    sweep.add_argument("source", metavar="IN", type=Path, help="a video file, or a folder of pictures")
    sweep.add_argument(
        "--attribute", metavar="NAME", action="append", required=True,
        help="CelebA attribute to try; may be given several times (`dva info` lists those of a model)",
    )  # fmt: skip
    sweep.add_argument(
        "--scales", metavar="FROM..TO:COUNT",
        help=f"the strengths, evenly spaced (default: {SCALES}; with the published model {SCALES_AS_PUBLISHED})",
    )  # fmt: skip
    sweep.add_argument("--out", metavar="FOLDER", type=Path, help="default: the name of IN, followed by -sweep")
    sweep.add_argument("--frames", metavar="N", type=positive, default=6, help="columns of the picture (default: 6)")
    sweep.add_argument(
        "--clips", action=argparse.BooleanOptionalAction, default=True,
        help="write the videos; without them only the frames of the picture are edited, which is much faster",
    )  # fmt: skip
    add_preserve(sweep)
    add_steps(sweep)
    add_solver(sweep)
    add_detector(sweep)
    add_points(sweep)
    add_overwrite(sweep, "replace what an earlier sweep left in the folder")
    sweep.add_argument("--batch-size", metavar="N", type=positive, default=8, help="frames at once (default: 8)")
    add_model(sweep)
    add_precision(sweep)
    sweep.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> None:
    check_points(options)
    asked = _scales(options.scales) if options.scales is not None else None
    from ..evaluation.report import table, write_report

    model = loaded_model(options)
    scales = asked or _scales(SCALES if model.attributes.reach_known else SCALES_AS_PUBLISHED)
    options.attribute = list(dict.fromkeys(options.attribute))
    options.out = options.out or Path(f"{options.source.resolve().stem}-sweep")
    _check(options, model, scales)
    detector = None if options.points else chosen_detector(options, model)
    with progress_bars() as bars:
        report = _swept(options, model, scales, detector, bars)
    write_report(report, options.out / REPORT)
    rows = [(f"seconds, {stage}", took) for stage, took in report["seconds"].items()]
    steady = [(f"TG-ID, {edit['attribute']} {edit['scale']:+g}", edit["tg_id"]) for edit in report["edits"]]
    print(table([*rows, *steady]))
    print(f"Look at {options.out / SHEET}.")


def _scales(text: str) -> list[float]:
    """ "-1..1:5" -> five numbers from -1 to 1."""
    number = r"([-+]?(?:\d+(?:\.\d+)?|\.\d+))"
    found = re.fullmatch(rf"{number}\.\.{number}:(\d+)", text)
    if not found or int(found[3]) < 2:
        raise DvaError(f"'{text}' is no range of scales; write FROM..TO:COUNT, at least 2, as in {SCALES}.")
    first, last, gaps = float(found[1]), float(found[2]), int(found[3]) - 1
    return [round(first + (last - first) * step / gaps, 6) for step in range(gaps + 1)]


def _check(options: argparse.Namespace, model: Any, scales: list[float]) -> None:
    from ..files import check_not_there
    from ..video_edit import check_request

    targets = [options.out / SHEET, options.out / REPORT]
    for attribute in options.attribute:
        for scale in scales:
            target = options.out / _clip_name(attribute, scale)
            request = (target, {attribute: scale}, options.steps, options.solver, options.preserve)
            check_request(model, options.source, *request)
            targets += [target] if options.clips else []
    for target in targets:
        check_not_there(target, options.overwrite)


def _clip_name(attribute: str, scale: float) -> str:
    return f"{attribute}_{scale:+g}.mp4"


def _swept(
    options: argparse.Namespace, model: Any, scales: list[float], detector: Any, progress: Progress
) -> dict[str, Any]:
    """Makes the picture and the videos; returns the report."""
    import numpy as np

    from ..editing.sweep import sweep_clip
    from ..evaluation.judges import load_judges
    from ..footage import find_unless_known
    from ..pipeline import edit_clip

    seconds: dict[str, float] = {}
    with spent(seconds, "find face"):
        followed, new_shots = chosen_track(options, progress)
        track, cuts = find_unless_known(model, options.source, followed, detector, progress)
        cuts = cuts or new_shots
    with_face = np.flatnonzero(track.valid)
    shown = with_face[np.unique(np.linspace(0, len(with_face) - 1, options.frames).round().astype(int))]
    # Without videos only the frames of the picture count as having a face.
    used = track if options.clips else replace(track, valid=np.isin(np.arange(len(track.valid)), shown))
    with spent(seconds, "encode and invert"):
        clip = _encoded(options, model, track, used, progress)
    pictures = {"source": _frames(options.source, shown)}
    judges = load_judges()
    who = judges.identity_features(clip.crops)
    edits = []
    for attribute in options.attribute:
        with spent(seconds, f"decode {attribute}"):
            identities = [edit_clip(model, clip, {attribute: scale}, preserve=options.preserve) for scale in scales]
            swept = sweep_clip(model, clip, identities, batch_size=options.batch_size, progress=progress)
        with spent(seconds, f"write {attribute}"):
            for scale, crops in zip(scales, swept, strict=True):
                label = f"{textwrap.fill(attribute.replace('_', ' '), LABEL_WIDTH)}\n{scale:+g}"
                pictures[label] = _pasted(model, pictures["source"], shown, used, clip, crops)
                name = _clip_name(attribute, scale) if options.clips else None
                if name:
                    _write_clip(options, model, track, clip, crops, name, progress)
                steady = _steadiness(who, judges.identity_features(crops)) if name else _UNKNOWN
                edits.append({"attribute": attribute, "scale": scale, "clip": name, **steady})
    _write_sheet(options.out / SHEET, pictures, track, shown)
    return {
        "source": str(options.source),
        "model": model.name,
        "preserve": options.preserve,
        "steps": options.steps,
        "solver": options.solver,
        "edits": edits,
        "frames": len(track.valid),
        "frames_shown": shown.tolist(),
        "frames_without_face": np.flatnonzero(~track.valid).tolist(),
        "new_shots_at": list(cuts),
        "seconds": {stage: round(took, 2) for stage, took in seconds.items()},
        "how": {"tl_id, tg_id": "edited against source crops, by an identity net of another seed; 1 is as steady"},
    }


def _encoded(
    options: argparse.Namespace, model: Any, track: FaceTrack, used: FaceTrack, progress: Progress
) -> EncodedClip:
    """The frames that are used, inverted; who it is is learnt from all frames of the track."""
    from ..pipeline import invert_clip, read_crops

    crops = read_crops(options.source, track, model.config.image_size)
    identity = model.encode_identity(crops).mean()
    crops = crops[used.valid[track.valid]]
    codes = model.encode_landmarks(crops)
    return invert_clip(
        model, crops, identity, codes, options.steps, options.solver, half=True, batch_size=options.batch_size,
        progress=progress,
    )  # fmt: skip


def _frames(source: Path, shown: np.ndarray) -> np.ndarray:
    import numpy as np

    from .. import video

    return np.stack([frame for n, frame in enumerate(video.read_frames(source)) if n in shown])


def _pasted(
    model: Any, frames: np.ndarray, shown: np.ndarray, used: FaceTrack, clip: EncodedClip, crops: Tensor
) -> np.ndarray:
    """The frames of the picture, uint8 [F,H,W,3], with their edited faces."""
    import numpy as np

    from ..faces.pasting import paste_faces
    from ..footage import track_part
    from ..pipeline import pasting_mask

    rows = np.flatnonzero(np.isin(np.flatnonzero(used.valid), shown)).tolist()
    mask = pasting_mask(model, clip.crops, crops, used.valid)[rows]
    part = track_part(used, shown.tolist())
    return paste_faces(frames, crops[rows], part, mask, source_crops=clip.crops[rows])


def _write_clip(
    options: argparse.Namespace, model: Any, track: FaceTrack, clip: EncodedClip, crops: Tensor, name: str,
    progress: Progress,
) -> None:  # fmt: skip
    from .. import video
    from ..pipeline import pasted_frames

    watch = Watch("paste and write", len(track.valid), progress)
    frames = pasted_frames(model, options.source, track, clip.crops, crops, watch)
    video.write_video(options.out / name, frames, track.frame_rate, audio_from=options.source)


def _steadiness(source: Tensor, edited: Tensor) -> dict[str, float | None]:
    """Of identity features [V,512]; frames that are no neighbours, or a single one, say nothing."""
    from ..evaluation.temporal import tg_id, tl_id

    return {"tl_id": tl_id(source, edited), "tg_id": tg_id(source, edited)} if len(source) > 1 else _UNKNOWN


def _write_sheet(path: Path, pictures: dict[str, np.ndarray], track: FaceTrack, shown: np.ndarray) -> None:
    from ..evaluation.report import contact_sheet
    from ..files import whole_or_nothing
    from ..showcase import SHEET_HEIGHT, about_face, at_height

    rows, columns = about_face(track)
    shrunk = {label: at_height(group[:, rows, columns], SHEET_HEIGHT) for label, group in pictures.items()}
    with whole_or_nothing(path) as unfinished:
        contact_sheet(shrunk, [f"frame {frame}" for frame in shown]).save(unfinished)
