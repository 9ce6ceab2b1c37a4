"""`dva demo`: the shipped clip edited, with everything needed to judge the result by eye and by numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from . import video
from .autoencoder import DiffusionVideoAutoencoder
from .diffusion import DEFAULT_STEPS
from .evaluation.disentanglement import flipped
from .evaluation.judges import Judges
from .evaluation.reconstruction import ms_ssim, mse, ssim
from .evaluation.report import comparison_frames, contact_sheet, write_report
from .evaluation.temporal import tg_id, tl_id
from .faces.masks import edit_mask
from .faces.pasting import paste_faces
from .files import whole_or_nothing
from .footage import find_face, track_part
from .pipeline import decode_clip, edit_clip, encode_clip, pasted_frames, read_crops, reconstruct_clip
from .progress import Progress, Watch, silent, spent
from .values import EncodedClip, FaceTrack

ASSETS = Path(__file__).parent / "assets"
DEMO_CLIP = ASSETS / "demo.mp4"
VIDEO_EDIT = {"Eyeglasses": 1.0}
SHEET_EDITS: dict[str, dict[str, float]] = {
    "Eyeglasses": {"Eyeglasses": 1.0},
    "beard": {"No_Beard": -1.0},
    "blond hair": {"Blond_Hair": 1.0},
    "hat": {"Wearing_Hat": 1.0},
    "gray hair": {"Gray_Hair": 1.0},
    "Eyeglasses\nand beard": {"Eyeglasses": 1.0, "No_Beard": -1.0},
}
SHEET_FRAMES, SHEET_HEIGHT = 6, 208


def run(
    model: DiffusionVideoAutoencoder, judges: Judges, out: str | Path, steps: int = DEFAULT_STEPS,
    progress: Progress = silent,
) -> dict[str, Any]:  # fmt: skip
    """Writes edited.mp4, comparison.mp4, sheet.png and report.json into the folder `out`; returns the report."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    edit = _edited(model, steps, progress)
    with spent(edit.seconds, "paste and write"):
        frames = _frames(model, edit, "paste and write", progress)
        video.write_video(out / "edited.mp4", frames, edit.track.frame_rate, audio_from=DEMO_CLIP)
    frames = comparison_frames(video.read_frames(DEMO_CLIP), _frames(model, edit, "compare", progress))
    video.write_video(out / "comparison.mp4", frames, edit.track.frame_rate, audio_from=DEMO_CLIP)
    success, quality = _write_sheet(model, judges, edit, out / "sheet.png", progress)
    report = _report(model, judges, edit, success, quality)
    write_report(report, out / "report.json")
    return report


def table_rows(report: dict[str, Any]) -> list[tuple[str, Any]]:
    """The report in a dozen lines, for `evaluation.report.table`."""
    quality, temporal, success = report["reconstruction"], report["temporal"], report["success"]
    return [
        *((f"seconds, {stage}", seconds) for stage, seconds in report["seconds"].items()),
        ("reconstruction SSIM", quality["ssim"]),
        ("reconstruction MS-SSIM", quality["ms_ssim"]),
        ("reconstruction MSE", quality["mse"]),
        ("TL-ID", temporal["tl_id"]),
        ("TG-ID", temporal["tg_id"]),
        ("edit success", f"{sum(success.values())} of {len(success)}"),
    ]


@dataclass(frozen=True, eq=False)
class _Edit:
    """The edit of the video: where the face is, its clip, the crops after the edit [V,3,S,S], and the time it took."""

    track: FaceTrack
    clip: EncodedClip
    crops: Tensor
    seconds: dict[str, float]


def _edited(model: DiffusionVideoAutoencoder, steps: int, progress: Progress) -> _Edit:
    seconds: dict[str, float] = {}
    with spent(seconds, "find face"):
        track = find_face(model, DEMO_CLIP, progress=progress)
    with spent(seconds, "encode and invert"):
        clip = encode_clip(model, read_crops(DEMO_CLIP, track, model.config.image_size), steps, progress=progress)
    with spent(seconds, "edit and decode"):
        crops = decode_clip(model, clip, edit_clip(model, clip, VIDEO_EDIT), progress=progress)
    return _Edit(track, clip, crops, seconds)


