"""`dva eval demo`: the demo model on rendered people it has never seen, judged against what the renderer would show."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import fmean
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..autoencoder import DiffusionVideoAutoencoder
from ..diffusion import DEFAULT_SOLVER, DEFAULT_STEPS
from ..faces.alignment import crop_faces
from ..faces.detection import detect_faces
from ..faces.tracking import track_face
from ..pipeline import decode_clip, edit_clip, encode_clip, invert_clip, reconstruct_clip
from ..progress import Cancel, Progress, Watch, never, silent
from ..synthetic import HELD_OUT_SEEDS, RenderedClip, render_clip, set_attribute
from ..values import EncodedClip, FaceTrack
from . import disentanglement as judge
from .judges import Judges
from .reconstruction import ms_ssim, mse, psnr, ssim
from .targets import HOW, check_targets
from .temporal import tg_id, tl_id

PLAIN_STEPS, PLAIN_EVERY = (20, 100), 8
"""Steps of plain DDIM there and back, which are tried on every 8th frame."""
EXACT_STEPS, EXACT_EVERY = (5, 10, 20, 50), 32
"""The same for the solver that loses nothing, in two precisions of the net."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SCALE = 1.0
OUTSIDE_HEAD = (0, 16)  # parsing classes: background, clothes


@dataclass(frozen=True)
class EditCase:
    """An edit under test; `inverted` when it puts on what the attribute's name denies (beard, No_Beard)."""

    name: str
    attribute: str
    inverted: bool = False


CASES = (
    EditCase("Eyeglasses", "Eyeglasses"),
    EditCase("beard", "No_Beard", inverted=True),
)


@dataclass(frozen=True)
class EditMeasured:
    """One edit of one clip: `turned_on` says which way, the errors are inside the head against the truth."""

    turned_on: bool
    success: bool
    side_effects: float
    side_effects_of_truth: float
    error: float
    error_of_nothing: float
    iou: float
    tl_id: float
    tg_id: float
    landmark_nme: float
    landmark_nme_of_truth: float
    background_psnr: float


@dataclass(frozen=True)
class ClipMeasured:
    """One clip: picture metrics of plain DDIM for each number of steps, one entry a frame; the mean squared error of
    the residual solver by precision and steps; and the clip's edits by name."""

    plain: dict[int, dict[str, list[float]]]
    exact: dict[str, dict[int, float]]
    edits: dict[str, EditMeasured]
    frames_without_face: int


def evaluate(
    model: DiffusionVideoAutoencoder, judges: Judges, clips: int = 20, frames: int = 32, seed: int = 0, *,
    steps: int = DEFAULT_STEPS, solver: str = DEFAULT_SOLVER, batch_size: int = 8, progress: Progress = silent,
    cancelled: Cancel = never,
) -> dict[str, Any]:  # fmt: skip
    """Measures everything that the demo model must show, on `clips` held-out people that `seed` chooses.

    Edits are made with `steps` of `solver`.

    Returns the JSON-able report: the numbers, how each was made, the targets and whether they are met.
    """
    cases = [case for case in CASES if case.attribute in model.attributes.names]
    people = held_out_people(clips, seed)
    watch = Watch("evaluate", clips * (2 + len(cases)), progress, cancelled)
    precise = {name: _in_precision(model, dtype) for name, dtype in PRECISIONS.items()}
    options = {"steps": steps, "solver": solver, "batch_size": batch_size}
    measured = [_measure_clip(model, judges, person, frames, cases, precise, options, watch) for person in people]
    report = {
        "model": model.name,
        "clips": clips,
        "frames": frames,
        "seed": seed,
        "solver": solver,
        "steps": steps,
        "people": people,
        **_summary(measured, cases),
        "how": HOW,
    }
    return report | check_targets(report)


def held_out_people(count: int, seed: int) -> list[int]:
    """Seeds of people that no training has seen; another `seed` chooses others."""
    chosen = np.random.default_rng(seed).choice(len(HELD_OUT_SEEDS), count, replace=False)
    return [HELD_OUT_SEEDS[int(i)] for i in chosen]


