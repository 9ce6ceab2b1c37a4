"""The whole method on one page: a video is split into identity, motion and background, and put together again.

Kim et al. 2023, Fig. 2: the identity is averaged over the clip and edited, the landmarks carry the motion frame by
frame, and the noise maps x_T that DDIM inversion finds carry everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import video
from .autoencoder import DiffusionVideoAutoencoder
from .diffusion import ddim
from .diffusion.schedule import spaced_timesteps
from .editing.attributes import check_edits, edit_identity
from .editing.background import Surroundings, surroundings
from .editing.detail import with_detail
from .editing.text import Shifts, check_shift, preserving, shift_identity
from .editing.timeline import Curve, edit_over_time, strengths_over
from .encoders import FaceDetector
from .errors import DvaError
from .faces.alignment import crop_faces
from .faces.masks import edit_mask, steadied
from .faces.pasting import paste_faces
from .footage import find_unless_known, frames_with_track
from .memory import in_batches
from .progress import Cancel, Preview, Progress, Watch, never, silent, unseen
from .values import NO_SOLVER, EncodedClip, FaceTrack, Identity, IdentityShift, LandmarkCodes, NoiseMaps

ShiftsOrSearches = Sequence[tuple[IdentityShift | Callable[[EncodedClip], IdentityShift], float]]
"""Shifts of the identity, each with its scale; or instead of a shift what finds it once the clip is encoded."""

# --- a clip of aligned crops ---


def encode_clip(
    model: DiffusionVideoAutoencoder, crops: Tensor, steps: int = 20, *,
    batch_size: int = 8, progress: Progress = silent, cancelled: Cancel = never,
) -> EncodedClip:  # fmt: skip
    """Takes crops [T,3,S,S] in -1..1 apart: who it is, how it moves, and all the rest as noise maps.

    `steps` is the number of DDIM steps, for decoding too. Raises DvaError when the model has another crop size.
    """
    check_crops(model, crops)
    identity, landmark_codes = model.encode_identity(crops), model.encode_landmarks(crops)
    options = {"batch_size": batch_size, "progress": progress, "cancelled": cancelled}
    return invert_clip(model, crops, identity, landmark_codes, steps, **options)


def invert_clip(
    model: DiffusionVideoAutoencoder, crops: Tensor, identity: Identity, landmark_codes: LandmarkCodes,
    steps: int = 20, *, batch_size: int = 8, progress: Progress = silent, cancelled: Cancel = never,
) -> EncodedClip:  # fmt: skip
    """The second half of `encode_clip`: noise maps for identities and landmark codes that are known already.

    Takes twice `steps` evaluations of the net for each frame: there, and back once without an edit.
    """
    check_crops(model, crops)
    if len(landmark_codes.codes) != len(crops):
        raise DvaError(
            f"There are {len(crops)} crops and {len(landmark_codes.codes)} landmark codes; encode as many as there are "
            "crops."
        )
    z_face = model.face_latent(identity.mean(), landmark_codes)
    watch = Watch("invert", 2 * len(crops) * steps, progress, cancelled)
    x_T = solve_clip(ddim.invert, model, crops, z_face, steps, batch_size, watch)
    unedited = solve_clip(ddim.decode, model, x_T, z_face, steps, batch_size, watch)
    return EncodedClip(crops, identity, landmark_codes, NoiseMaps(x_T, steps, "ddim", model.name), unedited)


def edit_clip(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, edits: Mapping[str, float], *,
    shifts: Shifts = (), preserve: Sequence[str] = (), strengths: Sequence[float] | None = None,
) -> Identity:  # fmt: skip
    """The clip's mean identity moved along attribute directions: {CelebA name: scale}. Kim et al. 2023, Sec. 3.3.

    Then by `shifts`, such as text edits, each with its scale. `preserve` names attributes that nothing of it must move.
    With `strengths`, a number that multiplies the scales for each frame of the clip, the result has a row for each.
    Raises DvaError as `edit_identity` and `shift_identity` do.
    """
    identity = clip.identity.mean()
    shifts = [(preserving(shift, model.attributes, preserve), scale) for shift, scale in shifts]
    if strengths is not None:
        strengths = strengths_over(strengths, len(clip.crops))
        return edit_over_time(identity, model.attributes, edits, strengths, preserve=preserve, shifts=shifts)
    identity = edit_identity(identity, model.attributes, edits, preserve=preserve)
    for shift, scale in shifts:
        identity = shift_identity(identity, shift, scale)
    return identity


def decode_clip(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, identity: Identity, *, keep_detail: bool = True,
    keep_background: bool = True, batch_size: int = 8, progress: Progress = silent, cancelled: Cancel = never,
    preview: Preview = unseen,
) -> Tensor:  # fmt: skip
    """Puts a clip together again with another identity (one row, or one for each frame): crops [T,3,S,S] in -1..1.

    With `keep_detail` the source's detail returns wherever the edit changes nothing, and the clip's own mean identity
    gives the source itself. With `keep_background` no edit changes the colours about the head (`editing.background`).
    `preview` is shown every few frames as soon as they are decoded, [n,3,S,S] in -1..1.
    """
    z_face = model.face_latent(identity, clip.landmark_codes).expand(len(clip.crops), -1)
    rows = frames_to_decode(model, clip, z_face)
    options = {"keep_background": keep_background, "batch_size": batch_size}
    watch = Watch("decode", len(rows) * clip.noise_maps.steps, progress, cancelled)
    decoded = clip.unedited.clone()
    decoded[rows] = decode_frames(model, clip, rows, z_face[rows], watch=watch, preview=preview, **options)
    return with_detail(clip.crops, clip.unedited, decoded) if keep_detail else decoded


def frames_to_decode(model: DiffusionVideoAutoencoder, clip: EncodedClip, z_face: Tensor) -> Tensor:
    """The frames, int64 [n], whose z_face [T,512] is not the one they were inverted with: their decode is not known."""
    if clip.recombined:
        return torch.arange(len(z_face))
    own = model.face_latent(clip.identity.mean(), clip.landmark_codes)
    return (z_face != own).any(dim=-1).nonzero().flatten()


def decode_frames(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, frames: Tensor, z_face: Tensor, *, keep_background: bool,
    batch_size: int, watch: Watch, preview: Preview = unseen,
) -> Tensor:  # fmt: skip
    """The plain decode [n,3,S,S] of some frames of a clip, int64 [n] (repeats allowed), with z_face [n,512] each."""
    held = None
    if keep_background and clip.noise_maps.solver != NO_SOLVER and len(frames):
        held = surroundings(clip.unedited, clip.noise_maps.x_T, model.parse(clip.crops))[frames]
    steps, x_T = clip.noise_maps.steps, clip.noise_maps.x_T[frames]
    return solve_clip(ddim.decode, model, x_T, z_face, steps, batch_size, watch, preview, held)


def check_crops(model: DiffusionVideoAutoencoder, crops: Tensor) -> None:
    """DvaError unless crops are [T,3,S,S] of the model's size, T at least 1."""
    size = model.config.image_size
    if crops.ndim != 4 or crops.shape[1:] != (3, size, size) or len(crops) == 0:
        raise DvaError(f"The model {model.name} takes crops [T,3,{size},{size}], not {list(crops.shape)}.")