def _frames(
    model: DiffusionVideoAutoencoder, edit: _Edit, stage: str, progress: Progress
) -> Iterator[np.ndarray]:
    watch = Watch(stage, len(edit.track.valid), progress)
    return pasted_frames(model, DEMO_CLIP, edit.track, edit.clip.crops, edit.crops, watch)


def _write_sheet(
    model: DiffusionVideoAutoencoder, judges: Judges, edit: _Edit, path: Path, progress: Progress
) -> tuple[dict[str, bool], dict[str, float]]:
    """Every edit on a few frames; returns whether the judge's answers flip as each edit wants, and how nearly those
    frames come back without one."""
    edits = {label: e for label, e in SHEET_EDITS.items() if set(e) <= set(model.attributes.names)}
    rows = np.linspace(0, len(edit.clip.crops) - 1, SHEET_FRAMES).round().astype(int).tolist()
    frames = np.flatnonzero(edit.track.valid)[rows].tolist()
    clip, track = edit.clip.part(rows), track_part(edit.track, frames)
    source = np.stack([f for i, f in enumerate(video.read_frames(DEMO_CLIP)) if i in frames])
    again = reconstruct_clip(model, clip)
    pictures = {"source": source, "reconstruction": _pasted(model, source, track, clip, again)}
    before = judges.answers(clip.crops)
    success = {}
    watch = Watch("draw sheet", len(edits), progress)
    for label, wanted in edits.items():
        crops = decode_clip(model, clip, edit_clip(model, edit.clip, wanted))
        pictures[label] = _pasted(model, source, track, clip, crops)
        after = judges.answers(crops)
        success[label.replace("\n", " ")] = all(flipped(before, after, name, s > 0) for name, s in wanted.items())
        watch.tick()
    rows_seen, columns_seen = about_face(edit.track)
    shrunk = {label: at_height(group[:, rows_seen, columns_seen], SHEET_HEIGHT) for label, group in pictures.items()}
    sheet = contact_sheet(shrunk, [f"frame {frame}" for frame in frames])
    with whole_or_nothing(path) as unfinished:
        sheet.save(unfinished)
    x, y = (clip.crops + 1) / 2, (again + 1) / 2
    return success, {metric.__name__: float(metric(x, y).mean()) for metric in (ssim, ms_ssim, mse)}


def _pasted(
    model: DiffusionVideoAutoencoder, frames: np.ndarray, track: FaceTrack, clip: EncodedClip, crops: Tensor
) -> np.ndarray:
    """Frames that are no neighbours, each pasted by its own mask."""
    mask = edit_mask(model.parse(clip.crops), model.parse(crops))
    return paste_faces(frames, crops, track, mask, source_crops=clip.crops)


def _report(
    model: DiffusionVideoAutoencoder, judges: Judges, edit: _Edit, success: dict[str, bool],
    quality: dict[str, float],
) -> dict[str, Any]:  # fmt: skip
    who_before, who_after = judges.identity_features(edit.clip.crops), judges.identity_features(edit.crops)
    return {
        "model": model.name,
        "edits": VIDEO_EDIT,
        "steps": edit.clip.noise_maps.steps,
        "solver": edit.clip.noise_maps.solver,
        "frames": len(edit.track.valid),
        "frames_without_face": np.flatnonzero(~edit.track.valid).tolist(),
        "seconds": {stage: round(seconds, 2) for stage, seconds in edit.seconds.items()},
        "reconstruction": quality,
        "temporal": {"tl_id": tl_id(who_before, who_after), "tg_id": tg_id(who_before, who_after)},
        "success": success,
        "how": {
            "reconstruction": "there and back with the mean identity, every step walked, on the crops of sheet.png",
            "temporal": "edited against source crops of edited.mp4's edit, by an identity net of another seed",
            "success": "an attribute classifier trained on pictures flips its answer, on the frames of sheet.png",
        },
    }


def about_face(track: FaceTrack) -> tuple[slice, slice]:
    """Rows and columns of the frame that hold the face's square in every frame, so that the sheet shows faces large."""
    corners = track.quads[track.valid].reshape(-1, 2)
    (left, top), (right, bottom) = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    return slice(max(0, top), min(track.height, bottom)), slice(max(0, left), min(track.width, right))


def at_height(pictures: np.ndarray, height: int) -> np.ndarray:
    width = round(pictures.shape[2] * height / pictures.shape[1])
    return np.stack([np.asarray(Image.fromarray(p).resize((width, height), Image.LANCZOS)) for p in pictures])
