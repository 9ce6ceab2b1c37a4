"""The published edits on one page, quirks and all: for repeating published results.

Kim et al. 2023, Sec. 3.4, by a classifier or a text, as their released code does it. `edit_video` is the same
method put right; the README lists what differs and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import video
from .autoencoder import DiffusionVideoAutoencoder
from .diffusion import ddim
from .editing.attributes import AttributeDirections, edit_identity
from .editing.text import Shifts, ShiftsOrSearches, found_shifts
from .encoders import FaceDetector
from .faces.published_crop import paste_whole_quad, published_crops
from .files import check_not_there
from .footage import find_unless_known, frames_with_track
from .memory import in_batches
from .progress import Cancel, Progress, Watch, never, silent, spent
from .values import EncodedClip, FaceTrack, Identity, NoiseMaps
from .video_edit import check_request


@dataclass(frozen=True)
class PublishedResult:
    """What `edit_video_as_published` found and made.

    `crops`: the edited faces within the source's background, float32 [V,3,S,S] in -1..1, for the V frames that have a
    face, in order. `seconds` is the time that each stage took. `cuts` are the frames that begin a new shot. `shifts`
    are the text edits, found now or before, with their scales.
    """

    track: FaceTrack
    identity: Identity
    crops: Tensor
    seconds: Mapping[str, float]
    cuts: tuple[int, ...]
    shifts: Shifts = ()

    @property
    def frames_without_face(self) -> list[int]:
        """The frames that were passed on unchanged."""
        return np.flatnonzero(~self.track.valid).tolist()


def edit_video_as_published(
    model: DiffusionVideoAutoencoder, source: str | Path, target: str | Path, edits: Mapping[str, float],
    steps: int = 100, *, shifts: ShiftsOrSearches = (), jpeg: bool = False, detector: FaceDetector | None = None,
    track: FaceTrack | None = None, batch_size: int = 8, overwrite: bool = False, progress: Progress = silent,
    cancelled: Cancel = never,
) -> PublishedResult:  # fmt: skip
    """Edits the person in a video file or folder of pictures as the published code does; writes `target`.

    `edits` maps CelebA attribute names to the published scales (its default is 0.3), applied one after the other;
    without any, the result is the published reconstruction. Even scale 0 is an edit: it brings the mean identity to
    length 1. `shifts` are text edits as in `edit_video`, added after them; look for them with the settings of
    `TextEdit.as_published()`. With `jpeg` the crops pass through a JPEG file first, as published. `detector` and
    `track` as in `edit_video`.
    Three things are not as published. The largest face is followed, smoothly within each shot, instead of the first one
    found in each frame. Frames without a face are passed on unchanged; the published code stops there. The source's
    frame rate and sound are kept; the published code writes 20 frames a second and no sound.
    The whole clip is held in memory, and an interrupted run starts anew. Raises DvaError and Cancelled as
    `edit_video` does.
    """
    check_request(model, source, target, edits, steps, shifts=shifts)
    check_not_there(target, overwrite)
    options = {"progress": progress, "cancelled": cancelled}
    seconds: dict[str, float] = {}
    with spent(seconds, "find face"):
        track, cuts = find_unless_known(model, source, track, detector, **options)
    with spent(seconds, "crop"):
        watch = Watch("crop", len(track.valid), **options)
        crops = _read_crops(source, track, model.config.image_size, jpeg, watch)
    with spent(seconds, "encode and invert"):
        identities = model.encode_identity(crops)
        mean = identities.mean()
        codes = model.encode_landmarks(crops)
        watch = Watch("invert", len(crops) * (steps - 1), **options)
        invert = partial(ddim.invert, faithful=True)
        x_T = _solved(invert, model, crops, model.face_latent(mean, codes), steps, batch_size, watch)
    if shifts:
        with spent(seconds, "find text edit"):
            # A search takes no interest in a decode without an edit, which is left out here.
            noise_maps = NoiseMaps(x_T, steps, "ddim", model.name)
            shifts = found_shifts(shifts, EncodedClip(crops, identities, codes, noise_maps, unedited=crops))
    with spent(seconds, "edit and decode"):
        identity = _edited(mean, model.attributes, edits, shifts)
        watch = Watch("decode", len(crops) * steps, **options)
        decode = partial(ddim.decode, faithful=True)
        decoded = _solved(decode, model, x_T, model.face_latent(identity, codes), steps, batch_size, watch)
        face = model.face_mask(crops, for_video=True)
        faces = decoded * face + crops * (1 - face)
    with spent(seconds, "paste and write"):
        watch = Watch("paste and write", len(track.valid), **options)
        video.write_video(target, _pasted(source, track, faces, watch), track.frame_rate, audio_from=Path(source))
    return PublishedResult(track, identity, faces, seconds, cuts, shifts)


def _read_crops(source: str | Path, track: FaceTrack, size: int, jpeg: bool, watch: Watch) -> Tensor:
    crops = []
    for frames, part in frames_with_track(source, track):
        crops.append(published_crops(frames[part.valid], part.quads[part.valid], size, jpeg))
        watch.tick(len(frames))
    return torch.cat(crops)


def _solved(
    solver: Callable[..., Tensor], model: DiffusionVideoAutoencoder, x: Tensor, z_face: Tensor, steps: int,
    batch_size: int, watch: Watch,
) -> Tensor:  # fmt: skip
    """Runs a solver over the clip [V,3,S,S] a few frames at a time."""
    result = torch.empty(x.shape)

    def solve(rows: slice) -> None:
        eps, count = model.eps(z_face[rows]), len(x[rows])
        with watch.undone_on_failure():
            result[rows] = solver(eps, x[rows].to(model.device), steps, on_step=lambda *_: watch.tick(count)).cpu()

    in_batches(solve, len(x), batch_size)
    return result


def _edited(
    identity: Identity, directions: AttributeDirections, edits: Mapping[str, float], shifts: Shifts
) -> Identity:  # fmt: skip
    for name, scale in edits.items():
        moved = edit_identity(identity, directions, {name: scale}, move="along")
        # Scale 0 is nothing to `edit_identity`. The published move ends at length 1 even then.
        identity = replace(moved, features=F.normalize(moved.features, dim=-1))
    for shift, scale in shifts:
        identity = replace(identity, features=F.normalize(identity.features + scale * shift.features, dim=-1))
    return identity


def _pasted(source: str | Path, track: FaceTrack, faces: Tensor, watch: Watch) -> Iterator[np.ndarray]:
    """The source's frames, uint8 [H,W,3], with the quads of the valid ones covered by faces [V,3,S,S]."""
    remaining = iter(faces)
    for frames, part in frames_with_track(source, track):
        for frame, quad, valid in zip(frames, part.quads, part.valid, strict=True):
            yield paste_whole_quad(frame, next(remaining), quad) if valid else frame
        watch.tick(len(frames))