# --- a video file ---


@dataclass(frozen=True)
class EditResult:
    """What `edit_video` found and made; further edits of the same clip can start from it.

    `clip` and `crops` (the edited faces, float32 [V,3,S,S] in -1..1) hold the V frames that have a face, in order.
    `seconds` is the time that each stage took. `cuts` are the frames that begin a new shot, if they were looked for.
    `shifts` are the text edits, found now or before, with their scales.
    """

    track: FaceTrack
    clip: EncodedClip
    identity: Identity
    crops: Tensor
    seconds: Mapping[str, float]
    cuts: tuple[int, ...]
    shifts: Shifts = ()

    @property
    def frames_without_face(self) -> list[int]:
        """The frames that were passed on unchanged."""
        return np.flatnonzero(~self.track.valid).tolist()


def edit_video(
    model: DiffusionVideoAutoencoder, source: str | Path, target: str | Path, edits: Mapping[str, float],
    steps: int = 20, *, shifts: ShiftsOrSearches = (), preserve: Sequence[str] = (),
    curve: Curve | Sequence[float] | None = None, detector: FaceDetector | None = None,
    track: FaceTrack | None = None, batch_size: int = 8, progress: Progress = silent, cancelled: Cancel = never,
) -> EditResult:  # fmt: skip
    """Edits the person in a video file or folder of pictures and writes the result to `target`, sound kept.

    `edits` maps CelebA attribute names to scales: 1 puts the attribute on at full strength, -1 takes it off; with
    directions whose reach is unknown, as the published ones, 0.3 is much. `shifts` are text edits, with their scales:
    found before, or functions that find them on this clip (see `ShiftsOrSearches`). `preserve` names attributes that
    must not move. `curve` multiplies the scales over time: key frames, or a number for each frame of the video, with a
    face or without. `detector`: the model's own when left out.
    With a `track` nobody is looked for; otherwise the largest face is followed, to the end of its shot.
    The source is read three times and only face crops are held whole. Frames without a face are passed on unchanged.
    Raises DvaError for files that cannot be read or hold no face, unknown attributes, a list of another length than
    the video and impossible `steps`, and Cancelled once `cancelled()` is true; `target` is then left as it was.
    """
    check_request(model, source, target, edits, steps, preserve, shifts)
    options = {"batch_size": batch_size, "progress": progress, "cancelled": cancelled}
    seconds: dict[str, float] = {}
    with timed(seconds, "find face"):
        track, cuts = find_unless_known(model, source, track, detector, progress, cancelled)
        strengths = None if curve is None else strengths_over(curve, len(track.valid))[track.valid]
    with timed(seconds, "crop"):
        crops = read_crops(source, track, model.config.image_size)
    with timed(seconds, "encode and invert"):
        clip = encode_clip(model, crops, steps, **options)
    if shifts:
        with timed(seconds, "find text edit"):
            shifts = found_shifts(shifts, clip)
    with timed(seconds, "edit and decode"):
        identity = edit_clip(model, clip, edits, shifts=shifts, preserve=preserve, strengths=strengths)
        edited = decode_clip(model, clip, identity, **options)
    with timed(seconds, "paste and write"):
        watch = Watch("paste and write", len(track.valid), progress, cancelled)
        frames = pasted_frames(model, source, track, crops, edited, watch)
        video.write_video(target, frames, track.frame_rate, audio_from=Path(source))
    return EditResult(track, clip, identity, edited, seconds, cuts, shifts)


