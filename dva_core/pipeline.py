"""The whole method on one page: a video is split into identity, motion and background, and put together again.

Kim et al. 2023, Fig. 2: the identity is averaged over the clip and edited, the landmarks carry the motion frame by
frame, and the noise maps x_T that DDIM inversion finds carry everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import diffusion
from .autoencoder import DiffusionVideoAutoencoder
from .diffusion import DEFAULT_SOLVER, DEFAULT_STEPS, find_solver
from .diffusion.residual import Step
from .editing.attributes import edit_identity
from .editing.background import surroundings
from .editing.detail import at_a_step, outside, with_detail
from .editing.text import Shifts, preserving, shift_identity
from .editing.timeline import edit_over_time, strengths_over
from .errors import DvaError
from .faces.alignment import crop_faces
from .faces.masks import edit_mask, steadied
from .faces.pasting import paste_faces
from .footage import frames_with_track
from .memory import in_batches, sent
from .progress import Cancel, Preview, Progress, Watch, never, silent, unseen
from .values import NO_SOLVER, EncodedClip, FaceTrack, Identity, LandmarkCodes, NoiseMaps

# --- a clip of aligned crops ---


def encode_clip(
    model: DiffusionVideoAutoencoder, crops: Tensor, steps: int = DEFAULT_STEPS, solver: str = DEFAULT_SOLVER, *,
    half: bool = False, batch_size: int = 8, progress: Progress = silent, cancelled: Cancel = never,
) -> EncodedClip:  # fmt: skip
    """Takes crops [T,3,S,S] in -1..1 apart: who it is, how it moves, and all the rest as noise maps.

    `steps` and `solver` (one of `diffusion.SOLVERS`) are those of decoding too; `half` keeps what the solver stores in
    half the memory. Raises DvaError when the model has another crop size, and for an impossible solver or `steps`.
    """
    check_crops(model, crops)
    identity, landmark_codes = model.encode_identity(crops), model.encode_landmarks(crops)
    options = {"half": half, "batch_size": batch_size, "progress": progress, "cancelled": cancelled}
    return invert_clip(model, crops, identity, landmark_codes, steps, solver, **options)


def invert_clip(
    model: DiffusionVideoAutoencoder, crops: Tensor, identity: Identity, landmark_codes: LandmarkCodes,
    steps: int = DEFAULT_STEPS, solver: str = DEFAULT_SOLVER, *, half: bool = False, batch_size: int = 8,
    progress: Progress = silent, cancelled: Cancel = never,
) -> EncodedClip:  # fmt: skip
    """The second half of `encode_clip`: noise maps for identities and landmark codes that are known already.

    Takes as many evaluations of the net for each frame as `diffusion.SOLVERS` says. A solver that is not exact goes
    back once as well, without an edit, to know what it loses.
    """
    check_crops(model, crops)
    found = find_solver(solver, steps)
    if len(landmark_codes.codes) != len(crops):
        raise DvaError(
            f"There are {len(crops)} crops and {len(landmark_codes.codes)} landmark codes; encode as many as there are "
            "crops."
        )
    z_face = model.face_latent(identity.mean(), landmark_codes)
    evaluations = found.to_invert(steps) + (0 if found.exact else found.to_decode(steps))
    watch = Watch("invert", evaluations * len(crops), progress, cancelled)
    x_T, unedited = torch.empty(crops.shape), crops if found.exact else torch.empty(crops.shape)
    stored = torch.empty(len(crops), found.stored(steps), *crops.shape[1:], dtype=torch.half if half else torch.float)

    def solve(rows: slice) -> None:
        count = len(crops[rows])
        eps = model.eps(z_face[rows], count)

        def on_step(done: int, total: int) -> None:
            watch.tick(count)

        with watch.undone_on_failure():
            noise = diffusion.invert(eps, sent(crops[rows], model.device), solver, steps, on_step)
            if not found.exact:
                unedited[rows] = diffusion.decode(eps, *noise, solver, steps, on_step).cpu()
        x_T[rows], stored[rows] = noise[0].cpu(), noise[1].cpu()

    in_batches(solve, len(crops), batch_size)
    noise_maps = NoiseMaps(x_T, steps, solver, model.name, stored if found.stored(steps) else None)
    return EncodedClip(crops, identity, landmark_codes, noise_maps, unedited)


def edit_clip(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, edits: Mapping[str, float], *,
    shifts: Shifts = (), preserve: Sequence[str] = (), strengths: Sequence[float] | None = None,
) -> Identity:  # fmt: skip
    """The clip's mean identity moved along attribute directions: {CelebA name: scale}. Kim et al. 2023, Sec. 3.3.

    Then by `shifts`, such as text edits, each with its scale. `preserve` names attributes that nothing of it must move.
    With `strengths`, a number that multiplies the scales for each frame of the clip, the result has a row for each.
    Raises DvaError as `edit_identity` and `shift_identity` do.
    """
    if strengths is not None:
        strengths = strengths_over(strengths, len(clip.crops))
    options = {"shifts": shifts, "preserve": preserve, "strengths": strengths}
    return edit_mean_identity(model, clip.identity.mean(), edits, **options)


def edit_mean_identity(
    model: DiffusionVideoAutoencoder, identity: Identity, edits: Mapping[str, float], *, shifts: Shifts = (),
    preserve: Sequence[str] = (), strengths: Sequence[float] | None = None,
) -> Identity:  # fmt: skip
    """As `edit_clip`, where only the clip's mean identity [1,512] is at hand."""
    shifts = [(preserving(shift, model.attributes, preserve), scale) for shift, scale in shifts]
    if strengths is not None:
        return edit_over_time(identity, model.attributes, edits, strengths, preserve=preserve, shifts=shifts)
    identity = edit_identity(identity, model.attributes, edits, preserve=preserve)
    for shift, scale in shifts:
        identity = shift_identity(identity, shift, scale)
    return identity