def _measure_clip(
    model: DiffusionVideoAutoencoder, judges: Judges, person: int, frames: int, cases: Sequence[EditCase],
    precise: Mapping[str, DiffusionVideoAutoencoder], options: Mapping[str, Any], watch: Watch,
) -> ClipMeasured:  # fmt: skip
    source = render_clip(person, frames)
    scene = _Aligned.of(model, source)
    x = scene.crops(source.frames)
    clip = encode_clip(model, x, **options)
    watch.tick()
    some = clip.part(slice(None, None, PLAIN_EVERY))
    parts = some.crops, some.identity, some.landmark_codes
    plain = {n: _picture_metrics(some.crops, invert_clip(model, *parts, n, "ddim").unedited) for n in PLAIN_STEPS}
    few = clip.part(slice(None, None, EXACT_EVERY))
    exact = {name: {n: _error_there_and_back(net, few, n) for n in EXACT_STEPS} for name, net in precise.items()}
    watch.tick()
    edits = {}
    for case in cases:
        edits[case.name] = _measure_edit(model, judges, source, scene, clip, case, options["batch_size"])
        watch.tick()
    return ClipMeasured(plain, exact, edits, int((~scene.track.valid).sum()))


def _in_precision(model: DiffusionVideoAutoencoder, dtype: torch.dtype) -> DiffusionVideoAutoencoder:
    model = copy.deepcopy(model)
    model.unet.to(dtype)
    return model


def _error_there_and_back(model: DiffusionVideoAutoencoder, clip: EncodedClip, steps: int) -> float:
    """Mean squared error, of 0..1, of a decode with the clip's own identity that goes through the net."""
    clip = invert_clip(model, clip.crops, clip.identity, clip.landmark_codes, steps, "residual")
    return float(mse(_unit(clip.crops), _unit(reconstruct_clip(model, clip))).mean())


def _measure_edit(
    model: DiffusionVideoAutoencoder, judges: Judges, source: RenderedClip, scene: _Aligned, clip: EncodedClip,
    case: EditCase, batch_size: int,
) -> EditMeasured:  # fmt: skip
    """Toggles the attribute, in the model and in the renderer, and compares."""
    wanted = not source.person.attributes[case.attribute]
    changed_person = set_attribute(source.person, case.attribute, wanted)
    perfect = render_clip(source.person.seed, len(source.frames), person=changed_person)
    identity = edit_clip(model, clip, {case.attribute: SCALE if wanted else -SCALE})
    y = decode_clip(model, clip, identity, batch_size=batch_size)
    x, truth = clip.crops, scene.crops(perfect.frames)
    head = scene.head(source.parsing) | scene.head(perfect.parsing)
    before, after, ideal = judges.answers(x), judges.answers(y), judges.answers(truth)
    others = [name for name in before if source.person.attributes[name] == changed_person.attributes[name]]
    who_before, who_after = judges.identity_features(x), judges.identity_features(y)
    points = _points(model, x)
    return EditMeasured(
        turned_on=wanted != case.inverted,
        success=judge.flipped(before, after, case.attribute, wanted),
        side_effects=judge.changed_answers(before, after, others),
        side_effects_of_truth=judge.changed_answers(before, ideal, others),
        error=judge.region_mse(_unit(y), _unit(truth), head),
        error_of_nothing=judge.region_mse(_unit(x), _unit(truth), head),
        iou=judge.changed_iou(_unit(x), _unit(y), _unit(truth)),
        tl_id=tl_id(who_before, who_after),
        tg_id=tg_id(who_before, who_after),
        landmark_nme=judge.landmark_nme(points, _points(model, y)),
        landmark_nme_of_truth=judge.landmark_nme(points, _points(model, truth)),
        background_psnr=judge.background_psnr(_unit(x), _unit(y), head),
    )


