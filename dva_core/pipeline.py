"""The whole method on one page: a video is split into identity, motion and background, and put together again.

Kim et al. 2023, Fig. 2: the identity is averaged over the clip and edited, the landmarks carry the motion frame by
frame, and the noise maps x_T that DDIM inversion finds carry everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import video
from .autoencoder import DiffusionVideoAutoencoder
from .diffusion import ddim
from .diffusion.schedule import spaced_timesteps
from .editing.attributes import edit_identity
from .editing.detail import with_detail
from .encoders import FaceDetector
from .errors import DvaError
from .faces.alignment import crop_faces, face_quads
from .faces.choosing import largest
from .faces.cuts import CutFinder
from .faces.detection import Embed, detect_faces
from .faces.masks import edit_mask
from .faces.pasting import paste_faces
from .faces.tracking import follow_faces
from .memory import in_batches
from .progress import Cancel, Preview, Progress, Watch, never, silent, unseen
from .values import EncodedClip, FaceTrack, Identity, LandmarkCodes, NoiseMaps

FRAMES_AT_ONCE = 16


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
    x_T = _solve(ddim.invert, model, crops, z_face, steps, batch_size, watch)
    unedited = _solve(ddim.decode, model, x_T, z_face, steps, batch_size, watch)
    return EncodedClip(crops, identity, landmark_codes, NoiseMaps(x_T, steps, "ddim", model.name), unedited)


def edit_clip(model: DiffusionVideoAutoencoder, clip: EncodedClip, edits: Mapping[str, float]) -> Identity:
    """The clip's mean identity moved along attribute directions: {CelebA name: scale}. Kim et al. 2023, Sec. 3.3."""
    return edit_identity(clip.identity.mean(), model.attributes, edits)


def decode_clip(
    model: DiffusionVideoAutoencoder, clip: EncodedClip, identity: Identity, *, keep_detail: bool = True,
    batch_size: int = 8, progress: Progress = silent, cancelled: Cancel = never, preview: Preview = unseen,
) -> Tensor:  # fmt: skip
    """Puts a clip together again with another identity (one row, or one for each frame): crops [T,3,S,S] in -1..1.

    With `keep_detail` the source's detail returns wherever the edit changes nothing, and the clip's own mean identity
    gives the source itself. `preview` is shown every few frames as soon as they are decoded, [n,3,S,S] in -1..1.
    """
    z_face = model.face_latent(identity, clip.landmark_codes).expand(len(clip.crops), -1)
    steps, x_T = clip.noise_maps.steps, clip.noise_maps.x_T
    watch = Watch("decode", len(x_T) * steps, progress, cancelled)
    decoded = _solve(ddim.decode, model, x_T, z_face, steps, batch_size, watch, preview)
    return with_detail(clip.crops, clip.unedited, decoded) if keep_detail else decoded


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
    `seconds` is the time that each stage took.
    """

    track: FaceTrack
    clip: EncodedClip
    identity: Identity
    crops: Tensor
    seconds: Mapping[str, float]

    @property
    def frames_without_face(self) -> list[int]:
        """The frames that were passed on unchanged."""
        return np.flatnonzero(~self.track.valid).tolist()


def edit_video(
    model: DiffusionVideoAutoencoder, source: str | Path, target: str | Path, edits: Mapping[str, float],
    steps: int = 20, *, detector: FaceDetector | None = None, batch_size: int = 8, progress: Progress = silent,
    cancelled: Cancel = never,
) -> EditResult:  # fmt: skip
    """Edits the person in a video file or folder of pictures and writes the result to `target`, sound kept.

    `edits` maps CelebA attribute names to scales: 1 puts the attribute on at full strength, -1 takes it off.
    The source is read three times and only face crops are held whole. Frames without a face are passed on unchanged.
    Raises DvaError for files that cannot be read or hold no face, unknown attributes and impossible `steps`, and
    Cancelled once `cancelled()` is true; `target` is then left as it was.
    """
    _check_request(model, source, target, edits, steps)
    options = {"batch_size": batch_size, "progress": progress, "cancelled": cancelled}
    seconds: dict[str, float] = {}
    with _timed(seconds, "find face"):
        track = find_face(model, source, detector=detector, progress=progress, cancelled=cancelled)
    with _timed(seconds, "crop"):
        crops = read_crops(source, track, model.config.image_size)
    with _timed(seconds, "encode and invert"):
        clip = encode_clip(model, crops, steps, **options)
    with _timed(seconds, "edit and decode"):
        identity = edit_clip(model, clip, edits)
        edited = decode_clip(model, clip, identity, **options)
    with _timed(seconds, "paste and write"):
        watch = Watch("paste and write", len(track.valid), progress, cancelled)
        frames = pasted_frames(model, source, track, crops, edited, watch)
        video.write_video(target, frames, track.frame_rate, audio_from=Path(source))
    return EditResult(track, clip, identity, edited, seconds)


def find_face(
    model: DiffusionVideoAutoencoder, source: str | Path, *, detector: FaceDetector | None = None,
    progress: Progress = silent, cancelled: Cancel = never,
) -> FaceTrack:  # fmt: skip
    """Follows the largest face of a video. `detector`: the model's own when left out. Raises DvaError without faces."""
    tracks, _ = find_faces(model, source, detector=detector, progress=progress, cancelled=cancelled)
    return tracks[largest(tracks)]