def decode_clip(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, identity: Identity, *, keep_detail: bool = True,
    keep_background: bool = True, detail_in_head: float | None = None, batch_size: int = 8,
    progress: Progress = silent, cancelled: Cancel = never, preview: Preview = unseen,
) -> Tensor:  # fmt: skip
    """Puts a clip together again with another identity (one row, or one for each frame): crops [T,3,S,S] in -1..1.

    With `keep_detail` the source's detail returns wherever the edit changes nothing, and the clip's own mean identity
    gives the source itself; without, what the model alone makes of the noise. Where that is, is found step by step, or
    `detail_in_head` says how much of its detail the head keeps: 1 all, for the finest likeness, 0 nothing, for edits
    that take much away. It needs `keep_detail` and the solver `residual`.
    With `keep_background` no edit changes the colours about the head (`editing.background`; not with `o_belm`, whose
    states are not what that expects).
    `preview` is shown every few frames as soon as they are decoded, [n,3,S,S] in -1..1.
    """
    z_face = model.face_latent(identity, clip.landmark_codes).expand(len(clip.crops), -1)
    rows = frames_to_decode(model, clip, z_face, keep_detail)
    watch = Watch("decode", len(rows) * evaluations_to_decode(clip), progress, cancelled)
    decoded = clip.unedited.clone()
    decoded[rows] = decode_frames(
        model, clip, rows, z_face[rows], keep_detail=keep_detail, keep_background=keep_background,
        detail_in_head=detail_in_head, batch_size=batch_size, watch=watch, preview=preview,
    )  # fmt: skip
    return with_detail(clip.crops, clip.unedited, decoded) if keep_detail else decoded


def reconstruct_clip(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, *, batch_size: int = 8, progress: Progress = silent
) -> Tensor:
    """The clip decoded with its own mean identity, crops [T,3,S,S], to see what the solver loses.

    Every step is walked, where `decode_clip` would know the result.
    """
    z_face = model.face_latent(clip.identity.mean(), clip.landmark_codes)
    watch = Watch("reconstruct", len(clip.crops) * evaluations_to_decode(clip), progress)
    options = {"keep_detail": True, "keep_background": False, "batch_size": batch_size, "watch": watch}
    return decode_frames(model, clip, torch.arange(len(clip.crops)), z_face, **options)