@dataclass(frozen=True)
class _Aligned:
    """Cuts any rendering of one clip along the quads that the detector found in its source."""

    track: FaceTrack
    size: int

    @classmethod
    def of(cls, model: DiffusionVideoAutoencoder, source: RenderedClip) -> _Aligned:
        height, width = source.frames.shape[1:3]
        found = detect_faces(model.detector, source.frames, batch_size=16)
        return cls(track_face(found, height, width, Fraction(25)), model.config.image_size)

    def crops(self, frames: np.ndarray) -> Tensor:
        return crop_faces(frames[self.track.valid], self.track.quads[self.track.valid], self.size)

    def head(self, parsing: np.ndarray) -> Tensor:
        """The renderer's own head, hair, neck and hat: bool [V,1,S,S]."""
        inside = ~np.isin(parsing, OUTSIDE_HEAD)
        pictures = np.repeat(inside[..., None].astype(np.uint8) * 255, 3, axis=-1)
        return self.crops(pictures).mean(dim=1, keepdim=True) > 0


def _points(model: DiffusionVideoAutoencoder, crops: Tensor) -> Tensor:
    return rearrange(model.encode_landmarks(crops).codes, "t (n xy) -> t n xy", xy=2)


def _unit(crops: Tensor) -> Tensor:
    return (crops + 1) / 2


def _picture_metrics(x: Tensor, y: Tensor) -> dict[str, list[float]]:
    x, y = _unit(x), _unit(y)
    return {metric.__name__: metric(x, y).tolist() for metric in (ssim, ms_ssim, mse, psnr)}


def _summary(measured: Sequence[ClipMeasured], cases: Sequence[EditCase]) -> dict[str, Any]:
    edits = {case.name: [clip.edits[case.name] for clip in measured] for case in cases}
    everything = [edit for group in edits.values() for edit in group]
    plain = {
        str(n): {
            name: fmean(value for clip in measured for value in clip.plain[n][name])
            for name in ("ssim", "ms_ssim", "mse", "psnr")
        }
        for n in PLAIN_STEPS
    }
    exact = {
        name: {str(n): {"mse": fmean(clip.exact[name][n] for clip in measured)} for n in EXACT_STEPS}
        for name in PRECISIONS
    }
    return {
        "reconstruction": {"ddim": plain, "residual": exact},
        "edits": {name: _edit_summary(group) for name, group in edits.items()},
        "temporal": _means(everything, "tl_id", "tg_id"),
        "motion": _means(everything, "landmark_nme", "landmark_nme_of_truth"),
        "background": {"psnr": _means(everything, "background_psnr")["background_psnr"]},
        "frames_without_face": sum(clip.frames_without_face for clip in measured),
    }


def _edit_summary(group: Sequence[EditMeasured]) -> dict[str, Any]:
    added, removed = ([e for e in group if e.turned_on == on] for on in (True, False))
    side_effects = _mean(e.side_effects for e in group)
    return {
        "success": _mean(e.success for e in group),
        "success_on": _mean(e.success for e in added),
        "success_off": _mean(e.success for e in removed),
        "clips_on": len(added),
        "clips_off": len(removed),
        "side_effects": side_effects,
        "others_kept": 1 - side_effects,
        "others_kept_by_truth": 1 - _mean(e.side_effects_of_truth for e in group),
        "removal_error_ratio": _error_ratio(removed),
        "addition_error_ratio": _error_ratio(added),
        "addition_iou": _mean(e.iou for e in added),
        **_means(group, "tl_id", "tg_id", "landmark_nme", "background_psnr"),
    }


def _error_ratio(group: Sequence[EditMeasured]) -> float | None:
    return fmean(e.error for e in group) / fmean(e.error_of_nothing for e in group) if group else None


def _means(group: Sequence[EditMeasured], *names: str) -> dict[str, float | None]:
    return {name: _mean(getattr(edit, name) for edit in group) for name in names}


def _mean(values) -> float | None:
    """The mean, or None when there was nothing to measure."""
    values = [float(value) for value in values]
    return fmean(values) if values else None