def find_faces(
    model: DiffusionVideoAutoencoder, source: str | Path, *, detector: FaceDetector | None = None,
    progress: Progress = silent, cancelled: Cancel = never,
) -> tuple[list[FaceTrack], tuple[int, ...]]:  # fmt: skip
    """Everybody in a video, as `follow_faces` tells them, and the frames that begin a new shot."""
    info = video.probe(source)
    watch = Watch("find face", info.frames or 0, progress, cancelled)
    finder = CutFinder()
    frames = finder.watching(video.read_frames(source))
    detections = detect_faces(detector or model.detector, frames, FRAMES_AT_ONCE, watch, face_features(model))
    cuts = finder.cuts()
    return follow_faces(detections, info.height, info.width, info.frame_rate, cuts=cuts), cuts


def face_features(model: DiffusionVideoAutoencoder) -> Embed:
    """Who faces are, by the model's identity net: each cut out of its frame by its own square, for `detect_faces`."""

    def embed(frame: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        crops = crop_faces([frame] * len(landmarks), face_quads(landmarks), model.config.image_size)
        return model.encode_identity(crops).features.numpy()

    return embed


def read_crops(source: str | Path, track: FaceTrack, size: int) -> Tensor:
    """The aligned faces of the V frames that have one: [V,3,S,S] in -1..1."""
    crops = []
    for frames, part in _with_track(source, track):
        if part.valid.any():
            crops.append(crop_faces(frames[part.valid], part.quads[part.valid], size))
    return torch.cat(crops)


def pasted_frames(
    model: DiffusionVideoAutoencoder, source: str | Path, track: FaceTrack, crops: Tensor, edited: Tensor,
    watch: Watch | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """The source's frames, uint8 [H,W,3], with its faces (crops [V,3,S,S]) replaced by edited ones."""
    first = 0
    for frames, part in _with_track(source, track):
        rows = slice(first, first + int(part.valid.sum()))
        yield from paste_edit(model, frames, part, crops[rows], edited[rows])
        first = rows.stop
        if watch is not None:
            watch.tick(len(frames))


def paste_edit(
    model: DiffusionVideoAutoencoder, frames: np.ndarray, track: FaceTrack, crops: Tensor, edited: Tensor
) -> np.ndarray:
    """Frames uint8 [T,H,W,3] with the faces of the V valid ones replaced; elsewhere untouched bit for bit."""
    if not track.valid.any():
        return frames
    mask = edit_mask(model.parse(crops), model.parse(edited))
    return paste_faces(frames, edited, track, mask, source_crops=crops)


def track_part(track: FaceTrack, frames: slice | list[int]) -> FaceTrack:
    """The track of some of its frames."""
    return replace(track, landmarks=track.landmarks[frames], quads=track.quads[frames], valid=track.valid[frames])


def _check_request(
    model: DiffusionVideoAutoencoder, source: str | Path, target: str | Path, edits: Mapping[str, float], steps: int
) -> None:
    """What would fail after minutes of work should fail now."""
    for name in edits:
        model.attributes.row(name)
    spaced_timesteps(steps)
    video.check_output(target, source)


def _with_track(source: str | Path, track: FaceTrack) -> Iterator[tuple[np.ndarray, FaceTrack]]:
    """Some frames at a time, with their part of the track."""
    start = 0
    for frames in _batches(video.read_frames(source)):
        yield frames, track_part(track, slice(start, start + len(frames)))
        start += len(frames)


def _batches(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    frames = iter(frames)
    while batch := list(islice(frames, FRAMES_AT_ONCE)):
        yield np.stack(batch)


def _solve(
    solver: Callable[..., Tensor], model: DiffusionVideoAutoencoder, x: Tensor, z_face: Tensor, steps: int,
    batch_size: int, watch: Watch, preview: Preview = unseen,
) -> Tensor:  # fmt: skip
    """Runs a solver over the clip a few frames at a time."""
    result = torch.empty(x.shape)

    def solve(rows: slice) -> None:
        count = len(x[rows])
        eps = model.eps(z_face[rows], count)
        with watch.undone_on_failure():
            part = solver(eps, x[rows].to(model.device), steps, on_step=lambda *_: watch.tick(count)).cpu()
        result[rows] = part
        preview(part)

    in_batches(solve, len(x), batch_size)
    return result


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