def frames_to_decode(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, z_face: Tensor, keep_detail: bool = True
) -> Tensor:
    """The frames, int64 [n], whose decode with z_face [T,512] is not known: those that were inverted with another.

    All, where the clip is recombined, or `unedited` owes its detail to residuals that shall not be used.
    """
    if clip.recombined or (clip.noise_maps.solver == "residual" and not keep_detail):
        return torch.arange(len(z_face))
    own = model.face_latent(clip.identity.mean(), clip.landmark_codes)
    return (z_face != own).any(dim=-1).nonzero().flatten()


def evaluations_to_decode(clip: EncodedClip) -> int:
    """How often each frame goes through the net for one edit."""
    steps, solver = clip.noise_maps.steps, clip.noise_maps.solver
    return steps if solver == NO_SOLVER else find_solver(solver, steps).to_decode(steps)


def decode_frames(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, frames: Tensor, z_face: Tensor, *, keep_detail: bool,
    keep_background: bool, batch_size: int, watch: Watch, detail_in_head: float | None = None,
    preview: Preview = unseen,
) -> Tensor:  # fmt: skip
    """The decode [n,3,S,S] of some frames of a clip, int64 [n] (repeats allowed), with z_face [n,512] each.

    What other solvers than `residual` lose is not added yet (`with_detail`).
    """
    noise = clip.noise_maps
    if detail_in_head is not None:
        check_detail_in_head(detail_in_head, noise.solver)
    solver = "ddim" if noise.solver == NO_SOLVER else noise.solver
    keep_background = keep_background and noise.solver != NO_SOLVER
    source = None
    if len(frames) and (keep_background or detail_in_head is not None):
        source = surroundings(clip.unedited, noise.x_T, model.parse(clip.crops))
    result = torch.empty(len(frames), *noise.x_T.shape[1:])

    def solve(rows: slice) -> None:
        at, device = frames[rows], model.device
        around = None if source is None else source[at].to(device)
        stored = noise.x_T.new_empty(len(noise.x_T), 0, *noise.x_T.shape[1:]) if noise.stored is None else noise.stored

        def correct(step: Step) -> Tensor:
            if not keep_detail:
                x = step.moved
            elif detail_in_head is None:
                x = at_a_step(step)
            else:
                x = outside(step, around.head, detail_in_head)
            return around.hold_at(step, x) if keep_background else x

        with watch.undone_on_failure():
            part = diffusion.decode(
                model.eps(z_face[rows], len(at)), sent(noise.x_T[at], device), sent(stored[at], device), solver,
                noise.steps, lambda *_: watch.tick(len(at)), correct=correct,
                hold=around.hold if keep_background else None,
            ).cpu()  # fmt: skip
        result[rows] = part
        preview(part)

    in_batches(solve, len(frames), batch_size)
    return result


def check_detail_in_head(share: float, solver: str) -> None:
    """DvaError unless the share lies in 0..1 and the solver can use it."""
    if not 0 <= share <= 1:
        raise DvaError(f"The detail kept in the head is a share from 0 to 1, not {share}.")
    if solver != "residual":
        raise DvaError(f"Only the solver residual can keep a share of detail in the head, not {solver}; leave it out.")


def check_crops(model: DiffusionVideoAutoencoder, crops: Tensor) -> None:
    """DvaError unless crops are [T,3,S,S] of the model's size, T at least 1."""
    size = model.config.image_size
    if crops.ndim != 4 or crops.shape[1:] != (3, size, size) or len(crops) == 0:
        raise DvaError(f"The model {model.name} takes crops [T,3,{size},{size}], not {list(crops.shape)}.")


# --- a video file ---


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