def found_shifts(shifts: ShiftsOrSearches, clip: EncodedClip) -> Shifts:
    """The shifts, those still to be found now found on this clip."""
    return [(shift if isinstance(shift, IdentityShift) else shift(clip), scale) for shift, scale in shifts]


def read_crops(source: str | Path, track: FaceTrack, size: int) -> Tensor:
    """The aligned faces of the V frames that have one: [V,3,S,S] in -1..1."""
    crops = []
    for frames, part in frames_with_track(source, track):
        if part.valid.any():
            crops.append(crop_faces(frames[part.valid], part.quads[part.valid], size))
    return torch.cat(crops)


def pasted_frames(
    model: DiffusionVideoAutoencoder, source: str | Path, track: FaceTrack, crops: Tensor, edited: Tensor,
    watch: Watch | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """The source's frames, uint8 [H,W,3], with its faces (crops [V,3,S,S]) replaced by edited ones."""
    return masked_frames(source, track, crops, edited, pasting_mask(model, crops, edited, track.valid), watch)


def masked_frames(
    source: str | Path, track: FaceTrack, crops: Tensor, edited: Tensor, mask: Tensor, watch: Watch | None = None
) -> Iterator[np.ndarray]:
    """As `pasted_frames`, with a mask [V,1,S,S] in 0..1 that says how much of the edited crops is seen where."""
    first = 0
    for frames, part in frames_with_track(source, track):
        rows = slice(first, first + int(part.valid.sum()))
        yield from paste_faces(frames, edited[rows], part, mask[rows], source_crops=crops[rows])
        first = rows.stop
        if watch is not None:
            watch.tick(len(frames))


def pasting_mask(model: DiffusionVideoAutoencoder, crops: Tensor, edited: Tensor, valid: np.ndarray) -> Tensor:
    """Where the edit of a clip may change its crops [V,3,S,S]: float32 [V,1,S,S] in 0..1, steady over time.

    valid: bool [T], the V frames that the crops are of.
    """
    return steadied(edit_mask(model.parse(crops), model.parse(edited)), valid)


def check_request(
    model: DiffusionVideoAutoencoder, source: str | Path, target: str | Path, edits: Mapping[str, float], steps: int,
    preserve: Sequence[str] = (), shifts: ShiftsOrSearches = (),
) -> None:  # fmt: skip
    """What would fail after minutes of work should fail now."""
    check_edits(model.attributes, edits, preserve)
    for shift, scale in shifts:
        if isinstance(shift, IdentityShift):
            check_shift(shift, model.name, scale)
    spaced_timesteps(steps)
    video.check_output(target, source)


def solve_clip(
    solver: Callable[..., Tensor], model: DiffusionVideoAutoencoder, x: Tensor, z_face: Tensor, steps: int,
    batch_size: int, watch: Watch, preview: Preview = unseen, held: Surroundings | None = None,
) -> Tensor:  # fmt: skip
    """Runs a solver over the clip a few frames at a time."""
    result = torch.empty(x.shape)

    def solve(rows: slice) -> None:
        count = len(x[rows])
        eps = model.eps(z_face[rows], count)
        options = {} if held is None else {"hold": held[rows].hold}
        with watch.undone_on_failure():
            part = solver(eps, x[rows].to(model.device), steps, on_step=lambda *_: watch.tick(count), **options).cpu()
        result[rows] = part
        preview(part)

    in_batches(solve, len(x), batch_size)
    return result


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
